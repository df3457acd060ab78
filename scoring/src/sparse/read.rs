//! What a graph computes, followed from its error back to its rows, whatever its values are called.
//!
//! Not here: whether the file may be trusted (`gate` has decided), and the arithmetic. A graph that strays from the path in
//! any detail is refused: ONNX Runtime runs it.

use std::collections::HashMap;

use ndarray::{Array1, Array2};
use prost::Message;

use crate::gate::{ERROR_OUTPUT, InspectedModel, MAX_NODES};
use crate::onnx::{FLOAT, INT64, ModelProto, NodeProto, TensorProto};

/// Why a model is run by ONNX Runtime only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Unsupported(pub(super) &'static str);

/// Everything that the graph says.
pub(super) struct Weights {
    pub(super) shift: Vec<f32>,
    pub(super) scale: Vec<f32>,
    pub(super) low: f32,
    pub(super) high: f32,
    pub(super) members: Vec<Layers>,
    pub(super) root: f32,
}

/// The layers of a member.
pub(super) struct Layers {
    pub(super) first: Layer,
    pub(super) hidden: Vec<Layer>,
    /// Its slope means nothing.
    pub(super) last: Layer,
    /// What residuals are multiplied with before they are squared.
    pub(super) residual_scale: Array1<f64>,
}

/// A dense layer, input by output.
pub(super) struct Layer {
    pub(super) weight: Array2<f64>,
    pub(super) bias: Array1<f64>,
    /// Of its `LeakyRelu`.
    pub(super) slope: f32,
}

const NO_AUTOENCODER: Unsupported = Unsupported("the graph is none that weir-train exports");
const MALFORMED: Unsupported = Unsupported("a constant of the graph has an unexpected shape");

pub(super) fn weights(model: &InspectedModel) -> Result<Weights, Unsupported> {
    let decoded = ModelProto::decode(model.bytes()).map_err(|_| NO_AUTOENCODER)?;
    let graph = decoded.graph.ok_or(NO_AUTOENCODER)?;
    let reader = Reader {
        made_by: graph
            .node
            .iter()
            .flat_map(|node| {
                node.output
                    .iter()
                    .map(move |output| (output.as_str(), node))
            })
            .collect(),
        constants: graph
            .initializer
            .iter()
            .map(|constant| (constant.name.as_str(), constant))
            .collect(),
        width: model.shape().width,
    };
    reader.weights(model.shape().input)
}

struct Reader<'g> {
    made_by: HashMap<&'g str, &'g NodeProto>,
    constants: HashMap<&'g str, &'g TensorProto>,
    width: usize,
}

impl<'g> Reader<'g> {
    fn weights(&self, rows: &str) -> Result<Weights, Unsupported> {
        let [joint] = self.sum(ERROR_OUTPUT, 0)?;
        let [product, root] = self.inputs(joint, "Pow")?;
        let errors = self.factors(product);
        let mut members = Vec::with_capacity(errors.len());
        let mut scaled = None;
        for error in errors {
            let (layers, input) = self.member(error)?;
            if *scaled.get_or_insert(input) != input {
                return Err(NO_AUTOENCODER);
            }
            members.push(layers);
        }
        let [unclipped, low, high] = self.inputs(scaled.ok_or(NO_AUTOENCODER)?, "Clip")?;
        let [shifted, scale] = self.inputs(unclipped, "Mul")?;
        let [input, shift] = self.inputs(shifted, "Sub")?;
        if input != rows {
            return Err(NO_AUTOENCODER);
        }
        Ok(Weights {
            shift: self.vector(shift, self.width)?,
            scale: self.vector(scale, self.width)?,
            low: self.scalar(low)?,
            high: self.scalar(high)?,
            members,
            root: self.scalar(root)?,
        })
    }

