//! The part of the ONNX file format that Weir writes and reads, as hand-written prost messages.
//!
//! What must not be here: any opinion on which models are acceptable (that is [`crate::gate`]) and any operator's
//! meaning (that is ONNX Runtime).
//!
//! Field numbers follow `onnx.proto3` of the ONNX project, IR version 9. Whatever Weir never writes and never accepts
//! (subgraphs, sparse tensors, sequence types, training information, local functions) is declared as opaque bytes: its
//! presence is seen and refused, and no recursion is needed to decode a hostile file. Fields that are not declared here
//! are dropped by decoding; the gate therefore hands the re-encoded model to ONNX Runtime, never the original bytes.

use prost::Message;

mod build;

pub use build::Dim;

/// `TensorProto.DataType`: 32-bit float.
pub const FLOAT: i32 = 1;
/// `TensorProto.DataType`: 64-bit signed integer.
pub const INT64: i32 = 7;
/// The operator set Weir exports.
pub const OPSET: i64 = 17;
/// The IR version Weir exports.
pub const IR_VERSION: i64 = 9;

/// `AttributeProto.AttributeType` values that Weir knows.
pub mod attribute_type {
    /// A single float in `f`.
    pub const FLOAT: i32 = 1;
    /// A single integer in `i`.
    pub const INT: i32 = 2;
    /// A byte string in `s`.
    pub const STRING: i32 = 3;
    /// Floats in `floats`.
    pub const FLOATS: i32 = 6;
    /// Integers in `ints`.
    pub const INTS: i32 = 7;
}

/// A model: a graph, the operator sets it needs, and named metadata.
#[derive(Clone, PartialEq, Message)]
pub struct ModelProto {
    /// Version of the file format.
    #[prost(int64, tag = "1")]
    pub ir_version: i64,
    /// The tool that wrote the file.
    #[prost(string, tag = "2")]
    pub producer_name: String,
    /// That tool's version.
    #[prost(string, tag = "3")]
    pub producer_version: String,
    /// Reverse domain name of the model.
    #[prost(string, tag = "4")]
    pub domain: String,
    /// Version of the model within its domain.
    #[prost(int64, tag = "5")]
    pub model_version: i64,
    /// Free text.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The graph that is evaluated.
    #[prost(message, optional, tag = "7")]
    pub graph: Option<GraphProto>,
    /// Operator sets the nodes refer to.
    #[prost(message, repeated, tag = "8")]
    pub opset_import: Vec<OperatorSetIdProto>,
    /// Named metadata; Weir's keys start with `weir.`.
    #[prost(message, repeated, tag = "14")]
    pub metadata_props: Vec<StringStringEntryProto>,
    /// Training graphs, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "20")]
    pub training_info: Vec<Vec<u8>>,
    /// Local functions, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "25")]
    pub functions: Vec<Vec<u8>>,
}

/// An operator set: a domain (empty for the standard one) and its version.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct OperatorSetIdProto {
    /// Domain; empty means `ai.onnx`.
    #[prost(string, tag = "1")]
    pub domain: String,
    /// Version of the set.
    #[prost(int64, tag = "2")]
    pub version: i64,
}

/// One entry of a string map.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct StringStringEntryProto {
    /// Key.
    #[prost(string, tag = "1")]
    pub key: String,
    /// Value.
    #[prost(string, tag = "2")]
    pub value: String,
}

/// A graph: nodes in topological order, constants, inputs and outputs.
#[derive(Clone, PartialEq, Message)]
pub struct GraphProto {
    /// The nodes, sorted topologically.
    #[prost(message, repeated, tag = "1")]
    pub node: Vec<NodeProto>,
    /// Name of the graph.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Constant tensors: the weights.
    #[prost(message, repeated, tag = "5")]
    pub initializer: Vec<TensorProto>,
    /// Free text.
    #[prost(string, tag = "10")]
    pub doc_string: String,
    /// Inputs.
    #[prost(message, repeated, tag = "11")]
    pub input: Vec<ValueInfoProto>,
    /// Outputs.
    #[prost(message, repeated, tag = "12")]
    pub output: Vec<ValueInfoProto>,
    /// Types of intermediate values.
    #[prost(message, repeated, tag = "13")]
    pub value_info: Vec<ValueInfoProto>,
    /// Quantisation annotations, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "14")]
    pub quantization_annotation: Vec<Vec<u8>>,
    /// Sparse constants, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "15")]
    pub sparse_initializer: Vec<Vec<u8>>,
}

