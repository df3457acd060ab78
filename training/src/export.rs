//! Networks to ONNX and back: scaling, layers, residual normalisation and the error of a row in one graph.
//!
//! Must not be here: bundles (`weir_scoring::bundle`) and the decision what is exported. What is written here is read
//! back here too, so that a base bundle can be trained further.

mod read;

use ndarray::Array1;
use prost::Message;
use weir_scoring::onnx::{
    AttributeProto, Dim, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};

pub use read::{ReadError, read_field};

use crate::network::{Activation, LEAKY_SLOPE, Weights};
use crate::train::{CLIP, Range, Standardisation};

/// How raw input becomes network input: `clip((x - shift) * scale, low, high)`.
struct Scaling<'a> {
    shift: &'a Array1<f32>,
    scale: &'a Array1<f32>,
    low: f32,
    high: f32,
}

/// The field detector as an ONNX file: input `rows`, outputs `error` and `residuals`. `sigma` divides the residuals;
/// ones leave the plain mean squared error.
#[must_use]
pub fn field_model(
    weights: &Weights,
    scaling: &Standardisation,
    sigma: &Array1<f32>,
    fingerprint: &str,
) -> Vec<u8> {
    let scaling = Scaling {
        shift: &scaling.mean,
        scale: &scaling.inverse,
        low: -CLIP,
        high: CLIP,
    };
    model("field", "rows", weights, &scaling, sigma, fingerprint)
}

/// The request detector as an ONNX file: input `vectors` without NaN, outputs `error` and `residuals`.
#[must_use]
pub fn request_model(
    weights: &Weights,
    range: &Range,
    sigma: &Array1<f32>,
    fingerprint: &str,
) -> Vec<u8> {
    let scaling = Scaling {
        shift: &range.low,
        scale: &range.inverse,
        low: 0.0,
        high: 1.0,
    };
    model("request", "vectors", weights, &scaling, sigma, fingerprint)
}

fn model(
    detector: &str,
    input: &str,
    weights: &Weights,
    scaling: &Scaling<'_>,
    sigma: &Array1<f32>,
    fingerprint: &str,
) -> Vec<u8> {
    let width = scaling.shift.len();
    let mut graph = Builder::default();
    graph.scaling(input, scaling);
    let output = graph.layers(weights);
    graph.error(&output, sigma);
    let graph = GraphProto {
        name: detector.to_owned(),
        node: graph.nodes,
        initializer: graph.constants,
        input: vec![ValueInfoProto::f32(input, &[Dim::Batch, Dim::Fixed(width)])],
        output: vec![
            ValueInfoProto::f32("error", &[Dim::Batch]),
            ValueInfoProto::f32("residuals", &[Dim::Batch, Dim::Fixed(width)]),
        ],
        ..GraphProto::default()
    };
    let metadata = [
        ("weir.detector", detector),
        ("weir.fingerprint", fingerprint),
    ];
    ModelProto::export(graph, &metadata).encode_to_vec()
}

#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    constants: Vec<TensorProto>,
}

impl Builder {
    fn vector(&mut self, name: &str, values: &Array1<f32>) {
        self.constants
            .push(TensorProto::f32(name, &[values.len()], &values.to_vec()));
    }

    fn node(&mut self, op: &str, inputs: &[&str], output: &str) {
        self.nodes.push(NodeProto::new(op, inputs, &[output]));
    }

    fn scaling(&mut self, input: &str, scaling: &Scaling<'_>) {
        self.vector("input.shift", scaling.shift);
        self.vector("input.scale", scaling.scale);
        self.constants
            .push(TensorProto::f32("input.low", &[], &[scaling.low]));
        self.constants
            .push(TensorProto::f32("input.high", &[], &[scaling.high]));
        self.node("Sub", &[input, "input.shift"], "shifted");
        self.node("Mul", &["shifted", "input.scale"], "unclipped");
        self.node("Clip", &["unclipped", "input.low", "input.high"], "scaled");
    }

    /// Returns the name of the reconstruction.
    fn layers(&mut self, weights: &Weights) -> String {
        let mut current = "scaled".to_owned();
        for (i, layer) in weights.layers.iter().enumerate() {
            let (weight, bias) = (format!("layer{i}.weight"), format!("layer{i}.bias"));
            let (rows, columns) = layer.weight.dim();
            let values: Vec<f32> = layer.weight.iter().copied().collect();
            self.constants
                .push(TensorProto::f32(&weight, &[rows, columns], &values));
            self.vector(&bias, &layer.bias);
            let sum = format!("layer{i}.sum");
            self.node("Gemm", &[&current, &weight, &bias], &sum);
            current = self.activation(layer.activation, sum, i);
        }
        current
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "0.2 needs no more than f32"
    )]
    fn activation(&mut self, activation: Activation, sum: String, layer: usize) -> String {
        let output = format!("layer{layer}.output");
        match activation {
            Activation::Identity => return sum,
            Activation::LeakyRelu => {
                let node = NodeProto::new("LeakyRelu", &[&sum], &[&output]);
                self.nodes
                    .push(node.with(AttributeProto::float("alpha", LEAKY_SLOPE as f32)));
            }
            Activation::Sigmoid => self.node("Sigmoid", &[&sum], &output),
        }
        output
    }

    /// `residuals = ((scaled - output) / sigma)^2 / width`, `error` their sum.
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    fn error(&mut self, output: &str, sigma: &Array1<f32>) {
        let root = (sigma.len() as f32).sqrt();
        self.vector("residual.scale", &sigma.mapv(|s| 1.0 / (s * root)));
        self.constants
            .push(TensorProto::i64("features", &[1], &[1]));
        self.node("Sub", &["scaled", output], "difference");
        self.node("Mul", &["difference", "residual.scale"], "deviation");
        self.node("Mul", &["deviation", "deviation"], "residuals");
        let sum = NodeProto::new("ReduceSum", &["residuals", "features"], &["error"]);
        self.nodes
            .push(sum.with(AttributeProto::int("keepdims", 0)));
    }
}
