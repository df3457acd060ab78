//! What groups of columns are worth.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use weir_features::profile::{PROFILE_CONTEXT, PROFILE_FEATURES, PROFILE_TOTAL};
use weir_features::{Extractor, Field, Location, Marks};

use super::*;

fn row(value: &[u8]) -> Vec<f32> {
    let mut row = vec![0.0; FIELD_WIDTH];
    let field = Field {
        location: Location::QueryValue,
        key: b"q",
        value,
        layers: 0,
        obfuscations: 0,
        marks: Marks::default(),
    };
    Extractor::shared().row(&field, &mut row);
    row
}

fn ordinary() -> Baseline {
    Baseline::new(Some(row(b"green lamp 12")), None)
}

fn share(influences: &[Influence], kind: Kind) -> f32 {
    influences
        .iter()
        .find(|influence| influence.kind == kind)
        .map_or(0.0, |influence| influence.share)
}

#[test]
fn the_group_that_raises_the_error_has_all_the_influence() {
    let row = row(b"1' UNION SELECT a FROM b--");
    let baseline = ordinary();
    let ablation = Ablation::of(&row, &baseline);
    let sql: Vec<usize> = columns(Kind::Lexicon(Family::Sql)).collect();
    let rows: Vec<Vec<f32>> = ablation.rows().collect();
    assert_eq!(rows.len(), ablation.len());
    // A model that looks at SQL and nothing else.
    let errors: Vec<f32> = rows
        .iter()
        .map(|row| 0.1 + sql.iter().map(|column| row[*column]).sum::<f32>())
        .collect();
    let influences = ablation.influences(&errors);
    assert_eq!(influences[0].kind, Kind::Lexicon(Family::Sql));
    assert!((influences[0].share - 1.0).abs() < 1e-6);
    assert!(
        influences[1..]
            .iter()
            .all(|influence| influence.share < 1e-6)
    );
}

#[test]
fn groups_that_multiply_the_error_share_it_by_their_logarithms() {
    let row = row(b"1' UNION SELECT a FROM b--");
    let (words, quote) = (
        Kind::Lexicon(Family::Sql),
        Kind::Structure(Breakout::SingleQuote),
    );
    let baseline = ordinary();
    let ablation = Ablation::of(&row, &baseline);
    let has = |row: &[f32], kind| columns(kind).any(|column| row[column] > 0.0);
    let errors: Vec<f32> = ablation
        .rows()
        .map(|row| {
            let factor = |kind, factor| if has(&row, kind) { factor } else { 1.0 };
            factor(words, 8.0) * factor(quote, 2.0)
        })
        .collect();
    let influences = ablation.influences(&errors);
    assert!((share(&influences, words) - 0.75).abs() < 1e-5);
    assert!((share(&influences, quote) - 0.25).abs() < 1e-5);
}

#[test]
fn either_of_two_causes_gets_half_although_the_other_alone_would_do() {
    let row = row(b"1' UNION SELECT a FROM b--");
    let kinds = [
        Kind::Lexicon(Family::Sql),
        Kind::Structure(Breakout::SingleQuote),
    ];
    let baseline = ordinary();
    let ablation = Ablation::of(&row, &baseline);
    let errors: Vec<f32> = ablation
        .rows()
        .map(|row| {
            let any = kinds
                .iter()
                .any(|kind| columns(*kind).any(|column| row[column] > 0.0));
            if any { 10.0 } else { 1.0 }
        })
        .collect();
    // Taking one away changes nothing; only the second half of the pair sees them.
    let influences = ablation.influences(&errors);
    assert!(
        kinds
            .iter()
            .all(|kind| (share(&influences, *kind) - 0.5).abs() < 1e-5)
    );
}

