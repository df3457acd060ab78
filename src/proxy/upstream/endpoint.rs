//! One endpoint of an upstream: an address, the connections to it, its health and its counts.
//!
//! Not here: which endpoint a request goes to (`balance`).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::UpstreamError;
use super::connection::{One, SendError, Stream, Two};
use super::health::{Health, State};
use super::idle::IdlePool;
use super::wire;
use crate::config::{self, Address, Protocol};
use crate::proxy::outgoing::UpstreamBody;
use crate::tls::client::{Connector, Negotiated, Offer};

/// A connection that has just been given back may still be finishing. One that takes longer is stuck, as when an
/// origin answers early and does not read the rest: the request goes elsewhere.
const SETTLE: Duration = Duration::from_millis(50);

/// What connections depend on. An endpoint is kept over a reload that leaves this as it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    protocol: Protocol,
    security: Security,
    max_idle: usize,
    idle_timeout: Duration,
}

/// How connections are protected.
#[derive(Debug, Clone)]
enum Security {
    Cleartext,
    Tls(Connector),
    /// TLS is configured and has no connector. Never in clear then.
    Missing,
}

impl PartialEq for Security {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cleartext, Self::Cleartext) => true,
            (Self::Tls(ours), Self::Tls(theirs)) => ours.is_same(theirs),
            _ => false,
        }
    }
}

impl Settings {
    pub(super) fn of(upstream: &config::Upstream, tls: Option<Connector>) -> Self {
        Self {
            protocol: upstream.protocol,
            security: match tls {
                Some(tls) => Security::Tls(tls),
                None if upstream.tls.is_none() => Security::Cleartext,
                None => Security::Missing,
            },
            max_idle: upstream.max_idle,
            idle_timeout: upstream.idle_timeout,
        }
    }

    pub(super) fn connector(&self) -> Option<&Connector> {
        match &self.security {
            Security::Tls(tls) => Some(tls),
            Security::Cleartext | Security::Missing => None,
        }
    }

    fn scheme(&self) -> &'static Scheme {
        match self.security {
            Security::Cleartext => &Scheme::HTTP,
            Security::Tls(_) | Security::Missing => &Scheme::HTTPS,
        }
    }
}

/// Counts of one configured address: of all endpoints that its name resolves to, over every reload.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) ejections: AtomicU64,
    connect: AtomicU64,
    broken: AtomicU64,
    timeout: AtomicU64,
}

impl Counts {
    /// Counts a failed request.
    pub(super) fn failed(&self, error: &UpstreamError) {
        let counter = match error {
            UpstreamError::Connect(_) | UpstreamError::ConnectTimeout => &self.connect,
            UpstreamError::ResponseTimeout => &self.timeout,
            _ => &self.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Failed requests by cause.
    pub(super) fn failures(&self) -> [(&'static str, u64); 3] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("connect", of(&self.connect)),
            ("broken", of(&self.broken)),
            ("timeout", of(&self.timeout)),
        ]
    }
}

/// An address and the connections to it.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// As configured.
    pub(super) address: Address,
    /// What it resolved to.
    pub(super) socket: SocketAddr,
    pub(super) health: Health,
    pub(super) counts: Arc<Counts>,
    settings: Settings,
    /// In place of a host that the client did not name.
    authority: Authority,
    /// Requests under way.
    active: AtomicUsize,
    /// Whether it was offered HTTP/2 and chose HTTP/1.1 the last time.
    declined: AtomicBool,
    idle: IdlePool,
    /// HTTP/2 connections; replaced as a whole, so that requests only read.
    shared: ArcSwap<Vec<Arc<Two>>>,
    /// Held while one is opened: the requests that wait for it mean to share it.
    opening: Mutex<()>,
}

/// Whether a connection that has been used before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fresh {
    Allowed,
    Required,
}

/// Whether a request asks to switch protocols, which only HTTP/1.1 can.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Upgrade {
    None,
    Wanted,
}

/// A fresh connection.
enum Spoken {
    One(One),
    Two(Arc<Two>),
}

impl Spoken {
    async fn one<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
    ) -> io::Result<Self> {
        One::open(stream).await.map(Self::One)
    }

    async fn two<S: AsyncRead + AsyncWrite + Unpin + Send + 'static>(
        stream: S,
    ) -> io::Result<Self> {
        Two::open(stream).await.map(|two| Self::Two(Arc::new(two)))
    }
}

