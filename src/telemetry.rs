//! Metric names and handles, and the set-up of tracing: everything an operator can watch, in one place.
//!
//! Not here: decision records (`audit`). Labels come from the configuration or from closed sets, never from clients,
//! so that the number of series is bounded. Handles are made once for each route: the hot path touches atomics and
//! short uncontended locks, and allocates nothing.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;
use weir_scoring::budget::Score;

use crate::config::{Log, LogFormat};
use crate::detect::Outcome;
use crate::units::RouteId;

/// Names of metrics. Counters get `_total`, info gets `_info`.
pub mod names {
    /// Requests by `route` and `verdict` (see [`Outcome`](crate::detect::Outcome)).
    pub const REQUESTS: &str = "weir_requests";
    /// Seconds from a request's headers to the end of its response, by `route`.
    pub const DURATION: &str = "weir_request_duration_seconds";
    /// Seconds of feature extraction, by `route`.
    pub const EXTRACTION: &str = "weir_extraction_duration_seconds";
    /// Seconds of scoring without extraction, by `route`.
    pub const SCORING: &str = "weir_scoring_duration_seconds";
    /// Seconds from the forwarded request to the upstream's response headers, by `route`.
    pub const UPSTREAM: &str = "weir_upstream_duration_seconds";
    /// Scores, `-log10` of the tail probability, by `route`.
    pub const SCORE: &str = "weir_score";
    /// Inspections that failed, by `route` and `cause`.
    pub const FAILURES: &str = "weir_inspection_failures";
    /// Requests answered with an error of the proxy or its upstream, by `cause`.
    pub const ERRORS: &str = "weir_errors";
    /// Reloads by `trigger` and `outcome`.
    pub const RELOADS: &str = "weir_reloads";
    /// Rows scored by the field detector.
    pub const ROWS: &str = "weir_rows";
    /// Generation of the running snapshot.
    pub const GENERATION: &str = "weir_generation";
    /// Client connections open now.
    pub const CONNECTIONS: &str = "weir_connections";
    /// Client connections refused at the limit.
    pub const CONNECTIONS_REFUSED: &str = "weir_connections_refused";
    /// Decision records dropped because the writer could not keep up.
    pub const AUDIT_DROPPED: &str = "weir_audit_dropped";
    /// Captured requests dropped because the writer could not keep up.
    pub const CAPTURE_DROPPED: &str = "weir_capture_dropped";
    /// Requests captured.
    pub const CAPTURED: &str = "weir_captured";
    /// The running bundle: `id`, `fingerprint`, `provider`.
    pub const MODEL: &str = "weir_model";
    /// The running build: `version`.
    pub const BUILD: &str = "weir_build";
}

/// From 50 us to 10 s: below lies no interesting latency, above a timeout.
const LATENCY_BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0,
];
/// Half a decade each; budgets people use lie between 2 and 6.
const SCORE_BUCKETS: [f64; 13] = [
    0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0,
];

