//! The application behind the proxy, in threads of its own, so that a restart closes every connection at once as the
//! end of a process would.
//!
//! Not here: when it restarts (`disturb`), and what the clients make of its answers (`load`).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, header};
use hyper_util::rt::TokioIo;
use sha2::Digest as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::runtime::Runtime;

use crate::content::{Content, shorten};
use crate::ledger::Ledger;

type Body = UnsyncBoxBody<Bytes, Infallible>;

/// Events of one stream, and the time between two of them.
pub(crate) const EVENTS: u64 = 5;
const EVENT_EVERY: Duration = Duration::from_millis(50);
/// For the last run's sockets to go.
const REBIND: (u32, Duration) = (200, Duration::from_millis(10));

#[derive(Debug)]
struct App {
    content: Content,
    ledger: Arc<Ledger>,
}

#[derive(Debug)]
pub(crate) struct Origin {
    address: SocketAddr,
    app: Arc<App>,
    running: Option<Runtime>,
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.down();
    }
}

impl Origin {
    pub(crate) async fn start(content: Content, ledger: Arc<Ledger>) -> Result<Self> {
        let mut origin = Self {
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            app: Arc::new(App { content, ledger }),
            running: None,
        };
        origin.up().await?;
        Ok(origin)
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Closes the listener and every connection.
    pub(crate) fn down(&mut self) {
        if let Some(runtime) = self.running.take() {
            runtime.shutdown_background();
        }
    }

    /// Listens again where it did before.
    pub(crate) async fn up(&mut self) -> Result<()> {
        let listener = self.bind().await?;
        self.address = listener.local_addr()?;
        listener.set_nonblocking(true)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .context("no runtime for the origin")?;
        let app = Arc::clone(&self.app);
        runtime.spawn(async move {
            match TcpListener::from_std(listener) {
                Ok(listener) => accept(listener, app).await,
                Err(error) => eprintln!("soak: the origin cannot listen: {error}"),
            }
        });
        self.running = Some(runtime);
        Ok(())
    }

    async fn bind(&self) -> Result<std::net::TcpListener> {
        let mut last = None;
        for _ in 0..REBIND.0 {
            match std::net::TcpListener::bind(self.address) {
                Ok(listener) => return Ok(listener),
                Err(error) => last = Some(error),
            }
            tokio::time::sleep(REBIND.1).await;
        }
        bail!("the origin cannot listen on {}: {last:?}", self.address)
    }
}

async fn accept(listener: TcpListener, app: Arc<App>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            continue;
        };
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&app);
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let app = Arc::clone(&app);
                async move { Ok::<_, Infallible>(answer(&app, request).await) }
            });
            let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
            let _ = connection.with_upgrades().await;
        });
    }
}

async fn answer(app: &App, request: Request<Incoming>) -> Response<Body> {
    let path = request.uri().path().to_owned();
    let words: Vec<&str> = path.trim_start_matches('/').split('/').collect();
    match (request.method(), words.as_slice()) {
        (&Method::GET, ["articles", number, length]) => match (number.parse(), length.parse()) {
            (Ok(number), Ok(length)) => bytes("image/png", app.content.body(number, length)),
            _ => status(404),
        },
        (&Method::GET, ["events", number]) => events(number),
        (&Method::GET, ["chat"]) => chat(request),
        (&Method::POST, [_, number]) => match number.parse() {
            Ok(number) => receive(app, number, request.into_body()).await,
            Err(_) => status(404),
        },
        _ => status(404),
    }
}

fn status(code: u16) -> Response<Body> {
    let mut response = bytes("text/plain", Bytes::new());
    *response.status_mut() = hyper::StatusCode::from_u16(code).unwrap_or_default();
    response
}

fn bytes(kind: &'static str, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(body).boxed_unsync());
    let kind = header::HeaderValue::from_static(kind);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}

/// Answers the number and the digest of what came.
async fn receive(app: &App, number: u64, mut body: Incoming) -> Response<Body> {
    app.ledger.begun(number);
    let mut hash = sha2::Sha256::new();
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Ok(Ok(data)) => hash.update(&data),
            Ok(Err(_trailers)) => {}
            Err(_) => return status(400),
        }
    }
    let digest = shorten(hash.finalize().as_slice());
    app.ledger.whole(number, digest);
    bytes("text/plain", receipt(number, digest).into())
}

/// What the origin answers to a body.
pub(crate) fn receipt(number: u64, digest: crate::content::Digest) -> String {
    format!("{number} {digest:02x?}")
}

pub(crate) fn event(number: &str, ordinal: u64) -> String {
    format!("id: {ordinal}\ndata: {number}\n\n")
}

fn events(number: &str) -> Response<Body> {
    let number = number.to_owned();
    let stream = futures_util::stream::unfold(0, move |ordinal| {
        let event = event(&number, ordinal);
        async move {
            if ordinal == EVENTS {
                return None;
            }
            tokio::time::sleep(EVENT_EVERY).await;
            let frame = Frame::data(Bytes::from(event));
            Some((Ok::<_, Infallible>(frame), ordinal + 1))
        }
    });
    let mut response = bytes("text/event-stream", Bytes::new());
    *response.body_mut() = StreamBody::new(stream).boxed_unsync();
    response
}

/// Switches protocols and sends every byte back.
fn chat(mut request: Request<Incoming>) -> Response<Body> {
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let Ok(upgraded) = upgrade.await else { return };
        let (mut read, mut write) = tokio::io::split(TokioIo::new(upgraded));
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(length @ 1..) = read.read(&mut buffer).await {
            let sent = write.write_all(buffer.get(..length).unwrap_or_default());
            if sent.await.is_err() || write.flush().await.is_err() {
                return;
            }
        }
        let _ = write.shutdown().await;
    });
    let mut response = status(101);
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_TYPE);
    for (name, value) in [
        (header::CONNECTION, "upgrade"),
        (header::UPGRADE, "websocket"),
        (header::SEC_WEBSOCKET_ACCEPT, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        headers.insert(name, header::HeaderValue::from_static(value));
    }
    response
}
