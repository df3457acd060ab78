//! Connections to origins: HTTP/1.1 keep-alive, bounded for each upstream, with one retry where it cannot repeat an
//! effect.
//!
//! Not here: which upstream a request goes to (its route says) and what is answered when it fails (`respond`).

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use dashmap::DashMap;
use http::{Method, Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout, timeout_at};

use super::body::BodyError;
use super::outgoing::{Progress, UpstreamBody};
use crate::config::{self, Timeouts};

/// Read and write buffer of one upstream connection, and so the largest response head.
const BUFFER: usize = 64 * 1024;

/// A connection that has just been given back may still be finishing. One that takes longer is stuck, as when an
/// origin answers early and does not read the rest: the request goes elsewhere.
const SETTLE: Duration = Duration::from_millis(50);

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
    pub fn pool(&self, upstream: &config::Upstream) -> Arc<Pool> {
        if let Some(pool) = self.pools.get(&upstream.name)
            && pool.upstream == *upstream
        {
            return Arc::clone(&pool);
        }
        let pool = Arc::new(Pool {
            upstream: upstream.clone(),
            permits: Arc::new(Semaphore::new(upstream.max_connections)),
            idle: Mutex::default(),
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
        pool.drop_expired();
    }
}

/// Connections to one upstream.
#[derive(Debug)]
pub struct Pool {
    upstream: config::Upstream,
    /// One for each request under way. As idle connections are always used first, it also bounds connections.
    permits: Arc<Semaphore>,
    idle: Mutex<VecDeque<Idle>>,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

#[derive(Debug)]
struct Connection {
    sender: SendRequest<UpstreamBody>,
    /// Drives the connection; ended with it, so that nothing keeps a socket that no request owns.
    task: JoinHandle<()>,
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A connection in use by one request. Dropped without [`Lease::release`], the connection closes.
#[derive(Debug)]
pub struct Lease {
    connection: Connection,
    pool: Arc<Pool>,
    reused: bool,
    progress: Arc<Progress>,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Gives the connection back for reuse: the response has been read to its end. Unless the request body was sent
    /// to its end too, the connection is out of step and closes.
    pub fn release(self) {
        if self.progress.is_done() && !self.connection.sender.is_closed() {
            let idle = Idle {
                connection: self.connection,
                since: Instant::now(),
            };
            self.pool.put(idle);
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
        loop {
            let mut lease = self.check_out(progress, timeouts.connect, fresh).await?;
            let sent = lease.connection.sender.try_send_request(request);
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
                    match again {
                        Some(again) if lease.reused => request = again,
                        _ => return Err(UpstreamError::Broken(error.into_error())),
                    }
                    fresh = Fresh::Required;
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
        let lease = |connection, reused| Lease {
            connection,
            pool: Arc::clone(self),
            reused,
            progress: Arc::clone(progress),
            _permit: permit,
        };
        if fresh == Fresh::Required {
            self.lock().clear();
        }
        while let Some(mut idle) = self.take() {
            // Usually ready at once; it may still be finishing the response before.
            if idle.sender.is_ready()
                || matches!(timeout(SETTLE, idle.sender.ready()).await, Ok(Ok(())))
            {
                return Ok(lease(idle, true));
            }
        }
        match timeout_at(deadline, self.connect()).await {
            Ok(Ok(connection)) => Ok(lease(connection, false)),
            Ok(Err(error)) => Err(UpstreamError::Connect(error)),
            Err(_) => Err(UpstreamError::ConnectTimeout),
        }
    }

    async fn connect(&self) -> io::Result<Connection> {
        let stream = TcpStream::connect((self.upstream.host.as_str(), self.upstream.port)).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Errors reach the request that is under way; between requests a closed connection is no news.
        let task = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Connection { sender, task })
    }

    /// The connection that was used last, if it is not stale.
    fn take(&self) -> Option<Connection> {
        let idle_timeout = self.upstream.idle_timeout;
        let mut idle = self.lock();
        while let Some(last) = idle.pop_back() {
            if last.since.elapsed() >= idle_timeout {
                // The others are older.
                idle.clear();
                return None;
            }
            if !last.connection.sender.is_closed() {
                return Some(last.connection);
            }
        }
        None
    }

    fn put(&self, connection: Idle) {
        let mut idle = self.lock();
        idle.push_back(connection);
        if idle.len() > self.upstream.max_idle {
            idle.pop_front();
        }
    }

    fn drop_expired(&self) {
        let idle_timeout = self.upstream.idle_timeout;
        self.lock().retain(|idle| {
            idle.since.elapsed() < idle_timeout && !idle.connection.sender.is_closed()
        });
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fresh {
    Allowed,
    Required,
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

type SendError = hyper::client::conn::TrySendError<Request<UpstreamBody>>;

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
