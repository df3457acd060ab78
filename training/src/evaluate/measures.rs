//! How well scores of attacks stand above scores of normal requests. Pure functions on lists of numbers.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of samples are far below 2^52"
)]

use serde::Serialize;

/// The false-positive rates at which the true-positive rate is reported.
pub const FALSE_POSITIVE_RATES: [f64; 5] = [0.05, 0.01, 0.005, 0.001, 0.0005];

/// Points of the drawn ROC curve.
const CURVE_POINTS: usize = 400;

/// The figures of one comparison. Ties between an attack and a normal request count half.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Measures {
    /// Normal requests.
    pub normal: usize,
    /// Attacks.
    pub attacks: usize,
    /// Area under the ROC curve: the probability that an attack scores above a normal request.
    pub roc_auc: f64,
    /// Average precision: the area under the precision-recall curve.
    pub pr_auc: f64,
    /// Share of attacks found at each of [`FALSE_POSITIVE_RATES`]; none where the sample is too small to hold one false positive.
    pub tpr_at_fpr: Vec<RateAt>,
    /// The best mean of true-positive and true-negative rate, and where.
    pub best_balanced_accuracy: Best,
    /// The best F1, and where.
    pub best_f1: Best,
}

/// A true-positive rate at a false-positive rate.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct RateAt {
    /// The false-positive rate allowed.
    pub fpr: f64,
    /// The share of attacks found.
    pub tpr: f64,
    /// Attacks score above this.
    pub threshold: f32,
    /// Whether the normal sample is large enough to hold at least one such false positive.
    pub supported: bool,
}

/// The best value over all thresholds.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Best {
    /// The value.
    pub value: f64,
    /// A request counts as an attack from this score on.
    pub threshold: f32,
    /// True-positive rate there.
    pub tpr: f64,
    /// True-negative rate there.
    pub tnr: f64,
}

/// Counts at one threshold, from the highest score down.
#[derive(Debug, Clone, Copy)]
struct Step {
    threshold: f32,
    true_positives: usize,
    false_positives: usize,
}

/// All thresholds that differ, from the highest score down.
fn steps(normal: &[f32], attacks: &[f32]) -> Vec<Step> {
    let mut all: Vec<(f32, bool)> = normal
        .iter()
        .map(|score| (*score, false))
        .chain(attacks.iter().map(|score| (*score, true)))
        .collect();
    all.sort_by(|a, b| b.0.total_cmp(&a.0));
    let mut out = Vec::new();
    let (mut true_positives, mut false_positives) = (0, 0);
    for tied in all.chunk_by(|a, b| a.0 == b.0) {
        let hits = tied.iter().filter(|(_, attack)| *attack).count();
        true_positives += hits;
        false_positives += tied.len() - hits;
        out.extend(tied.first().map(|(threshold, _)| Step {
            threshold: *threshold,
            true_positives,
            false_positives,
        }));
    }
    out
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 {
        0.0
    } else {
        part as f64 / whole as f64
    }
}

/// All figures; none without at least one normal request and one attack.
#[must_use]
pub fn measure(normal: &[f32], attacks: &[f32]) -> Option<Measures> {
    if normal.is_empty() || attacks.is_empty() {
        return None;
    }
    let steps = steps(normal, attacks);
    let (mut roc_auc, mut pr_auc) = (0.0, 0.0);
    let mut last = Step {
        threshold: f32::INFINITY,
        true_positives: 0,
        false_positives: 0,
    };
    let (mut balanced, mut f1) = (Best::default(), Best::default());
    for step in &steps {
        let (tpr, fpr) = (
            share(step.true_positives, attacks.len()),
            share(step.false_positives, normal.len()),
        );
        let before = share(last.true_positives, attacks.len());
        roc_auc += (fpr - share(last.false_positives, normal.len())) * f64::midpoint(tpr, before);
        pr_auc += (tpr - before)
            * share(
                step.true_positives,
                step.true_positives + step.false_positives,
            );
        let here = |value| Best {
            value,
            threshold: step.threshold,
            tpr,
            tnr: 1.0 - fpr,
        };
        let (accuracy, harmonic) = (
            f64::midpoint(tpr, 1.0 - fpr),
            share(
                2 * step.true_positives,
                step.true_positives + step.false_positives + attacks.len(),
            ),
        );
        if accuracy > balanced.value {
            balanced = here(accuracy);
        }
        if harmonic > f1.value {
            f1 = here(harmonic);
        }
        last = *step;
    }
    let tpr_at_fpr = FALSE_POSITIVE_RATES
        .iter()
        .map(|fpr| rate_at(&steps, *fpr, normal.len(), attacks.len()))
        .collect();
    Some(Measures {
        normal: normal.len(),
        attacks: attacks.len(),
        roc_auc,
        pr_auc,
        tpr_at_fpr,
        best_balanced_accuracy: balanced,
        best_f1: f1,
    })
}

fn rate_at(steps: &[Step], fpr: f64, normal: usize, attacks: usize) -> RateAt {
    let allowed = fpr * normal as f64;
    let within = steps
        .iter()
        .take_while(|step| step.false_positives as f64 <= allowed)
        .last();
    RateAt {
        fpr,
        tpr: within.map_or(0.0, |step| share(step.true_positives, attacks)),
        threshold: within.map_or(f32::MAX, |step| step.threshold),
        supported: allowed >= 1.0,
    }
}

