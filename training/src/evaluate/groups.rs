//! Attacks by class, source and location, measured at the thresholds of the whole.

use std::collections::BTreeMap;

use super::bootstrap::{Estimate, column};
use super::measures::{Counts, Figures, HALF_PERCENT, Ladder, ONE_PERCENT, share};
use super::report::Group;
use super::samples::AttackSample;

/// Area, and the shares found at 1%, at 0.5% and at the best balanced accuracy.
pub type Numbers = [f64; 4];

/// Which group each attack belongs to.
#[derive(Debug, Clone)]
pub struct Grouping {
    names: Vec<String>,
    /// The group of each attack; none for attacks without the key.
    of: Vec<Option<usize>>,
}

impl Grouping {
    /// Groups attacks by a key.
    pub fn new<'a>(
        attacks: impl IntoIterator<Item = &'a AttackSample>,
        key: impl Fn(&AttackSample) -> Option<String>,
    ) -> Self {
        let keys: Vec<Option<String>> = attacks.into_iter().map(key).collect();
        let mut numbers: BTreeMap<&str, usize> =
            keys.iter().flatten().map(|key| (key.as_str(), 0)).collect();
        for (number, slot) in numbers.values_mut().enumerate() {
            *slot = number;
        }
        Self {
            of: keys
                .iter()
                .map(|key| numbers.get(key.as_deref()?).copied())
                .collect(),
            names: numbers.keys().map(|name| (*name).to_owned()).collect(),
        }
    }

    /// The numbers of each group, each attack as often as its weight says; zeros for a group that was not drawn.
    #[must_use]
    pub fn numbers(
        &self,
        ladder: &Ladder,
        counts: &Counts,
        figures: &Figures,
        weights: &[u32],
    ) -> Vec<Option<Numbers>> {
        let above = counts.above_normal();
        let cut = |rate: usize| figures.cuts.get(rate).copied().flatten();
        let cuts = [
            cut(ONE_PERCENT),
            cut(HALF_PERCENT),
            Some(figures.balanced.step),
        ];
        let mut totals = vec![0_u64; self.names.len()];
        let mut areas = vec![0.0; self.names.len()];
        let mut found = vec![[0_u64; 3]; self.names.len()];
        for ((group, step), weight) in self.of.iter().zip(ladder.attack_steps()).zip(weights) {
            let Some(group) = *group else { continue };
            let step = *step as usize;
            if let (Some(total), Some(area), Some(found)) = (
                totals.get_mut(group),
                areas.get_mut(group),
                found.get_mut(group),
            ) {
                *total += u64::from(*weight);
                *area += f64::from(*weight) * above.get(step).copied().unwrap_or_default();
                for (found, cut) in found.iter_mut().zip(cuts) {
                    if cut.is_some_and(|cut| step <= cut) {
                        *found += u64::from(*weight);
                    }
                }
            }
        }
        let zipped = totals.into_iter().zip(areas).zip(found);
        zipped
            .map(|((total, area), [one, half, best])| {
                #[expect(clippy::cast_precision_loss, reason = "a count of attacks")]
                let mean = area / (total as f64);
                (total > 0).then(|| {
                    [
                        mean,
                        share(one, total),
                        share(half, total),
                        share(best, total),
                    ]
                })
            })
            .collect()
    }

    /// The groups, the largest first, with the intervals that resampled numbers span; and their plain mean.
    #[must_use]
    pub fn groups(
        &self,
        plain: &[Option<Numbers>],
        draws: &[&Vec<Option<Numbers>>],
    ) -> (Vec<Group>, Option<Group>) {
        let mut groups: Vec<Group> = self
            .names
            .iter()
            .enumerate()
            .filter_map(|(index, name)| {
                let drawn: Vec<Numbers> =
                    draws.iter().filter_map(|draw| *draw.get(index)?).collect();
                let attacks = self.of.iter().filter(|of| **of == Some(index)).count();
                Some(group(name, attacks, (*plain.get(index)?)?, &drawn))
            })
            .collect();
        groups.sort_by(|a, b| b.attacks.cmp(&a.attacks).then_with(|| a.name.cmp(&b.name)));
        let means: Vec<Numbers> = draws.iter().filter_map(|draw| mean(draw)).collect();
        let attacks = self.of.iter().flatten().count();
        let average = mean(plain).map(|plain| group("macro", attacks, plain, &means));
        (groups, average)
    }
}

/// The plain mean over groups: every group counts the same, however large.
#[expect(clippy::cast_precision_loss, reason = "a count of groups")]
#[must_use]
pub fn mean(groups: &[Option<Numbers>]) -> Option<Numbers> {
    let known: Vec<&Numbers> = groups.iter().flatten().collect();
    let mut sums = Numbers::default();
    for numbers in &known {
        for (sum, number) in sums.iter_mut().zip(*numbers) {
            *sum += number;
        }
    }
    (!known.is_empty()).then(|| sums.map(|sum| sum / known.len() as f64))
}

fn group(name: &str, attacks: usize, plain: Numbers, draws: &[Numbers]) -> Group {
    let [roc_auc, one, half, best] = plain;
    Group {
        name: name.to_owned(),
        attacks,
        roc_auc: Estimate::new(roc_auc, column(draws, |[roc_auc, ..]| *roc_auc)),
        tpr_at_1: Estimate::new(one, column(draws, |[_, one, ..]| *one)),
        tpr_at_05: Estimate::new(half, column(draws, |[_, _, half, _]| *half)),
        tpr_at_best: Estimate::new(best, column(draws, |[.., best]| *best)),
        all: None,
        distinct: None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use weir_scoring::record::OwnedRequest;

    fn attack(class: &str) -> AttackSample {
        AttackSample {
            request: OwnedRequest::default(),
            vector: None,
            host: String::new(),
            class: class.to_owned(),
            source: String::new(),
            location: None,
            template: None,
            payload: Vec::new(),
        }
    }

    #[test]
    fn groups_are_judged_at_the_thresholds_of_the_whole_and_weigh_the_same_in_the_mean() {
        let normal: Vec<f32> = (0..100).map(|n| n as f32).collect();
        let scores = [200.0, 99.0, 98.0, 10.0];
        let samples = [attack("a"), attack("a"), attack("a"), attack("b")];
        let grouping = Grouping::new(&samples, |sample| Some(sample.class.clone()));
        let ladder = Ladder::new(&normal, &scores).unwrap();
        let counts = ladder.plain();
        let numbers = grouping.numbers(&ladder, &counts, &counts.figures(), &[1; 4]);
        // One false positive is allowed at 1%: 99 and what ties with it. At 0.5% none is.
        assert_eq!(
            numbers[0].map(|n| (n[1], n[2])),
            Some((2.0 / 3.0, 1.0 / 3.0))
        );
        assert_eq!(numbers[1].map(|n| (n[0], n[1])), Some((0.105, 0.0)));
        let (groups, average) = grouping.groups(&numbers, &[]);
        assert_eq!((groups[0].name.as_str(), groups[0].attacks), ("a", 3));
        let average = average.unwrap();
        assert!((average.tpr_at_1.value - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(average.attacks, 4);
    }
}
