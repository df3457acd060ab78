//! The table at the end, and whether everything in it is as promised.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::disturb::Reloads;
use crate::ledger::Summary;
use crate::process::Figures;
use crate::tally::{Counts, Kind, sum};

/// Memory at the end may lie this share above the level after warm-up.
const GROWTH: f64 = 0.10;

pub(crate) struct Report {
    pub(crate) length: Duration,
    pub(crate) restarts: u64,
    pub(crate) reloads: Reloads,
    pub(crate) kinds: BTreeMap<Kind, Counts>,
    pub(crate) examples: Vec<String>,
    pub(crate) bodies: Summary,
    pub(crate) figures: Figures,
    pub(crate) panics: u64,
    /// Whether the proxy ended by itself, with success, when it was asked to.
    pub(crate) graceful: bool,
}

struct Line {
    what: &'static str,
    measured: String,
    promised: String,
    held: bool,
}

impl Report {
    pub(crate) fn held(&self) -> bool {
        self.lines().iter().all(|line| line.held)
    }

    fn growth(&self) -> f64 {
        self.figures.end as f64 / self.figures.warm.max(1) as f64 - 1.0
    }

    fn lines(&self) -> Vec<Line> {
        let none = |what, count: u64| Line {
            what,
            measured: count.to_string(),
            promised: "0".to_owned(),
            held: count == 0,
        };
        let told = |what, measured: String| Line {
            what,
            measured,
            promised: String::new(),
            held: true,
        };
        let all = sum(&self.kinds);
        let silent = Kind::ALL
            .iter()
            .filter(|kind| self.kinds.get(kind).is_none_or(|counts| counts.right == 0))
            .count();
        let mib = |kib: u64| format!("{:.1} MiB", kib as f64 / 1024.0);
        let figures = &self.figures;
        vec![
            told("requests", all.requests().to_string()),
            told(
                "gateway errors while the upstream was away",
                all.away.to_string(),
            ),
            none("wrong answers", all.wrong),
            none("kinds of clients without one right answer", silent as u64),
            told("bodies delivered", self.bodies.delivered.to_string()),
            none("lost bodies", self.bodies.lost),
            none("duplicated bodies", self.bodies.duplicated),
            none(
                "bodies completed that a client broke off",
                self.bodies.completed,
            ),
            told("upstream restarts", self.restarts.to_string()),
            told("reloads", self.reloads.done.to_string()),
            none("reloads refused", self.reloads.refused.len() as u64),
            none("panics", self.panics),
            told("RSS at start", mib(figures.start)),
            told("RSS after warm-up", mib(figures.warm)),
            told("RSS at peak", mib(figures.peak)),
            Line {
                what: "RSS at the end, against warm-up",
                measured: format!("{} ({:+.1}%)", mib(figures.end), self.growth() * 100.0),
                promised: format!("at most {:+.0}%", GROWTH * 100.0),
                held: figures.end as f64 <= figures.warm as f64 * (1.0 + GROWTH),
            },
            told("RSS without load", mib(figures.idle)),
            told(
                "descriptors at start",
                figures.descriptors_at_start.to_string(),
            ),
            Line {
                what: "descriptors at the end",
                measured: figures.descriptors_at_end.to_string(),
                promised: format!("at most {}", figures.descriptors_at_start),
                held: figures.descriptors_at_end <= figures.descriptors_at_start,
            },
            Line {
                what: "ends when asked to",
                measured: if self.graceful { "yes" } else { "no" }.to_owned(),
                promised: "yes".to_owned(),
                held: self.graceful,
            },
        ]
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "\nSoak of {} s\n", self.length.as_secs())?;
        writeln!(
            f,
            "  {:<44}{:>12}{:>12}     wrong",
            "clients", "right", "away"
        )?;
        for (kind, counts) in &self.kinds {
            writeln!(
                f,
                "  {:<44}{:>12}{:>12}{:>10}",
                kind.name(),
                counts.right,
                counts.away,
                counts.wrong
            )?;
        }
        writeln!(f, "\n  {:<44}{:>24}  promised", "checks", "measured")?;
        for line in self.lines() {
            let mark = if line.held { "" } else { "  MISSED" };
            writeln!(
                f,
                "  {:<44}{:>24}  {}{mark}",
                line.what, line.measured, line.promised
            )?;
        }
        for example in &self.examples {
            writeln!(f, "  wrong: {example}")?;
        }
        for refused in &self.reloads.refused {
            writeln!(f, "  refused: {refused}")?;
        }
        write!(
            f,
            "\n{}",
            if self.held() {
                "soak: everything held"
            } else {
                "soak: FAILED"
            }
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Report {
        let counts = Counts {
            right: 1,
            away: 1,
            wrong: 0,
        };
        Report {
            length: Duration::from_secs(20),
            restarts: 1,
            reloads: Reloads::default(),
            kinds: Kind::ALL.into_iter().map(|kind| (kind, counts)).collect(),
            examples: Vec::new(),
            bodies: Summary {
                delivered: 9,
                lost: 0,
                duplicated: 0,
                completed: 0,
            },
            figures: Figures {
                start: 1,
                warm: 1000,
                peak: 5000,
                end: 1100,
                idle: 900,
                descriptors_at_start: 10,
                descriptors_at_end: 10,
            },
            panics: 0,
            graceful: true,
        }
    }

    #[test]
    fn every_missed_number_fails_the_run() {
        assert!(good().held(), "{}", good());
        let spoil: [fn(&mut Report); 9] = [
            |report| report.kinds.entry(Kind::Tls).or_default().wrong = 1,
            |report| {
                report.kinds.remove(&Kind::Events);
            },
            |report| report.bodies.lost = 1,
            |report| report.bodies.duplicated = 1,
            |report| report.bodies.completed = 1,
            |report| report.reloads.refused.push("no".to_owned()),
            |report| report.figures.end = 1101,
            |report| report.figures.descriptors_at_end = 11,
            |report| report.graceful = false,
        ];
        for spoil in spoil {
            let mut report = good();
            spoil(&mut report);
            assert!(!report.held(), "{report}");
            assert!(report.to_string().contains("MISSED"));
        }
    }
}
