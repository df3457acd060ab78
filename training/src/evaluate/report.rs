//! What an evaluation found: every measure by detector, with and without duplicates, by class, source, location and host.
//!
//! Must not be here: how it is measured (`measures`, `build`) and how it is shown (`text`, `html`).

use serde::Serialize;
use weir_scoring::reason::Reason;

use super::bootstrap::{Estimate, Unit};
use super::measures::{FALSE_POSITIVE_RATES, HEADLINES};

/// One set of samples, measured.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Normal requests.
    pub normal: usize,
    /// Attacks.
    pub attacks: usize,
    /// Area under the ROC curve: the probability that an attack scores above a normal request.
    pub roc_auc: Estimate,
    /// Average precision at this sample's share of attacks.
    pub pr_auc: Estimate,
    /// Share of attacks found at each false-positive rate.
    pub tpr_at_fpr: Vec<RateAt>,
    /// The best mean of true-positive and true-negative rate.
    pub best_balanced_accuracy: Best,
    /// The best F1.
    pub best_f1: Best,
}

/// A true-positive rate at a false-positive rate.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct RateAt {
    /// The false-positive rate allowed.
    pub fpr: f64,
    /// The share of attacks found.
    pub tpr: Estimate,
    /// Requests count as attacks from this score on.
    pub threshold: f32,
    /// Whether the normal sample is large enough to hold at least one such false positive.
    pub supported: bool,
}

/// The best value over all thresholds.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Best {
    /// The value.
    pub value: Estimate,
    /// Requests count as attacks from this score on.
    pub threshold: f32,
    /// True-positive rate there.
    pub tpr: f64,
    /// True-negative rate there.
    pub tnr: f64,
}

/// One detector, or all together.
#[derive(Debug, Clone, Serialize)]
pub struct Detector {
    /// `combined`, `field` or `request`.
    pub name: &'static str,
    /// All samples.
    pub all: Option<Comparison>,
    /// Duplicates counted once.
    pub distinct: Option<Comparison>,
    /// Duplicates counted once, and normal requests that training saw left out; only with `--seen`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unseen: Option<Comparison>,
    /// Scores of normal requests at the report's quantiles.
    pub normal_quantiles: Vec<f32>,
    /// Scores of attacks at the report's quantiles.
    pub attack_quantiles: Vec<f32>,
}

/// How one group of attacks was found.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many attacks.
    pub attacks: usize,
    /// Against all normal requests.
    pub roc_auc: Estimate,
    /// Found at the 1% false-positive rate of the whole.
    pub tpr_at_1: Estimate,
    /// Found at the 0.5% false-positive rate of the whole.
    pub tpr_at_05: Estimate,
    /// Found at the threshold of the best balanced accuracy.
    pub tpr_at_best: Estimate,
    /// Every measure of this group against all normal requests.
    pub all: Option<Every>,
    /// The same, requests and attacks that are equal counted once.
    pub distinct: Option<Every>,
}

/// Every measure of one group of attacks, each at thresholds of its own; PR-AUC and F1 are at the group's share of the sample.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Every {
    /// Attacks counted.
    pub attacks: usize,
    /// Area under the ROC curve.
    pub roc_auc: f64,
    /// Average precision.
    pub pr_auc: f64,
    /// Share found at each of the report's false-positive rates.
    pub tpr_at_fpr: [f64; FALSE_POSITIVE_RATES.len()],
    /// The best mean of true-positive and true-negative rate.
    pub best_balanced_accuracy: f64,
    /// The best F1.
    pub best_f1: f64,
}

/// The normal side of one location.
#[derive(Debug, Clone, Serialize)]
pub struct LocationCount {
    /// The location.
    pub name: &'static str,
    /// Normal requests whose deciding field stands there.
    pub normal: usize,
    /// Of these, those above the 1% threshold.
    pub false_positives_at_1: usize,
    /// Above the threshold of the best balanced accuracy.
    pub false_positives_at_best: usize,
    /// Flagged or blocked at the bundle's budgets.
    pub flagged: usize,
    /// Blocked at the bundle's budgets.
    pub blocked: usize,
    /// Scores of these normal requests at the report's quantiles.
    pub normal_quantiles: Vec<f32>,
    /// Scores of attacks whose deciding field stands there.
    pub attack_quantiles: Vec<f32>,
}

