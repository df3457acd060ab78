//! One request: its phases, in order.
//!
//! Not here: how a decision comes about (`detect`), and anything that outlives a request except the upstream pools and
//! the two process-wide bounds, connections and held bytes. Every way out of a phase is an [`Interruption`], and the
//! log phase runs at the end of all of them (`transaction`).

pub mod body;
mod forward;
mod forwarding;
pub mod guard;
pub mod headers;
mod inspect;
pub mod outgoing;
pub mod respond;
mod response;
mod transaction;
mod tunnel;
pub mod upstream;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Request, Response};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::body::{BodyError, Crowded, Held, HeldBudget, HoldPolicy};
use self::guard::{HeadLimits, Refusal};
use self::headers::{REQUEST_ID, Scheme, Upgrade};
use self::respond::{Interruption, id_value};
use self::response::ResponseBody;
use self::transaction::Transaction;
use self::upstream::Upstreams;
use crate::config::{Beyond, Mode};
use crate::detect::{self, Cause};
use crate::listen::ConnectionState;
use crate::runtime::{Route, Shared};
use crate::telemetry::{Metrics, panics};
use crate::tls::handshake::Handshakes;

/// What all requests share beside [`Shared`].
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    upstreams: Upstreams,
    held: HeldBudget,
    connections: Arc<Semaphore>,
    /// Room for requests in flight: what comes beyond is turned away before it is read.
    requests: Arc<Semaphore>,
    handshakes: Handshakes,
}

/// A client connection as its requests see it.
#[derive(Debug)]
pub struct ClientConnection {
    peer: SocketAddr,
    scheme: Scheme,
    state: Arc<ConnectionState>,
    /// Requests so far: names the request that a framing violation belongs to.
    requests: AtomicU64,
    /// Of the client's certificate, for the upstream.
    subject: Option<HeaderValue>,
}

impl ClientConnection {
    /// A connection that has just been accepted.
    pub fn new(peer: SocketAddr, scheme: Scheme, state: Arc<ConnectionState>) -> Self {
        Self {
            peer,
            scheme,
            state,
            requests: AtomicU64::new(0),
            subject: None,
        }
    }

    /// The same with the subject that the upstream is told.
    pub fn with_subject(self, subject: Option<HeaderValue>) -> Self {
        Self { subject, ..self }
    }
}

/// Room for one client connection, given back when dropped.
#[derive(Debug)]
pub struct Slot {
    metrics: Arc<Metrics>,
    _permit: OwnedSemaphorePermit,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.metrics.connections.dec();
    }
}

impl Proxy {
    /// A proxy over `shared`. `limits.connections`, `limits.requests` and `limits.inspect_memory` of the present configuration hold for
    /// the life of the process.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        let limits = shared.pin().config.limits;
        Arc::new(Self {
            upstreams: Upstreams::default(),
            held: HeldBudget::new(limits.inspect_memory.as_usize()),
            connections: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
            handshakes: Handshakes::default(),
            shared,
        })
    }

    /// TLS handshakes under way on all listeners.
    pub(crate) const fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Snapshot and long-lived state.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Room for one more connection, if there is any.
    pub(crate) fn admit(&self) -> Option<Slot> {
        let metrics = Arc::clone(&self.shared.metrics);
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            metrics.connections_refused.inc();
            return None;
        };
        metrics.connections.inc();
        Some(Slot {
            metrics,
            _permit: permit,
        })
    }

    /// Answers one request, whatever happens.
    pub async fn serve(
        &self,
        connection: &ClientConnection,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        let mut tx = Transaction::begin(&self.shared, connection, &head);
        tx.room = Arc::clone(&self.requests).try_acquire_owned().ok();
        // A panic ends one request. What it leaves behind is the transaction, whose fields are plain values.
        let phases = panics::caught(self.phases(&mut tx, connection, head, body));
        let why = match phases.await {
            Ok(Ok(response)) => return response::finish(response, tx),
            Ok(Err(why)) => why,
            Err(panic) => {
                tracing::error!(request_id = %tx.id, place = panic.place, "a request panicked");
                Interruption::Internal
            }
        };
        response::interrupt(&why, tx)
    }

    async fn phases(
        &self,
        tx: &mut Transaction,
        connection: &ClientConnection,
        mut head: Parts,
        body: Incoming,
    ) -> Result<forward::Answer, Interruption> {
        #[cfg(test)]
        crate::testing::panic_if_told(&head);
        if tx.room.is_none() {
            return Err(Interruption::Overloaded);
        }
        let upgrade = sanity(tx, connection, &mut head).inspect_err(|_| attribute(tx, &head))?;
        route(tx)?;
        rate_limit(tx)?;
        encoding(tx, &head.headers)?;
        let body = self.hold(tx, body).await?;
        inspect::inspect(&self.shared, tx, &head.headers, &body).await?;
        self.forward(tx, connection, head, body, upgrade).await
    }

    async fn hold(&self, tx: &mut Transaction, body: Incoming) -> Result<Held, Interruption> {
        let Some(route) = &tx.route else {
            return Err(Interruption::Internal);
        };
        if route.policy.mode == Mode::Off {
            return Ok(Held::unread(body));
        }
        let inspect = &route.policy.inspect;
        let policy = HoldPolicy {
            limit: inspect.body.as_usize(),
            beyond: beyond(route.policy.mode, inspect.beyond),
            idle: tx.snapshot.config.timeouts.body,
            crowded: match route.policy.mode {
                Mode::Enforce => Crowded::Shed,
                Mode::Shadow | Mode::Off => Crowded::Cut,
            },
        };
        Held::read(body, policy, &self.held).await.map_err(|error| {
            tx.refuse(match error {
                BodyError::TooLarge => Cause::BodyLimit,
                BodyError::Timeout | BodyError::Broken | BodyError::Busy => Cause::Refused,
            });
            Interruption::Body(error)
        })
    }
}

