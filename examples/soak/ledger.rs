//! What the origin got, by the number that each body carries: a body that is lost, changed, cut or delivered twice
//! stands out.
//!
//! Not here: what the clients were answered (`tally`).

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

use crate::content::Digest;

#[derive(Debug, Default)]
struct Delivery {
    /// Requests with this number whose head arrived.
    begun: u32,
    /// The body, once it was there to its end.
    whole: Option<Digest>,
}

#[derive(Debug, Default)]
struct Entries {
    delivered: HashMap<u64, Delivery>,
    /// Bodies that their sender broke off.
    broken: HashSet<u64>,
    lost: u64,
}

/// Survives restarts of the origin.
#[derive(Debug, Default)]
pub(crate) struct Ledger(Mutex<Entries>);

/// How bodies fared in the whole run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) delivered: u64,
    /// Answered with success, and not as sent at the origin.
    pub(crate) lost: u64,
    /// At the origin more than once.
    pub(crate) duplicated: u64,
    /// Broken off by the client, and whole at the origin.
    pub(crate) completed: u64,
}

impl Ledger {
    fn entries(&self) -> std::sync::MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The origin has the head of a request with a body.
    pub(crate) fn begun(&self, number: u64) {
        self.entries().delivered.entry(number).or_default().begun += 1;
    }

    /// The origin has the body to its end.
    pub(crate) fn whole(&self, number: u64, digest: Digest) {
        self.entries().delivered.entry(number).or_default().whole = Some(digest);
    }

    /// The client will break this body off.
    pub(crate) fn will_break(&self, number: u64) {
        self.entries().broken.insert(number);
    }

    /// The client was told that its body arrived: did it?
    pub(crate) fn answered(&self, number: u64, digest: Digest) -> bool {
        let mut entries = self.entries();
        let arrived = entries
            .delivered
            .get(&number)
            .is_some_and(|delivery| delivery.whole == Some(digest));
        entries.lost += u64::from(!arrived);
        arrived
    }

    pub(crate) fn summary(&self) -> Summary {
        let entries = self.entries();
        let count = |of: &dyn Fn(&u64, &Delivery) -> bool| {
            let found = entries.delivered.iter();
            found
                .filter(|(number, delivery)| of(number, delivery))
                .count() as u64
        };
        Summary {
            delivered: count(&|_, delivery| delivery.whole.is_some()),
            lost: entries.lost,
            duplicated: count(&|_, delivery| delivery.begun > 1),
            completed: count(&|number, delivery| {
                delivery.whole.is_some() && entries.broken.contains(number)
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::content::digest;

    #[test]
    fn every_way_to_mistreat_a_body_is_found() {
        let ledger = Ledger::default();
        for number in [1, 2, 2, 3] {
            ledger.begun(number);
            ledger.whole(number, digest(b"as sent"));
        }
        ledger.begun(4);
        ledger.will_break(3);
        ledger.will_break(4);
        assert!(ledger.answered(1, digest(b"as sent")));
        assert!(!ledger.answered(2, digest(b"something else")));
        assert!(!ledger.answered(9, digest(b"never there")));
        let expected = Summary {
            delivered: 3,
            lost: 2,
            duplicated: 1,
            completed: 1,
        };
        assert_eq!(ledger.summary(), expected);
    }
}
