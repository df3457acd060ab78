//! The upper tail of a distribution: empirical where there is data, generalised Pareto beyond.
//!
//! Not here: what the values mean.

use serde::{Deserialize, Serialize};

use super::CalibrationError;
use crate::budget::Score;

/// Fewer values than this say nothing about a tail.
const FEWEST_SAMPLES: usize = 20;
/// Excesses over the value that this share of the sample reaches determine the tail's shape.
const EXCESS_SHARE: f64 = 0.05;
/// The sample itself is believed as long as this many of its values lie above.
const FEWEST_SURVIVORS: f64 = 30.0;
/// Neighbouring knots differ by at least this much in the logarithm of the probability: 2%, about 400 knots a million.
const KNOT_STEP: f64 = 0.02;
/// More knots than any fit makes.
const MOST_KNOTS: usize = 4096;
/// Shapes above this have next to no mean; below 0 the tail would end, and everything beyond be alike.
const SHAPES: std::ops::RangeInclusive<f64> = 0.0..=0.9;

/// The share of a population that reaches a value, as a function of the value.
///
/// Between the knots, which are order statistics of the sample, the logarithm of the share is interpolated; beyond the
/// last the excess follows a generalised Pareto distribution (peaks over threshold: Pickands 1975; Coles, "An
/// Introduction to Statistical Modeling of Extreme Values", 2001, chapter 4). The function never increases, and its
/// [score](Self::score) is finite for every input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Raw", into = "Raw")]
pub struct Tail {
    samples: u64,
    knots: Vec<Knot>,
    shape: f64,
    scale: f64,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Knot {
    value: f64,
    log_share: f64,
}

impl Tail {
    /// Fits equally weighted values. Values that are not finite are left out.
    ///
    /// # Errors
    /// When fewer than 20 values are usable.
    pub fn fit(values: &[f32]) -> Result<Self, CalibrationError> {
        Self::fit_pairs(values.iter().map(|&value| (value, 1.0)).collect())
    }

    /// Fits values with weights, such as how often each was seen. Values that are not finite and weights that are not
    /// positive are left out.
    ///
    /// # Errors
    /// When fewer than 20 values are usable.
    pub fn fit_weighted(values: &[f32], weights: &[f64]) -> Result<Self, CalibrationError> {
        Self::fit_pairs(
            values
                .iter()
                .copied()
                .zip(weights.iter().copied())
                .collect(),
        )
    }

    fn fit_pairs(mut sample: Vec<(f32, f64)>) -> Result<Self, CalibrationError> {
        sample.retain(|(value, weight)| value.is_finite() && weight.is_finite() && *weight > 0.0);
        if sample.len() < FEWEST_SAMPLES {
            return Err(CalibrationError::TooFew {
                found: sample.len(),
                needed: FEWEST_SAMPLES,
            });
        }
        sample.sort_unstable_by(|(a, _), (b, _)| a.total_cmp(b));
        let survival = survival(&sample);
        let size = effective_size(&sample);
        let last_share = EXCESS_SHARE.min(FEWEST_SURVIVORS / size);
        let (shape, excess_scale, threshold) =
            fit_excesses(&sample, first_at_most(&survival, EXCESS_SHARE).0);
        let anchor = first_at_most(&survival, last_share);
        // The excess over a higher threshold is generalised Pareto with the same shape (Coles, section 4.2).
        let scale = excess_scale + shape * (anchor.0 - threshold).max(0.0);
        Ok(Self {
            samples: sample.len() as u64,
            knots: knots(&survival, anchor),
            shape,
            scale,
        })
    }

    /// How many values the fit rests on.
    #[must_use]
    pub const fn samples(&self) -> u64 {
        self.samples
    }

    /// `-log10` of the share of the population that reaches `value`; never decreases as `value` grows. `NaN` scores as
    /// the largest value.
    #[must_use]
    pub fn score(&self, value: f32) -> Score {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a score needs no more than single precision"
        )]
        let score = (-self.log_share(f64::from(value)) / std::f64::consts::LN_10) as f32;
        Score::new(score)
    }

    /// The share of the population that reaches `value`.
    #[must_use]
    pub fn probability(&self, value: f32) -> f64 {
        self.log_share(f64::from(value)).exp()
    }

    fn log_share(&self, value: f64) -> f64 {
        let above = self.knots.partition_point(|knot| knot.value < value);
        let below = above.checked_sub(1).and_then(|index| self.knots.get(index));
        let log_share = match (below, self.knots.get(above)) {
            _ if value.is_nan() => f64::NEG_INFINITY,
            (None, first) => {
                return -self.resolution() * first.map_or(0.0, |first| below_first(value, first));
            }
            (Some(last), None) => last.log_share + self.log_excess_share(value - last.value),
            (Some(low), Some(high)) => {
                let part = (value - low.value) / (high.value - low.value);
                low.log_share + part * (high.log_share - low.log_share)
            }
        };
        log_share.min(-self.resolution())
    }

    /// Half a value of the sample: what separates "below everything seen" from "the least of what was seen", so that
    /// values below the sample keep their order.
    fn resolution(&self) -> f64 {
        0.5 / self.samples.max(1) as f64
    }

    fn log_excess_share(&self, excess: f64) -> f64 {
        let excess = excess / self.scale;
        if self.shape < 1e-6 {
            -excess
        } else {
            -(self.shape * excess).ln_1p() / self.shape
        }
    }
}

