//! Telling a deployment from a probe: new endpoints that many clients use. Not here: who a client is, verdicts.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::Endpoint;

/// Endpoints that the profile does not know, and the clients that used them lately.
///
/// An endpoint that enough distinct clients use is a deployment: [`Endpoint::deployed`] then stops saying that it is
/// new. Everything else about the request is judged as before, so clients that collude gain nothing more than that.
/// Who was told that there is nothing does not count, and many of them speak against it: every site is scanned for the
/// same few files by more addresses than its new pages have visitors.
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
    young: HashMap<u64, Visitors>,
    old: HashMap<u64, Visitors>,
    /// When the young one began.
    since: f64,
}

/// The first clients of an endpoint; the highest bit of each hash says whether there was something for it.
#[derive(Debug, Default)]
struct Visitors(Vec<u64>);

const FOUND: u64 = 1 << 63;
/// Clients that are remembered, for each that makes a deployment.
const REMEMBERED: usize = 2;
/// So many clients that found something outweigh one that did not.
const OUTWEIGH: usize = 2;

impl Visitors {
    /// Notes how a client fared, the last time counting.
    fn note(&mut self, client: u64, found: bool, most: usize) {
        let entry = client & !FOUND | if found { FOUND } else { 0 };
        if let Some(known) = self
            .0
            .iter_mut()
            .find(|known| (**known ^ entry) & !FOUND == 0)
        {
            *known = entry;
        } else if self.0.len() < most {
            self.0.push(entry);
        }
    }

    fn make_a_deployment(&self, clients: usize) -> bool {
        let found = self.0.iter().filter(|entry| **entry & FOUND != 0).count();
        let not = self.0.len() - found;
        found >= clients && found >= OUTWEIGH * not
    }
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
    /// has been used by enough clients. Until [`Self::answered`] says otherwise, there is something for every client.
    pub fn seen(&self, endpoint: &Endpoint<'_>, client: u64, time: f64) -> bool {
        let Some(path) = endpoint.new_path() else {
            return false;
        };
        let Some(generations) = self.shard(path) else {
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
        let visitors = generations
            .young
            .entry(path)
            .or_insert_with(|| generations.old.remove(&path).unwrap_or_default());
        visitors.note(client, true, REMEMBERED * self.clients);
        visitors.make_a_deployment(self.clients)
    }

    /// Says whether the application had something for a client that [`Self::seen`] counted at `path`, which is
    /// [`Endpoint::new_path`].
    pub fn answered(&self, path: u64, client: u64, found: bool) {
        let Some(generations) = self.shard(path) else {
            return;
        };
        if let Some(visitors) = locked(generations).young.get_mut(&path) {
            visitors.note(client, found, REMEMBERED * self.clients);
        }
    }

    fn shard(&self, path: u64) -> Option<&Mutex<Generations>> {
        let shards = self.shards.len().max(1) as u64;
        self.shards.get(usize::try_from(path % shards).ok()?)
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
