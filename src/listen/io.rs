//! The client's byte stream with its deadlines: idle and header timeouts, stalled writes, a lingering close; and the
//! gate where `framing` and `frames` see the raw bytes.
//!
//! Not here: deadlines of bodies, which depend on the route (the proxy keeps them). hyper gets heads of HTTP/1 only
//! whole and well-formed. In place of an offending one it gets a stand-in, so that the proxy refuses that request
//! as it refuses any other: with a page, a request id, a record and a metric.

use std::fmt;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use super::frames::{Http2Watch, Observed};
use super::framing::{Framing, Phase};
use super::head::{self, HeadLimits};
use super::state::ConnectionState;
use super::violation::{Abuse, Violation};

mod write;

/// Bytes of a body taken at once. hyper reads as much as the largest head may have, and more each time a read fills
/// its buffer: with many uploads at once that is most of the memory.
const BODY_READ: usize = 16 * 1024 - 1;

/// Bytes of an unfinished head taken at once.
const HEAD_READ: usize = 4 * 1024;

/// Deadlines of a client connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct IoTimeouts {
    pub(crate) header: Duration,
    pub(crate) idle: Duration,
}

/// What a connection of HTTP/1 or HTTP/2 is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules {
    pub(crate) timeouts: IoTimeouts,
    pub(crate) head: HeadLimits,
    /// Whether HTTP/2 may come.
    pub(crate) http2: bool,
}

/// Hears of clients that abuse an HTTP/2 connection.
pub(crate) type Report = Box<dyn Fn(Abuse) + Send + Sync>;

/// A client's stream under its deadlines.
pub(crate) struct ClientIo<S> {
    inner: S,
    state: Arc<ConnectionState>,
    timeouts: IoTimeouts,
    framing: Framing,
    http2: Option<Box<Http2Watch>>,
    report: Report,
    /// Bytes that came and have not been handed on: the first `passable` of them may be.
    held: Vec<u8>,
    passable: usize,
    ending: Ending,
    /// Whether any byte has come: before, the header deadline runs.
    begun: bool,
    head_since: Instant,
    active: Instant,
    read_timer: Pin<Box<Sleep>>,
    write_timer: Option<Pin<Box<Sleep>>>,
    linger: Option<(Pin<Box<Sleep>>, usize)>,
}

/// Whether anything more of what the client sends is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ending {
    No,
    /// A stand-in has taken the place of a head: its answer is the last.
    Refused,
    /// The framing of a body is broken.
    Broken,
    /// An HTTP/2 connection is abused.
    Abused,
}

impl<S> ClientIo<S> {
    pub(crate) fn new(inner: S, state: Arc<ConnectionState>, rules: Rules, report: Report) -> Self {
        let now = Instant::now();
        Self {
            inner,
            state,
            timeouts: rules.timeouts,
            framing: Framing::new(rules.head, rules.http2),
            http2: None,
            report,
            held: Vec::new(),
            passable: 0,
            ending: Ending::No,
            begun: false,
            head_since: now,
            active: now,
            read_timer: Box::pin(sleep_until(now + rules.timeouts.header)),
            write_timer: None,
            linger: None,
        }
    }

    /// Looks at the bytes that have not been handed on; returns how many of them may be.
    fn examine(&mut self, fresh: &[u8]) -> usize {
        let now = Instant::now();
        if self.state.is_tunnel() {
            self.framing.stop();
        }
        let before = self.framing.phase();
        let seen = self.framing.advance(fresh);
        if self.begun && before != Phase::Head {
            self.head_since = now;
        }
        self.begun = true;
        if let Some(violation) = seen.violation {
            self.offends(violation);
        }
        if self.framing.is_http2() {
            let largest = self.framing.limits().bytes;
            let watch = self
                .http2
                .get_or_insert_with(|| Box::new(Http2Watch::new(largest, now)));
            let observed = watch.receive(fresh.get(..seen.pass).unwrap_or_default(), now);
            self.observed(observed, now);
        } else {
            self.active = now;
        }
        seen.pass
    }

    /// Idle is an HTTP/2 connection on which no stream moves, whatever else is sent.
    fn observed(&mut self, observed: Observed, now: Instant) {
        if observed.progress {
            self.active = now;
        }
        let Some(abuse) = observed.abuse else { return };
        (self.report)(abuse);
        if !matches!(abuse, Abuse::Stream | Abuse::Connection) {
            self.ending = Ending::Abused;
        }
    }

    /// The framing of a body is refused where it breaks, anything else with the whole head.
    fn offends(&mut self, violation: Violation) {
        let heads = self.framing.heads();
        if self.framing.phase() == Phase::Other {
            self.state.violates(heads, violation);
            self.ending = Ending::Broken;
        } else {
            self.state.violates(heads + 1, violation);
            self.ending = Ending::Refused;
            self.active = Instant::now();
            self.framing.stop();
        }
    }

    /// Puts the stand-in where the offending head was.
    fn stand_in(&mut self) {
        let offending = self.held.get(self.passable..).unwrap_or_default();
        let stand_in = head::stand_in(offending, self.framing.limits());
        self.held.truncate(self.passable);
        self.held.extend_from_slice(&stand_in);
        self.passable = self.held.len();
    }

    fn hand_on(&mut self, buf: &mut ReadBuf<'_>) {
        let length = self.passable.min(buf.remaining());
        buf.put_slice(self.held.get(..length).unwrap_or_default());
        self.held.drain(..length);
        self.passable -= length;
        if self.held.is_empty() {
            self.held = Vec::new();
        }
    }

