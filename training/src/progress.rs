//! What long work tells the person or machine that waits for it: bars on a terminal, JSON Lines with `--json`.
//!
//! Must not be here: results. They go to stdout; everything here goes to stderr.

use std::io::IsTerminal;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

/// Events of one stage are at most this frequent.
const EVENT_INTERVAL: Duration = Duration::from_millis(500);

/// The run was stopped by Ctrl-C or SIGTERM before it published anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request: nothing was published and no half bundle was left")]
pub struct Stopped;

/// A flag that Ctrl-C raises and that long loops look at between batches.
#[derive(Debug, Clone, Default)]
pub struct Stop(Arc<AtomicBool>);

impl Stop {
    /// A flag raised by SIGINT, SIGTERM or SIGHUP of this process. The second signal ends the process at once, by
    /// which time nothing but a temporary directory can exist.
    ///
    /// # Errors
    /// When a handler is installed already.
    pub fn on_signals() -> Result<Self, ctrlc::Error> {
        let stop = Self::default();
        let flag = stop.clone();
        ctrlc::set_handler(move || {
            if flag.0.swap(true, Ordering::SeqCst) {
                std::process::exit(1);
            }
        })?;
        Ok(stop)
    }

    /// Raises the flag.
    pub fn request(&self) {
        self.0.store(true, Ordering::SeqCst);
    }

    /// `Err` once the flag is raised.
    ///
    /// # Errors
    /// [`Stopped`], to be passed up to the caller.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.0.load(Ordering::Relaxed) {
            Err(Stopped)
        } else {
            Ok(())
        }
    }
}

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// Bars on a terminal, one line a stage elsewhere.
    Human,
    /// One JSON object a line.
    Json,
    /// Nothing, for tests.
    Silent,
}

impl Progress {
    /// Opens a stage of `total` rows (0: unknown).
    #[must_use]
    pub fn stage(self, name: &'static str, total: u64) -> Stage {
        let bar = match self {
            Progress::Human if std::io::stderr().is_terminal() => bar(name, total),
            _ => ProgressBar::hidden(),
        };
        Stage {
            progress: self,
            name,
            total,
            done: 0,
            loss: None,
            started: Instant::now(),
            told: None,
            bar,
        }
    }

    /// One remark that is no result: a skipped line count, a choice that was made.
    pub fn note(self, message: &str) {
        match self {
            Progress::Human => eprintln!("{message}"),
            Progress::Json => eprintln!("{}", json!({"event": "note", "message": message})),
            Progress::Silent => {}
        }
    }
}

fn bar(name: &'static str, total: u64) -> ProgressBar {
    let template = if total == 0 {
        "{prefix:>12} {pos} rows, {per_sec} {msg}"
    } else {
        "{prefix:>12} {wide_bar} {percent}% {per_sec}, {eta} left {msg}"
    };
    let style =
        ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
    let bar = if total == 0 {
        ProgressBar::new_spinner()
    } else {
        ProgressBar::new(total)
    };
    bar.with_style(style).with_prefix(name)
}

/// One stage of long work.
#[derive(Debug)]
pub struct Stage {
    progress: Progress,
    name: &'static str,
    total: u64,
    done: u64,
    loss: Option<f64>,
    started: Instant,
    told: Option<Instant>,
    bar: ProgressBar,
}

impl Stage {
    /// Counts `rows` more as done.
    pub fn advance(&mut self, rows: usize) {
        self.done += rows as u64;
        self.bar.inc(rows as u64);
        if self.progress == Progress::Json
            && self
                .told
                .is_none_or(|told| told.elapsed() >= EVENT_INTERVAL)
        {
            self.told = Some(Instant::now());
            self.event("progress");
        }
    }

    /// The loss as it is now.
    pub fn loss(&mut self, loss: f64) {
        self.loss = Some(loss);
        self.bar.set_message(format!("loss {loss:.4}"));
    }

    /// Ends the stage with a summary.
    pub fn finish(self, summary: &str) {
        self.bar.finish_and_clear();
        match self.progress {
            Progress::Human => {
                eprintln!(
                    "{:>12} {summary} ({:.1} s)",
                    self.name,
                    self.started.elapsed().as_secs_f64()
                );
            }
            Progress::Json => self.event("stage"),
            Progress::Silent => {}
        }
    }

    #[expect(clippy::cast_precision_loss, reason = "rates for people")]
    fn event(&self, event: &str) {
        let seconds = self.started.elapsed().as_secs_f64();
        let rate = self.done as f64 / seconds.max(1e-6);
        let left = self.total.saturating_sub(self.done) as f64 / rate.max(1e-6);
        eprintln!(
            "{}",
            json!({
                "event": event, "stage": self.name, "done": self.done, "total": self.total, "loss": self.loss,
                "rows_per_second": rate.round(), "seconds": seconds,
                "eta_seconds": (event == "progress" && self.total > 0).then_some(left),
            })
        );
    }
}
