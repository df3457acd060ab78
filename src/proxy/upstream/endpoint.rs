//! One endpoint of an upstream and the connections to it.
//!
//! Not here: which endpoint a request goes to.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use http::uri::{Authority, Scheme};
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout_at};

use super::UpstreamError;
use super::connection::{One, SendError, Stream, Two};
use super::idle::IdlePool;
use super::wire;
use crate::config::{Protocol, Upstream};
use crate::proxy::outgoing::UpstreamBody;
use crate::tls::client::{Connector, Negotiated, Offer};

/// A connection that has just been given back may still be finishing. One that takes longer is stuck, as when an
/// origin answers early and does not read the rest: the request goes elsewhere.
const SETTLE: Duration = Duration::from_millis(50);

/// Connections to one endpoint.
#[derive(Debug)]
pub(super) struct Endpoint {
    host: String,
    port: u16,
    security: Security,
    /// In place of a host that the client did not name.
    authority: Authority,
    protocol: Protocol,
    idle: IdlePool,
    /// HTTP/2 connections; replaced as a whole, so that requests only read.
    shared: ArcSwap<Vec<Arc<Two>>>,
    /// Held while one is opened: the requests that wait for it mean to share it.
    opening: Mutex<()>,
}

/// How a connection to the endpoint is protected.
#[derive(Debug)]
enum Security {
    Cleartext,
    Tls(Connector),
    /// TLS is configured and has no connector. Never in clear then.
    Missing,
}

/// Whether a connection that has been used before will do.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Fresh {
    Allowed,
    Required,
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

impl Endpoint {
    pub(super) fn new(upstream: &Upstream, tls: Option<Connector>) -> Self {
        let host = if upstream.host.contains(':') {
            format!("[{}]", upstream.host)
        } else {
            upstream.host.clone()
        };
        Self {
            authority: Authority::try_from(format!("{host}:{}", upstream.port))
                .unwrap_or_else(|_| Authority::from_static("localhost")),
            host: upstream.host.clone(),
            port: upstream.port,
            security: match tls {
                Some(tls) => Security::Tls(tls),
                None if upstream.tls.is_none() => Security::Cleartext,
                None => Security::Missing,
            },
            protocol: upstream.protocol,
            idle: IdlePool::new(upstream.max_idle, upstream.idle_timeout),
            shared: ArcSwap::default(),
            opening: Mutex::new(()),
        }
    }

    /// A connection for one request.
    pub(super) async fn connection(
        &self,
        deadline: Instant,
        fresh: Fresh,
    ) -> Result<Taken, UpstreamError> {
        let taken = async {
            match self.protocol {
                Protocol::Http1 => self.one(fresh).await,
                Protocol::Http2 => self.two().await,
            }
        };
        match timeout_at(deadline, taken).await {
            Ok(taken) => taken.map_err(UpstreamError::Connect),
            Err(_) => Err(UpstreamError::ConnectTimeout),
        }
    }

    async fn one(&self, fresh: Fresh) -> io::Result<Taken> {
        if fresh == Fresh::Required {
            self.idle.clear();
        }
        while let Some(mut idle) = self.idle.take() {
            if idle.settles(SETTLE).await {
                return Ok(Taken {
                    connection: Used::One(idle),
                    reused: true,
                });
            }
        }
        let stream = self.connect().await?;
        let connection = match &self.security {
            Security::Cleartext => One::open(stream).await?,
            Security::Tls(tls) => {
                let (stream, _) = tls.connect(stream, &self.host, Offer::Http1).await?;
                One::open(stream).await?
            }
            Security::Missing => return Err(missing()),
        };
        Ok(Taken {
            connection: Used::One(connection),
            reused: false,
        })
    }

    async fn two(&self) -> io::Result<Taken> {
        let shared = |stream, reused| Taken {
            connection: Used::Two(stream),
            reused,
        };
        if let Some(stream) = self.room() {
            return Ok(shared(stream, true));
        }
        let _opening = self.opening.lock().await;
        // Another request may have opened one meanwhile.
        if let Some(stream) = self.room() {
            return Ok(shared(stream, true));
        }
        let connection = Arc::new(self.open_two().await?);
        let stream = connection.stream();
        self.shared.rcu(|open| {
            let mut open = open.as_ref().clone();
            open.retain(|other| !other.is_closed());
            open.push(Arc::clone(&connection));
            open
        });
        let stream = stream.ok_or_else(|| io::Error::other("a new connection has no room"))?;
        Ok(shared(stream, false))
    }

    async fn open_two(&self) -> io::Result<Two> {
        let stream = self.connect().await?;
        match &self.security {
            Security::Cleartext => Two::open(stream).await,
            Security::Tls(tls) => {
                let (stream, spoken) = tls.connect(stream, &self.host, Offer::Http2).await?;
                if spoken != Negotiated::Http2 {
                    return Err(io::Error::other(
                        "it does not speak HTTP/2; set `protocol: http1` for the upstream",
                    ));
                }
                Two::open(stream).await
            }
            Security::Missing => Err(missing()),
        }
    }

    /// Whether connections made with `tls` are as good as those of this endpoint.
    pub(super) fn trusts_as(&self, tls: Option<&Connector>) -> bool {
        match (&self.security, tls) {
            (Security::Cleartext, None) => true,
            (Security::Tls(ours), Some(theirs)) => ours.is_same(theirs),
            _ => false,
        }
    }

    /// Room on an open HTTP/2 connection.
    fn room(&self) -> Option<Stream> {
        let open = self.shared.load();
        open.iter().find_map(Two::stream)
    }

    async fn connect(&self) -> io::Result<TcpStream> {
        let stream = TcpStream::connect((self.host.as_str(), self.port)).await?;
        stream.set_nodelay(true)?;
        Ok(stream)
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
                let scheme = match self.security {
                    Security::Cleartext => &Scheme::HTTP,
                    Security::Tls(_) | Security::Missing => &Scheme::HTTPS,
                };
                wire::to_http2(&mut request, scheme, &self.authority);
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

fn missing() -> io::Error {
    io::Error::other("TLS is configured and was not set up")
}