/// Verdicts at the bundle's budgets.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Confusion {
    /// Normal requests passed, flagged, blocked.
    pub normal: [usize; 3],
    /// Attacks passed, flagged, blocked.
    pub attacks: [usize; 3],
    /// The same of distinct normal requests.
    pub distinct_normal: [usize; 3],
    /// The same of distinct attacks.
    pub distinct_attacks: [usize; 3],
}

/// One host against its own normal requests.
#[derive(Debug, Clone, Serialize)]
pub struct HostRow {
    /// The host.
    pub host: String,
    /// Its normal requests.
    pub normal: usize,
    /// Attacks on it.
    pub attacks: usize,
    /// The score that at most 1% of its normal requests reach.
    pub threshold_at_1: f32,
    /// Attacks found there.
    pub tpr_at_1: f64,
    /// Attacks found at the threshold of 0.5% of this host's normal requests.
    pub tpr_at_05: f64,
    /// Its normal requests flagged at the bundle's budget.
    pub flagged: usize,
}

/// All hosts, each against its own normal requests, and pooled.
#[derive(Debug, Clone, Serialize)]
pub struct Hosts {
    /// The hosts with normal requests and attacks, the worst first.
    pub rows: Vec<HostRow>,
    /// The median over hosts of the rate at 1%, resampling hosts.
    pub median_tpr_at_1: Estimate,
    /// The lowest.
    pub lowest_tpr_at_1: f64,
    /// Found at 0.5% false positives over all hosts.
    pub pooled_tpr_at_05: Estimate,
    /// Found at 0.1%.
    pub pooled_tpr_at_01: Estimate,
}

/// One part of the data.
#[derive(Debug, Clone, Serialize)]
pub struct ViewRow {
    /// Its name.
    pub name: String,
    /// Normal requests.
    pub normal: usize,
    /// Of these, the share above the whole sample's 1% threshold.
    pub fpr_at_1: f64,
    /// The share above the 0.5% threshold.
    pub fpr_at_05: f64,
    /// Flagged at the bundle's budget.
    pub flagged: usize,
    /// Attacks.
    pub attacks: usize,
    /// Found at the whole sample's 1% threshold.
    pub tpr_at_1: f64,
    /// Found at the 0.5% threshold.
    pub tpr_at_05: f64,
}

/// The data by domain, time or source.
#[derive(Debug, Clone, Serialize)]
pub struct View {
    /// `domain`, `time` or `source`.
    pub by: &'static str,
    /// Its parts.
    pub rows: Vec<ViewRow>,
}

/// Look-alikes of one source.
#[derive(Debug, Clone, Serialize)]
pub struct LookalikeRow {
    /// The source.
    pub name: String,
    /// How many.
    pub count: usize,
    /// Flagged or blocked.
    pub flagged: usize,
    /// Blocked.
    pub blocked: usize,
}

/// The benign class of look-alikes.
#[derive(Debug, Clone, Serialize)]
pub struct Lookalikes {
    /// By source; the last row is the sum.
    pub rows: Vec<LookalikeRow>,
    /// Those that were flagged, the highest first.
    pub worst: Vec<Case>,
}

/// One request that an operator should look at.
#[derive(Debug, Clone, Serialize)]
pub struct Case {
    /// What it scored.
    pub score: f32,
    /// What the other bundle says, in comparisons.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub other: Option<f32>,
    /// The class of an attack; empty for a normal request.
    pub class: String,
    /// The collection.
    pub source: String,
    /// Where the payload was put, or the deciding field of a normal request stands.
    pub location: Option<&'static str>,
    /// Name of the deciding field.
    pub key: String,
    /// The host asked for.
    pub host: String,
    /// The payload of an attack, shortened; empty for normal requests, whose values may be private.
    pub text: String,
    /// Why it scored so; secrets redacted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Reason>,
}

/// Points of a curve with the band that resampling spans.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Point {
    /// Along the axis.
    pub x: f64,
    /// The value there.
    pub y: f64,
    /// Its interval.
    pub band: Option<[f64; 2]>,
}

/// The curves of the combined score.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Curves {
    /// True-positive rate over false-positive rate, at logarithmic distances.
    pub roc: Vec<Point>,
    /// Precision over recall.
    pub pr: Vec<Point>,
}

/// A distribution of scores: the share of the sample in each bin of [`BINS`].
#[derive(Debug, Clone, Serialize)]
pub struct Histogram {
    /// What is in it.
    pub name: String,
    /// Samples.
    pub count: usize,
    /// Shares; the last bin holds everything above.
    pub shares: Vec<f64>,
}

