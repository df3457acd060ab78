//! The ROC and precision-recall curves at fixed places, so that resampled curves can be laid over each other.
#![expect(
    clippy::cast_precision_loss,
    reason = "counts of samples are far below 2^52"
)]

use super::bootstrap::{Estimate, column};
use super::measures::{Counts, share};
use super::report::{Curves, Point};

/// Points of the ROC curve a power of ten.
const A_DECADE: i32 = 16;
/// Powers of ten of the false-positive axis.
pub const DECADES: i32 = 4;
/// Points of the precision-recall curve.
const RECALLS: i32 = 50;

/// False-positive rates from 0.01% to 100%, at equal logarithmic distances.
fn rates() -> impl Iterator<Item = f64> {
    (0..=DECADES * A_DECADE)
        .map(|n| 10f64.powf(f64::from(n) / f64::from(A_DECADE) - f64::from(DECADES)))
}

fn recalls() -> impl Iterator<Item = f64> {
    (1..=RECALLS).map(|n| f64::from(n) / f64::from(RECALLS))
}

/// The values of both curves, the ROC curve first.
#[must_use]
pub fn values(counts: &Counts) -> Vec<f64> {
    let [negatives, positives] = counts.totals();
    let mut steps = Vec::with_capacity(counts.normal.len());
    let (mut found, mut alarms) = (0, 0);
    for (normal, attacks) in counts.normal.iter().zip(&counts.attacks) {
        alarms += normal;
        found += attacks;
        steps.push((alarms, found));
    }
    let roc = rates().map(|rate| {
        let within =
            steps.partition_point(|(alarms, _)| *alarms as f64 <= rate * negatives as f64 + 1e-9);
        let last = within.checked_sub(1).and_then(|at| steps.get(at));
        last.map_or(0.0, |(_, found)| share(*found, positives))
    });
    let pr = recalls().map(|recall| {
        let first =
            steps.partition_point(|(_, found)| (*found as f64) < recall * positives as f64 - 1e-9);
        let step = steps.get(first).or(steps.last());
        step.map_or(0.0, |(alarms, found)| share(*found, alarms + found))
    });
    roc.chain(pr).collect()
}

/// Both curves with the bands that `draws` of [`values`] span.
#[must_use]
pub fn banded(plain: &[f64], draws: &[Vec<f64>]) -> Curves {
    let point = |(index, x): (usize, f64)| {
        let y = plain.get(index).copied().unwrap_or_default();
        let drawn = column(draws, |draw| draw.get(index).copied().unwrap_or_default());
        Point {
            x,
            y,
            band: Estimate::new(y, drawn).interval,
        }
    };
    let roc: Vec<Point> = rates().enumerate().map(point).collect();
    let offset = roc.len();
    Curves {
        pr: recalls()
            .enumerate()
            .map(|(index, x)| point((index + offset, x)))
            .collect(),
        roc,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::evaluate::measures::Ladder;

    #[test]
    fn curves_are_the_staircase_at_fixed_places() {
        // From the top: attack, normal, attack, normal.
        let counts = Ladder::new(&[1.0, 3.0], &[2.0, 4.0]).unwrap().plain();
        let curves = banded(&values(&counts), &[]);
        let roc = |x: f64| {
            curves
                .roc
                .iter()
                .find(|point| point.x >= x * 0.999)
                .unwrap()
                .y
        };
        assert!((roc(1e-4) - 0.5).abs() < 1e-12 && (roc(0.5) - 1.0).abs() < 1e-12);
        let pr = |x: f64| {
            curves
                .pr
                .iter()
                .find(|point| point.x >= x - 1e-9)
                .unwrap()
                .y
        };
        assert!((pr(0.5) - 1.0).abs() < 1e-12 && (pr(1.0) - 2.0 / 3.0).abs() < 1e-12);
        assert!(curves.roc.iter().all(|point| point.band.is_none()));
        assert_eq!((curves.roc.first().unwrap().x * 1e4).round(), 1.0);
        assert!((curves.roc.last().unwrap().x - 1.0).abs() < 1e-12);
    }

    #[test]
    fn bands_hold_the_draws() {
        let counts = Ladder::new(&[1.0], &[2.0]).unwrap().plain();
        let plain = values(&counts);
        let draws = vec![
            plain.iter().map(|value| value / 2.0).collect(),
            plain.clone(),
        ];
        let curves = banded(&plain, &draws);
        assert!(
            curves
                .pr
                .iter()
                .all(|point| point.band == Some([point.y / 2.0, point.y]))
        );
    }
}