type Labels = Vec<(&'static str, String)>;

/// Every metric of the process. One registry for each application, so that tests do not share counts.
pub struct Metrics {
    registry: Mutex<Registry>,
    routes: Mutex<HashMap<RouteId, Arc<RouteMetrics>>>,
    requests: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    duration: Family<Labels, Histogram, fn() -> Histogram>,
    extraction: Family<Labels, Histogram, fn() -> Histogram>,
    scoring: Family<Labels, Histogram, fn() -> Histogram>,
    upstream: Family<Labels, Histogram, fn() -> Histogram>,
    score: Family<Labels, Histogram, fn() -> Histogram>,
    errors: Family<Labels, Counter>,
    reloads: Family<Labels, Counter>,
    model: Arc<Mutex<Labels>>,
    /// Generation of the running snapshot.
    pub generation: Gauge,
    /// Open client connections.
    pub connections: Gauge,
    /// Connections refused at `limits.connections`.
    pub connections_refused: Counter,
    /// Decision records dropped.
    pub audit_dropped: Counter,
    /// Captured requests dropped.
    pub capture_dropped: Counter,
    /// Requests captured.
    pub captured: Counter,
    rows: Counter,
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

fn scores() -> Histogram {
    Histogram::new(SCORE_BUCKETS)
}

impl Metrics {
    /// A fresh registry with every metric described.
    pub fn new() -> Arc<Self> {
        let metrics = Self {
            registry: Mutex::new(Registry::default()),
            routes: Mutex::new(HashMap::new()),
            requests: Family::default(),
            failures: Family::default(),
            duration: Family::new_with_constructor(latency),
            extraction: Family::new_with_constructor(latency),
            scoring: Family::new_with_constructor(latency),
            upstream: Family::new_with_constructor(latency),
            score: Family::new_with_constructor(scores),
            errors: Family::default(),
            reloads: Family::default(),
            model: Arc::default(),
            generation: Gauge::default(),
            connections: Gauge::default(),
            connections_refused: Counter::default(),
            audit_dropped: Counter::default(),
            capture_dropped: Counter::default(),
            captured: Counter::default(),
            rows: Counter::default(),
        };
        metrics.register();
        Arc::new(metrics)
    }

    fn register(&self) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let r = &mut *registry;
        r.register(
            names::REQUESTS,
            "Requests by route and verdict",
            self.requests.clone(),
        );
        r.register(
            names::FAILURES,
            "Inspections that failed, by route and cause",
            self.failures.clone(),
        );
        r.register(names::DURATION, "Whole request", self.duration.clone());
        r.register(
            names::EXTRACTION,
            "Feature extraction",
            self.extraction.clone(),
        );
        r.register(
            names::SCORING,
            "Scoring without extraction",
            self.scoring.clone(),
        );
        r.register(
            names::UPSTREAM,
            "Upstream until its response headers",
            self.upstream.clone(),
        );
        r.register(
            names::SCORE,
            "-log10 of the tail probability",
            self.score.clone(),
        );
        r.register(
            names::ERRORS,
            "Requests answered with an error, by cause",
            self.errors.clone(),
        );
        r.register(
            names::RELOADS,
            "Reloads by trigger and outcome",
            self.reloads.clone(),
        );
        r.register(
            names::ROWS,
            "Rows scored by the field detector",
            self.rows.clone(),
        );
        r.register(
            names::GENERATION,
            "Generation of the running snapshot",
            self.generation.clone(),
        );
        r.register(
            names::CONNECTIONS,
            "Open client connections",
            self.connections.clone(),
        );
        r.register(
            names::CONNECTIONS_REFUSED,
            "Client connections refused at the limit",
            self.connections_refused.clone(),
        );
        r.register(
            names::AUDIT_DROPPED,
            "Decision records dropped",
            self.audit_dropped.clone(),
        );
        r.register(
            names::CAPTURE_DROPPED,
            "Captured requests dropped",
            self.capture_dropped.clone(),
        );
        r.register(names::CAPTURED, "Requests captured", self.captured.clone());
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register(names::BUILD, "The running build", build);
        r.register_collector(Box::new(ModelInfo(Arc::clone(&self.model))));
    }

    /// The handles of a route; the same ones for the same id in every generation.
    pub fn route(&self, id: &RouteId) -> Arc<RouteMetrics> {
        let mut routes = self.routes.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(
            routes
                .entry(id.clone())
                .or_insert_with(|| Arc::new(RouteMetrics::new(self, id))),
        )
    }

    /// Counts a request that no route answered or that the proxy or its upstream failed. `cause` is one of a closed
    /// set of names.
    pub fn error(&self, cause: &'static str) {
        self.errors
            .get_or_create(&vec![("cause", cause.to_owned())])
            .inc();
    }

    /// Counts a reload.
    pub fn reload(&self, trigger: &'static str, outcome: &'static str) {
        let labels = vec![
            ("trigger", trigger.to_owned()),
            ("outcome", outcome.to_owned()),
        ];
        self.reloads.get_or_create(&labels).inc();
    }

    /// Counts rows scored.
    pub fn rows(&self, rows: usize) {
        self.rows.inc_by(rows as u64);
    }

    /// Replaces what is said about the running bundle; empty when there is none.
    pub fn set_model(&self, labels: Labels) {
        *self.model.lock().unwrap_or_else(PoisonError::into_inner) = labels;
    }

    /// Every metric in the OpenMetrics text format.
    pub fn render(&self) -> String {
        let registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = String::new();
        // Formatting into a string fails only when a metric's own encoding does; what was written still helps.
        if let Err(error) = encode(&mut text, &registry) {
            tracing::error!(%error, "metrics could not be rendered completely");
        }
        text
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// `weir_model_info`, whose labels change with the bundle while old ones disappear.
#[derive(Debug)]
struct ModelInfo(Arc<Mutex<Labels>>);

impl Collector for ModelInfo {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let labels = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        if labels.is_empty() {
            return Ok(());
        }
        let info = Info::new(labels);
        let metric = encoder.encode_descriptor(
            names::MODEL,
            "The running bundle",
            None,
            info.metric_type(),
        )?;
        info.encode(metric)
    }
}

/// Handles of one route, made once.
#[derive(Debug)]
pub struct RouteMetrics {
    requests: [Counter; Outcome::ALL.len()],
    failures: [Counter; crate::detect::Failure::ALL.len()],
    duration: Histogram,
    extraction: Histogram,
    scoring: Histogram,
    upstream: Histogram,
    score: Histogram,
}

impl RouteMetrics {
    fn new(metrics: &Metrics, id: &RouteId) -> Self {
        let labels = vec![("route", id.as_str().to_owned())];
        let with = |name: &'static str, value: &str| {
            vec![("route", id.as_str().to_owned()), (name, value.to_owned())]
        };
        Self {
            requests: Outcome::ALL.map(|outcome| {
                metrics
                    .requests
                    .get_or_create_owned(&with("verdict", outcome.name()))
            }),
            failures: crate::detect::Failure::ALL.map(|failure| {
                metrics
                    .failures
                    .get_or_create_owned(&with("cause", failure.name()))
            }),
            duration: metrics.duration.get_or_create_owned(&labels),
            extraction: metrics.extraction.get_or_create_owned(&labels),
            scoring: metrics.scoring.get_or_create_owned(&labels),
            upstream: metrics.upstream.get_or_create_owned(&labels),
            score: metrics.score.get_or_create_owned(&labels),
        }
    }

    /// Counts one request by its outcome. Called once for each request, by the proxy's log phase.
    pub fn request(&self, outcome: Outcome, whole: Duration) {
        if let Some(counter) = self.requests.get(outcome.index()) {
            counter.inc();
        }
        self.duration.observe(whole.as_secs_f64());
    }

    /// Observes the upstream's time to its response headers.
    pub fn upstream(&self, time: Duration) {
        self.upstream.observe(time.as_secs_f64());
    }

    /// Counts a failed inspection.
    pub(crate) fn failure(&self, failure: crate::detect::Failure) {
        if let Some(counter) = self.failures.get(failure.index()) {
            counter.inc();
        }
    }

    /// Observes one scored request.
    pub(crate) fn scored(&self, score: Score, extraction: Duration, scoring: Duration) {
        self.score.observe(f64::from(score.value()));
        self.extraction.observe(extraction.as_secs_f64());
        self.scoring.observe(scoring.as_secs_f64());
    }
}

/// Why tracing could not be set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level `{level}` is no filter; use error, warn, info, debug, trace or pairs such as weir_waf=debug,warn"
)]
pub struct LevelError {
    level: String,
}

