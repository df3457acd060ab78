//! One connection to an endpoint: HTTP/1.1 with one request at a time, or HTTP/2 with many.
//!
//! Not here: which connection a request uses (`endpoint`) and how often it is tried.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::task::JoinHandle;

use crate::proxy::outgoing::UpstreamBody;

/// Read and write buffer of one HTTP/1.1 connection, and so the largest response head.
const BUFFER: usize = 64 * 1024;
/// The same bound for HTTP/2, where names and values count 32 bytes each beside their length.
const HEAD: u32 = 64 * 1024;
/// Requests at once on one HTTP/2 connection; one more opens another connection.
const STREAMS: usize = 100;
/// Response bytes of one HTTP/2 stream that may wait for a slow client.
const STREAM_WINDOW: u32 = 128 * 1024;
/// Room for all streams of a connection, so that clients who do not read never stop those who do.
const CONNECTION_WINDOW: u32 = STREAM_WINDOW * STREAMS as u32;
/// A silent HTTP/2 connection with requests on it is asked whether it still lives, ...
const PING_AFTER: Duration = Duration::from_secs(20);
/// ... and closed unless it answers.
const PING_PATIENCE: Duration = Duration::from_secs(10);

pub(super) type SendError = TrySendError<Request<UpstreamBody>>;

/// An HTTP/1.1 connection.
#[derive(Debug)]
pub(super) struct One {
    sender: http1::SendRequest<UpstreamBody>,
    /// Drives the connection; ended with it, so that nothing keeps a socket that no request owns.
    task: JoinHandle<()>,
}

impl Drop for One {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl One {
    /// Speaks HTTP/1.1 over a fresh stream.
    pub(super) async fn open<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(BUFFER)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        // Errors reach the request that is under way; between requests a closed connection is no news.
        let task = tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Ok(Self { sender, task })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether the next request can go out, after at most `patience`. Usually at once; it may still be finishing the
    /// response before.
    pub(super) async fn settles(&mut self, patience: Duration) -> bool {
        self.sender.is_ready()
            || matches!(
                tokio::time::timeout(patience, self.sender.ready()).await,
                Ok(Ok(()))
            )
    }

    pub(super) fn send(
        &mut self,
        request: Request<UpstreamBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> {
        self.sender.try_send_request(request)
    }
}

/// An HTTP/2 connection.
#[derive(Debug)]
pub(super) struct Two {
    sender: http2::SendRequest<UpstreamBody>,
    /// Requests under way, each until its response has ended.
    streams: AtomicUsize,
    /// Since the last sweep.
    used: AtomicBool,
    retired: AtomicBool,
    /// What the endpoint allows at once.
    allowed: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Drop for Two {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Two {
    /// Speaks HTTP/2 over a fresh stream, without asking first.
    pub(super) async fn open<S>(stream: S) -> io::Result<Self>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let (sender, mut connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW)
            .initial_connection_window_size(CONNECTION_WINDOW)
            .max_header_list_size(HEAD)
            .keep_alive_interval(PING_AFTER)
            .keep_alive_timeout(PING_PATIENCE)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(io::Error::other)?;
        let allowed = Arc::new(AtomicUsize::new(STREAMS));
        let learned = Arc::clone(&allowed);
        let task = tokio::spawn(std::future::poll_fn(move |cx| {
            let ended = pin!(&mut connection).poll(cx).is_ready();
            // At least one, or an endpoint that allows none for a moment would be dialled without end.
            let now = connection.current_max_send_streams().clamp(1, STREAMS);
            learned.store(now, Ordering::Relaxed);
            if ended {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        }));
        Ok(Self {
            sender,
            streams: AtomicUsize::new(0),
            used: AtomicBool::new(true),
            retired: AtomicBool::new(false),
            allowed,
            task,
        })
    }

    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Whether nobody used it since this was last asked, or nobody can any more.
    pub(super) fn is_unused(&self) -> bool {
        let used = self.used.swap(false, Ordering::Relaxed);
        self.is_closed() || (!used && self.streams.load(Ordering::Acquire) == 0)
    }

    /// Room for one request, if there is any.
    pub(super) fn stream(self: &Arc<Self>) -> Option<Stream> {
        if self.is_closed() || self.retired.load(Ordering::Relaxed) {
            return None;
        }
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
        }
        let allowed = self.allowed.load(Ordering::Relaxed);
        let join = |streams| (streams < allowed).then_some(streams + 1);
        self.streams
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, join)
            .ok()
            .map(|_| Stream(Arc::clone(self)))
    }
}

/// Room for one request on an HTTP/2 connection, given back when dropped.
#[derive(Debug)]
pub(super) struct Stream(Arc<Two>);

impl Drop for Stream {
    fn drop(&mut self) {
        self.0.streams.fetch_sub(1, Ordering::AcqRel);
    }
}

impl Stream {
    /// The connection takes no further requests; those on it end as they will.
    pub(super) fn retire(&self) {
        self.0.retired.store(true, Ordering::Relaxed);
    }

    pub(super) fn send(
        &self,
        request: Request<UpstreamBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, SendError>> {
        self.0.sender.clone().try_send_request(request)
    }
}
