//! Records passed requests for training: redacted, size-bounded, compressed, rotated.
//!
//! Not here: which requests pass (`detect`), and decisions (`audit`). Recording never waits: what the bounded queue
//! cannot take is dropped and counted. Redaction happens on the writer's thread, before anything reaches a disk.

mod files;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use weir_features::RequestView;

use crate::audit::{control, timestamp};
use crate::config;
use crate::detect::{Decision, Outcome};
use crate::redact::{self, KeyError, Replacement, TokenKey};
use crate::runtime::Snapshot;
use crate::telemetry::Metrics;
use crate::units::ClientIp;

pub use files::FileError;
use files::Files;

/// Requests waiting for the writer.
const QUEUE: usize = 4_096;
/// Bytes of requests waiting, or held by requests in flight: the second bound, because bodies differ in size.
const QUEUE_BYTES: u64 = 16 * 1024 * 1024;
/// Records reach the disk after this time at the latest: a reader or a crash misses no more.
const FLUSH_AFTER: Duration = Duration::from_secs(2);
/// After a failure nothing is tried for this long: a full disk is not full for microseconds.
const PAUSE: Duration = Duration::from_secs(1);

/// The handle that requests record through. Lives as long as the process; does nothing while capture is off.
pub struct Capture {
    queue: SyncSender<Message>,
    held: Arc<AtomicU64>,
    metrics: Arc<Metrics>,
}

/// A request held for recording until its response is known.
#[derive(Debug)]
pub struct Draft {
    method: Vec<u8>,
    target: Vec<u8>,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
    client: ClientIp,
    time: SystemTime,
    config: Arc<config::Config>,
    size: u64,
    held: Arc<AtomicU64>,
}

impl Drop for Draft {
    fn drop(&mut self) {
        self.held.fetch_sub(self.size, Ordering::Relaxed);
    }
}

/// The opened parts of a capture configuration.
pub struct Prepared(Option<(Files, TokenKey)>);

/// Why a capture cannot begin.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CaptureError {
    /// The directory.
    #[error(transparent)]
    Files(#[from] FileError),
    /// The key of the tokens.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No thread.
    #[error("the capture thread could not be started: {0}")]
    Thread(std::io::Error),
}

impl Prepared {
    /// Opens directory and key without writing a record.
    ///
    /// # Errors
    /// When either cannot be used.
    pub fn open(capture: Option<&config::Capture>) -> Result<Self, CaptureError> {
        let Some(capture) = capture else {
            return Ok(Self(None));
        };
        let files = Files::open(capture)?;
        let key = TokenKey::load_or_create(&capture.key_file)?;
        Ok(Self(Some((files, key))))
    }

    /// Whether [`Prepared::open`] would work, without making directory or key.
    ///
    /// # Errors
    /// When it would not.
    pub fn check(capture: Option<&config::Capture>) -> Result<(), CaptureError> {
        let Some(capture) = capture else {
            return Ok(());
        };
        files::check(&capture.directory)?;
        if capture.key_file.exists() {
            TokenKey::load_or_create(&capture.key_file)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Prepared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Prepared({})",
            if self.0.is_some() { "on" } else { "off" }
        )
    }
}

impl Capture {
    /// Starts the writer.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub fn start(prepared: Prepared, metrics: Arc<Metrics>) -> Result<Self, CaptureError> {
        let (queue, messages) = sync_channel(QUEUE);
        let counts = Arc::clone(&metrics);
        std::thread::Builder::new()
            .name("weir-capture".to_owned())
            .spawn(move || write_all(prepared, &messages, &counts))
            .map_err(CaptureError::Thread)?;
        Ok(Self {
            queue,
            held: Arc::default(),
            metrics,
        })
    }

    /// Holds a request for recording: `None` when capture is off, the decision is not that of passed traffic, or too
    /// much is already held. Call it while the body prefix is at hand.
    pub fn draft(
        &self,
        snapshot: &Snapshot,
        decision: &Decision,
        request: &RequestView<'_>,
        client: ClientIp,
        time: SystemTime,
    ) -> Option<Draft> {
        let config = snapshot.config.capture.as_ref()?;
        // A cut body must not pass for a whole one: the trainer would learn that bodies end there.
        if !passed(decision)
            || is_sealed(request)
            || request.body_truncated
            || request.body.len() > config.body.as_usize()
        {
            return None;
        }
        let names: usize = request
            .headers
            .iter()
            .map(|(name, value)| name.len() + value.len() + 64)
            .sum();
        let size = (request.target.len() + names + request.body.len() + 256) as u64;
        if self.held.fetch_add(size, Ordering::Relaxed) + size > QUEUE_BYTES {
            self.held.fetch_sub(size, Ordering::Relaxed);
            self.metrics.capture_dropped.inc();
            return None;
        }
        let own = |(name, value): &(&[u8], &[u8])| (name.to_vec(), value.to_vec());
        Some(Draft {
            method: request.method.to_vec(),
            target: request.target.to_vec(),
            headers: request.headers.iter().map(own).collect(),
            body: request.body.to_vec(),
            client,
            time,
            config: Arc::clone(&snapshot.config),
            size,
            held: Arc::clone(&self.held),
        })
    }

    /// Records a held request with its response's status and size.
    pub fn offer(&self, draft: Draft, status: u16, response_bytes: u64) {
        if self
            .queue
            .try_send(Message::Record(Box::new(draft), status, response_bytes))
            .is_err()
        {
            self.metrics.capture_dropped.inc();
        }
    }

    /// Replaces directory and key after a reload.
    pub fn configure(&self, prepared: Prepared) {
        if control(&self.queue, Message::Configure(prepared)).is_err() {
            tracing::error!("the capture writer is stuck and goes on as it was");
        }
    }

    /// Waits until everything offered so far is on the disk.
    pub fn flush(&self) {
        let (done, wait) = sync_channel(1);
        if control(&self.queue, Message::Flush(done)).is_ok() {
            let _ended = wait.recv();
        }
    }
}

