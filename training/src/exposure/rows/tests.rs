#![allow(clippy::unwrap_used)]

use super::*;
use rand::SeedableRng as _;

fn template() -> OwnedRequest {
    OwnedRequest {
        method: b"GET".to_vec(),
        target: b"/shop/item?color=red".to_vec(),
        headers: vec![
            (b"Host".to_vec(), b"shop.example".to_vec()),
            (b"User-Agent".to_vec(), b"Mozilla/5.0".to_vec()),
        ],
        body: Vec::new(),
    }
}

fn generate(seed: u64, wanted: usize) -> ExposureRows {
    let request = template();
    let template = Template {
        request: &request,
        past: None,
    };
    ExposureRows::generate(
        &[template],
        &Exposure::default(),
        Extractor::shared(),
        &mut ChaCha8Rng::seed_from_u64(seed),
        wanted,
    )
    .unwrap()
}

#[test]
fn rows_are_made_in_every_location_and_reproducibly() {
    let made = generate(3, 3000);
    assert_eq!((made.rows.nrows(), made.rows.ncols()), (3000, FIELD_WIDTH));
    let locations: HashSet<Location> = made.locations.iter().copied().collect();
    assert!(locations.len() >= 11, "{locations:?}");
    assert!(made.benign.nrows() > 300);
    assert!(made.rows.iter().all(|value| value.is_finite()));
    assert_eq!(made.rows, generate(3, 3000).rows);
    assert_ne!(made.rows, generate(4, 3000).rows);
}

#[test]
fn nothing_to_graft_or_to_graft_into_is_an_error() {
    let mut rng = ChaCha8Rng::seed_from_u64(1);
    let none = ExposureRows::generate(&[], &Exposure::default(), Extractor::shared(), &mut rng, 10);
    assert_eq!(none.unwrap_err(), ExposureError::NoTemplates);
    let request = template();
    let template = Template {
        request: &request,
        past: None,
    };
    let empty = ExposureRows::from_pool(
        &[template],
        &Pool::default(),
        Extractor::shared(),
        &mut rng,
        10,
    );
    assert_eq!(empty.unwrap_err(), ExposureError::NoPayloads);
}