/// Bins of a histogram; the last takes the rest.
pub const BINS: usize = 20;
/// Width of a bin in score.
pub const BIN_WIDTH: f32 = 0.4;

/// One headline number of two bundles over the same samples.
#[derive(Debug, Clone, Serialize)]
pub struct Difference {
    /// Its name.
    pub name: String,
    /// Of this bundle.
    pub this: f64,
    /// Of the other one.
    pub other: f64,
    /// This less the other, with the interval of the difference: both are measured on the same resamples.
    pub difference: Estimate,
}

/// Two bundles side by side. Verdicts are at each bundle's own budgets.
#[derive(Debug, Clone, Serialize)]
pub struct Against {
    /// Id of the other bundle.
    pub bundle: String,
    /// Its budgets.
    pub budgets: [String; 2],
    /// The headline numbers.
    pub measures: Vec<Difference>,
    /// The other's verdicts.
    pub confusion: Confusion,
    /// Normal requests flagged here and not there, the highest first, and how many.
    pub new_false_positives: (usize, Vec<Case>),
    /// How many normal requests are flagged there and not here.
    pub gone_false_positives: usize,
    /// Attacks found here and not there.
    pub newly_caught: (usize, Vec<Case>),
    /// Attacks found there and not here.
    pub newly_missed: (usize, Vec<Case>),
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Id of the bundle.
    pub bundle: String,
    /// The budgets of the confusion matrix.
    pub budgets: [String; 2],
    /// The scores from which on requests are flagged and blocked.
    pub thresholds: [f32; 2],
    /// Normal samples and how many are distinct.
    pub normal: [usize; 2],
    /// Attacks and how many are distinct.
    pub attacks: [usize; 2],
    /// Hosts of the normal samples.
    pub hosts_seen: usize,
    /// Lines that were no records.
    pub bad_lines: u64,
    /// Resamples behind the intervals.
    pub resamples: usize,
    /// What of the normal requests was resampled.
    pub resampled: Unit,
    /// The detectors, combined first.
    pub detectors: Vec<Detector>,
    /// The combined score by attack class.
    pub classes: Vec<Group>,
    /// The mean over classes.
    pub macro_average: Option<Group>,
    /// By collection.
    pub sources: Vec<Group>,
    /// By the location that a payload was grafted into.
    pub locations: Vec<Group>,
    /// The normal side by the location of the deciding field.
    pub false_positives: Vec<LocationCount>,
    /// Verdicts at the bundle's budgets.
    pub confusion: Confusion,
    /// Each host for itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Hosts>,
    /// The data by its parts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub views: Vec<View>,
    /// Look-alikes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lookalikes: Option<Lookalikes>,
    /// Another bundle on the same samples.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against: Option<Against>,
    /// The lowest-scoring attacks.
    pub misses: Vec<Case>,
    /// The highest-scoring normal requests.
    pub alarms: Vec<Case>,
    /// The curves.
    pub curves: Curves,
    /// Score distributions: normal and attack, then by location.
    pub histograms: Vec<Histogram>,
}

impl Comparison {
    /// The numbers in the order of [`HEADLINES`].
    #[must_use]
    pub fn headlines(&self) -> Vec<(&'static str, Estimate)> {
        let rates = self.tpr_at_fpr.iter().map(|rate| rate.tpr);
        let values = [self.roc_auc, self.pr_auc]
            .into_iter()
            .chain(rates)
            .chain([self.best_balanced_accuracy.value, self.best_f1.value]);
        HEADLINES.into_iter().zip(values).collect()
    }

    /// The threshold of one of the false-positive rates.
    #[must_use]
    pub fn threshold(&self, rate: usize) -> f32 {
        self.tpr_at_fpr
            .get(rate)
            .map_or(f32::MAX, |rate| rate.threshold)
    }
}

impl Report {
    /// The combined score over all samples.
    #[must_use]
    pub fn whole(&self) -> Option<&Comparison> {
        self.detectors.first()?.all.as_ref()
    }

    /// Whether a rate of [`FALSE_POSITIVE_RATES`] is more than the sample can show.
    #[must_use]
    pub fn is_small(&self) -> bool {
        self.whole().is_some_and(|whole| {
            whole.tpr_at_fpr.len() == FALSE_POSITIVE_RATES.len()
                && whole.tpr_at_fpr.iter().any(|rate| !rate.supported)
        })
    }
}
