//! Rows a second: by ONNX Runtime and by the sparse pass, in runs of some sizes; and of requests that are scored at the same time, each by itself
//! and in batches. Prints the tables of docs/performance.md, section "Batches": `cargo bench -p weir-scoring --bench batches`.
//!
//! Not here: extraction by itself and the score cache (`detection`). Without ONNX Runtime nothing is measured, visibly. `WEIR_TEST_CUDA=1` measures a GPU as well.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_precision_loss,
    missing_docs
)]

use std::path::Path;
use std::sync::{Arc, Barrier};
use std::time::{Duration, Instant};

use ndarray::Array2;
use weir_features::{Extractor, FIELD_WIDTH, Scratch};
use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{
    BatchOptions, Engine, EngineOptions, EngineScratch, NoExceptions, Subject,
};
use weir_scoring::gate::{self, ModelShape};
use weir_scoring::ort::{ExecutionProvider, Runtime, Session};
use weir_scoring::record::OwnedRequest;
use weir_scoring::sparse::{Network, Workspace};

#[path = "../../benches/support/shapes.rs"]
#[allow(dead_code, reason = "other benches need more of it")]
mod shapes;

const RUNS: [usize; 7] = [1, 8, 17, 32, 128, 256, 1024];
/// A measurement is the best of so many, each of about this long.
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(40);
const THREADS: [usize; 4] = [1, 2, 4, 8];
const REQUESTS: usize = 600;

fn main() {
    // `cargo test --all-targets` runs benches, too.
    if !std::env::args().any(|argument| argument == "--bench") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let runtime = match Runtime::load(None, Some(&root.join(".onnxruntime"))) {
        Ok(runtime) => runtime,
        Err(why) => return println!("note: batches are not measured: {why}"),
    };
    let bundle = Bundle::open(root.join("models/base")).expect("the bundle that ships");
    let mut providers = vec![ExecutionProvider::Cpu];
    if std::env::var_os("WEIR_TEST_CUDA").is_some() {
        providers.push(ExecutionProvider::Cuda);
    }
    println!("| rows of a run | computed by | us a run | rows/s |");
    println!("|---|---|---|---|");
    sparse(&bundle);
    for provider in &providers {
        sessions(runtime, &bundle, *provider);
    }
    println!("\n| requests at a time | scored | requests/s | rows/s | median us | p99 us |");
    println!("|---|---|---|---|---|---|");
    for threads in THREADS {
        for provider in &providers {
            requests(runtime, &bundle, *provider, threads);
        }
    }
}

/// The form of 17 fields: its rows, over and over.
fn rows(count: usize) -> Array2<f32> {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let mut all = Vec::new();
    form().with_view(|view| {
        for field in extractor.extract(view, &mut scratch).iter() {
            let mut row = vec![0.0; FIELD_WIDTH];
            extractor.row(&field, &mut row);
            all.push(row);
        }
    });
    Array2::from_shape_fn((count, FIELD_WIDTH), |(row, column)| {
        all[row % all.len()][column]
    })
}

fn form() -> OwnedRequest {
    let mut shapes = shapes::SHAPES.iter();
    let form = shapes.find(|shape| shape.to_string() == "form");
    form.expect("a form").request()
}

/// Seconds of one run, the best of some rounds.
fn best(mut run: impl FnMut()) -> f64 {
    let mut best = f64::MAX;
    for _ in 0..ROUNDS {
        let (started, mut runs) = (Instant::now(), 0);
        while runs < 3 || started.elapsed() < ROUND {
            run();
            runs += 1;
        }
        best = best.min(started.elapsed().as_secs_f64() / f64::from(runs));
    }
    best
}

fn print(count: usize, by: &str, seconds: f64) {
    let rate = count as f64 / seconds;
    println!("| {count} | {by} | {:.1} | {rate:.0} |", seconds * 1e6);
}

