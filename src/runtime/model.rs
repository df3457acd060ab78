//! Opens a bundle through the load gate and makes it ready to score.
//!
//! Not here: the gate itself (`weir-scoring`), and the decision what happens without a model (`reload`, `detect`).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use weir_scoring::bundle::{Bundle, BundleError};
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{BatchRun, Engine, EngineOptions, LoadError};
use weir_scoring::ort::{Runtime, RuntimeError};

use crate::config::Config;
use crate::detect::Scorer;
use crate::telemetry::Metrics;
use crate::units::Bytes;

/// Why there is no usable model.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ModelError {
    /// ONNX Runtime is missing, too old, or of another architecture.
    #[error(transparent)]
    Runtime(#[from] RuntimeError),
    /// The directory is no intact bundle.
    #[error("model.bundle: {0}")]
    Bundle(#[from] BundleError),
    /// The load gate or the warm-up refused it.
    #[error("model.bundle {}: {source}", directory.display())]
    Load {
        /// The bundle's directory.
        directory: PathBuf,
        /// What was refused.
        source: LoadError,
    },
    /// The configuration names none.
    #[error("the configuration names no bundle (model.bundle)")]
    NotConfigured,
}

/// Loads the configured bundle: hashes, fingerprint, operators, shapes, one session a worker, golden rows. The score
/// cache of the `running` engine goes on, so that a reload with the same bundle finds it warm. Batches are counted in `metrics`.
///
/// # Errors
/// What is wrong with it, or with ONNX Runtime.
pub fn load(
    config: &Config,
    onnxruntime: Option<&Path>,
    running: Option<&dyn Scorer>,
    metrics: &Arc<Metrics>,
) -> Result<Arc<dyn Scorer>, ModelError> {
    let directory = config
        .model
        .bundle
        .as_deref()
        .ok_or(ModelError::NotConfigured)?;
    let options = EngineOptions {
        workers: config.workers,
        provider: config.model.provider,
    };
    let runtime = Runtime::load(onnxruntime, config.model.onnxruntime.as_deref())?;
    let bundle = Bundle::open(directory)?;
    let engine = || -> Result<Engine, LoadError> {
        let mut engine = Engine::load(runtime, &bundle, &options)?;
        if let Some(batch) = config.model.batch {
            let metrics = Arc::clone(metrics);
            let observer = Arc::new(move |run: &BatchRun| metrics.batch(run));
            engine = engine.with_batches(runtime, &bundle, batch, observer)?;
        }
        match score_cache(config.model.score_cache, running) {
            Some(cache) => engine.with_cache(cache),
            None => Ok(engine),
        }
    };
    match engine() {
        Ok(engine) => Ok(Arc::new(engine)),
        Err(source) => Err(ModelError::Load {
            directory: directory.to_owned(),
            source,
        }),
    }
}

/// A cache of this size: the running one where it has it.
fn score_cache(size: Bytes, running: Option<&dyn Scorer>) -> Option<Arc<ScoreCache>> {
    let bytes = size.as_usize();
    running
        .and_then(Scorer::score_cache)
        .filter(|cache| cache.bytes() == ScoreCache::bytes_of(bytes))
        .map(Arc::clone)
        .or_else(|| ScoreCache::new(bytes).map(Arc::new))
}

/// Loads a bundle by its directory.
///
/// # Errors
/// As [`load`].
pub fn load_from(
    directory: &Path,
    explicit: Option<&Path>,
    configured: Option<&Path>,
    options: &EngineOptions,
) -> Result<Engine, ModelError> {
    let runtime = Runtime::load(explicit, configured)?;
    let bundle = Bundle::open(directory)?;
    Engine::load(runtime, &bundle, options).map_err(|source| ModelError::Load {
        directory: directory.to_owned(),
        source,
    })
}
