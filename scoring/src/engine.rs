//! The engine: a verified bundle with its sessions, from a request to scores and reasons.
//!
//! What must not be here: budgets and verdicts (they are the caller's), HTTP, deadlines and fail modes. Every failure is
//! a typed error and the caller decides what it means.
//!
//! An engine is immutable and shared. Each worker has a session of its own, in a slot that it locks without contention;
//! when two callers share a worker number, the second takes a spare. A request's rows are written into the worker's
//! matrix and scored in runs of at most [`CHUNK_ROWS`]; the request's value is the maximum over its rows, which padding
//! cannot dilute. Rows are computed field by field, so a cache of known scores can stand before the matrix.

use std::sync::{Mutex, MutexGuard, TryLockError};
use std::time::{Duration, Instant};

use ndarray::{Array2, ArrayView2, Axis, Slice};
use weir_features::{
    Extractor, FIELD_WIDTH, Field, Fields, Location, REQUEST_WIDTH, RequestVector, RequestView,
    Scratch,
};

use crate::budget::{Score, Scores};
use crate::bundle::{Bundle, GoldenRows, Manifest};
use crate::calibration::Power;
use crate::gate::{self, GateError, InspectedModel, ModelShape};
use crate::ort::{ExecutionProvider, ProviderStatus, Runtime, Session, SessionError};
use crate::reason::{self, Measured, Reason, SecretKeys};

mod top;

use top::Top;

/// Rows of one run: enough that a run's fixed cost is nothing beside its rows', and a matrix of 364 KiB a worker.
pub const CHUNK_ROWS: usize = 256;
/// A model of a few megabytes loads in milliseconds.
const BUILD_LIMIT: Duration = Duration::from_secs(20);
/// Golden rows take microseconds; the rest is for a machine that is busy with something else.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// How far a golden row's error may be off, relative to the larger of itself and [`GOLDEN_FLOOR`]: processors and
/// execution providers sum in different orders.
pub const GOLDEN_TOLERANCE: f32 = 1e-3;
/// Errors below this are compared as if they were this large.
const GOLDEN_FLOOR: f32 = 1e-3;
/// No machine has more workers; each has a session in memory.
const MOST_WORKERS: usize = 1024;

/// How an engine is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineOptions {
    /// Workers that score at the same time; at least one.
    pub workers: usize,
    /// What computes the model.
    pub provider: ExecutionProvider,
}

/// Why a bundle cannot become an engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LoadError {
    /// A model file that may not be loaded.
    #[error("{file} of bundle {id} is refused: {source}")]
    Gate {
        /// The file.
        file: String,
        /// The bundle.
        id: String,
        /// Why.
        source: GateError,
    },
    /// A model that does not load or run.
    #[error("{file} of bundle {id} does not run: {source}. Train and publish the bundle again")]
    Session {
        /// The file.
        file: String,
        /// The bundle.
        id: String,
        /// Why.
        source: SessionError,
    },
    /// A model that computes something else than when it was made.
    #[error(
        "{file} of bundle {id} gives error {found} for golden row {row}, expected {expected}: model and manifest do not \
         belong together, or this ONNX Runtime computes differently. Publish the bundle again"
    )]
    Golden {
        /// The file.
        file: String,
        /// The bundle.
        id: String,
        /// Index of the row.
        row: usize,
        /// The error computed.
        found: f32,
        /// The error stored.
        expected: f32,
    },
}

/// Why a request has no score.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ScoreError {
    /// A run of a detector failed.
    #[error("the {detector} detector failed: {source}")]
    Detector {
        /// `field` or `request`.
        detector: &'static str,
        /// Why.
        source: SessionError,
    },
}

impl ScoreError {
    fn field(source: SessionError) -> Self {
        Self::Detector {
            detector: "field",
            source,
        }
    }

    fn request(source: SessionError) -> Self {
        Self::Detector {
            detector: "request",
            source,
        }
    }
}

