//! Makes the report of scored samples.
//!
//! Must not be here: what the figures mean (`measures`) and how they are shown (`text`, `html`).

use std::collections::{BTreeSet, HashSet};

use weir_features::Location;
use weir_scoring::budget::{Budgets, Scores, Verdict, verdict};
use weir_scoring::engine::Engine;

use super::bootstrap::{Estimate, Plan, Population, column};
use super::measures::{self, FALSE_POSITIVE_RATES, Figures, HALF_PERCENT, Ladder, ONE_PERCENT};
use super::report::{Best, Comparison, Confusion, Detector, LocationCount, RateAt, Report};
use super::whole::Whole;
use super::{Attack, Evaluation, Normal, Scored, cases, compare, every, hosts, lookalikes, views};

/// What a report needs besides the samples.
#[derive(Debug)]
pub struct About<'e> {
    /// Id of the bundle.
    pub bundle: String,
    /// Its budgets.
    pub budgets: Budgets,
    /// Lines that were no records.
    pub bad_lines: u64,
    /// How intervals are made.
    pub plan: Plan,
    /// Parts of the data that are shown for themselves.
    pub views: Vec<views::By>,
    /// Whether hosts are shown for themselves.
    pub per_host: bool,
    /// Explains cases, where there is one.
    pub engine: Option<&'e Engine>,
}

/// Budgets as text.
#[must_use]
pub fn names(budgets: &Budgets) -> [String; 2] {
    [budgets.flag.to_string(), budgets.block.to_string()]
}

pub(super) fn combined(scored: &Scored) -> f32 {
    scored.scores.combined.value()
}

/// Reads one detector's score.
type Read = fn(&Scores) -> Option<f32>;

const READS: [(&str, Read); 3] = [
    ("combined", |scores| Some(scores.combined.value())),
    ("field", |scores| Some(scores.field.value())),
    ("request", |scores| {
        scores.request.map(|score| score.value())
    }),
];

/// Samples that are measured together.
pub(super) struct Set<'s> {
    pub(super) normal: Vec<&'s Normal>,
    pub(super) attacks: Vec<&'s Attack>,
}

/// Makes the report.
#[must_use]
pub fn report(evaluation: &Evaluation, about: &About<'_>) -> Report {
    let Evaluation {
        normal, attacks, ..
    } = evaluation;
    let all = Set {
        normal: normal.iter().collect(),
        attacks: attacks.iter().collect(),
    };
    let once = Set {
        normal: distinct(normal, |(_, scored)| scored.identity),
        attacks: distinct(attacks, |(_, scored)| scored.identity),
    };
    let mut whole = Whole::measure(evaluation, about);
    let sets = [&all, &once];
    every::measure(&mut whole.classes, sets, |sample| Some(&sample.class));
    every::measure(&mut whole.sources, sets, |sample| Some(&sample.source));
    every::measure(&mut whole.locations, sets, |sample| {
        sample.location.map(Location::name)
    });
    if let Some(average) = &mut whole.macro_average {
        [average.all, average.distinct] = every::mean(&whole.classes);
    }
    let detectors = detectors(&all, &once, evaluation, about, whole.comparison.as_ref());
    let base = whole.comparison.as_ref();
    let hosts: BTreeSet<&str> = normal
        .iter()
        .map(|(sample, _)| sample.host.as_str())
        .collect();
    Report {
        bundle: about.bundle.clone(),
        budgets: names(&about.budgets),
        thresholds: [
            about.budgets.flag.threshold().value(),
            about.budgets.block.threshold().value(),
        ],
        normal: [normal.len(), once.normal.len()],
        attacks: [attacks.len(), once.attacks.len()],
        hosts_seen: hosts.len(),
        bad_lines: about.bad_lines,
        resamples: about.plan.resamples,
        resampled: population(&all.normal, 0).unit,
        false_positives: false_positives(evaluation, base, &about.budgets),
        confusion: confusion(&all, &once, &about.budgets),
        hosts: about
            .per_host
            .then(|| hosts::table(evaluation, base, about)),
        views: about
            .views
            .iter()
            .map(|by| views::view(*by, evaluation, base, &about.budgets))
            .collect(),
        lookalikes: (!evaluation.lookalikes.is_empty())
            .then(|| lookalikes::table(&evaluation.lookalikes, about)),
        against: compare::against(evaluation, about, &whole.differences),
        misses: cases::misses(attacks, about.engine),
        alarms: cases::alarms(normal, about.engine),
        histograms: cases::histograms(normal, attacks),
        curves: whole.curves,
        classes: whole.classes,
        macro_average: whole.macro_average,
        sources: whole.sources,
        locations: whole.locations,
        detectors,
    }
}

