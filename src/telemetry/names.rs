//! Every metric: its name and what it says. Not here: what counts them.

use super::Described;

/// By `route` and `verdict`, see [`Outcome`](crate::detect::Outcome).
pub const REQUESTS: Described = Described("weir_requests", "Requests by route and verdict");
/// By `route` and `cause`, see [`Failure`](crate::detect::Failure).
pub const FAILURES: Described = Described(
    "weir_inspection_failures",
    "Inspections that failed, by route and cause",
);
/// By `route`.
pub const UNINSPECTED: Described = Described(
    "weir_uninspected_bytes",
    "Body bytes that passed without being scored, by route",
);
/// By `route`.
pub const DURATION: Described = Described(
    "weir_request_duration_seconds",
    "From the headers of a request to the end of its response",
);
/// By `route`.
pub const EXTRACTION: Described =
    Described("weir_extraction_duration_seconds", "Feature extraction");
/// By `route`.
pub const SCORING: Described = Described(
    "weir_scoring_duration_seconds",
    "Scoring without extraction",
);
/// By `route`.
pub const UPSTREAM: Described = Described(
    "weir_upstream_duration_seconds",
    "From the forwarded request to the response headers",
);
/// By `route`.
pub const SCORE: Described = Described("weir_score", "Scores, -log10 of the tail probability");
/// By `cause`.
pub const ERRORS: Described = Described(
    "weir_errors",
    "Requests answered with an error of client, proxy or upstream, by cause",
);
/// By `trigger` (sighup, api, watch) and `outcome` (ok, failed).
pub const RELOADS: Described = Described("weir_reloads", "Reloads by trigger and outcome");
/// Of the field detector.
pub const ROWS: Described = Described("weir_rows", "Rows scored by the field detector");
/// Of `model.score_cache`.
pub const CACHE_HITS: Described = Described(
    "weir_score_cache_hits",
    "Fields whose score was in the score cache",
);
/// Of `model.score_cache`.
pub const CACHE_MISSES: Described = Described(
    "weir_score_cache_misses",
    "Fields whose score was not in the score cache",
);
/// Of `model.score_cache`.
pub const CACHE_EVICTIONS: Described = Described(
    "weir_score_cache_evictions",
    "Scores that made room for new ones in the score cache",
);
/// Of `model.batch`.
pub const BATCHES: Described = Described(
    "weir_batches",
    "Runs of the field detector over rows of one or more requests",
);
/// Of `model.batch`.
pub const BATCH_ROWS: Described = Described("weir_batch_rows", "Rows of such a run");
/// Of `model.batch`.
pub const BATCH_WAIT: Described = Described(
    "weir_batch_wait_seconds",
    "From the first request of a batch to the beginning of its run",
);
/// See `execution_provider` in the status.
pub const PROVIDER_FALLBACK: Described = Described(
    "weir_execution_provider_fallback",
    "1 while the networks run on another execution provider than model.execution_provider asks for",
);
/// See `generation` in decision records.
pub const GENERATION: Described =
    Described("weir_generation", "Generation of the running snapshot");
/// Now.
pub const CONNECTIONS: Described = Described("weir_connections", "Open client connections");
/// By `outcome`: full, resumed, failed, timeout, displaced, unproven.
pub const HANDSHAKES: Described = Described(
    "weir_tls_handshakes",
    "TLS handshakes of clients by outcome",
);
/// By `cause`: `total` at `limits.connections`, `client` at `limits.connections_per_client`.
pub const CONNECTIONS_REFUSED: Described = Described(
    "weir_connections_refused",
    "Client connections refused at a limit, by cause",
);
/// The writer could not keep up, or could not write.
pub const AUDIT_DROPPED: Described = Described("weir_audit_dropped", "Decision records dropped");
/// The writer could not keep up, or could not write.
pub const LOG_DROPPED: Described = Described("weir_log_dropped", "Lines of the log dropped");
/// The writer could not keep up, or could not write.
pub const CAPTURE_DROPPED: Described =
    Described("weir_capture_dropped", "Captured requests dropped");
/// Written to the capture's files.
pub const CAPTURED: Described = Described("weir_captured", "Requests captured");
/// With `id`, `fingerprint` and `provider`; absent without a model.
pub const MODEL: Described = Described("weir_model", "The running bundle");
/// By `upstream` and `endpoint`, as are all that follow unless they say otherwise.
pub const UPSTREAM_REQUESTS: Described = Described(
    "weir_upstream_requests",
    "Requests sent to an endpoint, retries included",
);
/// Also by `cause`: connect, broken, timeout.
pub const UPSTREAM_FAILURES: Described = Described(
    "weir_upstream_failures",
    "Requests that an endpoint did not answer, by cause",
);
/// To both versions of HTTP, and for checks.
pub const UPSTREAM_CONNECTIONS: Described = Described(
    "weir_upstream_connections",
    "Connections opened to an endpoint",
);
/// See `upstreams[].ejection`.
pub const UPSTREAM_EJECTIONS: Described = Described(
    "weir_upstream_ejections",
    "Times that an endpoint was left alone after failed requests",
);
/// More than one where a name has several addresses.
pub const UPSTREAM_UP: Described =
    Described("weir_upstream_up", "Addresses of an endpoint that are up");
/// Until the end of the response.
pub const UPSTREAM_ACTIVE: Described =
    Described("weir_upstream_active", "Requests under way at an endpoint");
/// By `upstream`.
pub const UPSTREAM_PENDING: Described = Described(
    "weir_upstream_pending",
    "Requests that wait at `max_connections`",
);
/// By `upstream`.
pub const UPSTREAM_RETRIES: Described = Described(
    "weir_upstream_retries",
    "Requests sent again to another endpoint",
);
/// With `version`.
pub const BUILD: Described = Described("weir_build", "The running build");
