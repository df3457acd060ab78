//! Another bundle on the same samples: what it would have said, and whether the difference is more than chance.

use weir_scoring::budget::{Budgets, Scores, Verdict, verdict};
use weir_scoring::engine::Engine;

use super::bootstrap::{Estimate, column};
use super::build::{About, combined, names, verdicts};
use super::measures::{HEADLINES, Ladder};
use super::report::{Against, Case, Confusion, Difference};
use super::{Attack, Evaluation, Normal, cases};

/// Cases of each kind.
const LISTED: usize = 20;

/// What the other bundle says.
#[derive(Debug, Clone)]
pub struct Other {
    /// Its id.
    pub bundle: String,
    /// Its budgets.
    pub budgets: Budgets,
    /// Its scores of the normal requests.
    pub normal: Vec<Scores>,
    /// Its scores of the attacks.
    pub attacks: Vec<Scores>,
}

impl Other {
    /// Its combined scores, sorted.
    pub(super) fn ladder(&self) -> Option<Ladder> {
        let scores = |list: &[Scores]| -> Vec<f32> {
            list.iter().map(|scores| scores.combined.value()).collect()
        };
        Ladder::new(&scores(&self.normal), &scores(&self.attacks))
    }
}

/// Numbers of both bundles on the same samples: this one's and the other's.
type Pair = Option<(Vec<f64>, Vec<f64>)>;

/// The headline numbers side by side; empty without another bundle.
pub(super) fn differences(plain: &Pair, draws: Vec<Pair>) -> Vec<Difference> {
    let Some((this, other)) = plain else {
        return Vec::new();
    };
    let drawn: Vec<(Vec<f64>, Vec<f64>)> = draws.into_iter().flatten().collect();
    let at = |list: &[f64], index: usize| list.get(index).copied().unwrap_or_default();
    HEADLINES
        .into_iter()
        .chain(["macro TPR at 0.5% FPR"])
        .enumerate()
        .map(|(index, name)| Difference {
            name: name.to_owned(),
            this: at(this, index),
            other: at(other, index),
            difference: Estimate::new(
                at(this, index) - at(other, index),
                column(&drawn, |(this, other)| at(this, index) - at(other, index)),
            ),
        })
        .collect()
}

/// Everything about the other bundle.
pub(super) fn against(
    evaluation: &Evaluation,
    about: &About<'_>,
    measures: &[Difference],
) -> Option<Against> {
    let other = evaluation.other.as_ref()?;
    let passes = |scores: &Scores, budgets: &Budgets| verdict(scores, budgets) == Verdict::Pass;
    let normal: Vec<(&Normal, &Scores)> = evaluation.normal.iter().zip(&other.normal).collect();
    let attacks: Vec<(&Attack, &Scores)> = evaluation.attacks.iter().zip(&other.attacks).collect();
    // Of each sample: whether it passes here, and whether it passes there.
    let here_and_there = |scores: &Scores, there: &Scores| {
        (
            passes(scores, &about.budgets),
            passes(there, &other.budgets),
        )
    };
    let normal_with = |wanted: (bool, bool)| -> Vec<(&Normal, &Scores)> {
        let with = |pair: &&(&Normal, &Scores)| here_and_there(&pair.0.1.scores, pair.1) == wanted;
        normal.iter().filter(with).copied().collect()
    };
    let attacks_with = |wanted: (bool, bool)| -> Vec<(&Attack, &Scores)> {
        let with = |pair: &&(&Attack, &Scores)| here_and_there(&pair.0.1.scores, pair.1) == wanted;
        attacks.iter().filter(with).copied().collect()
    };
    let alarms = normal_with((false, true));
    let caught = attacks_with((false, true));
    let missed = attacks_with((true, false));
    Some(Against {
        bundle: other.bundle.clone(),
        budgets: names(&other.budgets),
        measures: measures.to_vec(),
        confusion: Confusion {
            normal: verdicts(other.normal.iter().copied(), &other.budgets),
            attacks: verdicts(other.attacks.iter().copied(), &other.budgets),
            ..Confusion::default()
        },
        new_false_positives: (
            alarms.len(),
            worst(alarms, |a| combined(&a.1), about.engine, cases::of_normal),
        ),
        gone_false_positives: normal_with((true, false)).len(),
        newly_caught: (
            caught.len(),
            worst(caught, |a| combined(&a.1), about.engine, cases::of_attack),
        ),
        newly_missed: (
            missed.len(),
            worst(missed, |a| -combined(&a.1), about.engine, cases::of_attack),
        ),
    })
}

/// The first few by `order`, the highest first.
fn worst<S>(
    mut list: Vec<(&S, &Scores)>,
    order: impl Fn(&S) -> f32,
    engine: Option<&Engine>,
    case: impl Fn(&S, Option<&Engine>) -> Case,
) -> Vec<Case> {
    list.sort_by(|a, b| order(b.0).total_cmp(&order(a.0)));
    list.into_iter()
        .take(LISTED)
        .map(|(sample, other)| Case {
            other: Some(other.combined.value()),
            ..case(sample, engine)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn differences_are_paired() {
        let numbers = |first: f64| {
            let mut numbers = vec![0.0; HEADLINES.len() + 1];
            numbers[0] = first;
            numbers
        };
        // Both swing widely, together: their difference does not.
        let draws = (0..100)
            .map(|n| Some((numbers(f64::from(n) + 0.5), numbers(f64::from(n)))))
            .collect();
        let made = differences(&Some((numbers(9.5), numbers(9.0))), draws);
        assert_eq!(made[0].difference.interval, Some([0.5, 0.5]));
        assert_eq!((made[0].this, made[0].other), (9.5, 9.0));
        assert_eq!(made.len(), HEADLINES.len() + 1);
        assert!(differences(&None, Vec::new()).is_empty());
    }
}
