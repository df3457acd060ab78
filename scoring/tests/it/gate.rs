//! The load gate, one hostile model at a time.

use proptest::prelude::*;
use weir_scoring::gate::{self, GateError, ModelShape};
use weir_scoring::onnx::{
    AttributeProto, Dim, ModelProto, NodeProto, StringStringEntryProto, TensorProto, ValueInfoProto,
};

use crate::traffic::PARTS;

fn inspect(bytes: &[u8]) -> Result<gate::InspectedModel, GateError> {
    gate::inspect(bytes, &ModelShape::field(&PARTS.field.fingerprint))
}

/// What the gate says to a model after `change`.
fn says(change: impl FnOnce(&mut ModelProto)) -> String {
    inspect(&PARTS.field.changed(change))
        .unwrap_err()
        .to_string()
}

fn weights(model: &mut ModelProto) -> &mut TensorProto {
    let graph = model.graph.as_mut().unwrap();
    graph
        .initializer
        .iter_mut()
        .find(|tensor| tensor.name == "encoder")
        .unwrap()
}

fn push_node(model: &mut ModelProto, node: NodeProto) {
    model.graph.as_mut().unwrap().node.push(node);
}

#[test]
fn an_honest_model_passes_unchanged() {
    let bytes = PARTS.field.bytes();
    assert_eq!(inspect(&bytes).unwrap().bytes(), bytes);
    let request = ModelShape::request(&PARTS.request.fingerprint);
    assert!(gate::inspect(&PARTS.request.bytes(), &request).is_ok());
}

#[test]
fn what_the_gate_does_not_know_does_not_reach_the_runtime() {
    let mut bytes = PARTS.field.bytes();
    // Field 99 of ModelProto: unknown here, perhaps known to another reader.
    bytes.extend_from_slice(&[0x9a, 0x06, 3, b'x', b'y', b'z']);
    assert_eq!(inspect(&bytes).unwrap().bytes(), PARTS.field.bytes());
}

#[test]
fn truncated_and_foreign_files_are_refused() {
    let bytes = PARTS.field.bytes();
    assert!(matches!(
        inspect(&bytes[..bytes.len() - 100]),
        Err(GateError::Decode(_))
    ));
    assert!(matches!(inspect(b"#!/bin/sh\n"), Err(GateError::Decode(_))));
    assert!(matches!(inspect(b""), Err(GateError::Version { .. })));
    assert!(matches!(
        inspect(&vec![0; gate::MAX_MODEL_BYTES + 1]),
        Err(GateError::TooLarge(_))
    ));
    assert!(says(|model| model.graph = None).contains("no graph"));
}

#[test]
fn weights_that_are_no_numbers_are_refused() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let error = says(|model| {
            let raw = weights(model).raw_data.as_mut().unwrap();
            raw[400..404].copy_from_slice(&poison.to_le_bytes());
        });
        assert!(
            error.contains("`encoder`") && error.contains("not finite"),
            "{error}"
        );
    }
    let error = says(|model| {
        let tensor = weights(model);
        let raw = tensor.raw_data.take().unwrap();
        tensor.float_data = raw
            .as_chunks::<4>()
            .0
            .iter()
            .map(|bytes| f32::from_le_bytes(*bytes))
            .collect();
        tensor.float_data[0] = f32::NAN;
    });
    assert!(error.contains("not finite"), "{error}");
    let error = says(|model| model.graph.as_mut().unwrap().node[4].attribute[0].f = Some(f32::NAN));
    assert!(error.contains("attribute `alpha`"), "{error}");
}

#[test]
fn loops_branches_and_other_operators_are_refused() {
    for operator in ["Loop", "If", "Scan"] {
        let body = AttributeProto {
            name: "body".to_owned(),
            r#type: 5,
            g: Some(vec![1, 2, 3]),
            ..AttributeProto::default()
        };
        let error =
            says(|model| push_node(model, NodeProto::new(operator, &["x"], &["y"]).with(body)));
        assert!(error.contains("subgraphs"), "{error}");
        // Without the subgraph it is still no operator of an autoencoder.
        let error = says(|model| push_node(model, NodeProto::new(operator, &["x"], &["y"])));
        assert!(error.contains(operator), "{error}");
    }
    let foreign = NodeProto {
        domain: "com.microsoft".to_owned(),
        ..NodeProto::new("Gemm", &["x"], &["y"])
    };
    assert!(says(|model| push_node(model, foreign)).contains("com.microsoft::Gemm"));
    let text = AttributeProto {
        name: "path".to_owned(),
        r#type: 3,
        s: Some(b"/etc/passwd".to_vec()),
        ..AttributeProto::default()
    };
    assert!(
        says(|model| push_node(model, NodeProto::new("Add", &["x"], &["y"]).with(text)))
            .contains("`path`")
    );
    assert!(says(|model| model.functions.push(vec![0])).contains("local functions"));
    assert!(says(|model| model.training_info.push(vec![0])).contains("training information"));
    assert!(
        says(|model| model
            .graph
            .as_mut()
            .unwrap()
            .sparse_initializer
            .push(vec![]))
        .contains("sparse")
    );
    assert!(says(|model| model.opset_import[0].version = 99).contains("99"));
    assert!(
        says(|model| model.opset_import.push(model.opset_import[0].clone()))
            .contains("operator sets")
    );
}

