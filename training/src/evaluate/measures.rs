//! How well scores of attacks stand above scores of normal requests. Pure functions on lists of numbers.
//!
//! Must not be here: resampling (`bootstrap`), and what a request or an attack is.
//!
//! Definitions. A request counts as found from a threshold on; thresholds are the scores that occur, and requests of
//! equal score stand or fall together: no rate is interpolated. The true-positive rate at a false-positive rate is the
//! one of the lowest threshold that lets through no more false positives than the rate allows. In the area under the
//! ROC curve a tie between an attack and a normal request counts half.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of samples are far below 2^52"
)]
#![expect(
    clippy::indexing_slicing,
    reason = "a numeric kernel: every index is a step of the ladder it belongs to"
)]

/// The false-positive rates at which the true-positive rate is reported.
pub const FALSE_POSITIVE_RATES: [f64; 5] = [0.05, 0.01, 0.005, 0.001, 0.0005];

/// Position of 1% in [`FALSE_POSITIVE_RATES`].
pub const ONE_PERCENT: usize = 1;

/// Position of 0.5% in [`FALSE_POSITIVE_RATES`].
pub const HALF_PERCENT: usize = 2;

/// The numbers that sum up a comparison, in the order of [`Figures::values`].
pub const HEADLINES: [&str; 9] = [
    "ROC-AUC",
    "PR-AUC",
    "TPR at 5% FPR",
    "TPR at 1% FPR",
    "TPR at 0.5% FPR",
    "TPR at 0.1% FPR",
    "TPR at 0.05% FPR",
    "best balanced accuracy",
    "best F1",
];

/// Products of a rate and a count may come out a hair below the whole number that they are.
const ROUNDING: f64 = 1e-9;

/// Scores of normal requests and attacks, sorted once: any weighting of the samples is then measured in one pass.
#[derive(Debug, Clone)]
pub struct Ladder {
    /// The scores that occur, from the highest down.
    thresholds: Vec<f32>,
    /// The step of each normal request, in the order given.
    normal: Vec<u32>,
    /// The step of each attack, in the order given.
    attacks: Vec<u32>,
}

/// Weighted counts of the samples on each step.
#[derive(Debug, Clone, Default)]
pub struct Counts {
    /// Normal requests.
    pub normal: Vec<u64>,
    /// Attacks.
    pub attacks: Vec<u64>,
}

/// The best value over all thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Peak {
    /// The value.
    pub value: f64,
    /// The step from which on a request counts as an attack.
    pub step: usize,
    /// True-positive rate there.
    pub tpr: f64,
    /// True-negative rate there.
    pub tnr: f64,
}

/// The figures of one weighting.
#[derive(Debug, Clone, PartialEq)]
pub struct Figures {
    /// The numbers named by [`HEADLINES`].
    pub values: [f64; HEADLINES.len()],
    /// The last step within each of [`FALSE_POSITIVE_RATES`]; none where the highest step is over it already.
    pub cuts: [Option<usize>; FALSE_POSITIVE_RATES.len()],
    /// Where balanced accuracy is best.
    pub balanced: Peak,
    /// Where F1 is best.
    pub f1: Peak,
}

impl Ladder {
    /// Sorts; none without at least one normal request and one attack.
    #[must_use]
    pub fn new(normal: &[f32], attacks: &[f32]) -> Option<Self> {
        if normal.is_empty() || attacks.is_empty() {
            return None;
        }
        let mut thresholds: Vec<f32> = normal.iter().chain(attacks).copied().collect();
        thresholds.sort_by(|a, b| b.total_cmp(a));
        thresholds.dedup();
        let step = |score: &f32| {
            let above = thresholds.partition_point(|threshold| threshold > score);
            u32::try_from(above).unwrap_or(u32::MAX)
        };
        Some(Self {
            normal: normal.iter().map(step).collect(),
            attacks: attacks.iter().map(step).collect(),
            thresholds,
        })
    }

    /// Every sample once.
    #[must_use]
    pub fn plain(&self) -> Counts {
        self.weighted(&vec![1; self.normal.len()], &vec![1; self.attacks.len()])
    }

    /// Each sample as often as its weight says.
    #[must_use]
    pub fn weighted(&self, normal: &[u32], attacks: &[u32]) -> Counts {
        let count = |steps: &[u32], weights: &[u32]| {
            let mut out = vec![0; self.thresholds.len()];
            for (step, weight) in steps.iter().zip(weights) {
                out[*step as usize] += u64::from(*weight);
            }
            out
        };
        Counts {
            normal: count(&self.normal, normal),
            attacks: count(&self.attacks, attacks),
        }
    }

