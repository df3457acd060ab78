//! Writing to the client, and the close that waits for what it still sends.
//!
//! Not here: reading, and the deadline of a write that stalls.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, sleep_until};

use super::ClientIo;

/// How long a close waits for the client to finish sending, so that the answer is not lost to a reset.
const LINGER: Duration = Duration::from_secs(2);
/// How much a lingering close reads and drops.
const LINGER_BYTES: usize = 4 << 20;

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write(cx, buf);
        if let Poll::Ready(Ok(length)) = outcome {
            this.on_written(buf.get(..length).unwrap_or_default());
        }
        this.wrote(cx, outcome)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let outcome = Pin::new(&mut this.inner).poll_write_vectored(cx, bufs);
        if let Poll::Ready(Ok(mut length)) = outcome {
            if this.http2.is_none() {
                this.on_written(&[]);
                length = 0;
            }
            for part in bufs {
                let of_it = length.min(part.len());
                length -= of_it;
                if of_it > 0 {
                    this.on_written(part.get(..of_it).unwrap_or_default());
                }
            }
        }
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
            if this.is_between_messages() || this.state.is_tunnel() {
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