    /// Fails when the deadline of the present phase has passed. Called when a read would wait.
    fn poll_deadline(&mut self, cx: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            let block = self.http2.as_ref().and_then(|watch| watch.block_since());
            let deadline = match self.framing.phase() {
                Phase::Head => self.head_since + self.timeouts.header,
                Phase::Idle if !self.begun => self.head_since + self.timeouts.header,
                _ if block.is_some() => block.unwrap_or(self.active) + self.timeouts.header,
                Phase::Idle | Phase::Other => self.active + self.timeouts.idle,
            };
            let now = Instant::now();
            if deadline <= now {
                if block.is_some() {
                    (self.report)(Abuse::HeaderBlock);
                }
                if block.is_some()
                    || self.framing.phase() == Phase::Head
                    || self.state.in_flight() == 0
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

    /// The deadline of a read that waits: a head that has begun and is not complete in time is answered.
    fn poll_wait(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let error = ready!(self.poll_deadline(cx));
        if self.framing.phase() != Phase::Head || self.ending != Ending::No {
            return Poll::Ready(Err(error));
        }
        self.offends(Violation::HeaderTimeout);
        self.stand_in();
        Poll::Ready(Ok(()))
    }

    /// Whether closing now leaves nothing unread.
    fn is_between_messages(&self) -> bool {
        self.framing.phase() == Phase::Idle && self.ending == Ending::No
    }

    fn on_written(&mut self, bytes: &[u8]) {
        let now = Instant::now();
        match &mut self.http2 {
            Some(watch) => {
                let observed = watch.send(bytes, now);
                self.observed(observed, now);
            }
            None => self.active = now,
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

impl<S: AsyncRead + AsyncWrite + Unpin> ClientIo<S> {
    /// Reads behind a head that is not complete. `false` is the end.
    fn poll_more(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let start = self.held.len();
        self.held.resize(start + HEAD_READ, 0);
        let mut part = ReadBuf::new(self.held.get_mut(start..).unwrap_or_default());
        let read = Pin::new(&mut self.inner).poll_read(cx, &mut part);
        let length = part.filled().len();
        self.held.truncate(start + length);
        ready!(read)?;
        if length > 0 {
            self.examine_held();
        }
        Poll::Ready(Ok(length > 0))
    }

    /// Waits for what comes of an upgrade before it looks at what follows.
    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        if !self.state.have_ended(self.framing.heads(), cx) {
            return Poll::Pending;
        }
        self.framing.resume();
        if !self.held.is_empty() {
            self.examine_held();
        }
        Poll::Ready(Ok(true))
    }

    /// Reads to where hyper wants it, which is all that happens to most bytes.
    fn poll_direct(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<bool>> {
        let before = buf.filled().len();
        if self.framing.in_body() {
            let room = buf.remaining().min(BODY_READ);
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(room));
            ready!(Pin::new(&mut self.inner).poll_read(cx, &mut part))?;
            let length = part.filled().len();
            buf.advance(length);
        } else {
            ready!(Pin::new(&mut self.inner).poll_read(cx, buf))?;
        }
        let fresh = buf.filled().get(before..).unwrap_or_default();
        if fresh.is_empty() {
            return Poll::Ready(Ok(false));
        }
        let pass = self.examine(fresh);
        if let Some(left @ [_, ..]) = fresh.get(pass..) {
            self.held.extend_from_slice(left);
            buf.set_filled(before + pass);
        }
        Poll::Ready(Ok(true))
    }

    fn examine_held(&mut self) {
        let held = std::mem::take(&mut self.held);
        self.passable = self.examine(&held);
        self.held = held;
    }

    /// Tells the client why, if there is room to. It is told best before the connection ends.
    fn bid_farewell(&mut self, cx: &mut Context<'_>) {
        let Some(words) = self.http2.take().and_then(|watch| watch.farewell()) else {
            return;
        };
        let written = Pin::new(&mut self.inner).poll_write(cx, &words);
        if matches!(written, Poll::Ready(Ok(_))) {
            let _ = Pin::new(&mut self.inner).poll_flush(cx);
        }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.passable > 0 {
                this.hand_on(buf);
                return Poll::Ready(Ok(()));
            }
            match this.ending {
                Ending::No => {}
                Ending::Refused => return this.poll_wait(cx),
                Ending::Broken => {
                    return Poll::Ready(Err(io::ErrorKind::InvalidData.into()));
                }
                Ending::Abused => {
                    this.bid_farewell(cx);
                    // As if the client had gone: h2 ends its streams and the connection.
                    return Poll::Ready(Ok(()));
                }
            }
            let before = buf.filled().len();
            let read = if this.framing.is_awaiting() {
                this.poll_answer(cx)
            } else if this.held.is_empty() {
                this.poll_direct(cx, buf)
            } else {
                this.poll_more(cx)
            };
            match read {
                Poll::Pending => ready!(this.poll_wait(cx))?,
                Poll::Ready(Ok(true)) if this.ending == Ending::Refused => this.stand_in(),
                Poll::Ready(Ok(true)) => {}
                Poll::Ready(Ok(false)) => return Poll::Ready(Ok(())),
                Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            }
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S> fmt::Debug for ClientIo<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientIo")
            .field("framing", &self.framing)
            .field("ending", &self.ending)
            .finish_non_exhaustive()
    }
}