/// Area under the ROC curve alone.
#[must_use]
pub fn roc_auc(normal: &[f32], attacks: &[f32]) -> Option<f64> {
    measure(normal, attacks).map(|measures| measures.roc_auc)
}

/// The ROC curve as (false-positive rate, true-positive rate), thinned out for drawing.
#[must_use]
pub fn curve(normal: &[f32], attacks: &[f32]) -> Vec<(f64, f64)> {
    let steps = steps(normal, attacks);
    let stride = steps.len().div_ceil(CURVE_POINTS).max(1);
    let mut out = vec![(0.0, 0.0)];
    // The left end is what a budget looks at: every step of the first percent is kept.
    let kept = steps.iter().enumerate().filter(|(index, step)| {
        index % stride == 0 || share(step.false_positives, normal.len()) < 0.01
    });
    out.extend(kept.map(|(_, step)| {
        (
            share(step.false_positives, normal.len()),
            share(step.true_positives, attacks.len()),
        )
    }));
    out.push((1.0, 1.0));
    out
}

/// The share of scores of at least `threshold`.
#[must_use]
pub fn share_from(scores: &[f32], threshold: f32) -> f64 {
    share(
        scores.iter().filter(|score| **score >= threshold).count(),
        scores.len(),
    )
}

/// The quantiles that a distribution is summed up by.
pub const QUANTILES: [f64; 9] = [0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.999, 1.0];

/// The values at [`QUANTILES`], nearest rank; empty for no scores.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rank within the list"
)]
pub fn quantiles(scores: &[f32]) -> Vec<f32> {
    let mut sorted = scores.to_vec();
    sorted.sort_by(f32::total_cmp);
    QUANTILES
        .iter()
        .filter_map(|q| {
            sorted
                .get(((sorted.len() as f64 * q).ceil() as usize).saturating_sub(1))
                .copied()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn perfect_separation_is_perfect_everywhere() {
        let normal: Vec<f32> = (0..1000).map(|n| n as f32 / 1000.0).collect();
        let measures = measure(&normal, &[2.0, 3.0]).unwrap();
        assert!((measures.roc_auc - 1.0).abs() < 1e-12 && (measures.pr_auc - 1.0).abs() < 1e-12);
        assert!(measures.tpr_at_fpr.iter().all(|rate| rate.tpr == 1.0));
        assert_eq!(
            (
                measures.best_balanced_accuracy.value,
                measures.best_f1.value
            ),
            (1.0, 1.0)
        );
        assert_eq!(measures.best_f1.threshold, 2.0);
        assert!(measures.tpr_at_fpr[3].supported && !measures.tpr_at_fpr[4].supported);
    }

    #[test]
    fn ties_count_half() {
        assert_eq!(roc_auc(&[1.0, 1.0], &[1.0, 1.0]), Some(0.5));
        assert_eq!(roc_auc(&[1.0, 3.0], &[2.0]), Some(0.5));
        assert_eq!(roc_auc(&[1.0, 2.0], &[2.0, 3.0]), Some(0.875));
        assert_eq!(roc_auc(&[], &[1.0]), None);
    }

    #[test]
    fn known_values_of_a_small_sample() {
        // Descending: a3 a2 n2(=1.5) a1 n1; precision at each attack: 1, 1, 3/4.
        let measures = measure(&[0.5, 1.5], &[1.0, 2.0, 3.0]).unwrap();
        assert!((measures.roc_auc - 5.0 / 6.0).abs() < 1e-12);
        assert!((measures.pr_auc - (1.0 + 1.0 + 0.75) / 3.0).abs() < 1e-12);
        assert!((measures.best_balanced_accuracy.value - (2.0 / 3.0 + 1.0) / 2.0).abs() < 1e-12);
        assert!((measures.best_f1.value - 6.0 / 7.0).abs() < 1e-12);
    }

    #[test]
    fn the_rate_at_a_budget_never_exceeds_it() {
        let normal: Vec<f32> = (0..200).map(|n| n as f32).collect();
        let attacks = [198.5, 199.5, 10.0, 500.0];
        let measures = measure(&normal, &attacks).unwrap();
        // 1% of 200 is two false positives: 198 and 199 may pass, so attacks above 197 count.
        assert_eq!(measures.tpr_at_fpr[1].tpr, 0.75);
        assert_eq!(measures.tpr_at_fpr[4].tpr, 0.5);
    }

    #[test]
    fn quantiles_are_nearest_ranks() {
        let scores: Vec<f32> = (1..=100).map(|n| n as f32).collect();
        assert_eq!(
            quantiles(&scores),
            [1.0, 5.0, 25.0, 50.0, 75.0, 95.0, 99.0, 100.0, 100.0]
        );
        assert!(quantiles(&[]).is_empty());
        assert_eq!(share_from(&scores, 91.0), 0.1);
    }

    #[test]
    fn the_curve_runs_from_corner_to_corner() {
        let curve = curve(&[1.0, 2.0], &[2.0, 3.0]);
        assert_eq!(
            (curve.first(), curve.last()),
            (Some(&(0.0, 0.0)), Some(&(1.0, 1.0)))
        );
        assert!(
            curve
                .windows(2)
                .all(|pair| pair[0].0 <= pair[1].0 && pair[0].1 <= pair[1].1)
        );
    }
}