#[test]
fn what_a_value_does_not_have_is_not_measured_and_location_never_changes() {
    let row = row(b"lamp");
    let mut mean = vec![0.5; FIELD_WIDTH];
    mean[Location::Header.index()] = 1.0;
    let baseline = Baseline::new(Some(mean), None);
    let ablation = Ablation::of(&row, &baseline);
    assert_eq!(ablation.kinds, [Kind::Length, Kind::MakeUp, Kind::Skeleton]);
    for variant in ablation.rows() {
        for location in Location::ALL {
            let expected = f32::from(u8::from(location == Location::QueryValue));
            assert_eq!(variant[location.index()], expected);
        }
    }
}

#[test]
fn three_rows_with_everything_fit_one_run() {
    let everything = vec![1.0; FIELD_WIDTH];
    let baseline = Baseline::new(None, None);
    let ablation = Ablation::of(&everything, &baseline);
    assert!(TOP_FIELDS * ablation.len() <= crate::engine::CHUNK_ROWS);
    let lexicon = |kind: &&Kind| matches!(kind, Kind::Lexicon(_));
    assert_eq!(ablation.kinds.iter().filter(lexicon).count(), Family::COUNT);
}

#[test]
fn too_few_errors_or_a_flat_model_explain_nothing() {
    let row = row(b"1' OR 1=1");
    let baseline = ordinary();
    let ablation = Ablation::of(&row, &baseline);
    assert!(ablation.influences(&[]).is_empty());
    let flat = vec![0.3; ablation.len()];
    assert!(
        ablation
            .influences(&flat)
            .iter()
            .all(|influence| influence.share == 0.0)
    );
}

/// A row that departs from a profile in three ways.
fn departing() -> Vec<f32> {
    let mut row = row(b"lamp");
    let at = |name: &str| {
        let found = PROFILE_FEATURES.iter().position(|known| *known == name);
        PROFILE_AT + found.unwrap()
    };
    row[at("site profile known")] = 1.0;
    row[at("values seen at this place")] = 3.0;
    row[at("never seen kinds of character")] = 3.0;
    row[at("of another type than always before")] = 4.0;
    row[at("length against the usual")] = -5.0;
    row[PROFILE_AT + PROFILE_TOTAL] = 2.5;
    row
}

#[test]
fn usual_at_a_place_is_zero_and_the_place_itself_stays() {
    let row = departing();
    let baseline = Baseline::new(Some(vec![0.5; FIELD_WIDTH]), None);
    let ablation = Ablation::of(&row, &baseline);
    let profile = |variant: &[f32]| variant[PROFILE_AT..PROFILE_AT + PROFILE_WIDTH].to_vec();
    let ordinary = profile(&ablation.ordinary);
    for (at, value) in ordinary.into_iter().enumerate() {
        let frame = PROFILE_CONTEXT.contains(&at);
        let expected = if frame { row[PROFILE_AT + at] } else { 0.0 };
        assert!((value - expected).abs() < 1e-6, "{}", PROFILE_FEATURES[at]);
    }
    for kind in [Departure::Characters, Departure::Type, Departure::Length] {
        assert!(ablation.kinds.contains(&Kind::Profile(kind)), "{kind:?}");
    }
    assert!(!ablation.kinds.contains(&Kind::Profile(Departure::Names)));
}

#[test]
fn the_total_goes_with_what_it_adds_up() {
    let row = departing();
    let baseline = ordinary();
    let total = PROFILE_AT + PROFILE_TOTAL;
    let ordinary = baseline.row_like(&row);
    let without = |departure| exchange(&row, &ordinary, Kind::Profile(departure))[total];
    let only = |departure| exchange(&ordinary, &row, Kind::Profile(departure))[total];
    assert!((without(Departure::Type) - 1.5).abs() < 1e-6);
    assert!((without(Departure::Characters) - 2.0).abs() < 1e-6);
    // Where a length lies among the usual ones is no news that the total counts.
    assert!((without(Departure::Length) - 2.5).abs() < 1e-6);
    assert!((only(Departure::Type) - 2.0).abs() < 1e-6);
    assert!(only(Departure::Length).abs() < 1e-6);
}
