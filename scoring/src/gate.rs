//! The load gate: which model files may reach ONNX Runtime at all.
//!
//! What must not be here: ONNX Runtime. Everything in this room is decided from the bytes, before a line of foreign code
//! runs on them. The last check, golden rows under a watchdog, needs sessions and lives in [`crate::engine`].
//!
//! ONNX Runtime survives mutated files, but it loads weights that are not numbers, runs a `Loop` for ever and reads
//! files that a model names. So only what a dense autoencoder needs passes: a short list of operators without
//! subgraphs, constants of bounded shape inside the file, and exactly the inputs and outputs the engine will use. What
//! passes is re-encoded, so that ONNX Runtime never sees a byte that the gate did not.

use prost::Message;

use crate::onnx::{
    self, AttributeProto, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
    attribute_type,
};

/// No model is larger: the largest network considered has a tenth of this.
pub const MAX_MODEL_BYTES: usize = 64 * 1024 * 1024;
/// Nodes and constants of a graph; a dense autoencoder has about thirty of each.
pub const MAX_NODES: usize = 128;
/// The largest dimension of a constant. Two such constants broadcast against each other stay below 64 MiB.
pub const MAX_DIMENSION: usize = 4096;
/// Metadata key of the detector a model belongs to.
pub const DETECTOR_KEY: &str = "weir.detector";
/// Metadata key of the extractor fingerprint a model was trained with.
pub const FINGERPRINT_KEY: &str = "weir.fingerprint";
/// Output with one reconstruction error for each row.
pub const ERROR_OUTPUT: &str = "error";
/// Output with the contribution of each feature to its row's error.
pub const RESIDUALS_OUTPUT: &str = "residuals";

/// Operators a dense autoencoder with scaling and error inside the graph can need. All are element-wise, products or
/// reductions: none loops, branches, reads files or makes shapes from data.
pub const OPERATORS: [&str; 22] = [
    "Abs",
    "Add",
    "Clip",
    "Div",
    "Gemm",
    "Identity",
    "LeakyRelu",
    "Log",
    "MatMul",
    "Max",
    "Min",
    "Mul",
    "Neg",
    "Pow",
    "ReduceMean",
    "ReduceSum",
    "Relu",
    "Sigmoid",
    "Softplus",
    "Sqrt",
    "Sub",
    "Tanh",
];

mod error;

pub use error::GateError;

const OPSETS: std::ops::RangeInclusive<i64> = 13..=22;
const IR_VERSIONS: std::ops::RangeInclusive<i64> = 7..=10;

/// What the engine expects of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModelShape {
    /// `field` or `request`.
    pub detector: &'static str,
    /// Name of the only input.
    pub input: &'static str,
    /// Columns of the input and of `residuals`.
    pub width: usize,
    /// Fingerprint of the extractor that makes the rows.
    pub fingerprint: String,
}

impl ModelShape {
    /// The field detector: input `rows`.
    #[must_use]
    pub fn field(fingerprint: &str) -> Self {
        Self {
            detector: "field",
            input: "rows",
            width: weir_features::FIELD_WIDTH,
            fingerprint: fingerprint.to_owned(),
        }
    }

    /// The request detector: input `vectors`.
    #[must_use]
    pub fn request(fingerprint: &str) -> Self {
        Self {
            detector: "request",
            input: "vectors",
            width: weir_features::REQUEST_WIDTH,
            fingerprint: fingerprint.to_owned(),
        }
    }
}

/// A model that passed the gate, in the gate's own encoding: the only form ONNX Runtime is given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InspectedModel {
    bytes: Vec<u8>,
    shape: ModelShape,
}

impl InspectedModel {
    /// A model that nobody inspected, for tests of what happens when the gate has a hole.
    #[cfg(test)]
    pub(crate) fn unchecked(bytes: Vec<u8>, shape: ModelShape) -> Self {
        Self { bytes, shape }
    }

    /// The encoded model.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The values of the constant vector `name`, where the model has one. For explanations, which need what a model
    /// takes for ordinary; scoring needs no constant by name.
    #[must_use]
    pub fn vector(&self, name: &str) -> Option<Vec<f32>> {
        let graph = ModelProto::decode(self.bytes.as_slice()).ok()?.graph?;
        let tensor = graph
            .initializer
            .into_iter()
            .find(|tensor| tensor.name == name && tensor.data_type == onnx::FLOAT)?;
        Some(tensor.floats())
    }

    /// The shape it was inspected for.
    #[must_use]
    pub fn shape(&self) -> &ModelShape {
        &self.shape
    }
}

