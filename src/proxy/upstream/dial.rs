//! From a fresh stream to a connection that speaks HTTP, with TLS where it is configured.
//!
//! Not here: which connections there are (`endpoint`), and trust (`tls::client`).

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::uri::Scheme;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use super::connection::{One, Two};
use crate::config::{self, Protocol};
use crate::tls::client::{Connector, Negotiated, Offer};

/// What connections depend on. An endpoint is kept over a reload that leaves this as it was.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    pub(super) protocol: Protocol,
    security: Security,
    pub(super) max_idle: usize,
    pub(super) idle_timeout: Duration,
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

    pub(super) fn scheme(&self) -> &'static Scheme {
        match self.security {
            Security::Cleartext => &Scheme::HTTP,
            Security::Tls(_) | Security::Missing => &Scheme::HTTPS,
        }
    }

    /// Makes a connection of a fresh stream to `host`, in a version that is offered.
    pub(super) async fn speak(
        &self,
        stream: TcpStream,
        host: &str,
        offer: Offer,
    ) -> io::Result<Spoken> {
        match &self.security {
            Security::Cleartext if offer == Offer::Http2 => Spoken::two(stream).await,
            Security::Cleartext => Spoken::one(stream).await,
            Security::Missing => Err(io::Error::other("TLS is configured and was not set up")),
            Security::Tls(tls) => match (tls.connect(stream, host, offer).await?, offer) {
                ((stream, Negotiated::Http2), _) => Spoken::two(stream).await,
                ((_, Negotiated::Http1), Offer::Http2) => Err(io::Error::other(
                    "it does not speak HTTP/2; set `protocol: http1` or `auto` for the upstream",
                )),
                ((stream, Negotiated::Http1), _) => Spoken::one(stream).await,
            },
        }
    }
}

/// In clear, with little patience.
#[cfg(test)]
impl Settings {
    pub(super) fn test() -> Self {
        Self {
            protocol: Protocol::Http1,
            security: Security::Cleartext,
            max_idle: 1,
            idle_timeout: Duration::from_secs(1),
        }
    }
}

/// A fresh connection.
pub(super) enum Spoken {
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
