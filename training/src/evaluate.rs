//! Measures a bundle: normal requests and attacks through the real engine, and every figure that says how well it tells them apart.
//!
//! Must not be here: training, calibration, and choices of thresholds. A measure never looks at what it could improve.

pub mod html;
pub mod measures;
pub mod report;
pub mod samples;
mod text;

use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use weir_features::{Location, RequestVector};
use weir_scoring::budget::Scores;
use weir_scoring::engine::{Engine, EngineScratch, NoExceptions};
use weir_scoring::record::OwnedRequest;

use crate::progress::{Progress, Stage, Stop};
use samples::{AttackSample, NormalSample};

/// Scores of chunks with the chunks' numbers.
type Numbered = Vec<(usize, Vec<Scored>)>;

/// Requests a worker scores between two looks at the clock and the stop flag.
const CHUNK: usize = 64;

/// What the engine said about one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Scored {
    /// The scores.
    pub scores: Scores,
    /// Where the deciding field stands, and its name.
    pub top: Option<(Location, Vec<u8>)>,
}

/// Everything that the report is made of.
#[derive(Debug)]
pub struct Evaluation {
    /// Normal requests with what they scored.
    pub normal: Vec<(NormalSample, Scored)>,
    /// Attacks with what they scored.
    pub attacks: Vec<(AttackSample, Scored)>,
}

/// Scores all samples on `workers` threads; the order stays.
///
/// # Errors
/// When the engine fails or the run is stopped.
pub fn score(
    engine: &Engine,
    workers: usize,
    normal: Vec<NormalSample>,
    attacks: Vec<AttackSample>,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Evaluation> {
    let requests: Vec<(&OwnedRequest, Option<&RequestVector>)> = normal
        .iter()
        .map(|sample| (&sample.request, sample.vector.as_ref()))
        .chain(
            attacks
                .iter()
                .map(|sample| (&sample.request, sample.vector.as_ref())),
        )
        .collect();
    let mut scored = run(engine, workers, &requests, progress, stop)?;
    drop(requests);
    let of_attacks = scored.split_off(normal.len());
    Ok(Evaluation {
        normal: normal.into_iter().zip(scored).collect(),
        attacks: attacks.into_iter().zip(of_attacks).collect(),
    })
}

fn run(
    engine: &Engine,
    workers: usize,
    requests: &[(&OwnedRequest, Option<&RequestVector>)],
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Vec<Scored>> {
    let chunks: Vec<_> = requests.chunks(CHUNK).collect();
    let next = AtomicUsize::new(0);
    let stage = std::sync::Mutex::new(progress.stage("score", requests.len() as u64));
    let parts: Vec<anyhow::Result<Numbered>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers.max(1))
            .map(|worker| {
                scope.spawn({
                    let (chunks, next, stage) = (&chunks, &next, &stage);
                    move || work(engine, worker, chunks, next, stage, stop)
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| {
                thread
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a scoring thread panicked")))
            })
            .collect()
    });
    let mut done = Vec::new();
    for part in parts {
        done.extend(part?);
    }
    done.sort_by_key(|(index, _)| *index);
    if let Ok(stage) = stage.into_inner() {
        stage.finish(&format!("{} requests", requests.len()));
    }
    Ok(done.into_iter().flat_map(|(_, scored)| scored).collect())
}

fn work(
    engine: &Engine,
    worker: usize,
    chunks: &[&[(&OwnedRequest, Option<&RequestVector>)]],
    next: &AtomicUsize,
    stage: &std::sync::Mutex<Stage>,
    stop: &Stop,
) -> anyhow::Result<Numbered> {
    let mut scratch = EngineScratch::default();
    let mut out = Vec::new();
    loop {
        stop.check()?;
        let index = next.fetch_add(1, Ordering::Relaxed);
        let Some(chunk) = chunks.get(index) else {
            return Ok(out);
        };
        let mut scored = Vec::with_capacity(chunk.len());
        for (request, vector) in *chunk {
            let assessment = request
                .with_view(|view| engine.score(worker, view, *vector, &NoExceptions, &mut scratch))
                .context("cannot score a request")?;
            scored.push(Scored {
                scores: assessment.scores,
                top: assessment.top.map(|top| (top.location, top.key)),
            });
        }
        if let Ok(mut stage) = stage.lock() {
            stage.advance(chunk.len());
        }
        out.push((index, scored));
    }
}
