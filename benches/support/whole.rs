//! The whole way to a score, with the bundle that ships.

use std::path::Path;
use std::sync::OnceLock;

use divan::Bencher;
use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{Engine, EngineOptions, EngineScratch, NoExceptions, Subject};
use weir_scoring::ort::{ExecutionProvider, Runtime};

use crate::shapes::Shape;

/// Scores with a field detector only, as the shipped base has.
pub(crate) fn bench(bencher: Bencher<'_, '_>, shape: &Shape) {
    let Some(engine) = engine() else {
        return bencher.bench(|| ());
    };
    let request = shape.request();
    let mut scratch = EngineScratch::default();
    bencher.bench_local(|| {
        request
            .with_view(|view| engine.score(0, &Subject::of(view), &NoExceptions, &mut scratch))
            .expect("a score")
            .rows
    });
}

fn engine() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    ENGINE
        .get_or_init(|| match load() {
            Ok(engine) => Some(engine),
            Err(why) => {
                println!("note: scoring is not measured: {why}");
                None
            }
        })
        .as_ref()
}

fn load() -> Result<Engine, Box<dyn std::error::Error>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let runtime = Runtime::load(None, Some(&root.join(".onnxruntime")))?;
    let bundle = Bundle::open(root.join("models/base"))?;
    let options = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cpu,
    };
    Ok(Engine::load(runtime, &bundle, &options)?)
}
