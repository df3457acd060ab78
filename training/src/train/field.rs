//! Training of the field autoencoder: reconstruction of normal rows, outlier exposure through hinges on the log error.
//!
//! Must not be here: how exposure rows are made (see `exposure`) and what an error means to an operator (calibration).

use std::ops::Range;

use burn::module::Module;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::activation::softplus;
use burn::tensor::{Device, Tensor, TensorData, s};
use ndarray::{Array2, ArrayView2};
use rand::seq::SliceRandom;
use rand::{Rng, RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

mod general;

use super::schedule::Cosine;
use super::{Standardisation, errors};
use crate::network::{FieldAutoencoder, Weights, floats};
use crate::progress::{Progress, Stop, Stopped};
use general::lottery;
pub use general::{GENERAL_PART, General};

/// Rows with more copies than this are never trimmed.
const RARE_COPIES: u32 = 2;

/// Keeps the logarithm of a perfect reconstruction finite.
const LOG_FLOOR: f64 = 1e-3;

/// Few rows need more than the chosen epochs: training takes at least this many steps, in at most ten times the epochs.
const LEAST_STEPS: usize = 1500;

/// Rows drawn in an epoch at most: more traffic makes epochs more varied, not training longer.
const MOST_DRAWN: usize = 100_000;

/// Epochs from one look at which attacks are hard to the next.
const REVIEW: usize = 2;
/// How far below the margin the log error of a hard attack is.
const HARD: f64 = 1.0;

/// Share of draws without a profile where nothing else is asked for.
const MASK: f64 = 0.3;

/// Settings of [`train_field`].
#[derive(Debug, Clone, PartialEq)]
pub struct FieldOptions {
    /// Hidden sizes down to the bottleneck.
    pub hidden: Vec<usize>,
    /// Networks that are trained alike from different seeds, and judge together.
    pub members: usize,
    /// Passes over the normal rows.
    pub epochs: usize,
    /// Normal rows a step; as many exposure rows join them.
    pub batch: usize,
    /// Learning rate at the start of the cosine schedule.
    pub rate: f64,
    /// Share of inputs dropped.
    pub dropout: f64,
    /// Log error above which exposure rows are pushed.
    pub margin: f64,
    /// How many times an exposure row is drawn whose log error stays well below the margin; 1: like all others.
    pub hard_draws: usize,
    /// Weight of the exposure hinges.
    pub lambda: f64,
    /// Share of normal rows with the highest errors that is dropped after a warm-up.
    pub trim: f64,
    /// Share of draws in which a row does without its profile, so that the network also serves where there is none; none:
    /// as suits what the model is for.
    pub mask: Option<f64>,
}

impl Default for FieldOptions {
    fn default() -> Self {
        Self {
            hidden: vec![128, 32],
            members: 3,
            epochs: 20,
            batch: 256,
            rate: 1e-3,
            dropout: 0.15,
            margin: 3.0,
            hard_draws: 3,
            lambda: 1.0,
            trim: 0.002,
            mask: None,
        }
    }
}

/// Where training starts when a base bundle is tuned: its weights, seen through its own standardisation.
#[derive(Debug, Clone)]
pub struct FieldStart {
    /// The network of the base.
    pub weights: Weights,
    /// The base's standardisation stays, or its weights would mean something else.
    pub scaling: Standardisation,
}

/// What training produced.
#[derive(Debug, Clone)]
pub struct FieldTraining {
    /// The network.
    pub weights: Weights,
    /// How its inputs are standardised.
    pub scaling: Standardisation,
    /// Indices of normal rows that trimming removed.
    pub trimmed: Vec<usize>,
    /// Mean loss of each epoch.
    pub losses: Vec<f64>,
}

struct Run<'a> {
    options: &'a FieldOptions,
    withheld: &'a [usize],
    normal: Array2<f32>,
    copies: &'a [u32],
    general: Array2<f32>,
    /// The general rows, each as often as it has copies.
    general_lottery: Vec<usize>,
    exposure: Array2<f32>,
    /// Exposure rows, each as often as it is drawn.
    attacks: Vec<usize>,
    profile: Range<usize>,
    /// What stands in the columns of the profile where a row does without: zeros, standardised.
    masked: Vec<f32>,
    rng: ChaCha8Rng,
    device: Device,
}

/// Raw rows to train on.
#[derive(Debug, Clone)]
pub struct FieldRows<'a> {
    /// Normal rows.
    pub normal: ArrayView2<'a, f32>,
    /// How many times each normal row stands in the lottery from which an epoch is drawn; empty: once each.
    pub copies: &'a [u32],
    /// Rows that a tuned network must go on knowing: one for [`GENERAL_PART`] normal ones in every step.
    pub general: Option<General<'a>>,
    /// Attack rows, possibly none.
    pub exposure: ArrayView2<'a, f32>,
    /// The columns of the profile, which are zeros where none has a say.
    pub profile: Range<usize>,
    /// Columns that the network must tell from the others, without seeing them.
    pub withheld: &'a [usize],
}

