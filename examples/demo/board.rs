//! The live table: redrawn in place on a terminal, a line now and then elsewhere.
//!
//! Only shows; the numbers come from the tally.

use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::tally::{Counts, Kind, Tally};

/// On a terminal the table follows the eye; in a log it should not drown the rest.
const REDRAW_EVERY: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(3);

pub(crate) struct Board {
    terminal: bool,
    started: Instant,
    drawn: Option<Instant>,
    /// Lines of the table on the screen now.
    lines: usize,
    before: (Instant, u64),
    rate: u64,
    /// What is going on, in a few words.
    pub(crate) doing: String,
    /// Generation and model, as the admin listener last said.
    pub(crate) running: String,
}

impl Board {
    pub(crate) fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let now = Instant::now();
        Self {
            terminal: io::stdout().is_terminal() && !dumb,
            started: now,
            drawn: None,
            lines: 0,
            before: (now, 0),
            rate: 0,
            doing: String::new(),
            running: String::new(),
        }
    }

    pub(crate) fn due(&self) -> bool {
        let every = if self.terminal {
            REDRAW_EVERY
        } else {
            LINE_EVERY
        };
        self.drawn.is_none_or(|drawn| drawn.elapsed() >= every)
    }

    pub(crate) fn draw(&mut self, tally: &Tally) {
        self.drawn = Some(Instant::now());
        self.count_rate(tally);
        let text = if self.terminal {
            self.table(tally)
        } else {
            self.line(tally)
        };
        self.erase();
        if self.terminal {
            self.lines = text.lines().count();
        }
        print(&text);
    }

    /// Prints text that stays, above the table.
    pub(crate) fn say(&mut self, text: &str) {
        self.erase();
        print(&format!("{text}\n"));
        self.drawn = None;
    }

    /// Leaves the table's last state on the screen.
    pub(crate) fn finish(&mut self, tally: &Tally) {
        self.erase();
        self.count_rate(tally);
        print(&self.table(tally));
        self.lines = 0;
    }

    fn erase(&mut self) {
        if self.lines > 0 {
            // Up over the table, then clear to the end of the screen.
            print(&format!("\x1b[{}A\x1b[J", self.lines));
            self.lines = 0;
        }
    }

    fn count_rate(&mut self, tally: &Tally) {
        let (since, sent) = self.before;
        let now = tally.all().sent;
        if since.elapsed() >= Duration::from_secs(1) {
            self.rate = (now - sent) * 1000 / (since.elapsed().as_millis() as u64).max(1);
            self.before = (Instant::now(), now);
        }
    }

    fn head(&self, tally: &Tally) -> String {
        let median = tally.recent_median().map_or(String::new(), |micros| {
            format!(", median answer {}", millis(micros))
        });
        format!(
            "{:>3} s  {}{median}  {}/s",
            self.started.elapsed().as_secs(),
            self.running,
            self.rate
        )
    }

    fn table(&self, tally: &Tally) -> String {
        let mut text = format!("\n  {}\n  {}\n\n", self.head(tally), self.doing);
        text.push_str(&format!(
            "  {:<22}{:>8}{:>9}{:>9}{:>9}{:>8}\n",
            "", "sent", "passed", "flagged", "blocked", "failed"
        ));
        for kind in Kind::ALL {
            text.push_str(&row(kind.name(), tally.of(kind)));
        }
        text
    }

    fn line(&self, tally: &Tally) -> String {
        let (customers, attacks) = (tally.of(Kind::Customer), tally.attacks());
        format!(
            "{} | customers {} sent, {} blocked | attacks {} sent, {} blocked, {} flagged | failed {}\n",
            self.head(tally),
            customers.sent,
            customers.blocked,
            attacks.sent,
            attacks.blocked,
            attacks.flagged,
            tally.all().failed,
        )
    }
}

fn row(name: &str, counts: Counts) -> String {
    format!(
        "  {name:<22}{:>8}{:>9}{:>9}{:>9}{:>8}\n",
        counts.sent, counts.passed, counts.flagged, counts.blocked, counts.failed
    )
}

pub(crate) fn millis(micros: u32) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}

/// A closed pipe (`make demo | head`) must end the demo by its usual clean-up, not by a panic in `println!`.
pub(crate) fn print(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::tally::Outcome;

    #[test]
    fn the_table_fits_a_narrow_terminal_and_shows_every_kind() {
        let tally = Tally::default();
        for kind in Kind::ALL {
            tally.record(kind, Outcome::Passed, 1_234_567);
        }
        let mut board = Board::new();
        board.running = "generation 123, model 0123abcd".to_owned();
        board.doing = "weir-train fits the request detector to the captured traffic".to_owned();
        let table = board.table(&tally);
        // A line that wraps would be two lines to erase.
        assert!(
            table.lines().all(|line| line.chars().count() < 80),
            "{table}"
        );
        assert!(
            Kind::ALL.iter().all(|kind| table.contains(kind.name())),
            "{table}"
        );
    }

    #[test]
    fn milliseconds_have_two_digits() {
        assert_eq!(millis(90), "0.09 ms");
        assert_eq!(millis(12_345), "12.34 ms");
    }
}
