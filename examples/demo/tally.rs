//! What was sent and what became of it, by kind of visitor.
//!
//! The generator knows what it sent; Weir does not. Comparing the two is the only judgement made here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Who sent a request, and with what intention.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Customer,
    Sql,
    Script,
    Traversal,
    Command,
    Lookup,
    Forgery,
    Entity,
    Scanner,
}

impl Kind {
    pub(crate) const ALL: [Kind; 9] = [
        Kind::Customer,
        Kind::Sql,
        Kind::Script,
        Kind::Traversal,
        Kind::Command,
        Kind::Lookup,
        Kind::Forgery,
        Kind::Entity,
        Kind::Scanner,
    ];
    /// The kinds that attackers mix; the scanner runs on its own.
    pub(crate) const MIXED: [Kind; 7] = [
        Kind::Sql,
        Kind::Script,
        Kind::Traversal,
        Kind::Command,
        Kind::Lookup,
        Kind::Forgery,
        Kind::Entity,
    ];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Kind::Customer => "ordinary customers",
            Kind::Sql => "SQL injection",
            Kind::Script => "cross-site scripting",
            Kind::Traversal => "path traversal",
            Kind::Command => "command injection",
            Kind::Lookup => "JNDI lookup",
            Kind::Forgery => "SSRF",
            Kind::Entity => "XXE",
            Kind::Scanner => "scanner probes",
        }
    }

    pub(crate) const fn is_attack(self) -> bool {
        !matches!(self, Kind::Customer)
    }
}

/// What became of one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Outcome {
    Passed,
    /// Let through without a score, because the inspection failed and the route fails open.
    Uninspected,
    /// Let through with Weir's mark on it.
    Flagged,
    /// Stopped by Weir; the request id finds the decision.
    Blocked(Option<String>),
    /// No answer, or a server error: what must never happen.
    Failed(String),
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) sent: u64,
    pub(crate) passed: u64,
    /// Of those passed: never scored.
    pub(crate) uninspected: u64,
    pub(crate) flagged: u64,
    pub(crate) blocked: u64,
    pub(crate) failed: u64,
}

impl Counts {
    pub(crate) fn plus(self, other: Counts) -> Counts {
        Counts {
            sent: self.sent + other.sent,
            passed: self.passed + other.passed,
            uninspected: self.uninspected + other.uninspected,
            flagged: self.flagged + other.flagged,
            blocked: self.blocked + other.blocked,
            failed: self.failed + other.failed,
        }
    }

    pub(crate) fn minus(self, earlier: Counts) -> Counts {
        Counts {
            sent: self.sent.saturating_sub(earlier.sent),
            passed: self.passed.saturating_sub(earlier.passed),
            uninspected: self.uninspected.saturating_sub(earlier.uninspected),
            flagged: self.flagged.saturating_sub(earlier.flagged),
            blocked: self.blocked.saturating_sub(earlier.blocked),
            failed: self.failed.saturating_sub(earlier.failed),
        }
    }
}

/// Latencies of the last requests, for the live line.
const RECENT: usize = 512;
/// Enough blocked requests to choose the explained ones from.
const MOST_BLOCKED_IDS: usize = 4_000;
const MOST_FAILURES: usize = 10;

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    counts: [Counts; Kind::ALL.len()],
    recent: VecDeque<u32>,
    blocked: Vec<(Kind, String)>,
    failures: Vec<String>,
}

impl Tally {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn record(&self, kind: Kind, outcome: Outcome, micros: u32) {
        let mut kept = self.kept();
        let kept = &mut *kept;
        let Some(counts) = kept.counts.get_mut(kind as usize) else {
            return;
        };
        counts.sent += 1;
        match outcome {
            Outcome::Passed => counts.passed += 1,
            Outcome::Uninspected => {
                counts.passed += 1;
                counts.uninspected += 1;
            }
            Outcome::Flagged => counts.flagged += 1,
            Outcome::Blocked(id) => {
                counts.blocked += 1;
                if let Some(id) = id.filter(|_| kept.blocked.len() < MOST_BLOCKED_IDS) {
                    kept.blocked.push((kind, id));
                }
            }
            Outcome::Failed(why) => {
                counts.failed += 1;
                if kept.failures.len() < MOST_FAILURES {
                    kept.failures.push(format!("{}: {why}", kind.name()));
                }
            }
        }
        if kept.recent.len() >= RECENT {
            kept.recent.pop_front();
        }
        kept.recent.push_back(micros);
    }

    pub(crate) fn of(&self, kind: Kind) -> Counts {
        self.kept()
            .counts
            .get(kind as usize)
            .copied()
            .unwrap_or_default()
    }

    pub(crate) fn attacks(&self) -> Counts {
        Kind::ALL
            .into_iter()
            .filter(|kind| kind.is_attack())
            .map(|kind| self.of(kind))
            .fold(Counts::default(), Counts::plus)
    }

    pub(crate) fn all(&self) -> Counts {
        self.attacks().plus(self.of(Kind::Customer))
    }

    /// Median of the last answers, in microseconds.
    pub(crate) fn recent_median(&self) -> Option<u32> {
        let mut recent: Vec<u32> = self.kept().recent.iter().copied().collect();
        recent.sort_unstable();
        recent.get(recent.len() / 2).copied()
    }

    /// Blocked requests of the given kind, oldest first.
    pub(crate) fn blocked_ids(&self, kind: Kind) -> Vec<String> {
        self.kept()
            .blocked
            .iter()
            .filter(|(known, _)| *known == kind)
            .map(|(_, id)| id.clone())
            .collect()
    }

    pub(crate) fn failures(&self) -> Vec<String> {
        self.kept().failures.clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]
    use super::*;

    #[test]
    fn every_outcome_lands_in_its_column() {
        let tally = Tally::default();
        tally.record(Kind::Customer, Outcome::Passed, 10);
        tally.record(Kind::Sql, Outcome::Blocked(Some("a".to_owned())), 30);
        tally.record(Kind::Sql, Outcome::Flagged, 20);
        tally.record(Kind::Scanner, Outcome::Failed("reset".to_owned()), 5);
        assert_eq!(
            tally.of(Kind::Sql),
            Counts {
                sent: 2,
                flagged: 1,
                blocked: 1,
                ..Counts::default()
            }
        );
        assert_eq!(tally.attacks().sent, 3);
        assert_eq!(tally.all().sent, 4);
        assert_eq!(tally.blocked_ids(Kind::Sql), ["a"]);
        assert_eq!(tally.failures(), ["scanner probes: reset"]);
        assert_eq!(tally.recent_median(), Some(20));
        assert_eq!(tally.all().minus(tally.attacks()), tally.of(Kind::Customer));
    }

    #[test]
    fn kinds_index_their_own_row() {
        for (row, kind) in Kind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, row);
        }
    }
}