impl fmt::Debug for Capture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Capture").finish_non_exhaustive()
    }
}

/// Passed, or never judged: a site is captured before it has a model.
fn passed(decision: &Decision) -> bool {
    matches!(
        decision.outcome(),
        Outcome::Pass | Outcome::Off | Outcome::FailedOpen
    )
}

/// Whether the body is compressed: the secrets in it cannot be replaced, so it must not reach a disk.
fn is_sealed(request: &RequestView<'_>) -> bool {
    let mut encodings = request
        .headers
        .iter()
        .filter(|(name, _)| name.eq_ignore_ascii_case(b"content-encoding"));
    !request.body.is_empty()
        && encodings.any(|(_, value)| !value.trim_ascii().eq_ignore_ascii_case(b"identity"))
}

enum Message {
    Record(Box<Draft>, u16, u64),
    Configure(Prepared),
    Flush(SyncSender<()>),
}

fn write_all(prepared: Prepared, messages: &Receiver<Message>, metrics: &Metrics) {
    let mut writer = Writer {
        prepared,
        metrics,
        line: Vec::new(),
        failed: None,
    };
    loop {
        let outcome = match messages.recv_timeout(FLUSH_AFTER) {
            Ok(Message::Record(draft, status, bytes)) => writer.record(&draft, status, bytes),
            Ok(Message::Configure(next)) => {
                let finished = writer.finish();
                writer.prepared = next;
                finished
            }
            Ok(Message::Flush(done)) => {
                let finished = writer.finish();
                let _waiter_gone = done.send(());
                finished
            }
            Err(RecvTimeoutError::Timeout) => writer.finish(),
            Err(RecvTimeoutError::Disconnected) => break,
        };
        writer.note(outcome);
    }
    if let Err(error) = writer.finish() {
        tracing::error!(%error, "the last captured requests are lost");
    }
}

/// The writer's thread.
struct Writer<'a> {
    prepared: Prepared,
    metrics: &'a Metrics,
    line: Vec<u8>,
    /// When writing last failed, until it succeeds.
    failed: Option<Instant>,
}

impl Writer<'_> {
    /// Writes a record; one that comes in the pause after a failure is dropped.
    fn record(&mut self, draft: &Draft, status: u16, bytes: u64) -> Result<u64, FileError> {
        let Some((files, key)) = &mut self.prepared.0 else {
            return Ok(0);
        };
        if self.failed.is_some_and(|since| since.elapsed() < PAUSE) {
            self.metrics.capture_dropped.inc();
            return Ok(0);
        }
        self.line.clear();
        record(draft, status, bytes, key, &mut self.line);
        files.write(&self.line, FLUSH_AFTER)
    }

    fn finish(&mut self) -> Result<u64, FileError> {
        let files = self.prepared.0.as_mut();
        files.map_or(Ok(0), |(files, _)| files.finish_member())
    }

    /// Counts what was written or lost. A disk that is full does not stay full for ever.
    fn note(&mut self, outcome: Result<u64, FileError>) {
        match outcome {
            Ok(0) => {}
            Ok(written) => {
                self.metrics.captured.inc_by(written);
                if self.failed.take().is_some() {
                    tracing::info!("requests are captured again");
                }
            }
            Err(error) => {
                self.metrics.capture_dropped.inc_by(error.lost());
                if self.failed.replace(Instant::now()).is_none() {
                    tracing::error!(%error, "requests cannot be captured");
                }
            }
        }
    }
}

/// A request record; see the data formats in `docs/`.
#[derive(Serialize)]
struct Line {
    method: String,
    uri: String,
    headers: Vec<(String, String)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body_base64: Option<String>,
    client: String,
    time: String,
    status: u16,
    response_bytes: u64,
}

fn record(draft: &Draft, status: u16, response_bytes: u64, key: &TokenKey, out: &mut Vec<u8>) {
    let with = Replacement::Token(key);
    let secrets = &draft.config.redact;
    let content_type = draft
        .headers
        .iter()
        .find(|(name, _)| name.eq_ignore_ascii_case(b"content-type"))
        .map_or(&b""[..], |(_, value)| value);
    let body = redact::body(content_type, &draft.body, secrets, with);
    let (body, body_base64) = match std::str::from_utf8(&body) {
        Ok("") => (None, None),
        Ok(text) => (Some(text.to_owned()), None),
        Err(_) => (None, Some(STANDARD.encode(&body))),
    };
    let line = Line {
        method: latin1(&draft.method),
        uri: latin1(&redact::target(&draft.target, secrets, with)),
        headers: draft
            .headers
            .iter()
            .map(|(name, value)| {
                (
                    latin1(name),
                    latin1(&redact::header(name, value, secrets, with)),
                )
            })
            .collect(),
        body,
        body_base64,
        client: draft.client.to_string(),
        time: timestamp(draft.time),
        status,
        response_bytes,
    };
    // Strings and numbers always serialise; an empty line would be a bad record, so it is kept out.
    if serde_json::to_writer(&mut *out, &line).is_ok() {
        out.push(b'\n');
    } else {
        out.clear();
    }
}

/// Bytes above 0x7f as U+0080 to U+00FF, the convention of request records.
fn latin1(bytes: &[u8]) -> String {
    bytes.iter().map(|&byte| char::from(byte)).collect()
}

#[cfg(test)]
mod tests;
