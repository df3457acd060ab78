//! The process's own log: filter, format, and the thread that writes it.
//!
//! Not here: metrics, and decision records (`audit`). Logging never waits: a full disk or a reader of standard error that
//! has stopped costs lines, which are counted, and never holds up a request.

use std::io::IsTerminal;
use std::sync::OnceLock;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};

use super::panics;
use crate::config::{Log, LogFormat};

/// It warns of every watched folder that was replaced, which is how bundles are published.
const QUIET: &str = "notify=error";

/// Lines that wait to be written, at a few hundred bytes each.
const QUEUE: usize = 8_192;

/// Lines that were dropped, once there is a log.
static DROPPED: OnceLock<ErrorCounter> = OnceLock::new();

/// How many lines the log could not take so far.
pub(super) fn dropped() -> u64 {
    DROPPED
        .get()
        .map_or(0, |counter| counter.dropped_lines() as u64)
}

/// Why tracing could not be set up.
#[derive(Debug, thiserror::Error)]
#[error(
    "log.level `{level}` is no filter; use error, warn, info, debug, trace or pairs such as weir_waf=debug,warn"
)]
pub struct LevelError {
    level: String,
}

/// Checks a log filter.
///
/// # Errors
/// When it is none.
pub fn parse_level(level: &str) -> Result<tracing_subscriber::EnvFilter, LevelError> {
    tracing_subscriber::EnvFilter::try_new(level).map_err(|_| LevelError {
        level: level.to_owned(),
    })
}

fn filter(level: &str) -> Result<tracing_subscriber::EnvFilter, LevelError> {
    let filter = parse_level(level)?;
    Ok(match QUIET.parse() {
        Ok(quiet) if !level.contains("notify") => filter.add_directive(quiet),
        _ => filter,
    })
}

/// Sends logs to stderr until the guard is dropped, which writes what waits; and panics to the log by their place only:
/// a panic's message may quote request content. Does nothing when a subscriber is already set (tests).
///
/// # Errors
/// When the level is no filter.
pub fn init_tracing(log: &Log) -> Result<WorkerGuard, LevelError> {
    let filter = filter(&log.level)?;
    let (writer, guard) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .thread_name("weir-log")
        .finish(std::io::stderr());
    let _set_before = DROPPED.set(writer.error_counter());
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(writer);
    let _already_set = match log.format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
    panics::install_hook();
    Ok(guard)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_are_checked() {
        assert!(parse_level("info").is_ok());
        assert!(parse_level("weir_waf=debug,warn").is_ok());
        assert!(parse_level("weir_waf=loud").is_err());
    }

    #[test]
    fn the_watcher_is_quiet_unless_asked() {
        let of = |level| filter(level).map(|filter| filter.to_string());
        assert!(of("info").is_ok_and(|filter| filter.contains("notify=error")));
        assert!(of("notify=debug").is_ok_and(|filter| !filter.contains("notify=error")));
    }
}
