//! The validated configuration of upstreams.
//!
//! Not here: how it is spelled (`upstreams`).

use std::fmt;
use std::time::Duration;

use serde::Serialize;

use super::tls_types::UpstreamTls;

/// An application: one or more origins that serve the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream {
    /// Its name in routes and metrics.
    pub name: String,
    /// Where it is. At least one, all different.
    pub endpoints: Vec<Address>,
    /// TLS, or cleartext.
    pub tls: Option<UpstreamTls>,
    /// How requests are spread over them.
    pub balance: Balance,
    /// What is spoken there.
    pub protocol: Protocol,
    /// Requests at once; those beyond wait until `connect_timeout`, then 503.
    pub max_connections: usize,
    /// Requests that wait; 503 at once beyond.
    pub max_pending: usize,
    /// Idle connections kept to each endpoint.
    pub max_idle: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// In place of `timeouts.connect`.
    pub connect_timeout: Option<Duration>,
    /// In place of `timeouts.response`.
    pub response_timeout: Option<Duration>,
    /// How often names are looked up again.
    pub resolve: Duration,
    /// How endpoints are checked, when they are.
    pub health: Option<HealthCheck>,
    /// When an endpoint is left alone because requests failed there.
    pub ejection: Ejection,
    /// What is sent again.
    pub retries: Retries,
}

/// Where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// Host name or address.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How requests are spread over endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Balance {
    /// In turn.
    RoundRobin,
    /// To the one of two drawn at random that has fewer requests under way.
    LeastRequest,
}

/// The version of HTTP that an upstream is spoken to in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// HTTP/1.1.
    Http1,
    /// HTTP/2: in cleartext by prior knowledge.
    Http2,
    /// What the upstream chooses, with TLS.
    Auto,
}

/// How endpoints are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HealthCheck {
    /// What is asked.
    pub probe: Probe,
    /// Between two checks of an endpoint.
    pub interval: Duration,
    /// How long a check may take.
    pub timeout: Duration,
    /// Checks in a row that must succeed to bring an endpoint back.
    pub healthy: u32,
    /// Checks in a row that must fail to take it away.
    pub unhealthy: u32,
}

/// What a check asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// Whether a connection can be made.
    Tcp,
    /// Whether a GET is answered with 2xx or 3xx.
    Http {
        /// The target.
        path: String,
        /// `Host`; `None`: the endpoint's address.
        host: Option<String>,
    },
}

/// When an endpoint is left alone because requests failed there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ejection {
    /// Failed requests in a row; 0: never.
    pub failures: u32,
    /// How long the first time; twice as long each time after.
    pub time: Duration,
    /// How long at most.
    pub longest: Duration,
}

/// What is sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Retries {
    /// Other endpoints that one request tries.
    pub attempts: u32,
    /// Retries in a hundred requests, beyond a reserve of ten.
    pub budget: u32,
}
