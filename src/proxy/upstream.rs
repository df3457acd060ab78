//! Connections to origins: which endpoint a request goes to, over which connection, and when it is sent again.
//!
//! Not here: which upstream a request goes to (its route says) and what is answered when it fails (`respond`).

mod attempt;
mod balance;
mod connection;
mod counts;
mod dial;
mod endpoint;
mod error;
mod gate;
mod health;
mod idle;
mod probe;
mod resolve;
mod retry;
mod series;
pub(super) mod wire;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, timeout_at};

use self::balance::Balancer;
use self::dial::Settings;
use self::endpoint::{Active, Endpoint, Fresh, Used};
use self::gate::{Gate, Permit};
use self::resolve::Place;
use self::retry::{Budget, Spare};
use super::outgoing::{Progress, UpstreamBody};
use crate::config::{self, Timeouts};
use crate::tls::client::Connector;

pub use self::error::UpstreamError;
pub(super) use self::series::Series;
pub use self::series::UpstreamStatus;

/// One upstream as requests use it. Belongs to a snapshot; the next one keeps it if its configuration is the same, and
/// else those of its endpoints that are.
#[derive(Debug)]
pub struct Upstream {
    config: config::Upstream,
    settings: Settings,
    places: Vec<Place>,
    endpoints: ArcSwap<Vec<Arc<Endpoint>>>,
    balancer: Balancer,
    gate: Arc<Gate>,
    budget: Budget,
    retries: Arc<AtomicU64>,
    /// Why a name has no address or an old one.
    unresolved: Mutex<Option<String>>,
    /// Told of every look-up of its names.
    resolved: watch::Sender<()>,
    /// Asks for a look-up now.
    look_again: Arc<Notify>,
    started: AtomicBool,
}

/// The upstreams of the next snapshot.
pub(crate) fn next(
    upstreams: &[config::Upstream],
    connectors: Vec<Option<Connector>>,
    running: &[Arc<Upstream>],
) -> Vec<Arc<Upstream>> {
    upstreams
        .iter()
        .zip(connectors)
        .map(|(config, connector)| {
            let settings = Settings::of(config, connector);
            let running = running.iter().find(|old| old.config.name == config.name);
            match running {
                Some(same) if same.config == *config && same.settings == settings => {
                    Arc::clone(same)
                }
                _ => Upstream::new(config.clone(), settings, running.map(Arc::as_ref)),
            }
        })
        .collect()
}

/// A connection in use by one request. Dropped without [`Lease::release`], an HTTP/1.1 connection closes and an HTTP/2
/// stream is reset.
#[derive(Debug)]
pub struct Lease {
    connection: Used,
    endpoint: Active,
    progress: Arc<Progress>,
    patience: Duration,
    /// Bytes of the request's body at the last [`Lease::moved`].
    sent: u64,
    _permit: Permit,
}

impl Lease {
    /// Gives the connection back for reuse: the response has been read to its end. Unless the request body was sent
    /// to its end too, the connection is out of step and closes.
    pub fn release(self) {
        if self.progress.is_done() {
            self.endpoint.give_back(self.connection);
        }
    }

    /// How long the upstream may be silent within its answer.
    pub fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether more of the request's body has gone out since this was last asked: who is still being told something
    /// need not answer yet.
    pub fn moved(&mut self) -> bool {
        let sent = self.progress.bytes();
        std::mem::replace(&mut self.sent, sent) != sent
    }
}

impl Upstream {
    fn new(config: config::Upstream, settings: Settings, running: Option<&Self>) -> Arc<Self> {
        let places: Vec<Place> = config
            .endpoints
            .iter()
            .map(|address| {
                let known = running
                    .and_then(|old| old.places.iter().find(|place| place.address == *address));
                Place {
                    address: address.clone(),
                    counts: known.map_or_else(Arc::default, |known| Arc::clone(&known.counts)),
                }
            })
            .collect();
        let known = running.map(|old| old.endpoints.load_full());
        let endpoints = resolve::at_once(
            &places,
            &settings,
            known.as_ref().map_or(&[], |known| known.as_slice()),
        );
        let gate = running
            .map(|old| &old.gate)
            .filter(|gate| gate.is(config.max_connections, config.max_pending))
            .map_or_else(
                || Gate::new(config.max_connections, config.max_pending),
                Arc::clone,
            );
        Arc::new(Self {
            endpoints: ArcSwap::from_pointee(endpoints),
            balancer: Balancer::new(config.balance),
            gate,
            budget: Budget::new(config.retries.budget),
            retries: running.map_or_else(Arc::default, |old| Arc::clone(&old.retries)),
            unresolved: Mutex::default(),
            resolved: watch::channel(()).0,
            look_again: Arc::default(),
            started: AtomicBool::new(false),
            places,
            settings,
            config,
        })
    }

    /// As in the configuration.
    pub(crate) fn name(&self) -> &str {
        &self.config.name
    }

    /// How TLS connections to it are made.
    pub(crate) fn connector(&self) -> Option<&Connector> {
        self.settings.connector()
    }

