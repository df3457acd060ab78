//! What a request sees of the configuration and the model: an immutable [`Snapshot`] behind one atomic pointer, and
//! beside it the state that no reload may reset ([`Shared`]).
//!
//! Not here: how a snapshot is checked and built from files (`reload`), and any mutable state inside a snapshot. A
//! request pins one snapshot when it begins and uses nothing newer until it ends.

pub mod build;
mod fixed;
pub mod limiter;
pub mod model;
pub mod path;
pub mod reload;
pub mod routes;
pub mod thresholds;
pub mod watch;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::Semaphore;
use weir_features::ClientWindows;
use weir_features::profile::NewEndpoints;
use weir_scoring::budget::{Budgets, Unsupported};

use crate::audit::Audit;
use crate::capture::Capture;
use crate::config::Config;
use crate::detect::Scorer;
use crate::proxy::upstream::Upstream;
use crate::telemetry::Metrics;
use crate::tls::client::Connector;
use crate::tls::server::Server;
use crate::units::RouteId;

pub use limiter::{Limiter, RetryAfter};
pub use routes::{Route, Routes};

/// One generation of policy, model and certificates. Never changes; replaced as a whole.
pub struct Snapshot {
    /// Counts every swap of this process, from 1. Named in every decision record.
    pub generation: u64,
    /// The configuration it was built from.
    pub config: Arc<Config>,
    /// Routes in lookup order, with their budgets, limiters and metrics.
    pub routes: Routes,
    /// The loaded, verified and warmed bundle.
    pub engine: Option<Arc<dyn Scorer>>,
    /// Why `engine` is `None`.
    pub no_engine: Option<Arc<str>>,
    /// TLS of each listener, by index into `config.listeners`.
    pub tls: Vec<Option<Arc<Server>>>,
    /// As in `config.upstreams`, with their connections and what is known of their health.
    pub upstreams: Vec<Arc<Upstream>>,
    /// Whether `PUT /-/thresholds` changed budgets since the configuration was loaded.
    pub overridden: bool,
}

impl Snapshot {
    /// The route of a request: `host` without port in any case, `path` as received, still encoded. Matching happens
    /// on the normal form of the path, so that `/%61dmin` and `/x/../admin` meet the route of `/admin`.
    pub fn route(&self, host: &[u8], path: &[u8]) -> Option<&Arc<Route>> {
        self.routes.lookup(host, path)
    }

    /// The next generation with other routes and nothing else changed.
    fn with_routes(&self, routes: Routes) -> Self {
        Self {
            generation: self.generation + 1,
            config: Arc::clone(&self.config),
            routes,
            engine: self.engine.clone(),
            no_engine: self.no_engine.clone(),
            tls: self.tls.clone(),
            upstreams: self.upstreams.clone(),
            overridden: true,
        }
    }

    /// The connector of an upstream, for the next generation.
    pub(crate) fn connector(&self, upstream: &str) -> Option<&Connector> {
        let mut upstreams = self.upstreams.iter();
        upstreams
            .find(|other| other.name() == upstream)?
            .connector()
    }

    /// The limiter of a route, for the next generation.
    pub(crate) fn limiter(&self, route: &RouteId) -> Option<&Arc<Limiter>> {
        self.routes.by_id(route.as_str())?.limiter.as_ref()
    }

    /// The id of the loaded bundle.
    pub fn bundle_id(&self) -> Option<&str> {
        self.engine.as_ref().map(|engine| engine.bundle_id())
    }

    /// Those of the budgets that the loaded bundle's calibration cannot promise.
    pub fn unsupported(&self, budgets: &Budgets) -> impl Iterator<Item = Unsupported> + use<> {
        let smallest = self.engine.as_ref();
        let smallest = smallest.map(|engine| engine.manifest().smallest_budget);
        budgets.unsupported(smallest.unwrap_or(0.0))
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("generation", &self.generation)
            .field("bundle", &self.bundle_id())
            .finish_non_exhaustive()
    }
}

/// New endpoints that are remembered, at about 200 bytes each.
const NEW_ENDPOINTS: usize = 8192;
/// Distinct clients that make a new endpoint a deployment.
const DEPLOYMENT_CLIENTS: usize = 20;
/// A new endpoint is forgotten after one to two of these without a request, in seconds.
const DEPLOYMENT_WINDOW: f64 = 24.0 * 3600.0;

/// The memory of new endpoints: how a deployment is told from a probe.
pub fn new_endpoints() -> NewEndpoints {
    NewEndpoints::new(NEW_ENDPOINTS, DEPLOYMENT_CLIENTS, DEPLOYMENT_WINDOW)
}

/// State that outlives every snapshot, and the pointer to the current one.
pub struct Shared {
    current: ArcSwap<Snapshot>,
    /// Sliding windows of clients.
    pub windows: ClientWindows,
    /// Who lately used endpoints that no profile knows.
    pub new_endpoints: NewEndpoints,
    /// Every metric.
    pub metrics: Arc<Metrics>,
    /// Decision records.
    pub audit: Audit,
    /// Recording of passed traffic.
    pub capture: Capture,
    /// Heavy inspections running off the async threads.
    pub(crate) heavy: Arc<Semaphore>,
    /// Windows of passing bodies being scored: half of the workers, so that uploads do not make others miss their
    /// deadline.
    pub(crate) passing: Arc<Semaphore>,
    started: Instant,
    draining: AtomicBool,
}

impl Shared {
    /// Wraps the first snapshot and the long-lived parts. `limits.clients` and `workers` of the first configuration
    /// size the tables for the life of the process.
    pub fn new(first: Snapshot, metrics: Arc<Metrics>, audit: Audit, capture: Capture) -> Self {
        let clients = first.config.limits.clients;
        let workers = first.config.workers;
        Self {
            current: ArcSwap::from_pointee(first),
            windows: ClientWindows::new(clients),
            new_endpoints: new_endpoints(),
            metrics,
            audit,
            capture,
            heavy: Arc::new(Semaphore::new(workers.max(1))),
            passing: Arc::new(Semaphore::new(workers.div_ceil(2).max(1))),
            started: Instant::now(),
            draining: AtomicBool::new(false),
        }
    }

    /// The current snapshot, pinned: call once for each request.
    pub fn pin(&self) -> Arc<Snapshot> {
        self.current.load_full()
    }

    /// Replaces the snapshot for requests that begin from now on.
    pub(crate) fn swap(&self, next: Snapshot) -> Arc<Snapshot> {
        let next = Arc::new(next);
        self.current.store(Arc::clone(&next));
        next
    }

    /// Time since the process began to serve.
    pub fn uptime(&self) -> Duration {
        self.started.elapsed()
    }

    /// Says that the process is about to end: readiness turns false.
    pub fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Whether new requests should come.
    pub fn is_ready(&self) -> bool {
        !self.draining.load(Ordering::Relaxed)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared")
            .field("current", &self.current.load())
            .finish_non_exhaustive()
    }
}