/// Says which fields a policy excepts from scoring.
pub trait FieldFilter {
    /// True when the field `key` at `location` is not scored.
    fn excepted(&self, location: Location, key: &[u8]) -> bool;
}

/// Excepts nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoExceptions;

impl FieldFilter for NoExceptions {
    fn excepted(&self, _: Location, _: &[u8]) -> bool {
        false
    }
}

/// What the detectors say about one request, and what it cost.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// The calibrated scores.
    pub scores: Scores,
    /// Rows computed.
    pub rows: usize,
    /// Where the time went.
    pub timings: Timings,
    /// The field that decided the field score; `None` for a request without fields.
    pub top: Option<TopField>,
}

/// Where the time of an assessment went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    /// From bytes to rows.
    pub extract: Duration,
    /// From rows to scores.
    pub score: Duration,
}

/// The most unusual field of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct TopField {
    /// The part of the request.
    pub location: Location,
    /// Its name there.
    pub key: Vec<u8>,
    /// The score the request would have if this were its only field.
    pub score: Score,
}

/// The reusable memory of scoring; keep one for each worker.
#[derive(Debug)]
pub struct EngineScratch {
    features: Scratch,
    rows: Array2<f32>,
    errors: Vec<f32>,
    fields: Vec<usize>,
}

impl Default for EngineScratch {
    fn default() -> Self {
        Self {
            features: Scratch::default(),
            rows: Array2::zeros((CHUNK_ROWS, FIELD_WIDTH)),
            errors: Vec::with_capacity(CHUNK_ROWS),
            fields: Vec::with_capacity(CHUNK_ROWS),
        }
    }
}

#[derive(Debug)]
struct Slot {
    field: Session,
    request: Option<Session>,
}

/// A verified bundle, loaded and warmed.
#[derive(Debug)]
pub struct Engine {
    manifest: Manifest,
    extractor: &'static Extractor,
    slots: Vec<Mutex<Slot>>,
    provider: ProviderStatus,
}

impl Engine {
    /// Loads a bundle: passes its models through the gate, builds a session for each worker and a spare, and runs the
    /// golden rows through every one of them under a watchdog.
    ///
    /// # Errors
    /// When a model is refused, does not load, or does not compute what its manifest says.
    pub fn load(
        runtime: &'static Runtime,
        bundle: &Bundle,
        options: &EngineOptions,
    ) -> Result<Self, LoadError> {
        let manifest = bundle.manifest().clone();
        let detectors = &manifest.detectors;
        let field = Model::inspect(
            bundle,
            &detectors.field.file,
            &ModelShape::field(&manifest.fingerprint),
        )?;
        let request = detectors
            .request
            .as_ref()
            .map(|request| {
                Model::inspect(
                    bundle,
                    &request.file,
                    &ModelShape::request(&manifest.fingerprint),
                )
            })
            .transpose()?;
        let mut provider = None;
        let mut slots = Vec::new();
        for _ in 0..=options.workers.clamp(1, MOST_WORKERS) {
            let (session, status) =
                field.load(runtime, options.provider, Some(&manifest.golden.field))?;
            let request = match &request {
                Some(model) => Some(
                    model
                        .load(runtime, options.provider, manifest.golden.request.as_ref())?
                        .0,
                ),
                None => None,
            };
            provider.get_or_insert(status);
            slots.push(Mutex::new(Slot {
                field: session,
                request,
            }));
        }
        let provider = provider.unwrap_or(ProviderStatus {
            requested: options.provider,
            actual: ExecutionProvider::Cpu,
            why: None,
        });
        match &provider.why {
            Some(why) => {
                tracing::warn!(requested = %provider.requested, actual = %provider.actual, why, "the execution provider asked for cannot start: falling back")
            }
            None => {
                tracing::debug!(provider = %provider.actual, workers = options.workers, bundle = manifest.id, "bundle loaded")
            }
        }
        Ok(Self {
            manifest,
            extractor: Extractor::shared(),
            slots,
            provider,
        })
    }