    /// The score of a step.
    #[must_use]
    pub fn threshold(&self, step: usize) -> f32 {
        self.thresholds.get(step).copied().unwrap_or(f32::MAX)
    }

    /// The steps of the attacks, in the order given.
    #[must_use]
    pub fn attack_steps(&self) -> &[u32] {
        &self.attacks
    }

    /// Normal requests and attacks.
    #[must_use]
    pub fn sizes(&self) -> [usize; 2] {
        [self.normal.len(), self.attacks.len()]
    }
}

impl Counts {
    /// Weight of all normal requests and of all attacks.
    #[must_use]
    pub fn totals(&self) -> [u64; 2] {
        [self.normal.iter().sum(), self.attacks.iter().sum()]
    }

    /// All figures in one pass from the highest score down.
    #[must_use]
    pub fn figures(&self) -> Figures {
        let [negatives, positives] = self.totals();
        let (mut found, mut alarms) = (0_u64, 0_u64);
        let (mut roc, mut pr) = (0.0, 0.0);
        let (mut balanced, mut f1) = (Peak::default(), Peak::default());
        let allowed = FALSE_POSITIVE_RATES.map(|rate| rate * negatives as f64 + ROUNDING);
        let mut cuts = [None; FALSE_POSITIVE_RATES.len()];
        let mut rates = [0.0; FALSE_POSITIVE_RATES.len()];
        for (step, (normal, attacks)) in self.normal.iter().zip(&self.attacks).enumerate() {
            let before = found;
            found += attacks;
            alarms += normal;
            // Normal requests of this step are above no attack of it: half of the ties count.
            roc += *normal as f64 * (before as f64 + *attacks as f64 / 2.0);
            pr += *attacks as f64 * share(found, found + alarms);
            let (tpr, fpr) = (share(found, positives), share(alarms, negatives));
            let here = |value| Peak {
                value,
                step,
                tpr,
                tnr: 1.0 - fpr,
            };
            let accuracy = f64::midpoint(tpr, 1.0 - fpr);
            if accuracy > balanced.value {
                balanced = here(accuracy);
            }
            let harmonic = share(2 * found, found + alarms + positives);
            if harmonic > f1.value {
                f1 = here(harmonic);
            }
            for ((cut, rate), allowed) in cuts.iter_mut().zip(&mut rates).zip(allowed) {
                if alarms as f64 <= allowed {
                    (*cut, *rate) = (Some(step), tpr);
                }
            }
        }
        let pairs = (negatives as f64 * positives as f64).max(1.0);
        let [five, one, half, tenth, twentieth] = rates;
        Figures {
            values: [
                roc / pairs,
                pr / (positives as f64).max(1.0),
                five,
                one,
                half,
                tenth,
                twentieth,
                balanced.value,
                f1.value,
            ],
            cuts,
            balanced,
            f1,
        }
    }

    /// For each step the probability that an attack standing there scores above a normal request; ties count half.
    #[must_use]
    pub fn above_normal(&self) -> Vec<f64> {
        let [negatives, _] = self.totals();
        let mut below = negatives;
        let shares = self.normal.iter().map(|normal| {
            below -= normal;
            (below as f64 + *normal as f64 / 2.0) / (negatives as f64).max(1.0)
        });
        shares.collect()
    }
}

/// A part of a whole; 0 of nothing.
pub fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// Whether a sample is large enough to hold one false positive at a rate.
#[must_use]
pub fn supports(normal: usize, rate: f64) -> bool {
    rate * normal as f64 + ROUNDING >= 1.0
}

/// The lowest threshold that at most `rate` of `normal` reach, and the share of `attacks` that reaches it.
#[must_use]
pub fn rate_at(normal: &[f32], attacks: &[f32], rate: f64) -> Option<(f32, f64)> {
    let ladder = Ladder::new(normal, attacks)?;
    let counts = ladder.plain();
    let allowed = rate * normal.len() as f64 + ROUNDING;
    let (mut alarms, mut found, mut best) = (0, 0, (f32::MAX, 0.0));
    for (step, (normal, hits)) in counts.normal.iter().zip(&counts.attacks).enumerate() {
        alarms += normal;
        found += hits;
        if alarms as f64 > allowed {
            break;
        }
        best = (
            ladder.threshold(step),
            share(found, ladder.attacks.len() as u64),
        );
    }
    Some(best)
}

/// The quantiles that a distribution is summed up by.
pub const QUANTILES: [f64; 9] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0];

/// The values at [`QUANTILES`]; empty for no scores.
#[must_use]
pub fn quantiles(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    QUANTILES
        .iter()
        .filter_map(|q| sorted.get(rank(sorted.len(), *q)).copied())
        .collect()
}

