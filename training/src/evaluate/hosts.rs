//! Each host against its own normal requests: what a site sees that runs its own model.

use std::collections::BTreeMap;

use super::bootstrap::{Estimate, Plan, Population, column};
use super::build::{About, combined, verdicts};
use super::measures::{rank, rate_at};
use super::report::{Comparison, HostRow, Hosts};
use super::{Evaluation, Scored};

/// Positions of 0.5% and 0.1% among the reported rates.
const POOLED: [usize; 2] = [2, 3];

/// The table; hosts without normal requests or without attacks are left out.
pub(super) fn table(
    evaluation: &Evaluation,
    pooled: Option<&Comparison>,
    about: &About<'_>,
) -> Hosts {
    let mut hosts: BTreeMap<&str, (Vec<&Scored>, Vec<&Scored>)> = BTreeMap::new();
    for (sample, scored) in &evaluation.normal {
        hosts.entry(&sample.host).or_default().0.push(scored);
    }
    for (sample, scored) in &evaluation.attacks {
        hosts.entry(&sample.host).or_default().1.push(scored);
    }
    let mut rows: Vec<HostRow> = hosts
        .into_iter()
        .filter_map(|(host, (normal, attacks))| row(host, &normal, &attacks, about))
        .collect();
    rows.sort_by(|a, b| {
        a.tpr_at_1
            .total_cmp(&b.tpr_at_1)
            .then_with(|| a.host.cmp(&b.host))
    });
    let rates: Vec<f64> = rows.iter().map(|row| row.tpr_at_1).collect();
    let [half, tenth] = POOLED.map(|rate| {
        let rates = pooled.map(|pooled| &pooled.tpr_at_fpr);
        rates
            .and_then(|rates| rates.get(rate))
            .map_or_else(Estimate::default, |rate| rate.tpr)
    });
    Hosts {
        lowest_tpr_at_1: rates.first().copied().unwrap_or_default(),
        median_tpr_at_1: median_of(&rates, &about.plan),
        pooled_tpr_at_05: half,
        pooled_tpr_at_01: tenth,
        rows,
    }
}

fn row(host: &str, normal: &[&Scored], attacks: &[&Scored], about: &About<'_>) -> Option<HostRow> {
    let scores = |list: &[&Scored]| list.iter().map(|scored| combined(scored)).collect();
    let (of_normal, of_attacks): (Vec<f32>, Vec<f32>) = (scores(normal), scores(attacks));
    let (threshold_at_1, tpr_at_1) = rate_at(&of_normal, &of_attacks, 0.01)?;
    let (_, tpr_at_05) = rate_at(&of_normal, &of_attacks, 0.005)?;
    let [_, flagged, blocked] = verdicts(normal.iter().map(|s| s.scores), &about.budgets);
    Some(HostRow {
        host: host.to_owned(),
        normal: normal.len(),
        attacks: attacks.len(),
        threshold_at_1,
        tpr_at_1,
        tpr_at_05,
        flagged: flagged + blocked,
    })
}

/// The median, of an even number the mean of the middle two; its interval from resampled hosts.
fn median_of(rates: &[f64], plan: &Plan) -> Estimate {
    let hosts = Population::new(std::iter::repeat_n("", rates.len()), 0);
    let draws = plan.each(&hosts, |draw| {
        let drawn = rates.iter().zip(&draw.normal);
        let mut drawn: Vec<f64> = drawn
            .flat_map(|(rate, times)| std::iter::repeat_n(*rate, *times as usize))
            .collect();
        median(&mut drawn)
    });
    Estimate::new(median(&mut rates.to_vec()), column(&draws, |rate| *rate))
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    let upper = rates.get(rates.len() / 2).copied().unwrap_or_default();
    let lower = rates
        .get(rank(rates.len(), 0.5))
        .copied()
        .unwrap_or_default();
    f64::midpoint(lower, upper)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn medians_of_odd_and_even_numbers() {
        let median = |values: &[f64]| median(&mut values.to_vec());
        assert_eq!(
            [
                median(&[3.0, 1.0, 2.0]),
                median(&[4.0, 1.0, 2.0, 3.0]),
                median(&[5.0]),
                median(&[])
            ],
            [2.0, 2.5, 5.0, 0.0]
        );
    }

    #[test]
    fn the_interval_comes_from_resampled_hosts() {
        let plan = Plan {
            resamples: 200,
            seed: 1,
            threads: 2,
        };
        let estimate = median_of(&[0.5, 0.9, 0.9, 0.95, 1.0], &plan);
        let [low, high] = estimate.interval.unwrap();
        assert!((estimate.value - 0.9).abs() < 1e-12);
        assert!(low < 0.9 && high > 0.9 && low >= 0.5 && high <= 1.0);
        assert_eq!(estimate, median_of(&[0.5, 0.9, 0.9, 0.95, 1.0], &plan));
    }
}
