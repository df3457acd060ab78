//! Client connections: accept loop, connection limit, TLS, and the HTTP server that hands requests to the proxy.
//!
//! Not here: what happens to a request (`proxy`). A listener never ends because of a client or because the process
//! ran out of descriptors; it ends when it is told to, and then lets requests in flight finish.

pub mod client;
pub mod framing;
mod io;
pub mod proxy_protocol;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::{Domain, Protocol, SockRef, Socket, TcpKeepalive, Type};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use io::{ConnectionState, InFlight};

use self::io::{ClientIo, IoTimeouts};
use self::proxy_protocol::HeaderError;
use crate::proxy::headers::Scheme;
use crate::proxy::{ClientConnection, Proxy};
use crate::runtime::Snapshot;
use crate::tls::handshake::{self, Bounds};

/// Connections that wait to be accepted.
const BACKLOG: i32 = 1024;
/// Back-off after `accept` failed for want of descriptors or memory.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// Probes a silent peer, so that a vanished one does not hold a connection for ever.
const KEEP_ALIVE: Duration = Duration::from_secs(60);
/// hyper's lower bound for its buffer.
const SMALLEST_BUFFER: usize = 8 * 1024;
/// HTTP/2 flow control windows: what one stream and one connection may send ahead of being read, and so what they
/// may make us hold.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Opens a listening socket.
///
/// # Errors
/// When the address is in use or not ours; the caller names it in the message.
pub fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )?;
    // A restart must not wait for connections of the last run to expire. On Linux this does not let two processes
    // share a port.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    // Accepted sockets inherit it.
    socket.set_tcp_keepalive(&TcpKeepalive::new().with_time(KEEP_ALIVE))?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

/// Serves one listener of the configuration until `shutdown` turns true (or its sender is gone), then drains.
pub async fn serve(
    listener: TcpListener,
    index: usize,
    proxy: Arc<Proxy>,
    mut shutdown: watch::Receiver<bool>,
) {
    // Closed when the last connection has dropped its end.
    let (open, guard) = watch::channel(());
    let mut pause = FIRST_PAUSE;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = shutdown.wait_for(|stop| *stop) => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = FIRST_PAUSE;
                let drain = Drain {
                    stop: shutdown.clone(),
                    _open: guard.clone(),
                };
                accept(&proxy, index, stream, peer, drain);
            }
            Err(error) if concerns_one_connection(error.kind()) => {}
            Err(error) => {
                tracing::warn!(%error, "accepting connections pauses; raise the limit of open files (ulimit -n)");
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    drop(listener);
    let patience = proxy.shared().pin().config.timeouts.drain;
    drop(guard);
    if timeout(patience, open.closed()).await.is_err() {
        let left = open.receiver_count();
        tracing::warn!(left, "connections were still open after the drain timeout");
    }
}

/// A connection's view of the shutdown: when to finish, and that it has.
struct Drain {
    stop: watch::Receiver<bool>,
    _open: watch::Receiver<()>,
}

impl Drain {
    /// Until the listener is told to stop, or whoever would tell it is gone.
    async fn begins(&mut self) {
        let _ = self.stop.wait_for(|stop| *stop).await;
    }
}

