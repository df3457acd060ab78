//! Reconstruction errors to probabilities: what share of normal requests would score at least this much.
//!
//! What must not be here: models, budgets' meaning, and data beyond held-out normal errors. Fitting lives beside use, so
//! that trainer, evaluation and proxy cannot disagree.
//!
//! Three steps: a row's error is divided by its location's 99.5% quantile ([`LocationScales`]), because a cookie is
//! wilder than a path; the field detector's value for a request is the maximum over its rows; a [`Tail`] turns that
//! value into the share of normal requests that reach it. With several detectors the maximum of their scores goes
//! through a tail of its own, so that adding a detector does not add false positives.

use serde::{Deserialize, Serialize};
use weir_features::Location;

use crate::budget::{Score, Scores};

mod binomial;
mod tail;

pub use binomial::{smallest_budget, upper_bound};
pub use tail::Tail;

/// The quantile of normal rows that becomes 1.0 after scaling. Higher ones rest on a handful of rows, so that one odd site
/// could decide how wild a whole location may be. Its effect has not been measured apart from other changes.
pub const SCALE_QUANTILE: f64 = 0.995;
/// Rows of a location at which its own quantile and the pooled one weigh the same: a high quantile of fewer than a
/// thousand values is hardly more than their maximum.
const SHRINKAGE_ROWS: f64 = 1000.0;
/// No location's errors are divided by less.
const SMALLEST_SCALE: f32 = 1e-6;

/// Why a calibration cannot be fitted or read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CalibrationError {
    /// Not enough held-out data.
    #[error(
        "{found} held-out normal values are too few to calibrate, {needed} are the least: give more normal traffic"
    )]
    TooFew {
        /// Usable values found.
        found: usize,
        /// Values needed.
        needed: usize,
    },
    /// Numbers that no fit produces.
    #[error("the calibration is damaged: {0}; train or publish the bundle again")]
    Damaged(&'static str),
}

/// The calibration of a bundle.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Calibration {
    /// Divisors of row errors.
    pub locations: LocationScales,
    /// Tail of the field detector's value: the largest scaled row error of a request.
    pub field: Tail,
    /// Tail of the request detector's error.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<Tail>,
    /// Tail of the maximum of the detectors' scores, where there is more than one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub combined: Option<Tail>,
}

/// Whether the request detector's opinion may block.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Power {
    /// It flags at most.
    #[default]
    Flag,
    /// It may block.
    Block,
}

impl Calibration {
    /// The scores of a request from its largest scaled row error and its request error.
    ///
    /// Without `request_error` the request detector has no say, and the field score stands alone.
    #[must_use]
    pub fn scores(&self, field_value: f32, request_error: Option<f32>, power: Power) -> Scores {
        let field = self.field.score(field_value);
        let request =
            request_error.and_then(|error| self.request.as_ref().map(|tail| tail.score(error)));
        let combined = match (request, &self.combined) {
            (Some(request), Some(tail)) => tail.score(field.max(request).value()),
            (Some(request), None) => field.max(request),
            (None, _) => field,
        };
        let blocking = match power {
            Power::Flag => field,
            Power::Block => combined,
        };
        Scores {
            combined,
            blocking,
            field,
            request,
        }
    }
}

/// One location's divisor and what it rests on.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LocationScale {
    location: Name,
    /// Held-out normal rows seen here.
    rows: u64,
    /// Their 99.5% quantile, drawn towards the pooled one where rows are few.
    scale: f32,
}

/// Serialises a location by its stable name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "&'static str")]
struct Name(Location);

impl From<Name> for &'static str {
    fn from(name: Name) -> Self {
        name.0.name()
    }
}

impl TryFrom<String> for Name {
    type Error = CalibrationError;

    fn try_from(name: String) -> Result<Self, CalibrationError> {
        Location::from_name(&name)
            .map(Self)
            .ok_or(CalibrationError::Damaged("it names an unknown location"))
    }
}

/// The divisor of each location's row errors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Vec<LocationScale>", into = "Vec<LocationScale>")]
pub struct LocationScales {
    scales: [f32; Location::COUNT],
    rows: [u64; Location::COUNT],
}