    /// The members' errors, whose product `value` is.
    fn factors(&self, mut value: &'g str) -> Vec<&'g str> {
        let mut factors = Vec::new();
        while let Ok([others, last]) = self.inputs::<2>(value, "Mul")
            && factors.len() < MAX_NODES
        {
            factors.push(last);
            value = others;
        }
        factors.push(value);
        factors.reverse();
        factors
    }

    /// A member by its error, and the value it reconstructs.
    fn member(&self, error: &str) -> Result<(Layers, &'g str), Unsupported> {
        let [residuals] = self.sum(error, 1)?;
        let [deviation, again] = self.inputs(residuals, "Mul")?;
        let [difference, scale] = self.inputs(deviation, "Mul")?;
        let [scaled, output] = self.inputs(difference, "Sub")?;
        if deviation != again {
            return Err(NO_AUTOENCODER);
        }
        let mut layers = self.layers(output, scaled)?;
        let (Some(last), Some(first)) = (layers.pop(), layers.first()) else {
            return Err(NO_AUTOENCODER);
        };
        if first.weight.nrows() != self.width || last.weight.ncols() != self.width {
            return Err(MALFORMED);
        }
        let first = layers.remove(0);
        let residual_scale = self.vector(scale, self.width)?;
        let layers = Layers {
            first,
            hidden: layers,
            last,
            residual_scale: residual_scale.into_iter().map(f64::from).collect(),
        };
        Ok((layers, scaled))
    }

    /// The layers from `input` to `output`, the first first.
    fn layers(&self, output: &'g str, input: &str) -> Result<Vec<Layer>, Unsupported> {
        let mut layers: Vec<Layer> = Vec::new();
        let (mut value, mut slope) = (output, 1.0);
        while layers.len() < MAX_NODES {
            let [from, weight, bias] = self.inputs(value, "Gemm")?;
            let layer = self.layer(weight, bias, slope)?;
            if let Some(next) = layers.last()
                && next.weight.nrows() != layer.weight.ncols()
            {
                return Err(MALFORMED);
            }
            layers.push(layer);
            if from == input {
                layers.reverse();
                return Ok(layers);
            }
            let node = self.node(from, "LeakyRelu")?;
            let ([sum], [attribute]) = (node.input.as_slice(), node.attribute.as_slice()) else {
                return Err(NO_AUTOENCODER);
            };
            let alpha = attribute.f.filter(|alpha| (0.0..=1.0).contains(alpha));
            slope = alpha
                .filter(|_| attribute.name == "alpha")
                .ok_or(NO_AUTOENCODER)?;
            value = sum;
        }
        Err(NO_AUTOENCODER)
    }

    fn layer(&self, weight: &str, bias: &str, slope: f32) -> Result<Layer, Unsupported> {
        let tensor = self.constants.get(weight).ok_or(NO_AUTOENCODER)?;
        let [inputs, outputs] = tensor.dims.as_slice() else {
            return Err(MALFORMED);
        };
        let size = |dim: &i64| usize::try_from(*dim).map_err(|_| MALFORMED);
        let shape = (size(inputs)?, size(outputs)?);
        let values = floats(tensor)?.into_iter().map(f64::from).collect();
        Ok(Layer {
            weight: Array2::from_shape_vec(shape, values).map_err(|_| MALFORMED)?,
            bias: self
                .vector(bias, shape.1)?
                .into_iter()
                .map(f64::from)
                .collect(),
            slope,
        })
    }

    /// What is summed over the columns to make `value`.
    fn sum(&self, value: &str, keep: i64) -> Result<[&'g str; 1], Unsupported> {
        let node = self.node(value, "ReduceSum")?;
        let ([input, axes], [attribute]) = (node.input.as_slice(), node.attribute.as_slice())
        else {
            return Err(NO_AUTOENCODER);
        };
        let axes = self.constants.get(axes.as_str()).ok_or(NO_AUTOENCODER)?;
        let columns = axes.data_type == INT64
            && axes.dims == [1]
            && match &axes.raw_data {
                Some(raw) => *raw == 1_i64.to_le_bytes(),
                None => axes.int64_data == [1],
            };
        if columns && attribute.name == "keepdims" && attribute.i == Some(keep) {
            Ok([input])
        } else {
            Err(NO_AUTOENCODER)
        }
    }

    /// The inputs of the node without attributes that makes `value`.
    fn inputs<const N: usize>(
        &self,
        value: &str,
        operator: &str,
    ) -> Result<[&'g str; N], Unsupported> {
        let node = self.node(value, operator)?;
        let inputs: &[String; N] = node
            .input
            .as_slice()
            .try_into()
            .map_err(|_| NO_AUTOENCODER)?;
        if node.attribute.is_empty() {
            Ok(inputs.each_ref().map(String::as_str))
        } else {
            Err(NO_AUTOENCODER)
        }
    }

    fn node(&self, value: &str, operator: &str) -> Result<&'g NodeProto, Unsupported> {
        let node = self.made_by.get(value).copied();
        node.filter(|node| node.op_type == operator && node.output.len() == 1)
            .ok_or(NO_AUTOENCODER)
    }

    fn vector(&self, name: &str, length: usize) -> Result<Vec<f32>, Unsupported> {
        let tensor = self.constants.get(name).ok_or(NO_AUTOENCODER)?;
        let values = floats(tensor)?;
        if tensor.dims.len() == 1 && values.len() == length {
            Ok(values)
        } else {
            Err(MALFORMED)
        }
    }

    fn scalar(&self, name: &str) -> Result<f32, Unsupported> {
        let tensor = self.constants.get(name).ok_or(NO_AUTOENCODER)?;
        match floats(tensor)?.as_slice() {
            [value] if tensor.dims.is_empty() => Ok(*value),
            _ => Err(MALFORMED),
        }
    }
}

fn floats(tensor: &TensorProto) -> Result<Vec<f32>, Unsupported> {
    if tensor.data_type != FLOAT {
        return Err(MALFORMED);
    }
    Ok(tensor.floats())
}
