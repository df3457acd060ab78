//! When the upstream was away, so that a gateway error then is the right answer and at any other time a wrong one.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// After the upstream is back: for the proxy to notice.
pub(crate) const RECOVERY: Duration = Duration::from_secs(2);

#[derive(Debug, Clone, Copy)]
struct Outage {
    from: Instant,
    /// `None` while it lasts.
    back: Option<Instant>,
}

#[derive(Debug, Default)]
pub(crate) struct Outages(Mutex<Vec<Outage>>);

impl Outages {
    fn all(&self) -> std::sync::MutexGuard<'_, Vec<Outage>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn begin(&self, now: Instant) {
        self.all().push(Outage {
            from: now,
            back: None,
        });
    }

    pub(crate) fn end(&self, now: Instant) {
        if let Some(last) = self.all().last_mut() {
            last.back = Some(now);
        }
    }

    /// Whether something that took from `began` to `ended` may have met an outage.
    pub(crate) fn met(&self, began: Instant, ended: Instant) -> bool {
        self.all().iter().any(|outage| {
            outage.from <= ended && outage.back.is_none_or(|back| began <= back + RECOVERY)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_excuses_what_overlaps_it_and_nothing_else() {
        let zero = Instant::now();
        let at = |seconds| zero + Duration::from_secs(seconds);
        let outages = Outages::default();
        assert!(!outages.met(at(0), at(100)));
        outages.begin(at(10));
        assert!(outages.met(at(5), at(11)) && !outages.met(at(5), at(9)));
        outages.end(at(11));
        assert!(outages.met(at(12), at(13)));
        assert!(!outages.met(at(14), at(20)) && !outages.met(at(0), at(9)));
    }
}
