//! The validated configuration: what the rest of the proxy may rely on without checking again.
//!
//! Not here: how YAML spells it (`raw`) and how it is checked (`validate`). Values are in range, references are
//! resolved to indices, paths are absolute or relative to the working directory, and routes are distinct.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::PathBuf;
use std::time::Duration;

use ipnet::IpNet;
use serde::Serialize;
use weir_features::Location;

use super::Sockets;
use super::inspect::Inspect;
use super::tls_types::ListenerTls;
use super::upstream_types::Upstream;
use crate::detect::{BatchOptions, Budget, ExecutionProvider, SecretKeys};
use crate::units::{Bytes, RouteId};

/// The whole configuration.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where clients connect. At least one.
    pub listeners: Vec<Listener>,
    /// The admin listener.
    pub admin: Admin,
    /// How the sockets of all of them are made.
    pub sockets: Sockets,
    /// Worker threads, and ONNX Runtime sessions.
    pub workers: usize,
    /// The bundle and how it runs.
    pub model: Model,
    /// Origins that routes point to.
    pub upstreams: Vec<Upstream>,
    /// Routes as configured; `runtime::Routes` orders them for the lookup.
    pub routes: Vec<Route>,
    /// Bounds on what clients may make the proxy hold.
    pub limits: Limits,
    /// Bounds on waiting.
    pub timeouts: Timeouts,
    /// Peers whose forwarding headers are believed.
    pub trusted_proxies: Vec<IpNet>,
    /// The header in which they name their clients.
    pub trusted_header: TrustedHeader,
    /// Recording of passed traffic for training, when wanted.
    pub capture: Option<Capture>,
    /// Decision records.
    pub audit: Audit,
    /// Names whose values never leave the process in clear.
    pub redact: SecretKeys,
    /// Logs of the process itself.
    pub log: Log,
}

/// Where trusted proxies name their clients. Only one is believed: a proxy that writes the one passes on what a client
/// has put into the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TrustedHeader {
    /// `X-Forwarded-For`
    XForwardedFor,
    /// `Forwarded` (RFC 7239)
    Forwarded,
}

impl TrustedHeader {
    /// As in a header map.
    pub const fn name(self) -> &'static str {
        match self {
            Self::XForwardedFor => "x-forwarded-for",
            Self::Forwarded => "forwarded",
        }
    }
}

/// One address that accepts client connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Address and port; port 0 picks a free one (tests).
    pub address: SocketAddr,
    /// TLS, or cleartext.
    pub tls: Option<ListenerTls>,
    /// Whether HTTP/2 is offered (ALPN with TLS, prior knowledge without).
    pub http2: bool,
    /// Peers that must begin every connection with a PROXY protocol header; it says who the client is.
    pub proxy_protocol: Vec<IpNet>,
}

/// The admin listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Admin {
    /// Address and port.
    pub address: SocketAddr,
    /// Bearer token; always there when `address` is not loopback.
    pub token: Option<Token>,
    /// Host names, beside loopback names and addresses, that requests may name in `Host`.
    pub hosts: Vec<String>,
}

/// A bearer token. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct Token(String);

impl Token {
    /// Wraps a token that the configuration has checked for length.
    pub(crate) fn new(secret: String) -> Self {
        Self(secret)
    }

    /// The bytes to compare in constant time.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(..)")
    }
}

/// The model and how it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Model {
    /// The bundle's directory. `None` only with `required: false`.
    pub bundle: Option<PathBuf>,
    /// Whether `run` refuses to start without a usable bundle. When false, each route's fail mode serves.
    pub required: bool,
    /// Where the networks run.
    pub provider: ExecutionProvider,
    /// Rows of several requests are scored in one run; `None`: each request by itself.
    pub batch: Option<BatchOptions>,
    /// Memory for the scores of fields that were seen before.
    pub score_cache: Bytes,
    /// ONNX Runtime's shared library, file or folder.
    pub onnxruntime: Option<PathBuf>,
    /// Whether a changed manifest or configuration file reloads by itself.
    pub watch: bool,
}

/// One route: what it matches, where it leads and how it is inspected.
#[derive(Debug, Clone, PartialEq)]
pub struct Route {
    /// Unique name.
    pub id: RouteId,
    /// Hosts it matches.
    pub host: HostPattern,
    /// Path prefix, by whole segments: `/shop` matches `/shop` and `/shop/cart`, not `/shopping`.
    pub path: String,
    /// Index into `Config::upstreams`.
    pub upstream: usize,
    /// What a verdict does.
    pub mode: Mode,
    /// What a failed inspection does.
    pub fail: FailMode,
    /// False-positive budgets as configured; see `runtime::Route::budgets` for those in force.
    pub budgets: RouteBudgets,
    /// Limits of the inspection.
    pub inspect: Inspect,
    /// Requests per client.
    pub rate_limit: Option<RateLimit>,
    /// Fields that are not scored.
    pub exceptions: Vec<Exception>,
}