/// Decides whether `bytes` are a model that may be loaded as `expected`.
///
/// # Errors
/// The first reason against it.
pub fn inspect(bytes: &[u8], expected: &ModelShape) -> Result<InspectedModel, GateError> {
    if bytes.len() > MAX_MODEL_BYTES {
        return Err(GateError::TooLarge(bytes.len()));
    }
    let model = ModelProto::decode(bytes)?;
    check_header(&model)?;
    let graph = model.graph.as_ref().ok_or(GateError::NoGraph)?;
    check_counts(graph)?;
    graph.node.iter().try_for_each(check_node)?;
    graph.initializer.iter().try_for_each(check_constant)?;
    check_interface(graph, expected)?;
    check_metadata(&model, expected)?;
    Ok(InspectedModel {
        bytes: model.encode_to_vec(),
        shape: expected.clone(),
    })
}

fn check_header(model: &ModelProto) -> Result<(), GateError> {
    if !model.functions.is_empty() {
        return Err(GateError::Construct("local functions"));
    }
    if !model.training_info.is_empty() {
        return Err(GateError::Construct("training information"));
    }
    check_version("IR", model.ir_version, &IR_VERSIONS)?;
    match model.opset_import.as_slice() {
        [set] if is_standard(&set.domain) => check_version("operator set", set.version, &OPSETS),
        _ => Err(GateError::Construct(
            "operator sets other than the standard one",
        )),
    }
}

fn check_version(
    what: &'static str,
    found: i64,
    supported: &std::ops::RangeInclusive<i64>,
) -> Result<(), GateError> {
    if supported.contains(&found) {
        return Ok(());
    }
    let supported = format!("{} to {} are", supported.start(), supported.end());
    Err(GateError::Version {
        what,
        found,
        supported,
    })
}

fn check_counts(graph: &GraphProto) -> Result<(), GateError> {
    if !graph.sparse_initializer.is_empty() {
        return Err(GateError::Construct("sparse constants"));
    }
    if !graph.quantization_annotation.is_empty() {
        return Err(GateError::Construct("quantisation annotations"));
    }
    for (what, found) in [
        ("nodes", graph.node.len()),
        ("constants", graph.initializer.len()),
    ] {
        if found > MAX_NODES {
            return Err(GateError::TooMany { what, found });
        }
    }
    Ok(())
}

fn is_standard(domain: &str) -> bool {
    matches!(domain, "" | "ai.onnx")
}

fn check_node(node: &NodeProto) -> Result<(), GateError> {
    // Subgraphs first: of a hidden `Loop`, that it loops is the more useful thing to say.
    for attribute in &node.attribute {
        check_attribute(node, attribute)?;
    }
    if is_standard(&node.domain) && OPERATORS.contains(&node.op_type.as_str()) {
        return Ok(());
    }
    let operator = if is_standard(&node.domain) {
        node.op_type.clone()
    } else {
        format!("{}::{}", node.domain, node.op_type)
    };
    Err(GateError::Operator {
        operator,
        node: node.name.clone(),
    })
}

fn check_attribute(node: &NodeProto, attribute: &AttributeProto) -> Result<(), GateError> {
    if attribute.g.is_some() || !attribute.graphs.is_empty() {
        return Err(GateError::Construct("subgraphs (loops or branches)"));
    }
    let numbers_only = attribute.s.is_none()
        && attribute.strings.is_empty()
        && attribute.t.is_none()
        && attribute.tensors.is_empty()
        && attribute.sparse_tensor.is_none()
        && attribute.sparse_tensors.is_empty()
        && attribute.ref_attr_name.is_empty();
    let finite = attribute
        .f
        .iter()
        .chain(&attribute.floats)
        .all(|value| value.is_finite());
    let known = matches!(
        attribute.r#type,
        attribute_type::FLOAT | attribute_type::INT | attribute_type::FLOATS | attribute_type::INTS
    );
    if numbers_only && finite && known {
        return Ok(());
    }
    Err(GateError::Attribute {
        attribute: attribute.name.clone(),
        node: node.name.clone(),
    })
}