impl LocationScales {
    /// Fits the 99.5% quantile of each location from held-out normal rows: location, error and weight of each.
    ///
    /// A quantile from few rows is drawn towards the quantile of all rows, in logarithms and in proportion to
    /// `rows / (rows + 1000)`.
    ///
    /// # Errors
    /// When no row is usable.
    pub fn fit(
        rows: impl IntoIterator<Item = (Location, f32, f64)>,
    ) -> Result<Self, CalibrationError> {
        let mut errors: [Vec<(f32, f64)>; Location::COUNT] = Default::default();
        for (location, error, weight) in rows {
            if let Some(errors) = errors.get_mut(location.index())
                && error.is_finite()
                && weight > 0.0
                && weight.is_finite()
            {
                errors.push((error.max(0.0), weight));
            }
        }
        let mut all: Vec<(f32, f64)> = errors.iter().flatten().copied().collect();
        let pooled = tail::quantile(&mut all, SCALE_QUANTILE)
            .ok_or(CalibrationError::TooFew {
                found: 0,
                needed: 1,
            })?
            .max(SMALLEST_SCALE);
        let mut scales = [pooled; Location::COUNT];
        let mut counts = [0; Location::COUNT];
        for ((scale, count), errors) in scales.iter_mut().zip(&mut counts).zip(&mut errors) {
            *count = errors.len() as u64;
            if let Some(own) = tail::quantile(errors, SCALE_QUANTILE) {
                *scale = shrink(own.max(SMALLEST_SCALE), pooled, errors.len());
            }
        }
        Ok(Self {
            scales,
            rows: counts,
        })
    }

    /// The divisor of errors at `location`.
    #[must_use]
    pub fn scale(&self, location: Location) -> f32 {
        self.scales.get(location.index()).copied().unwrap_or(1.0)
    }

    /// How many rows the divisor of `location` rests on.
    #[must_use]
    pub fn rows(&self, location: Location) -> u64 {
        self.rows.get(location.index()).copied().unwrap_or(0)
    }

    /// A row's error in units of what is high at its location.
    #[must_use]
    pub fn scaled(&self, location: Location, error: f32) -> f32 {
        error / self.scale(location)
    }
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "a mean of two logarithms"
)]
fn shrink(own: f32, pooled: f32, rows: usize) -> f32 {
    let weight = rows as f64 / (rows as f64 + SHRINKAGE_ROWS);
    (weight * f64::from(own).ln() + (1.0 - weight) * f64::from(pooled).ln()).exp() as f32
}

impl From<LocationScales> for Vec<LocationScale> {
    fn from(scales: LocationScales) -> Self {
        Location::ALL
            .into_iter()
            .map(|location| LocationScale {
                location: Name(location),
                rows: scales.rows(location),
                scale: scales.scale(location),
            })
            .collect()
    }
}

impl TryFrom<Vec<LocationScale>> for LocationScales {
    type Error = CalibrationError;

    fn try_from(entries: Vec<LocationScale>) -> Result<Self, CalibrationError> {
        let mut scales = [0.0; Location::COUNT];
        let mut rows = [0; Location::COUNT];
        for entry in entries {
            let index = entry.location.0.index();
            if !(entry.scale.is_finite() && entry.scale >= SMALLEST_SCALE) {
                return Err(CalibrationError::Damaged(
                    "a location's scale is not a positive number",
                ));
            }
            if let (Some(scale), Some(count)) = (scales.get_mut(index), rows.get_mut(index)) {
                (*scale, *count) = (entry.scale, entry.rows);
            }
        }
        if scales.contains(&0.0) {
            return Err(CalibrationError::Damaged("a location has no scale"));
        }
        Ok(Self { scales, rows })
    }
}

