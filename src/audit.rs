//! Decision records: one JSON object a line, written by a thread of its own.
//!
//! Not here: process logs (`telemetry`). Recording never waits and never fails a request: what the bounded queue
//! cannot take is dropped and counted. Nothing leaves unredacted: reasons come redacted from `weir-scoring`, and the
//! query of the path is redacted here.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use serde::Serialize;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_scoring::budget::Score;
use weir_scoring::reason::Reason;

use crate::config::{AuditOutput, AuditVerdicts, Mode};
use crate::detect::{Action, Cause, Decision, Outcome, micros};
use crate::redact::{self, Replacement};
use crate::runtime::{Route, Snapshot};
use crate::telemetry::Metrics;
use crate::units::{ClientIp, RequestId, RouteId};

/// Records waiting for the writer: about a second of a fully flagged flood, at a few KiB each.
const QUEUE: usize = 4_096;
/// Bytes of a path or host kept in a record.
const MAX_TEXT: usize = 2_048;

/// What the proxy knows at the end of a request.
#[derive(Debug)]
pub struct Entry<'a> {
    /// As in `X-Request-Id`.
    pub id: RequestId,
    /// When the request arrived.
    pub time: SystemTime,
    /// Its client, behind trusted proxies.
    pub client: ClientIp,
    /// The host it named.
    pub host: &'a [u8],
    /// The method token.
    pub method: &'a [u8],
    /// The target as received.
    pub target: &'a [u8],
    /// What was decided.
    pub decision: &'a Decision,
    /// Status of the answer, the upstream's or ours.
    pub status: u16,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// From the headers to the end of the answer.
    pub whole: Duration,
    /// From the forwarded request to the upstream's response headers.
    pub upstream: Option<Duration>,
    /// Why the proxy answered itself, as in `weir_errors_total`.
    pub error: Option<&'static str>,
}

/// The handle that requests record through. Cheap; lives as long as the process.
pub struct Audit {
    queue: SyncSender<Message>,
    metrics: Arc<Metrics>,
}

impl Audit {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the output cannot be opened or the thread cannot be started.
    pub fn start(output: &AuditOutput, metrics: Arc<Metrics>) -> Result<Self, AuditError> {
        let sink = Sink::open(output)?;
        let (queue, messages) = sync_channel(QUEUE);
        let counts = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("weir-audit".to_owned())
            .spawn(move || write_all(sink, &messages, &counts))
            .map_err(AuditError::Thread)?;
        Ok(Self { queue, metrics })
    }

    /// Whether an output could be opened, without making a file.
    ///
    /// # Errors
    /// When it could not.
    pub fn check(output: &AuditOutput) -> Result<(), AuditError> {
        let AuditOutput::File(path) = output else {
            return Ok(());
        };
        let opened = match OpenOptions::new().append(true).open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let folder = path
                    .parent()
                    .filter(|folder| !folder.as_os_str().is_empty());
                std::fs::read_dir(folder.unwrap_or(Path::new("."))).map(drop)
            }
            other => other.map(drop),
        };
        opened.map_err(|source| AuditError::Open {
            path: path.clone(),
            source,
        })
    }

    /// Writes the decision down, if the configuration wants it.
    pub fn record(&self, snapshot: &Snapshot, route: &Route, entry: &Entry<'_>) {
        let config = &snapshot.config.audit;
        if config.output == AuditOutput::Off || !wanted(config.verdicts, entry.decision) {
            return;
        }
        let record = Box::new(Record::new(snapshot, route, entry));
        if self.queue.try_send(Message::Record(record)).is_err() {
            self.metrics.audit_dropped.inc();
        }
    }

    /// Opens the output again: after a reload, and after log rotation.
    ///
    /// # Errors
    /// When it cannot be opened; the old one stays.
    pub fn reopen(&self, output: &AuditOutput) -> Result<(), AuditError> {
        let sink = Sink::open(output)?;
        control(&self.queue, Message::Reopen(sink)).map_err(|Stuck| AuditError::Stuck)
    }

    /// Waits until everything recorded so far is written.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if control(&self.queue, Message::Flush(done)).is_ok() {
            let _ended = wait.recv();
        }
    }
}

impl fmt::Debug for Audit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Audit").finish_non_exhaustive()
    }
}

/// Why decision records cannot be written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuditError {
    /// The file cannot be opened for appending.
    #[error("audit.output: cannot append to {}: {source}; create its folder or give weir the right to write there", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// No thread.
    #[error("the audit thread could not be started: {0}")]
    Thread(io::Error),
    /// The writer does not take messages.
    #[error(
        "the audit writer is stuck: is the reader of standard output, or the disk, still there?"
    )]
    Stuck,
}

/// A writer that takes no message in time.
#[derive(Debug)]
pub(crate) struct Stuck;

/// Sends a message that must not be dropped: waits for room, within a bound, so that a stuck disk or pipe cannot hold
/// up reloads and shutdown for ever. Blocks: not for async threads.
pub(crate) fn control<T>(queue: &SyncSender<T>, mut message: T) -> Result<(), Stuck> {
    const PATIENCE: Duration = Duration::from_secs(5);
    const STEP: Duration = Duration::from_millis(10);
    let begun = Instant::now();
    loop {
        message = match queue.try_send(message) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Full(message)) if begun.elapsed() < PATIENCE => message,
            Err(_) => return Err(Stuck),
        };
        std::thread::sleep(STEP);
    }
}

fn wanted(verdicts: AuditVerdicts, decision: &Decision) -> bool {
    match verdicts {
        AuditVerdicts::All => true,
        AuditVerdicts::Notable => !matches!(decision.outcome(), Outcome::Pass | Outcome::Off),
    }
}