fn confusion(all: &Set<'_>, once: &Set<'_>, budgets: &Budgets) -> Confusion {
    let normal = |set: &Set<'_>| verdicts(set.normal.iter().map(|(_, s)| s.scores), budgets);
    let attacks = |set: &Set<'_>| verdicts(set.attacks.iter().map(|(_, s)| s.scores), budgets);
    Confusion {
        normal: normal(all),
        attacks: attacks(all),
        distinct_normal: normal(once),
        distinct_attacks: attacks(once),
    }
}

/// The first of each set of equals.
fn distinct<T>(samples: &[T], identity: impl Fn(&T) -> u64) -> Vec<&T> {
    let mut seen = HashSet::new();
    samples
        .iter()
        .filter(|sample| seen.insert(identity(sample)))
        .collect()
}

pub(super) fn population(normal: &[&Normal], attacks: usize) -> Population {
    Population::new(
        normal.iter().map(|(sample, _)| sample.host.as_str()),
        attacks,
    )
}

fn detectors(
    all: &Set<'_>,
    once: &Set<'_>,
    evaluation: &Evaluation,
    about: &About<'_>,
    whole: Option<&Comparison>,
) -> Vec<Detector> {
    let unseen = (!evaluation.seen.is_empty()).then(|| Set {
        normal: once
            .normal
            .iter()
            .copied()
            .filter(|(_, scored)| !evaluation.seen.contains(&scored.identity))
            .collect(),
        attacks: once.attacks.clone(),
    });
    let alone = !all.normal.iter().any(|(_, s)| s.scores.request.is_some());
    let mut out: Vec<Detector> = Vec::new();
    for (name, read) in READS {
        let scores = |normal: bool| -> Vec<f32> {
            let of_normal = all.normal.iter().map(|(_, scored)| scored);
            let of_attacks = all.attacks.iter().map(|(_, scored)| scored);
            let read = |scored: &Scored| read(&scored.scores);
            if normal {
                of_normal.filter_map(read).collect()
            } else {
                of_attacks.filter_map(read).collect()
            }
        };
        let (of_normal, of_attacks) = (scores(true), scores(false));
        // Without a request detector the field detector decides alone: it is what was measured already.
        let detector = match out.first().filter(|_| alone && name == "field") {
            Some(first) => Detector {
                name,
                ..first.clone()
            },
            None if of_normal.is_empty() => continue,
            None => Detector {
                name,
                all: match whole.filter(|_| name == "combined") {
                    Some(whole) => Some(whole.clone()),
                    None => measured(all, read, &about.plan),
                },
                distinct: measured(once, read, &about.plan),
                unseen: unseen
                    .as_ref()
                    .and_then(|set| measured(set, read, &about.plan)),
                normal_quantiles: measures::quantiles(&of_normal),
                attack_quantiles: measures::quantiles(&of_attacks),
            },
        };
        out.push(detector);
    }
    out
}

fn measured(set: &Set<'_>, read: Read, plan: &Plan) -> Option<Comparison> {
    let kept: Vec<(&Normal, f32)> = set
        .normal
        .iter()
        .filter_map(|normal| Some((*normal, read(&normal.1.scores)?)))
        .collect();
    let normal: Vec<f32> = kept.iter().map(|(_, score)| *score).collect();
    let attacks: Vec<f32> = set
        .attacks
        .iter()
        .filter_map(|(_, scored)| read(&scored.scores))
        .collect();
    let ladder = Ladder::new(&normal, &attacks)?;
    let samples: Vec<&Normal> = kept.iter().map(|(normal, _)| *normal).collect();
    let draws = plan.each(&population(&samples, attacks.len()), |draw| {
        ladder.weighted(&draw.normal, &draw.attacks).figures()
    });
    let plain = ladder.plain().figures();
    Some(comparison(
        &ladder,
        &plain,
        &draws.iter().collect::<Vec<_>>(),
    ))
}

