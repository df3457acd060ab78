//! The origin of the measurement: reads a request and answers the same kibibyte, with as little work as there can be, so
//! that what is measured is the proxy.

use std::net::{SocketAddr, TcpListener};
use std::thread;

use anyhow::{Context, Result, bail};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

const BUFFER: usize = 256 * 1024;
const LINE: &str = "<p>The quick brown fox jumps over the lazy dog 0123456789.</p>\r\n";

/// What every request gets, on one thread that runs where the calling one does. It listens until the process ends.
pub(crate) fn start() -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("the origin cannot listen")?;
    let address = listener.local_addr()?;
    listener.set_nonblocking(true)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    thread::Builder::new()
        .name("origin".to_owned())
        .spawn(move || runtime.block_on(accept(listener)))?;
    Ok(address)
}

/// The body of every answer.
pub(crate) fn body() -> Vec<u8> {
    LINE.repeat(16).into_bytes()
}

async fn accept(listener: TcpListener) -> Result<()> {
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let body = body();
    let head = format!(
        "HTTP/1.1 200 OK\r\nServer: origin\r\nDate: Fri, 20 Nov 2026 00:00:00 GMT\r\nContent-Type: text/html; charset=utf-8\r\n\
         Content-Length: {}\r\nCache-Control: no-store\r\n\r\n",
        body.len()
    );
    let answer: &'static [u8] = [head.into_bytes(), body].concat().leak();
    loop {
        let (stream, _) = listener.accept().await?;
        // A connection that breaks is the client's to report: its request gets no answer.
        tokio::spawn(serve(stream, answer));
    }
}

async fn serve(mut stream: TcpStream, answer: &[u8]) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let read = match buffer.get_mut(filled..) {
            Some(room) if !room.is_empty() => stream.read(room).await?,
            _ => bail!("a head without end"),
        };
        if read == 0 {
            return Ok(());
        }
        filled += read;
        let received = buffer.get(..filled).unwrap_or_default();
        let Some(end) = memmem::find(received, b"\r\n\r\n").map(|at| at + 4) else {
            continue;
        };
        // Requests are not pipelined: what follows the head is the body.
        let mut left = length(received.get(..end).unwrap_or_default())?
            .checked_sub(filled - end)
            .context("more than the body")?;
        while left > 0 {
            let read = stream.read(&mut buffer).await?;
            if read == 0 {
                bail!("the body was cut off");
            }
            left = left.checked_sub(read).context("more than the body")?;
        }
        stream.write_all(answer).await?;
        filled = 0;
    }
}

/// What the head says of the body.
fn length(head: &[u8]) -> Result<usize> {
    const NAME: &[u8] = b"content-length:";
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        if let Some((name, value)) = line.split_at_checked(NAME.len())
            && name.eq_ignore_ascii_case(NAME)
        {
            return Ok(std::str::from_utf8(value)?.trim().parse()?);
        }
        if line.len() > 18 && line.to_ascii_lowercase().starts_with(b"transfer-encoding:") {
            bail!("bodies in chunks are not understood here");
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_length_is_read_however_it_is_written() {
        assert_eq!(length(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap(), 0);
        let head = b"POST / HTTP/1.1\r\nA: b\r\ncontent-LENGTH: 17\r\n\r\n";
        assert_eq!(length(head).unwrap(), 17);
        assert!(length(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
        assert_eq!(body().len(), 1024);
    }
}
