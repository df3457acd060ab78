#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::Mutex;
use std::sync::mpsc::{Sender, channel};

use super::*;

const HOUR: Duration = Duration::from_secs(3600);
const POISON: f32 = -1.0;

/// A session whose error of a row is its first value, and which does not begin a run before it is told to.
struct Fake {
    begin: Receiver<()>,
}

impl Batched for Fake {
    fn errors(
        &mut self,
        rows: ArrayView2<'_, f32>,
        errors: &mut Vec<f32>,
    ) -> Result<(), SessionError> {
        // A test that is over lets everything run.
        let _told = self.begin.recv();
        let column = rows.column(0);
        match column.iter().find(|value| **value < 0.0) {
            Some(&POISON) => Err(SessionError::NotFinite("error")),
            Some(_) => panic!("as told"),
            None => {
                errors.extend(column);
                Ok(())
            }
        }
    }
}

struct Bench {
    batches: Batcher,
    begin: Sender<()>,
    runs: Arc<Mutex<Vec<BatchRun>>>,
}

impl Bench {
    fn new(rows: usize, wait: Duration, waiting: usize) -> Self {
        let (begin, told) = channel();
        let runs = Arc::<Mutex<Vec<BatchRun>>>::default();
        let seen = Arc::clone(&runs);
        let observer = Arc::new(move |run: &BatchRun| seen.lock().unwrap().push(*run));
        let options = BatchOptions { rows, wait };
        Self {
            batches: Batcher::start(Fake { begin: told }, options, waiting, observer).unwrap(),
            begin,
            runs,
        }
    }

    fn score(
        &self,
        first: f32,
        count: usize,
        deadline: Option<Instant>,
    ) -> Result<Vec<f32>, ScoreError> {
        let mut matrix = Array2::zeros((CHUNK_ROWS, FIELD_WIDTH));
        matrix.column_mut(0).fill(first);
        let mut errors = Vec::new();
        let outcome = self
            .batches
            .score(&mut matrix, count, &mut errors, deadline);
        assert_eq!(matrix.dim(), (CHUNK_ROWS, FIELD_WIDTH));
        outcome.map(|()| errors)
    }

    fn runs(&self) -> Vec<(usize, usize)> {
        let runs = self.runs.lock().unwrap();
        runs.iter().map(|run| (run.requests, run.rows)).collect()
    }
}

#[test]
fn requests_of_one_batch_get_their_own_errors() {
    let bench = Bench::new(1024, HOUR, 8);
    std::thread::scope(|scope| {
        // Four that fill the batch, which would otherwise wait for an hour.
        for first in 1..5_u8 {
            let bench = &bench;
            scope.spawn(move || {
                let found = bench.score(f32::from(first), 256, None).unwrap();
                assert_eq!(found, vec![f32::from(first); 256]);
            });
        }
        bench.begin.send(()).unwrap();
    });
    assert_eq!(bench.runs(), [(4, 1024)]);
}

#[test]
fn what_does_not_fit_is_in_the_next_batch() {
    let bench = Bench::new(300, HOUR, 8);
    for _ in 0..2 {
        bench.begin.send(()).unwrap();
    }
    std::thread::scope(|scope| {
        let pair = [200, 256].map(|count| {
            let bench = &bench;
            // The last of the two waits in a batch of its own until the third comes.
            scope.spawn(move || bench.score(1.0, count, None).unwrap().len() == count)
        });
        let rest = 300 - if bench_holds(&bench, 200) { 256 } else { 200 };
        assert_eq!(bench.score(2.0, rest, None).unwrap().len(), rest);
        assert!(pair.into_iter().all(|thread| thread.join().unwrap()));
    });
    let runs = bench.runs();
    assert_eq!(runs.len(), 2);
    assert_eq!(runs[1], (2, 300));
}

/// Waits until the first batch has run, and says whether it was the one of so many rows.
fn bench_holds(bench: &Bench, rows: usize) -> bool {
    loop {
        if let Some((_, first)) = bench.runs().first() {
            return *first == rows;
        }
        std::thread::yield_now();
    }
}

