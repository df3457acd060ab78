//! The report: every measure by detector, with and without duplicates, by class, source and location.
//!
//! Must not be here: how it is shown.

use std::collections::BTreeMap;

use serde::Serialize;
use weir_features::Location;
use weir_scoring::budget::{Budgets, Scores, Verdict, verdict};

use super::measures::{self, Measures};
use super::samples::{AttackSample, NormalSample, distinct};
use super::{Evaluation, Scored};

/// Misses and false alarms that are listed.
const LISTED: usize = 60;

/// One detector, or all together.
#[derive(Debug, Clone, Serialize)]
pub struct Detector {
    /// `combined`, `field` or `request`.
    pub name: &'static str,
    /// All samples.
    pub all: Option<Measures>,
    /// Duplicates counted once.
    pub distinct: Option<Measures>,
    /// Scores of normal requests at the report's quantiles.
    pub normal_quantiles: Vec<f32>,
    /// Scores of attacks at the report's quantiles.
    pub attack_quantiles: Vec<f32>,
    /// The ROC curve.
    #[serde(skip)]
    pub curve: Vec<(f64, f64)>,
}

/// How one group of attacks was found.
#[derive(Debug, Clone, Serialize)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// How many attacks.
    pub attacks: usize,
    /// Against all normal requests.
    pub roc_auc: f64,
    /// Found at the 1% false-positive rate of the whole.
    pub tpr_at_1: f64,
    /// Found at the 0.5% false-positive rate of the whole.
    pub tpr_at_05: f64,
    /// Found at the threshold of the best balanced accuracy.
    pub tpr_at_best: f64,
}

/// The normal side of one location.
#[derive(Debug, Clone, Serialize)]
pub struct LocationCount {
    /// The location.
    pub name: &'static str,
    /// Normal requests that its field decided above the 1% threshold.
    pub false_positives_at_1: usize,
    /// Above the threshold of the best balanced accuracy.
    pub false_positives_at_best: usize,
    /// Above the bundle's flag budget.
    pub flagged: usize,
}

/// Verdicts at the bundle's budgets.
#[derive(Debug, Clone, Copy, Default, Serialize)]
pub struct Confusion {
    /// Normal requests passed, flagged, blocked.
    pub normal: [usize; 3],
    /// Attacks passed, flagged, blocked.
    pub attacks: [usize; 3],
}

/// The whole report.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Id of the bundle.
    pub bundle: String,
    /// The budgets of the confusion matrix.
    pub budgets: [String; 2],
    /// Normal samples and how many are distinct.
    pub normal: [usize; 2],
    /// Attacks and how many are distinct.
    pub attacks: [usize; 2],
    /// Lines that were no records.
    pub bad_lines: u64,
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
    /// Where false positives stand.
    pub false_positives: Vec<LocationCount>,
    /// Verdicts at the bundle's budgets.
    pub confusion: Confusion,
    /// The lowest-scoring attacks: class, location, score, payload.
    pub misses: Vec<Miss>,
    /// The highest-scoring normal requests.
    pub alarms: Vec<Alarm>,
}

/// One normal request that scored high.
#[derive(Debug, Clone, Serialize)]
pub struct Alarm {
    /// What it scored.
    pub score: f32,
    /// Where the deciding field stands.
    pub location: Option<&'static str>,
    /// Its name.
    pub key: String,
    /// The host asked for.
    pub host: String,
}

/// One attack that scored low.
#[derive(Debug, Clone, Serialize)]
pub struct Miss {
    /// The class.
    pub class: String,
    /// Where it stood.
    pub location: Option<&'static str>,
    /// What it scored.
    pub score: f32,
    /// The payload or the request's target, shortened.
    pub text: String,
}

type Normal = (NormalSample, Scored);
type Attack = (AttackSample, Scored);

/// What a report needs to know of the bundle.
#[derive(Debug, Clone)]
pub struct About {
    /// Its id.
    pub bundle: String,
    /// Its budgets.
    pub budgets: Budgets,
    /// Those as text.
    pub budget_names: [String; 2],
    /// Lines that were no records.
    pub bad_lines: u64,
}

