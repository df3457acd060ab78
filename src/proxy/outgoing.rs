//! A request body on its way to the upstream, how far it has come, and the clock that ends a stalled stream.
//!
//! Not here: reading and holding what is inspected (`body`).

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::Stream;
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::body::BodyError;
use super::body::passing::Transfer;
use super::headers;
use super::receive::Received;

/// The body for the upstream, and a view of how far it has been sent.
pub(super) fn into_upstream(body: Received, idle: Duration) -> (UpstreamBody, Arc<Progress>) {
    let progress = Arc::new(Progress::default());
    let Received { held, rest } = body;
    let beginning = held.bytes.len() as u64;
    let length = if held.truncated() {
        held.declared
    } else {
        // Trailers follow only what is framed without a length.
        held.trailers.is_none().then_some(beginning)
    };
    let left = length.map(|length| length.saturating_sub(beginning));
    let (second, rest) = match (held.rest, rest) {
        (Some(behind), Some((inspector, sieve))) => {
            let transfer = Transfer::new(behind, left, sieve, inspector, idle);
            let frames = Box::pin(transfer.into_frames());
            (Bytes::new(), Some(Rest::Inspected(frames)))
        }
        (Some((piece, incoming)), None) => (piece, Some(Rest::Unread(incoming))),
        (None, _) => (Bytes::new(), None),
    };
    let body = UpstreamBody {
        first: held.bytes,
        second,
        rest,
        trailers: held.trailers,
        left: length,
        stall: Stall::new(idle),
        progress: Arc::clone(&progress),
    };
    if body.is_end_stream() {
        progress.done.store(true, Ordering::Release);
    }
    (body, progress)
}

/// How far a request body has been handed to the upstream connection.
#[derive(Debug, Default)]
pub struct Progress {
    bytes: AtomicU64,
    done: AtomicBool,
    failure: AtomicU8,
}

impl Progress {
    /// Bytes so far.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Acquire)
    }

    /// Whether all of it has been handed over.
    pub fn is_done(&self) -> bool {
        self.done.load(Ordering::Acquire)
    }

    /// Why the client's side ended it.
    pub fn failure(&self) -> Option<BodyError> {
        BodyError::numbered(self.failure.load(Ordering::Acquire))
    }
}

/// What comes behind the held beginning.
enum Rest {
    /// Straight from the client.
    Unread(Incoming),
    /// Inspected as it passes; has a clock of its own, which stands while windows are scored.
    Inspected(Pin<Box<dyn Stream<Item = Result<Frame<Bytes>, BodyError>> + Send>>),
}

impl std::fmt::Debug for Rest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Unread(_) => "Unread",
            Self::Inspected(_) => "Inspected",
        })
    }
}

/// A request body on its way to the upstream: what was held, then the rest as it comes.
#[derive(Debug)]
pub struct UpstreamBody {
    first: Bytes,
    second: Bytes,
    rest: Option<Rest>,
    trailers: Option<HeaderMap>,
    left: Option<u64>,
    stall: Stall,
    progress: Arc<Progress>,
}

impl UpstreamBody {
    /// No body.
    pub fn empty() -> Self {
        Self {
            first: Bytes::new(),
            second: Bytes::new(),
            rest: None,
            trailers: None,
            left: Some(0),
            stall: Stall::new(Duration::ZERO),
            progress: Arc::default(),
        }
    }

    fn yielded(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let length = data.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(length));
        self.progress.bytes.fetch_add(length, Ordering::AcqRel);
        if self.left == Some(0) || self.is_end_stream() {
            self.progress.done.store(true, Ordering::Release);
        }
        Poll::Ready(Some(Ok(Frame::data(data))))
    }

    fn failed(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        self.rest = None;
        self.progress.failure.store(error as u8, Ordering::Release);
        Poll::Ready(Some(Err(error)))
    }
}

impl Body for UpstreamBody {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if !this.first.is_empty() {
            let data = std::mem::take(&mut this.first);
            return this.yielded(data);
        }
        if !this.second.is_empty() {
            let data = std::mem::take(&mut this.second);
            return this.yielded(data);
        }
        loop {
            let frame = match &mut this.rest {
                None => {
                    this.progress.done.store(true, Ordering::Release);
                    let trailers = this.trailers.take().map(Frame::trailers);
                    return Poll::Ready(trailers.map(Ok));
                }
                Some(Rest::Inspected(frames)) => ready!(frames.as_mut().poll_next(cx)),
                Some(Rest::Unread(incoming)) => match Pin::new(incoming).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        this.stall.progress();
                        frame.map(|frame| frame.map_err(|_| BodyError::Broken))
                    }
                    Poll::Pending => {
                        ready!(this.stall.poll(cx));
                        Some(Err(BodyError::Timeout))
                    }
                },
            };
            match frame {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => return this.yielded(data),
                    Err(frame) => {
                        if let Ok(mut trailers) = frame.into_trailers() {
                            headers::sanitize_trailers(&mut trailers);
                            this.rest = None;
                            this.progress.done.store(true, Ordering::Release);
                            return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                        }
                    }
                },
                Some(Err(error)) => return this.failed(error),
                None => this.rest = None,
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self.second.is_empty()
            && match &self.rest {
                None => self.trailers.is_none(),
                Some(Rest::Unread(incoming)) => incoming.is_end_stream(),
                Some(Rest::Inspected(_)) => false,
            }
    }

    fn size_hint(&self) -> SizeHint {
        self.left
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

/// Ends a stream that makes no progress. Costs nothing until the stream first has to wait.
#[derive(Debug)]
pub(crate) struct Stall {
    limit: Duration,
    timer: Option<Pin<Box<Sleep>>>,
    waiting: bool,
}

impl Stall {
    pub(crate) fn new(limit: Duration) -> Self {
        Self {
            limit,
            timer: None,
            waiting: false,
        }
    }

    pub(crate) fn progress(&mut self) {
        self.waiting = false;
    }

    /// Ready when the stream has waited for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self
            .timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}
