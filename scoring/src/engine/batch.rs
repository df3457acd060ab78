//! Rows of several requests in one run: what is to be scored at the same time is scored together.
//!
//! Not here: what the rows are of, and whether a bundle is scored this way (`engine`). Pays where a run has a price of its own that
//! is higher than that of its rows: on a GPU.
//!
//! One thread owns the session. A request hands it its matrix and waits until it comes back, for as long as its deadline
//! allows; a run that never ends costs each request its deadline, and then the queue is full and says so at once. A batch closes
//! when it is full or when its first request has waited for [`BatchOptions::wait`]; while a run is under way the next batch
//! gathers, so that under load nobody waits for anything but the run before.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView2, Axis, Slice};
use weir_features::FIELD_WIDTH;

use super::fields::first_rows;
use super::load::Model;
use super::{CHUNK_ROWS, Engine, LoadError, ScoreError, warn_of_fallback};
use crate::bundle::Bundle;
use crate::gate::ModelShape;
use crate::ort::{Runtime, Session, SessionError};

/// Requests that may wait, for each worker: one on its thread, one whose body is heavy, and as many that gave up on a run that hangs.
const WAITING_PER_WORKER: usize = 4;
/// No request waits longer, whatever its deadline.
const LONGEST: Duration = Duration::from_secs(10);

/// When a batch is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    /// Rows of a run at most. At least [`CHUNK_ROWS`], which one request may bring.
    pub rows: usize,
    /// How long the first request of a batch waits for others.
    pub wait: Duration,
}

/// A run that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchRun {
    /// Its rows.
    pub rows: usize,
    /// The requests that they belong to.
    pub requests: usize,
    /// How long the first of them waited for the run to begin.
    pub waited: Duration,
}

/// Is told of every run. Counts must outlive an engine, so they are not kept in it.
pub type BatchObserver = Arc<dyn Fn(&BatchRun) + Send + Sync>;

impl Engine {
    /// The engine with a session that scores rows of several requests in one run, and tells `observer` of every run. Takes precedence over the
    /// sparse pass; explanations and the request detector stay in the worker's session.
    ///
    /// # Errors
    /// When the session does not load, or its thread does not start.
    pub fn with_batches(
        mut self,
        runtime: &'static Runtime,
        bundle: &Bundle,
        options: BatchOptions,
        observer: BatchObserver,
    ) -> Result<Self, LoadError> {
        let shape = ModelShape::field(&self.manifest.fingerprint);
        let model = Model::inspect(bundle, &self.manifest.detectors.field.file, &shape)?;
        let golden = &self.manifest.golden.field;
        let (session, status) = model.load(runtime, self.provider.actual, golden)?;
        if status.actual != self.provider.actual {
            self.provider.actual = status.actual;
            self.provider.why = status.why;
            warn_of_fallback(&self.provider);
        }
        let waiting = WAITING_PER_WORKER * self.slots.len();
        let batches = Batcher::start(session, options, waiting, observer);
        self.batches = Some(batches.map_err(LoadError::Thread)?);
        Ok(self)
    }

    /// When a batch is complete; none without batches.
    #[must_use]
    pub fn batches(&self) -> Option<BatchOptions> {
        self.batches.as_ref().map(Batcher::options)
    }
}

/// What is scored in a batch.
pub(super) trait Batched: Send + 'static {
    /// Appends one error for each row.
    fn errors(
        &mut self,
        rows: ArrayView2<'_, f32>,
        errors: &mut Vec<f32>,
    ) -> Result<(), SessionError>;
}

impl Batched for Session {
    fn errors(
        &mut self,
        rows: ArrayView2<'_, f32>,
        errors: &mut Vec<f32>,
    ) -> Result<(), SessionError> {
        self.errors(rows, errors)
    }
}

/// The way into the batches. Its end is the thread's, after the run that is under way.
#[derive(Debug)]
pub(super) struct Batcher {
    queue: SyncSender<Job>,
    options: BatchOptions,
}

/// A request's rows, and where the answer goes.
#[derive(Debug)]
struct Job {
    matrix: Array2<f32>,
    count: usize,
    errors: Vec<f32>,
    arrived: Instant,
    deadline: Instant,
    answer: SyncSender<Answer>,
}

/// The request's own memory comes back with what was found.
#[derive(Debug)]
struct Answer {
    matrix: Array2<f32>,
    errors: Vec<f32>,
    outcome: Result<(), ScoreError>,
}

impl Batcher {
    /// Starts the thread. `waiting` is how many requests may wait for it.
    pub(super) fn start(
        session: impl Batched,
        options: BatchOptions,
        waiting: usize,
        observer: BatchObserver,
    ) -> std::io::Result<Self> {
        let options = BatchOptions {
            rows: options.rows.max(CHUNK_ROWS),
            ..options
        };
        let (queue, jobs) = sync_channel(waiting.max(1));
        let worker = Worker {
            session,
            jobs,
            options,
            observer,
            matrix: Array2::zeros((options.rows, FIELD_WIDTH)),
            errors: Vec::with_capacity(options.rows),
        };
        std::thread::Builder::new()
            .name("weir-batches".to_owned())
            .spawn(move || worker.serve())?;
        Ok(Self { queue, options })
    }

    pub(super) fn options(&self) -> BatchOptions {
        self.options
    }