/// Shadow mode lets everything pass, so it cuts where `enforce` rejects.
fn beyond(mode: Mode, configured: Beyond) -> Beyond {
    match mode {
        Mode::Enforce => configured,
        Mode::Shadow | Mode::Off => Beyond::InspectPrefix,
    }
}

/// Protocol sanity: refuses what is ambiguous, removes what must not travel on, and settles which host it is for.
fn sanity(
    tx: &mut Transaction,
    connection: &ClientConnection,
    head: &mut Parts,
) -> Result<Option<Upgrade>, Interruption> {
    let ordinal = connection.requests.fetch_add(1, Ordering::Relaxed) + 1;
    if let Some(violation) = connection.state.violation(ordinal) {
        return Err(Interruption::Refused(Refusal::Framing(violation)));
    }
    let limits = &tx.snapshot.config.limits;
    let limits = HeadLimits {
        fields: limits.headers,
        bytes: limits.header_bytes.as_usize(),
    };
    let authority = guard::check(head, limits).map_err(Interruption::Refused)?;
    let upgrade = headers::sanitize_request(&mut head.headers, head.version, tx.client.trust);
    name_request(
        &mut head.headers,
        tx,
        authority.as_ref().map(|host| host.as_str()),
    );
    tx.host = authority;
    Ok(upgrade)
}

/// Finds the route that a refused request was meant for as well as can be told, so that it is recorded there.
fn attribute(tx: &mut Transaction, head: &Parts) {
    let named = || {
        let value = head.headers.get(header::HOST)?;
        Authority::try_from(value.as_bytes()).ok()
    };
    tx.host = head.uri.authority().cloned().or_else(named);
    // Whom no route serves is counted as an error all the same.
    let _ = route(tx);
}

/// `Host` from the authority, which HTTP/2 keeps elsewhere, and the request id.
fn name_request(headers: &mut HeaderMap, tx: &Transaction, authority: Option<&str>) {
    if !headers.contains_key(header::HOST)
        && let Some(Ok(host)) = authority.map(HeaderValue::from_str)
    {
        headers.insert(header::HOST, host);
    }
    headers.insert(REQUEST_ID, id_value(&tx.id));
}

fn route(tx: &mut Transaction) -> Result<(), Interruption> {
    let host = tx.host.as_ref().map_or("", |host| host.host());
    let route = tx.snapshot.route(host.as_bytes(), tx.path().as_bytes());
    tx.route = Some(Arc::clone(route.ok_or(Interruption::NoRoute)?));
    Ok(())
}

/// Shadow mode lets pass what `enforce` refuses because it could not be inspected.
fn encoding(tx: &Transaction, headers: &HeaderMap) -> Result<(), Interruption> {
    let enforced = |route: &Arc<Route>| route.policy.mode == Mode::Enforce;
    if tx.route.as_ref().is_some_and(enforced) {
        guard::check_encoding(headers).map_err(Interruption::Refused)?;
    }
    Ok(())
}

fn rate_limit(tx: &mut Transaction) -> Result<(), Interruption> {
    let Some(route) = &tx.route else {
        return Err(Interruption::Internal);
    };
    detect::rate_limit(route, tx.client.ip).map_err(|wait| {
        tx.refuse(Cause::RateLimited);
        Interruption::RateLimited(wait)
    })
}