/// The hosts of a route. Lower case, without port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum HostPattern {
    /// `example.org`
    Exact(String),
    /// `*.example.org`: any host below it; holds `.example.org`.
    Suffix(String),
    /// `*`
    Any,
}

impl fmt::Display for HostPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(host) => f.write_str(host),
            Self::Suffix(suffix) => write!(f, "*{suffix}"),
            Self::Any => f.write_str("*"),
        }
    }
}

/// Budgets as configured. What is `None` comes from the bundle, else from the defaults.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct RouteBudgets {
    /// Requests from here on are flagged.
    pub flag: Option<Budget>,
    /// Requests from here on are blocked.
    pub block: Option<Budget>,
}

/// What a verdict does on a route.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Requests are forwarded without inspection.
    Off,
    /// Decides and records, lets everything pass.
    Shadow,
    /// Blocks what the budget says.
    Enforce,
}

impl Mode {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Shadow => "shadow",
            Self::Enforce => "enforce",
        }
    }
}

/// What happens to a request that could not be inspected.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum FailMode {
    /// It is forwarded: availability first.
    Open,
    /// It is answered with 503 (in `enforce`): protection first.
    Closed,
}

impl FailMode {
    /// As in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
        }
    }
}

/// A rate limit for each client on one route.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimit {
    /// Requests allowed ...
    pub requests: NonZeroU32,
    /// ... in this time, spread evenly,
    pub per: Duration,
    /// after a burst of this many.
    pub burst: NonZeroU32,
}

/// Fields that are not scored: all that match every given part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exception {
    /// Path prefix by whole segments, or a pattern with `*`. `None`: every path of the route.
    pub path: Option<String>,
    /// One location. `None`: all.
    pub location: Option<Location>,
    /// Key, or a pattern with `*`, case-insensitive. `None`: all.
    pub key: Option<String>,
}

/// Bounds on what clients may make the proxy hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Client connections at once, all listeners together.
    pub connections: usize,
    /// Requests in flight, tunnels included: 503 beyond.
    pub requests: usize,
    /// Of these, connections of one client (of one /64 for IPv6); trusted proxies are exempt.
    pub connections_per_client: usize,
    /// Requests on one connection; it is closed behind the last.
    pub requests_per_connection: usize,
    /// Bytes of a request target: 414 beyond.
    pub target_bytes: Bytes,
    /// Bytes of request line and headers: 431 beyond.
    pub header_bytes: Bytes,
    /// Header fields: 431 beyond.
    pub headers: usize,
    /// Concurrent HTTP/2 streams on one connection.
    pub http2_streams: u32,
    /// Body bytes held for inspection by all requests together; beyond it `enforce` waits and then answers 503, and
    /// `shadow` inspects the prefix that it holds.
    pub inspect_memory: Bytes,
    /// TLS handshakes under way, all listeners together; one more ends the oldest.
    pub handshakes: usize,
    /// Clients with sliding windows, and clients per rate limit.
    pub clients: usize,
}

/// Bounds on waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a request (or the connection) to its complete headers.
    pub header: Duration,
    /// Between two pieces of a request body.
    pub body: Duration,
    /// Keep-alive connection without a request.
    pub idle: Duration,
    /// Connection to an upstream, including the wait for a free one.
    pub connect: Duration,
    /// From the forwarded request to the upstream's response headers, and between two pieces of its body.
    pub response: Duration,
    /// An upgraded connection (WebSocket) on which nothing passes either way.
    pub upgrade: Duration,
    /// Requests in flight at shutdown.
    pub drain: Duration,
    /// Idle HTTP/1 connections at shutdown: a request may be under way on them.
    pub drain_idle: Duration,
}

/// Recording of passed traffic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capture {
    /// Directory of the rotated files.
    pub directory: PathBuf,
    /// Key of the tokens that replace secret values; made on first use, mode 0600.
    pub key_file: PathBuf,
    /// Size at which a file is closed and the next begun (compressed).
    pub file_size: Bytes,
    /// Size of all files; the oldest are deleted beyond it.
    pub total_size: Bytes,
    /// Body bytes kept of each request.
    pub body: Bytes,
}

/// Decision records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Where they go.
    pub output: AuditOutput,
    /// Which decisions are written.
    pub verdicts: AuditVerdicts,
}

/// Where decision records go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AuditOutput {
    /// Nowhere.
    Off,
    /// Standard output.
    Stdout,
    /// A file, appended to, opened again on reload.
    File(PathBuf),
}

/// Which decisions are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditVerdicts {
    /// Flag, block, and every request that was not inspected as configured or was refused.
    Notable,
    /// Every request.
    All,
}

/// Logs of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// A `tracing` filter such as `info` or `weir_waf=debug,warn`.
    pub level: String,
    /// How lines look.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}
