#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;

fn ramp(
    location: Location,
    profiled: bool,
    rows: usize,
    top: f32,
) -> impl Iterator<Item = (Location, bool, f32)> {
    (0..rows).map(move |row| (location, profiled, top * (row + 1) as f32 / rows as f32))
}

fn close(found: f32, wanted: f32) {
    assert!(
        (found / wanted - 1.0).abs() < 0.05,
        "{found} instead of {wanted}"
    );
}

#[test]
fn a_location_with_many_rows_is_judged_by_its_own() {
    let rows = ramp(Location::Cookie, false, 100_000, 100.0)
        .chain(ramp(Location::Path, false, 100_000, 1.0))
        .chain(ramp(Location::Json, false, 3, 0.001));
    let scales = LocationScales::fit(rows).unwrap();
    close(scales.scale(Location::Cookie, false), 99.5);
    close(scales.scale(Location::Path, false), 1.0);
    // Three quiet rows must not make the fourth an alarm; a location never seen takes the pooled value.
    assert!(scales.scale(Location::Json, false) > 50.0);
    close(scales.scale(Location::Xml, false), 99.0);
    assert_eq!(scales.rows(Location::Json, false), 3);
    assert_eq!(scales.rows(Location::Xml, false), 0);
}

#[test]
fn without_profiled_rows_a_profile_changes_nothing() {
    let scales = LocationScales::fit(ramp(Location::Path, false, 5000, 2.0)).unwrap();
    assert_eq!(
        scales.scaled(Location::Path, true, 1.0),
        scales.scaled(Location::Path, false, 1.0)
    );
    assert_eq!(scales.rows(Location::Path, true), 0);
    let json = serde_json::to_string(&scales).unwrap();
    assert!(!json.contains("profiled"), "{json}");
}

#[test]
fn profiled_rows_have_divisors_of_their_own() {
    let rows = ramp(Location::Path, false, 100_000, 1.0)
        .chain(ramp(Location::Path, true, 100_000, 3.0))
        .chain(ramp(Location::Cookie, false, 100_000, 10.0))
        .chain(ramp(Location::Json, true, 5, 0.001));
    let scales = LocationScales::fit(rows).unwrap();
    close(scales.scale(Location::Path, true), 3.0);
    close(scales.scale(Location::Path, false), 1.0);
    // No profiled cookie was seen: what a cookie errs without, and three times as much as at the path.
    close(scales.scale(Location::Cookie, true), 30.0);
    assert_eq!(scales.rows(Location::Cookie, true), 0);
    // Five quiet rows do not decide.
    assert!(scales.scale(Location::Json, true) > 10.0);
    close(scales.scaled(Location::Path, true, 6.0), 2.0);
}

#[test]
fn a_site_known_throughout_still_has_plain_divisors() {
    let scales = LocationScales::fit(ramp(Location::Path, true, 100_000, 3.0)).unwrap();
    close(scales.scale(Location::Path, true), 3.0);
    close(scales.scale(Location::Path, false), 3.0);
}

#[test]
fn scales_survive_json_and_damage_is_refused() {
    let plain = LocationScales::fit(ramp(Location::Path, false, 5000, 2.0)).unwrap();
    let both = LocationScales::fit(ramp(Location::Path, false, 5000, 2.0).chain(ramp(
        Location::Path,
        true,
        5000,
        7.0,
    )))
    .unwrap();
    for scales in [&plain, &both] {
        let json = serde_json::to_string(scales).unwrap();
        assert_eq!(
            &serde_json::from_str::<LocationScales>(&json).unwrap(),
            scales
        );
        for profiled in [false, true] {
            let scale = scales.scale(Location::Path, profiled).to_string();
            for (from, to) in [
                (scale.as_str(), "-1.0"),
                (scale.as_str(), "0"),
                ("\"path\"", "\"elsewhere\""),
            ] {
                assert!(
                    serde_json::from_str::<LocationScales>(&json.replacen(from, to, 1)).is_err(),
                    "{from} {to}"
                );
            }
        }
    }
    assert!(serde_json::from_str::<LocationScales>("[]").is_err());
    let mut partial: serde_json::Value = serde_json::to_value(&both).unwrap();
    partial[0].as_object_mut().unwrap().remove("profiled");
    assert!(serde_json::from_value::<LocationScales>(partial).is_err());
    assert!(LocationScales::fit([(Location::Path, false, f32::NAN)]).is_err());
}
