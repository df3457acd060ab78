//! Why the gate refuses a model, each with what to do about it. Not here: the checks.

use super::{MAX_MODEL_BYTES, MAX_NODES, OPERATORS};

/// Why a model may not be loaded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum GateError {
    /// Larger than [`MAX_MODEL_BYTES`].
    #[error("the model has {0} bytes, more than the {MAX_MODEL_BYTES} allowed")]
    TooLarge(usize),
    /// Not a protobuf message of a model: truncated, or another kind of file.
    #[error("the file is damaged or no ONNX model: {0}")]
    Decode(#[from] prost::DecodeError),
    /// No graph inside.
    #[error("the model has no graph")]
    NoGraph,
    /// A format or operator set version that was not vetted.
    #[error("{what} version {found} is not supported ({supported})")]
    Version {
        /// `IR` or `operator set`.
        what: &'static str,
        /// The version found.
        found: i64,
        /// The versions allowed.
        supported: String,
    },
    /// More nodes or constants than any autoencoder has.
    #[error("the graph has {found} {what}, more than the {MAX_NODES} allowed")]
    TooMany {
        /// `nodes` or `constants`.
        what: &'static str,
        /// How many.
        found: usize,
    },
    /// An operator that is not on the allow-list.
    #[error("operator `{operator}` of node `{node}` is not allowed: an autoencoder needs only {}", OPERATORS.join(", "))]
    Operator {
        /// Domain and name.
        operator: String,
        /// The node.
        node: String,
    },
    /// A construct that no autoencoder needs.
    #[error("the model uses {0}, which is not allowed")]
    Construct(&'static str),
    /// An attribute other than finite numbers.
    #[error(
        "attribute `{attribute}` of node `{node}` is not allowed: only finite numbers are, no subgraphs, tensors or strings"
    )]
    Attribute {
        /// The attribute.
        attribute: String,
        /// The node.
        node: String,
    },
    /// Weights in another file.
    #[error("constant `{0}` keeps its values in another file: a model must be one file")]
    ExternalData(String),
    /// A constant whose shape, type and data do not fit.
    #[error("constant `{name}` is malformed: {why}")]
    Constant {
        /// The constant.
        name: String,
        /// What is wrong.
        why: &'static str,
    },
    /// Weights that are NaN or infinite.
    #[error(
        "constant `{0}` holds values that are not finite: the training diverged or the file is damaged; train again"
    )]
    NotFinite(String),
    /// Inputs or outputs other than the engine's.
    #[error("the model must have {expected}, but has {found}")]
    Interface {
        /// What the engine needs.
        expected: String,
        /// What the model has.
        found: String,
    },
    /// Metadata that says the model is for something else.
    #[error("metadata `{key}` is {found}, expected `{expected}`: {advice}")]
    Metadata {
        /// The key.
        key: &'static str,
        /// The value found.
        found: String,
        /// The value expected.
        expected: String,
        /// What to do.
        advice: &'static str,
    },
}
