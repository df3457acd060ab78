//! Measures a bundle: normal requests and attacks through the real engine, and every figure that says how well it tells them apart.
//!
//! Must not be here: training, calibration, and choices of thresholds. A measure never looks at what it could improve.

pub mod bootstrap;
pub mod build;
mod cases;
pub mod compare;
pub mod curves;
mod every;
pub mod groups;
mod hosts;
pub mod html;
pub mod lookalikes;
pub mod measures;
pub mod report;
pub mod run;
pub mod samples;
pub mod sites;
mod text;
pub mod views;
mod whole;

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Context;
use weir_features::{Extractor, Location, RequestVector, Scratch};
use weir_scoring::budget::Scores;
use weir_scoring::engine::{Engine, EngineScratch, NoExceptions, Subject};
use weir_scoring::record::OwnedRequest;

use crate::progress::{Progress, Stage, Stop};
use compare::Other;
use lookalikes::LookalikeSample;
use samples::{AttackSample, NormalSample};

/// A normal request and what was said about it.
pub type Normal = (NormalSample, Scored);

/// An attack and what was said about it.
pub type Attack = (AttackSample, Scored);

/// A request, and what the request detector gets of it.
pub type Input<'s> = (&'s OwnedRequest, Option<&'s RequestVector>);

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
    /// Equal for requests that no field detector can tell apart, see [`identity`].
    pub identity: u64,
}

/// Everything that the report is made of.
#[derive(Debug, Default)]
pub struct Evaluation {
    /// Normal requests with what they scored.
    pub normal: Vec<Normal>,
    /// Attacks with what they scored.
    pub attacks: Vec<Attack>,
    /// Look-alikes with what they scored.
    pub lookalikes: Vec<(LookalikeSample, Scored)>,
    /// Whether attacks were grafted into the normal requests, and not into others.
    pub own_templates: bool,
    /// Identities of requests that the bundle was trained on.
    pub seen: HashSet<u64>,
    /// Another bundle on the same samples.
    pub other: Option<Other>,
}

/// A hash of what the field detector can see of a request: its host, and the location, name and decoded value of every
/// field. Equal ones give equal rows with any bundle, profiles included, so they are duplicates.
#[must_use]
pub fn identity(request: &OwnedRequest, scratch: &mut Scratch) -> u64 {
    let mut fields: Vec<u64> = request.with_view(|view| {
        let fields = Extractor::shared().extract(view, scratch);
        let hashes = fields.iter().map(|field| {
            let mut hasher = DefaultHasher::new();
            (field.location, field.key, field.value).hash(&mut hasher);
            hasher.finish()
        });
        hashes.collect()
    });
    fields.sort_unstable();
    fields.dedup();
    let mut hasher = DefaultHasher::new();
    let host = request.host().unwrap_or_default().to_ascii_lowercase();
    (host, fields).hash(&mut hasher);
    hasher.finish()
}

/// Scores requests on `workers` threads; the order stays.
///
/// # Errors
/// When the engine fails or the run is stopped.
pub fn score(
    engine: &Engine,
    workers: usize,
    requests: &[Input<'_>],
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
    chunks: &[&[Input<'_>]],
    next: &AtomicUsize,
    stage: &std::sync::Mutex<Stage>,
    stop: &Stop,
) -> anyhow::Result<Numbered> {
    let mut scratch = EngineScratch::default();
    let mut fields = Scratch::default();
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
                .with_view(|view| {
                    let subject = Subject {
                        vector: *vector,
                        ..Subject::of(view)
                    };
                    engine.score(worker, &subject, &NoExceptions, &mut scratch)
                })
                .context("cannot score a request")?;
            scored.push(Scored {
                scores: assessment.scores,
                top: assessment.top.map(|top| (top.location, top.key.to_vec())),
                identity: identity(request, &mut fields),
            });
        }
        if let Ok(mut stage) = stage.lock() {
            stage.advance(chunk.len());
        }
        out.push((index, scored));
    }
}