fn sparse(bundle: &Bundle) {
    let network = Network::read(&inspected(bundle)).expect("a network of weir-train's");
    let (mut workspace, mut errors) = (Workspace::default(), Vec::new());
    for count in RUNS {
        let rows = rows(count);
        let seconds = best(|| {
            errors.clear();
            network
                .errors(rows.view(), &mut workspace, &mut errors)
                .expect("errors");
        });
        print(count, "sparse pass", seconds);
    }
    let dense = Array2::from_shape_fn((256, FIELD_WIDTH), |(row, column)| {
        ((row * 31 + column * 17) % 13) as f32 / 4.0 + 0.1
    });
    let seconds = best(|| {
        errors.clear();
        network
            .errors(dense.view(), &mut workspace, &mut errors)
            .expect("errors");
    });
    print(256, "sparse pass, no column zero", seconds);
}

fn inspected(bundle: &Bundle) -> gate::InspectedModel {
    let manifest = bundle.manifest();
    let bytes = bundle.file(&manifest.detectors.field.file);
    gate::inspect(
        bytes.expect("a model"),
        &ModelShape::field(&manifest.fingerprint),
    )
    .expect("a sound model")
}

fn sessions(runtime: &'static Runtime, bundle: &Bundle, provider: ExecutionProvider) {
    let limit = Duration::from_secs(60);
    let (mut session, status) =
        Session::new(runtime, &inspected(bundle), provider, limit).expect("a session");
    let mut errors = Vec::new();
    for count in RUNS {
        let rows = rows(count);
        let seconds = best(|| {
            errors.clear();
            session.errors(rows.view(), &mut errors).expect("errors");
        });
        print(count, &format!("ONNX Runtime, {}", status.actual), seconds);
    }
}

fn requests(
    runtime: &'static Runtime,
    bundle: &Bundle,
    provider: ExecutionProvider,
    threads: usize,
) {
    let options = EngineOptions {
        workers: threads,
        provider,
    };
    let engine = || Engine::load(runtime, bundle, &options).expect("an engine");
    let batched = |micros| {
        let options = BatchOptions {
            rows: 1024,
            wait: Duration::from_micros(micros),
        };
        let observer = Arc::new(|_: &_| ());
        engine()
            .with_batches(runtime, bundle, options, observer)
            .expect("batches")
    };
    let ways = [
        ("alone, sparse pass", engine()),
        ("alone", engine().through_onnxruntime()),
        ("in batches, wait 0us", batched(0)),
        ("in batches, wait 200us", batched(200)),
    ];
    for (way, engine) in ways {
        if way == "alone, sparse pass" && provider != ExecutionProvider::Cpu {
            continue;
        }
        let (seconds, rows, mut waits) = load(&engine, threads);
        waits.sort_unstable();
        let at = |share: f64| waits[((waits.len() - 1) as f64 * share) as usize].as_micros();
        let count = (threads * REQUESTS) as f64;
        println!(
            "| {threads} | {way}, {provider} | {:.0} | {:.0} | {} | {} |",
            count / seconds,
            rows as f64 / seconds,
            at(0.5),
            at(0.99)
        );
    }
}

/// Every thread scores the form over and over: seconds in all, rows, and the time of each request.
fn load(engine: &Engine, threads: usize) -> (f64, usize, Vec<Duration>) {
    let request = form();
    let begin = Barrier::new(threads + 1);
    std::thread::scope(|scope| {
        let work = |worker| {
            let (request, begin) = (&request, &begin);
            move || {
                let mut scratch = EngineScratch::default();
                let mut score = || {
                    request.with_view(|view| {
                        let subject = Subject::of(view);
                        engine
                            .score(worker, &subject, &NoExceptions, &mut scratch)
                            .expect("a score")
                            .rows
                    })
                };
                score();
                begin.wait();
                let mut rows = 0;
                let mut times = Vec::with_capacity(REQUESTS);
                for _ in 0..REQUESTS {
                    let started = Instant::now();
                    rows += score();
                    times.push(started.elapsed());
                }
                (rows, times)
            }
        };
        let workers: Vec<_> = (0..threads)
            .map(|worker| scope.spawn(work(worker)))
            .collect();
        begin.wait();
        let started = Instant::now();
        let done: Vec<_> = workers
            .into_iter()
            .map(|worker| worker.join().expect("a worker"))
            .collect();
        let seconds = started.elapsed().as_secs_f64();
        let rows = done.iter().map(|(rows, _)| rows).sum();
        (
            seconds,
            rows,
            done.into_iter().flat_map(|(_, times)| times).collect(),
        )
    })
}
