//! Connections to origins: HTTP/1.1 keep-alive or shared HTTP/2, bounded for each upstream, with a retry where it
//! cannot repeat an effect.
//!
//! Not here: which upstream a request goes to (its route says) and what is answered when it fails (`respond`).

mod connection;
mod endpoint;
mod idle;
pub(super) mod wire;

use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;

use dashmap::DashMap;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use self::connection::SendError;
use self::endpoint::{Endpoint, Fresh, Taken};
use super::body::BodyError;
use super::outgoing::{Progress, UpstreamBody};
use crate::config::{self, Timeouts};
use crate::tls::client::Connector;

/// A request that every connection loses at the same moment is not sent for ever.
const ATTEMPTS: u32 = 3;

/// Why an upstream gave no response. Every cause names its side.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// All connections were in use until the deadline.
    #[error(
        "all {limit} connections are in use; raise `max_connections` of the upstream or add capacity"
    )]
    Busy {
        /// `max_connections`.
        limit: usize,
    },
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

/// The pools of all upstreams. Outlives snapshots: a reload keeps connections to upstreams that did not change.
#[derive(Debug, Default)]
pub struct Upstreams {
    pools: DashMap<String, Arc<Pool>>,
}

impl Upstreams {
    /// The pool of an upstream, made anew when its configuration has changed.
    pub fn pool(&self, upstream: &config::Upstream, tls: Option<&Connector>) -> Arc<Pool> {
        if let Some(pool) = self.pools.get(&upstream.name)
            && pool.upstream == *upstream
            && pool.endpoint.trusts_as(tls)
        {
            return Arc::clone(&pool);
        }
        let pool = Arc::new(Pool {
            upstream: upstream.clone(),
            permits: Arc::new(Semaphore::new(upstream.max_connections)),
            endpoint: Endpoint::new(upstream, tls.cloned()),
        });
        tokio::spawn(sweep(Arc::downgrade(&pool), upstream.idle_timeout));
        self.pools.insert(upstream.name.clone(), Arc::clone(&pool));
        pool
    }
}

/// Closes idle connections of a pool that nobody uses any more.
async fn sweep(pool: Weak<Pool>, every: Duration) {
    loop {
        tokio::time::sleep(every.max(Duration::from_secs(1))).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.endpoint.sweep();
    }
}

/// Connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    upstream: config::Upstream,
    /// One for each request under way. As idle connections are always used first, it also bounds connections.
    permits: Arc<Semaphore>,
    endpoint: Endpoint,
}

/// A connection in use by one request. Dropped without [`Lease::release`], an HTTP/1.1 connection closes and an HTTP/2
/// stream is reset.
#[derive(Debug)]
pub struct Lease {
    taken: Taken,
    pool: Arc<Pool>,
    progress: Arc<Progress>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Gives the connection back for reuse: the response has been read to its end. Unless the request body was sent
    /// to its end too, the connection is out of step and closes.
    pub fn release(self) {
        if self.progress.is_done() {
            self.pool.endpoint.give_back(self.taken.connection);
        }
    }
}

impl Pool {
    /// Sends a request and waits for the head of its response.
    pub async fn send(
        self: &Arc<Self>,
        mut request: Request<UpstreamBody>,
        progress: &Arc<Progress>,
        timeouts: &Timeouts,
    ) -> Result<(Response<Incoming>, Lease), UpstreamError> {
        let mut spare = Spare::of(&request);
        let mut fresh = Fresh::Allowed;
        let mut attempt = 1;
        loop {
            let mut lease = self.check_out(progress, timeouts.connect, fresh).await?;
            let sent = self.endpoint.send(&mut lease.taken.connection, request);
            match wait(sent, progress, timeouts.response).await {
                Waited::Response(response) => return Ok((response, lease)),
                Waited::TimedOut => return Err(UpstreamError::ResponseTimeout),
                Waited::Failed(mut error) => {
                    if let Some(failure) = progress.failure() {
                        return Err(UpstreamError::Client(failure));
                    }
                    // The origin may close an idle connection just when a request goes out. Once more on a new
                    // connection is safe if the request was never written, or can be repeated without effect.
                    let again = error
                        .take_message()
                        .or_else(|| spare.take().map(Spare::request));
                    lease.taken.connection.retire();
                    match again {
                        Some(again) if lease.taken.reused && attempt < ATTEMPTS => request = again,
                        _ => return Err(UpstreamError::Broken(error.into_error())),
                    }
                    fresh = Fresh::Required;
                    attempt += 1;
                }
            }
        }
    }

    async fn check_out(
        self: &Arc<Self>,
        progress: &Arc<Progress>,
        patience: Duration,
        fresh: Fresh,
    ) -> Result<Lease, UpstreamError> {
        let deadline = Instant::now() + patience;
        let permit = match Arc::clone(&self.permits).try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => match timeout_at(deadline, Arc::clone(&self.permits).acquire_owned()).await {
                Ok(Ok(permit)) => permit,
                _ => {
                    return Err(UpstreamError::Busy {
                        limit: self.upstream.max_connections,
                    });
                }
            },
        };
        Ok(Lease {
            taken: self.endpoint.connection(deadline, fresh).await?,
            pool: Arc::clone(self),
            progress: Arc::clone(progress),
            _permit: permit,
        })
    }
}

/// A request that may be sent twice: its method is idempotent and it has no body.
struct Spare(http::request::Parts);

impl Spare {
    fn of(request: &Request<UpstreamBody>) -> Option<Self> {
        let safe = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        (safe && request.body().is_end_stream()).then(|| {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.method = request.method().clone();
            parts.uri = request.uri().clone();
            parts.version = request.version();
            parts.headers = request.headers().clone();
            Self(parts)
        })
    }

    fn request(self) -> Request<UpstreamBody> {
        Request::from_parts(self.0, UpstreamBody::empty())
    }
}

enum Waited {
    Response(Response<Incoming>),
    Failed(Box<SendError>),
    TimedOut,
}

/// Waits for the response head; the clock starts again as long as the request body makes progress.
async fn wait(
    sent: impl Future<Output = Result<Response<Incoming>, SendError>>,
    progress: &Progress,
    patience: Duration,
) -> Waited {
    let mut sent = std::pin::pin!(sent);
    loop {
        let before = (progress.bytes(), progress.is_done());
        match timeout(patience, sent.as_mut()).await {
            Ok(Ok(response)) => return Waited::Response(response),
            Ok(Err(error)) => return Waited::Failed(Box::new(error)),
            Err(_) if before != (progress.bytes(), progress.is_done()) => {}
            Err(_) => return Waited::TimedOut,
        }
    }
}