/// The score at which a tail of `samples` values stops being supported by what was seen.
#[must_use]
pub fn supported_score(samples: u64) -> Score {
    Score::from_probability(smallest_budget(samples))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use proptest::prelude::*;

    use super::*;

    fn ramp(
        location: Location,
        rows: usize,
        top: f32,
    ) -> impl Iterator<Item = (Location, f32, f64)> {
        (0..rows).map(move |row| (location, top * (row + 1) as f32 / rows as f32, 1.0))
    }

    #[test]
    fn a_location_with_many_rows_is_judged_by_its_own() {
        let rows = ramp(Location::Cookie, 100_000, 100.0).chain(ramp(Location::Path, 100_000, 1.0));
        let scales = LocationScales::fit(rows.chain(ramp(Location::Json, 3, 0.001))).unwrap();
        assert!(
            (scales.scale(Location::Cookie) - 99.5).abs() < 0.5,
            "{}",
            scales.scale(Location::Cookie)
        );
        assert!(
            (scales.scale(Location::Path) - 1.0).abs() < 0.1,
            "{}",
            scales.scale(Location::Path)
        );
        // Three quiet rows must not make the fourth an alarm; a location never seen takes the pooled value.
        assert!(scales.scale(Location::Json) > 50.0);
        assert!((scales.scale(Location::Xml) - 99.0).abs() < 0.5);
        assert_eq!(scales.rows(Location::Json), 3);
        assert_eq!(scales.rows(Location::Xml), 0);
    }

    #[test]
    fn weights_count_as_repetition() {
        let heavy = (0..1000).map(|row| {
            (
                Location::Path,
                row as f32,
                if row < 999 { 1000.0 } else { 1.0 },
            )
        });
        let scales =
            LocationScales::fit(heavy.chain(ramp(Location::Path, 1_000_000, 1.0))).unwrap();
        assert!(scales.scale(Location::Path) < 999.0);
    }

    #[test]
    fn scales_survive_json_and_damage_is_refused() {
        let scales = LocationScales::fit(ramp(Location::Path, 5000, 2.0)).unwrap();
        let json = serde_json::to_string(&scales).unwrap();
        assert_eq!(
            serde_json::from_str::<LocationScales>(&json).unwrap(),
            scales
        );
        let first = scales.scale(Location::Path).to_string();
        for (from, to) in [
            (first.as_str(), "-1.0"),
            (first.as_str(), "0"),
            ("\"path\"", "\"elsewhere\""),
        ] {
            assert!(
                serde_json::from_str::<LocationScales>(&json.replacen(from, to, 1)).is_err(),
                "{from} {to}"
            );
        }
        assert!(serde_json::from_str::<LocationScales>("[]").is_err());
        assert!(LocationScales::fit([(Location::Path, f32::NAN, 1.0)]).is_err());
    }

    fn calibration() -> Calibration {
        let values: Vec<f32> = (1..=2000).map(|value| value as f32 / 1000.0).collect();
        Calibration {
            locations: LocationScales::fit(ramp(Location::Path, 5000, 2.0)).unwrap(),
            field: Tail::fit(&values).unwrap(),
            request: Some(Tail::fit(&values).unwrap()),
            combined: Some(
                Tail::fit(&values.iter().map(|value| value * 2.0).collect::<Vec<_>>()).unwrap(),
            ),
        }
    }

    #[test]
    fn a_detector_without_input_has_no_say() {
        let calibration = calibration();
        let alone = calibration.scores(3.0, None, Power::Block);
        assert_eq!(alone.combined, alone.field);
        assert_eq!(alone.request, None);
        let quiet = calibration.scores(0.0, Some(5.0), Power::Flag);
        assert!(quiet.combined > Score::new(2.0) && quiet.blocking < Score::new(0.1));
        assert_eq!(
            calibration.scores(0.0, Some(5.0), Power::Block).blocking,
            quiet.combined
        );
    }

    proptest! {
        #[test]
        fn scores_are_finite_and_monotone_in_both_errors(
            field in any::<f32>(), request in any::<f32>(), more in 0f32..1e6,
        ) {
            let calibration = calibration();
            let low = calibration.scores(field, Some(request), Power::Block);
            prop_assert!(low.combined.value().is_finite());
            if field.is_finite() && request.is_finite() {
                let high = calibration.scores(field + more, Some(request + more), Power::Block);
                prop_assert!(high.combined >= low.combined);
                prop_assert!(high.field >= low.field);
            }
        }
    }
}
