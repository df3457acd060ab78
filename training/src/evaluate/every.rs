//! Every measure of every group of attacks, with duplicates and without.
//!
//! Must not be here: intervals and the thresholds of the whole (`groups`).

use super::build::{Set, combined};
use super::measures::{Figures, Ladder};
use super::report::{Every, Group};
use super::samples::AttackSample;

/// Fills in what `all` samples and those that count `once` say of each group, whose attacks `key` names.
pub(super) fn measure(
    groups: &mut [Group],
    [all, once]: [&Set<'_>; 2],
    key: impl Fn(&AttackSample) -> Option<&str>,
) {
    let normal = |set: &Set<'_>| -> Vec<f32> {
        let scores = set.normal.iter().map(|(_, scored)| combined(scored));
        scores.collect()
    };
    let [all_normal, once_normal] = [normal(all), normal(once)];
    for group in groups {
        let every = |set: &Set<'_>, normal: &[f32]| {
            let attacks = set.attacks.iter();
            let attacks: Vec<f32> = attacks
                .filter(|(sample, _)| key(sample) == Some(group.name.as_str()))
                .map(|(_, scored)| combined(scored))
                .collect();
            of(normal, &attacks)
        };
        let found = [every(all, &all_normal), every(once, &once_normal)];
        [group.all, group.distinct] = found;
    }
}

fn of(normal: &[f32], attacks: &[f32]) -> Option<Every> {
    let Figures { values, .. } = Ladder::new(normal, attacks)?.plain().figures();
    let [roc_auc, pr_auc, rates @ .., balanced, f1] = values;
    Some(Every {
        attacks: attacks.len(),
        roc_auc,
        pr_auc,
        tpr_at_fpr: rates,
        best_balanced_accuracy: balanced,
        best_f1: f1,
    })
}

/// The plain mean over groups.
pub(super) fn mean(groups: &[Group]) -> [Option<Every>; 2] {
    [
        average(groups.iter().filter_map(|group| group.all).collect()),
        average(groups.iter().filter_map(|group| group.distinct).collect()),
    ]
}

#[expect(clippy::cast_precision_loss, reason = "a count of groups")]
fn average(groups: Vec<Every>) -> Option<Every> {
    let count = groups.len() as f64;
    let mean = |read: &dyn Fn(&Every) -> f64| groups.iter().map(read).sum::<f64>() / count;
    let rate = |index: usize| {
        mean(&|every: &Every| every.tpr_at_fpr.get(index).copied().unwrap_or_default())
    };
    (!groups.is_empty()).then(|| Every {
        attacks: groups.iter().map(|every| every.attacks).sum(),
        roc_auc: mean(&|every| every.roc_auc),
        pr_auc: mean(&|every| every.pr_auc),
        tpr_at_fpr: std::array::from_fn(rate),
        best_balanced_accuracy: mean(&|every| every.best_balanced_accuracy),
        best_f1: mean(&|every| every.best_f1),
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn each_group_has_thresholds_of_its_own() {
        let normal: Vec<f32> = (0..100).map(|n| n as f32).collect();
        let high = of(&normal, &[200.0, 300.0]).unwrap();
        assert_eq!((high.attacks, high.roc_auc, high.best_f1), (2, 1.0, 1.0));
        assert_eq!(high.tpr_at_fpr, [1.0; 5]);
        // 96.5 and 10: 5% of the normal requests are five, and four stand above 96.
        let low = of(&normal, &[95.5, 10.0]).unwrap();
        assert_eq!(low.tpr_at_fpr, [0.5, 0.0, 0.0, 0.0, 0.0]);
        let mean = average(vec![high, low]).unwrap();
        assert_eq!(
            (mean.attacks, mean.tpr_at_fpr),
            (4, [0.75, 0.5, 0.5, 0.5, 0.5])
        );
        assert_eq!(of(&normal, &[]), None);
    }
}
