//! The data by its parts: domains, stretches of time, sources. Thresholds are those of the whole.

use std::collections::BTreeMap;

use super::build::{combined, thresholds, verdicts};
use super::report::{Comparison, View, ViewRow};
use super::{Evaluation, Scored};
use crate::data::split::registrable_domain;

/// Stretches of time, of equal numbers of normal requests.
const STRETCHES: usize = 5;

/// What the parts are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum By {
    /// Fifths of the normal requests in order of time; without times, of each host in the order of the files
    Time,
    /// Registrable domains
    Domain,
    /// Files or collections
    Source,
}

impl By {
    /// The name of the view.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Domain => "domain",
            Self::Source => "source",
        }
    }
}

#[derive(Default)]
struct Part<'s> {
    normal: Vec<&'s Scored>,
    attacks: Vec<&'s Scored>,
}

/// The table of one view; domains with most false positives first.
pub(super) fn view(
    by: By,
    evaluation: &Evaluation,
    base: Option<&Comparison>,
    budgets: &weir_scoring::budget::Budgets,
) -> View {
    let stretch = stretches(evaluation);
    let mut parts: BTreeMap<String, Part<'_>> = BTreeMap::new();
    for (index, (sample, scored)) in evaluation.normal.iter().enumerate() {
        let name = match by {
            By::Time => stretch.get(index).cloned().unwrap_or_default(),
            By::Domain => registrable_domain(&sample.host),
            By::Source => sample.source.clone(),
        };
        parts.entry(name).or_default().normal.push(scored);
    }
    for (sample, scored) in &evaluation.attacks {
        let name = match by {
            // An attack belongs to the time of the request that it was grafted into.
            By::Time => {
                let own = sample.template.filter(|_| evaluation.own_templates);
                own.and_then(|template| stretch.get(template).cloned())
            }
            By::Domain => Some(registrable_domain(&sample.host)),
            By::Source => Some(sample.source.clone()),
        };
        if let Some(name) = name {
            parts.entry(name).or_default().attacks.push(scored);
        }
    }
    let mut rows: Vec<ViewRow> = parts
        .into_iter()
        .map(|(name, part)| row(name, &part, base, budgets))
        .collect();
    if by == By::Domain {
        rows.sort_by(|a, b| {
            b.flagged
                .cmp(&a.flagged)
                .then_with(|| b.normal.cmp(&a.normal))
        });
    }
    View {
        by: by.name(),
        rows,
    }
}

/// The stretch of each normal request. Without times it is the position among the requests of its own host: a file may
/// hold one host after another.
fn stretches(evaluation: &Evaluation) -> Vec<String> {
    let normal = &evaluation.normal;
    let timed = normal.iter().all(|(sample, _)| sample.time.is_some());
    let mut lines: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, (sample, _)) in normal.iter().enumerate() {
        let line = if timed { "" } else { sample.host.as_str() };
        lines.entry(line).or_default().push(index);
    }
    let time = |index: usize| {
        let sample = normal.get(index).map(|(sample, _)| sample);
        sample.and_then(|sample| sample.time).unwrap_or_default()
    };
    let mut out = vec![String::new(); normal.len()];
    for order in lines.values_mut() {
        order.sort_by(|a, b| time(*a).total_cmp(&time(*b)));
        for (rank, index) in order.iter().enumerate() {
            if let Some(name) = out.get_mut(*index) {
                *name = format!("{}/{STRETCHES}", rank * STRETCHES / order.len() + 1);
            }
        }
    }
    out
}

fn row(
    name: String,
    part: &Part<'_>,
    base: Option<&Comparison>,
    budgets: &weir_scoring::budget::Budgets,
) -> ViewRow {
    let [one, half, _] = thresholds(base);
    let share = |list: &[&Scored], threshold: f32| {
        let above = list.iter().filter(|s| combined(s) >= threshold).count();
        super::measures::share(above as u64, list.len() as u64)
    };
    let [_, flagged, blocked] = verdicts(part.normal.iter().map(|s| s.scores), budgets);
    ViewRow {
        name,
        normal: part.normal.len(),
        fpr_at_1: share(&part.normal, one),
        fpr_at_05: share(&part.normal, half),
        flagged: flagged + blocked,
        attacks: part.attacks.len(),
        tpr_at_1: share(&part.attacks, one),
        tpr_at_05: share(&part.attacks, half),
    }
}
