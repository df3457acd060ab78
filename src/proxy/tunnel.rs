//! What follows a switch of protocols (WebSocket): bytes both ways, untouched, until one side ends or both fall
//! silent.
//!
//! Not here: the handshake, which has been inspected like any request.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

use super::transaction::Transaction;
use super::upstream::Lease;

/// Bytes in transit each way.
const BUFFER: usize = 8 * 1024;

/// The two ends of a tunnel that is about to open.
pub(super) struct Tunnel {
    pub(super) client: OnUpgrade,
    pub(super) upstream: OnUpgrade,
    pub(super) lease: Lease,
    /// Silence after which it closes.
    pub(super) idle: Duration,
}

impl Tunnel {
    /// Opens it as soon as both connections have switched; the transaction ends with it.
    pub(super) fn spawn(self, mut tx: Transaction) {
        tokio::spawn(async move {
            let both = timeout(
                self.idle,
                futures_util::future::try_join(self.client, self.upstream),
            );
            match both.await {
                Ok(Ok((client, upstream))) => {
                    tx.response_bytes =
                        relay(TokioIo::new(client), TokioIo::new(upstream), self.idle).await;
                }
                Ok(Err(error)) => {
                    tracing::debug!(request_id = %tx.id, %error, "a tunnel did not open")
                }
                Err(_) => tracing::debug!(request_id = %tx.id, "a tunnel did not open in time"),
            }
            drop(self.lease);
            drop(tx);
        });
    }
}

/// Milliseconds since `since`: when a byte last went either way.
struct Activity {
    since: Instant,
    last: AtomicU64,
}

impl Activity {
    fn mark(&self) {
        let now = u64::try_from(self.since.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last.store(now, Ordering::Relaxed);
    }

    fn silence(&self) -> Duration {
        let last = Duration::from_millis(self.last.load(Ordering::Relaxed));
        self.since.elapsed().saturating_sub(last)
    }
}

/// Copies both ways; returns the bytes that went to the client.
async fn relay<C, U>(client: C, upstream: U, idle: Duration) -> u64
where
    C: AsyncRead + AsyncWrite,
    U: AsyncRead + AsyncWrite,
{
    let activity = Activity {
        since: Instant::now(),
        last: AtomicU64::new(0),
    };
    let (from_client, to_client) = tokio::io::split(client);
    let (from_upstream, to_upstream) = tokio::io::split(upstream);
    let (_, sent) = tokio::join!(
        pump(from_client, to_upstream, &activity, idle),
        pump(from_upstream, to_client, &activity, idle),
    );
    sent
}

async fn pump<R, W>(mut from: R, mut to: W, activity: &Activity, idle: Duration) -> u64
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
{
    let mut buffer = vec![0_u8; BUFFER];
    let mut total = 0;
    loop {
        match timeout(idle, from.read(&mut buffer)).await {
            Err(_) if activity.silence() < idle => continue,
            Err(_) | Ok(Ok(0) | Err(_)) => break,
            Ok(Ok(length)) => {
                activity.mark();
                let data = buffer.get(..length).unwrap_or_default();
                if !matches!(timeout(idle, write(&mut to, data)).await, Ok(Ok(()))) {
                    break;
                }
                total += length as u64;
            }
        }
    }
    // The other direction learns of the end from its own peer.
    let _ = timeout(idle, to.shutdown()).await;
    total
}

async fn write<W: AsyncWrite + Unpin>(to: &mut W, data: &[u8]) -> io::Result<()> {
    to.write_all(data).await?;
    to.flush().await
}