/// Checks a log filter.
///
/// # Errors
/// When it is none.
pub fn parse_level(level: &str) -> Result<tracing_subscriber::EnvFilter, LevelError> {
    tracing_subscriber::EnvFilter::try_new(level).map_err(|_| LevelError {
        level: level.to_owned(),
    })
}

/// Sends logs to stderr. Does nothing when a subscriber is already set (tests).
///
/// # Errors
/// When the level is no filter.
pub fn init_tracing(log: &Log) -> Result<(), LevelError> {
    let filter = parse_level(&log.level)?;
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr);
    let _already_set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn series_appear_under_their_documented_names() {
        let metrics = Metrics::new();
        let route = metrics.route(&RouteId::new("shop"));
        route.request(Outcome::Block, Duration::from_millis(3));
        route.failure(crate::detect::Failure::Deadline);
        route.scored(
            Score::new(3.2),
            Duration::from_micros(80),
            Duration::from_micros(90),
        );
        metrics.reload("sighup", "ok");
        metrics.set_model(vec![("id", "abc".to_owned())]);
        let text = metrics.render();
        for line in [
            "weir_requests_total{route=\"shop\",verdict=\"block\"} 1",
            "weir_inspection_failures_total{route=\"shop\",cause=\"deadline\"} 1",
            "weir_reloads_total{trigger=\"sighup\",outcome=\"ok\"} 1",
            "weir_model_info{id=\"abc\"} 1",
            "weir_request_duration_seconds_bucket{le=\"0.005\",route=\"shop\"} 1",
        ] {
            assert!(text.contains(line), "{line} is missing in\n{text}");
        }
    }

    #[test]
    fn a_replaced_model_leaves_no_old_series() {
        let metrics = Metrics::new();
        metrics.set_model(vec![("id", "one".to_owned())]);
        metrics.set_model(vec![("id", "two".to_owned())]);
        let text = metrics.render();
        assert!(
            text.contains("id=\"two\"") && !text.contains("id=\"one\""),
            "{text}"
        );
    }

    #[test]
    fn levels_are_checked() {
        assert!(parse_level("info").is_ok());
        assert!(parse_level("weir_waf=debug,warn").is_ok());
        assert!(parse_level("weir_waf=loud").is_err());
    }
}