/// One operator with its inputs, outputs and attributes.
#[derive(Clone, PartialEq, Message)]
pub struct NodeProto {
    /// Names of the values read.
    #[prost(string, repeated, tag = "1")]
    pub input: Vec<String>,
    /// Names of the values written.
    #[prost(string, repeated, tag = "2")]
    pub output: Vec<String>,
    /// Name of the node.
    #[prost(string, tag = "3")]
    pub name: String,
    /// The operator.
    #[prost(string, tag = "4")]
    pub op_type: String,
    /// Attributes of the operator.
    #[prost(message, repeated, tag = "5")]
    pub attribute: Vec<AttributeProto>,
    /// Free text.
    #[prost(string, tag = "6")]
    pub doc_string: String,
    /// The operator's domain; empty for the standard one.
    #[prost(string, tag = "7")]
    pub domain: String,
}

/// A named attribute of a node.
#[derive(Clone, PartialEq, Message)]
pub struct AttributeProto {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Value of a [`attribute_type::FLOAT`].
    #[prost(float, optional, tag = "2")]
    pub f: Option<f32>,
    /// Value of an [`attribute_type::INT`].
    #[prost(int64, optional, tag = "3")]
    pub i: Option<i64>,
    /// Value of a [`attribute_type::STRING`].
    #[prost(bytes = "vec", optional, tag = "4")]
    pub s: Option<Vec<u8>>,
    /// A tensor, opaque: the gate refuses it.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub t: Option<Vec<u8>>,
    /// A subgraph, opaque: the gate refuses it.
    #[prost(bytes = "vec", optional, tag = "6")]
    pub g: Option<Vec<u8>>,
    /// Values of [`attribute_type::FLOATS`].
    #[prost(float, repeated, tag = "7")]
    pub floats: Vec<f32>,
    /// Values of [`attribute_type::INTS`].
    #[prost(int64, repeated, tag = "8")]
    pub ints: Vec<i64>,
    /// Strings; no operator on the allow-list has any.
    #[prost(bytes = "vec", repeated, tag = "9")]
    pub strings: Vec<Vec<u8>>,
    /// Tensors, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "10")]
    pub tensors: Vec<Vec<u8>>,
    /// Subgraphs, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "11")]
    pub graphs: Vec<Vec<u8>>,
    /// Free text.
    #[prost(string, tag = "13")]
    pub doc_string: String,
    /// Which of the value fields is in use, see [`attribute_type`].
    #[prost(int32, tag = "20")]
    pub r#type: i32,
    /// A reference into a function, which only functions may use.
    #[prost(string, tag = "21")]
    pub ref_attr_name: String,
    /// A sparse tensor, opaque: the gate refuses it.
    #[prost(bytes = "vec", optional, tag = "22")]
    pub sparse_tensor: Option<Vec<u8>>,
    /// Sparse tensors, opaque: the gate refuses them.
    #[prost(bytes = "vec", repeated, tag = "23")]
    pub sparse_tensors: Vec<Vec<u8>>,
}

/// A tensor with its values.
#[derive(Clone, PartialEq, Message)]
pub struct TensorProto {
    /// Shape.
    #[prost(int64, repeated, tag = "1")]
    pub dims: Vec<i64>,
    /// Element type: [`FLOAT`] or [`INT64`].
    #[prost(int32, tag = "2")]
    pub data_type: i32,
    /// A part of a larger tensor, opaque: the gate refuses it.
    #[prost(bytes = "vec", optional, tag = "3")]
    pub segment: Option<Vec<u8>>,
    /// Float values, when they are not in `raw_data`.
    #[prost(float, repeated, tag = "4")]
    pub float_data: Vec<f32>,
    /// Values of small integer types, which the gate refuses.
    #[prost(int32, repeated, tag = "5")]
    pub int32_data: Vec<i32>,
    /// Strings, which the gate refuses.
    #[prost(bytes = "vec", repeated, tag = "6")]
    pub string_data: Vec<Vec<u8>>,
    /// Integer values, when they are not in `raw_data`.
    #[prost(int64, repeated, tag = "7")]
    pub int64_data: Vec<i64>,
    /// Name, by which nodes refer to it.
    #[prost(string, tag = "8")]
    pub name: String,
    /// The values in little-endian order.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub raw_data: Option<Vec<u8>>,
    /// Double values, which the gate refuses.
    #[prost(double, repeated, tag = "10")]
    pub double_data: Vec<f64>,
    /// Unsigned values, which the gate refuses.
    #[prost(uint64, repeated, tag = "11")]
    pub uint64_data: Vec<u64>,
    /// Free text.
    #[prost(string, tag = "12")]
    pub doc_string: String,
    /// Where values in another file are; the gate refuses them.
    #[prost(message, repeated, tag = "13")]
    pub external_data: Vec<StringStringEntryProto>,
    /// 1 when the values are in another file; the gate refuses that.
    #[prost(int32, tag = "14")]
    pub data_location: i32,
}

