//! Symmetric dense autoencoders on burn's autodiff backend.
//!
//! Must not be here: randomness from burn's global generator. Weights and dropout masks come from the caller's seeded
//! generator, so that two runs with one seed are identical whatever else the process trains.

use burn::module::{Module, Param};
use burn::nn::{BatchNorm, BatchNormConfig, Linear};
use burn::tensor::activation::{leaky_relu, sigmoid};
use burn::tensor::{Device, Tensor, TensorData};
use ndarray::{Array1, Array2};
use rand::Rng;
use rand_chacha::ChaCha8Rng;

use super::{Activation, LEAKY_SLOPE, Layer, REQUEST_HIDDEN, Weights, symmetric};

/// The field network: dense layers, LeakyReLU between them, a linear output. Input dropout is part of the data order.
#[derive(Module, Debug)]
pub struct FieldAutoencoder {
    layers: Vec<Linear>,
}

/// The request network: 35-24-12-6-12-24-35 with batch normalisation and dropout after every hidden layer and a
/// sigmoid output, because its inputs are scaled into `[0, 1]`.
#[derive(Module, Debug)]
pub struct RequestAutoencoder {
    layers: Vec<Linear>,
    norms: Vec<BatchNorm>,
}

impl FieldAutoencoder {
    /// A fresh network with He-normal weights drawn from `rng`.
    #[must_use]
    pub fn new(width: usize, hidden: &[usize], rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let widths = symmetric(width, hidden);
        let layers = widths
            .iter()
            .zip(widths.iter().skip(1))
            .map(|(&inputs, &outputs)| random_linear(inputs, outputs, rng, device))
            .collect();
        Self { layers }
    }

    /// The network of a base bundle, to be tuned further.
    #[must_use]
    pub fn from_weights(weights: &Weights, device: &Device) -> Self {
        let layers = weights
            .layers
            .iter()
            .map(|layer| linear(&layer.weight, &layer.bias, device))
            .collect();
        Self { layers }
    }

    /// Reconstructs a batch of standardised rows.
    #[must_use]
    pub fn forward(&self, input: Tensor<2>) -> Tensor<2> {
        let last = self.layers.len().saturating_sub(1);
        let mut current = input;
        for (i, layer) in self.layers.iter().enumerate() {
            current = layer.forward(current);
            if i < last {
                current = leaky_relu(current, LEAKY_SLOPE);
            }
        }
        current
    }

    /// The weights as they are now.
    #[must_use]
    pub fn freeze_weights(&self) -> Weights {
        let last = self.layers.len().saturating_sub(1);
        let layers = self.layers.iter().enumerate().map(|(i, layer)| {
            let (weight, bias) = dense(layer);
            let activation = if i < last {
                Activation::LeakyRelu
            } else {
                Activation::Identity
            };
            Layer {
                weight,
                bias,
                activation,
            }
        });
        Weights {
            layers: layers.collect(),
        }
    }
}

impl RequestAutoencoder {
    /// A fresh network with He-normal weights drawn from `rng`.
    #[must_use]
    pub fn new(width: usize, rng: &mut ChaCha8Rng, device: &Device) -> Self {
        let widths = symmetric(width, &REQUEST_HIDDEN);
        let mut layers = Vec::new();
        let mut norms = Vec::new();
        for (i, (&inputs, &outputs)) in widths.iter().zip(widths.iter().skip(1)).enumerate() {
            layers.push(random_linear(inputs, outputs, rng, device));
            if i + 2 < widths.len() {
                norms.push(BatchNormConfig::new(outputs).init(device));
            }
        }
        Self { layers, norms }
    }

    /// Widths of the hidden activations, for which training draws dropout masks.
    #[must_use]
    pub fn hidden_widths(&self) -> Vec<usize> {
        self.norms
            .iter()
            .map(|norm| {
                let [width] = norm.gamma.val().dims();
                width
            })
            .collect()
    }

