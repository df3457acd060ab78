//! Metric names and handles, and the set-up of tracing: everything an operator can watch, in one place.
//!
//! Not here: decision records (`audit`). Labels come from the configuration or from closed sets, never from clients,
//! so that the number of series is bounded. Handles are made once for each route: the hot path touches atomics and
//! short uncontended locks, and allocates nothing.

mod logs;
pub mod names;
pub mod panics;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::counter::{ConstCounter, Counter};
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry};
use weir_scoring::budget::Score;
use weir_scoring::engine::{BatchRun, CacheUse};

use crate::detect::Outcome;
use crate::units::RouteId;

pub use logs::{LevelError, init_tracing, parse_level};

/// A metric's name and what it says. Counters get `_total`, info gets `_info`.
#[derive(Debug, Clone, Copy)]
pub struct Described(pub &'static str, pub &'static str);

/// From 50 us to 10 s: below lies no interesting latency, above a timeout.
const LATENCY_BUCKETS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0,
    2.0, 5.0, 10.0,
];
/// Half a decade each; budgets people use lie between 2 and 6.
const SCORE_BUCKETS: [f64; 13] = [
    0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0, 4.5, 5.0, 6.0, 8.0, 12.0,
];

/// Powers of two, up to the largest batch.
const BATCH_ROWS_BUCKETS: [f64; 15] = [
    1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0,
    16384.0,
];
/// From 10 us, which is no wait at all, to 50 ms, the longest.
const BATCH_WAIT_BUCKETS: [f64; 12] = [
    0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05,
];

