//! What each client did in the last ten minutes, in bounded memory. Not here: limits, verdicts, or who a client is.

use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};

use dashmap::DashMap;

use crate::request::{RequestContext, RequestVector, RequestView};
use crate::request_vector;
use crate::windows::Activity;

/// A client's identity: its address as a number, with IPv4 in IPv6's mapped range. An IPv6 address counts as its /64,
/// because one customer owns at least that much and could be another client with every request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientKey(pub u128);

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
            IpAddr::V6(v6) => v6.to_bits() >> 64 << 64,
        })
    }
}

/// The sliding windows of all clients.
///
/// A request costs one look-up and a fixed amount of work whatever the client has done. Memory is bounded by two
/// generations: when half of the capacity has been seen since the last turn, the older generation is forgotten, so
/// that a flood of new clients evicts those that have been quiet longest.
#[derive(Debug)]
pub struct ClientWindows {
    generations: [DashMap<ClientKey, Box<Activity>>; 2],
    /// Which generation is the young one.
    young: AtomicUsize,
    /// Clients added to the young generation since the last turn.
    added: AtomicUsize,
    half: usize,
}

impl ClientWindows {
    /// Windows for at most `max_clients` clients, about 1.7 KiB each.
    #[must_use]
    pub fn new(max_clients: usize) -> Self {
        Self {
            generations: [DashMap::new(), DashMap::new()],
            young: AtomicUsize::new(0),
            added: AtomicUsize::new(0),
            half: (max_clients / 2).max(1),
        }
    }

    /// Counts a request and describes it together with what its client did before.
    pub fn request(&self, request: &RequestView<'_>, context: &RequestContext) -> RequestVector {
        let shape = request_vector::Shape::of(request);
        self.with(context.client, |activity| {
            activity.request(context.time, &shape);
            request_vector::vector(&shape, activity, context)
        })
    }

    /// Counts a request that nobody needs a description of, which costs most of [`Self::request`].
    pub fn count(&self, request: &RequestView<'_>, context: &RequestContext) {
        let shape = request_vector::Shape::outline(request);
        self.with(context.client, |activity| {
            activity.request(context.time, &shape)
        });
    }

    /// Counts the response to a client's request: its status and the size of its body in bytes.
    pub fn response(&self, client: ClientKey, time: f64, status: u16, bytes: u64) {
        self.with(client, |activity| activity.response(time, status, bytes));
    }

    /// How many clients are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.generations.iter().map(DashMap::len).sum()
    }

    /// True when no client is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn with<R>(&self, client: ClientKey, act: impl FnOnce(&mut Activity) -> R) -> R {
        let index = self.young.load(Ordering::Acquire) % 2;
        let [first, second] = &self.generations;
        let (young, old) = if index == 0 {
            (first, second)
        } else {
            (second, first)
        };
        if let Some(mut activity) = young.get_mut(&client) {
            return act(&mut activity);
        }
        // No guard is held here, so the other generation can be locked without risk.
        let mut activity = old
            .remove(&client)
            .map(|(_, activity)| activity)
            .unwrap_or_default();
        let result = act(&mut activity);
        young.insert(client, activity);
        if self.added.fetch_add(1, Ordering::AcqRel) + 1 >= self.half {
            self.turn(index, old);
        }
        result
    }

    /// Forgets the old generation and makes it the young one. Requests that run meanwhile may start a client afresh,
    /// which costs it some history and nothing else.
    fn turn(&self, index: usize, old: &DashMap<ClientKey, Box<Activity>>) {
        if self.added.swap(0, Ordering::AcqRel) >= self.half {
            old.clear();
            self.young.store(1 - index, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use super::{ClientKey, ClientWindows};
    use crate::request::{RequestContext, RequestView};

    fn send(windows: &ClientWindows, client: u128, time: f64) -> crate::RequestVector {
        let request = RequestView {
            method: b"GET",
            target: b"/a/b",
            headers: &[],
            body: b"",
            body_truncated: false,
        };
        let context = RequestContext {
            client: ClientKey(client),
            time,
            private_address: false,
            country: None,
        };
        windows.request(&request, &context)
    }

    #[test]
    fn memory_is_bounded_and_recent_clients_survive() {
        let windows = ClientWindows::new(100);
        for client in 0..10_000 {
            send(&windows, client, 0.0);
            send(&windows, 1_000_000, 0.0);
            assert!(windows.len() <= 100, "{}", windows.len());
        }
        // The busy client was never forgotten: its count of requests in ten minutes is the 10,001st.
        let vector = send(&windows, 1_000_000, 0.0);
        assert!((vector.get(25).copied().unwrap_or_default() - 10_001f32.ln_1p()).abs() < 1e-3);
    }

    #[test]
    fn mapped_addresses_are_one_client() {
        let v4: IpAddr = [192, 0, 2, 1].into();
        let mapped: IpAddr = "::ffff:192.0.2.1".parse().unwrap_or(v4);
        assert_eq!(ClientKey::from(v4), ClientKey::from(mapped));
    }
}
