//! Clients of the proxy: one connection through one of its doors, opened again when the proxy closes it.
//!
//! Not here: what is asked, and which answer is right (`load`).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::client::conn::{http1, http2};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

pub(crate) type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// As the certificates of the stage name it.
pub(crate) const HOST: &str = "localhost";
/// No request of the load takes this long unless it is stuck.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Door {
    Plain,
    Http2,
    Tls,
    TlsHttp2,
}

/// Where the proxy listens.
pub(crate) struct Doors {
    pub(crate) plain: SocketAddr,
    pub(crate) tls: SocketAddr,
    pub(crate) admin: SocketAddr,
    http1: TlsConnector,
    http2: TlsConnector,
}

impl Doors {
    pub(crate) fn new(
        plain: SocketAddr,
        tls: SocketAddr,
        admin: SocketAddr,
        roots: &[CertificateDer<'static>],
    ) -> Result<Self> {
        Ok(Self {
            plain,
            tls,
            admin,
            http1: connector(roots, b"http/1.1")?,
            http2: connector(roots, b"h2")?,
        })
    }
}

fn connector(roots: &[CertificateDer<'static>], alpn: &[u8]) -> Result<TlsConnector> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(store)
        .with_no_client_auth();
    config.alpn_protocols = vec![alpn.to_vec()];
    Ok(Arc::new(config).into())
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Nothing was answered.
    NoAnswer(String),
    /// The answer began and did not end.
    Cut(String),
    /// Neither an answer nor an end.
    Stuck,
}

enum Sender {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

pub(crate) struct Client {
    doors: Arc<Doors>,
    door: Door,
    sender: Option<Sender>,
}

impl Client {
    pub(crate) fn new(doors: &Arc<Doors>, door: Door) -> Self {
        Self {
            doors: Arc::clone(doors),
            door,
            sender: None,
        }
    }

    /// Another user of the same HTTP/2 connection; over HTTP/1.1 a client with a connection of its own.
    pub(crate) fn share(&self) -> Self {
        let sender = match &self.sender {
            Some(Sender::Two(sender)) => Some(Sender::Two(sender.clone())),
            Some(Sender::One(_)) | None => None,
        };
        Self {
            doors: Arc::clone(&self.doors),
            door: self.door,
            sender,
        }
    }

    /// The next request opens a new connection.
    pub(crate) fn close(&mut self) {
        self.sender = None;
    }

    /// A request in the form of this connection's version.
    pub(crate) fn request(&self, method: &str, target: &str) -> hyper::http::request::Builder {
        let builder = Request::builder().method(method);
        let builder = match self.door {
            Door::Plain | Door::Tls => builder.uri(target).header("host", HOST),
            Door::Http2 => builder.uri(format!("http://{HOST}{target}")),
            Door::TlsHttp2 => builder.uri(format!("https://{HOST}{target}")),
        };
        builder
            .header(
                "user-agent",
                "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
            )
            .header("accept", "*/*")
            .header("accept-language", "en-GB,en;q=0.7")
    }

    /// Opens the connection if there is none that can be used.
    pub(crate) async fn connect(&mut self) -> Result<()> {
        let usable = match &mut self.sender {
            None => false,
            Some(Sender::One(sender)) => sender.ready().await.is_ok(),
            Some(Sender::Two(sender)) => sender.ready().await.is_ok(),
        };
        if !usable {
            self.sender = Some(self.open().await?);
        }
        Ok(())
    }

    async fn open(&self) -> Result<Sender> {
        let (address, connector) = match self.door {
            Door::Plain | Door::Http2 => (self.doors.plain, None),
            Door::Tls => (self.doors.tls, Some(&self.doors.http1)),
            Door::TlsHttp2 => (self.doors.tls, Some(&self.doors.http2)),
        };
        let stream = TcpStream::connect(address)
            .await
            .context("cannot connect")?;
        stream.set_nodelay(true)?;
        match connector {
            None => self.over(stream).await,
            Some(connector) => {
                let name = ServerName::try_from(HOST)?;
                let stream = connector.connect(name, stream).await.context("no TLS")?;
                self.over(stream).await
            }
        }
    }

    async fn over<S>(&self, stream: S) -> Result<Sender>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let stream = TokioIo::new(stream);
        Ok(match self.door {
            Door::Plain | Door::Tls => {
                let (sender, connection) = http1::handshake(stream).await?;
                tokio::spawn(connection);
                Sender::One(sender)
            }
            Door::Http2 | Door::TlsHttp2 => {
                let (sender, connection) = http2::handshake(TokioExecutor::new(), stream).await?;
                tokio::spawn(connection);
                Sender::Two(sender)
            }
        })
    }

    /// The head of the answer, with its body unread.
    pub(crate) async fn start(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, Failure> {
        let started = async {
            let connected = self.connect().await;
            connected.map_err(|error| Failure::NoAnswer(format!("{error:#}")))?;
            let answer = match &mut self.sender {
                Some(Sender::One(sender)) => sender.send_request(request).await,
                Some(Sender::Two(sender)) => sender.send_request(request).await,
                None => return Err(Failure::NoAnswer("no connection".to_owned())),
            };
            answer.map_err(|error| match causes(&error) {
                // A reset may overtake the head of the answer that it cuts off.
                reset if reset.contains("stream error received") => Failure::Cut(reset),
                other => Failure::NoAnswer(other),
            })
        };
        let started = timeout(PATIENCE, started)
            .await
            .unwrap_or(Err(Failure::Stuck));
        if started.is_err() {
            self.close();
        }
        started
    }

    /// The whole answer.
    pub(crate) async fn send(&mut self, request: Request<Body>) -> Result<(u16, Bytes), Failure> {
        let (head, body) = self.start(request).await?.into_parts();
        let read = match timeout(PATIENCE, body.collect()).await {
            Ok(Ok(body)) => Ok((head.status.as_u16(), body.to_bytes())),
            Ok(Err(error)) => Err(Failure::Cut(causes(&error))),
            Err(_) => Err(Failure::Stuck),
        };
        if read.is_err() {
            self.close();
        }
        read
    }
}

/// An error with its causes.
fn causes(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}

/// A body in pieces, without a length that could be announced.
pub(crate) fn pieces(body: Bytes, piece: usize) -> Body {
    let frames = futures_util::stream::unfold(body, move |mut rest| async move {
        if rest.is_empty() {
            return None;
        }
        let next = rest.split_to(piece.min(rest.len()));
        Some((Ok(Frame::data(next)), rest))
    });
    http_body_util::StreamBody::new(frames).boxed_unsync()
}

/// One request to the admin listener.
pub(crate) async fn ask_admin(doors: &Doors, method: &str, target: &str) -> Result<(u16, String)> {
    let exchange = async {
        let stream = TcpStream::connect(doors.admin)
            .await
            .context("cannot connect")?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        let request = Request::builder()
            .method(method)
            .uri(target)
            .header("host", HOST)
            .body(full(""))?;
        let (head, body) = sender.send_request(request).await?.into_parts();
        let text = body.collect().await?.to_bytes();
        anyhow::Ok((
            head.status.as_u16(),
            String::from_utf8_lossy(&text).into_owned(),
        ))
    };
    timeout(PATIENCE, exchange)
        .await
        .context("the admin listener does not answer")?
}