/// Position of a quantile in a sorted list, nearest rank: the smallest value that at least this share does not exceed.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank within the list"
)]
pub fn rank(length: usize, quantile: f64) -> usize {
    let rank = (length as f64 * quantile - ROUNDING).ceil().max(1.0) as usize;
    rank.min(length).saturating_sub(1)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn figures(normal: &[f32], attacks: &[f32]) -> Figures {
        Ladder::new(normal, attacks).unwrap().plain().figures()
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn perfect_separation_is_perfect_everywhere() {
        let normal: Vec<f32> = (0..1000).map(|n| n as f32 / 1000.0).collect();
        let figures = figures(&normal, &[2.0, 3.0]);
        assert!(figures.values.iter().all(|value| near(*value, 1.0)));
        assert_eq!((figures.f1.step, figures.balanced.step), (1, 1));
        assert!(supports(1000, 0.001) && !supports(1000, 0.0005));
    }

    #[test]
    fn ties_count_half() {
        let roc = |normal: &[f32], attacks: &[f32]| figures(normal, attacks).values[0];
        assert!(near(roc(&[1.0, 1.0], &[1.0, 1.0]), 0.5));
        assert!(near(roc(&[1.0, 3.0], &[2.0]), 0.5));
        assert!(near(roc(&[1.0, 2.0], &[2.0, 3.0]), 0.875));
        assert!(Ladder::new(&[], &[1.0]).is_none());
    }

    #[test]
    fn known_values_of_a_small_sample() {
        // From the top: attack 3, attack 2, normal 1.5, attack 1, normal 0.5. Precision at each attack: 1, 1, 3/4.
        let figures = figures(&[0.5, 1.5], &[1.0, 2.0, 3.0]);
        assert!(near(figures.values[0], 5.0 / 6.0));
        assert!(near(figures.values[1], (1.0 + 1.0 + 0.75) / 3.0));
        assert!(near(figures.balanced.value, (2.0 / 3.0 + 1.0) / 2.0));
        assert!(near(figures.f1.value, 6.0 / 7.0));
    }

    #[test]
    fn tied_normal_requests_pass_a_budget_together_or_not_at_all() {
        // 1% of 100 is one false positive; the two highest are tied, so none may pass, and the attack tied with them is lost.
        let mut normal = vec![0.0; 98];
        normal.extend([5.0, 5.0]);
        let figures = figures(&normal, &[5.0, 6.0, 4.0]);
        assert!(near(figures.values[3], 1.0 / 3.0));
        // 5% of 100 are five: both pass, and so does what stands below them.
        assert!(near(figures.values[2], 1.0));
    }

    #[test]
    fn the_rate_at_a_budget_never_exceeds_it() {
        let normal: Vec<f32> = (0..200).map(|n| n as f32).collect();
        let attacks = [198.5, 199.5, 10.0, 500.0];
        let figures = figures(&normal, &attacks);
        // 1% of 200 is two false positives: 198 and 199 may pass, so attacks above 197 count.
        assert!(near(figures.values[3], 0.75) && near(figures.values[6], 0.5));
        assert_eq!(rate_at(&normal, &attacks, 0.01), Some((198.0, 0.75)));
        assert_eq!(rate_at(&normal, &attacks, 0.0), Some((199.5, 0.5)));
    }

    #[test]
    fn a_weight_is_that_many_copies() {
        let (normal, attacks) = ([0.5, 1.5, 1.0], [1.0, 2.0]);
        let ladder = Ladder::new(&normal, &attacks).unwrap();
        let weighted = ladder.weighted(&[2, 1, 0], &[3, 1]).figures();
        let copied = figures(&[0.5, 0.5, 1.5], &[1.0, 1.0, 1.0, 2.0]);
        assert_eq!(weighted.values, copied.values);
    }

    #[test]
    fn standing_above_normal_averages_to_the_area() {
        let ladder = Ladder::new(&[1.0, 2.0, 2.0, 7.0], &[2.0, 3.0, 0.0]).unwrap();
        let counts = ladder.plain();
        let above = counts.above_normal();
        let steps = ladder.attack_steps().iter();
        let mean = steps.map(|step| above[*step as usize]).sum::<f64>() / 3.0;
        assert!(near(mean, counts.figures().values[0]));
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let scores: Vec<f32> = (1..=100).map(|n| n as f32).collect();
        assert_eq!(
            quantiles(&scores),
            [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0, 100.0]
        );
        assert!(quantiles(&[]).is_empty());
        assert_eq!(quantiles(&[4.0]), [4.0; 9]);
        // 7% of 100 is 7.000000000000001 in floating point: still the seventh.
        assert_eq!((rank(100, 0.07), rank(3, 0.5), rank(2, 0.5)), (6, 1, 0));
    }
}
