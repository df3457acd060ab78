//! Engines that score requests together against one that scores them alone.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{
    BatchOptions, BatchRun, CHUNK_ROWS, Engine, EngineOptions, EngineScratch, NoExceptions,
    ScoreError, Subject,
};
use weir_scoring::ort::ExecutionProvider;
use weir_scoring::reason::SecretKeys;

use crate::forward::{PLAIN, assert_same, score, traffic};
use crate::traffic::{request, runtime};

const THREADS: usize = 8;
const TOLERANCE: f32 = 1e-5;

/// Rows and runs of an engine.
#[derive(Default)]
struct Seen {
    rows: AtomicUsize,
    runs: AtomicUsize,
}

fn batched(rows: usize, wait: Duration) -> (Engine, Arc<Seen>) {
    let options = EngineOptions {
        workers: THREADS,
        provider: ExecutionProvider::Cpu,
    };
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../models/base");
    let bundle = Bundle::open(&path).unwrap();
    let seen = Arc::<Seen>::default();
    let counts = Arc::clone(&seen);
    let observer = Arc::new(move |run: &BatchRun| {
        assert!(run.rows <= rows && run.requests <= run.rows);
        counts.rows.fetch_add(run.rows, Ordering::Relaxed);
        counts.runs.fetch_add(1, Ordering::Relaxed);
    });
    let engine = Engine::load(runtime(), &bundle, &options)
        .unwrap()
        .with_batches(runtime(), &bundle, BatchOptions { rows, wait }, observer)
        .unwrap();
    (engine, seen)
}

#[test]
fn requests_score_together_as_alone() {
    let traffic = traffic();
    let expected: Vec<_> = traffic
        .iter()
        .map(|request| score(&PLAIN, request))
        .collect();
    // Batches of two requests' rows at least, and such that fill up.
    for (rows, wait) in [
        (1024, Duration::from_millis(2)),
        (CHUNK_ROWS, Duration::ZERO),
    ] {
        let (engine, seen) = batched(rows, wait);
        std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (engine, traffic, expected) = (&engine, &traffic, &expected);
                scope.spawn(move || {
                    for offset in 0..traffic.len() {
                        let at = (offset + thread * 7) % traffic.len();
                        let found = score(engine, &traffic[at]);
                        assert_same(&found, &expected[at], TOLERANCE);
                    }
                });
            }
        });
        let alone: usize = expected.iter().map(|assessment| assessment.rows).sum();
        assert_eq!(seen.rows.load(Ordering::Relaxed), THREADS * alone);
        let runs = seen.runs.load(Ordering::Relaxed);
        assert!(runs > 0 && runs <= THREADS * (alone / CHUNK_ROWS + 2 * traffic.len()));
    }
}

#[test]
fn explanations_are_not_scored_in_batches() {
    let (engine, seen) = batched(1024, Duration::ZERO);
    let attack = request("/search?q=%27%20UNION%20SELECT%20name%20FROM%20users--%20");
    let explain = |engine: &Engine| {
        let mut scratch = EngineScratch::default();
        let secrets = SecretKeys::default();
        attack
            .with_view(|view| {
                engine.explain(0, &Subject::of(view), &NoExceptions, &mut scratch, &secrets)
            })
            .unwrap()
    };
    let (found, expected) = (explain(&engine), explain(&PLAIN));
    assert_eq!(found.fields[0].key, expected.fields[0].key);
    assert_eq!(found.fields[0].value, expected.fields[0].value);
    assert_eq!(seen.runs.load(Ordering::Relaxed), 0);
}

#[test]
fn a_deadline_that_has_passed_is_an_error_and_the_next_request_is_scored() {
    let (engine, _) = batched(1024, Duration::from_micros(200));
    let request = request("/search?q=lamp");
    let mut scratch = EngineScratch::default();
    let mut with = |deadline| {
        request.with_view(|view| {
            let subject = Subject {
                deadline,
                ..Subject::of(view)
            };
            engine.score(0, &subject, &NoExceptions, &mut scratch)
        })
    };
    assert!(matches!(with(Some(Instant::now())), Err(ScoreError::Late)));
    let later = Some(Instant::now() + Duration::from_secs(60));
    let found = with(later).unwrap();
    assert_same(&found, &score(&PLAIN, &request), TOLERANCE);
}

#[test]
fn engines_are_swapped_while_batches_run() {
    let options = (1024, Duration::from_micros(100));
    let current = RwLock::new(Arc::new(batched(options.0, options.1).0));
    let over = AtomicBool::new(false);
    let request = request("/search?q=green+desk&page=4");
    let expected = score(&PLAIN, &request);
    let pin = || Arc::clone(&current.read().unwrap_or_else(PoisonError::into_inner));
    std::thread::scope(|scope| {
        let scoring = [(); 4].map(|()| {
            scope.spawn(|| {
                let mut scored = 0;
                // At least once after the last swap.
                loop {
                    let last = over.load(Ordering::Acquire);
                    assert_same(&score(&pin(), &request), &expected, TOLERANCE);
                    scored += 1;
                    if last {
                        return scored;
                    }
                }
            })
        });
        for _ in 0..3 {
            let next = Arc::new(batched(options.0, options.1).0);
            *current.write().unwrap_or_else(PoisonError::into_inner) = next;
        }
        over.store(true, Ordering::Release);
        assert!(scoring.into_iter().all(|thread| thread.join().unwrap() > 0));
    });
}
