//! What the byte stream of a client connection and the requests on it tell each other.
//!
//! Not here: acting on it.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::Context;

use futures_util::task::AtomicWaker;
use tokio::sync::Notify;

use super::Place;
use super::violation::Violation;

/// The state of one connection.
#[derive(Debug)]
pub struct ConnectionState {
    /// Ordinal of the offending request << 8 | violation code; 0 for none.
    violation: AtomicU64,
    in_flight: AtomicUsize,
    begun: AtomicU64,
    ended: AtomicU64,
    tunnel: AtomicBool,
    http2: AtomicBool,
    place: OnceLock<Place>,
    /// The reader that waits for the end of a request or the beginning of a tunnel.
    reader: AtomicWaker,
    most: u64,
    exhausted: Notify,
}

impl ConnectionState {
    /// A connection that may carry so many requests.
    pub fn new(most: u64) -> Self {
        Self {
            violation: AtomicU64::new(0),
            in_flight: AtomicUsize::new(0),
            begun: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            tunnel: AtomicBool::new(false),
            http2: AtomicBool::new(false),
            place: OnceLock::new(),
            reader: AtomicWaker::new(),
            most,
            exhausted: Notify::new(),
        }
    }

    /// The framing violation of the `ordinal`th request, if it has one.
    pub fn violation(&self, ordinal: u64) -> Option<Violation> {
        let stored = self.violation.load(Ordering::Acquire);
        (stored != 0 && stored >> 8 == ordinal)
            .then(|| Violation::from_code((stored & 0xff) as u8))
            .flatten()
    }

    /// Notes what is wrong with the `ordinal`th request, from 1.
    pub(super) fn violates(&self, ordinal: u64, violation: Violation) {
        self.violation.store(
            ordinal << 8 | u64::from(violation.code()),
            Ordering::Release,
        );
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
        self.reader.wake();
    }

    /// Whether it carries another protocol.
    pub(super) fn is_tunnel(&self) -> bool {
        self.tunnel.load(Ordering::Acquire)
    }

    /// Marks a request as being served until the guard is dropped: the idle timeout waits for it.
    pub fn begin_request(self: &Arc<Self>) -> InFlight {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        if self.begun.fetch_add(1, Ordering::AcqRel) + 1 == self.most {
            self.exhausted.notify_one();
        }
        InFlight(Arc::clone(self))
    }

    /// Requests being served.
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Acquire)
    }

    /// Waits until the connection has carried as many requests as it may.
    pub(super) async fn exhausted(&self) {
        self.exhausted.notified().await;
    }

    /// Whether `requests` have come to their end; wakes the reader at the next change if not.
    pub(super) fn have_ended(&self, requests: u64, cx: &Context<'_>) -> bool {
        let ended = || self.ended.load(Ordering::Acquire) >= requests || self.is_tunnel();
        if ended() {
            return true;
        }
        self.reader.register(cx.waker());
        ended()
    }
}

/// A request being served on a connection.
pub struct InFlight(Arc<ConnectionState>);

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InFlight(..)")
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
        self.0.ended.fetch_add(1, Ordering::AcqRel);
        self.0.reader.wake();
    }
}
