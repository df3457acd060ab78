//! One endpoint of an upstream: an address, the connections to it, its health and its counts.
//!
//! Not here: which endpoint a request goes to (`balance`).

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::Authority;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::UpstreamError;
use super::connection::{One, SendError, Stream, Two};
use super::counts::Counts;
use super::dial::{Settings, Spoken};
use super::health::{Health, State};
use super::idle::IdlePool;
use super::wire;
use crate::config::{Address, Protocol};
use crate::proxy::outgoing::UpstreamBody;
use crate::tls::client::Offer;

/// A connection that has just been given back may still be finishing. One that takes longer is stuck, as when an
/// origin answers early and does not read the rest: the request goes elsewhere.
const SETTLE: Duration = Duration::from_millis(50);

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
        self.opened(offer).await
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
        self.opened(offer).await
    }

    /// A new connection. Most requests need none, so what opening takes (10 KiB) is not in the state of each.
    fn opened(&self, offer: Offer) -> Pin<Box<dyn Future<Output = io::Result<Taken>> + Send + '_>> {
        Box::pin(self.open(offer))
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
        let spoken = self
            .settings
            .speak(stream, &self.address.host, offer)
            .await?;
        if offer == Offer::Either {
            let declined = matches!(spoken, Spoken::One(_));
            self.declined.store(declined, Ordering::Relaxed);
        }
        Ok(spoken)
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
    Endpoint::new(address, socket, Settings::test(), Arc::default())
}
