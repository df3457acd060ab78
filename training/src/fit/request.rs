//! The request detector of a bundle: vectors of a capture in, a calibrated-to-be network out.
//!
//! Must not be here: calibration of its errors and the bundle's files.

use ndarray::{Array1, Array2};
use weir_features::{REQUEST_WIDTH, RequestVector};

use super::FitOptions;
use crate::export::request_model;
use crate::network::Weights;
use crate::progress::{Progress, Stop, Stopped};
use crate::train::{Range, errors, residual_sigma, train_request};

/// Least deviation of a residual, in units of the training range.
const SIGMA_FLOOR: f32 = 0.02;

/// A request network with everything that makes an error out of a raw vector.
#[derive(Debug, Clone)]
pub struct RequestDetector {
    /// The network.
    pub weights: Weights,
    /// What its inputs go through.
    pub range: Range,
    /// What its residuals are divided by.
    pub sigma: Array1<f32>,
}

impl RequestDetector {
    /// Trains on the vectors of requests that are not held out, in time order; the held-out ones give the residuals'
    /// deviations.
    ///
    /// # Errors
    /// [`Stopped`] when `stop` was raised.
    pub fn train(
        vectors: &[RequestVector],
        order: &[usize],
        held_out: &[bool],
        options: &FitOptions,
        progress: Progress,
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let held = |index: &usize| held_out.get(*index).copied().unwrap_or(false);
        let part = |wanted: bool| -> Array2<f32> {
            let chosen = order.iter().filter(|index| held(index) == wanted);
            matrix(chosen.filter_map(|&index| vectors.get(index)))
        };
        let trained = train_request(
            part(false).view(),
            &options.request,
            options.seed,
            progress,
            stop,
        )?;
        let mut held = part(true);
        trained.range.apply(&mut held);
        let sigma = residual_sigma(&trained.weights, held.view(), &[], SIGMA_FLOOR);
        Ok(Self {
            weights: trained.weights,
            range: trained.range,
            sigma,
        })
    }

    /// The ONNX file.
    #[must_use]
    pub fn model(&self) -> Vec<u8> {
        request_model(
            &self.weights,
            &self.range,
            &self.sigma,
            &weir_features::schema::fingerprint(),
        )
    }

    /// The error of each raw vector, as the exported graph computes it.
    #[must_use]
    pub fn errors(&self, vectors: &[RequestVector]) -> Vec<f32> {
        let mut vectors = matrix(vectors.iter());
        self.range.apply(&mut vectors);
        errors(&self.weights, vectors.view(), Some(&self.sigma))
    }
}

/// Vectors as the rows of a matrix.
pub fn matrix<'a>(vectors: impl Iterator<Item = &'a RequestVector>) -> Array2<f32> {
    let rows: Vec<RequestVector> = vectors.copied().collect();
    Array2::from_shape_fn((rows.len(), REQUEST_WIDTH), |(row, column)| {
        rows.get(row)
            .and_then(|row| row.get(column))
            .copied()
            .unwrap_or(f32::NAN)
    })
}
