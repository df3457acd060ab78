//! Reads the weights of a field model that [`super::field_model`] wrote, for `--base`.
//!
//! Must not be here: trust. The load gate has accepted the file before; this reads names and shapes and refuses
//! whatever does not fit.

use ndarray::{Array1, Array2};
use prost::Message;
use weir_scoring::onnx::{FLOAT, GraphProto, ModelProto, TensorProto};

use super::layer_name;
use crate::network::{Activation, Layer, Weights};
use crate::train::Standardisation;

/// Why a base cannot be trained further.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// Not an ONNX file.
    #[error("the base's field model is no ONNX file: {0}")]
    Decode(#[from] prost::DecodeError),
    /// Written by something else than `weir-train`.
    #[error("the base's field model was not written by weir-train: {0}; train without --base")]
    Layout(String),
}

/// The networks of a field model, their standardisation and the sigmas that normalise its residuals.
///
/// # Errors
/// [`ReadError`] when the file is not one that `weir-train` exports.
pub fn read_field(bytes: &[u8]) -> Result<(Vec<Weights>, Standardisation, Array1<f32>), ReadError> {
    let model = ModelProto::decode(bytes)?;
    let graph = model
        .graph
        .ok_or_else(|| ReadError::Layout("it has no graph".to_owned()))?;
    let mean = vector(&graph, "input.shift")?;
    let inverse = vector(&graph, "input.scale")?;
    let scale = vector(&graph, "residual.scale")?;
    let members = (0..)
        .map_while(|index| member(&graph, index).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    if members.is_empty() {
        return Err(ReadError::Layout("it is no autoencoder".to_owned()));
    }
    for weights in &members {
        check_chain(weights, mean.len())?;
    }
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    let root = (scale.len() as f32).sqrt();
    let sigma = scale.mapv(|s| 1.0 / (s * root));
    Ok((members, Standardisation { mean, inverse }, sigma))
}

fn member(graph: &GraphProto, index: usize) -> Result<Option<Weights>, ReadError> {
    let layers = (0..)
        .map_while(|i| layer(graph, &layer_name(index, i)).transpose())
        .collect::<Result<Vec<_>, _>>()?;
    let weights = Weights {
        layers: with_linear_output(layers),
    };
    Ok(Some(weights).filter(|weights| !weights.layers.is_empty()))
}

fn layer(graph: &GraphProto, layer: &str) -> Result<Option<Layer>, ReadError> {
    let name = format!("{layer}.weight");
    let Some(tensor) = find(graph, &name) else {
        return Ok(None);
    };
    let [rows, columns] = tensor.dims.as_slice() else {
        return Err(ReadError::Layout(format!("`{name}` is no matrix")));
    };
    let shape = (
        usize::try_from(*rows).unwrap_or(0),
        usize::try_from(*columns).unwrap_or(0),
    );
    let weight = Array2::from_shape_vec(shape, floats(tensor)?)
        .map_err(|_| ReadError::Layout(format!("`{name}` has a wrong size")))?;
    let bias = vector(graph, &format!("{layer}.bias"))?;
    Ok(Some(Layer {
        weight,
        bias,
        activation: Activation::LeakyRelu,
    }))
}

fn with_linear_output(mut layers: Vec<Layer>) -> Vec<Layer> {
    if let Some(last) = layers.last_mut() {
        last.activation = Activation::Identity;
    }
    layers
}

fn check_chain(weights: &Weights, width: usize) -> Result<(), ReadError> {
    let mut inputs = width;
    for layer in &weights.layers {
        if layer.weight.nrows() != inputs || layer.bias.len() != layer.weight.ncols() {
            return Err(ReadError::Layout(
                "its layers do not fit together".to_owned(),
            ));
        }
        inputs = layer.weight.ncols();
    }
    if inputs != width {
        return Err(ReadError::Layout("it is no autoencoder".to_owned()));
    }
    Ok(())
}

fn vector(graph: &GraphProto, name: &str) -> Result<Array1<f32>, ReadError> {
    let tensor =
        find(graph, name).ok_or_else(|| ReadError::Layout(format!("`{name}` is missing")))?;
    floats(tensor).map(Array1::from_vec)
}

fn find<'a>(graph: &'a GraphProto, name: &str) -> Option<&'a TensorProto> {
    graph.initializer.iter().find(|tensor| tensor.name == name)
}

fn floats(tensor: &TensorProto) -> Result<Vec<f32>, ReadError> {
    let raw = tensor
        .raw_data
        .as_deref()
        .filter(|raw| tensor.data_type == FLOAT && raw.len() % 4 == 0);
    let raw = raw.ok_or_else(|| ReadError::Layout(format!("`{}` holds no floats", tensor.name)))?;
    let (values, _) = raw.as_chunks::<4>();
    Ok(values
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect())
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;
    use crate::export::field_model;

    #[test]
    fn what_is_written_is_read_back() {
        let layer = |rows: usize, columns: usize, activation| Layer {
            weight: Array2::from_shape_fn((rows, columns), |(r, c)| r as f32 - 0.3 * c as f32),
            bias: Array1::from_shape_fn(columns, |c| c as f32),
            activation,
        };
        let weights = vec![
            Weights {
                layers: vec![
                    layer(5, 2, Activation::LeakyRelu),
                    layer(2, 5, Activation::Identity),
                ],
            },
            Weights {
                layers: vec![layer(5, 5, Activation::Identity)],
            },
        ];
        let scaling = Standardisation {
            mean: Array1::from_elem(5, 0.5),
            inverse: Array1::from_elem(5, 2.0),
        };
        let sigma = Array1::from_elem(5, 0.25);
        let (read, read_scaling, read_sigma) =
            read_field(&field_model(&weights, &scaling, &sigma, "v1-0")).unwrap();
        assert_eq!(read, weights);
        assert_eq!(read_scaling, scaling);
        assert!(
            read_sigma
                .iter()
                .zip(&sigma)
                .all(|(a, b)| (a - b).abs() < 1e-6)
        );
    }

    #[test]
    fn a_foreign_model_is_refused_by_name() {
        let model = ModelProto {
            graph: Some(GraphProto::default()),
            ..ModelProto::default()
        };
        let error = read_field(&model.encode_to_vec()).unwrap_err();
        assert!(error.to_string().contains("input.shift"), "{error}");
    }
}
