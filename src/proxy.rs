//! One request: its phases, in order.
//!
//! Not here: how a decision comes about (`detect`), and anything that outlives a request except the upstream pools and
//! the two process-wide bounds, connections and held bytes. Every way out of a phase is an [`Interruption`], and the
//! log phase runs at the end of all of them (`transaction`).

pub mod body;
mod forward;
mod forwarding;
mod grpc;
pub mod guard;
pub mod headers;
mod inspect;
pub mod outgoing;
mod receive;
pub mod respond;
mod response;
mod transaction;
mod tunnel;
pub mod upstream;

use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, LazyLock};

use dashmap::DashMap;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Method, Request, Response, Uri, Version};
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use self::body::budget::HeldBudget;
use self::forwarding::Peered;
use self::guard::Refusal;
use self::headers::{REQUEST_ID, Scheme, Upgrade};
use self::respond::{Interruption, id_value};
use self::response::ResponseBody;
use self::transaction::Transaction;
use self::upstream::{Series, Upstream};
use crate::config::Mode;
use crate::detect::{self, Cause};
use crate::listen::violation::Abuse;
use crate::listen::{ConnectionState, HeadLimits};
use crate::runtime::{Route, Shared, Snapshot};
use crate::telemetry::{Metrics, panics};
use crate::tls::handshake::Handshakes;
use crate::units::ClientIp;

/// The method under which a whole connection is recorded.
static PRI: LazyLock<Method> =
    LazyLock::new(|| Method::from_bytes(b"PRI").unwrap_or(Method::OPTIONS));

