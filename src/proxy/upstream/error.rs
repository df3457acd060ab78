//! Why an upstream gave no response.
//!
//! Not here: what the client is told (`respond`).

use std::io;

use crate::proxy::body::BodyError;

/// Why an upstream gave no response. Every cause names its side.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// All places were taken until the deadline, or too many requests waited for one.
    #[error(
        "all {limit} connections are in use; raise `max_connections` of the upstream or add capacity"
    )]
    Busy {
        /// `max_connections`.
        limit: usize,
    },
    /// Every endpoint is down by its checks.
    #[error("every endpoint is down; `/-/status` lists them, the log says why their checks fail")]
    Down,
    /// No name of the upstream has an address.
    #[error("no address: {0}")]
    Unresolved(String),
    /// No connection could be made.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// No connection came about in time.
    #[error("no connection within the connect timeout")]
    ConnectTimeout,
    /// The connection broke before a response head came, or the head is no HTTP.
    #[error("no valid response: {0}")]
    Broken(#[source] hyper::Error),
    /// It switches protocols although nobody asked.
    #[error("it switched protocols without being asked")]
    UnwantedSwitch,
    /// No response head came in time.
    #[error("no response within the response timeout")]
    ResponseTimeout,
    /// The client's body broke off or stalled while it was forwarded.
    #[error(transparent)]
    Client(BodyError),
}
