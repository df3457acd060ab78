//! Clients: hyper over one connection (HTTP/1.1, HTTP/2, TLS), and raw bytes.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Empty, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

pub type Body = BoxBody<Bytes, std::io::Error>;

/// One client connection.
pub enum Client {
    One(http1::SendRequest<Body>),
    Two(http2::SendRequest<Body>),
}

impl Client {
    /// HTTP/1.1 in cleartext.
    pub async fn http1(address: SocketAddr) -> Self {
        Self::over_http1(TcpStream::connect(address).await.unwrap()).await
    }

    /// HTTP/2 in cleartext, with prior knowledge.
    pub async fn http2(address: SocketAddr) -> Self {
        Self::over_http2(TcpStream::connect(address).await.unwrap()).await
    }

    /// TLS with the given ALPN protocols; the version is what the server picks. Also the certificate that it showed.
    pub async fn tls(
        address: SocketAddr,
        root: &CertificateDer<'static>,
        alpn: &[&str],
    ) -> (Self, Vec<u8>) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(root.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = tokio_rustls::TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap();
        let session = stream.get_ref().1;
        let shown = session.peer_certificates().unwrap()[0].to_vec();
        let two = session.alpn_protocol() == Some(b"h2");
        let client = if two {
            Self::over_http2(stream).await
        } else {
            Self::over_http1(stream).await
        };
        (client, shown)
    }

    async fn over_http1<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        tokio::spawn(async move {
            let _ = connection.with_upgrades().await;
        });
        Self::One(sender)
    }

    async fn over_http2<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(stream: S) -> Self {
        let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(async move {
            let _ = connection.await;
        });
        Self::Two(sender)
    }

    pub fn is_http2(&self) -> bool {
        matches!(self, Self::Two(_))
    }

    /// Sends a request, returns the head of the answer with its body unread.
    pub async fn start(&mut self, request: Request<Body>) -> hyper::Result<Response<Incoming>> {
        within("the head of an answer", async {
            match self {
                Self::One(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
                Self::Two(sender) => {
                    sender.ready().await?;
                    sender.send_request(request).await
                }
            }
        })
        .await
    }

    /// Sends a request and reads the whole answer.
    pub async fn send(&mut self, request: Request<Body>) -> Response<Bytes> {
        let (head, body) = self.start(request).await.unwrap().into_parts();
        let body = within("the body of an answer", body.collect())
            .await
            .unwrap();
        Response::from_parts(head, body.to_bytes())
    }

    /// `GET` of a path.
    pub async fn get(&mut self, target: &str) -> Response<Bytes> {
        let request = self.request("GET", target);
        self.send(request.body(empty()).unwrap()).await
    }

    /// A request for the host `shop.example`, in the form of this connection's version.
    pub fn request(&self, method: &str, target: &str) -> http::request::Builder {
        let builder = Request::builder().method(method);
        match self {
            Self::One(_) => builder.uri(target).header("host", "shop.example"),
            Self::Two(_) => builder
                .uri(format!("http://shop.example{target}"))
                .version(http::Version::HTTP_2),
        }
    }
}

pub fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed()
}

pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// A body of the pieces that come out of the returned sender; dropping it ends the body.
pub fn piecewise() -> (tokio::sync::mpsc::Sender<Bytes>, Body) {
    let (sender, receiver) = tokio::sync::mpsc::channel(1);
    let frames = futures_util::stream::unfold(receiver, |mut receiver| async move {
        let piece: Bytes = receiver.recv().await?;
        Some((
            Ok::<_, std::io::Error>(http_body::Frame::data(piece)),
            receiver,
        ))
    });
    (
        sender,
        BodyExt::boxed(http_body_util::StreamBody::new(SyncStream::new(frames))),
    )
}

/// `BoxBody` wants `Sync`, which a stream behind a lock is.
pub struct SyncStream<T>(
    std::sync::Mutex<std::pin::Pin<Box<dyn futures_util::Stream<Item = T> + Send>>>,
);

impl<T> SyncStream<T> {
    pub fn new(stream: impl futures_util::Stream<Item = T> + Send + 'static) -> Self {
        Self(std::sync::Mutex::new(Box::pin(stream)))
    }
}

impl<T> futures_util::Stream for SyncStream<T> {
    type Item = T;

    fn poll_next(
        mut self: std::pin::Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<T>> {
        self.0.get_mut().unwrap().as_mut().poll_next(cx)
    }
}

/// Until one more connection is answered: room comes back a moment after it was given up.
pub async fn room_again(address: SocketAddr) {
    within("room for another connection", async {
        while !exchange(address, b"GET / HTTP/1.0\r\n\r\n")
            .await
            .contains("200")
        {}
    })
    .await;
}

/// Sends raw bytes and returns everything that comes back until the server closes.
pub async fn exchange(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // A server that refuses early may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match within("a raw answer", stream.read(&mut chunk)).await {
            Ok(0) | Err(_) => break,
            Ok(length) => answer.extend_from_slice(&chunk[..length]),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
