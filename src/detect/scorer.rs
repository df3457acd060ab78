//! The seam between decisions and models: what an inspection needs of a loaded bundle.
//!
//! Not here: loading one (`runtime::reload`). Tests put scorers that fail, hang or panic behind it.

use std::sync::Arc;

use weir_scoring::bundle::Manifest;
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{
    Assessment, BatchOptions, Engine, EngineScratch, FieldFilter, ForwardPass, ScoreError, Subject,
};
use weir_scoring::ort::ProviderStatus;
use weir_scoring::reason::{Reason, SecretKeys};

/// A loaded, verified and warmed bundle.
pub trait Scorer: Send + Sync {
    /// Scores a request. `worker` spreads threads over sessions.
    ///
    /// # Errors
    /// When no score can be made.
    fn score(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
    ) -> Result<Assessment, ScoreError>;

    /// Explains the score of the same arguments.
    ///
    /// # Errors
    /// When no score can be made.
    fn explain(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
        secrets: &SecretKeys,
    ) -> Result<Reason, ScoreError>;

    /// The bundle's id.
    fn bundle_id(&self) -> &str;

    /// The bundle's manifest.
    fn manifest(&self) -> &Manifest;

    /// Where the networks run, and why.
    fn provider(&self) -> &ProviderStatus;

    /// Whether it looks at the request as a whole.
    fn wants_vector(&self) -> bool {
        false
    }

    /// The cache of scores, if there is one.
    fn score_cache(&self) -> Option<&Arc<ScoreCache>> {
        None
    }

    /// What turns rows into errors, where they are not scored in batches.
    fn forward_pass(&self) -> ForwardPass {
        ForwardPass::OnnxRuntime
    }

    /// When a batch of several requests' rows is complete; none without batches.
    fn batches(&self) -> Option<BatchOptions> {
        None
    }
}

impl Scorer for Engine {
    fn score(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
    ) -> Result<Assessment, ScoreError> {
        self.score(worker, subject, filter, scratch)
    }

    fn explain(
        &self,
        worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        scratch: &mut EngineScratch,
        secrets: &SecretKeys,
    ) -> Result<Reason, ScoreError> {
        self.explain(worker, subject, filter, scratch, secrets)
    }

    fn bundle_id(&self) -> &str {
        self.id()
    }

    fn manifest(&self) -> &Manifest {
        self.manifest()
    }

    fn provider(&self) -> &ProviderStatus {
        self.provider()
    }

    fn wants_vector(&self) -> bool {
        self.wants_vector()
    }

    fn score_cache(&self) -> Option<&Arc<ScoreCache>> {
        self.cache()
    }

    fn forward_pass(&self) -> ForwardPass {
        self.forward_pass()
    }

    fn batches(&self) -> Option<BatchOptions> {
        self.batches()
    }
}