type Labels = Vec<(&'static str, String)>;
type Histograms = Family<Labels, Histogram, fn() -> Histogram>;

/// Every metric of the process. One registry for each application, so that tests do not share counts.
pub struct Metrics {
    registry: Mutex<Registry>,
    routes: Mutex<HashMap<RouteId, Arc<RouteMetrics>>>,
    requests: Family<Labels, Counter>,
    failures: Family<Labels, Counter>,
    uninspected: Family<Labels, Counter>,
    duration: Histograms,
    extraction: Histograms,
    scoring: Histograms,
    upstream: Histograms,
    score: Histograms,
    errors: Family<Labels, Counter>,
    reloads: Family<Labels, Counter>,
    handshakes: Family<Labels, Counter>,
    model: Arc<Mutex<Labels>>,
    /// Generation of the running snapshot.
    pub generation: Gauge,
    /// Open client connections.
    pub connections: Gauge,
    connections_refused: Family<Labels, Counter>,
    /// Decision records dropped.
    pub audit_dropped: Counter,
    /// Captured requests dropped.
    pub capture_dropped: Counter,
    /// Requests captured.
    pub captured: Counter,
    rows: Counter,
    cache_hits: Counter,
    cache_misses: Counter,
    cache_evictions: Counter,
    batches: Counter,
    batch_rows: Histogram,
    batch_wait: Histogram,
    /// Whether the networks run on another execution provider than the configuration asks for.
    pub provider_fallback: Gauge,
}

fn latency() -> Histogram {
    Histogram::new(LATENCY_BUCKETS)
}

fn scores() -> Histogram {
    Histogram::new(SCORE_BUCKETS)
}

/// Registers a metric and hands it back.
fn add<M: Metric + Clone>(registry: &mut Registry, described: Described, metric: M) -> M {
    registry.register(described.0, described.1, metric.clone());
    metric
}

fn counter(registry: &mut Registry, described: Described) -> Counter {
    add(registry, described, Counter::default())
}

fn counters(registry: &mut Registry, described: Described) -> Family<Labels, Counter> {
    add(registry, described, Family::default())
}

fn histograms(
    registry: &mut Registry,
    described: Described,
    make: fn() -> Histogram,
) -> Histograms {
    add(registry, described, Family::new_with_constructor(make))
}

impl Metrics {
    /// A fresh registry with every metric described.
    pub fn new() -> Arc<Self> {
        let mut registry = Registry::default();
        let r = &mut registry;
        let model = Arc::<Mutex<Labels>>::default();
        r.register_collector(Box::new(ModelInfo(Arc::clone(&model))));
        r.register_collector(Box::new(LogDropped));
        let build = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register(names::BUILD.0, names::BUILD.1, build);
        Arc::new(Self {
            routes: Mutex::new(HashMap::new()),
            requests: counters(r, names::REQUESTS),
            failures: counters(r, names::FAILURES),
            uninspected: counters(r, names::UNINSPECTED),
            duration: histograms(r, names::DURATION, latency),
            extraction: histograms(r, names::EXTRACTION, latency),
            scoring: histograms(r, names::SCORING, latency),
            upstream: histograms(r, names::UPSTREAM, latency),
            score: histograms(r, names::SCORE, scores),
            errors: counters(r, names::ERRORS),
            reloads: counters(r, names::RELOADS),
            handshakes: counters(r, names::HANDSHAKES),
            model,
            generation: add(r, names::GENERATION, Gauge::default()),
            connections: add(r, names::CONNECTIONS, Gauge::default()),
            connections_refused: counters(r, names::CONNECTIONS_REFUSED),
            audit_dropped: counter(r, names::AUDIT_DROPPED),
            capture_dropped: counter(r, names::CAPTURE_DROPPED),
            captured: counter(r, names::CAPTURED),
            rows: counter(r, names::ROWS),
            cache_hits: counter(r, names::CACHE_HITS),
            cache_misses: counter(r, names::CACHE_MISSES),
            cache_evictions: counter(r, names::CACHE_EVICTIONS),
            batches: counter(r, names::BATCHES),
            batch_rows: add(r, names::BATCH_ROWS, Histogram::new(BATCH_ROWS_BUCKETS)),
            batch_wait: add(r, names::BATCH_WAIT, Histogram::new(BATCH_WAIT_BUCKETS)),
            provider_fallback: add(r, names::PROVIDER_FALLBACK, Gauge::default()),
            registry: Mutex::new(registry),
        })
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

    /// Adds series that are read when somebody asks for them.
    pub fn collect(&self, collector: impl Collector) {
        let mut registry = self.registry.lock().unwrap_or_else(PoisonError::into_inner);
        registry.register_collector(Box::new(collector));
    }

    /// Counts a client's TLS handshake. `outcome` is one of a closed set of names.
    pub fn handshake(&self, outcome: &'static str) {
        self.handshakes
            .get_or_create(&vec![("outcome", outcome.to_owned())])
            .inc();
    }

    /// Counts a connection that was turned away.
    pub fn connection_refused(&self, cause: &'static str) {
        self.connections_refused
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

    /// Counts rows scored, and what the score cache was good for.
    pub fn rows(&self, rows: usize, cache: &CacheUse) {
        let counts = [
            (&self.rows, rows),
            (&self.cache_hits, cache.hits),
            (&self.cache_misses, cache.misses),
            (&self.cache_evictions, cache.evictions),
        ];
        // The counters' cache lines are everybody's: nothing is written without need.
        for (counter, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
            counter.inc_by(count as u64);
        }
    }

    /// Counts a run over rows of one or more requests.
    pub fn batch(&self, run: &BatchRun) {
        self.batches.inc();
        #[expect(clippy::cast_precision_loss, reason = "a few thousand rows at most")]
        self.batch_rows.observe(run.rows as f64);
        self.batch_wait.observe(run.waited.as_secs_f64());
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
        let metric =
            encoder.encode_descriptor(names::MODEL.0, names::MODEL.1, None, info.metric_type())?;
        info.encode(metric)
    }
}

/// Lines that the log dropped: the log is the process's, the registry an application's.
#[derive(Debug)]
struct LogDropped;

impl Collector for LogDropped {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let dropped = ConstCounter::new(logs::dropped());
        let Described(name, what) = names::LOG_DROPPED;
        let metric = encoder.encode_descriptor(name, what, None, dropped.metric_type())?;
        dropped.encode(metric)
    }
}

/// Handles of one route, made once.
#[derive(Debug)]
pub struct RouteMetrics {
    requests: [Counter; Outcome::ALL.len()],
    failures: [Counter; crate::detect::Failure::ALL.len()],
    uninspected: Counter,
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
            uninspected: metrics.uninspected.get_or_create_owned(&labels),
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

    /// Counts body bytes that passed unscored.
    pub(crate) fn uninspected(&self, bytes: u64) {
        self.uninspected.inc_by(bytes);
    }

    /// Observes one scored request.
    pub(crate) fn scored(&self, score: Score, extraction: Duration, scoring: Duration) {
        self.score.observe(f64::from(score.value()));
        self.extraction.observe(extraction.as_secs_f64());
        self.scoring.observe(scoring.as_secs_f64());
    }
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
        metrics.batch(&BatchRun {
            rows: 30,
            requests: 2,
            waited: Duration::from_micros(150),
        });
        metrics.provider_fallback.set(1);
        let text = metrics.render();
        for line in [
            "weir_requests_total{route=\"shop\",verdict=\"block\"} 1",
            "weir_inspection_failures_total{route=\"shop\",cause=\"deadline\"} 1",
            "weir_reloads_total{trigger=\"sighup\",outcome=\"ok\"} 1",
            "weir_model_info{id=\"abc\"} 1",
            "weir_batches_total 1",
            "weir_batch_rows_bucket{le=\"32.0\"} 1",
            "weir_batch_rows_bucket{le=\"16.0\"} 0",
            "weir_batch_wait_seconds_bucket{le=\"0.0002\"} 1",
            "weir_execution_provider_fallback 1",
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
}
