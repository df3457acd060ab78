//! Reconstruction errors to probabilities: what share of normal requests would score at least this much.
//!
//! What must not be here: models, budgets' meaning, and data beyond held-out normal errors. Fitting lives beside use, so
//! that trainer, evaluation and proxy cannot disagree.
//!
//! Three steps: a row's error is divided by its location's 99.5% quantile ([`LocationScales`]), because a cookie is
//! wilder than a path, and by another one where a site's profile spoke; the field detector's value for a request is the maximum over its rows; a [`Tail`] turns that
//! value into the share of normal requests that reach it. With several detectors the maximum of their scores goes
//! through a tail of its own, so that adding a detector does not add false positives.

use serde::{Deserialize, Serialize};

use crate::budget::{Score, Scores};

mod binomial;
mod locations;
mod tail;

pub use binomial::{smallest_budget, upper_bound};
pub use locations::{LocationScales, SCALE_QUANTILE};
pub use tail::Tail;

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
    /// How many normal requests every part of it rests on at least.
    #[must_use]
    pub fn samples(&self) -> u64 {
        let tails = [
            Some(&self.field),
            self.request.as_ref(),
            self.combined.as_ref(),
        ];
        tails
            .into_iter()
            .flatten()
            .map(Tail::samples)
            .min()
            .unwrap_or(0)
    }

    /// The smallest false-positive budget that it can promise with 95% confidence.
    #[must_use]
    pub fn smallest_budget(&self) -> f64 {
        smallest_budget(self.samples())
    }

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
    use weir_features::Location;

    use super::*;

    fn calibration() -> Calibration {
        let values: Vec<f32> = (1..=2000).map(|value| value as f32 / 1000.0).collect();
        Calibration {
            locations: LocationScales::fit([(Location::Path, false, 2.0)]).unwrap(),
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
