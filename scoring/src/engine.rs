//! The engine: a verified bundle with its sessions, from a request to scores and reasons.
//!
//! What must not be here: budgets and verdicts (they are the caller's), HTTP, deadlines and fail modes. Every failure is
//! a typed error and the caller decides what it means.
//!
//! An engine is immutable and shared. Each worker has a session of its own, in a slot that it locks without contention;
//! when two callers share a worker number, the second takes a spare. A field that scored before is looked up in the
//! [`ScoreCache`]; the rows of all others are written into the worker's matrix and scored in runs of at most
//! [`CHUNK_ROWS`]: by the sparse pass of [`crate::sparse`] where it is proven to agree with ONNX Runtime, in batches with other
//! requests where that was asked for, else in the worker's session. The request's value is the maximum over its fields, which padding cannot dilute.

use std::sync::{Arc, Mutex};
use std::time::Instant;

use ndarray::ArrayView2;
use weir_features::profile::{Endpoint, Profile};
use weir_features::{Extractor, Fields, REQUEST_WIDTH, RequestVector};

use crate::budget::Scores;
use crate::bundle::{Bundle, Manifest};
use crate::cache::ScoreCache;
use crate::calibration::Power;
use crate::gate::ModelShape;
use crate::ort::{ExecutionProvider, ProviderStatus, Runtime};
use crate::reason::attribution::Baseline;
use crate::reason::{Reason, SecretKeys};
use crate::sparse::Network;

mod assessment;
mod batch;
mod explain;
mod fields;
mod forward;
mod load;
mod memory;
mod slots;
mod subject;
mod top;

pub use assessment::{
    Assessment, CacheUse, EngineScratch, FieldFilter, NoExceptions, ScoreError, Timings, TopField,
    TopKey,
};
use batch::Batcher;
pub use batch::{BatchObserver, BatchOptions, BatchRun};
use fields::{Buffers, Known, Runs};
pub use forward::ForwardPass;
use load::Model;
pub use load::{GOLDEN_TOLERANCE, LoadError};
pub use memory::Memory;
use slots::{LazySlot, Slot};
pub use subject::{Subject, Visit};
use top::Top;

/// Rows of one run: enough that a run's fixed cost is nothing beside its rows', and a matrix of 438 KiB a worker.
pub const CHUNK_ROWS: usize = 256;
/// Fields whose scores are looked up together.
const LOOK_UPS: usize = 16;
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