#[test]
fn data_in_other_files_is_refused() {
    let error = says(|model| {
        let tensor = weights(model);
        tensor.raw_data = None;
        tensor.data_location = 1;
        tensor.external_data = vec![StringStringEntryProto {
            key: "location".to_owned(),
            value: "../../etc/passwd".to_owned(),
        }];
    });
    assert!(error.contains("another file"), "{error}");
    assert!(says(|model| weights(model).data_location = 1).contains("another file"));
}

#[test]
fn constants_whose_shape_lies_are_refused() {
    for dims in [
        vec![1],
        vec![-1, 8],
        vec![0, 8],
        vec![i64::MAX, i64::MAX],
        vec![1, 1, 1],
        vec![1 << 40, 1],
    ] {
        assert!(
            says(|model| weights(model).dims = dims.clone()).contains("`encoder` is malformed"),
            "{dims:?}"
        );
    }
    assert!(says(|model| weights(model).data_type = 8).contains("malformed"));
    assert!(says(|model| weights(model).data_type = 7).contains("malformed"));
    assert!(says(|model| weights(model).float_data.push(1.0)).contains("malformed"));
    assert!(says(|model| weights(model).double_data.push(1.0)).contains("malformed"));
    assert!(says(|model| weights(model).segment = Some(vec![])).contains("segment"));
    let many = says(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.initializer = vec![TensorProto::f32("w", &[], &[0.0]); gate::MAX_NODES + 1];
    });
    assert!(many.contains("129 constants"), "{many}");
}

#[test]
fn other_inputs_and_outputs_are_refused() {
    let width = PARTS.field.width();
    let input =
        |value: ValueInfoProto| says(|model| model.graph.as_mut().unwrap().input = vec![value]);
    for error in [
        input(ValueInfoProto::f32(
            "vectors",
            &[Dim::Batch, Dim::Fixed(width)],
        )),
        input(ValueInfoProto::f32(
            "rows",
            &[Dim::Batch, Dim::Fixed(width + 1)],
        )),
        input(ValueInfoProto::f32(
            "rows",
            &[Dim::Fixed(1), Dim::Fixed(width)],
        )),
        input(ValueInfoProto::f32("rows", &[Dim::Batch])),
        input(ValueInfoProto {
            name: "rows".to_owned(),
            ..ValueInfoProto::default()
        }),
        says(|model| {
            let kind = model.graph.as_mut().unwrap().input[0]
                .r#type
                .as_mut()
                .unwrap();
            kind.tensor_type.as_mut().unwrap().elem_type = 11;
        }),
        says(|model| model.graph.as_mut().unwrap().input.clear()),
    ] {
        assert!(
            error.contains(&format!("must have input `rows` float [N, {width}]")),
            "{error}"
        );
    }
    let error = says(|model| drop(model.graph.as_mut().unwrap().output.pop()));
    assert!(
        error.contains("outputs `error` float [N] and `residuals`"),
        "{error}"
    );
}

#[test]
fn models_for_another_detector_or_extractor_are_refused() {
    let as_request = gate::inspect(
        &PARTS.field.bytes(),
        &ModelShape::request(&PARTS.field.fingerprint),
    );
    assert!(matches!(as_request, Err(GateError::Interface { .. })));
    let error = says(|model| model.metadata_props[0].value = "request".to_owned());
    assert!(error.contains("mixed up"), "{error}");
    let error = says(|model| model.metadata_props[1].value = "v0-1".to_owned());
    assert!(
        error.contains("another extractor") && error.contains("v0-1"),
        "{error}"
    );
    assert!(says(|model| model.metadata_props.clear()).contains("missing"));
}

proptest! {
    #[test]
    fn mutated_models_never_panic(flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = PARTS.request.bytes();
        for (index, value) in flips {
            let at = index.index(bytes.len());
            bytes[at] ^= value;
        }
        let shape = ModelShape::request(&PARTS.request.fingerprint);
        if let Ok(model) = gate::inspect(&bytes, &shape) {
            // What passes is stable: inspecting it again changes nothing.
            prop_assert_eq!(gate::inspect(model.bytes(), &shape).unwrap(), model);
        }
    }
}
