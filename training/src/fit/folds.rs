//! The other folds of a cross-conformal calibration: detectors that are trained to judge sites, and then thrown away.
//!
//! Must not be here: the detector that is published, and the fit of the tail.

use super::calibrate::{Errors, held_out_values};
use super::field::{self, FieldData};
use super::{Detectors, FitOptions, held_out};
use crate::progress::{Progress, Stop};

/// Values of the sites of the other folds, each by a detector that was trained without them: how sites differ is the
/// largest unknown of a calibration for sites that nobody has seen, and one fold holds few of them (cross-conformal
/// prediction; Vovk, "Cross-conformal predictors", 2015).
pub(super) fn others(
    data: &FieldData<'_>,
    folds: u8,
    sites: &[u64],
    options: &FitOptions,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Vec<f32>> {
    let mut values = Vec::new();
    if !data.other_sites || options.detectors == Detectors::Request {
        return Ok(values);
    }
    for fold in 1..folds {
        let held_out = held_out::fold(data.requests, fold);
        // Of few sites a fold may hold none, or all.
        if !(held_out.contains(&true) && held_out.contains(&false)) {
            continue;
        }
        progress.note(&format!("fold {} of {folds}, for calibration", fold + 1));
        let data = FieldData {
            held_out: &held_out,
            ..*data
        };
        let outcome = field::train(&data, None, options, progress, stop)?;
        let without_profile = outcome
            .detector
            .errors_without_profile(data.corpus.rows.clone());
        let no_measure = outcome.no_measure(&without_profile);
        let errors = Errors {
            rows: &without_profile,
            without_profile: &without_profile,
            sites: Some(sites),
            requests: None,
            lookalikes: &outcome.lookalikes,
            no_measure: &no_measure,
        };
        values.extend(held_out_values(data.corpus, &held_out, errors)?);
    }
    Ok(values)
}