/// What all requests share beside [`Shared`].
#[derive(Debug)]
pub struct Proxy {
    shared: Arc<Shared>,
    held: HeldBudget,
    connections: Arc<Semaphore>,
    /// Room for requests in flight: what comes beyond is turned away before it is read.
    requests: Arc<Semaphore>,
    handshakes: Handshakes,
    /// Connections of each client; one without any is not in it.
    clients: Arc<DashMap<u128, usize>>,
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
    /// What the upstream is told of the peer.
    peered: Peered,
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
            peered: Peered::new(ClientIp::new(peer.ip())),
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

/// One of the connections that a client may have, given back when dropped.
#[derive(Debug)]
pub(crate) struct ClientSlot(Option<(Arc<DashMap<u128, usize>>, u128)>);

impl Drop for ClientSlot {
    fn drop(&mut self) {
        let Some((clients, key)) = &self.0 else {
            return;
        };
        clients.remove_if_mut(key, |_, count| {
            *count = count.saturating_sub(1);
            *count == 0
        });
    }
}

impl Proxy {
    /// A proxy over `shared`. `limits.connections`, `limits.requests` and `limits.inspect_memory` of the present configuration hold for
    /// the life of the process. Begins to check upstreams: needs a runtime.
    pub fn new(shared: Arc<Shared>) -> Arc<Self> {
        let snapshot = shared.pin();
        let limits = snapshot.config.limits;
        snapshot.upstreams.iter().for_each(Upstream::start);
        shared.metrics.collect(Series(Arc::downgrade(&shared)));
        Arc::new(Self {
            held: HeldBudget::new(limits.inspect_memory.as_usize()),
            connections: Arc::new(Semaphore::new(
                limits.connections.min(Semaphore::MAX_PERMITS),
            )),
            requests: Arc::new(Semaphore::new(limits.requests.min(Semaphore::MAX_PERMITS))),
            handshakes: Handshakes::default(),
            clients: Arc::default(),
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
    pub(crate) fn admit(&self) -> Result<Slot, Interruption> {
        let metrics = Arc::clone(&self.shared.metrics);
        let Ok(permit) = Arc::clone(&self.connections).try_acquire_owned() else {
            metrics.connection_refused("total");
            return Err(Interruption::Crowded);
        };
        metrics.connections.inc();
        Ok(Slot {
            metrics,
            _permit: permit,
        })
    }

    /// Room for one more connection of this client. A trusted proxy brings many clients and is bounded by
    /// `limits.connections` alone.
    pub(crate) fn admit_client(
        &self,
        snapshot: &Snapshot,
        peer: IpAddr,
    ) -> Result<ClientSlot, Interruption> {
        let config = &snapshot.config;
        let address = peer.to_canonical();
        if config
            .trusted_proxies
            .iter()
            .any(|net| net.contains(&address))
        {
            return Ok(ClientSlot(None));
        }
        let key = ClientIp::new(peer).limit_key();
        let mut count = self.clients.entry(key).or_default();
        if *count >= config.limits.connections_per_client {
            self.shared.metrics.connection_refused("client");
            return Err(Interruption::ClientCrowded);
        }
        *count += 1;
        Ok(ClientSlot(Some((Arc::clone(&self.clients), key))))
    }

    /// Records that a client abuses its HTTP/2 connection: there is no request that could be answered, so the record
    /// has the method `PRI`, the target `*` and no status.
    pub(crate) fn abused(&self, connection: &ClientConnection, abuse: Abuse) {
        let mut request = Request::new(());
        *request.method_mut() = PRI.clone();
        *request.uri_mut() = Uri::from_static("*");
        *request.version_mut() = Version::HTTP_2;
        let (head, ()) = request.into_parts();
        let mut tx = Transaction::begin(&self.shared, connection, &head);
        tracing::info!(request_id = %tx.id, client = %tx.client.ip, cause = abuse.name(), "HTTP/2 connection abused");
        attribute(&mut tx, &head);
        tx.error = Some(abuse.name());
        tx.status = 0;
        tx.refuse(Cause::Refused);
    }

    /// Answers one request, whatever happens.
    pub async fn serve(
        &self,
        connection: &ClientConnection,
        request: Request<Incoming>,
    ) -> Response<ResponseBody> {
        let (head, body) = request.into_parts();
        let mut tx = Transaction::begin(&self.shared, connection, &head);
        tx.ordinal = connection.requests.fetch_add(1, Ordering::Relaxed) + 1;
        tx.room = Arc::clone(&self.requests).try_acquire_owned().ok();
        // A panic ends one request. What it leaves behind is the transaction, whose fields are plain values.
        let outcome = {
            let phases = pin!(self.phases(&mut tx, connection, head, body));
            panics::caught(phases).await
        };
        let why = match outcome {
            Ok(Ok(response)) => return response::finish(response, tx),
            Ok(Err(why)) if why.is_broken_body() => {
                // That a body broke off says less than what is wrong with it.
                broken_framing(&tx, connection).unwrap_or(why)
            }
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
        let body = self.receive(tx, &head, upgrade.as_ref(), body).await?;
        inspect::inspect(&self.shared, tx, &head.headers, &body.held).await?;
        self.forward(tx, connection, head, body, upgrade).await
    }
}

/// The refusal of a request whose bytes offend.
fn broken_framing(tx: &Transaction, connection: &ClientConnection) -> Option<Interruption> {
    let violation = connection.state.violation(tx.ordinal)?;
    Some(Interruption::Refused(Refusal::Framing(violation)))
}

/// Protocol sanity: refuses what is ambiguous, removes what must not travel on, and settles which host it is for.
fn sanity(
    tx: &mut Transaction,
    connection: &ClientConnection,
    head: &mut Parts,
) -> Result<Option<Upgrade>, Interruption> {
    if let Some(refused) = broken_framing(tx, connection) {
        return Err(refused);
    }
    let limits = &tx.snapshot.config.limits;
    let limits = HeadLimits {
        fields: limits.headers,
        bytes: limits.header_bytes.as_usize(),
        target: limits.target_bytes.as_usize(),
    };
    let authority = guard::check(head, limits).map_err(Interruption::Refused)?;
    let upgrade = headers::sanitize_request(&mut head.headers, head.version, tx.client.trust);
    guard::check_names(&head.headers).map_err(Interruption::Refused)?;
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
