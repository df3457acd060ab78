//! Which endpoints an upstream has: the addresses it names, and what its names resolve to at the moment.
//!
//! Not here: choosing between them. A name that no longer resolves keeps the addresses it had: a name server that is
//! away must not take the application with it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout};

use super::counts::Counts;
use super::dial::Settings;
use super::endpoint::Endpoint;
use super::{Upstream, probe};
use crate::config::Address;

/// Endpoints of one name.
const MOST_ADDRESSES: usize = 64;
/// A name server that takes longer is asked again later.
const PATIENCE: Duration = Duration::from_secs(3);
/// Failed connections ask for a look-up before its time, no more often than this.
const SOONEST: Duration = Duration::from_secs(1);

/// A configured address with its counts.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) address: Address,
    pub(super) counts: Arc<Counts>,
}

impl Place {
    /// The socket, when the address is no name.
    fn literal(&self) -> Option<SocketAddr> {
        let ip: IpAddr = self.address.host.parse().ok()?;
        Some(SocketAddr::new(ip, self.address.port))
    }

    fn is_name(&self) -> bool {
        self.literal().is_none()
    }
}

/// The endpoints that need no look-up, and those of `known` that still belong to a name.
pub(super) fn at_once(
    places: &[Place],
    settings: &Settings,
    known: &[Arc<Endpoint>],
) -> Vec<Arc<Endpoint>> {
    let mut endpoints = Vec::new();
    for place in places {
        match place.literal() {
            Some(socket) => endpoints.push(endpoint(place, socket, settings, known)),
            None => endpoints.extend(
                known
                    .iter()
                    .filter(|known| known.address == place.address)
                    .map(|known| endpoint(place, known.socket, settings, known_of(known))),
            ),
        }
    }
    endpoints
}

fn known_of(endpoint: &Arc<Endpoint>) -> &[Arc<Endpoint>] {
    std::slice::from_ref(endpoint)
}

/// The endpoint that is known, or a new one.
fn endpoint(
    place: &Place,
    socket: SocketAddr,
    settings: &Settings,
    known: &[Arc<Endpoint>],
) -> Arc<Endpoint> {
    known
        .iter()
        .find(|known| known.is(&place.address, socket, settings))
        .map_or_else(
            || {
                Endpoint::new(
                    place.address.clone(),
                    socket,
                    settings.clone(),
                    Arc::clone(&place.counts),
                )
            },
            Arc::clone,
        )
}

/// Looks the names of an upstream up for as long as it exists.
pub(super) async fn keep_resolved(upstream: Weak<Upstream>) {
    loop {
        let Some(this) = upstream.upgrade() else {
            return;
        };
        if !this.places.iter().any(Place::is_name) {
            return;
        }
        let began = Instant::now();
        let (endpoints, error) = resolve(&this).await;
        this.replace(endpoints, error);
        let again = Arc::clone(&this.look_again);
        let wait = this.config.resolve;
        drop(this);
        let _ = timeout(wait, again.notified()).await;
        sleep(SOONEST.saturating_sub(began.elapsed())).await;
    }
}

/// The endpoints as of now, and what went wrong.
async fn resolve(upstream: &Upstream) -> (Vec<Arc<Endpoint>>, Option<String>) {
    let known = upstream.endpoints.load_full();
    let mut endpoints = Vec::new();
    let mut failure = None;
    for place in &upstream.places {
        if let Some(socket) = place.literal() {
            endpoints.push(endpoint(place, socket, &upstream.settings, &known));
            continue;
        }
        match look_up(&place.address).await {
            Ok(sockets) => endpoints.extend(
                sockets
                    .into_iter()
                    .map(|socket| endpoint(place, socket, &upstream.settings, &known)),
            ),
            Err(error) => {
                tracing::warn!(
                    upstream = %upstream.config.name, address = %place.address, error,
                    "the name does not resolve; addresses known of it are kept"
                );
                let kept = known.iter().filter(|known| known.address == place.address);
                endpoints.extend(kept.cloned());
                failure = Some(format!("{}: {error}", place.address.host));
            }
        }
    }
    (endpoints, failure)
}

async fn look_up(address: &Address) -> Result<Vec<SocketAddr>, String> {
    let found = timeout(PATIENCE, lookup_host((address.host.as_str(), address.port)))
        .await
        .map_err(|_| "no answer from the name server".to_owned())?
        .map_err(|error| error.to_string())?;
    // In an order of their own, so that a name server that rotates its answers changes nothing here.
    let mut sockets: Vec<SocketAddr> = found.collect();
    sockets.sort_unstable();
    sockets.dedup();
    sockets.truncate(MOST_ADDRESSES);
    if sockets.is_empty() {
        return Err("it has no address".to_owned());
    }
    Ok(sockets)
}

impl Upstream {
    /// Puts the endpoints of a look-up in place; checks begin for the new ones.
    fn replace(self: &Arc<Self>, endpoints: Vec<Arc<Endpoint>>, error: Option<String>) {
        let before = self.endpoints.load_full();
        let new = |endpoint: &Arc<Endpoint>| !before.iter().any(|old| Arc::ptr_eq(old, endpoint));
        let added: Vec<Arc<Endpoint>> = endpoints.iter().filter(|e| new(e)).cloned().collect();
        if !added.is_empty() || endpoints.len() != before.len() {
            let addresses: Vec<String> = endpoints.iter().map(|e| e.socket.to_string()).collect();
            tracing::info!(upstream = %self.config.name, addresses = addresses.join(", "), "endpoints");
            self.endpoints.store(Arc::new(endpoints));
        }
        *self
            .unresolved
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner) = error;
        self.resolved.send_replace(());
        for endpoint in added {
            probe::start(self, &endpoint);
        }
    }
}
