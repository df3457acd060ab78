//! Rows of attacks and of their look-alikes, and which of them validate instead of training.
//!
//! Must not be here: how a payload becomes a row (`exposure`).

use anyhow::Context;
use ndarray::{Array2, Axis};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use weir_features::{Extractor, FIELD_WIDTH, Location};

use super::{FieldData, is_validation};
use crate::exposure::{ExposureRows, Template};
use crate::fit::FitOptions;
use crate::progress::Progress;

/// Ordinary rows that are no site's own, and where each stands.
#[derive(Debug)]
pub(super) struct Benign {
    pub(super) rows: Array2<f32>,
    pub(super) locations: Vec<Location>,
}

/// Rows that are no site's own.
#[derive(Debug)]
pub(super) struct Exposed {
    /// Attacks to train on.
    pub(super) training: Array2<f32>,
    /// Attacks to choose the kind of error by.
    pub(super) validation: Array2<f32>,
    /// Look-alikes of attacks, which are normal rows.
    pub(super) benign: Benign,
    /// Look-alikes that calibrate instead of training.
    pub(super) spare: Benign,
}

/// Training and validation rows of attacks, and their look-alikes.
pub(super) fn exposure_rows(
    data: &FieldData<'_>,
    normal_rows: usize,
    options: &FitOptions,
    progress: Progress,
) -> anyhow::Result<Exposed> {
    let none = || Array2::zeros((0, FIELD_WIDTH));
    let nobody = || Benign {
        rows: none(),
        locations: Vec::new(),
    };
    let Some(exposure) = data.exposure else {
        return Ok(Exposed {
            training: none(),
            validation: none(),
            benign: nobody(),
            spare: nobody(),
        });
    };
    let training = data
        .requests
        .iter()
        .enumerate()
        .filter(|(index, _)| data.held_out.get(*index) != Some(&true));
    let templates: Vec<Template<'_>> = training
        .map(|(index, request)| Template {
            request: &request.request,
            past: data.timeline.past(index),
        })
        .collect();
    let wanted = options
        .exposure_rows
        .unwrap_or_else(|| normal_rows.clamp(20_000, 200_000));
    let mut rng = ChaCha8Rng::seed_from_u64(options.seed ^ 0xa77a_c450);
    let stage = progress.stage("exposure", 0);
    let made = ExposureRows::generate(&templates, exposure, Extractor::shared(), &mut rng, wanted)
        .context("cannot make exposure rows")?;
    stage.finish(&format!("{} rows", made.rows.nrows()));
    let pick = |rows: usize, validation: bool| -> Vec<usize> {
        (0..rows)
            .filter(|&row| is_validation(row) == validation)
            .collect()
    };
    let attacks = |validation| {
        let chosen = pick(made.rows.nrows(), validation);
        made.rows.select(Axis(0), &chosen)
    };
    let benign = |validation| {
        let chosen = pick(made.benign.nrows(), validation);
        let location = |row: &usize| made.benign_locations.get(*row).copied();
        Benign {
            rows: made.benign.select(Axis(0), &chosen),
            locations: chosen.iter().filter_map(location).collect(),
        }
    };
    Ok(Exposed {
        training: attacks(false),
        validation: attacks(true),
        benign: benign(false),
        spare: benign(true),
    })
}
