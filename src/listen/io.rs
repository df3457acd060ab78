//! The client's byte stream with its deadlines: idle and header timeouts, stalled writes, a lingering close; and the
//! place where `framing` sees the raw bytes.
//!
//! Not here: deadlines of bodies, which depend on the route (the proxy keeps them).

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::Place;
use super::framing::{Framing, Phase, Violation};

/// How long a close waits for the client to finish sending, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How much a lingering close reads and drops.
const LINGER_BYTES: usize = 4 << 20;

/// Bytes of a body taken at once. hyper reads as much as the largest head may have, and more each time a read fills
/// its buffer: with many uploads at once that is most of the memory.
const BODY_READ: usize = 16 * 1024 - 1;

/// What the byte stream and the requests on it tell each other.
#[derive(Debug, Default)]
pub struct ConnectionState {
    /// Ordinal of the offending request << 8 | violation code; 0 for none.
    violation: AtomicU64,
    in_flight: AtomicUsize,
    tunnel: AtomicBool,
    http2: AtomicBool,
    place: OnceLock<Place>,
}

impl ConnectionState {
    /// The framing violation of the `ordinal`th request, if it has one.
    pub fn violation(&self, ordinal: u64) -> Option<Violation> {
        let stored = self.violation.load(Ordering::Acquire);
        (stored != 0 && stored >> 8 == ordinal)
            .then(|| Violation::from_code((stored & 0xff) as u8))
            .flatten()
    }

    /// Keeps what the connection holds as long as anything of it lives, tunnels included.
    pub(super) fn occupy(&self, place: Place) {
        let _has_one = self.place.set(place);
    }

    /// Notes what a request shows: the protocol of the connection.
    pub(super) fn speaks(&self, version: http::Version) {
        if version == http::Version::HTTP_2 {
            self.http2.store(true, Ordering::Release);
        }
    }

    /// Whether requests have come by HTTP/2.
    pub(super) fn is_http2(&self) -> bool {
        self.http2.load(Ordering::Acquire)
    }

    /// From now on the connection carries another protocol.
    pub fn becomes_tunnel(&self) {
        self.tunnel.store(true, Ordering::Release);
    }

    /// Marks a request as being served until the guard is dropped: the idle timeout waits for it.
    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        InFlight(Arc::clone(self))
    }
}

/// A request being served on a connection.
#[derive(Debug)]
pub struct InFlight(Arc<ConnectionState>);

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

/// Deadlines of a client connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IoTimeouts {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
}

/// A client's stream under its deadlines.
#[derive(Debug)]
pub(crate) struct ClientIo<S> {
    inner: S,
    state: Arc<ConnectionState>,
    timeouts: IoTimeouts,
    framing: Framing,
    /// Whether any byte has come: before, the header deadline runs.
    begun: bool,
    head_since: Instant,
    active: Instant,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

impl<S> ClientIo<S> {
    pub(crate) fn new(inner: S, state: Arc<ConnectionState>, timeouts: IoTimeouts) -> Self {
        let now = Instant::now();
        Self {
            inner,
            state,
            timeouts,
            framing: Framing::new(),
            begun: false,
            head_since: now,
            active: now,
            read_timer: Box::pin(sleep_until(now + timeouts.header)),
            write_timer: None,
            linger: None,
        }
    }

    fn on_bytes(&mut self, bytes: &[u8]) {
        self.active = Instant::now();
        if self.state.tunnel.load(Ordering::Acquire) {
            self.framing.stop();
        }
        let before = self.framing.phase();
        if let Some((ordinal, violation)) = self.framing.feed(bytes) {
            self.state
                .violation
                .store(ordinal << 8 | violation as u64, Ordering::Release);
        }
        if self.begun && before != Phase::Head {
            self.head_since = self.active;
        }
        self.begun = true;
    }

    /// Fails when the deadline of the present phase has passed. Called when a read would wait.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let deadline = match self.framing.phase() {
                Phase::Head => self.head_since + self.timeouts.header,
                Phase::Idle if !self.begun => self.head_since + self.timeouts.header,
                Phase::Idle | Phase::Other => self.active + self.timeouts.idle,
            };
            let now = Instant::now();
            if deadline <= now {
                if self.framing.phase() == Phase::Head
                    || self.state.in_flight.load(Ordering::Acquire) == 0
                {
                    return Poll::Ready(io::Error::new(
                        io::ErrorKind::TimedOut,
                        "client connection timed out",
                    ));
                }
                self.active = now;
                continue;
            }
            // An earlier timer only wakes us to look again: resetting it on every request would cost more.
            if self.read_timer.deadline() > deadline || self.read_timer.is_elapsed() {
                self.read_timer.as_mut().reset(deadline);
            }
            ready!(self.read_timer.as_mut().poll(cx));
        }
    }

    /// Fails when the client has not taken a byte for too long. A flush with nothing to write is no activity: hyper
    /// flushes at every turn.
    fn wrote<T>(
        &mut self,
        cx: &mut Context<'_>,
        outcome: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if outcome.is_ready() {
            self.write_timer = None;
            return outcome;
        }
        let idle = self.timeouts.idle;
        let timer = self
            .write_timer
            .get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + idle)));
        ready!(timer.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client stopped reading",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buf.filled().len();
        let read = if this.framing.in_body() {
            let room = buf.remaining().min(BODY_READ);
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            let read = Pin::new(&mut this.inner).poll_read(cx, &mut part);
            let length = part.filled().len();
            buf.advance(length);
            read
        } else {
            Pin::new(&mut this.inner).poll_read(cx, buf)
        };
        match read {
            Poll::Ready(Ok(())) => {
                this.on_bytes(buf.filled().get(before..).unwrap_or_default());
                Poll::Ready(Ok(()))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => this.poll_deadline(cx).map(Err),
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        this.active = Instant::now();
        this.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        this.active = Instant::now();
        this.wrote(cx, outcome)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_flush(cx);
        this.wrote(cx, outcome)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.linger.is_none() {
            let outcome = Pin::new(&mut this.inner).poll_shutdown(cx);
            ready!(this.wrote(cx, outcome))?;
            if !this.framing.inside_message() || this.state.tunnel.load(Ordering::Acquire) {
                return Poll::Ready(Ok(()));
            }
        }
        // The client is still sending what has been refused already. Closing the socket over unread bytes makes the
        // kernel send a reset, and the client would lose the answer that says why.
        let (timer, left) = this
            .linger
            .get_or_insert_with(|| (Box::pin(sleep_until(Instant::now() + LINGER)), LINGER_BYTES));
        let mut scratch = [0_u8; 4096];
        loop {
            if timer.as_mut().poll(cx).is_ready() {
                return Poll::Ready(Ok(()));
            }
            let mut buf = ReadBuf::new(&mut scratch);
            match ready!(Pin::new(&mut this.inner).poll_read(cx, &mut buf)) {
                Ok(()) if !buf.filled().is_empty() && *left > buf.filled().len() => {
                    *left -= buf.filled().len()
                }
                _ => return Poll::Ready(Ok(())),
            }
        }
    }
}
