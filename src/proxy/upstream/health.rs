//! Whether an endpoint should get requests: what its checks say, and what became of the requests before.
//!
//! Not here: the checks themselves (`probe`) and the choice between endpoints (`balance`).

use std::sync::LazyLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::config::Ejection;

/// What times of ejection count from.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Doublings of the first ejection's time; the configured longest time is reached before.
const MOST_DOUBLINGS: u32 = 16;

/// The health of one endpoint.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// By its checks.
    down: AtomicBool,
    /// Failed requests in a row.
    failures: AtomicU32,
    /// Ejections in a row, without a request that succeeded between them.
    ejections: AtomicU32,
    /// Ejected until then, in milliseconds since [`START`]; 0: not ejected.
    until: AtomicU64,
}

/// What can be said of an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// It gets requests.
    Up,
    /// Too many requests in a row failed there; it gets none for a while.
    Ejected,
    /// Its checks fail.
    Down,
}

fn now() -> u64 {
    u64::try_from(START.elapsed().as_millis()).unwrap_or(u64::MAX)
}

impl Health {
    /// The present state.
    pub(super) fn state(&self) -> State {
        if self.down.load(Ordering::Relaxed) {
            return State::Down;
        }
        match self.until.load(Ordering::Relaxed) {
            0 => State::Up,
            until if now() >= until => State::Up,
            _ => State::Ejected,
        }
    }

    /// A request succeeded.
    pub(super) fn succeeded(&self) {
        // Almost always nothing changes, and nothing is written.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
        if self.ejections.load(Ordering::Relaxed) != 0 {
            self.ejections.store(0, Ordering::Relaxed);
            self.until.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed. Answers for how long the endpoint is ejected because of it; `may` says whether the others
    /// can do without it.
    pub(super) fn failed(&self, policy: &Ejection, may: impl FnOnce() -> bool) -> Option<Duration> {
        let until = self.until.load(Ordering::Relaxed);
        let now = now();
        if policy.failures == 0 || until > now {
            return None;
        }
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        // One that has just come back gets no second chance.
        let returned = until != 0;
        if (failures < policy.failures && !returned) || !may() {
            return None;
        }
        let doublings = self.ejections.load(Ordering::Relaxed).min(MOST_DOUBLINGS);
        let time = policy
            .time
            .saturating_mul(1 << doublings)
            .min(policy.longest);
        let end = now
            .saturating_add(u64::try_from(time.as_millis()).unwrap_or(u64::MAX))
            .max(1);
        // Of many requests that fail at once, one ejects.
        self.until
            .compare_exchange(until, end, Ordering::Relaxed, Ordering::Relaxed)
            .ok()?;
        self.ejections.fetch_add(1, Ordering::Relaxed);
        self.failures.store(0, Ordering::Relaxed);
        Some(time)
    }

    /// What its checks say. Answers whether that is news.
    pub(super) fn checked(&self, up: bool) -> bool {
        if up {
            // A check that succeeds is as good as a request.
            self.succeeded();
        }
        self.down.swap(!up, Ordering::Relaxed) == up
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: Ejection = Ejection {
        failures: 3,
        time: Duration::from_secs(10),
        longest: Duration::from_secs(30),
    };

    fn fail(health: &Health, times: u32) -> Option<Duration> {
        (0..times).fold(None, |_, _| health.failed(&POLICY, || true))
    }

    /// As if the time of the ejection had passed.
    fn pass(health: &Health) {
        health.until.store(1, Ordering::Relaxed);
        while now() < 1 {
            std::thread::yield_now();
        }
    }

    #[test]
    fn failures_in_a_row_eject_for_longer_and_longer() {
        let health = Health::default();
        assert_eq!(fail(&health, 2), None);
        health.succeeded();
        assert_eq!(fail(&health, 2), None, "not in a row");
        assert_eq!(fail(&health, 1), Some(Duration::from_secs(10)));
        assert_eq!(health.state(), State::Ejected);
        assert_eq!(fail(&health, 9), None, "requests that were under way");
        pass(&health);
        assert_eq!(health.state(), State::Up);
        assert_eq!(fail(&health, 1), Some(Duration::from_secs(20)));
        pass(&health);
        assert_eq!(
            fail(&health, 1),
            Some(Duration::from_secs(30)),
            "the longest"
        );
        pass(&health);
        health.succeeded();
        assert_eq!(fail(&health, 2), None);
        assert_eq!(fail(&health, 1), Some(Duration::from_secs(10)));
    }

    #[test]
    fn an_endpoint_that_is_needed_stays() {
        let health = Health::default();
        for _ in 0..9 {
            assert_eq!(health.failed(&POLICY, || false), None);
        }
        assert_eq!(health.state(), State::Up);
        let never = Ejection {
            failures: 0,
            ..POLICY
        };
        assert_eq!(health.failed(&never, || true), None);
    }

    #[test]
    fn checks_take_down_and_bring_back() {
        let health = Health::default();
        assert!(health.checked(false));
        assert!(!health.checked(false), "no news");
        assert_eq!(health.state(), State::Down);
        fail(&health, 3);
        assert!(health.checked(true));
        assert_eq!(health.state(), State::Up);
    }
}
