//! Builds a snapshot from a validated configuration: opens certificates and the bundle, compiles routes.
//!
//! Not here: swapping it in (`reload`). `run`, `check` and every reload build through this one function, so that what
//! `check` accepts, `run` starts.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use weir_scoring::budget::{BudgetError, Budgets};

use crate::config::places::Finding;
use crate::config::{self, Config};
use crate::detect::{Exceptions, Scorer};
use crate::proxy::upstream;
use crate::runtime::model::{self, ModelError};
use crate::runtime::{Limiter, Route, Routes, Snapshot};
use crate::telemetry::Metrics;
use crate::tls::TlsError;
use crate::tls::client::Connector;
use crate::tls::server::Server;
use crate::units::RouteId;

/// What a build takes beside the configuration.
#[derive(Debug, Clone)]
pub struct Context {
    /// `--onnxruntime`.
    pub onnxruntime: Option<PathBuf>,
    /// Handles for routes.
    pub metrics: Arc<Metrics>,
}

/// Something that the configuration names and that cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A certificate or key.
    #[error("listen[{listener}].tls: {source}")]
    Tls {
        /// Index of the listener.
        listener: usize,
        /// What is wrong.
        source: TlsError,
    },
    /// TLS to an upstream.
    #[error("upstreams.{upstream}.tls: {source}")]
    UpstreamTls {
        /// Its index in the configuration.
        at: usize,
        /// Its name.
        upstream: String,
        /// What is wrong.
        source: TlsError,
    },
    /// The model.
    #[error(transparent)]
    Model(#[from] ModelError),
    /// A route's budget and the bundle's do not go together.
    #[error(
        "routes.{route}.budgets: {source} (the bundle gives the one that the route leaves out)"
    )]
    Budgets {
        /// Its index in the configuration.
        at: usize,
        /// The route.
        route: RouteId,
        /// What is wrong.
        source: BudgetError,
    },
}

impl BuildError {
    fn finding(&self) -> Finding {
        match self {
            Self::Tls { listener, source } => blame(format!("listen[{listener}].tls"), source),
            Self::UpstreamTls { at, source, .. } => blame(format!("upstreams[{at}].tls"), source),
            Self::Model(error @ ModelError::Runtime(_)) => Finding::new("model.onnxruntime", error),
            Self::Model(error) => Finding::new("model.bundle", error),
            Self::Budgets { at, .. } => Finding::new(format!("routes[{at}].budgets"), self),
        }
    }
}

fn blame(key: String, error: &TlsError) -> Finding {
    let finding = Finding::new(key, error);
    match error.file() {
        Some(file) => finding.about(file),
        None => finding,
    }
}

/// Every such problem.
#[derive(Debug)]
pub struct BuildErrors(pub Vec<BuildError>);

impl fmt::Display for BuildErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, error) in self.0.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for BuildErrors {}

impl BuildErrors {
    /// Each by the key of the configuration that it is about.
    pub fn findings(&self) -> Vec<Finding> {
        self.0.iter().map(BuildError::finding).collect()
    }

    /// Whether only the model is at fault: the configuration itself is sound.
    pub fn only_model(&self) -> bool {
        self.0
            .iter()
            .all(|error| matches!(error, BuildError::Model(_)))
    }
}

/// Builds the snapshot that follows `running`, or the first one. Takes as long as loading a model takes: call it off
/// the async threads.
///
/// # Errors
/// Everything that cannot be used.
pub fn build(
    config: Config,
    running: Option<&Snapshot>,
    context: &Context,
) -> Result<Snapshot, BuildErrors> {
    let mut errors = Vec::new();
    let tls = certificates(&config, running, &mut errors);
    let connectors = connectors(&config, running, &mut errors);
    let engine = engine(&config, running, context, &mut errors);
    let (engine, no_engine) = match engine {
        Ok(engine) => (Some(engine), None),
        Err(why) => (None, Some(why)),
    };
    let routes = routes(
        &config,
        engine.as_deref(),
        running,
        &context.metrics,
        &mut errors,
    );
    if !errors.is_empty() {
        return Err(BuildErrors(errors));
    }
    let known = running.map_or(&[][..], |running| &running.upstreams);
    Ok(Snapshot {
        upstreams: upstream::next(&config.upstreams, connectors, known),
        generation: running.map_or(1, |running| running.generation + 1),
        config: Arc::new(config),
        routes: Routes::new(routes),
        engine,
        no_engine,
        tls,
        overridden: false,
    })
}