/// A verified bundle, loaded and warmed.
#[derive(Debug)]
pub struct Engine {
    manifest: Manifest,
    extractor: &'static Extractor,
    slots: Vec<Mutex<Slot>>,
    provider: ProviderStatus,
    /// What is known of the sites that the bundle was trained for.
    profile: Option<Profile>,
    /// What is ordinary, for explanations.
    baseline: Baseline,
    /// What fields scored before.
    memory: Option<Memory>,
    /// The sparse pass, where it is proven.
    sparse: Option<Network>,
    /// The way into runs with other requests.
    batches: Option<Batcher>,
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
        let mut provider = ProviderStatus {
            requested: options.provider,
            actual: options.provider,
            why: None,
        };
        let mut slots = Vec::new();
        for _ in 0..=options.workers.clamp(1, MOST_WORKERS) {
            // What did not start for the first session is not tried again for the others.
            let (session, status) = field.load(runtime, provider.actual, &manifest.golden.field)?;
            provider.actual = status.actual;
            provider.why = provider.why.or(status.why);
            let request = match (&request, &manifest.golden.request) {
                (Some(model), Some(golden)) => {
                    Some(model.load(runtime, provider.actual, golden)?.0)
                }
                _ => None,
            };
            slots.push(Mutex::new(Slot {
                field: session,
                request,
            }));
        }
        match &provider.why {
            Some(_) => warn_of_fallback(&provider),
            None => {
                tracing::debug!(provider = %provider.actual, workers = options.workers, bundle = manifest.id, "bundle loaded")
            }
        }
        let sparse = slots.first_mut().and_then(|slot| {
            let slot = slot.get_mut().ok()?;
            field.sparse(&mut slot.field, &manifest.golden.field, provider.actual)
        });
        Ok(Self {
            manifest,
            extractor: Extractor::shared(),
            slots,
            provider,
            profile: load::profile(bundle)?,
            baseline: field.baseline(),
            memory: None,
            sparse,
            batches: None,
        })
    }

    /// The engine with a cache of scores, which other engines may share: none ever sees what another bundle scored.
    ///
    /// # Errors
    /// When the manifest cannot be hashed.
    pub fn with_cache(mut self, cache: Arc<ScoreCache>) -> Result<Self, LoadError> {
        let memory = Memory::new(cache, &self.manifest, &self.provider, self.forward_pass());
        self.memory = Some(memory.map_err(|source| LoadError::Manifest {
            id: self.manifest.id.clone(),
            source,
        })?);
        Ok(self)
    }

    /// The cache that it looks scores up in.
    #[must_use]
    pub fn cache(&self) -> Option<&Arc<ScoreCache>> {
        self.memory.as_ref().map(Memory::cache)
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

    /// Scores a request. `worker` picks the session.
    ///
    /// # Errors
    /// When a detector fails. The engine stays usable.
    pub fn score(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
    ) -> Result<Assessment, ScoreError> {
        let mut slot = LazySlot::new(self, worker);
        let mut timings = Timings::default();
        let started = Instant::now();
        let EngineScratch {
            features,
            rows,
            errors,
            waiting,
            asked,
            workspace,
        } = scratch;
        let fields = self.extractor.extract(subject.request, features);
        let endpoint = self.endpoint(subject, &fields);
        let buffers = Buffers {
            rows,
            errors,
            waiting,
            asked,
            workspace,
        };
        let known = Known {
            fields: &fields,
            endpoint: endpoint.as_ref(),
        };
        let runs = Runs::Shared {
            deadline: subject.deadline,
        };
        let scored = self.score_fields(
            &mut slot,
            runs,
            known,
            filter,
            buffers,
            (started, &mut timings),
        )?;
        let request_error = self.request_error(&mut slot, subject.vector, &mut timings)?;
        let scores = self.scores(&scored.top, request_error);
        let top = scored.top.first().and_then(|best| {
            let field = fields.get(best.field)?;
            let score = self.manifest.calibration.field.score(best.value);
            Some(TopField {
                location: field.location,
                key: TopKey::of(field.key),
                score,
            })
        });
        Ok(Assessment {
            scores,
            rows: scored.rows,
            cache: scored.cache,
            timings,
            top,
            new_path: endpoint.and_then(|endpoint| endpoint.new_path()),
        })
    }

    /// Explains the score of a request: scores it again and measures what each part of its most unusual fields is worth.
    ///
    /// # Errors
    /// When a detector fails. The engine stays usable.
    pub fn explain(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
        secrets: &SecretKeys,
    ) -> Result<Reason, ScoreError> {
        let mut slot = LazySlot::new(self, worker);
        let EngineScratch {
            features,
            rows,
            errors,
            waiting,
            asked,
            workspace,
        } = scratch;
        let fields = self.extractor.extract(subject.request, features);
        let endpoint = self.endpoint(subject, &fields);
        let known = Known {
            fields: &fields,
            endpoint: endpoint.as_ref(),
        };
        let mut buffers = Buffers {
            rows,
            errors,
            waiting,
            asked,
            workspace,
        };
        let scored = self.score_fields(
            &mut slot,
            Runs::Own,
            known,
            filter,
            buffers.reborrow(),
            (Instant::now(), &mut Timings::default()),
        )?;
        Ok(Reason {
            fields: self.explain_fields(slot.get(), known, &scored.top, buffers, secrets)?,
            request: self.explain_request(slot.get(), subject.vector)?,
        })
    }

    /// What the bundle knows of the place that a request goes to.
    fn endpoint(&self, subject: &Subject<'_>, fields: &Fields<'_>) -> Option<Endpoint<'_>> {
        let endpoint = self.profile.as_ref()?.endpoint(subject.request, fields);
        if !endpoint.is_known() {
            return None;
        }
        let deployed = subject.visit.is_some_and(|visit| {
            let Visit { client, time, .. } = visit;
            visit.new_endpoints.seen(&endpoint, client, time)
        });
        Some(if deployed {
            endpoint.deployed()
        } else {
            endpoint
        })
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
        slot: &mut LazySlot<'_>,
        vector: Option<&RequestVector>,
        timings: &mut Timings,
    ) -> Result<Option<f32>, ScoreError> {
        let Some(vector) = self.vector(vector) else {
            return Ok(None);
        };
        let Some(session) = &mut slot.get().request else {
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
}

fn warn_of_fallback(provider: &ProviderStatus) {
    let ProviderStatus {
        requested,
        actual,
        why,
    } = provider;
    let why = why.as_deref().unwrap_or_default();
    tracing::warn!(%requested, %actual, why, "the execution provider asked for cannot start: falling back");
}

fn single_row(vector: &RequestVector) -> ArrayView2<'_, f32> {
    ArrayView2::from(std::slice::from_ref::<[f32; REQUEST_WIDTH]>(vector))
}