#[test]
fn a_request_alone_waits_no_longer_than_it_should() {
    let bench = Bench::new(1024, Duration::from_micros(200), 8);
    bench.begin.send(()).unwrap();
    // Nobody else comes: without the wait's end this would take ten seconds and fail.
    assert_eq!(bench.score(3.0, 2, None).unwrap(), [3.0, 3.0]);
    assert_eq!(bench.runs(), [(1, 2)]);
}

#[test]
fn requests_that_come_during_a_run_are_scored_after_it() {
    let bench = Bench::new(1024, Duration::ZERO, 8);
    std::thread::scope(|scope| {
        let first = scope.spawn(|| bench.score(1.0, 1, None).unwrap());
        while bench.runs().is_empty() {
            std::thread::yield_now();
        }
        let others = [(); 3].map(|()| scope.spawn(|| bench.score(2.0, 5, None).unwrap()));
        // At most one run for each.
        for _ in 0..4 {
            bench.begin.send(()).unwrap();
        }
        assert_eq!(first.join().unwrap(), [1.0]);
        for other in others {
            assert_eq!(other.join().unwrap(), [2.0; 5]);
        }
    });
    let rows: usize = bench.runs().iter().map(|(_, rows)| rows).sum();
    assert_eq!(rows, 16);
}

#[test]
fn an_error_reaches_everybody_and_one_requests_rows_nobody_else() {
    let bench = Bench::new(1024, HOUR, 8);
    let (failed, fine) = std::thread::scope(|scope| {
        let bench = &bench;
        let all = [POISON, 1.0, POISON, 1.0]
            .map(|first| scope.spawn(move || (first, bench.score(first, 256, None))));
        // Together, and then each alone.
        for _ in 0..5 {
            bench.begin.send(()).unwrap();
        }
        all.map(|thread| thread.join().unwrap())
            .into_iter()
            .partition::<Vec<_>, _>(|(first, _)| *first == POISON)
    });
    assert_eq!(bench.runs().len(), 1);
    for (_, outcome) in failed {
        assert!(matches!(outcome, Err(ScoreError::Detector { .. })));
    }
    assert!(fine.into_iter().all(|(_, outcome)| outcome.is_ok()));
}

#[test]
fn a_panic_is_an_error_and_the_next_run_works() {
    let bench = Bench::new(256, HOUR, 8);
    for _ in 0..2 {
        bench.begin.send(()).unwrap();
    }
    let error = bench.score(-2.0, 256, None).unwrap_err();
    assert!(error.to_string().contains("panicked"), "{error}");
    assert_eq!(bench.score(1.0, 256, None).unwrap().len(), 256);
}

#[test]
fn a_run_that_hangs_costs_the_deadline_and_then_the_queue_is_full() {
    let bench = Bench::new(256, Duration::ZERO, 2);
    std::thread::scope(|scope| {
        let hangs = scope.spawn(|| bench.score(1.0, 1, None));
        while bench.runs().is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..2 {
            let late = bench.score(2.0, 1, Some(Instant::now()));
            assert!(matches!(late, Err(ScoreError::Late)));
        }
        let more = bench.score(3.0, 1, None);
        assert!(matches!(more, Err(ScoreError::QueueFull)));
        // When it goes on, those that are late are passed over.
        bench.begin.send(()).unwrap();
        bench.begin.send(()).unwrap();
        assert_eq!(hangs.join().unwrap().unwrap(), [1.0]);
        let found = loop {
            match bench.score(4.0, 1, None) {
                Err(ScoreError::QueueFull) => std::thread::yield_now(),
                found => break found,
            }
        };
        assert_eq!(found.unwrap(), [4.0]);
    });
    assert_eq!(bench.runs(), [(1, 1), (1, 1)]);
}

#[test]
fn the_thread_ends_with_its_engine() {
    let bench = Bench::new(256, HOUR, 2);
    let Bench {
        batches,
        begin,
        runs,
    } = bench;
    drop(batches);
    // The thread holds the other end of it.
    while begin.send(()).is_ok() {
        std::thread::yield_now();
    }
    assert!(runs.lock().unwrap().is_empty());
}
