//! Request bodies: held up to a limit for inspection, then sent on; and the clock that ends a stalled body.
//!
//! Not here: judging a body. Bytes held by all requests together are bounded by [`HeldBudget`]; a body beyond its own
//! limit is never collected, its prefix is.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep_until, timeout, timeout_at};

use crate::config::Beyond;

/// Grain of the budget: finer would not fit the semaphore's counter, coarser would waste on small bodies.
const GRAIN: usize = 1024;
/// A body of unknown length reserves this much at a time.
const STEP: usize = 16 * 1024;
/// A held body must be complete within this many times the timeout between two pieces, so that one byte a minute
/// does not hold memory for ever.
const PATIENCE: u32 = 10;

/// Why a request body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum BodyError {
    /// The client stopped sending.
    #[error("the request body did not arrive in time")]
    Timeout = 1,
    /// The client went away or broke the framing.
    #[error("the request body broke off or is malformed")]
    Broken = 2,
    /// The policy is `reject` and the body is longer than `inspect.body`.
    #[error("the request body is longer than this server inspects")]
    TooLarge = 3,
    /// No memory for held bodies became free in time.
    #[error("too many request bodies are waiting for inspection")]
    Busy = 4,
}

/// The bytes that all requests together may hold for inspection.
#[derive(Debug, Clone)]
pub struct HeldBudget {
    grains: Arc<Semaphore>,
    total: u32,
}

/// A share of [`HeldBudget`], given back when dropped.
#[derive(Debug, Default)]
struct Share(Option<OwnedSemaphorePermit>);

/// Held bytes with their share: it is given back when the last reference to them goes, wherever that is (the
/// inspection, the upstream's write queue).
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Share {
    fn attach(self, bytes: Bytes) -> Bytes {
        if self.0.is_none() {
            return bytes;
        }
        Bytes::from_owner(Counted { bytes, _share: self })
    }
}

