//! Short ways to write the messages that an export needs. Not here: reading them.

use super::{
    AttributeProto, DimensionProto, FLOAT, GraphProto, INT64, IR_VERSION, ModelProto, NodeProto,
    OPSET, OperatorSetIdProto, StringStringEntryProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto, attribute_type,
};

/// A dimension of a value that Weir writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dim {
    /// The number of rows in a run, named `N`.
    Batch,
    /// A fixed size.
    Fixed(usize),
}

impl ModelProto {
    /// A model around `graph` with the operator set and IR version Weir exports, and metadata in the order given.
    #[must_use]
    pub fn export(graph: GraphProto, metadata: &[(&str, &str)]) -> Self {
        Self {
            ir_version: IR_VERSION,
            producer_name: "weir-train".to_owned(),
            producer_version: env!("CARGO_PKG_VERSION").to_owned(),
            graph: Some(graph),
            opset_import: vec![OperatorSetIdProto {
                domain: String::new(),
                version: OPSET,
            }],
            metadata_props: metadata
                .iter()
                .map(|(key, value)| StringStringEntryProto {
                    key: (*key).to_owned(),
                    value: (*value).to_owned(),
                })
                .collect(),
            ..Self::default()
        }
    }

    /// The metadata value stored under `key`.
    #[must_use]
    pub fn metadata(&self, key: &str) -> Option<&str> {
        self.metadata_props
            .iter()
            .find(|entry| entry.key == key)
            .map(|entry| entry.value.as_str())
    }
}

impl NodeProto {
    /// A node of the standard domain, named after its first output.
    #[must_use]
    pub fn new(op_type: &str, inputs: &[&str], outputs: &[&str]) -> Self {
        Self {
            input: inputs.iter().map(|&name| name.to_owned()).collect(),
            output: outputs.iter().map(|&name| name.to_owned()).collect(),
            name: outputs.first().copied().unwrap_or_default().to_owned(),
            op_type: op_type.to_owned(),
            ..Self::default()
        }
    }

    /// The same node with one more attribute.
    #[must_use]
    pub fn with(mut self, attribute: AttributeProto) -> Self {
        self.attribute.push(attribute);
        self
    }
}

impl AttributeProto {
    /// A float attribute.
    #[must_use]
    pub fn float(name: &str, value: f32) -> Self {
        Self {
            f: Some(value),
            ..Self::typed(name, attribute_type::FLOAT)
        }
    }

    /// An integer attribute.
    #[must_use]
    pub fn int(name: &str, value: i64) -> Self {
        Self {
            i: Some(value),
            ..Self::typed(name, attribute_type::INT)
        }
    }

    /// An attribute of several integers.
    #[must_use]
    pub fn ints(name: &str, values: &[i64]) -> Self {
        Self {
            ints: values.to_vec(),
            ..Self::typed(name, attribute_type::INTS)
        }
    }

    fn typed(name: &str, attribute_type: i32) -> Self {
        Self {
            name: name.to_owned(),
            r#type: attribute_type,
            ..Self::default()
        }
    }
}

impl TensorProto {
    /// A float tensor in raw little-endian form; `dims` is empty for a scalar.
    #[must_use]
    pub fn f32(name: &str, dims: &[usize], values: &[f32]) -> Self {
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::raw(name, dims, FLOAT, raw)
    }

    /// An integer tensor in raw little-endian form, for axes and shapes.
    #[must_use]
    pub fn i64(name: &str, dims: &[usize], values: &[i64]) -> Self {
        let raw = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        Self::raw(name, dims, INT64, raw)
    }

    /// The values of a float tensor, in whichever form it has them.
    #[must_use]
    pub fn floats(&self) -> Vec<f32> {
        let Some(raw) = &self.raw_data else {
            return self.float_data.clone();
        };
        let (floats, _) = raw.as_chunks::<4>();
        floats
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect()
    }

    fn raw(name: &str, dims: &[usize], data_type: i32, raw: Vec<u8>) -> Self {
        Self {
            dims: dims
                .iter()
                .map(|&dim| i64::try_from(dim).unwrap_or(i64::MAX))
                .collect(),
            data_type,
            name: name.to_owned(),
            raw_data: Some(raw),
            ..Self::default()
        }
    }
}

impl ValueInfoProto {
    /// A float tensor value for a graph's inputs and outputs.
    #[must_use]
    pub fn f32(name: &str, dims: &[Dim]) -> Self {
        let dim = dims
            .iter()
            .map(|dim| match dim {
                Dim::Batch => DimensionProto {
                    dim_param: Some("N".to_owned()),
                    ..DimensionProto::default()
                },
                Dim::Fixed(size) => DimensionProto {
                    dim_value: Some(i64::try_from(*size).unwrap_or(i64::MAX)),
                    ..DimensionProto::default()
                },
            })
            .collect();
        Self {
            name: name.to_owned(),
            r#type: Some(TypeProto {
                tensor_type: Some(TensorTypeProto {
                    elem_type: FLOAT,
                    shape: Some(TensorShapeProto { dim }),
                }),
                ..TypeProto::default()
            }),
            doc_string: String::new(),
        }
    }
}
