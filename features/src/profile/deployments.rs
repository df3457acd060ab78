//! Telling a deployment from a probe: new endpoints that many clients use. Not here: who a client is, verdicts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Endpoint;

/// Endpoints that the profile does not know, and the clients that used them lately.
///
/// An endpoint that enough distinct clients use is a deployment: [`Endpoint::deployed`] then stops saying that it is
/// new. Everything else about the request is judged as before, so clients that collude gain nothing more than that.
///
/// Memory is bounded by two generations of half the capacity: what was not used for one to two windows, or not since
/// that many other new endpoints, is forgotten. Endpoints are spread over shards with a lock each, which only requests
/// to unknown endpoints ever take, for less than a microsecond.
///
/// Endpoints are told apart by the profile's keyed hash of host and path: a profile with another key, or one that knows
/// the endpoint by now, leaves what was counted before to be forgotten. One instance can therefore serve all profiles of
/// a process, one after the other.
#[derive(Debug)]
pub struct NewEndpoints {
    half: usize,
    clients: usize,
    window: f64,
    shards: Box<[Mutex<Generations>]>,
}

/// Shards of a tracker, and endpoints that make one worthwhile.
const SHARDS: usize = 16;
const LEAST_SHARD: usize = 64;

#[derive(Debug, Default)]
struct Generations {
    young: HashMap<u64, Vec<u64>>,
    old: HashMap<u64, Vec<u64>>,
    /// When the young one began.
    since: f64,
}

impl NewEndpoints {
    /// Remembers at most `capacity` endpoints for at least `window` seconds of disuse; `clients` distinct clients make
    /// a deployment.
    #[must_use]
    pub fn new(capacity: usize, clients: usize, window: f64) -> Self {
        let shards = (capacity / LEAST_SHARD).clamp(1, SHARDS);
        Self {
            half: (capacity / shards / 2).max(1),
            clients: clients.max(1),
            window,
            shards: std::iter::repeat_with(Mutex::default)
                .take(shards)
                .collect(),
        }
    }

    /// Counts a request of `client`, a hash, at `time` in seconds; true when its endpoint is new to the profile and
    /// has been used by enough clients.
    pub fn seen(&self, endpoint: &Endpoint<'_>, client: u64, time: f64) -> bool {
        let Some(path) = endpoint.new_path() else {
            return false;
        };
        let shard = usize::try_from(path % self.shards.len().max(1) as u64).unwrap_or_default();
        let Some(generations) = self.shards.get(shard) else {
            return false;
        };
        let mut generations = locked(generations);
        let generations = &mut *generations;
        // A clock that was set back starts anew as well.
        let idle = (time - generations.since).abs();
        let full = generations.young.len() >= self.half && !generations.young.contains_key(&path);
        if idle > self.window || full {
            generations.old = std::mem::take(&mut generations.young);
            if idle > 2.0 * self.window {
                generations.old.clear();
            }
            generations.since = time;
        }
        let clients = generations
            .young
            .entry(path)
            .or_insert_with(|| generations.old.remove(&path).unwrap_or_default());
        if clients.len() < self.clients && !clients.contains(&client) {
            clients.push(client);
        }
        clients.len() >= self.clients
    }

    /// How many endpoints are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.shards
            .iter()
            .map(|shard| {
                let generations = locked(shard);
                generations.young.len() + generations.old.len()
            })
            .sum()
    }

    /// True when no endpoint is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

fn locked(shard: &Mutex<Generations>) -> MutexGuard<'_, Generations> {
    // Nobody panics while holding it; if somebody did, the counts are as good as before.
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