    /// What the bundle says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// The bundle's identity.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.manifest.id
    }

    /// What computes the models, and why it is not what was asked for.
    #[must_use]
    pub fn provider(&self) -> &ProviderStatus {
        &self.provider
    }

    /// True when the bundle has a request detector, so that [`score`](Self::score) wants a request vector.
    #[must_use]
    pub fn wants_vector(&self) -> bool {
        self.manifest.detectors.request.is_some()
    }

    /// Scores a request. `worker` picks the session; `vector` feeds the request detector, which has no say without.
    ///
    /// # Errors
    /// When a detector fails. The engine stays usable.
    pub fn score(
        &self,
        worker: usize,
        request: &RequestView<'_>,
        vector: Option<&RequestVector>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
    ) -> Result<Assessment, ScoreError> {
        let mut slot = self.slot(worker);
        let mut timings = Timings::default();
        let started = Instant::now();
        let EngineScratch {
            features,
            rows,
            errors,
            fields: indices,
        } = scratch;
        let fields = self.extractor.extract(request, features);
        timings.extract += started.elapsed();
        let buffers = Buffers {
            rows,
            errors,
            indices,
        };
        let (top, count) = self.score_fields(&mut slot, &fields, filter, buffers, &mut timings)?;
        let request_error = self.request_error(&mut slot, vector, &mut timings)?;
        let scores = self.scores(&top, request_error);
        let top = top.first().and_then(|best| {
            let field = fields.get(best.field)?;
            let score = self.manifest.calibration.field.score(best.value);
            Some(TopField {
                location: field.location,
                key: field.key.to_vec(),
                score,
            })
        });
        Ok(Assessment {
            scores,
            rows: count,
            timings,
            top,
        })
    }

    /// Explains the score of a request: scores it again and asks the model for the residuals of its most unusual fields.
    ///
    /// # Errors
    /// When a detector fails. The engine stays usable.
    pub fn explain(
        &self,
        worker: usize,
        request: &RequestView<'_>,
        vector: Option<&RequestVector>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
        secrets: &SecretKeys,
    ) -> Result<Reason, ScoreError> {
        let mut slot = self.slot(worker);
        let EngineScratch {
            features,
            rows,
            errors,
            fields: indices,
        } = scratch;
        let fields = self.extractor.extract(request, features);
        let buffers = Buffers {
            rows,
            errors,
            indices,
        };
        let (top, _) =
            self.score_fields(&mut slot, &fields, filter, buffers, &mut Timings::default())?;
        Ok(Reason {
            fields: self.explain_fields(&mut slot, &fields, &top, rows, secrets)?,
            request: self.explain_request(&mut slot, vector)?,
        })
    }

    /// A free session: the worker's own, else a spare, else wait for the worker's own.
    fn slot(&self, worker: usize) -> MutexGuard<'_, Slot> {
        let (before, from) = self.slots.split_at(worker % self.slots.len().max(1));
        for slot in from.iter().chain(before) {
            match slot.try_lock() {
                Ok(slot) => return slot,
                // A panic elsewhere in a request leaves the session as it was: between runs it holds no state.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        #[expect(
            clippy::expect_used,
            reason = "an engine is built with at least one slot"
        )]
        let own = from
            .first()
            .or(before.first())
            .expect("an engine has a slot");
        own.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Scores every field that is not excepted: the most unusual ones, and how many rows there were.
    fn score_fields(
        &self,
        slot: &mut Slot,
        fields: &Fields<'_>,
        filter: &dyn FieldFilter,
        buffers: Buffers<'_>,
        timings: &mut Timings,
    ) -> Result<(Top, usize), ScoreError> {
        let Buffers {
            rows,
            errors,
            indices,
        } = buffers;
        let mut top = Top::default();
        let mut count = 0;
        let mut pending = fields
            .iter()
            .enumerate()
            .filter(|(_, field)| !filter.excepted(field.location, field.key));
        loop {
            let started = Instant::now();
            indices.clear();
            for (mut row, (index, field)) in rows.rows_mut().into_iter().zip(pending.by_ref()) {
                if let Some(row) = row.as_slice_mut() {
                    self.extractor.row(&field, row);
                    indices.push(index);
                }
            }
            timings.extract += started.elapsed();
            if indices.is_empty() {
                return Ok((top, count));
            }
            let started = Instant::now();
            errors.clear();
            let chunk = first_rows(rows, indices.len());
            slot.field
                .errors(chunk, errors)
                .map_err(ScoreError::field)?;
            for (&index, &error) in indices.iter().zip(errors.iter()) {
                if let Some(field) = fields.get(index) {
                    top.offer(
                        index,
                        self.manifest
                            .calibration
                            .locations
                            .scaled(field.location, error),
                    );
                }
            }
            count += indices.len();
            timings.score += started.elapsed();
            if indices.len() < CHUNK_ROWS {
                return Ok((top, count));
            }
        }
    }

    fn scores(&self, top: &Top, request_error: Option<f32>) -> Scores {
        let calibration = &self.manifest.calibration;
        let power = self
            .manifest
            .detectors
            .request
            .as_ref()
            .map_or(Power::Flag, |request| request.power);
        match top.first() {
            Some(best) => calibration.scores(best.value, request_error, power),
            // Nothing to score is nothing unusual.
            None => calibration.scores(f32::NEG_INFINITY, request_error, power),
        }
    }

    /// The request detector's input with missing values filled in.
    fn vector(&self, vector: Option<&RequestVector>) -> Option<RequestVector> {
        let detector = self.manifest.detectors.request.as_ref()?;
        let mut vector = *vector?;
        for (value, missing) in vector.iter_mut().zip(&detector.missing) {
            if !value.is_finite() {
                *value = *missing;
            }
        }
        Some(vector)
    }

    fn request_error(
        &self,
        slot: &mut Slot,
        vector: Option<&RequestVector>,
        timings: &mut Timings,
    ) -> Result<Option<f32>, ScoreError> {
        let (Some(session), Some(vector)) = (&mut slot.request, self.vector(vector)) else {
            return Ok(None);
        };
        let started = Instant::now();
        let mut errors = Vec::with_capacity(1);
        session
            .errors(single_row(&vector), &mut errors)
            .map_err(ScoreError::request)?;
        timings.score += started.elapsed();
        Ok(errors.first().copied())
    }

    fn explain_fields(
        &self,
        slot: &mut Slot,
        fields: &Fields<'_>,
        top: &Top,
        rows: &mut Array2<f32>,
        secrets: &SecretKeys,
    ) -> Result<Vec<reason::FieldReason>, ScoreError> {
        let found: Vec<Field<'_>> = top
            .iter()
            .filter_map(|best| fields.get(best.field))
            .collect();
        if found.is_empty() {
            return Ok(Vec::new());
        }
        // Each field twice: as it is, and without the part that will be marked.
        let without: Vec<Option<Vec<u8>>> =
            found.iter().map(|field| self.without_mark(field)).collect();
        let count = found.len();
        let cut = found.iter().zip(&without).map(|(field, without)| Field {
            value: without.as_deref().unwrap_or(field.value),
            ..*field
        });
        for (mut row, field) in rows
            .rows_mut()
            .into_iter()
            .zip(found.iter().copied().chain(cut))
        {
            if let Some(row) = row.as_slice_mut() {
                self.extractor.row(&field, row);
            }
        }
        let rows = first_rows(rows, 2 * count);
        let outputs = slot.field.residuals(rows).map_err(ScoreError::field)?;
        let calibration = &self.manifest.calibration;
        let score = |row: usize, field: &Field<'_>| {
            let error = outputs.errors.get(row).copied().unwrap_or(0.0);
            calibration
                .field
                .score(calibration.locations.scaled(field.location, error))
        };
        let reasons = found
            .iter()
            .zip(&without)
            .enumerate()
            .map(|(row, (field, without))| {
                let measured = Measured {
                    field: *field,
                    row: rows.row(row).to_slice().unwrap_or_default(),
                    residuals: outputs.residuals.row(row).to_slice().unwrap_or_default(),
                    score: score(row, field),
                    without_mark: without.as_ref().map(|_| score(count + row, field)),
                };
                reason::explain_field(self.extractor, &self.manifest, secrets, &measured)
            });
        Ok(reasons.collect())
    }

    /// The value without the part that a reason marks.
    fn without_mark(&self, field: &Field<'_>) -> Option<Vec<u8>> {
        let mark = reason::marked_part(field.value, &self.extractor.evidence(field.value))?;
        let mut value = field.value.to_vec();
        value.drain(mark);
        Some(value)
    }

    fn explain_request(
        &self,
        slot: &mut Slot,
        vector: Option<&RequestVector>,
    ) -> Result<Option<reason::RequestReason>, ScoreError> {
        let (Some(session), Some(vector), Some(tail)) = (
            &mut slot.request,
            self.vector(vector),
            &self.manifest.calibration.request,
        ) else {
            return Ok(None);
        };
        let outputs = session
            .residuals(single_row(&vector))
            .map_err(ScoreError::request)?;
        let score = outputs
            .errors
            .first()
            .map_or(Score::ZERO, |error| tail.score(*error));
        let residuals = outputs.residuals.as_slice().unwrap_or_default();
        Ok(Some(reason::explain_request(score, &vector, residuals)))
    }
}

