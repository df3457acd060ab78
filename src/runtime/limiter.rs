//! Rate limits of one client on one route: GCRA by `governor` over a bounded table.
//!
//! Not here: who the client is (`listen`) and how a refusal is answered (`proxy`). A limiter is
//! handed on from snapshot to snapshot: a reload that leaves a route's limit alone resets nobody's count.

use std::collections::HashMap;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use crate::config::RateLimit;
use crate::units::ClientIp;

/// Seconds to wait, for `Retry-After`. At least 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryAfter(pub u64);

/// The limit of one route with the state of its clients.
pub struct Limiter {
    limit: RateLimit,
    inner: RateLimiter<u128, BoundedStore, DefaultClock>,
    store: BoundedStore,
    clock: DefaultClock,
}

impl Limiter {
    /// A limiter that remembers `clients` clients at most.
    pub fn new(limit: RateLimit, clients: usize) -> Self {
        let store = BoundedStore::new(clients);
        let clock = DefaultClock::default();
        Self {
            limit,
            inner: RateLimiter::new(quota(limit), store.clone(), clock.clone()),
            store,
            clock,
        }
    }

    /// The limiter of a route in its next generation: the one it had, unless its limit changed.
    pub fn next(
        running: Option<&Arc<Self>>,
        limit: Option<RateLimit>,
        clients: usize,
    ) -> Option<Arc<Self>> {
        let limit = limit?;
        match running {
            Some(running) if running.limit == limit => Some(Arc::clone(running)),
            _ => Some(Arc::new(Self::new(limit, clients))),
        }
    }

    /// Counts one request of `client`.
    ///
    /// # Errors
    /// How long the client has to wait, when it is over its limit.
    pub fn check(&self, client: ClientIp) -> Result<(), RetryAfter> {
        self.inner
            .check_key(&client.limit_key())
            .map_err(|not_until| {
                let wait = not_until.wait_time_from(self.clock.now());
                RetryAfter(wait.as_secs() + u64::from(wait.subsec_nanos() > 0)).at_least_one()
            })
    }

    /// Clients remembered now.
    pub fn clients(&self) -> usize {
        self.store.len()
    }
}

impl RetryAfter {
    fn at_least_one(self) -> Self {
        Self(self.0.max(1))
    }
}

impl fmt::Debug for Limiter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Limiter")
            .field("limit", &self.limit)
            .field("clients", &self.clients())
            .finish_non_exhaustive()
    }
}

fn quota(limit: RateLimit) -> Quota {
    let interval = limit.per / limit.requests.get();
    // A zero interval cannot be expressed; a nanosecond is as good as unlimited.
    Quota::with_period(interval.max(Duration::from_nanos(1)))
        .unwrap_or_else(|| Quota::per_second(NonZeroU32::MAX))
        .allow_burst(limit.burst)
}

const SHARDS: usize = 16;
/// Entries looked at when a full shard makes room.
const SAMPLE: usize = 16;

/// Client states in shards of bounded size. A full shard gives up the entry, of a sample, whose theoretical arrival
/// time is earliest: the client nearest to an empty bucket, which loses least.
#[derive(Clone)]
struct BoundedStore {
    shards: Arc<[Mutex<HashMap<u128, u64>>; SHARDS]>,
    hasher: RandomState,
    per_shard: usize,
}

impl BoundedStore {
    fn new(clients: usize) -> Self {
        Self {
            shards: Arc::new(std::array::from_fn(|_| Mutex::new(HashMap::new()))),
            hasher: RandomState::new(),
            per_shard: clients.div_ceil(SHARDS).max(1),
        }
    }

    fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len())
            .sum()
    }
}

impl StateStore for BoundedStore {
    type Key = u128;

    fn measure_and_replace<T, F, E>(&self, key: &u128, f: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let at = usize::try_from(self.hasher.hash_one(key) % SHARDS as u64).unwrap_or(0);
        #[expect(clippy::indexing_slicing, reason = "`at` is a remainder of SHARDS")]
        let mut shard = self.shards[at]
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known = shard.get(key).copied();
        let (answer, next) = f(known.map(Nanos::from))?;
        if known.is_none() && shard.len() >= self.per_shard {
            let oldest = shard
                .iter()
                .take(SAMPLE)
                .min_by_key(|(_, arrival)| **arrival)
                .map(|(key, _)| *key);
            if let Some(oldest) = oldest {
                shard.remove(&oldest);
            }
        }
        shard.insert(*key, next.as_u64());
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    fn limit(requests: u32, per: u64, burst: u32) -> RateLimit {
        RateLimit {
            requests: NonZeroU32::new(requests).unwrap(),
            per: Duration::from_secs(per),
            burst: NonZeroU32::new(burst).unwrap(),
        }
    }

    fn client(n: u32) -> ClientIp {
        ClientIp::new(IpAddr::V4(Ipv4Addr::from_bits(n)))
    }

    #[test]
    fn a_client_over_its_burst_is_told_when_to_return_and_others_are_not_affected() {
        let limiter = Limiter::new(limit(1, 3600, 3), 100);
        for _ in 0..3 {
            assert_eq!(limiter.check(client(1)), Ok(()));
        }
        let RetryAfter(wait) = limiter.check(client(1)).unwrap_err();
        assert!((3590..=3600).contains(&wait), "{wait}");
        assert_eq!(limiter.check(client(2)), Ok(()));
    }

    #[test]
    fn a_flood_of_addresses_stays_within_the_bound() {
        let limiter = Limiter::new(limit(10, 60, 10), 1_000);
        for n in 0..50_000 {
            assert_eq!(limiter.check(client(n)), Ok(()));
        }
        assert!(limiter.clients() <= 1_000 + SHARDS, "{}", limiter.clients());
    }

    #[test]
    fn a_reload_keeps_counts_unless_the_limit_changed() {
        let before = Limiter::next(None, Some(limit(1, 60, 1)), 100).unwrap();
        before.check(client(1)).unwrap();
        let same = Limiter::next(Some(&before), Some(limit(1, 60, 1)), 100).unwrap();
        assert!(same.check(client(1)).is_err());
        let changed = Limiter::next(Some(&before), Some(limit(2, 60, 2)), 100).unwrap();
        assert!(changed.check(client(1)).is_ok());
        assert!(Limiter::next(Some(&before), None, 100).is_none());
    }
}
