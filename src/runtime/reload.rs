//! Reload: build the next snapshot beside the running one, swap once, or say why not and keep the running one.
//!
//! Not here: how a snapshot is built (`build`), and who asks (`watch`, signals, the admin interface). One task owns
//! every change of the snapshot, so that reloads and thresholds come one after the other.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use crate::audit::AuditError;
use crate::capture::{CaptureError, Prepared};
use crate::config::places::locate;
use crate::config::{self, ConfigError};
use crate::proxy::upstream::Upstream;
use crate::runtime::build::{Context, build};
use crate::runtime::fixed::keep_fixed;
use crate::runtime::thresholds::{self, ThresholdAnswer, ThresholdChange, ThresholdError};
use crate::runtime::{Shared, Snapshot};
use crate::systemd;
use crate::telemetry::Metrics;

/// Requests for a change that wait; more than a few mean that somebody is reloading in a loop.
const QUEUE: usize = 16;

/// Who asks for a reload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trigger {
    /// SIGHUP.
    Signal,
    /// `POST /-/reload`.
    Api,
    /// A changed file.
    Watch,
}

impl Trigger {
    /// Stable name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "sighup",
            Self::Api => "api",
            Self::Watch => "watch",
        }
    }
}

/// What a reload did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Reloaded {
    /// Generation now running.
    pub generation: u64,
    /// Bundle now running.
    pub bundle: Option<String>,
    /// Settings that changed in the file and hold only after a restart.
    pub restart_needed: Vec<&'static str>,
    /// Whether budgets set at run time were replaced.
    pub replaced_thresholds: bool,
}

/// Why a reload changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReloadError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something it names cannot be used.
    #[error(transparent)]
    Unusable(ConfigError),
    /// Decision records cannot be written where it says.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The capture cannot be written where it says.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// The process is ending.
    #[error("weir is shutting down")]
    Ending,
}

impl ReloadError {
    /// Each problem on its own.
    pub fn problems(&self) -> Vec<String> {
        self.to_string().lines().map(str::to_owned).collect()
    }
}

enum Request {
    Reload(Trigger, oneshot::Sender<Result<Reloaded, ReloadError>>),
    Thresholds(
        ThresholdChange,
        oneshot::Sender<Result<(u64, Vec<ThresholdAnswer>), ThresholdError>>,
    ),
}

/// Asks for changes of the snapshot. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Reloader(mpsc::Sender<Request>);

impl Reloader {
    /// Starts the task that owns the snapshot.
    pub fn start(shared: Arc<Shared>, file: PathBuf, context: Context) -> Self {
        let (sender, requests) = mpsc::channel(QUEUE);
        tokio::spawn(
            Task {
                shared,
                file,
                context,
            }
            .run(requests),
        );
        Self(sender)
    }

    /// Reloads and waits for the outcome.
    ///
    /// # Errors
    /// Why the old snapshot is still the running one.
    pub async fn reload(&self, trigger: Trigger) -> Result<Reloaded, ReloadError> {
        let (answer, outcome) = oneshot::channel();
        self.0
            .send(Request::Reload(trigger, answer))
            .await
            .map_err(|_| ReloadError::Ending)?;
        outcome.await.unwrap_or(Err(ReloadError::Ending))
    }

    /// Changes budgets until the next configuration load. Answers the new generation and what changed.
    ///
    /// # Errors
    /// Why nothing changed.
    pub async fn thresholds(
        &self,
        change: ThresholdChange,
    ) -> Result<(u64, Vec<ThresholdAnswer>), ThresholdError> {
        let (answer, outcome) = oneshot::channel();
        self.0
            .send(Request::Thresholds(change, answer))
            .await
            .map_err(|_| ThresholdError::Ending)?;
        outcome.await.unwrap_or(Err(ThresholdError::Ending))
    }
}

struct Task {
    shared: Arc<Shared>,
    file: PathBuf,
    context: Context,
}

