//! `/-/status`: what runs, since when, with which model and budgets.
//!
//! Not here: counts (`/metrics`).

use axum::Json;
use axum::extract::State;
use serde::Serialize;
use weir_scoring::bundle::KnownSites;
use weir_scoring::engine::ForwardPass;
use weir_scoring::ort::ProviderStatus;

use super::Context;
use crate::config::{FailMode, Mode};
use crate::detect::{Budgets, Scorer};
use crate::proxy::upstream::UpstreamStatus;
use crate::runtime::{Route, Shared};
use crate::units::{RouteId, format_duration};

#[derive(Debug, Serialize)]
pub(super) struct Status {
    version: &'static str,
    uptime_seconds: u64,
    ready: bool,
    generation: u64,
    bundle: Option<Bundle>,
    /// Why there is no bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    no_model: Option<String>,
    workers: usize,
    /// Budgets were changed at run time and hold until the next configuration load.
    thresholds_overridden: bool,
    routes: Vec<RouteStatus>,
    upstreams: Vec<UpstreamStatus>,
    /// Clients with sliding windows.
    clients: usize,
    /// Endpoints that no profile knows and that were used lately.
    new_endpoints: usize,
    capture: bool,
}

#[derive(Debug, Serialize)]
struct Bundle {
    id: String,
    created: String,
    fingerprint: String,
    detectors: Vec<&'static str>,
    smallest_budget: f64,
    /// What is known of the sites it was trained for.
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<KnownSites>,
    execution_provider: ProviderStatus,
    /// What turns rows into errors, where they are not scored in batches.
    forward_pass: ForwardPass,
    /// When a batch of several requests' rows is complete; absent without batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    batch: Option<Batch>,
    /// Memory of the score cache; absent without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    score_cache_bytes: Option<usize>,
}

#[derive(Debug, Serialize)]
struct Batch {
    rows: usize,
    wait: String,
}

#[derive(Debug, Serialize)]
struct RouteStatus {
    id: RouteId,
    host: String,
    path: String,
    mode: Mode,
    fail: FailMode,
    budgets: Budgets,
}

pub(super) async fn status(State(context): State<Context>) -> Json<Status> {
    Json(Status::of(&context.shared))
}

impl Status {
    fn of(shared: &Shared) -> Self {
        let snapshot = shared.pin();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: shared.uptime().as_secs(),
            ready: shared.is_ready(),
            generation: snapshot.generation,
            bundle: snapshot.engine.as_deref().map(Bundle::of),
            no_model: snapshot.no_engine.as_deref().map(str::to_owned),
            workers: snapshot.config.workers,
            thresholds_overridden: snapshot.overridden,
            routes: snapshot
                .routes
                .iter()
                .map(|route| RouteStatus::of(route))
                .collect(),
            upstreams: snapshot
                .upstreams
                .iter()
                .map(|upstream| upstream.status())
                .collect(),
            clients: shared.windows.len(),
            new_endpoints: shared.new_endpoints.len(),
            capture: snapshot.config.capture.is_some(),
        }
    }
}

impl Bundle {
    fn of(engine: &dyn Scorer) -> Self {
        let manifest = engine.manifest();
        let mut detectors = vec!["field"];
        if manifest.detectors.request.is_some() {
            detectors.push("request");
        }
        Self {
            id: manifest.id.clone(),
            created: manifest.created.clone(),
            fingerprint: manifest.fingerprint.clone(),
            detectors,
            smallest_budget: manifest.smallest_budget,
            profile: manifest.data.profile,
            execution_provider: engine.provider().clone(),
            forward_pass: engine.forward_pass(),
            batch: engine.batches().map(|options| Batch {
                rows: options.rows,
                wait: format_duration(options.wait),
            }),
            score_cache_bytes: engine.score_cache().map(|cache| cache.bytes()),
        }
    }
}

impl RouteStatus {
    fn of(route: &Route) -> Self {
        Self {
            id: route.policy.id.clone(),
            host: route.policy.host.to_string(),
            path: route.policy.path.clone(),
            mode: route.policy.mode,
            fail: route.policy.fail,
            budgets: route.budgets,
        }
    }
}
