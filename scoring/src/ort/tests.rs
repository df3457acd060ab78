#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use prost::Message;

use super::*;
use crate::onnx::{
    AttributeProto, Dim, GraphProto, ModelProto, NodeProto, TensorProto, TensorShapeProto,
    TensorTypeProto, TypeProto, ValueInfoProto,
};

#[test]
fn work_that_finishes_is_not_disturbed() {
    let long = Duration::from_secs(3600);
    assert_eq!(watched(long, || panic!("stopped"), || 7), Some(7));
}

#[test]
fn work_that_does_not_finish_is_stopped() {
    let (stop, stopped) = mpsc::channel();
    let stop = move || stop.send(()).unwrap();
    assert_eq!(watched(Duration::ZERO, stop, || stopped.recv()), None);
}

fn scalar(name: &str, elem_type: i32) -> ValueInfoProto {
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            tensor_type: Some(TensorTypeProto {
                elem_type,
                shape: Some(TensorShapeProto::default()),
            }),
            ..TypeProto::default()
        }),
        doc_string: String::new(),
    }
}

/// A model that hands its input round a loop 2^62 times. The gate would refuse it.
fn endless() -> InspectedModel {
    const BOOL: i32 = 9;
    let rows = |name: &str| ValueInfoProto::f32(name, &[Dim::Batch, Dim::Fixed(3)]);
    let body = GraphProto {
        name: "body".to_owned(),
        node: vec![
            NodeProto::new("Identity", &["going"], &["goes_on"]),
            NodeProto::new("Identity", &["carried"], &["carried_on"]),
        ],
        input: vec![
            scalar("turn", crate::onnx::INT64),
            scalar("going", BOOL),
            rows("carried"),
        ],
        output: vec![scalar("goes_on", BOOL), rows("carried_on")],
        ..GraphProto::default()
    };
    let body = AttributeProto {
        name: "body".to_owned(),
        r#type: 5,
        g: Some(body.encode_to_vec()),
        ..AttributeProto::default()
    };
    let graph = GraphProto {
        name: "endless".to_owned(),
        node: vec![
            NodeProto::new("Loop", &["turns", "", "rows"], &["residuals"]).with(body),
            NodeProto::new("ReduceSum", &["residuals", "axes"], &["error"])
                .with(AttributeProto::int("keepdims", 0)),
        ],
        initializer: vec![
            TensorProto::i64("turns", &[], &[1 << 62]),
            TensorProto::i64("axes", &[1], &[1]),
        ],
        input: vec![rows("rows")],
        output: vec![
            ValueInfoProto::f32("error", &[Dim::Batch]),
            rows("residuals"),
        ],
        ..GraphProto::default()
    };
    let shape = ModelShape {
        detector: "field",
        input: "rows",
        width: 3,
        fingerprint: String::new(),
    };
    InspectedModel::unchecked(ModelProto::export(graph, &[]).encode_to_vec(), shape)
}

#[test]
fn a_model_that_runs_for_ever_is_terminated() {
    let runtime = Runtime::load(None, None).unwrap();
    let limit = Duration::from_secs(30);
    let (mut session, _) =
        Session::new(runtime, &endless(), ExecutionProvider::Cpu, limit).unwrap();
    let rows = Array2::zeros((2, 3));
    let error = session
        .probe(rows.view(), Duration::from_millis(50))
        .unwrap_err();
    assert!(matches!(error, SessionError::Timeout(_)), "{error}");
}