fn combined(scored: &Scored) -> f32 {
    scored.scores.combined.value()
}

/// Makes the report.
#[must_use]
pub fn report(evaluation: &Evaluation, about: About) -> Report {
    let Evaluation { normal, attacks } = evaluation;
    let distinct_normal = distinct(normal, |(sample, _)| sample.identity);
    let distinct_attacks = distinct(attacks, |(sample, _)| sample.identity);
    let detectors = detectors(normal, attacks, &distinct_normal, &distinct_attacks);
    let base = detectors.first().and_then(|detector| detector.all.clone());
    let normal_scores: Vec<f32> = normal.iter().map(|(_, scored)| combined(scored)).collect();
    let group = |key: &dyn Fn(&AttackSample) -> Option<String>| {
        groups(attacks, &normal_scores, base.as_ref(), key)
    };
    let classes = group(&|sample| Some(sample.class.clone()));
    Report {
        bundle: about.bundle,
        normal: [normal.len(), distinct_normal.len()],
        attacks: [attacks.len(), distinct_attacks.len()],
        bad_lines: about.bad_lines,
        macro_average: average(&classes),
        classes,
        sources: group(&|sample| Some(sample.source.clone())),
        locations: group(&|sample| sample.location.map(|location| location.name().to_owned())),
        false_positives: false_positives(normal, base.as_ref(), &about.budgets),
        confusion: confusion(normal, attacks, &about.budgets),
        budgets: about.budget_names,
        misses: misses(attacks),
        alarms: alarms(normal),
        detectors,
    }
}

/// Reads one detector's score.
type Read = fn(&Scores) -> Option<f32>;

