//! Training of the request autoencoder: reconstruction of scaled vectors, plateau schedule, early stopping.
//!
//! Must not be here: the making of vectors from requests (features) and their order in time (see `fit`).

use burn::grad_clipping::GradientClippingConfig;
use burn::optim::{AdamWConfig, GradientsParams, ModuleOptimizer};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array2, ArrayView2, Axis, concatenate};
use rand::seq::SliceRandom;
use rand::{RngCore, SeedableRng};
use rand_chacha::ChaCha8Rng;

use super::schedule::Plateau;
use super::{Range, errors};
use crate::network::{RequestAutoencoder, Weights};
use crate::progress::{Progress, Stop, Stopped};

/// Settings of [`train_request`].
#[derive(Debug, Clone, PartialEq)]
pub struct RequestOptions {
    /// At most this many passes.
    pub epochs: usize,
    /// Vectors a step.
    pub batch: usize,
    /// First learning rate.
    pub rate: f64,
    /// Share of hidden activations dropped.
    pub dropout: f64,
    /// Epochs without an improvement after which training ends.
    pub patience: usize,
}

impl Default for RequestOptions {
    fn default() -> Self {
        Self {
            epochs: 100,
            batch: 128,
            rate: 2e-3,
            dropout: 0.2,
            patience: 15,
        }
    }
}

/// What training produced.
#[derive(Debug, Clone)]
pub struct RequestTraining {
    /// The network of the best epoch.
    pub weights: Weights,
    /// How its inputs are scaled and filled.
    pub range: Range,
    /// Validation error of each epoch.
    pub losses: Vec<f64>,
}

/// Trains on raw vectors in time order; the last fifth decides when to stop.
///
/// # Errors
/// [`Stopped`] when `stop` was raised.
pub fn train_request(
    vectors: ArrayView2<'_, f32>,
    options: &RequestOptions,
    seed: u64,
    progress: Progress,
    stop: &Stop,
) -> Result<RequestTraining, Stopped> {
    let range = Range::fit(vectors);
    let mut scaled = vectors.to_owned();
    range.apply(&mut scaled);
    let cut = scaled.nrows() - scaled.nrows() / 5;
    let (train, validation) = scaled.view().split_at(Axis(0), cut);
    // A capture too short to spare a fifth validates on what it trains on.
    let validation = if validation.nrows() < 20 {
        train
    } else {
        validation
    };
    let device = Device::flex().autodiff();
    let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5eed);
    let model = RequestAutoencoder::new(vectors.ncols(), &mut rng, &device);
    let run = Run {
        options,
        train: at_least(train, options.batch),
        rng,
        device,
    };
    let (weights, losses) = run.train(model, validation, progress, stop)?;
    Ok(RequestTraining {
        weights,
        range,
        losses,
    })
}

/// Repeats few vectors until they fill a batch: batch normalisation needs one.
fn at_least(rows: ArrayView2<'_, f32>, count: usize) -> Array2<f32> {
    if rows.nrows() == 0 || rows.nrows() >= count {
        return rows.to_owned();
    }
    let copies = vec![rows; count.div_ceil(rows.nrows())];
    concatenate(Axis(0), &copies).unwrap_or_else(|_| rows.to_owned())
}

struct Run<'a> {
    options: &'a RequestOptions,
    train: Array2<f32>,
    rng: ChaCha8Rng,
    device: Device,
}