pub(super) fn comparison(ladder: &Ladder, plain: &Figures, draws: &[&Figures]) -> Comparison {
    let estimate = |index: usize| {
        let of = |figures: &Figures| figures.values.get(index).copied().unwrap_or_default();
        Estimate::new(of(plain), column(draws, |figures| of(figures)))
    };
    let best = |index: usize, peak: measures::Peak| Best {
        value: estimate(index),
        threshold: ladder.threshold(peak.step),
        tpr: peak.tpr,
        tnr: peak.tnr,
    };
    let [normal, attacks] = ladder.sizes();
    let rates = FALSE_POSITIVE_RATES.iter().zip(plain.cuts).enumerate();
    Comparison {
        normal,
        attacks,
        roc_auc: estimate(0),
        pr_auc: estimate(1),
        tpr_at_fpr: rates
            .map(|(index, (fpr, cut))| RateAt {
                fpr: *fpr,
                tpr: estimate(index + 2),
                threshold: cut.map_or(f32::MAX, |step| ladder.threshold(step)),
                supported: measures::supports(normal, *fpr),
            })
            .collect(),
        best_balanced_accuracy: best(7, plain.balanced),
        best_f1: best(8, plain.f1),
    }
}

/// The thresholds of the whole: 1%, 0.5% and the best balanced accuracy.
pub(super) fn thresholds(base: Option<&Comparison>) -> [f32; 3] {
    base.map_or([f32::MAX; 3], |base| {
        [
            base.threshold(ONE_PERCENT),
            base.threshold(HALF_PERCENT),
            base.best_balanced_accuracy.threshold,
        ]
    })
}

fn false_positives(
    evaluation: &Evaluation,
    base: Option<&Comparison>,
    budgets: &Budgets,
) -> Vec<LocationCount> {
    let [one, _, best] = thresholds(base);
    let here = |scored: &&Scored, location: Location| {
        scored.top.as_ref().is_some_and(|(top, _)| *top == location)
    };
    let of_location = |location: &Location| {
        let normal: Vec<&Scored> = evaluation
            .normal
            .iter()
            .map(|(_, scored)| scored)
            .filter(|scored| here(scored, *location))
            .collect();
        let attacks = evaluation.attacks.iter().map(|(_, scored)| scored);
        let scores = |list: &[&Scored]| list.iter().map(|s| combined(s)).collect::<Vec<f32>>();
        let attacks: Vec<&Scored> = attacks.filter(|s| here(s, *location)).collect();
        let above = |threshold| normal.iter().filter(|s| combined(s) >= threshold).count();
        let [_, flagged, blocked] = verdicts(normal.iter().map(|s| s.scores), budgets);
        LocationCount {
            name: location.name(),
            normal: normal.len(),
            false_positives_at_1: above(one),
            false_positives_at_best: above(best),
            flagged: flagged + blocked,
            blocked,
            normal_quantiles: measures::quantiles(&scores(&normal)),
            attack_quantiles: measures::quantiles(&scores(&attacks)),
        }
    };
    Location::ALL.iter().map(of_location).collect()
}

/// How many pass, are flagged and are blocked.
pub(super) fn verdicts(scores: impl Iterator<Item = Scores>, budgets: &Budgets) -> [usize; 3] {
    let mut out = [0; 3];
    let [pass, flag, block] = &mut out;
    for scores in scores {
        match verdict(&scores, budgets) {
            Verdict::Pass => *pass += 1,
            Verdict::Flag => *flag += 1,
            Verdict::Block => *block += 1,
        }
    }
    out
}

#[cfg(test)]
mod tests;
