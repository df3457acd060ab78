//! One connection that writes requests byte by byte as given and reads who answered them. Not here: which requests.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;

use crate::message::{HOST, Message};
use crate::origin::{MARK, SEEN_ID, SEEN_VERDICT};

const PATIENCE: Duration = Duration::from_secs(60);
/// An answer's head is never longer here.
const LONGEST_HEAD: usize = 64 * 1024;

/// Who answered, and what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) by_origin: bool,
    pub(crate) id: Option<String>,
    /// What Weir told the origin.
    pub(crate) verdict: Option<String>,
    pub(crate) keep_alive: bool,
}

impl Answer {
    fn header(&mut self, name: &str, value: &str) {
        match name {
            MARK => self.by_origin = true,
            SEEN_ID | "x-request-id" => self.id = Some(value.to_owned()),
            SEEN_VERDICT => self.verdict = Some(value.to_owned()),
            "connection" => self.keep_alive &= !value.eq_ignore_ascii_case("close"),
            _ => {}
        }
    }
}

/// A client that keeps its connection.
pub(crate) struct Client {
    to: SocketAddr,
    stream: Option<TcpStream>,
}

impl Client {
    pub(crate) fn new(to: SocketAddr) -> Self {
        Self { to, stream: None }
    }

    pub(crate) async fn send(&mut self, message: &Message) -> Result<Answer, String> {
        let exchange = async {
            if message.http2 {
                return self.send_http2(message).await;
            }
            let bytes = message.bytes();
            if self.stream.is_some()
                && let Ok(answer) = self.exchange(&bytes, &message.method).await
            {
                return Ok(answer);
            }
            // A kept connection may have been closed meanwhile: once more on a new one.
            self.stream = Some(self.connect().await?);
            self.exchange(&bytes, &message.method).await
        };
        match tokio::time::timeout(PATIENCE, exchange).await {
            Ok(answer) => answer.map_err(|error| {
                self.stream = None;
                format!("{error:#}")
            }),
            Err(_) => {
                self.stream = None;
                Err("no answer in time".to_owned())
            }
        }
    }

    async fn connect(&self) -> Result<TcpStream> {
        let stream = TcpStream::connect(self.to)
            .await
            .context("cannot connect")?;
        stream.set_nodelay(true)?;
        Ok(stream)
    }

    async fn exchange(&mut self, bytes: &[u8], method: &str) -> Result<Answer> {
        let mut stream = self.stream.take().context("no connection")?;
        let (read, mut write) = stream.split();
        let mut read = BufReader::new(read);
        let mut written = false;
        let answer = {
            let writing = write.write_all(bytes);
            let reading = answer(&mut read, method);
            tokio::pin!(writing, reading);
            // An answer may come before the request is written: then the rest is nobody's business.
            tokio::select! {
                answer = &mut reading => answer?,
                result = &mut writing => {
                    written = result.is_ok();
                    reading.await?
                }
            }
        };
        if written && answer.keep_alive {
            self.stream = Some(stream);
        }
        Ok(answer)
    }

    async fn send_http2(&self, message: &Message) -> Result<Answer> {
        let stream = TokioIo::new(self.connect().await?);
        let (mut sender, connection) =
            hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await?;
        let connection = tokio::spawn(connection);
        let mut request = Request::builder()
            .method(message.method.as_str())
            .uri(format!("http://{HOST}{}", message.target));
        for (name, value) in &message.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(message.body.clone()));
        let response = sender.send_request(request.body(body)?).await?;
        let mut answer = Answer {
            status: response.status().as_u16(),
            ..Answer::default()
        };
        for (name, value) in response.headers() {
            answer.header(name.as_str(), &String::from_utf8_lossy(value.as_bytes()));
        }
        let _ = response.into_body().collect().await;
        connection.abort();
        Ok(answer)
    }
}

