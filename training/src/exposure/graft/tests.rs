#![allow(clippy::unwrap_used)]

use super::*;
use std::collections::HashSet;
use weir_features::{Extractor, Scratch};

fn template() -> OwnedRequest {
    OwnedRequest {
        method: b"GET".to_vec(),
        target: b"/shop/item/42?color=red&size=xl".to_vec(),
        headers: vec![
            (b"Host".to_vec(), b"shop.example".to_vec()),
            (b"User-Agent".to_vec(), b"Mozilla/5.0".to_vec()),
            (b"Cookie".to_vec(), b"a=b; c=d".to_vec()),
        ],
        body: Vec::new(),
    }
}

fn fields(request: &OwnedRequest) -> HashSet<(Location, Vec<u8>, Vec<u8>)> {
    let mut scratch = Scratch::default();
    request.with_view(|view| {
        Extractor::shared()
            .extract(view, &mut scratch)
            .iter()
            .map(|f| (f.location, f.key.to_vec(), f.value.to_vec()))
            .collect()
    })
}

#[test]
fn a_payload_arrives_at_every_location_in_every_mode() {
    let payload: &[u8] = b"<svg onload=alert(1)>";
    for location in Location::ALL {
        for mode in [Mode::Replace, Mode::Append, Mode::Prepend] {
            for seed in 0..12 {
                let value: &[u8] = match location {
                    Location::QueryKey | Location::BodyKey => b"a<svg onload=alert(1)>=1",
                    _ => payload,
                };
                let made = graft(&template(), location, value, mode, &mut Dice::new(seed));
                let (before, after) = (fields(&made.before), fields(&made.after));
                let found = after.difference(&before).any(|(_, key, value)| {
                    [key, value].iter().any(|text| {
                        String::from_utf8_lossy(text).contains("onload=alert(1)")
                            || String::from_utf8_lossy(text).contains("<svg onload")
                    })
                });
                assert!(found, "{location:?} {mode:?} {seed}: {:?}", made.after);
            }
        }
    }
}

#[test]
fn host_and_structure_stay_the_same() {
    let made = graft(
        &template(),
        Location::QueryValue,
        b"'--",
        Mode::Replace,
        &mut Dice::new(1),
    );
    assert_eq!(made.after.host(), template().host());
    assert_eq!(made.after.headers, template().headers);
    assert!(made.after.target.starts_with(b"/shop/item/42?"));
}

#[test]
fn an_absolute_target_keeps_its_authority() {
    let request = OwnedRequest {
        target: b"http://shop.example:8080/a/b?x=1".to_vec(),
        ..template()
    };
    let made = graft(
        &request,
        Location::Path,
        b"../../etc/passwd",
        Mode::Replace,
        &mut Dice::new(1),
    );
    assert!(
        made.after
            .target
            .starts_with(b"http://shop.example:8080/a/"),
        "{}",
        String::from_utf8_lossy(&made.after.target)
    );
}

#[test]
fn whole_targets_are_told_from_paths() {
    assert!(is_whole_target(b"/a.php?inc=http://x/"));
    assert!(!is_whole_target(b"/etc/passwd"));
}