fn check_constant(tensor: &TensorProto) -> Result<(), GateError> {
    if tensor.data_location != 0 || !tensor.external_data.is_empty() {
        return Err(GateError::ExternalData(tensor.name.clone()));
    }
    let malformed = |why| GateError::Constant {
        name: tensor.name.clone(),
        why,
    };
    if tensor.segment.is_some() {
        return Err(malformed("it is a segment of another tensor"));
    }
    if !(tensor.int32_data.is_empty()
        && tensor.string_data.is_empty()
        && tensor.double_data.is_empty()
        && tensor.uint64_data.is_empty())
    {
        return Err(malformed(
            "only 32-bit floats and 64-bit integers are allowed",
        ));
    }
    if tensor.dims.len() > 2 {
        return Err(malformed("it has more than two dimensions"));
    }
    let elements = tensor.dims.iter().try_fold(1usize, |product, &dim| {
        let dim = usize::try_from(dim)
            .ok()
            .filter(|dim| (1..=MAX_DIMENSION).contains(dim))?;
        product.checked_mul(dim)
    });
    let elements = elements.ok_or_else(|| malformed("a dimension is not between 1 and 4,096"))?;
    match tensor.data_type {
        onnx::FLOAT => check_floats(tensor, elements),
        onnx::INT64 => {
            let raw = tensor.raw_data.as_ref();
            let fits = match raw {
                Some(raw) => raw.len() == elements * 8 && tensor.int64_data.is_empty(),
                None => tensor.int64_data.len() == elements,
            };
            if fits && tensor.float_data.is_empty() {
                Ok(())
            } else {
                Err(malformed(
                    "its data does not have as many values as its shape",
                ))
            }
        }
        _ => Err(malformed(
            "only 32-bit floats and 64-bit integers are allowed",
        )),
    }
}

fn check_floats(tensor: &TensorProto, elements: usize) -> Result<(), GateError> {
    let (fits, finite) = match &tensor.raw_data {
        Some(raw) => {
            let (values, rest) = raw.as_chunks::<4>();
            (
                rest.is_empty() && values.len() == elements && tensor.float_data.is_empty(),
                values
                    .iter()
                    .all(|bytes| f32::from_le_bytes(*bytes).is_finite()),
            )
        }
        None => (
            tensor.float_data.len() == elements,
            tensor.float_data.iter().all(|value| value.is_finite()),
        ),
    };
    if !fits || !tensor.int64_data.is_empty() {
        return Err(GateError::Constant {
            name: tensor.name.clone(),
            why: "its data does not have as many values as its shape",
        });
    }
    if finite {
        Ok(())
    } else {
        Err(GateError::NotFinite(tensor.name.clone()))
    }
}

fn check_interface(graph: &GraphProto, expected: &ModelShape) -> Result<(), GateError> {
    let input = describe_expected(expected.input, Some(expected.width));
    let error = describe_expected(ERROR_OUTPUT, None);
    let residuals = describe_expected(RESIDUALS_OUTPUT, Some(expected.width));
    compare("input", &[input], &graph.input)?;
    compare("outputs", &[error, residuals], &graph.output)
}

fn compare(what: &str, expected: &[String], values: &[ValueInfoProto]) -> Result<(), GateError> {
    let mut found: Vec<String> = values.iter().map(describe).collect();
    found.sort_unstable();
    if found == expected {
        return Ok(());
    }
    let found = if found.is_empty() {
        "none".to_owned()
    } else {
        found.join(" and ")
    };
    Err(GateError::Interface {
        expected: format!("{what} {}", expected.join(" and ")),
        found,
    })
}

fn describe_expected(name: &str, width: Option<usize>) -> String {
    match width {
        Some(width) => format!("`{name}` float [N, {width}]"),
        None => format!("`{name}` float [N]"),
    }
}

fn describe(value: &ValueInfoProto) -> String {
    let Some(tensor) = value
        .r#type
        .as_ref()
        .and_then(|kind| kind.tensor_type.as_ref())
    else {
        return format!("`{}` of no tensor type", value.name);
    };
    let element = match tensor.elem_type {
        onnx::FLOAT => "float".to_owned(),
        other => format!("type {other}"),
    };
    let Some(shape) = &tensor.shape else {
        return format!("`{}` {element} without a shape", value.name);
    };
    let dims: Vec<String> = shape
        .dim
        .iter()
        .map(|dim| {
            dim.dim_value
                .map_or_else(|| "N".to_owned(), |value| value.to_string())
        })
        .collect();
    format!("`{}` {element} [{}]", value.name, dims.join(", "))
}

fn check_metadata(model: &ModelProto, expected: &ModelShape) -> Result<(), GateError> {
    let checks = [
        (
            DETECTOR_KEY,
            expected.detector,
            "the files of the bundle are mixed up; publish it again",
        ),
        (
            FINGERPRINT_KEY,
            expected.fingerprint.as_str(),
            "the model was trained with another extractor; train it again with this version of Weir",
        ),
    ];
    for (key, expected, advice) in checks {
        let found = model.metadata(key);
        if found != Some(expected) {
            let found = found.map_or_else(|| "missing".to_owned(), |found| format!("`{found}`"));
            return Err(GateError::Metadata {
                key,
                found,
                expected: expected.to_owned(),
                advice,
            });
        }
    }
    Ok(())
}