    /// Begins to look names up, to check endpoints and to close what is idle for too long; once. Needs a runtime.
    pub(crate) fn start(self: &Arc<Self>) {
        if self.started.swap(true, Ordering::Relaxed) {
            return;
        }
        for endpoint in self.endpoints.load().iter() {
            probe::start(self, endpoint);
        }
        tokio::spawn(resolve::keep_resolved(Arc::downgrade(self)));
        tokio::spawn(sweep(Arc::downgrade(self), self.config.idle_timeout));
    }

    /// Sends a request and waits for the head of its response.
    pub async fn send(
        &self,
        mut request: Request<UpstreamBody>,
        progress: &Arc<Progress>,
        timeouts: &Timeouts,
    ) -> Result<(Response<Incoming>, Lease), UpstreamError> {
        let patience = self.config.connect_timeout.unwrap_or(timeouts.connect);
        let answer = self.config.response_timeout.unwrap_or(timeouts.response);
        let mut deadline = Instant::now() + patience;
        let Some(permit) = self.gate.enter(deadline).await else {
            return Err(UpstreamError::Busy {
                limit: self.config.max_connections,
            });
        };
        self.budget.earn();
        let mut spare = Spare::of(&request);
        let (mut fresh, mut retries) = (Fresh::Allowed, 0);
        let mut endpoint = self.choose(None, deadline).await?;
        loop {
            let tried = self
                .attempt(
                    &endpoint,
                    request,
                    &mut spare,
                    progress,
                    (deadline, answer),
                    fresh,
                )
                .await;
            let failed = match tried {
                Ok((response, connection)) => {
                    let lease = Lease {
                        connection,
                        endpoint,
                        progress: Arc::clone(progress),
                        patience: answer,
                        sent: progress.bytes(),
                        _permit: permit,
                    };
                    return Ok((response, lease));
                }
                Err(failed) => failed,
            };
            let Some(again) = failed.again else {
                return Err(failed.error);
            };
            request = again;
            deadline = Instant::now() + patience;
            if failed.stale && fresh == Fresh::Allowed {
                fresh = Fresh::Required;
                continue;
            }
            if retries >= self.config.retries.attempts {
                return Err(failed.error);
            }
            let other = self.choose(Some(&endpoint), deadline).await;
            match other {
                Ok(other) if !Arc::ptr_eq(&other, &endpoint) && self.budget.spend() => {
                    endpoint = other;
                    fresh = Fresh::Allowed;
                }
                _ => return Err(failed.error),
            }
            self.retries.fetch_add(1, Ordering::Relaxed);
            retries += 1;
        }
    }

    /// An endpoint, and another than `avoid` if there is one. Waits for the first look-up of a name.
    async fn choose(
        &self,
        avoid: Option<&Active>,
        deadline: Instant,
    ) -> Result<Active, UpstreamError> {
        let avoid = avoid.map(|active| &**active);
        let chosen = |endpoints: &Vec<Arc<Endpoint>>| {
            let chosen = self.balancer.choose(endpoints, avoid);
            chosen.map(Endpoint::begin).ok_or(UpstreamError::Down)
        };
        {
            let endpoints = self.endpoints.load();
            if !endpoints.is_empty() {
                return chosen(&endpoints);
            }
        }
        self.look_again.notify_one();
        let mut resolved = self.resolved.subscribe();
        loop {
            let endpoints = self.endpoints.load_full();
            if !endpoints.is_empty() {
                return chosen(&endpoints);
            }
            if let Some(why) = self.unresolved() {
                return Err(UpstreamError::Unresolved(why));
            }
            if timeout_at(deadline, resolved.changed()).await.is_err() {
                return Err(UpstreamError::ConnectTimeout);
            }
        }
    }

    fn unresolved(&self) -> Option<String> {
        let why = self.unresolved.lock();
        why.unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Notes that an endpoint failed a request, and ejects it after too many.
    fn failed(&self, endpoint: &Arc<Endpoint>, error: &UpstreamError) {
        endpoint.counts.failed(error);
        if matches!(
            error,
            UpstreamError::Connect(_) | UpstreamError::ConnectTimeout
        ) {
            // Its name may have moved.
            self.look_again.notify_one();
        }
        let ejected = endpoint.health.failed(&self.config.ejection, || {
            let endpoints = self.endpoints.load();
            let up = |endpoint: &&Arc<Endpoint>| endpoint.state() == health::State::Up;
            // Half of them stay, or those who are left would break down under the load of all.
            2 * (endpoints.iter().filter(up).count().saturating_sub(1)) >= endpoints.len()
        });
        if let Some(time) = ejected {
            endpoint.counts.ejections.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(
                upstream = %self.config.name, address = %endpoint.socket, %error,
                seconds = time.as_secs(), "endpoint is ejected: requests in a row failed there"
            );
        }
    }
}

/// Closes idle connections that nobody uses any more.
async fn sweep(upstream: Weak<Upstream>, every: Duration) {
    loop {
        tokio::time::sleep(every.max(Duration::from_secs(1))).await;
        let Some(upstream) = upstream.upgrade() else {
            return;
        };
        for endpoint in upstream.endpoints.load().iter() {
            endpoint.sweep();
        }
    }
}