fn concerns_one_connection(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        kind,
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn accept(proxy: &Arc<Proxy>, index: usize, mut stream: TcpStream, peer: SocketAddr, drain: Drain) {
    let Some(slot) = proxy.admit() else {
        // Dropping it now costs the least; a page would need a task and, with TLS, a handshake.
        return;
    };
    let snapshot = proxy.shared().pin();
    let proxy = Arc::clone(proxy);
    tokio::spawn(async move {
        let _slot = slot;
        let _ = SockRef::from(&stream).set_tcp_nodelay(true);
        let Some(listener) = snapshot.config.listeners.get(index) else {
            return;
        };
        let settings = Settings::new(&snapshot, listener.http2);
        let patience = snapshot.config.timeouts.handshake;
        let announcing = &listener.proxy_protocol;
        let source = match proxy_protocol::source(&mut stream, peer, announcing, patience).await {
            Ok(source) => source,
            // Balancers look whether a port is open.
            Err(HeaderError::Broken(error)) => {
                return tracing::debug!(%peer, %error, "no PROXY protocol header");
            }
            Err(error) => return tracing::warn!(%peer, %error, "connection refused"),
        };
        let peer = source.address;
        if listener.tls.is_none() {
            // Requests pin their own: a connection that stays must not keep an old model in memory.
            drop(snapshot);
            let scheme = source.scheme.unwrap_or(Scheme::Http);
            return connection(&proxy, stream, peer, scheme, &settings, drain).await;
        }
        let Some(Some(tls)) = snapshot.tls.get(index).cloned() else {
            return;
        };
        let bounds = Bounds {
            patience,
            limit: snapshot.config.limits.handshakes,
        };
        let metrics = &proxy.shared().metrics;
        match handshake::accept(&tls, stream, proxy.handshakes(), bounds).await {
            Ok(accepted) => {
                metrics.handshake(if accepted.resumed { "resumed" } else { "full" });
                let settings = Settings {
                    http2: settings.http2 && !accepted.http1_only,
                    subject: accepted.subject.filter(|_| tls.passes_subject()),
                    ..settings
                };
                drop((snapshot, tls));
                connection(
                    &proxy,
                    accepted.stream,
                    peer,
                    Scheme::Https,
                    &settings,
                    drain,
                )
                .await;
            }
            Err(error) => {
                metrics.handshake(error.name());
                tracing::debug!(%peer, "{error}");
            }
        }
    });
}

/// What a connection takes from the snapshot that it was accepted under. Requests pin their own.
struct Settings {
    http2: bool,
    streams: u32,
    headers: usize,
    header_bytes: usize,
    timeouts: IoTimeouts,
    /// What the upstream is told of the client's certificate.
    subject: Option<HeaderValue>,
}

impl Settings {
    fn new(snapshot: &Snapshot, http2: bool) -> Self {
        let (limits, timeouts) = (&snapshot.config.limits, &snapshot.config.timeouts);
        Self {
            http2,
            streams: limits.http2_streams,
            headers: limits.headers,
            header_bytes: limits.header_bytes.as_usize().max(SMALLEST_BUFFER),
            timeouts: IoTimeouts {
                header: timeouts.header,
                idle: timeouts.idle,
            },
            subject: None,
        }
    }
}

async fn connection<S>(
    proxy: &Arc<Proxy>,
    stream: S,
    peer: SocketAddr,
    scheme: Scheme,
    settings: &Settings,
    mut drain: Drain,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let state = Arc::new(ConnectionState::default());
    let io = TokioIo::new(ClientIo::new(stream, Arc::clone(&state), settings.timeouts));
    let client =
        Arc::new(ClientConnection::new(peer, scheme, state).with_subject(settings.subject.clone()));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (proxy, client) = (Arc::clone(proxy), Arc::clone(&client));
        async move { Ok::<_, std::convert::Infallible>(proxy.serve(&client, request).await) }
    });
    let served = if settings.http2 {
        let builder = either_version(settings);
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        tokio::select! {
            served = connection.as_mut() => served.map_err(|error| error.to_string()),
            () = drain.begins() => {
                connection.as_mut().graceful_shutdown();
                connection.await.map_err(|error| error.to_string())
            }
        }
    } else {
        let mut connection = pin!(
            http1_only(settings)
                .serve_connection(io, service)
                .with_upgrades()
        );
        tokio::select! {
            served = connection.as_mut() => served.map_err(|error| error.to_string()),
            () = drain.begins() => {
                connection.as_mut().graceful_shutdown();
                connection.await.map_err(|error| error.to_string())
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error, "client connection ended early");
    }
}

fn either_version(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Deadlines for headers are kept by `ClientIo`, which can tell an idle connection from a slow one.
        .header_read_timeout(None)
        .max_headers(settings.headers)
        .max_buf_size(settings.header_bytes);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(u32::try_from(settings.header_bytes).unwrap_or(u32::MAX));
    builder
}

fn http1_only(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(settings.headers)
        .max_buf_size(settings.header_bytes);
    builder
}
