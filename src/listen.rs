//! Client connections: accept loop, connection limit, TLS, and the HTTP server that hands requests to the proxy.
//!
//! Not here: what happens to a request (`proxy`). A listener never ends because of a client or because the process
//! ran out of descriptors; it ends when it is told to, and then lets requests in flight finish.

pub mod client;
pub mod framing;
mod io;
pub mod proxy_protocol;
pub mod socket;

use std::convert::Infallible;
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http::header::{self, HeaderValue};
use http::{Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

pub use io::{ConnectionState, InFlight};

use self::io::{ClientIo, IoTimeouts};
use self::proxy_protocol::HeaderError;
use self::socket::{Farewell, Listening};
use crate::proxy::headers::Scheme;
use crate::proxy::{ClientConnection, Proxy, Slot};
use crate::runtime::Snapshot;
use crate::tls::handshake::{self, Bounds};

/// Back-off after `accept` failed for want of descriptors or memory.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_secs(1);
/// How long handshakes that were under way when another process took over may take.
const SETTLE: Duration = Duration::from_secs(1);
/// hyper's lower bound for its buffer.
const SMALLEST_BUFFER: usize = 8 * 1024;
/// HTTP/2 flow control windows: what one stream and one connection may send ahead of being read, and so what they
/// may make us hold.
const STREAM_WINDOW: u32 = 64 * 1024;
const CONNECTION_WINDOW: u32 = 256 * 1024;

/// Serves one socket of the configuration's `index`th listener until `stop` turns true (or its sender is gone), then
/// drains.
pub async fn serve(
    listening: Listening,
    index: usize,
    proxy: Arc<Proxy>,
    mut stop: watch::Receiver<bool>,
) {
    let succession = listening.succession();
    let listener = match listening.into_tokio() {
        Ok(listener) => listener,
        Err(error) => return tracing::error!(%error, "a listener cannot be served"),
    };
    // Closed when the last connection has dropped its end.
    let (open, guard) = watch::channel(());
    let mut gate = Gate {
        index,
        proxy,
        stop: stop.clone(),
        open: guard,
    };
    tokio::select! {
        () = gate.accept_all(&listener) => {}
        _ = stop.wait_for(|stop| *stop) => {}
    }
    match succession.step_back(&listener) {
        Farewell::Leave => {}
        Farewell::EmptyQueue => gate.empty_queue(listener),
        Farewell::Settle => {
            let _settled = timeout(SETTLE, gate.accept_all(&listener)).await;
            gate.empty_queue(listener);
        }
    }
    let patience = gate.proxy.shared().pin().config.timeouts.drain;
    drop(gate);
    if timeout(patience, open.closed()).await.is_err() {
        let left = open.receiver_count();
        tracing::warn!(left, "connections were still open after the drain timeout");
    }
}

/// Lets connections of one socket in.
struct Gate {
    index: usize,
    proxy: Arc<Proxy>,
    stop: watch::Receiver<bool>,
    open: watch::Receiver<()>,
}

impl Gate {
    /// Accepts for ever. May be dropped at any time.
    async fn accept_all(&mut self, listener: &TcpListener) {
        let mut pause = FIRST_PAUSE;
        loop {
            match listener.accept().await {
                Ok((stream, peer)) => {
                    pause = FIRST_PAUSE;
                    self.admit(stream, peer);
                }
                Err(error) if concerns_one_connection(error.kind()) => {}
                Err(error) => {
                    tracing::warn!(%error, "accepting connections pauses; raise the limit of open files (ulimit -n)");
                    sleep(pause).await;
                    pause = (pause * 2).min(LONGEST_PAUSE);
                }
            }
        }
    }

    /// Accepts those that wait, and closes.
    fn empty_queue(&self, listener: TcpListener) {
        let Ok(listener) = listener.into_std() else {
            return;
        };
        while let Ok((stream, peer)) = listener.accept() {
            let stream = stream
                .set_nonblocking(true)
                .and_then(|()| TcpStream::from_std(stream));
            if let Ok(stream) = stream {
                self.admit(stream, peer);
            }
        }
    }

    fn admit(&self, stream: TcpStream, peer: SocketAddr) {
        let Some(slot) = self.proxy.admit() else {
            // Dropping it now costs the least; a page would need a task and, with TLS, a handshake.
            return;
        };
        let arrival = Arrival {
            peer,
            stop: self.stop.clone(),
            place: Place {
                _slot: slot,
                _open: self.open.clone(),
            },
        };
        accept(&self.proxy, self.index, stream, arrival);
    }
}

/// A connection that was let in.
struct Arrival {
    peer: SocketAddr,
    stop: watch::Receiver<bool>,
    place: Place,
}

/// What a connection holds until its last byte, also as a tunnel: its room under the limit, and its name on the list of
/// those that a drain waits for.
#[derive(Debug)]
pub(crate) struct Place {
    _slot: Slot,
    _open: watch::Receiver<()>,
}

/// Until the connection should end: at once for HTTP/2, which tells the client so without a race. An idle HTTP/1
/// connection is kept a little, because a request may be under way on it; its answer says `Connection: close`.
async fn farewell(mut stop: watch::Receiver<bool>, state: &ConnectionState, proxy: &Proxy) {
    drop(stop.wait_for(|stop| *stop).await);
    if !state.is_http2() {
        sleep(proxy.shared().pin().config.timeouts.drain_idle).await;
    }
}

fn concerns_one_connection(kind: ErrorKind) -> bool {
    use ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(
        kind,
        ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted
    )
}

fn accept(proxy: &Arc<Proxy>, index: usize, mut stream: TcpStream, mut arrival: Arrival) {
    let snapshot = proxy.shared().pin();
    let proxy = Arc::clone(proxy);
    let peer = arrival.peer;
    tokio::spawn(async move {
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
        arrival.peer = peer;
        if listener.tls.is_none() {
            // Requests pin their own: a connection that stays must not keep an old model in memory.
            drop(snapshot);
            let scheme = source.scheme.unwrap_or(Scheme::Http);
            return connection(&proxy, stream, scheme, &settings, arrival).await;
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
                connection(&proxy, accepted.stream, Scheme::Https, &settings, arrival).await;
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
    scheme: Scheme,
    settings: &Settings,
    arrival: Arrival,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Arrival { peer, stop, place } = arrival;
    let state = Arc::new(ConnectionState::default());
    state.occupy(place);
    let farewell = farewell(stop, &state, proxy);
    let io = TokioIo::new(ClientIo::new(stream, Arc::clone(&state), settings.timeouts));
    let client = ClientConnection::new(peer, scheme, Arc::clone(&state));
    let client = Arc::new(client.with_subject(settings.subject.clone()));
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (proxy, client) = (Arc::clone(proxy), Arc::clone(&client));
        state.speaks(request.version());
        async move {
            let version = request.version();
            let mut response = proxy.serve(&client, request).await;
            if !proxy.shared().is_ready() {
                say_goodbye(version, &mut response);
            }
            Ok::<_, Infallible>(response)
        }
    });
    let served = if settings.http2 {
        let builder = either_version(settings);
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        tokio::select! {
            served = connection.as_mut() => served.map_err(|error| error.to_string()),
            () = farewell => {
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
            () = farewell => {
                connection.as_mut().graceful_shutdown();
                connection.await.map_err(|error| error.to_string())
            }
        }
    };
    if let Err(error) = served {
        tracing::debug!(%peer, error, "client connection ended early");
    }
}

/// Tells an HTTP/1 client to come back on another connection. HTTP/2 clients are told by the connection itself.
fn say_goodbye<B>(version: Version, response: &mut Response<B>) {
    if version < Version::HTTP_2 && response.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(header::CONNECTION, close);
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

#[cfg(test)]
mod tests;