/// Reads one final answer to its end.
async fn answer(read: &mut (impl AsyncBufReadExt + Unpin), method: &str) -> Result<Answer> {
    loop {
        let (mut answer, length) = head(read).await?;
        if answer.status < 200 {
            continue;
        }
        let empty = method == "HEAD" || matches!(answer.status, 204 | 304);
        match length {
            _ if empty => {}
            Length::Bytes(count) => {
                tokio::io::copy(&mut read.take(count), &mut tokio::io::sink()).await?;
            }
            Length::Chunked => chunks(read).await?,
            Length::ToTheEnd => {
                tokio::io::copy(read, &mut tokio::io::sink()).await?;
                answer.keep_alive = false;
            }
        }
        return Ok(answer);
    }
}

enum Length {
    Bytes(u64),
    Chunked,
    ToTheEnd,
}

async fn head(read: &mut (impl AsyncBufReadExt + Unpin)) -> Result<(Answer, Length)> {
    let first = line(read).await?;
    let mut words = first.split(' ');
    let version = words.next().unwrap_or_default();
    ensure!(
        version.starts_with("HTTP/1."),
        "no HTTP answer: {first:.60}"
    );
    let status = words.next().unwrap_or_default();
    let mut answer = Answer {
        status: status.parse().context("no status")?,
        keep_alive: version == "HTTP/1.1",
        ..Answer::default()
    };
    let mut length = Length::ToTheEnd;
    loop {
        let line = line(read).await?;
        let Some((name, value)) = line.split_once(':') else {
            ensure!(line.is_empty(), "no header: {line:.60}");
            return Ok((answer, length));
        };
        let (name, value) = (name.to_ascii_lowercase(), value.trim());
        match name.as_str() {
            "content-length" => length = Length::Bytes(value.parse().context("no length")?),
            "transfer-encoding" => length = Length::Chunked,
            _ => answer.header(&name, value),
        }
    }
}

async fn chunks(read: &mut (impl AsyncBufReadExt + Unpin)) -> Result<()> {
    loop {
        let size = line(read).await?;
        let size = size.split(';').next().unwrap_or_default();
        let size = u64::from_str_radix(size.trim(), 16).context("no chunk")?;
        tokio::io::copy(&mut (&mut *read).take(size), &mut tokio::io::sink()).await?;
        if size == 0 {
            while !line(read).await?.is_empty() {}
            return Ok(());
        }
        line(read).await?;
    }
}

async fn line(read: &mut (impl AsyncBufReadExt + Unpin)) -> Result<String> {
    let mut bytes = Vec::new();
    let mut limited = (&mut *read).take(LONGEST_HEAD as u64);
    limited.read_until(b'\n', &mut bytes).await?;
    if bytes.pop() != Some(b'\n') {
        bail!("the connection ended");
    }
    if bytes.last() == Some(&b'\r') {
        bytes.pop();
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    async fn read(text: &str, method: &str) -> Result<(Answer, usize)> {
        let mut bytes = text.as_bytes();
        let answer = answer(&mut bytes, method).await?;
        Ok((answer, bytes.len()))
    }

    #[tokio::test]
    async fn answers_of_every_framing_are_read_to_their_end() {
        let plain = "HTTP/1.1 403 Forbidden\r\nX-Request-Id: 7\r\ncontent-length: 2\r\n\r\nnoNEXT";
        let (answer, left) = read(plain, "GET").await.unwrap();
        assert_eq!(
            (answer.status, answer.id.as_deref(), left),
            (403, Some("7"), 4)
        );
        assert!(answer.keep_alive && !answer.by_origin);
        let chunked = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nx-origin: 1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nNEXT";
        let (answer, left) = read(chunked, "GET").await.unwrap();
        assert!(answer.by_origin && left == 4);
        let (_, left) = read("HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nNEXT", "HEAD")
            .await
            .unwrap();
        assert_eq!(left, 4);
        let (answer, _) = read("HTTP/1.1 400 Bad\r\nconnection: close\r\n\r\nx", "GET")
            .await
            .unwrap();
        assert!(!answer.keep_alive);
        assert!(read("", "GET").await.is_err());
        assert!(read("SSH-2.0\r\n", "GET").await.is_err());
    }
}