enum Message {
    Record(Box<Record>),
    Reopen(Sink),
    Flush(SyncSender<()>),
}

enum Sink {
    Off,
    Stdout(io::Stdout),
    File(BufWriter<File>),
}

impl Sink {
    fn open(output: &AuditOutput) -> Result<Self, AuditError> {
        match output {
            AuditOutput::Off => Ok(Self::Off),
            AuditOutput::Stdout => Ok(Self::Stdout(io::stdout())),
            AuditOutput::File(path) => OpenOptions::new()
                .create(true)
                .append(true)
                .open(path)
                .map(|file| Self::File(BufWriter::new(file)))
                .map_err(|source| AuditError::Open {
                    path: path.clone(),
                    source,
                }),
        }
    }

    fn write(&mut self, line: &[u8]) -> io::Result<()> {
        match self {
            Self::Off => Ok(()),
            Self::Stdout(out) => out.write_all(line),
            Self::File(out) => out.write_all(line),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Off => Ok(()),
            Self::Stdout(out) => out.flush(),
            Self::File(out) => out.flush(),
        }
    }
}

fn write_all(mut sink: Sink, messages: &Receiver<Message>, metrics: &Metrics) {
    let mut line = Vec::new();
    let mut broken = false;
    while let Ok(first) = messages.recv() {
        let mut next = Some(first);
        let mut outcome = Ok(());
        // Drain the burst, then flush once: a reader sees a record as soon as the writer is idle.
        while let Some(message) = next {
            let is_record = matches!(message, Message::Record(_));
            let written = handle(&mut sink, &mut line, message);
            if is_record && written.is_err() {
                metrics.audit_dropped.inc();
            }
            outcome = outcome.and(written);
            next = messages.try_recv().ok();
        }
        // What the buffer holds is kept and written when there is room again.
        let outcome = outcome.and_then(|()| sink.flush());
        match (&outcome, broken) {
            (Err(error), false) => tracing::error!(%error, "decision records cannot be written"),
            (Ok(()), true) => tracing::info!("decision records are written again"),
            _ => {}
        }
        broken = outcome.is_err();
    }
}

fn handle(sink: &mut Sink, line: &mut Vec<u8>, message: Message) -> io::Result<()> {
    match message {
        Message::Record(record) => {
            line.clear();
            serde_json::to_writer(&mut *line, &record)?;
            line.push(b'\n');
            sink.write(line)
        }
        Message::Reopen(fresh) => {
            let flushed = sink.flush();
            *sink = fresh;
            flushed
        }
        Message::Flush(done) => {
            let flushed = sink.flush();
            let _waiter_gone = done.send(());
            flushed
        }
    }
}

/// One line. Field names are stable; see `docs/`.
#[derive(Debug, Serialize)]
struct Record {
    request_id: RequestId,
    time: String,
    client: String,
    route: RouteId,
    host: String,
    method: String,
    path: String,
    status: u16,
    response_bytes: u64,
    score: Option<Score>,
    verdict: &'static str,
    action: &'static str,
    mode: Mode,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failure: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    detectors: Option<Detectors>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<Reason>,
    bundle: Option<String>,
    generation: u64,
    timings: Timings,
}

#[derive(Debug, Serialize)]
struct Detectors {
    field: Score,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<Score>,
}

/// Microseconds.
#[derive(Debug, Serialize)]
struct Timings {
    total_us: u64,
    inspect_us: u64,
    extract_us: u64,
    score_us: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    upstream_us: Option<u64>,
}

impl Record {
    fn new(snapshot: &Snapshot, route: &Route, entry: &Entry<'_>) -> Self {
        let decision = entry.decision;
        let target = redact::target(entry.target, &snapshot.config.redact, Replacement::Mask);
        Self {
            request_id: entry.id,
            time: timestamp(entry.time),
            client: entry.client.to_string(),
            route: route.policy.id.clone(),
            host: text(entry.host),
            method: text(entry.method),
            path: text(&target),
            status: entry.status,
            response_bytes: entry.response_bytes,
            score: decision.scores.map(|scores| scores.combined),
            verdict: decision.outcome().name(),
            action: match decision.action {
                Action::Forward => "forward",
                Action::Block { .. } => "block",
            },
            mode: decision.mode,
            error: entry.error,
            failure: match decision.cause {
                Cause::Failed { failure, .. } => Some(failure.name()),
                _ => None,
            },
            detectors: decision.scores.map(|scores| Detectors {
                field: scores.field,
                request: scores.request,
            }),
            reason: decision.reason.clone(),
            bundle: snapshot.bundle_id().map(str::to_owned),
            generation: decision.generation,
            timings: Timings {
                total_us: micros(entry.whole),
                inspect_us: micros(decision.timings.whole),
                extract_us: micros(decision.timings.extract),
                score_us: micros(decision.timings.score),
                upstream_us: entry.upstream.map(micros),
            },
        }
    }
}

/// RFC 3339 with milliseconds, UTC.
pub(crate) fn timestamp(time: SystemTime) -> String {
    let time = OffsetDateTime::from(time);
    let millis = time.millisecond();
    time.replace_millisecond(millis)
        .ok()
        .and_then(|time| time.replace_nanosecond(u32::from(millis) * 1_000_000).ok())
        .and_then(|time| time.format(&Rfc3339).ok())
        .unwrap_or_default()
}

/// Bytes as text, cut at a bound; invalid UTF-8 shows as U+FFFD.
fn text(bytes: &[u8]) -> String {
    let cut = bytes.get(..MAX_TEXT).unwrap_or(bytes);
    String::from_utf8_lossy(cut).into_owned()
}

#[cfg(test)]
mod tests;
