//! A real origin: a hyper server on port 0, HTTP/1.1 or HTTP/2 as it is spoken to, that echoes what it gets, or does what
//! a test tells it.

use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use super::sha256;

pub type Body = BoxBody<Bytes, std::io::Error>;
type Answer = Pin<Box<dyn Future<Output = Response<Body>> + Send>>;
type Handler = Arc<dyn Fn(Request<Incoming>) -> Answer + Send + Sync>;

/// A whole body.
pub fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed()
}

/// What the origin saw, as it echoes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Seen {
    pub version: String,
    pub method: String,
    pub target: String,
    pub headers: Vec<(String, String)>,
    pub length: usize,
    pub sha256: String,
}

impl Seen {
    /// The only value of a header.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(other, _)| other == name);
        let value = found.next().map(|(_, value)| value.as_str());
        assert!(
            found.next().is_none(),
            "{name} came twice: {:?}",
            self.headers
        );
        value
    }
}

/// A running origin.
pub struct Origin {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Origin {
    /// Answers 200 with what it saw.
    pub async fn echo() -> Self {
        Self::echo_over(None).await
    }

    /// As [`Self::echo`], over TLS.
    pub async fn echo_tls(tls: TlsAcceptor) -> Self {
        Self::echo_over(Some(tls)).await
    }

    /// Answers `ok` from when it is released on.
    pub async fn held() -> (watch::Sender<bool>, Self) {
        let (release, wait) = watch::channel(false);
        let origin = Self::with(move |_| {
            let mut wait = wait.clone();
            async move {
                wait.wait_for(|go| *go).await.unwrap();
                Response::new(full("ok"))
            }
        })
        .await;
        (release, origin)
    }

    async fn echo_over(tls: Option<TlsAcceptor>) -> Self {
        let seen = Arc::default();
        let log = Arc::clone(&seen);
        Self::serve(Arc::clone(&seen), tls, move |request| {
            let log = Arc::clone(&log);
            async move {
                let (head, body) = request.into_parts();
                let Ok(body) = body.collect().await else {
                    return Response::builder().status(400).body(full("")).unwrap();
                };
                let seen = observe(&head, &body.to_bytes());
                let answer = serde_json::to_vec(&seen).unwrap();
                log.lock().unwrap().push(seen);
                let response = Response::builder()
                    .header("server", "origin/1")
                    .header("content-type", "application/json");
                response.body(full(answer)).unwrap()
            }
        })
        .await
    }

    /// Answers what `handler` says.
    pub async fn with<F, R>(handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::serve(Arc::default(), None, handler).await
    }

    async fn serve<F, R>(seen: Arc<Mutex<Vec<Seen>>>, tls: Option<TlsAcceptor>, handler: F) -> Self
    where
        F: Fn(Request<Incoming>) -> R + Send + Sync + 'static,
        R: Future<Output = Response<Body>> + Send + 'static,
    {
        let handler: Handler = Arc::new(move |request| Box::pin(handler(request)));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                count.fetch_add(1, Ordering::SeqCst);
                let (handler, tls) = (Arc::clone(&handler), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => speak(stream, handler).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                speak(stream, handler).await;
                            }
                        }
                    }
                });
            }
        });
        Self {
            address,
            connections,
            seen,
            task,
        }
    }

    /// Connections accepted so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Requests seen so far (echo only).
    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

async fn speak<S>(stream: S, handler: Handler)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let answer = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answer.await) }
    });
    let builder = auto::Builder::new(TokioExecutor::new());
    let _ = builder
        .serve_connection_with_upgrades(TokioIo::new(stream), service)
        .await;
}

fn observe(head: &http::request::Parts, body: &[u8]) -> Seen {
    let text = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|&byte| char::from(byte))
            .collect::<String>()
    };
    Seen {
        version: format!("{:?}", head.version),
        method: head.method.to_string(),
        target: head.uri.to_string(),
        headers: head
            .headers
            .iter()
            .map(|(name, value)| (name.to_string(), text(value.as_bytes())))
            .collect(),
        length: body.len(),
        sha256: sha256(body),
    }
}

/// An origin below HTTP: `script` gets each connection with its ordinal (from 0).
pub async fn raw<F, R>(script: F) -> (SocketAddr, tokio::task::JoinHandle<()>)
where
    F: Fn(usize, TcpStream) -> R + Send + 'static,
    R: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        for ordinal in 0.. {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(script(ordinal, stream));
        }
    });
    (address, task)
}

/// Reads up to the end of a request head.
pub async fn read_head(stream: &mut TcpStream) -> Vec<u8> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            break;
        }
        head.extend(byte);
    }
    head
}

/// Writes and ignores a peer that is gone.
pub async fn write(stream: &mut TcpStream, bytes: &[u8]) {
    let _ = stream.write_all(bytes).await;
    let _ = stream.flush().await;
}
