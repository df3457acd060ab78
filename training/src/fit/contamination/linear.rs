//! A logistic regression that tells exposure rows from the rows of a capture, some of which are attacks themselves.
//!
//! Must not be here: what is done with a suspicious row.
//!
//! It is fitted on equally many of both, in small steps and few of them: then it points from the mean of the capture to the
//! mean of the attacks and has no time to learn that some rows of the capture lie on the far side. Ten times the rate
//! loses half of the attacks among 5% (measured). Its probabilities are worth nothing as such, only against those of
//! attacks.

use ndarray::{Array1, Array2, ArrayView2, Axis, Slice};
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

use crate::fit::field::PROFILE;
use crate::train::Standardisation;

/// Rows of either kind that are used at most.
const MOST_ROWS: usize = 20_000;
const EPOCHS: usize = 6;
const BATCH: usize = 64;
const RATE: f32 = 0.002;
const DECAY: f32 = 1e-4;

/// Standardised rows times weights, through a sigmoid.
#[derive(Debug)]
pub(super) struct Linear {
    scaling: Standardisation,
    weights: Array1<f32>,
    bias: f32,
}

impl Linear {
    /// Fits `attacks` as 1 and `normal` as 0.
    pub(super) fn fit(
        normal: ArrayView2<'_, f32>,
        attacks: ArrayView2<'_, f32>,
        seed: u64,
    ) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed ^ 0x5059_11ed);
        let each = normal.nrows().min(attacks.nrows()).clamp(1, MOST_ROWS);
        let mut chosen = |rows: ArrayView2<'_, f32>| {
            let mut order: Vec<usize> = (0..rows.nrows()).collect();
            order.shuffle(&mut rng);
            order.truncate(each);
            rows.select(Axis(0), &order)
        };
        let mut rows = chosen(normal);
        let normal_rows = rows.nrows();
        let attacks = chosen(attacks);
        // Of one width by construction; of none at all if they ever were not.
        let _same_width = rows.append(Axis(0), attacks.view());
        let mut scaling = Standardisation::fit(rows.view(), &[]);
        // What is new on a site is no attack for being new.
        let mut profile = scaling
            .inverse
            .slice_axis_mut(Axis(0), Slice::from(PROFILE));
        profile.fill(0.0);
        scaling.apply(&mut rows);
        let mut model = Self {
            weights: Array1::zeros(rows.ncols()),
            bias: 0.0,
            scaling,
        };
        let mut order: Vec<usize> = (0..rows.nrows()).collect();
        for epoch in 0..EPOCHS {
            order.shuffle(&mut rng);
            #[expect(clippy::cast_precision_loss, reason = "a handful of epochs")]
            let rate = RATE / (1.0 + epoch as f32);
            for batch in order.chunks(BATCH) {
                model.step(&rows.select(Axis(0), batch), batch, normal_rows, rate);
            }
        }
        model
    }

    #[expect(clippy::cast_precision_loss, reason = "a batch is small")]
    fn step(&mut self, rows: &Array2<f32>, batch: &[usize], normal_rows: usize, rate: f32) {
        let mut errors = self.activations(rows);
        for (error, &row) in errors.iter_mut().zip(batch) {
            *error -= f32::from(u8::from(row >= normal_rows));
        }
        let size = batch.len() as f32;
        let gradient = rows.t().dot(&errors) / size + &self.weights * DECAY;
        self.weights.scaled_add(-rate, &gradient);
        self.bias -= rate * errors.sum() / size;
    }

    fn activations(&self, rows: &Array2<f32>) -> Array1<f32> {
        (rows.dot(&self.weights) + self.bias).mapv(|x| 1.0 / (1.0 + (-x).exp()))
    }

    /// For each raw row how much it looks like an attack, from 0 to 1.
    pub(super) fn probabilities(&self, rows: ArrayView2<'_, f32>) -> Vec<f32> {
        const CHUNK: usize = 4096;
        let mut all = Vec::with_capacity(rows.nrows());
        for chunk in rows.axis_chunks_iter(Axis(0), CHUNK) {
            let mut rows = chunk.to_owned();
            self.scaling.apply(&mut rows);
            all.extend(self.activations(&rows));
        }
        all
    }
}