/// A named value with its type.
#[derive(Clone, PartialEq, Message)]
pub struct ValueInfoProto {
    /// Name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Type.
    #[prost(message, optional, tag = "2")]
    pub r#type: Option<TypeProto>,
    /// Free text.
    #[prost(string, tag = "3")]
    pub doc_string: String,
}

/// A type: a tensor, or something opaque that the gate refuses.
#[derive(Clone, PartialEq, Message)]
pub struct TypeProto {
    /// A tensor.
    #[prost(message, optional, tag = "1")]
    pub tensor_type: Option<TensorTypeProto>,
    /// A sequence, opaque.
    #[prost(bytes = "vec", optional, tag = "4")]
    pub sequence_type: Option<Vec<u8>>,
    /// A map, opaque.
    #[prost(bytes = "vec", optional, tag = "5")]
    pub map_type: Option<Vec<u8>>,
    /// Denotation of the type.
    #[prost(string, tag = "6")]
    pub denotation: String,
    /// A sparse tensor, opaque.
    #[prost(bytes = "vec", optional, tag = "8")]
    pub sparse_tensor_type: Option<Vec<u8>>,
    /// An optional value, opaque.
    #[prost(bytes = "vec", optional, tag = "9")]
    pub optional_type: Option<Vec<u8>>,
}

/// `TypeProto.Tensor`: element type and shape.
#[derive(Clone, PartialEq, Message)]
pub struct TensorTypeProto {
    /// Element type.
    #[prost(int32, tag = "1")]
    pub elem_type: i32,
    /// Shape.
    #[prost(message, optional, tag = "2")]
    pub shape: Option<TensorShapeProto>,
}

/// A shape, dimension by dimension.
#[derive(Clone, PartialEq, Message)]
pub struct TensorShapeProto {
    /// The dimensions.
    #[prost(message, repeated, tag = "1")]
    pub dim: Vec<DimensionProto>,
}

/// `TensorShapeProto.Dimension`: a number or a symbol.
#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub struct DimensionProto {
    /// A fixed size.
    #[prost(int64, optional, tag = "1")]
    pub dim_value: Option<i64>,
    /// A symbolic size.
    #[prost(string, optional, tag = "2")]
    pub dim_param: Option<String>,
    /// Denotation of the dimension.
    #[prost(string, tag = "3")]
    pub denotation: String,
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

    #[test]
    fn a_model_survives_encoding() {
        let graph = GraphProto {
            node: vec![
                NodeProto::new("LeakyRelu", &["x"], &["y"])
                    .with(AttributeProto::float("alpha", 0.0)),
            ],
            initializer: vec![TensorProto::f32("w", &[2], &[1.5, -2.0])],
            input: vec![ValueInfoProto::f32("x", &[Dim::Batch, Dim::Fixed(2)])],
            ..GraphProto::default()
        };
        let model = ModelProto::export(graph, &[("weir.detector", "field")]);
        let decoded = ModelProto::decode(model.encode_to_vec().as_slice()).unwrap();
        assert_eq!(decoded, model);
        assert_eq!(decoded.metadata("weir.detector"), Some("field"));
        // A zero must be written: readers of the proto2 form tell absent from zero.
        assert_eq!(decoded.graph.unwrap().node[0].attribute[0].f, Some(0.0));
    }

    #[test]
    fn a_subgraph_is_seen_without_being_decoded() {
        // AttributeProto { name: "body", g: <bytes that are no graph> }
        let bytes = [0x0a, 4, b'b', b'o', b'd', b'y', 0x32, 2, 0xff, 0xff];
        let attribute = AttributeProto::decode(&bytes[..]).unwrap();
        assert_eq!(attribute.g.as_deref(), Some(&[0xff, 0xff][..]));
    }
}