    /// Reconstructs a batch of scaled vectors. `masks` holds one mask per hidden layer (values 0 or 1/keep) in
    /// training and is empty otherwise. On an autodiff device batch statistics are used and tracked.
    #[must_use]
    pub fn forward(&self, input: Tensor<2>, masks: Vec<Tensor<2>>) -> Tensor<2> {
        let mut masks = masks.into_iter();
        let mut norms = self.norms.iter();
        let mut current = input;
        for layer in &self.layers {
            current = layer.forward(current);
            if let Some(norm) = norms.next() {
                current = leaky_relu(norm.forward(current), LEAKY_SLOPE);
                if let Some(mask) = masks.next() {
                    current = current * mask;
                }
            } else {
                current = sigmoid(current);
            }
        }
        current
    }

    /// The weights with batch normalisation folded into the dense layers before it.
    #[must_use]
    pub fn freeze_weights(&self) -> Weights {
        let mut norms = self.norms.iter();
        let layers = self.layers.iter().map(|layer| {
            let (weight, bias) = dense(layer);
            match norms.next() {
                Some(norm) => fold(weight, bias, norm),
                None => Layer {
                    weight,
                    bias,
                    activation: Activation::Sigmoid,
                },
            }
        });
        Weights {
            layers: layers.collect(),
        }
    }
}

/// `gamma (xW + b - mean) / sqrt(var + eps) + beta` as one dense layer.
#[expect(clippy::cast_possible_truncation, reason = "the epsilon is 1e-5")]
fn fold(weight: Array2<f32>, bias: Array1<f32>, norm: &BatchNorm) -> Layer {
    let mean = vector(norm.running_mean.value_sync());
    let variance = vector(norm.running_var.value_sync());
    let epsilon = norm.epsilon as f32;
    let scale = vector(norm.gamma.val()) / variance.mapv(|v| (v + epsilon).sqrt());
    let bias = (bias - mean) * &scale + vector(norm.beta.val());
    Layer {
        weight: weight * &scale,
        bias,
        activation: Activation::LeakyRelu,
    }
}

fn random_linear(inputs: usize, outputs: usize, rng: &mut ChaCha8Rng, device: &Device) -> Linear {
    #[expect(clippy::cast_precision_loss, reason = "layer widths are small")]
    let deviation = (2.0 / inputs as f32).sqrt();
    let weight = Array2::from_shape_simple_fn((inputs, outputs), || normal(rng) * deviation);
    linear(&weight, &Array1::zeros(outputs), device)
}

/// A standard normal draw (Box-Muller): rand's distributions live in another crate, and one function does it.
fn normal(rng: &mut ChaCha8Rng) -> f32 {
    let radius = (-2.0 * (1.0 - rng.random::<f32>()).ln()).sqrt();
    radius * (std::f32::consts::TAU * rng.random::<f32>()).cos()
}

fn linear(weight: &Array2<f32>, bias: &Array1<f32>, device: &Device) -> Linear {
    let (rows, columns) = weight.dim();
    let weight = TensorData::new(
        weight.iter().copied().collect::<Vec<f32>>(),
        [rows, columns],
    );
    let bias = TensorData::new(bias.to_vec(), [columns]);
    Linear {
        weight: Param::from_data(weight, device),
        bias: Some(Param::from_data(bias, device)),
    }
}

fn dense(layer: &Linear) -> (Array2<f32>, Array1<f32>) {
    let weight = layer.weight.val();
    let [rows, columns] = weight.dims();
    let values = floats(weight.into_data());
    let weight = Array2::from_shape_fn((rows, columns), |(r, c)| {
        values.get(r * columns + c).copied().unwrap_or_default()
    });
    let bias = match &layer.bias {
        Some(bias) => vector(bias.val()),
        None => Array1::zeros(columns),
    };
    (weight, bias)
}

fn vector(tensor: Tensor<1>) -> Array1<f32> {
    Array1::from_vec(floats(tensor.into_data()))
}

/// The floats of a tensor. Every tensor of this crate is f32.
#[expect(
    clippy::expect_used,
    reason = "flex tensors are f32 unless a device is configured otherwise; none is"
)]
pub(crate) fn floats(data: TensorData) -> Vec<f32> {
    data.try_into_vec::<f32>()
        .expect("training tensors are f32")
}
