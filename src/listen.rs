//! Client connections: accept loop, connection limit, TLS, and the HTTP server that hands requests to the proxy.
//!
//! Not here: what happens to a request (`proxy`). A listener never ends because of a client or because the process
//! ran out of descriptors; it ends when it is told to, and then lets requests in flight finish.

pub mod client;
mod frames;
pub mod framing;
pub mod head;
mod io;
pub mod proxy_protocol;
pub mod socket;
mod state;
pub mod violation;

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

pub use framing::is_forbidden_trailer;
pub use head::HeadLimits;
pub use state::{ConnectionState, InFlight};

use self::io::{ClientIo, IoTimeouts, Rules};
use self::proxy_protocol::HeaderError;
use self::socket::{Farewell, Listening};
use crate::config::Listener;
use crate::proxy::headers::Scheme;
use crate::proxy::respond::{self, Interruption};
use crate::proxy::{ClientConnection, ClientSlot, Proxy, Slot};
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
/// What HTTP/2 counts for a field beside its name and value (RFC 9113, 6.5.2).
const FIELD_OVERHEAD: usize = 32;
/// Streams that h2 resets for a client's mistakes before it ends the connection; `frames` counts them as well.
const LOCAL_RESETS: usize = 256;

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
        let slot = match self.proxy.admit() {
            Ok(slot) => slot,
            Err(why) => {
                let snapshot = self.proxy.shared().pin();
                let listener = snapshot.config.listeners.get(self.index);
                let scheme = listener.map_or(Scheme::Https, scheme_of);
                return turn_away(&stream, &why, scheme);
            }
        };
        let arrival = Arrival {
            peer,
            stop: self.stop.clone(),
            place: Place {
                client: None,
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

/// What a connection holds until its last byte, also as a tunnel: its room under the limits, and its name on the list of
/// those that a drain waits for.
#[derive(Debug)]
pub(crate) struct Place {
    client: Option<ClientSlot>,
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
        let scheme = scheme_of(listener);
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
        match proxy.admit_client(&snapshot, peer.ip()) {
            Ok(slot) => arrival.place.client = Some(slot),
            Err(why) => return turn_away(&stream, &why, scheme),
        }
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
                    rules: Rules {
                        http2: settings.rules.http2 && !accepted.http1_only,
                        ..settings.rules
                    },
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

fn scheme_of(listener: &Listener) -> Scheme {
    match listener.tls {
        Some(_) => Scheme::Https,
        None => Scheme::Http,
    }
}

/// Says why before closing, as far as the socket takes it at once: whoever floods us is not waited for.
fn turn_away(stream: &TcpStream, why: &Interruption, scheme: Scheme) {
    tracing::debug!(cause = why.name(), "connection refused");
    // Nothing can be said before a handshake, which would cost more than the connection is worth.
    if scheme == Scheme::Http {
        let _ = stream.try_write(&respond::raw(why));
    }
}

/// What a connection takes from the snapshot that it was accepted under. Requests pin their own.
struct Settings {
    rules: Rules,
    streams: u32,
    /// What the upstream is told of the client's certificate.
    subject: Option<HeaderValue>,
    requests: u64,
}

impl Settings {
    fn new(snapshot: &Snapshot, http2: bool) -> Self {
        let (limits, timeouts) = (&snapshot.config.limits, &snapshot.config.timeouts);
        Self {
            streams: limits.http2_streams,
            requests: limits.requests_per_connection as u64,
            rules: Rules {
                http2,
                head: HeadLimits {
                    fields: limits.headers,
                    bytes: limits.header_bytes.as_usize(),
                    target: limits.target_bytes.as_usize(),
                },
                timeouts: IoTimeouts {
                    header: timeouts.header,
                    idle: timeouts.idle,
                },
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
    let state = Arc::new(ConnectionState::new(settings.requests));
    state.occupy(place);
    let client = ClientConnection::new(peer, scheme, Arc::clone(&state))
        .with_subject(settings.subject.clone());
    let client = Arc::new(client);
    let report = {
        let (proxy, client) = (Arc::clone(proxy), Arc::clone(&client));
        Box::new(move |abuse| proxy.abused(&client, abuse))
    };
    let io = ClientIo::new(stream, Arc::clone(&state), settings.rules, report);
    let io = TokioIo::new(io);
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let (proxy, client) = (Arc::clone(proxy), Arc::clone(&client));
        state.speaks(request.version());
        // In a box that goes with the request: hyper keeps room for a request's state, here tens of KiB, as long as the
        // connection lasts, and most connections are idle.
        Box::pin(async move {
            let version = request.version();
            let mut response = proxy.serve(&client, request).await;
            if !proxy.shared().is_ready() {
                say_goodbye(version, &mut response);
            }
            Ok::<_, Infallible>(response)
        })
    });
    let last_request = async {
        tokio::select! {
            () = farewell(stop, &state, proxy) => {}
            () = state.exhausted() => {}
        }
    };
    let served = if settings.rules.http2 {
        let builder = either_version(settings);
        let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
        tokio::select! {
            served = connection.as_mut() => served.map_err(|error| error.to_string()),
            () = last_request => {
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
            () = last_request => {
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

impl Settings {
    /// hyper's own limits lie behind those of `ClientIo`, so that it never refuses a head by itself.
    fn buffer(&self) -> usize {
        self.rules.head.bytes + SMALLEST_BUFFER
    }

    fn fields(&self) -> usize {
        self.rules.head.fields + 1
    }

    /// Between the limit and twice as much the proxy answers; beyond, h2 drops the fields as it decodes them.
    fn header_list(&self) -> u32 {
        let bytes = 2 * (self.rules.head.bytes + self.rules.head.fields * FIELD_OVERHEAD);
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

fn either_version(settings: &Settings) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // Deadlines for headers are kept by `ClientIo`, which can tell an idle connection from a slow one.
        .header_read_timeout(None)
        .max_headers(settings.fields())
        .max_buf_size(settings.buffer());
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(settings.streams)
        .max_local_error_reset_streams(LOCAL_RESETS)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(settings.header_list());
    builder
}

fn http1_only(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(None)
        .max_headers(settings.fields())
        .max_buf_size(settings.buffer());
    builder
}

#[cfg(test)]
mod tests;
