//! One connection that sends its request again and again and looks at every answer.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use memchr::memmem;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::origin;
use crate::request::{Counter, Request};

const BUFFER: usize = 16 * 1024;
/// Of requests whose values are new every time one in this many may be refused, and by chance a few more at the beginning:
/// such a share is what a budget allows for values made of random letters.
const REFUSED_AT_MOST: u64 = 50;
const REFUSED_BY_CHANCE: u64 = 5;

pub(crate) struct Connection {
    stream: TcpStream,
    request: Request,
    buffer: Vec<u8>,
    /// What the origin answers.
    right: Vec<u8>,
    sent: u64,
    refused: u64,
}

impl Connection {
    pub(crate) async fn open(to: SocketAddr, request: Request) -> Result<Self> {
        let stream = TcpStream::connect(to)
            .await
            .with_context(|| format!("cannot connect to {to}"))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            request,
            buffer: vec![0; BUFFER],
            right: origin::body(),
            sent: 0,
            refused: 0,
        })
    }

    pub(crate) async fn open_many(
        to: SocketAddr,
        request: &Request,
        count: usize,
    ) -> Result<Vec<Self>> {
        let mut connections = Vec::with_capacity(count);
        for _ in 0..count {
            connections.push(Self::open(to, request.clone()).await?);
        }
        Ok(connections)
    }

    /// Sends the request and returns the answer's status. A 200 must come with all that the origin said.
    pub(crate) async fn exchange(&mut self, counter: &Counter) -> Result<u16> {
        self.request.renew(counter);
        self.stream.write_all(self.request.wire()).await?;
        let mut filled = 0;
        loop {
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            ensure!(!room.is_empty(), "an answer of more than {BUFFER} bytes");
            let read = self.stream.read(room).await?;
            ensure!(read > 0, "the connection ended without a whole answer");
            filled += read;
            let received = self.buffer.get(..filled).unwrap_or_default();
            if let Some((status, body)) = whole(received)? {
                ensure!(
                    status != 200 || body == self.right,
                    "answered 200 with another body than the origin's"
                );
                return Ok(status);
            }
        }
    }

    /// The same where only a 200 will do, or where values are new a 403 now and then.
    pub(crate) async fn pass(&mut self, counter: &Counter) -> Result<()> {
        let status = self.exchange(counter).await?;
        self.sent += 1;
        match status {
            200 => Ok(()),
            403 if self.request.varies() => {
                self.refused += 1;
                let most = REFUSED_BY_CHANCE + self.sent / REFUSED_AT_MOST;
                let (refused, sent) = (self.refused, self.sent);
                ensure!(refused <= most, "answered 403 to {refused} of {sent}");
                Ok(())
            }
            status => bail!("answered {status}"),
        }
    }
}

/// Status and body, once all of the answer is there.
fn whole(received: &[u8]) -> Result<Option<(u16, &[u8])>> {
    let Some(end) = memmem::find(received, b"\r\n\r\n").map(|at| at + 4) else {
        return Ok(None);
    };
    let (head, body) = received.split_at(end);
    let status = head.get(9..12).context("a short answer")?;
    let status = std::str::from_utf8(status)?
        .parse()
        .context("no status in an answer")?;
    let length = head
        .split(|byte| *byte == b'\n')
        .find_map(|line| {
            let (name, value) = line.split_at_checked("content-length:".len())?;
            name.eq_ignore_ascii_case(b"content-length:")
                .then_some(value)
        })
        .context("an answer that does not say its length")?;
    let length: usize = std::str::from_utf8(length)?.trim().parse()?;
    ensure!(body.len() <= length, "more than one answer");
    Ok((body.len() == length).then_some((status, body)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn an_answer_is_whole_when_its_last_byte_is_there() {
        let answer = b"HTTP/1.1 403 Forbidden\r\ncontent-length: 4\r\n\r\nstop";
        for end in 0..answer.len() {
            assert!(whole(answer.get(..end).unwrap()).unwrap().is_none());
        }
        assert_eq!(whole(answer).unwrap(), Some((403, &b"stop"[..])));
        assert!(whole(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nab").is_err());
        assert!(whole(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