struct Buffers<'s> {
    rows: &'s mut Array2<f32>,
    errors: &'s mut Vec<f32>,
    indices: &'s mut Vec<usize>,
}

fn first_rows(rows: &Array2<f32>, count: usize) -> ArrayView2<'_, f32> {
    rows.slice_axis(Axis(0), Slice::from(..count))
}

fn single_row(vector: &RequestVector) -> ArrayView2<'_, f32> {
    ArrayView2::from(std::slice::from_ref::<[f32; REQUEST_WIDTH]>(vector))
}

/// A model file on its way into sessions.
struct Model {
    file: String,
    id: String,
    inspected: InspectedModel,
}

impl Model {
    fn inspect(bundle: &Bundle, file: &str, shape: &ModelShape) -> Result<Self, LoadError> {
        let id = bundle.manifest().id.clone();
        match gate::inspect(bundle.file(file).unwrap_or_default(), shape) {
            Ok(inspected) => Ok(Self {
                file: file.to_owned(),
                id,
                inspected,
            }),
            Err(source) => Err(LoadError::Gate {
                file: file.to_owned(),
                id,
                source,
            }),
        }
    }

    fn load(
        &self,
        runtime: &Runtime,
        provider: ExecutionProvider,
        golden: Option<&GoldenRows>,
    ) -> Result<(Session, ProviderStatus), LoadError> {
        let failed = |source| LoadError::Session {
            file: self.file.clone(),
            id: self.id.clone(),
            source,
        };
        let (mut session, status) =
            Session::new(runtime, &self.inspected, provider, BUILD_LIMIT).map_err(failed)?;
        if let Some(golden) = golden {
            let width = self.inspected.shape().width;
            let mut rows = Array2::zeros((golden.rows.len(), width));
            for (mut row, golden) in rows.rows_mut().into_iter().zip(&golden.rows) {
                row.iter_mut()
                    .zip(golden)
                    .for_each(|(value, golden)| *value = *golden);
            }
            let found = session.probe(rows.view(), PROBE_LIMIT).map_err(failed)?;
            self.compare(&found.errors, &golden.errors)?;
        }
        Ok((session, status))
    }

    fn compare(&self, found: &[f32], expected: &[f32]) -> Result<(), LoadError> {
        for (row, (&found, &expected)) in found.iter().zip(expected).enumerate() {
            let scale = expected.abs().max(GOLDEN_FLOOR);
            if (found - expected).abs() > GOLDEN_TOLERANCE * scale {
                let (file, id) = (self.file.clone(), self.id.clone());
                return Err(LoadError::Golden {
                    file,
                    id,
                    row,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }
}