fn certificates(
    config: &Config,
    running: Option<&Snapshot>,
    errors: &mut Vec<BuildError>,
) -> Vec<Option<Arc<Server>>> {
    let mut loaded = Vec::with_capacity(config.listeners.len());
    for (listener, settings) in config.listeners.iter().enumerate() {
        let running = running.and_then(|running| running.tls.get(listener)?.as_deref());
        let tls = settings.tls.as_ref().and_then(|tls| {
            Server::new(tls, settings.http2, running)
                .map(Arc::new)
                .map_err(|source| errors.push(BuildError::Tls { listener, source }))
                .ok()
        });
        loaded.push(tls);
    }
    loaded
}

/// A connector for each upstream with TLS; the running one where nothing has changed.
fn connectors(
    config: &Config,
    running: Option<&Snapshot>,
    errors: &mut Vec<BuildError>,
) -> Vec<Option<Connector>> {
    let mut made = Vec::with_capacity(config.upstreams.len());
    for (at, upstream) in config.upstreams.iter().enumerate() {
        let connector = upstream.tls.as_ref().and_then(|tls| {
            let running = running.and_then(|running| running.connector(&upstream.name));
            Connector::new(tls, running)
                .map_err(|source| {
                    errors.push(BuildError::UpstreamTls {
                        at,
                        upstream: upstream.name.clone(),
                        source,
                    });
                })
                .ok()
        });
        made.push(connector);
    }
    made
}

/// The engine, or why there is none. A missing model is an error where one is required, and where one is running: a
/// bad bundle never takes the good one away.
fn engine(
    config: &Config,
    running: Option<&Snapshot>,
    context: &Context,
    errors: &mut Vec<BuildError>,
) -> Result<Arc<dyn Scorer>, Arc<str>> {
    let engine = running.and_then(|running| running.engine.as_deref());
    let onnxruntime = context.onnxruntime.as_deref();
    model::load(config, onnxruntime, engine, &context.metrics).map_err(|error| {
        let why = Arc::from(error.to_string());
        if config.model.required || (engine.is_some() && config.model.bundle.is_some()) {
            errors.push(error.into());
        } else {
            tracing::warn!(%error, "no usable model: each route's fail mode serves");
        }
        why
    })
}

fn routes(
    config: &Config,
    engine: Option<&dyn Scorer>,
    running: Option<&Snapshot>,
    metrics: &Metrics,
    errors: &mut Vec<BuildError>,
) -> Vec<Arc<Route>> {
    let defaults = engine.map_or_else(Budgets::default, |engine| engine.manifest().budgets);
    let smallest = engine.map_or(0.0, |engine| engine.manifest().smallest_budget);
    let mut routes = Vec::with_capacity(config.routes.len());
    for (at, policy) in config.routes.iter().enumerate() {
        match budgets(policy, defaults) {
            Ok(budgets) => {
                warn_below(&policy.id, &budgets, smallest);
                routes.push(Arc::new(Route {
                    budgets,
                    exceptions: Arc::new(Exceptions::new(policy.exceptions.clone())),
                    limiter: Limiter::next(
                        running.and_then(|running| running.limiter(&policy.id)),
                        policy.rate_limit,
                        config.limits.clients,
                    ),
                    metrics: metrics.route(&policy.id),
                    policy: Arc::new(policy.clone()),
                }));
            }
            Err(source) => errors.push(BuildError::Budgets {
                at,
                route: policy.id.clone(),
                source,
            }),
        }
    }
    routes
}

fn budgets(route: &config::Route, defaults: Budgets) -> Result<Budgets, BudgetError> {
    let flag = route.budgets.flag.unwrap_or(defaults.flag);
    let block = route.budgets.block.unwrap_or(defaults.block);
    Budgets::new(flag, block)
}

/// A budget below what the calibration's sample supports is a hope, not a promise: it applies, and the log says so.
fn warn_below(route: &RouteId, budgets: &Budgets, smallest: f64) {
    for unsupported in budgets.unsupported(smallest) {
        tracing::warn!(%route, "{unsupported}");
    }
}