/// How far a value has come from zero to the first knot; errors are not negative, so a first knot that is has nothing
/// below it to tell apart.
fn below_first(value: f64, first: &Knot) -> f64 {
    if first.value > 0.0 {
        (value / first.value).clamp(0.0, 1.0)
    } else {
        1.0
    }
}

/// The distinct values of a sorted sample, each with the share of the sample that reaches it.
fn survival(sorted: &[(f32, f64)]) -> Vec<(f64, f64)> {
    let total: f64 = sorted.iter().map(|(_, weight)| weight).sum();
    let mut shares: Vec<(f64, f64)> = Vec::new();
    let mut reached = 0.0;
    for &(value, weight) in sorted.iter().rev() {
        reached += weight;
        let value = f64::from(value);
        match shares.last_mut() {
            Some((last, share)) if *last == value => *share = reached / total,
            _ => shares.push((value, reached / total)),
        }
    }
    shares.reverse();
    shares
}

/// Kish's effective sample size: how many equally weighted values say as much.
fn effective_size(sample: &[(f32, f64)]) -> f64 {
    let (sum, squares) = sample
        .iter()
        .fold((0.0, 0.0), |(sum, squares), (_, weight)| {
            (sum + weight, squares + weight * weight)
        });
    sum * sum / squares
}

/// The smallest value that at most `share` of the sample reaches, or the largest of all.
fn first_at_most(survival: &[(f64, f64)], share: f64) -> (f64, f64) {
    let index = survival.partition_point(|(_, reached)| *reached > share);
    survival
        .get(index)
        .or(survival.last())
        .copied()
        .unwrap_or((0.0, 1.0))
}

/// Shape and scale of the excesses over `threshold` by probability-weighted moments (Hosking and Wallis, "Parameter and
/// Quantile Estimation for the Generalized Pareto Distribution", Technometrics 29, 1987, equation 8, with its plotting
/// position and the sign of the shape reversed), and the threshold.
fn fit_excesses(sorted: &[(f32, f64)], threshold: f64) -> (f64, f64, f64) {
    let from = sorted.partition_point(|(value, _)| f64::from(*value) < threshold);
    let excesses = sorted.get(from..).unwrap_or_default();
    let total: f64 = excesses.iter().map(|(_, weight)| weight).sum();
    let (mut mean, mut moment, mut passed) = (0.0, 0.0, 0.0);
    for &(value, weight) in excesses {
        let excess = f64::from(value) - threshold;
        let above = 1.0 - (passed + 0.65 * weight) / total;
        mean += weight * excess / total;
        moment += weight * excess * above / total;
        passed += weight;
    }
    // A tail without any spread: one step in twenty of the threshold is as good as any other guess.
    let smallest = (threshold.abs() * 0.05).max(1e-6);
    if mean <= smallest * 1e-3 {
        return (0.0, smallest, threshold);
    }
    let shape = (2.0 - mean / (mean - 2.0 * moment)).clamp(*SHAPES.start(), *SHAPES.end());
    let shape = if shape.is_finite() { shape } else { 0.0 };
    // For a given shape the mean excess is scale / (1 - shape), which keeps the mean where the shape was clamped.
    (shape, mean * (1.0 - shape), threshold)
}

fn knots(survival: &[(f64, f64)], anchor: (f64, f64)) -> Vec<Knot> {
    let mut knots: Vec<Knot> = Vec::new();
    for &(value, share) in survival.iter().take_while(|(value, _)| *value <= anchor.0) {
        let log_share = share.ln().min(0.0);
        let far = knots
            .last()
            .is_none_or(|last| last.log_share - log_share >= KNOT_STEP);
        if far || value == anchor.0 {
            knots.push(Knot { value, log_share });
        }
    }
    knots
}

/// The form in the manifest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    /// Values the fit rests on.
    samples: u64,
    /// Shape of the tail beyond the last knot.
    shape: f64,
    /// Scale of the tail beyond the last knot.
    scale: f64,
    /// Value and share of the population that reaches it.
    knots: Vec<(f64, f64)>,
}

impl From<Tail> for Raw {
    fn from(tail: Tail) -> Self {
        Self {
            samples: tail.samples,
            shape: tail.shape,
            scale: tail.scale,
            knots: tail
                .knots
                .iter()
                .map(|knot| (knot.value, knot.log_share.exp()))
                .collect(),
        }
    }
}

impl TryFrom<Raw> for Tail {
    type Error = CalibrationError;

    fn try_from(raw: Raw) -> Result<Self, CalibrationError> {
        use CalibrationError::Damaged;
        if raw.knots.is_empty() || raw.knots.len() > MOST_KNOTS {
            return Err(Damaged("a tail has no knots or too many"));
        }
        let scale_fits = raw.scale.is_finite() && raw.scale > 0.0;
        if !(SHAPES.contains(&raw.shape) && scale_fits) {
            return Err(Damaged("the shape or scale of a tail is out of range"));
        }
        let in_range = raw
            .knots
            .iter()
            .all(|(value, share)| value.is_finite() && *share > 0.0 && *share <= 1.0);
        let ordered = raw
            .knots
            .is_sorted_by(|(a, more), (b, less)| a < b && more > less);
        if !in_range || !ordered {
            return Err(Damaged("the knots of a tail are not in order"));
        }
        let knots = raw
            .knots
            .iter()
            .map(|&(value, share)| Knot {
                value,
                log_share: share.ln(),
            })
            .collect();
        Ok(Self {
            samples: raw.samples,
            knots,
            shape: raw.shape,
            scale: raw.scale,
        })
    }
}

#[cfg(test)]
mod tests;