/// Trains on normal rows and, where there are any, against exposure rows.
///
/// # Errors
/// [`Stopped`] when `stop` was raised.
pub fn train_field(
    rows: &FieldRows<'_>,
    start: Option<&FieldStart>,
    options: &FieldOptions,
    seed: u64,
    progress: Progress,
    stop: &Stop,
) -> Result<FieldTraining, Stopped> {
    let scaling = start.map_or_else(
        || Standardisation::fit(rows.normal, rows.copies),
        |start| start.scaling.clone(),
    );
    let standardised = |rows: ArrayView2<'_, f32>| {
        let mut rows = rows.to_owned();
        scaling.apply(&mut rows);
        rows
    };
    let device = Device::flex().autodiff();
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let model = match start {
        Some(start) => FieldAutoencoder::from_weights(&start.weights, &device),
        None => FieldAutoencoder::new(rows.normal.ncols(), &options.hidden, &mut rng, &device),
    };
    let mut zeros = Array2::zeros((1, rows.normal.ncols()));
    scaling.apply(&mut zeros);
    let zeros = zeros.into_iter().skip(rows.profile.start);
    let masked = zeros.take(rows.profile.len()).collect();
    let run = Run {
        options,
        withheld: rows.withheld,
        masked,
        profile: rows.profile.clone(),
        normal: standardised(rows.normal),
        copies: rows.copies,
        general: rows.general.map_or_else(
            || Array2::zeros((0, rows.normal.ncols())),
            |general| standardised(general.rows),
        ),
        general_lottery: rows.general.map_or_else(Vec::new, |general| {
            lottery(general.rows.nrows(), general.copies)
        }),
        exposure: standardised(rows.exposure),
        attacks: (0..rows.exposure.nrows()).collect(),
        rng,
        device,
    };
    let (weights, trimmed, losses) = run.train(model, progress, stop)?;
    Ok(FieldTraining {
        weights,
        scaling,
        trimmed,
        losses,
    })
}

