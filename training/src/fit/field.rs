//! The field detector of a bundle: trained, tuned from a base or taken from it unchanged.
//!
//! Must not be here: calibration of its errors and the bundle's files.

use std::ops::Range;

use anyhow::Context;
use ndarray::{Array1, Array2, ArrayView2, Axis, Slice};
use weir_features::profile::{PROFILE_CONTEXT, PROFILE_TOTAL, PROFILE_WIDTH};
use weir_features::schema::PROFILE_AT;
use weir_features::{FIELD_WIDTH, Location};

mod detector;
mod exposed;
mod general;

pub use detector::FieldDetector;
use exposed::exposure_rows;
use general::General;

use super::corpus::Corpus;
use super::timeline::Timeline;
use super::{FitOptions, calibrate, contamination};
use crate::data::{Exposure, LabelledRequest};
use crate::network::Weights;
use crate::progress::{Progress, Stop};
use crate::train::{
    FieldOptions, FieldRows, FieldStart, FieldTraining, residual_sigma, root, train_field,
};

/// Least deviation of a residual: below it a feature that always reconstructs perfectly would shout.
const SIGMA_FLOOR: f32 = 0.1;

/// The columns that a site's profile fills.
pub(super) const PROFILE: Range<usize> = PROFILE_AT..PROFILE_AT + PROFILE_WIDTH;

/// How much a squared residual of a profile column counts against one of another column: of some four hundred columns
/// they are few, and only they know that a harmless value is out of place.
const PROFILE_WEIGHT: f32 = 25.0;

/// The same for the one profile column that adds up the others. On CSIC 2010 (development part), weights of 50 and 50,
/// 50 and 1,000, 10 and 1,000 gave a true-positive rate at 1% of 0.982, 0.988 and 0.993 with duplicates removed, and at
/// 0.5% of 0.9994, 0.9994 and 0.9961 with them.
const TOTAL_WEIGHT: f32 = 1000.0;

/// A model for other sites mostly meets rows without a profile.
const MASK_FOR_OTHERS: f64 = 0.7;

/// Rows a network is trained on at most; of more, an even sample is taken.
const MOST_ROWS: usize = 300_000;

/// A location that occurs gets at least one in this many draws, as far as [`MOST_BOOST`] allows.
const LEAST_LOCATION: u32 = 25;

/// Between the seeds of two networks of a detector, so that seeds near each other share none.
const SEEDS_APART: u64 = 1 << 32;

/// Few rows of a location are drawn at most this many times more often.
const MOST_BOOST: u32 = 256;

/// One in this many exposure rows and general requests validates instead of training.
const VALIDATION_SHARE: usize = 10;

fn is_validation(number: usize) -> bool {
    number.is_multiple_of(VALIDATION_SHARE)
}

/// The detector and what happened while it was made.
#[derive(Debug)]
pub struct FieldOutcome {
    /// The detector.
    pub detector: FieldDetector,
    /// Location and error of ordinary look-alikes that training did not see.
    pub lookalikes: Vec<(Location, f32)>,
    /// Exposure rows used, those of the validation part included.
    pub exposure_rows: usize,
    /// Rows that training saw.
    pub training_rows: usize,
    /// General normal rows that training saw: none without a base.
    pub general_rows: usize,
    /// Rows dropped for their error.
    pub trimmed: usize,
    /// Rows set aside as code-like.
    pub quarantined: Vec<u32>,
    /// Errors of attacks that training did not see, without a profile.
    attacks: Vec<f32>,
    /// How well held-out normal rows and exposure rows separate, by plain and by normalised error.
    pub separation: Option<[f64; 2]>,
}

impl FieldOutcome {
    /// Rows of the corpus that say nothing of how high ordinary errors are on sites that nobody has seen; `errors`:
    /// theirs without a profile.
    #[must_use]
    pub fn no_measure(&self, errors: &[f32]) -> Vec<u32> {
        contamination::no_measure(&self.quarantined, errors, self.attacks.clone())
    }
}

/// The columns that tell how a value departs from what is usual.
fn deviations() -> Vec<usize> {
    (0..PROFILE_WIDTH)
        .filter(|column| !PROFILE_CONTEXT.contains(column))
        .map(|column| PROFILE_AT + column)
        .collect()
}

/// Everything training looks at.
#[derive(Debug, Clone, Copy)]
pub struct FieldData<'a> {
    /// All requests.
    pub requests: &'a [LabelledRequest],
    /// Their rows.
    pub corpus: &'a Corpus,
    /// Which requests are held out.
    pub held_out: &'a [bool],
    /// Attack samples, possibly none.
    pub exposure: Option<&'a Exposure>,
    /// What was known of each request's site when it came.
    pub timeline: &'a Timeline,
    /// True when the model is for sites that it has not seen.
    pub other_sites: bool,
}