fn no_room() -> io::Error {
    io::Error::other("a new connection has no room")
}

/// A connection, or a share of one, that one request uses.
#[derive(Debug)]
pub(super) enum Used {
    One(One),
    Two(Stream),
}

impl Used {
    /// No request after those that are on it.
    pub(super) fn retire(&self) {
        if let Self::Two(stream) = self {
            stream.retire();
        }
    }
}

/// A connection taken for a request.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) connection: Used,
    /// Whether another request used it before.
    pub(super) reused: bool,
}

/// A request under way at an endpoint, until dropped.
#[derive(Debug)]
pub(super) struct Active(Arc<Endpoint>);

impl Drop for Active {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::ops::Deref for Active {
    type Target = Arc<Endpoint>;

    fn deref(&self) -> &Arc<Endpoint> {
        &self.0
    }
}

impl Endpoint {
    pub(super) fn new(
        address: Address,
        socket: SocketAddr,
        settings: Settings,
        counts: Arc<Counts>,
    ) -> Arc<Self> {
        Arc::new(Self {
            authority: Authority::try_from(address.to_string())
                .unwrap_or_else(|_| Authority::from_static("localhost")),
            address,
            socket,
            health: Health::default(),
            counts,
            active: AtomicUsize::new(0),
            declined: AtomicBool::new(false),
            idle: IdlePool::new(settings.max_idle, settings.idle_timeout),
            settings,
            shared: ArcSwap::default(),
            opening: Mutex::new(()),
        })
    }

    /// Whether it is the one that a new configuration or resolution would make.
    pub(super) fn is(&self, address: &Address, socket: SocketAddr, settings: &Settings) -> bool {
        self.socket == socket && self.address == *address && self.settings == *settings
    }

    pub(super) fn state(&self) -> State {
        self.health.state()
    }

    /// Requests under way.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Connections without a request, and connections shared by several.
    pub(super) fn connections(&self) -> (usize, usize) {
        (self.idle.len(), self.shared.load().len())
    }

    /// A request begins here.
    pub(super) fn begin(self: &Arc<Self>) -> Active {
        self.active.fetch_add(1, Ordering::Relaxed);
        Active(Arc::clone(self))
    }

    /// A connection for one request.
    pub(super) async fn connection(
        &self,
        deadline: Instant,
        upgrade: Upgrade,
        fresh: Fresh,
    ) -> Result<Taken, UpstreamError> {
        if fresh == Fresh::Required {
            self.idle.clear();
        }
        let taken = async {
            match (self.settings.protocol, upgrade) {
                (Protocol::Http1, _) | (Protocol::Auto, Upgrade::Wanted) => {
                    self.one(Offer::Http1).await
                }
                (Protocol::Http2, _) => self.two(Offer::Http2).await,
                (Protocol::Auto, Upgrade::None) if self.declined.load(Ordering::Relaxed) => {
                    self.one(Offer::Either).await
                }
                (Protocol::Auto, Upgrade::None) => self.two(Offer::Either).await,
            }
        };
        match timeout_at(deadline, taken).await {
            Ok(taken) => taken.map_err(UpstreamError::Connect),
            Err(_) => Err(UpstreamError::ConnectTimeout),
        }
    }

    /// An idle connection, or one of its own.
    async fn one(&self, offer: Offer) -> io::Result<Taken> {
        while let Some(mut idle) = self.idle.take() {
            if idle.settles(SETTLE).await {
                return Ok(Taken {
                    connection: Used::One(idle),
                    reused: true,
                });
            }
        }
        self.open(offer).await
    }

    /// Room on a connection that others use too.
    async fn two(&self, offer: Offer) -> io::Result<Taken> {
        if let Some(taken) = self.room() {
            return Ok(taken);
        }
        let opening = self.opening.lock().await;
        // Another request may have opened one meanwhile, or learned that there is none to share.
        if let Some(taken) = self.room() {
            return Ok(taken);
        }
        if offer == Offer::Either && self.declined.load(Ordering::Relaxed) {
            drop(opening);
            return self.one(offer).await;
        }
        self.open(offer).await
    }

    /// Room on an open HTTP/2 connection.
    fn room(&self) -> Option<Taken> {
        let open = self.shared.load();
        let stream = open.iter().find_map(Two::stream)?;
        Some(Taken {
            connection: Used::Two(stream),
            reused: true,
        })
    }