impl Run<'_> {
    fn train(
        mut self,
        mut model: RequestAutoencoder,
        validation: ArrayView2<'_, f32>,
        progress: Progress,
        stop: &Stop,
    ) -> Result<(Weights, Vec<f64>), Stopped> {
        let mut optimizer: ModuleOptimizer = AdamWConfig::new()
            .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
            .init();
        let rows = self.train.nrows();
        let mut order: Vec<usize> = (0..rows).collect();
        let mut plateau = Plateau::new(self.options.rate, self.options.patience);
        let mut best = model.freeze_weights();
        let mut losses = Vec::new();
        let mut stage = progress.stage("request", (self.options.epochs * rows) as u64);
        while losses.len() < self.options.epochs && !plateau.over() {
            order.shuffle(&mut self.rng);
            for batch in order.chunks_exact(self.options.batch.min(rows).max(1)) {
                stop.check()?;
                let loss = self.loss(&model, batch);
                let gradients = GradientsParams::from_grads(loss.backward(), &model);
                model = optimizer.step(plateau.rate, model, gradients);
                stage.advance(batch.len());
            }
            let frozen = model.freeze_weights();
            let error = mean(&errors(&frozen, validation, None));
            if plateau.improved(error) {
                best = frozen;
            }
            stage.loss(f64::from(error));
            losses.push(f64::from(error));
        }
        stage.finish(&format!(
            "{} epochs of {rows} requests, error {:.5}",
            losses.len(),
            plateau.best
        ));
        Ok((best, losses))
    }

    fn loss(&mut self, model: &RequestAutoencoder, batch: &[usize]) -> Tensor<1> {
        let width = self.train.ncols();
        let values: Vec<f32> = batch
            .iter()
            .flat_map(|&row| self.train.row(row).to_vec())
            .collect();
        let target =
            Tensor::<2>::from_data(TensorData::new(values, [batch.len(), width]), &self.device);
        let masks = self.masks(model, batch.len());
        (model.forward(target.clone(), masks) - target)
            .square()
            .mean()
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a share of 256"
    )]
    fn masks(&mut self, model: &RequestAutoencoder, rows: usize) -> Vec<Tensor<2>> {
        let threshold = (self.options.dropout.clamp(0.0, 0.9) * 256.0).round() as u8;
        let keep = 256.0 / (256.0 - f32::from(threshold));
        let mut masks = Vec::new();
        for width in model.hidden_widths() {
            let mut dice = vec![0u8; rows * width];
            self.rng.fill_bytes(&mut dice);
            let mask: Vec<f32> = dice
                .iter()
                .map(|&die| if die < threshold { 0.0 } else { keep })
                .collect();
            masks.push(Tensor::from_data(
                TensorData::new(mask, [rows, width]),
                &self.device,
            ));
        }
        masks
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "row counts stay far below 2^24 here or precision does not matter"
)]
fn mean(values: &[f32]) -> f32 {
    values.iter().sum::<f32>() / values.len().max(1) as f32
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use rand::Rng;

    use super::*;

    #[test]
    fn learns_a_dependency_between_features() {
        let mut rng = ChaCha8Rng::seed_from_u64(3);
        let mut vectors = Array2::from_shape_simple_fn((600, 35), || rng.random::<f32>() * 0.1);
        for mut row in vectors.rows_mut() {
            let shared: f32 = rng.random();
            for i in 0..10 {
                row[i] = shared;
            }
            row[20] = f32::NAN;
        }
        let options = RequestOptions {
            epochs: 40,
            ..RequestOptions::default()
        };
        let trained = train_request(
            vectors.view(),
            &options,
            1,
            Progress::Silent,
            &Stop::default(),
        )
        .unwrap();
        let mut scaled = vectors.clone();
        trained.range.apply(&mut scaled);
        let usual = mean(&errors(&trained.weights, scaled.view(), None));
        for mut row in scaled.rows_mut() {
            row[0] = 1.0 - row[0];
            row[5] = 1.0 - row[5];
        }
        let broken = mean(&errors(&trained.weights, scaled.view(), None));
        assert!(broken > usual * 1.1, "usual {usual}, broken {broken}");
        assert_eq!(trained.weights.widths(), [35, 24, 12, 6, 12, 24, 35]);
    }

    #[test]
    fn seven_requests_are_enough_to_finish() {
        let vectors = Array2::from_shape_fn((7, 35), |(r, c)| (r * c) as f32);
        let options = RequestOptions {
            epochs: 3,
            ..RequestOptions::default()
        };
        let trained = train_request(
            vectors.view(),
            &options,
            1,
            Progress::Silent,
            &Stop::default(),
        )
        .unwrap();
        assert_eq!(trained.losses.len(), 3);
    }
}