impl Run<'_> {
    fn train(
        mut self,
        mut model: FieldAutoencoder,
        progress: Progress,
        stop: &Stop,
    ) -> Result<(Weights, Vec<usize>, Vec<f64>), Stopped> {
        let rows = self.normal.nrows().min(MOST_DRAWN);
        let mut order = lottery(self.normal.nrows(), self.copies);
        let mut trimmed = Vec::new();
        let mut losses = Vec::new();
        let steps_an_epoch = rows.div_ceil(self.options.batch).max(1);
        let epochs = self.options.epochs.max(
            LEAST_STEPS
                .div_ceil(steps_an_epoch)
                .min(self.options.epochs.saturating_mul(10)),
        );
        let warm_up = (epochs / 4).max(1);
        let mut schedule = Cosine::new(self.options.rate, epochs * steps_an_epoch);
        let mut optimizer: ModuleOptimizer = AdamWConfig::new().with_weight_decay(1e-4).init();
        let mut stage = progress.stage("field", (epochs * rows) as u64);
        for epoch in 0..epochs {
            if epoch == warm_up {
                trimmed = self.trim(&self.frozen(&model), &mut order);
            }
            if epoch >= warm_up && (epoch - warm_up).is_multiple_of(REVIEW) {
                self.review_attacks(&self.frozen(&model));
            }
            order.shuffle(&mut self.rng);
            let mut sum = 0.0;
            let mut steps = 0u32;
            let drawn = order.get(..rows).unwrap_or(&order);
            for batch in drawn.chunks(self.options.batch) {
                stop.check()?;
                let loss = self.loss(&model, batch);
                let value = floats(loss.clone().into_data())
                    .first()
                    .copied()
                    .unwrap_or(f32::NAN);
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(schedule.next_rate(), model, gradients);
                sum += f64::from(value);
                steps += 1;
                stage.loss(sum / f64::from(steps));
                stage.advance(batch.len());
            }
            losses.push(sum / f64::from(steps.max(1)));
        }
        let first = losses.first().copied().unwrap_or(f64::NAN);
        let last = losses.last().copied().unwrap_or(f64::NAN);
        stage.finish(&format!(
            "{epochs} epochs of {rows} rows, loss {first:.4} to {last:.4}"
        ));
        Ok((self.frozen(&model.valid()), trimmed, losses))
    }

    /// The weights, with nothing left of what was withheld.
    fn frozen(&self, model: &FieldAutoencoder) -> Weights {
        let mut weights = model.freeze_weights();
        if let Some(first) = weights.layers.first_mut() {
            for &column in self.withheld {
                if column < first.weight.nrows() {
                    first.weight.row_mut(column).fill(0.0);
                }
            }
        }
        weights
    }

    /// From now on draws the attacks more often that the network does not tell from what is ordinary: most are easy, and a
    /// step that sees only those teaches nothing (hard example mining: Shrivastava, Gupta and Girshick, CVPR 2016).
    fn review_attacks(&mut self, weights: &Weights) {
        let draws = self.options.hard_draws.max(1);
        let short = (self.options.margin - HARD).exp();
        let found = errors(weights, self.exposure.view(), None);
        self.attacks = found
            .into_iter()
            .enumerate()
            .flat_map(|(row, error)| {
                let hard = f64::from(error) < short;
                std::iter::repeat_n(row, if hard { draws } else { 1 })
            })
            .collect();
    }

    fn loss(&mut self, model: &FieldAutoencoder, batch: &[usize]) -> Tensor<1> {
        let exposed = if self.exposure.nrows() == 0 {
            0
        } else {
            batch.len()
        };
        let general = if self.general_lottery.is_empty() {
            0
        } else {
            batch.len().div_ceil(GENERAL_PART)
        };
        let width = self.normal.ncols();
        let normal = batch.len() + general;
        let mut target = Vec::with_capacity((normal + exposed) * width);
        for &row in batch {
            target.extend(self.normal.row(row));
        }
        for _ in 0..general {
            let lot = self.rng.random_range(0..self.general_lottery.len());
            if let Some(&row) = self.general_lottery.get(lot) {
                target.extend(self.general.row(row));
            }
        }
        for _ in 0..exposed {
            let drawn = self.rng.random_range(0..self.attacks.len());
            let row = self.attacks.get(drawn).copied().unwrap_or(0);
            target.extend(self.exposure.row(row));
        }
        self.mask(&mut target);
        let shape = [normal + exposed, width];
        let input = Tensor::<2>::from_data(
            TensorData::new(self.drop_inputs(&target), shape),
            &self.device,
        );
        let target = Tensor::<2>::from_data(TensorData::new(target, shape), &self.device);
        let errors = (model.forward(input) - target).square().mean_dim(1);
        let ordinary = errors.clone().slice(s![0..normal]);
        let reconstruction = ordinary.clone().mean();
        if exposed == 0 {
            return reconstruction;
        }
        let exposed = errors.slice(s![normal..]);
        let below = softplus((ordinary + LOG_FLOOR).log(), 1.0).mean();
        let above = softplus(-(exposed + LOG_FLOOR).log() + self.options.margin, 1.0).mean();
        reconstruction + (below + above) * self.options.lambda
    }

    /// Takes the profile from some of the rows, from target and input alike.
    fn mask(&mut self, rows: &mut [f32]) {
        let share = self.options.mask.unwrap_or(MASK).clamp(0.0, 1.0);
        if self.masked.is_empty() {
            return;
        }
        for row in rows.chunks_exact_mut(self.normal.ncols()) {
            if self.rng.random_bool(share)
                && let Some(columns) = row.get_mut(self.profile.clone())
            {
                columns.copy_from_slice(&self.masked);
            }
        }
    }

    /// Input dropout, with one random byte an input.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 256"
    )]
    fn drop_inputs(&mut self, target: &[f32]) -> Vec<f32> {
        let threshold = (self.options.dropout.clamp(0.0, 0.9) * 256.0).round() as u8;
        let scale = 256.0 / (256.0 - f32::from(threshold));
        let mut dice = vec![0u8; target.len()];
        self.rng.fill_bytes(&mut dice);
        let kept = target.iter().zip(&dice);
        let mut input: Vec<f32> = kept
            .map(|(&x, &die)| if die < threshold { 0.0 } else { x * scale })
            .collect();
        for row in input.chunks_exact_mut(self.normal.ncols()) {
            for &column in self.withheld {
                if let Some(value) = row.get_mut(column) {
                    *value = 0.0;
                }
            }
        }
        input
    }

    /// Drops the rows that reconstruct worst: normal traffic is never clean, and what is rare enough to be missed by
    /// a quarter of the training is where an attack in the capture would sit. What many requests carry stays.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "a share"
    )]
    fn trim(&self, weights: &Weights, order: &mut Vec<usize>) -> Vec<usize> {
        let count = (self.options.trim.clamp(0.0, 0.05) * self.normal.nrows() as f64) as usize;
        let rare = |row: &usize| {
            self.copies
                .get(*row)
                .is_none_or(|&copies| copies <= RARE_COPIES)
        };
        let mut by_error: Vec<(f32, usize)> = errors(weights, self.normal.view(), None)
            .into_iter()
            .zip(0..)
            .filter(|(_, row)| rare(row))
            .collect();
        by_error.sort_by(|a, b| b.0.total_cmp(&a.0).then(a.1.cmp(&b.1)));
        let mut trimmed: Vec<usize> = by_error
            .into_iter()
            .take(count)
            .map(|(_, row)| row)
            .collect();
        trimmed.sort_unstable();
        order.sort_unstable();
        order.retain(|row| trimmed.binary_search(row).is_err());
        trimmed
    }
}

#[cfg(test)]
mod tests;
