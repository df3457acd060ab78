//! The handshake of a client: its deadline, its place among those under way, and what it proved.
//!
//! Not here: what is shown and asked (`server`), and the limit on connections as a whole.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::HeaderValue;
use rustls::HandshakeKind;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::server::Server;
use super::subject;

/// Handshakes under way, by age. One more than allowed ends the oldest: honest clients need two round trips, so what
/// has waited longest waits on purpose, and cannot keep others out.
#[derive(Debug, Default)]
pub struct Handshakes(Mutex<UnderWay>);

#[derive(Debug, Default)]
struct UnderWay {
    next: u64,
    places: BTreeMap<u64, oneshot::Sender<()>>,
}

/// A handshake's place; free when dropped.
#[derive(Debug)]
struct Place<'h> {
    all: &'h Handshakes,
    number: u64,
    /// Ends when the place is given to another.
    taken: oneshot::Receiver<()>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.all.lock().places.remove(&self.number);
    }
}

impl Handshakes {
    fn begin(&self, limit: usize) -> Place<'_> {
        let (sender, taken) = oneshot::channel();
        let mut under_way = self.lock();
        while under_way.places.len() >= limit.max(1) {
            under_way.places.pop_first();
        }
        let number = under_way.next;
        under_way.next += 1;
        under_way.places.insert(number, sender);
        Place {
            all: self,
            number,
            taken,
        }
    }

    fn lock(&self) -> MutexGuard<'_, UnderWay> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A client that speaks TLS now.
#[derive(Debug)]
pub struct Accepted<S> {
    /// The connection.
    pub stream: TlsStream<S>,
    /// Whose certificate it proved to have, for a header.
    pub subject: Option<HeaderValue>,
    /// Whether HTTP/1.1 was agreed on. Clients without ALPN may begin with either version.
    pub http1_only: bool,
    /// Whether an earlier session went on.
    pub resumed: bool,
}

/// Why a client's handshake came to nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The client broke off, speaks no TLS, or did not agree.
    #[error("TLS handshake failed: {0}")]
    Failed(#[from] io::Error),
    /// It took too long.
    #[error("TLS handshake not done within `timeouts.handshake`")]
    TimedOut,
    /// Too many came after it.
    #[error("TLS handshake ended because `limits.handshakes` others came after it")]
    Displaced,
    /// The certificate of an earlier session is no longer good.
    #[error("certificate of a resumed TLS session: {0}")]
    Unproven(rustls::Error),
}

impl HandshakeError {
    /// Stable name in metrics.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Failed(_) => "failed",
            Self::TimedOut => "timeout",
            Self::Displaced => "displaced",
            Self::Unproven(_) => "unproven",
        }
    }
}

/// Bounds on handshakes.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    /// Time for one.
    pub patience: Duration,
    /// Under way at once.
    pub limit: usize,
}

/// Speaks TLS with a client.
///
/// # Errors
/// Why it came to nothing.
pub async fn accept<S>(
    server: &Server,
    stream: S,
    all: &Handshakes,
    bounds: Bounds,
) -> Result<Accepted<S>, HandshakeError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let mut place = all.begin(bounds.limit);
    let handshake = TlsAcceptor::from(server.config()).accept(stream);
    let stream = tokio::select! {
        done = timeout(bounds.patience, handshake) => {
            done.map_err(|_| HandshakeError::TimedOut)??
        }
        _ = &mut place.taken => return Err(HandshakeError::Displaced),
    };
    let session = stream.get_ref().1;
    let resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
    let chain = session.peer_certificates().unwrap_or_default();
    if resumed {
        server.proves(chain).map_err(HandshakeError::Unproven)?;
    }
    Ok(Accepted {
        subject: chain.first().and_then(subject::header_value),
        http1_only: session.alpn_protocol() == Some(b"http/1.1"),
        resumed,
        stream,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_gives_way_and_places_come_back() {
        let all = Handshakes::default();
        let mut first = all.begin(2);
        let mut second = all.begin(2);
        assert!(
            first
                .taken
                .try_recv()
                .is_err_and(|error| error == oneshot::error::TryRecvError::Empty)
        );
        let third = all.begin(2);
        assert_eq!(
            first.taken.try_recv(),
            Err(oneshot::error::TryRecvError::Closed)
        );
        assert_eq!(
            second.taken.try_recv(),
            Err(oneshot::error::TryRecvError::Empty)
        );
        drop(first);
        assert_eq!(all.lock().places.len(), 2, "it no longer had a place");
        drop((second, third));
        assert!(all.lock().places.is_empty());
    }
}
