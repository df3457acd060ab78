//! Telling a deployment from a probe: new endpoints that many clients use. Not here: who a client is, verdicts.

use std::collections::HashMap;
use std::sync::Mutex;

use super::Endpoint;

/// Endpoints that the profile does not know, and the clients that used them lately.
///
/// An endpoint that enough distinct clients use is a deployment: [`Endpoint::deployed`] then stops saying that it is
/// new. Everything else about the request is judged as before, so clients that collude gain nothing more than that.
///
/// Memory is bounded by two generations of half the capacity: what was not used for one to two windows, or not since
/// that many other new endpoints, is forgotten.
#[derive(Debug)]
pub struct NewEndpoints {
    half: usize,
    clients: usize,
    window: f64,
    generations: Mutex<Generations>,
}

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
        Self {
            half: (capacity / 2).max(1),
            clients: clients.max(1),
            window,
            generations: Mutex::default(),
        }
    }

    /// Counts a request of `client`, a hash, at `time` in seconds; true when its endpoint is new to the profile and
    /// has been used by enough clients.
    pub fn seen(&self, endpoint: &Endpoint<'_>, client: u64, time: f64) -> bool {
        let Some(path) = endpoint.new_path() else {
            return false;
        };
        let mut generations = match self.generations.lock() {
            Ok(generations) => generations,
            // Nobody panics while holding it; if somebody did, the counts are as good as before.
            Err(poisoned) => poisoned.into_inner(),
        };
        let generations = &mut *generations;
        let expired = time - generations.since > self.window;
        let full = generations.young.len() >= self.half && !generations.young.contains_key(&path);
        if expired || full {
            generations.old = std::mem::take(&mut generations.young);
            if time - generations.since > 2.0 * self.window {
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
        let generations = match self.generations.lock() {
            Ok(generations) => generations,
            Err(poisoned) => poisoned.into_inner(),
        };
        generations.young.len() + generations.old.len()
    }

    /// True when no endpoint is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
