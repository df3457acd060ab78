//! From model files of a bundle to sessions that are proven to compute what they should. Not here: scoring.

use std::time::Duration;

use ndarray::Array2;

use weir_features::profile::{Profile, ProfileBuilder, ProfileError, ProfileSummary};

use super::forward;
use crate::bundle::{Bundle, GoldenRows, PROFILE};
use crate::gate::{self, GateError, InspectedModel, ModelShape};
use crate::ort::{ExecutionProvider, ProviderStatus, Runtime, Session, SessionError};
use crate::reason::attribution::Baseline;
use crate::sparse::Network;

/// A model of a few megabytes loads in milliseconds.
const BUILD_LIMIT: Duration = Duration::from_secs(20);
/// Golden rows take microseconds; the rest is for a machine that is busy with something else.
const PROBE_LIMIT: Duration = Duration::from_secs(10);
/// How far a golden row's error may be off, relative to itself or, for a small one, to 0.001: processors and
/// execution providers sum in different orders.
pub const GOLDEN_TOLERANCE: f32 = 1e-3;
/// Errors below this are compared as if they were this large.
const GOLDEN_FLOOR: f32 = 1e-3;

/// Constants of an exported field model: the mean of its training rows, and the inverse of their deviation.
const MEAN: &str = "input.shift";
const SCALE: &str = "input.scale";

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
        source: Box<GateError>,
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
    /// A profile that cannot be read.
    #[error("{PROFILE} of bundle {id} is refused: {source}. Train or publish the bundle again")]
    Profile {
        /// The bundle.
        id: String,
        /// Why.
        source: ProfileError,
    },
    /// A manifest that cannot be hashed.
    #[error(
        "the manifest of bundle {id} cannot be written as JSON: {source}. Publish the bundle again"
    )]
    Manifest {
        /// The bundle.
        id: String,
        /// Why.
        source: serde_json::Error,
    },
    /// The thread of the batches does not start.
    #[error("the thread that scores batches does not start: {0}")]
    Thread(std::io::Error),
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

/// The profile of a bundle that has one.
pub(super) fn profile(bundle: &Bundle) -> Result<Option<Profile>, LoadError> {
    let Some(bytes) = bundle.file(PROFILE) else {
        return Ok(None);
    };
    let id = &bundle.manifest().id;
    match ProfileBuilder::from_bytes(bytes) {
        Ok(profile) => {
            let ProfileSummary {
                requests,
                sites,
                endpoints,
                parameters,
            } = profile.summary();
            let bytes = bytes.len();
            tracing::info!(
                bundle = id,
                requests,
                sites,
                endpoints,
                parameters,
                bytes,
                "site profile loaded"
            );
            Ok(Some(profile.into_profile()))
        }
        Err(source) => Err(LoadError::Profile {
            id: id.clone(),
            source,
        }),
    }
}

/// A model file on its way into sessions.
pub(super) struct Model {
    file: String,
    id: String,
    inspected: InspectedModel,
}

impl Model {
    pub(super) fn inspect(
        bundle: &Bundle,
        file: &str,
        shape: &ModelShape,
    ) -> Result<Self, LoadError> {
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
                source: Box::new(source),
            }),
        }
    }

    /// What the model takes for ordinary: the standardisation that `weir-train` exports inside the graph.
    pub(super) fn baseline(&self) -> Baseline {
        let mean = self.inspected.vector(MEAN);
        if mean.is_none() {
            tracing::debug!(
                bundle = self.id,
                "the field model has no `{MEAN}`: explanations compare with zeros"
            );
        }
        Baseline::new(mean, self.inspected.vector(SCALE))
    }

    /// The sparse pass, if it agrees with the session.
    pub(super) fn sparse(
        &self,
        session: &mut Session,
        golden: &GoldenRows,
        provider: ExecutionProvider,
    ) -> Option<Network> {
        forward::choose(&self.inspected, session, golden, provider)
    }

    /// A session that computed the golden rows as it should. A GPU that does not is not used.
    pub(super) fn load(
        &self,
        runtime: &Runtime,
        provider: ExecutionProvider,
        golden: &GoldenRows,
    ) -> Result<(Session, ProviderStatus), LoadError> {
        let (mut session, status) = self.build(runtime, provider)?;
        match self.probe(&mut session, golden) {
            Ok(()) => Ok((session, status)),
            Err(error) if status.actual == ExecutionProvider::Cuda => {
                let (mut session, mut status) = self.build(runtime, ExecutionProvider::Cpu)?;
                self.probe(&mut session, golden)?;
                status.requested = provider;
                status.why = Some(error.to_string());
                Ok((session, status))
            }
            Err(error) => Err(error),
        }
    }

    fn build(
        &self,
        runtime: &Runtime,
        provider: ExecutionProvider,
    ) -> Result<(Session, ProviderStatus), LoadError> {
        Session::new(runtime, &self.inspected, provider, BUILD_LIMIT)
            .map_err(|source| self.failed(source))
    }

    fn probe(&self, session: &mut Session, golden: &GoldenRows) -> Result<(), LoadError> {
        let mut rows = Array2::zeros((golden.rows.len(), self.inspected.shape().width));
        for (mut row, golden) in rows.rows_mut().into_iter().zip(&golden.rows) {
            row.iter_mut()
                .zip(golden)
                .for_each(|(value, golden)| *value = *golden);
        }
        let found = session
            .probe(rows.view(), PROBE_LIMIT)
            .map_err(|source| self.failed(source))?;
        self.compare(&found.errors, &golden.errors)
    }

    fn failed(&self, source: SessionError) -> LoadError {
        LoadError::Session {
            file: self.file.clone(),
            id: self.id.clone(),
            source,
        }
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
