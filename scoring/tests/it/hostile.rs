//! Bundles that are well formed on disk and must still not serve.

use weir_scoring::bundle::{Bundle, FIELD_MODEL, Manifest};
use weir_scoring::engine::{Engine, LoadError};
use weir_scoring::onnx::{ModelProto, NodeProto};

use crate::traffic::{OPTIONS, PARTS, field_only, publish_as, runtime};

/// Loads a bundle with this field model, whose hashes are all in order.
fn load(model: Vec<u8>, manifest: Manifest) -> Result<Engine, LoadError> {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    publish_as(&target, &[(FIELD_MODEL, model)], manifest).unwrap();
    Engine::load(runtime(), &Bundle::open(&target).unwrap(), &OPTIONS)
}

fn changed(change: impl FnOnce(&mut ModelProto)) -> LoadError {
    load(PARTS.field.changed(change), field_only()).unwrap_err()
}

#[test]
fn the_honest_bundle_loads() {
    let engine = load(PARTS.field.bytes(), field_only()).unwrap();
    assert_eq!(engine.id(), engine.manifest().id);
}

#[test]
fn what_the_gate_refuses_names_file_and_bundle() {
    let bytes = PARTS.field.bytes();
    let error = load(bytes[..bytes.len() / 2].to_vec(), field_only()).unwrap_err();
    assert!(matches!(error, LoadError::Gate { .. }));
    assert!(
        error.to_string().starts_with("field.onnx of bundle "),
        "{error}"
    );
}

#[test]
fn other_weights_do_not_match_the_golden_rows() {
    let error = changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        let tensor = graph
            .initializer
            .iter_mut()
            .find(|tensor| tensor.name == "deviation")
            .unwrap();
        // A single flipped bit in an exponent: still finite, still a model, no longer this one.
        tensor.raw_data.as_mut().unwrap()[3] ^= 1;
    });
    assert!(matches!(error, LoadError::Golden { .. }), "{error}");
    let mut manifest = field_only();
    manifest.golden.field.errors[5] *= 1.01;
    let error = load(PARTS.field.bytes(), manifest).unwrap_err();
    assert!(error.to_string().contains("golden row 5"), "{error}");
}

#[test]
fn a_graph_that_the_runtime_refuses_is_an_error() {
    for error in [
        // A value nobody makes, twice the same name, and shapes that do not fit.
        changed(|model| model.graph.as_mut().unwrap().node[0].input[1] = "nowhere".to_owned()),
        changed(|model| {
            model
                .graph
                .as_mut()
                .unwrap()
                .node
                .push(NodeProto::new("Abs", &["z"], &["error"]))
        }),
        changed(|model| model.graph.as_mut().unwrap().node[3].input[1] = "decoder".to_owned()),
    ] {
        assert!(matches!(error, LoadError::Session { .. }), "{error}");
    }
}

#[test]
fn results_that_are_not_finite_are_an_error() {
    // The logarithm of a negative number.
    let error = changed(|model| {
        let graph = model.graph.as_mut().unwrap();
        graph.node[7] = NodeProto::new("Log", &["difference"], &["square"]);
    });
    assert!(matches!(error, LoadError::Session { .. }), "{error}");
    assert!(error.to_string().contains("not finite"), "{error}");
}