    async fn open(&self, offer: Offer) -> io::Result<Taken> {
        let connection = match self.speak(offer).await? {
            Spoken::One(one) => Used::One(one),
            Spoken::Two(two) => {
                let stream = two.stream().ok_or_else(no_room)?;
                self.shared.rcu(|open| {
                    let mut open = open.as_ref().clone();
                    open.retain(|other| !other.is_closed());
                    open.push(Arc::clone(&two));
                    open
                });
                Used::Two(stream)
            }
        };
        Ok(Taken {
            connection,
            reused: false,
        })
    }

    async fn speak(&self, offer: Offer) -> io::Result<Spoken> {
        let stream = self.connect().await?;
        match &self.settings.security {
            Security::Cleartext if offer == Offer::Http2 => Spoken::two(stream).await,
            Security::Cleartext => Spoken::one(stream).await,
            Security::Missing => Err(io::Error::other("TLS is configured and was not set up")),
            Security::Tls(tls) => {
                let (stream, agreed) = tls.connect(stream, &self.address.host, offer).await?;
                if offer == Offer::Either {
                    let declined = agreed == Negotiated::Http1;
                    self.declined.store(declined, Ordering::Relaxed);
                }
                match (agreed, offer) {
                    (Negotiated::Http2, _) => Spoken::two(stream).await,
                    (Negotiated::Http1, Offer::Http2) => Err(io::Error::other(
                        "it does not speak HTTP/2; set `protocol: http1` or `auto` for the upstream",
                    )),
                    (Negotiated::Http1, _) => Spoken::one(stream).await,
                }
            }
        }
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect(self.socket).await?;
        stream.set_nodelay(true)?;
        self.counts.connections.fetch_add(1, Ordering::Relaxed);
        Ok(stream)
    }

    /// A connection that no request shares, for a check.
    pub(super) async fn probe_connection(&self) -> io::Result<Used> {
        let offer = match self.settings.protocol {
            Protocol::Http1 | Protocol::Auto => Offer::Http1,
            Protocol::Http2 => Offer::Http2,
        };
        match self.speak(offer).await? {
            Spoken::One(one) => Ok(Used::One(one)),
            Spoken::Two(two) => two.stream().map(Used::Two).ok_or_else(no_room),
        }
    }

    /// Whether a connection can be made at all.
    pub(super) async fn probe(&self) -> io::Result<()> {
        self.connect().await.map(drop)
    }

    /// Sends a request over a connection of this endpoint.
    pub(super) async fn send(
        &self,
        connection: &mut Used,
        mut request: Request<UpstreamBody>,
    ) -> Result<Response<Incoming>, SendError> {
        match connection {
            Used::One(connection) => {
                wire::to_http1(&mut request);
                connection.send(request).await
            }
            Used::Two(stream) => {
                wire::to_http2(&mut request, self.settings.scheme(), &self.authority);
                stream.send(request).await
            }
        }
    }

    /// Takes a connection back whose response has been read to its end.
    pub(super) fn give_back(&self, connection: Used) {
        if let Used::One(connection) = connection
            && !connection.is_closed()
        {
            self.idle.put(connection);
        }
    }

    /// Closes what nobody uses any more. HTTP/2 connections close at the second sweep that finds them idle.
    pub(super) fn sweep(&self) {
        self.idle.sweep();
        let open = self.shared.load_full();
        let unused: Vec<&Arc<Two>> = open.iter().filter(|two| two.is_unused()).collect();
        if unused.is_empty() {
            return;
        }
        self.shared.rcu(|open| {
            let mut open = open.as_ref().clone();
            open.retain(|two| !unused.iter().any(|unused| Arc::ptr_eq(unused, two)));
            open
        });
    }
}

#[cfg(test)]
impl Endpoint {
    pub(super) fn take_down(&self) {
        self.health.checked(false);
    }
}

/// An endpoint that nothing listens at.
#[cfg(test)]
pub(super) fn test_endpoint(port: u16) -> Arc<Endpoint> {
    let socket = SocketAddr::from(([127, 0, 0, 1], port));
    let address = Address {
        host: "127.0.0.1".to_owned(),
        port,
    };
    let settings = Settings {
        protocol: Protocol::Http1,
        security: Security::Cleartext,
        max_idle: 1,
        idle_timeout: Duration::from_secs(1),
    };
    Endpoint::new(address, socket, settings, Arc::default())
}
