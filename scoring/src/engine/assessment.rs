//! What goes into an assessment and what comes out. Not here: how it is made.

use std::time::Duration;

use ndarray::Array2;
use weir_features::{FIELD_WIDTH, Location, Scratch};

use super::{CHUNK_ROWS, LOOK_UPS};
use crate::budget::{Score, Scores};
use crate::ort::SessionError;
use crate::sparse::Workspace;

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
    /// The deadline passed before the batch with the request was scored.
    #[error("no batch was scored in time")]
    Late,
    /// Too many requests wait for batches, as when a run hangs.
    #[error("too many requests wait to be scored in batches")]
    QueueFull,
    /// The thread that scores batches is gone.
    #[error("the thread that scores batches has ended; reload or restart weir")]
    BatchesEnded,
}

impl ScoreError {
    pub(super) fn field(source: SessionError) -> Self {
        Self::Detector {
            detector: "field",
            source,
        }
    }

    pub(super) fn request(source: SessionError) -> Self {
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
    /// What the score cache was good for.
    pub cache: CacheUse,
    /// Where the time went.
    pub timings: Timings,
    /// The field that decided the field score; `None` for a request without fields.
    pub top: Option<TopField>,
    /// The place that the profile does not know though it knows the host, for
    /// [`NewEndpoints::answered`](weir_features::profile::NewEndpoints::answered).
    pub new_path: Option<u64>,
}

/// What the score cache was good for; all zero without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CacheUse {
    /// Fields whose score was known.
    pub hits: usize,
    /// Fields whose score had to be computed.
    pub misses: usize,
    /// Scores that made room for new ones.
    pub evictions: usize,
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
    pub key: TopKey,
    /// The score the request would have if this were its only field.
    pub score: Score,
}

/// Bytes of a key that are kept, which are all that the extractor keeps.
const TOP_KEY: usize = 256;

/// A field's name in place, so that scoring allocates nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TopKey {
    bytes: [u8; TOP_KEY],
    length: usize,
}

impl TopKey {
    pub(super) fn of(key: &[u8]) -> Self {
        let mut bytes = [0; TOP_KEY];
        let length = key.len().min(TOP_KEY);
        for (slot, byte) in bytes.iter_mut().zip(key) {
            *slot = *byte;
        }
        Self { bytes, length }
    }
}

impl std::ops::Deref for TopKey {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

impl std::fmt::Debug for TopKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{:?}", self.escape_ascii().to_string())
    }
}

/// The reusable memory of scoring; keep one for each worker.
#[derive(Debug)]
pub struct EngineScratch {
    pub(super) features: Scratch,
    pub(super) rows: Array2<f32>,
    pub(super) errors: Vec<f32>,
    pub(super) waiting: Vec<Waiting>,
    pub(super) asked: Vec<Asked>,
    pub(super) workspace: Workspace,
}

/// A field that the score cache was asked for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked {
    /// Its number.
    pub(super) field: usize,
    /// Where the score cache has its score, or will have it.
    pub(super) key: Option<u128>,
    /// What it scored before.
    pub(super) found: Option<f32>,
}

/// What a row is of.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waiting {
    /// The number of its field.
    pub(super) field: usize,
    /// Whether a site's profile has a say in it.
    pub(super) profiled: bool,
    /// Where the score cache will find its score.
    pub(super) key: Option<u128>,
}

impl Default for EngineScratch {
    fn default() -> Self {
        Self {
            features: Scratch::default(),
            rows: Array2::zeros((CHUNK_ROWS, FIELD_WIDTH)),
            errors: Vec::with_capacity(CHUNK_ROWS),
            waiting: Vec::with_capacity(CHUNK_ROWS),
            asked: Vec::with_capacity(LOOK_UPS),
            workspace: Workspace::default(),
        }
    }
}
