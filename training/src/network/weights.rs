//! Plain layer weights: what burn modules freeze into, ONNX graphs are written from and base bundles are read back to.
//!
//! Must not be here: burn types. A frozen network has no batch normalisation and no dropout left.

use ndarray::{Array1, Array2, ArrayView2, Axis};

use super::LEAKY_SLOPE;

/// What follows a dense layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activation {
    /// Nothing: the output layer of the field network.
    Identity,
    /// LeakyReLU with [`LEAKY_SLOPE`].
    LeakyRelu,
    /// The logistic function: the output layer of the request network.
    Sigmoid,
}

/// One dense layer: `activation(x W + b)`.
#[derive(Debug, Clone, PartialEq)]
pub struct Layer {
    /// Shape `[inputs, outputs]`.
    pub weight: Array2<f32>,
    /// Shape `[outputs]`.
    pub bias: Array1<f32>,
    /// Applied to the sum.
    pub activation: Activation,
}

/// A whole frozen network, input side first.
#[derive(Debug, Clone, PartialEq)]
pub struct Weights {
    /// The layers in the order they are applied.
    pub layers: Vec<Layer>,
}

impl Weights {
    /// All layer widths, input first.
    #[must_use]
    pub fn widths(&self) -> Vec<usize> {
        let input = self.layers.first().map(|layer| layer.weight.nrows());
        input
            .into_iter()
            .chain(self.layers.iter().map(|layer| layer.weight.ncols()))
            .collect()
    }

    /// The reference forward pass of a batch, shape `[n, input]` to `[n, output]`.
    #[must_use]
    pub fn forward(&self, input: ArrayView2<'_, f32>) -> Array2<f32> {
        let mut current = input.to_owned();
        for layer in &self.layers {
            let mut next = current.dot(&layer.weight);
            next += &layer.bias.view().insert_axis(Axis(0));
            match layer.activation {
                Activation::Identity => {}
                Activation::LeakyRelu => next.mapv_inplace(leaky_relu),
                Activation::Sigmoid => next.mapv_inplace(|x| 1.0 / (1.0 + (-x).exp())),
            }
            current = next;
        }
        current
    }
}

#[expect(
    clippy::cast_possible_truncation,
    reason = "0.2 needs no more than f32"
)]
fn leaky_relu(x: f32) -> f32 {
    if x < 0.0 { x * LEAKY_SLOPE as f32 } else { x }
}