impl HeldBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let total = u32::try_from((bytes / GRAIN).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self { grains: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits for room for `bytes` more. One body never asks for more than all there is.
    async fn grow(&self, share: &mut Share, bytes: usize, deadline: Instant) -> Result<(), BodyError> {
        let held = share.0.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let left = self.total.saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        let grains = u32::try_from(bytes.div_ceil(GRAIN)).unwrap_or(u32::MAX).min(left);
        if grains == 0 {
            return Ok(());
        }
        let more = timeout_at(deadline, Arc::clone(&self.grains).acquire_many_owned(grains));
        // The semaphore is never closed, so an error can only be the deadline.
        let Ok(Ok(more)) = more.await else {
            return Err(BodyError::Busy);
        };
        match &mut share.0 {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// How bodies of a route are held.
#[derive(Debug, Clone, Copy)]
pub struct HoldPolicy {
    /// Bytes held at most.
    pub limit: usize,
    /// What a longer body meets.
    pub beyond: Beyond,
    /// Longest time between two pieces.
    pub idle: Duration,
}

/// A request body as far as it is inspected, and where its rest comes from.
#[derive(Debug)]
pub struct Held {
    /// The whole body, or its first `limit` bytes.
    pub bytes: Bytes,
    /// The piece that crossed the limit, and the stream behind it; `None` when `bytes` is everything.
    rest: Option<(Bytes, Incoming)>,
    /// The length that the client declared.
    declared: Option<u64>,
}

impl Held {
    /// Whether there is more than `bytes`.
    pub fn truncated(&self) -> bool {
        self.rest.is_some()
    }

    /// Takes a body unread, to be streamed as it comes.
    pub fn unread(incoming: Incoming) -> Self {
        let declared = incoming.size_hint().exact();
        let rest = (!incoming.is_end_stream()).then(|| (Bytes::new(), incoming));
        Self { bytes: Bytes::new(), rest, declared }
    }

    /// Reads a body up to the limit of `policy`.
    pub async fn read(mut incoming: Incoming, policy: HoldPolicy, budget: &HeldBudget) -> Result<Self, BodyError> {
        if incoming.is_end_stream() {
            return Ok(Self::unread(incoming));
        }
        let declared = incoming.size_hint().exact();
        let too_long = |length: u64| policy.beyond == Beyond::Reject && length > policy.limit as u64;
        if declared.is_some_and(too_long) {
            return Err(BodyError::TooLarge);
        }
        let mut share = Share::default();
        let deadline = Instant::now() + policy.idle.saturating_mul(PATIENCE);
        // A declared length is reserved at once: bodies that all wait for their second half would wait for ever.
        let expected = declared.map(|length| policy.limit.min(usize::try_from(length).unwrap_or(usize::MAX)));
        if let Some(expected) = expected {
            budget.grow(&mut share, expected, Instant::now() + policy.idle).await?;
        }
        let mut held = Collected::default();
        let mut reserved = expected.unwrap_or(0);
        while let Some(piece) = next_piece(&mut incoming, policy.idle, deadline).await? {
            let room = policy.limit - held.len();
            if piece.len() > room {
                if policy.beyond == Beyond::Reject {
                    return Err(BodyError::TooLarge);
                }
                let mut piece = piece;
                let rest = piece.split_off(room);
                held.push(piece, expected.unwrap_or(0));
                let bytes = share.attach(held.finish());
                return Ok(Self { bytes, rest: Some((rest, incoming)), declared });
            }
            if held.len() + piece.len() > reserved {
                let more = piece.len().max(STEP).min(policy.limit - reserved);
                budget.grow(&mut share, more, Instant::now() + policy.idle).await?;
                reserved += more;
            }
            held.push(piece, expected.unwrap_or(0));
        }
        Ok(Self { bytes: share.attach(held.finish()), rest: None, declared })
    }

    /// The body for the upstream, and a view of how far it has been sent.
    pub fn into_upstream(self, idle: Duration) -> (UpstreamBody, Arc<Progress>) {
        let progress = Arc::new(Progress::default());
        let length = if self.rest.is_some() {
            self.declared
        } else {
            Some(self.bytes.len() as u64)
        };
        let (second, rest) = match self.rest {
            Some((piece, incoming)) => (piece, Some(incoming)),
            None => (Bytes::new(), None),
        };
        let body = UpstreamBody {
            first: self.bytes,
            second,
            rest,
            left: length,
            stall: Stall::new(idle),
            progress: Arc::clone(&progress),
        };
        if body.is_end_stream() {
            progress.done.store(true, Ordering::Release);
        }
        (body, progress)
    }
}

/// Collects pieces; one piece alone is kept without a copy.
#[derive(Default)]
struct Collected {
    single: Bytes,
    many: BytesMut,
}

impl Collected {
    fn len(&self) -> usize {
        self.single.len() + self.many.len()
    }

    fn push(&mut self, piece: Bytes, expected: usize) {
        if self.len() == 0 {
            self.single = piece;
            return;
        }
        if self.many.is_empty() {
            // Grown on demand, not to the declared length: declaring costs a client nothing.
            let start = (2 * (self.single.len() + piece.len())).min(expected.max(self.single.len() + piece.len()));
            self.many.reserve(start);
            self.many.extend_from_slice(&std::mem::take(&mut self.single));
        }
        self.many.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.many.is_empty() { self.single } else { self.many.freeze() }
    }
}

/// The next data; trailers are dropped, for nobody would inspect them.
async fn next_piece(incoming: &mut Incoming, idle: Duration, deadline: Instant) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = timeout_at(deadline, timeout(idle, incoming.frame()));
        match frame.await {
            Err(_) | Ok(Err(_)) => return Err(BodyError::Timeout),
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(Err(_)))) => return Err(BodyError::Broken),
            Ok(Ok(Some(Ok(frame)))) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
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
        match self.failure.load(Ordering::Acquire) {
            1 => Some(BodyError::Timeout),
            2 => Some(BodyError::Broken),
            _ => None,
        }
    }
}

/// A request body on its way to the upstream: what was held, then the rest as it comes.
#[derive(Debug)]
pub struct UpstreamBody {
    first: Bytes,
    second: Bytes,
    rest: Option<Incoming>,
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
            left: Some(0),
            stall: Stall::new(Duration::ZERO),
            progress: Arc::default(),
        }
    }

    fn yielded(&mut self, data: Bytes) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let length = data.len() as u64;
        self.left = self.left.map(|left| left.saturating_sub(length));
        self.progress.bytes.fetch_add(length, Ordering::AcqRel);
        if self.is_end_stream() {
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
            let Some(rest) = &mut this.rest else {
                this.progress.done.store(true, Ordering::Release);
                return Poll::Ready(None);
            };
            match Pin::new(rest).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    this.stall.progress();
                    if let Ok(data) = frame.into_data() {
                        return this.yielded(data);
                    }
                }
                Poll::Ready(Some(Err(_))) => return this.failed(BodyError::Broken),
                Poll::Ready(None) => this.rest = None,
                Poll::Pending => {
                    ready!(this.stall.poll(cx));
                    return this.failed(BodyError::Timeout);
                }
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.first.is_empty()
            && self.second.is_empty()
            && self.rest.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
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
        Self { limit, timer: None, waiting: false }
    }

    pub(crate) fn progress(&mut self) {
        self.waiting = false;
    }

    /// Ready when the stream has waited for too long.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let limit = self.limit;
        let timer = self.timer.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + limit)));
        if !self.waiting {
            self.waiting = true;
            timer.as_mut().reset(Instant::now() + limit);
        }
        timer.as_mut().poll(cx)
    }
}