impl Task {
    async fn run(self, mut requests: mpsc::Receiver<Request>) {
        while let Some(request) = requests.recv().await {
            match request {
                Request::Reload(trigger, answer) => {
                    systemd::reloading();
                    let outcome = self.reload(trigger).await;
                    // Also after a refusal: the old snapshot serves.
                    systemd::ready();
                    let _asker_gone = answer.send(outcome);
                }
                Request::Thresholds(change, answer) => {
                    let _asker_gone = answer.send(thresholds::apply(&self.shared, &change));
                }
            }
        }
    }

    async fn reload(&self, trigger: Trigger) -> Result<Reloaded, ReloadError> {
        let (shared, file, context) = (
            Arc::clone(&self.shared),
            self.file.clone(),
            self.context.clone(),
        );
        // Loading a model takes tens of milliseconds of CPU: not on an async thread.
        let work = move || {
            let outcome = reload(&shared, &file, &context);
            if outcome.is_err() && trigger == Trigger::Signal {
                reopen(&shared);
            }
            outcome
        };
        let outcome = tokio::task::spawn_blocking(work)
            .await
            .unwrap_or(Err(ReloadError::Ending));
        let metrics = &self.shared.metrics;
        match &outcome {
            Ok(done) => {
                metrics.reload(trigger.name(), "ok");
                let bundle = done.bundle.as_deref().unwrap_or("none");
                tracing::info!(
                    trigger = trigger.name(),
                    generation = done.generation,
                    bundle,
                    "reloaded"
                );
                if !done.restart_needed.is_empty() {
                    tracing::warn!(
                        settings = done.restart_needed.join(", "),
                        "changed settings need a restart"
                    );
                }
                if done.replaced_thresholds {
                    tracing::warn!("budgets set at run time were replaced by the configuration's");
                }
            }
            Err(error) => {
                metrics.reload(trigger.name(), "failed");
                let running = self.shared.pin().generation;
                for problem in error.problems() {
                    tracing::error!(
                        trigger = trigger.name(),
                        running,
                        "reload refused: {problem}"
                    );
                }
            }
        }
        outcome
    }
}

/// Log rotation signals, too, and must not depend on whether configuration and bundle are in order.
fn reopen(shared: &Shared) {
    if let Err(error) = shared.audit.reopen(&shared.pin().config.audit.output) {
        tracing::error!(%error, "decision records go on where they went");
    }
}

fn reload(
    shared: &Shared,
    file: &std::path::Path,
    context: &Context,
) -> Result<Reloaded, ReloadError> {
    let running = shared.pin();
    let mut config = config::load(file)?;
    let restart_needed = keep_fixed(&mut config, &running.config);
    let next = build(config, Some(&running), context)
        .map_err(|errors| ReloadError::Unusable(locate(file, errors.findings())))?;
    // Last of all what changes the outside world, and only then the swap.
    let capture = Prepared::open(next.config.capture.as_ref())?;
    shared.audit.reopen(&next.config.audit.output)?;
    shared.capture.configure(capture);
    let next = shared.swap(next);
    next.upstreams.iter().for_each(Upstream::start);
    describe(&context.metrics, &next);
    Ok(Reloaded {
        generation: next.generation,
        bundle: next.bundle_id().map(str::to_owned),
        restart_needed,
        replaced_thresholds: running.overridden,
    })
}

/// Shows the running snapshot in the metrics.
pub(crate) fn describe(metrics: &Metrics, snapshot: &Snapshot) {
    metrics
        .generation
        .set(i64::try_from(snapshot.generation).unwrap_or(i64::MAX));
    let fallback = snapshot.engine.as_ref().is_some_and(|engine| {
        let provider = engine.provider();
        provider.actual != provider.requested
    });
    metrics.provider_fallback.set(i64::from(fallback));
    metrics.set_model(snapshot.engine.as_ref().map_or_else(Vec::new, |engine| {
        vec![
            ("id", engine.bundle_id().to_owned()),
            ("fingerprint", engine.manifest().fingerprint.clone()),
            ("provider", engine.provider().actual.to_string()),
        ]
    }));
}

#[cfg(test)]
mod tests;
