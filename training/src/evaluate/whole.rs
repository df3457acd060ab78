//! The combined score over all samples, and everything that is measured on the same resamples: groups, curves, another bundle.
//!
//! Must not be here: subsets of the samples and other detectors (`build`).

use super::build::{About, combined, comparison, population};
use super::groups::{Grouping, Numbers, mean};
use super::measures::{Figures, Ladder};
use super::report::{Comparison, Curves, Difference, Group};
use super::{Evaluation, Normal, compare, curves};

/// What one resample of all samples gives.
struct Drawn {
    figures: Figures,
    groups: [Vec<Option<Numbers>>; 3],
    curves: Vec<f64>,
    other: Option<(Figures, f64)>,
}

/// The combined score over all samples, with everything that is measured on the same resamples.
#[derive(Default)]
pub(super) struct Whole {
    pub(super) comparison: Option<Comparison>,
    pub(super) classes: Vec<Group>,
    pub(super) macro_average: Option<Group>,
    pub(super) sources: Vec<Group>,
    pub(super) locations: Vec<Group>,
    pub(super) curves: Curves,
    pub(super) differences: Vec<Difference>,
}

impl Whole {
    pub(super) fn measure(evaluation: &Evaluation, about: &About<'_>) -> Self {
        let Evaluation {
            normal, attacks, ..
        } = evaluation;
        let normal_scores: Vec<f32> = normal.iter().map(|(_, scored)| combined(scored)).collect();
        let attack_scores: Vec<f32> = attacks.iter().map(|(_, scored)| combined(scored)).collect();
        let Some(ladder) = Ladder::new(&normal_scores, &attack_scores) else {
            return Self::default();
        };
        let other = evaluation.other.as_ref().and_then(compare::Other::ladder);
        let samples = || attacks.iter().map(|(sample, _)| sample);
        let groupings = [
            Grouping::new(samples(), |sample| Some(sample.class.clone())),
            Grouping::new(samples(), |sample| Some(sample.source.clone())),
            Grouping::new(samples(), |sample| {
                sample.location.map(|location| location.name().to_owned())
            }),
        ];
        let measure = |normal: &[u32], attacks: &[u32]| {
            let counts = ladder.weighted(normal, attacks);
            let figures = counts.figures();
            Drawn {
                groups: [0, 1, 2].map(|index: usize| {
                    groupings.get(index).map_or_else(Vec::new, |grouping| {
                        grouping.numbers(&ladder, &counts, &figures, attacks)
                    })
                }),
                curves: curves::values(&counts),
                other: other
                    .as_ref()
                    .zip(groupings.first())
                    .map(|(ladder, classes)| {
                        let counts = ladder.weighted(normal, attacks);
                        let figures = counts.figures();
                        let classes = classes.numbers(ladder, &counts, &figures, attacks);
                        (figures, macro_rate(&classes))
                    }),
                figures,
            }
        };
        let plain = measure(&vec![1; normal.len()], &vec![1; attacks.len()]);
        let set: Vec<&Normal> = normal.iter().collect();
        let draws = about.plan.each(&population(&set, attacks.len()), |draw| {
            measure(&draw.normal, &draw.attacks)
        });
        Self::of(&ladder, &groupings, &plain, &draws)
    }

    fn of(ladder: &Ladder, groupings: &[Grouping; 3], plain: &Drawn, draws: &[Drawn]) -> Self {
        let [classes, sources, locations] = [0, 1, 2].map(|index: usize| {
            let of = |drawn: &Drawn| drawn.groups.get(index).cloned().unwrap_or_default();
            let drawn: Vec<Vec<Option<Numbers>>> = draws.iter().map(of).collect();
            groupings
                .get(index)
                .map(|grouping| grouping.groups(&of(plain), &drawn.iter().collect::<Vec<_>>()))
        });
        let (classes, macro_average) = classes.unwrap_or_default();
        let drawn_figures: Vec<&Figures> = draws.iter().map(|drawn| &drawn.figures).collect();
        let drawn_curves: Vec<Vec<f64>> = draws.iter().map(|drawn| drawn.curves.clone()).collect();
        Self {
            comparison: Some(comparison(ladder, &plain.figures, &drawn_figures)),
            classes,
            macro_average,
            sources: sources.unwrap_or_default().0,
            locations: locations.unwrap_or_default().0,
            curves: curves::banded(&plain.curves, &drawn_curves),
            differences: compare::differences(&paired(plain), draws.iter().map(paired).collect()),
        }
    }
}

/// The numbers of this bundle and of the other one, the macro rate last.
type Pair = Option<(Vec<f64>, Vec<f64>)>;

fn paired(drawn: &Drawn) -> Pair {
    let (other, other_macro) = drawn.other.as_ref()?;
    let classes = drawn.groups.first()?;
    let with = |figures: &Figures, last: f64| {
        let values = figures.values.iter().copied();
        values.chain([last]).collect::<Vec<f64>>()
    };
    Some((
        with(&drawn.figures, macro_rate(classes)),
        with(other, *other_macro),
    ))
}

fn macro_rate(classes: &[Option<Numbers>]) -> f64 {
    mean(classes).map_or(0.0, |[_, _, half, _]| half)
}