fn detectors(
    normal: &[Normal],
    attacks: &[Attack],
    distinct_normal: &[&Normal],
    distinct_attacks: &[&Attack],
) -> Vec<Detector> {
    let kinds: [(&'static str, Read); 3] = [
        ("combined", |scores| Some(scores.combined.value())),
        ("field", |scores| Some(scores.field.value())),
        ("request", |scores| {
            scores.request.map(|score| score.value())
        }),
    ];
    kinds
        .into_iter()
        .filter_map(|(name, score)| {
            let of_normal: Vec<f32> = normal
                .iter()
                .filter_map(|(_, scored)| score(&scored.scores))
                .collect();
            let of_attacks: Vec<f32> = attacks
                .iter()
                .filter_map(|(_, scored)| score(&scored.scores))
                .collect();
            let once_normal: Vec<f32> = distinct_normal
                .iter()
                .filter_map(|(_, scored)| score(&scored.scores))
                .collect();
            let once_attacks: Vec<f32> = distinct_attacks
                .iter()
                .filter_map(|(_, scored)| score(&scored.scores))
                .collect();
            (!of_normal.is_empty()).then(|| Detector {
                name,
                all: measures::measure(&of_normal, &of_attacks),
                distinct: measures::measure(&once_normal, &once_attacks),
                normal_quantiles: measures::quantiles(&of_normal),
                attack_quantiles: measures::quantiles(&of_attacks),
                curve: measures::curve(&of_normal, &of_attacks),
            })
        })
        .collect()
}

fn thresholds(base: Option<&Measures>) -> [f32; 3] {
    let at = |fpr: f64| {
        base.and_then(|m| m.tpr_at_fpr.iter().find(|rate| rate.fpr == fpr))
            .map_or(f32::MAX, |rate| rate.threshold)
    };
    [
        at(0.01),
        at(0.005),
        base.map_or(f32::MAX, |m| m.best_balanced_accuracy.threshold),
    ]
}

fn groups(
    attacks: &[Attack],
    normal: &[f32],
    base: Option<&Measures>,
    key: &dyn Fn(&AttackSample) -> Option<String>,
) -> Vec<Group> {
    let mut by_name: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for (sample, scored) in attacks {
        if let Some(name) = key(sample) {
            by_name.entry(name).or_default().push(combined(scored));
        }
    }
    let [one, half, best] = thresholds(base);
    let mut out: Vec<Group> = by_name
        .into_iter()
        .filter_map(|(name, scores)| {
            Some(Group {
                name,
                attacks: scores.len(),
                roc_auc: measures::roc_auc(normal, &scores)?,
                tpr_at_1: measures::share_from(&scores, one),
                tpr_at_05: measures::share_from(&scores, half),
                tpr_at_best: measures::share_from(&scores, best),
            })
        })
        .collect();
    out.sort_by(|a, b| b.attacks.cmp(&a.attacks).then_with(|| a.name.cmp(&b.name)));
    out
}

#[expect(clippy::cast_precision_loss, reason = "a count of classes")]
fn average(groups: &[Group]) -> Option<Group> {
    let mean =
        |value: fn(&Group) -> f64| groups.iter().map(value).sum::<f64>() / groups.len() as f64;
    (!groups.is_empty()).then(|| Group {
        name: "macro".to_owned(),
        attacks: groups.iter().map(|group| group.attacks).sum(),
        roc_auc: mean(|group| group.roc_auc),
        tpr_at_1: mean(|group| group.tpr_at_1),
        tpr_at_05: mean(|group| group.tpr_at_05),
        tpr_at_best: mean(|group| group.tpr_at_best),
    })
}

fn false_positives(
    normal: &[Normal],
    base: Option<&Measures>,
    budgets: &Budgets,
) -> Vec<LocationCount> {
    let [one, _, best] = thresholds(base);
    Location::ALL
        .iter()
        .map(|location| {
            let here = || {
                normal.iter().filter(move |(_, scored)| {
                    scored.top.as_ref().is_some_and(|(top, _)| top == location)
                })
            };
            LocationCount {
                name: location.name(),
                false_positives_at_1: here().filter(|(_, scored)| combined(scored) >= one).count(),
                false_positives_at_best: here()
                    .filter(|(_, scored)| combined(scored) >= best)
                    .count(),
                flagged: here()
                    .filter(|(_, scored)| verdict(&scored.scores, budgets) != Verdict::Pass)
                    .count(),
            }
        })
        .collect()
}

fn confusion(normal: &[Normal], attacks: &[Attack], budgets: &Budgets) -> Confusion {
    let count = |scores: &mut dyn Iterator<Item = Scores>| {
        let mut out = [0; 3];
        for scores in scores {
            let [pass, flag, block] = &mut out;
            match verdict(&scores, budgets) {
                Verdict::Pass => *pass += 1,
                Verdict::Flag => *flag += 1,
                Verdict::Block => *block += 1,
            }
        }
        out
    };
    Confusion {
        normal: count(&mut normal.iter().map(|(_, scored)| scored.scores)),
        attacks: count(&mut attacks.iter().map(|(_, scored)| scored.scores)),
    }
}

fn alarms(normal: &[Normal]) -> Vec<Alarm> {
    let mut sorted: Vec<&Normal> = normal.iter().collect();
    sorted.sort_by(|a, b| combined(&b.1).total_cmp(&combined(&a.1)));
    sorted
        .into_iter()
        .take(LISTED)
        .map(|(sample, scored)| {
            let (location, key) = scored
                .top
                .as_ref()
                .map_or((None, &[][..]), |(at, key)| (Some(at.name()), key));
            Alarm {
                score: combined(scored),
                location,
                key: readable(key),
                host: readable(sample.request.host().unwrap_or_default()),
            }
        })
        .collect()
}

/// Bytes as printable text, shortened.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(120)
        .flat_map(char::escape_default)
        .collect()
}

fn misses(attacks: &[Attack]) -> Vec<Miss> {
    let mut sorted: Vec<&Attack> = attacks.iter().collect();
    sorted.sort_by(|a, b| combined(&a.1).total_cmp(&combined(&b.1)));
    sorted
        .into_iter()
        .take(LISTED)
        .map(|(sample, scored)| {
            let text = if sample.payload.is_empty() {
                &sample.request.target
            } else {
                &sample.payload
            };
            Miss {
                class: sample.class.clone(),
                location: sample.location.map(Location::name),
                score: combined(scored),
                text: readable(text),
            }
        })
        .collect()
}
