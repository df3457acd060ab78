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
use crate::train::{CLIP, Range, Standardisation, root};

/// How raw input becomes network input: `clip((x - shift) * scale, low, high)`.
struct Scaling<'a> {
    shift: &'a Array1<f32>,
    scale: &'a Array1<f32>,
    low: f32,
    high: f32,
}

/// The field detector as an ONNX file: input `rows`, outputs `error` and `residuals`. `sigma` divides the residuals;
/// ones leave the plain mean squared error. Of several networks the errors have their geometric mean.
#[must_use]
pub fn field_model(
    members: &[Weights],
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
    model("field", "rows", members, &scaling, sigma, fingerprint)
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
    model(
        "request",
        "vectors",
        std::slice::from_ref(weights),
        &scaling,
        sigma,
        fingerprint,
    )
}

fn model(
    detector: &str,
    input: &str,
    members: &[Weights],
    scaling: &Scaling<'_>,
    sigma: &Array1<f32>,
    fingerprint: &str,
) -> Vec<u8> {
    let width = scaling.shift.len();
    let mut graph = Builder::default();
    graph.scaling(input, scaling);
    graph.error_scale(sigma);
    let errors: Vec<Member> = members
        .iter()
        .enumerate()
        .map(|(index, weights)| graph.member(index, weights))
        .collect();
    graph.join(&errors);
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

    /// One network with its squared residuals and their sum.
    fn member(&mut self, index: usize, weights: &Weights) -> Member {
        let output = self.layers(index, weights);
        let member = Member {
            residuals: format!("member{index}.residuals"),
            error: format!("member{index}.error"),
        };
        let difference = format!("member{index}.difference");
        let deviation = format!("member{index}.deviation");
        self.node("Sub", &["scaled", &output], &difference);
        self.node("Mul", &[&difference, "residual.scale"], &deviation);
        self.node("Mul", &[&deviation, &deviation], &member.residuals);
        self.sum(&member.residuals, &member.error, 1);
        member
    }

    /// Returns the name of the reconstruction.
    fn layers(&mut self, member: usize, weights: &Weights) -> String {
        let mut current = "scaled".to_owned();
        for (i, layer) in weights.layers.iter().enumerate() {
            let name = layer_name(member, i);
            let (weight, bias) = (format!("{name}.weight"), format!("{name}.bias"));
            let (rows, columns) = layer.weight.dim();
            let values: Vec<f32> = layer.weight.iter().copied().collect();
            self.constants
                .push(TensorProto::f32(&weight, &[rows, columns], &values));
            self.vector(&bias, &layer.bias);
            let sum = format!("{name}.sum");
            self.node("Gemm", &[&current, &weight, &bias], &sum);
            current = self.activation(layer.activation, sum, &name);
        }
        current
    }

    #[expect(
        clippy::cast_possible_truncation,
        reason = "0.2 needs no more than f32"
    )]
    fn activation(&mut self, activation: Activation, sum: String, layer: &str) -> String {
        let output = format!("{layer}.output");
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

    /// Residuals of a member are `((scaled - output) / sigma)^2 / width`, its error is their sum.
    #[expect(clippy::cast_precision_loss, reason = "widths are small")]
    fn error_scale(&mut self, sigma: &Array1<f32>) {
        let root = (sigma.len() as f32).sqrt();
        self.vector("residual.scale", &sigma.mapv(|s| 1.0 / (s * root)));
        self.constants
            .push(TensorProto::i64("features", &[1], &[1]));
    }

    fn sum(&mut self, input: &str, output: &str, keep: i64) {
        let sum = NodeProto::new("ReduceSum", &[input, "features"], &[output]);
        self.nodes
            .push(sum.with(AttributeProto::int("keepdims", keep)));
    }

    /// `error` is the geometric mean of the members' errors; `residuals` are theirs added up, scaled to have it as their
    /// sum.
    fn join(&mut self, members: &[Member]) {
        let Some((first, others)) = members.split_first() else {
            return;
        };
        let (mut product, mut total) = (first.error.clone(), first.error.clone());
        let mut residuals = first.residuals.clone();
        for (index, member) in others.iter().enumerate() {
            let name = |what: &str| format!("joint{index}.{what}");
            self.node("Mul", &[&product, &member.error], &name("product"));
            self.node("Add", &[&total, &member.error], &name("total"));
            self.node("Add", &[&residuals, &member.residuals], &name("residuals"));
            (product, total, residuals) = (name("product"), name("total"), name("residuals"));
        }
        self.constants
            .push(TensorProto::f32("joint.root", &[], &[root(members.len())]));
        self.constants
            .push(TensorProto::f32("joint.least", &[], &[f32::MIN_POSITIVE]));
        self.node("Pow", &[&product, "joint.root"], "joint.error");
        self.node("Max", &[&total, "joint.least"], "joint.total");
        self.node("Div", &["joint.error", "joint.total"], "joint.share");
        self.node("Mul", &[&residuals, "joint.share"], "residuals");
        self.sum("joint.error", "error", 0);
    }
}

/// Names of what a member's part of the graph brings.
struct Member {
    residuals: String,
    error: String,
}

fn layer_name(member: usize, layer: usize) -> String {
    format!("member{member}.layer{layer}")
}