    /// Appends one error to `errors` for each of the first `count` rows of `matrix`, which comes back with what it held or, after an
    /// error, empty.
    pub(super) fn score(
        &self,
        matrix: &mut Array2<f32>,
        count: usize,
        errors: &mut Vec<f32>,
        deadline: Option<Instant>,
    ) -> Result<(), ScoreError> {
        let arrived = Instant::now();
        let latest = arrived + LONGEST;
        let deadline = deadline.map_or(latest, |deadline| deadline.min(latest));
        let (answer, answered) = sync_channel(1);
        let job = Job {
            matrix: std::mem::take(matrix),
            count,
            errors: std::mem::take(errors),
            arrived,
            deadline,
            answer,
        };
        let mut failed = |error, job: Option<Job>| {
            *matrix = job.map_or_else(empty_matrix, |job| job.matrix);
            Err(error)
        };
        match self.queue.try_send(job) {
            Ok(()) => {}
            Err(TrySendError::Full(job)) => return failed(ScoreError::QueueFull, Some(job)),
            Err(TrySendError::Disconnected(job)) => {
                return failed(ScoreError::BatchesEnded, Some(job));
            }
        }
        match answered.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(answer) => {
                (*matrix, *errors) = (answer.matrix, answer.errors);
                answer.outcome
            }
            Err(RecvTimeoutError::Timeout) => failed(ScoreError::Late, None),
            Err(RecvTimeoutError::Disconnected) => failed(ScoreError::BatchesEnded, None),
        }
    }
}

fn empty_matrix() -> Array2<f32> {
    Array2::zeros((CHUNK_ROWS, FIELD_WIDTH))
}

impl Job {
    fn rows(&self) -> ArrayView2<'_, f32> {
        first_rows(&self.matrix, self.count)
    }

    fn answer(self, outcome: Result<(), ScoreError>) {
        let Self {
            matrix,
            errors,
            answer,
            ..
        } = self;
        // Who does not wait any more has its reasons.
        let _gone = answer.send(Answer {
            matrix,
            errors,
            outcome,
        });
    }
}

/// The thread's side.
struct Worker<S> {
    session: S,
    jobs: Receiver<Job>,
    options: BatchOptions,
    observer: BatchObserver,
    /// Rows and errors of a run.
    matrix: Array2<f32>,
    errors: Vec<f32>,
}

impl<S: Batched> Worker<S> {
    fn serve(mut self) {
        let mut first = None;
        while let Some(job) = first.take().or_else(|| self.jobs.recv().ok()) {
            let (batch, next) = self.gather(job);
            first = next;
            self.run(batch);
        }
    }

    /// The first request of a batch with those that come in time, and the one that did not fit.
    fn gather(&self, first: Job) -> (Vec<Job>, Option<Job>) {
        let closes = first.arrived + self.options.wait;
        let mut rows = first.count;
        let mut batch = vec![first];
        while rows < self.options.rows {
            // What is in the queue is taken even when it is late already.
            let left = closes.saturating_duration_since(Instant::now());
            let Ok(job) = self.jobs.recv_timeout(left) else {
                break;
            };
            if rows + job.count > self.options.rows {
                return (batch, Some(job));
            }
            rows += job.count;
            batch.push(job);
        }
        (batch, None)
    }

    fn run(&mut self, mut batch: Vec<Job>) {
        let now = Instant::now();
        for late in batch.extract_if(.., |job| job.deadline <= now) {
            late.answer(Err(ScoreError::Late));
        }
        let Some(first) = batch.first() else {
            return;
        };
        let run = BatchRun {
            rows: batch.iter().map(|job| job.count).sum(),
            requests: batch.len(),
            waited: now.saturating_duration_since(first.arrived),
        };
        (self.observer)(&run);
        if batch.len() > 1 && self.together(&mut batch, run.rows) {
            batch.into_iter().for_each(|job| job.answer(Ok(())));
            return;
        }
        // Alone, or what fails because of one request's rows must not fail another's.
        for mut job in batch {
            let outcome = self.alone(&mut job);
            job.answer(outcome.map_err(ScoreError::field));
        }
    }

    fn alone(&mut self, job: &mut Job) -> Result<(), SessionError> {
        let mut errors = std::mem::take(&mut job.errors);
        let outcome = errors_of(&mut self.session, job.rows(), &mut errors);
        job.errors = errors;
        outcome
    }

    /// True when all of them have their errors.
    fn together(&mut self, batch: &mut [Job], count: usize) -> bool {
        let mut at = 0;
        for job in batch.iter() {
            let to = at + job.count;
            let place = Slice::from(at..to);
            self.matrix
                .slice_axis_mut(Axis(0), place)
                .assign(&job.rows());
            at = to;
        }
        self.errors.clear();
        let rows = first_rows(&self.matrix, count);
        if let Err(error) = errors_of(&mut self.session, rows, &mut self.errors) {
            tracing::debug!(%error, requests = batch.len(), "a batch failed: its requests are scored one by one");
            return false;
        }
        let mut found = self.errors.iter();
        for job in batch {
            job.errors.extend(found.by_ref().take(job.count));
        }
        true
    }
}

/// A panic in there must not end the thread that all requests wait for.
fn errors_of(
    session: &mut impl Batched,
    rows: ArrayView2<'_, f32>,
    errors: &mut Vec<f32>,
) -> Result<(), SessionError> {
    catch_unwind(AssertUnwindSafe(|| session.errors(rows, errors)))
        .unwrap_or_else(|_| Err(SessionError::Run("a run panicked".to_owned())))
}

#[cfg(test)]
mod tests;