/// Trains the detector, from `base` where there is one.
///
/// # Errors
/// When stopped, or when exposure rows cannot be made.
pub fn train(
    data: &FieldData<'_>,
    base: Option<&FieldDetector>,
    options: &FitOptions,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<FieldOutcome> {
    let held_out = |request: usize| data.held_out.get(request).copied().unwrap_or(false);
    let candidates = data.corpus.rows_of(|request| !held_out(request));
    let exposure = exposure_rows(data, candidates.len(), options, progress)?;
    let quarantined =
        contamination::quarantine(data.corpus, exposure.training.view(), options.seed);
    let rows = thin(
        candidates
            .into_iter()
            .filter(|row| quarantined.binary_search(row).is_err())
            .collect(),
    );
    anyhow::ensure!(
        !rows.is_empty(),
        "no rows to train on: give more normal requests"
    );
    let mut normal = data.corpus.select(&rows);
    normal.append(Axis(0), exposure.benign.rows.view())?;
    let settings = FieldOptions {
        mask: options
            .field
            .mask
            .or(data.other_sites.then_some(MASK_FOR_OTHERS)),
        ..options.field.clone()
    };
    // Without attacks to learn from, how unusual a value is must not help to reconstruct how unusual it is.
    let withheld = if exposure.training.nrows() == 0 {
        deviations()
    } else {
        Vec::new()
    };
    let lots = copies(data.corpus, &rows, &exposure.benign.locations);
    let general = match base {
        Some(_) => General::generate(options, progress, stop)?,
        None => General::none(),
    };
    let field_rows = FieldRows {
        normal: normal.view(),
        copies: &lots,
        general: general.training(),
        exposure: exposure.training.view(),
        profile: PROFILE,
        withheld: &withheld,
    };
    let trained = train_members(&field_rows, base, &settings, options.seed, progress, stop)?;
    let trimmed = trained.first().map_or(0, |member| member.trimmed.len());
    let held = data.corpus.rows_of(held_out).into_iter();
    let held = thin(
        held.filter(|row| quarantined.binary_search(row).is_err())
            .collect(),
    );
    let held_lots = copies(data.corpus, &held, &[]);
    let (held, held_lots) = general.beside(data.corpus.select(&held), held_lots)?;
    // Of few held-out rows nothing is measured anew: the base's calibration stays, and with it what its errors are.
    let few = calibrate::distinct_held_out(data.corpus, data.held_out) < calibrate::LEAST_REQUESTS;
    let kept = base.filter(|_| few).map(|base| &base.sigma);
    let (detector, separation) = detector(trained, kept, &held, &held_lots, &exposure.validation)?;
    let spare = exposure.spare;
    let lookalikes = spare
        .locations
        .into_iter()
        .zip(detector.errors(spare.rows))
        .collect();
    Ok(FieldOutcome {
        attacks: detector.errors_without_profile(exposure.validation.clone()),
        detector,
        lookalikes,
        exposure_rows: exposure.training.nrows() + exposure.validation.nrows(),
        training_rows: rows.len(),
        general_rows: general.rows(),
        trimmed,
        quarantined,
        separation,
    })
}

/// Trains the networks one after another, each from a seed of its own and from its counterpart in the base.
fn train_members(
    rows: &FieldRows<'_>,
    base: Option<&FieldDetector>,
    settings: &FieldOptions,
    seed: u64,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Vec<FieldTraining>> {
    let count = base.map_or(settings.members, |base| base.members.len());
    (0..count.max(1))
        .map(|member| {
            let start = base.and_then(|base| {
                Some(FieldStart {
                    weights: base.members.get(member)?.clone(),
                    scaling: base.scaling.clone(),
                })
            });
            let seed = seed.wrapping_add(member as u64 * SEEDS_APART);
            Ok(train_field(
                rows,
                start.as_ref(),
                settings,
                seed,
                progress,
                stop,
            )?)
        })
        .collect()
}

/// The networks with the divisors that are `kept`, or with those that separate `held` rows from attacks better.
fn detector(
    trained: Vec<FieldTraining>,
    kept: Option<&Array1<f32>>,
    held: &Array2<f32>,
    held_lots: &[u32],
    attacks: &Array2<f32>,
) -> anyhow::Result<(FieldDetector, Option<[f64; 2]>)> {
    let scaling = trained
        .first()
        .map(|member| member.scaling.clone())
        .context("a field detector has at least one network")?;
    let plain = FieldDetector {
        members: trained.into_iter().map(|member| member.weights).collect(),
        scaling,
        sigma: Array1::ones(FIELD_WIDTH),
    };
    if let Some(sigma) = kept {
        let sigma = sigma.clone();
        return Ok((FieldDetector { sigma, ..plain }, None));
    }
    let sigma = divisors(&plain, held, held_lots);
    let normalised = FieldDetector {
        sigma,
        ..plain.clone()
    };
    Ok(choose(plain, normalised, held, attacks))
}

/// What the residuals of a normalised error are divided by.
fn divisors(plain: &FieldDetector, rows: &Array2<f32>, copies: &[u32]) -> Array1<f32> {
    let mut scaled = rows.clone();
    plain.scaling.apply(&mut scaled);
    let mut sigma = joint_sigma(&plain.members, scaled.view(), copies);
    sigma
        .slice_axis_mut(Axis(0), Slice::from(PROFILE))
        .mapv_inplace(|sigma| sigma / PROFILE_WEIGHT.sqrt());
    if let Some(total) = sigma.get_mut(PROFILE_AT + PROFILE_TOTAL) {
        *total *= (PROFILE_WEIGHT / TOTAL_WEIGHT).sqrt();
    }
    sigma
}

/// The deviation of the residuals of all networks together.
fn joint_sigma(members: &[Weights], rows: ArrayView2<'_, f32>, copies: &[u32]) -> Array1<f32> {
    let sigmas = members
        .iter()
        .map(|weights| residual_sigma(weights, rows, copies, SIGMA_FLOOR));
    let squares = sigmas.fold(Array1::zeros(rows.ncols()), |sum, sigma| {
        sum + &sigma * &sigma
    });
    (squares * root(members.len())).mapv(f32::sqrt)
}

/// Without exposure the normalised error is the measured best; with it, whichever separates a validation part better.
fn choose(
    plain: FieldDetector,
    normalised: FieldDetector,
    normal: &Array2<f32>,
    attacks: &Array2<f32>,
) -> (FieldDetector, Option<[f64; 2]>) {
    if attacks.nrows() == 0 {
        return (normalised, None);
    }
    let separation = |detector: &FieldDetector| {
        area_under_curve(
            &detector.errors(normal.clone()),
            &detector.errors(attacks.clone()),
        )
    };
    let areas = [separation(&plain), separation(&normalised)];
    (
        if areas[1] > areas[0] {
            normalised
        } else {
            plain
        },
        Some(areas),
    )
}

/// Probability that an attack row has the larger error (ties count half).
#[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
fn area_under_curve(normal: &[f32], attacks: &[f32]) -> f64 {
    let mut all: Vec<(f32, bool)> = normal.iter().map(|&e| (e, false)).collect();
    all.extend(attacks.iter().map(|&e| (e, true)));
    all.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut area) = (0.0, 0.0);
    for ties in all.chunk_by(|a, b| a.0 == b.0) {
        let attacks = ties.iter().filter(|(_, attack)| *attack).count() as f64;
        let normal = ties.len() as f64 - attacks;
        area += attacks * (below + normal / 2.0);
        below += normal;
    }
    area / (normal.len() as f64 * attacks.len() as f64).max(1.0)
}

/// Lots of a look-alike: about as many as a row that a handful of requests carry.
const LOOKALIKE_LOTS: u32 = 2;

/// How often each row is drawn in training: more for what many requests carry, and for locations that have few rows.
/// A header that every request carries is one row; unless it is learnt well, its error drowns all others. The rows of
/// look-alikes, whose locations are given, follow those of the corpus.
fn copies(corpus: &Corpus, rows: &[u32], lookalikes: &[Location]) -> Vec<u32> {
    let own = rows.iter().map(|&row| {
        let facts = corpus.facts.get(row as usize);
        let often = 1 + corpus.seen(row).max(1).ilog2();
        (facts.map_or(0, |facts| facts.location.index()), often)
    });
    let others = lookalikes
        .iter()
        .map(|location| (location.index(), LOOKALIKE_LOTS));
    let lots: Vec<(usize, u32)> = own.chain(others).collect();
    let mut totals = [0u32; Location::COUNT];
    for &(location, often) in &lots {
        if let Some(total) = totals.get_mut(location) {
            *total += often;
        }
    }
    let least = totals.iter().sum::<u32>() / LEAST_LOCATION;
    let boost = |location: usize| {
        let total = totals.get(location).copied().unwrap_or(1).max(1);
        least.div_ceil(total).clamp(1, MOST_BOOST)
    };
    lots.iter()
        .map(|&(location, often)| often * boost(location))
        .collect()
}

/// At most [`MOST_ROWS`], evenly spread.
fn thin(rows: Vec<u32>) -> Vec<u32> {
    let step = rows.len().div_ceil(MOST_ROWS).max(1);
    rows.into_iter().step_by(step).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn the_area_counts_ties_half() {
        let area = super::area_under_curve(&[1.0, 2.0], &[2.0, 3.0]);
        assert!((area - 0.875).abs() < 1e-9);
    }
}
