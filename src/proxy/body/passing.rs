//! The rest of a body as it passes: windows of it are scored off the async threads, one at a time for each body, and a
//! verdict ends the transfer.
//!
//! Not here: which bytes make a window (`sieve`) and what is decided about one (`detect`). The last bytes wait until
//! every window is decided about, so no application ever has the whole of a body that is blocked.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use bytes::Bytes;
use futures_util::{FutureExt, Stream};
use http::{HeaderMap, Method, header};
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use weir_features::RequestView;

use super::BodyError;
use super::sieve::{Sieve, Window};
use crate::config::Mode;
use crate::detect::{self, Action, Cause, Decision, Failure, Inspection, Verdict};
use crate::proxy::headers;
use crate::runtime::{Route, Shared, Snapshot};
use crate::units::ClientIp;

/// What the windows of one body showed: the worst of it.
#[derive(Debug, Default)]
pub struct Findings(Mutex<Option<Decision>>);

impl Findings {
    fn note(&self, decision: Decision) {
        let mut worst = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if worst
            .as_ref()
            .is_none_or(|worst| gravity(worst) < gravity(&decision))
        {
            *worst = Some(decision);
        }
    }

    /// `before`, the decision about what was held, unless a window was worse.
    pub fn apply(&self, before: &mut Decision) {
        let mut worst = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(worst) = worst.take_if(|worst| gravity(before) < gravity(worst)) {
            *before = Decision {
                new_path: before.new_path,
                timings: before.timings,
                ..worst
            };
        }
    }
}

fn gravity(decision: &Decision) -> u8 {
    match (decision.verdict, decision.cause) {
        (Verdict::Block, _) => 3,
        (_, Cause::Failed { .. }) => 2,
        (Verdict::Flag, _) => 1,
        (Verdict::Pass, _) => 0,
    }
}

/// Who asks, and what stands around the body.
pub struct Inspector {
    /// State and metrics.
    pub shared: Arc<Shared>,
    /// The request's own.
    pub snapshot: Arc<Snapshot>,
    /// The request's own.
    pub route: Arc<Route>,
    /// The client, behind trusted proxies.
    pub client: ClientIp,
    /// When the request arrived.
    pub time: SystemTime,
    /// Where the worst is noted.
    pub findings: Arc<Findings>,
    subject: Subject,
}

/// The head of the request as far as windows are read by it.
#[derive(Debug)]
pub struct Subject {
    method: Method,
    path: String,
    headers: Vec<(&'static [u8], Vec<u8>)>,
}

impl Subject {
    /// Of a request's head; `target` may have a query, which has been scored.
    pub fn new(method: &Method, target: &str, headers: &HeaderMap) -> Self {
        let path = target.split('?').next().unwrap_or_default();
        // The host and the path find the site's profile, the type says how to read.
        let names = [header::HOST, header::CONTENT_TYPE];
        let kept = [&b"host"[..], b"content-type"];
        let headers = names.iter().zip(kept).filter_map(|(name, kept)| {
            let value = headers.get(name)?;
            Some((kept, value.as_bytes().to_vec()))
        });
        Self {
            method: method.clone(),
            path: path.to_owned(),
            headers: headers.collect(),
        }
    }
}

impl std::fmt::Debug for Inspector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inspector").finish_non_exhaustive()
    }
}

impl Inspector {
    /// Reads windows as parts of the body of `subject`.
    pub fn new(
        shared: &Arc<Shared>,
        snapshot: &Arc<Snapshot>,
        route: &Arc<Route>,
        (client, time): (ClientIp, SystemTime),
        subject: Subject,
    ) -> Arc<Self> {
        Arc::new(Self {
            shared: Arc::clone(shared),
            snapshot: Arc::clone(snapshot),
            route: Arc::clone(route),
            client,
            time,
            findings: Arc::default(),
            subject,
        })
    }

    /// Decides about a window, on any thread.
    fn decide(&self, piece: &Piece) -> Decision {
        let about = self.subject.headers.iter();
        let mut headers: Vec<(&[u8], &[u8])> = about
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        let (text, what) = match piece {
            Piece::Window(window) => (window.text.as_slice(), detect::Passing::Body),
            Piece::Trailers(trailers) => {
                let fields = trailers.iter();
                headers.extend(
                    fields.map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
                );
                (&b""[..], detect::Passing::Trailers)
            }
        };
        let request = RequestView {
            method: self.subject.method.as_str().as_bytes(),
            target: self.subject.path.as_bytes(),
            headers: &headers,
            body: text,
            body_truncated: true,
        };
        let input = Inspection {
            request,
            client: self.client,
            time: self.time,
            started: Instant::now(),
        };
        detect::inspect_passing(&self.shared, &self.snapshot, &self.route, &input, what)
    }

    /// Scores a window: waits for its turn, which slows the sender and never skips, and then no longer than the
    /// route's deadline.
    async fn score(self: Arc<Self>, piece: Piece, patience: Duration) -> Result<(), BodyError> {
        let fresh = piece.fresh();
        let turn = timeout(patience, Arc::clone(&self.shared.passing).acquire_owned());
        let Ok(Ok(turn)) = turn.await else {
            if self.route.policy.mode == Mode::Enforce {
                return Err(BodyError::Busy);
            }
            self.unread(fresh);
            return Ok(());
        };
        let inspector = Arc::clone(&self);
        let work = tokio::task::spawn_blocking(move || {
            let decision = inspector.decide(&piece);
            drop(turn);
            decision
        });
        let decision = match timeout(self.route.policy.inspect.deadline, work).await {
            Ok(Ok(decision)) => decision,
            Ok(Err(_panic)) => detect::failed(&self.snapshot, &self.route, Failure::Panic),
            Err(_late) => detect::failed(&self.snapshot, &self.route, Failure::Deadline),
        };
        self.conclude(decision, fresh)
    }

    fn conclude(&self, decision: Decision, fresh: usize) -> Result<(), BodyError> {
        let failed = matches!(decision.cause, Cause::Failed { .. });
        let action = decision.action;
        self.findings.note(decision);
        match action {
            Action::Block { .. } if failed => Err(BodyError::NotInspected),
            Action::Block { .. } => Err(BodyError::Blocked),
            Action::Forward => {
                if failed {
                    self.unread(fresh);
                }
                Ok(())
            }
        }
    }

    fn unread(&self, bytes: usize) {
        self.route.metrics.uninspected(bytes as u64);
    }
}

/// What is scored at once.
#[derive(Debug)]
enum Piece {
    Window(Window),
    Trailers(HeaderMap),
}

impl Piece {
    /// Bytes of the body that were not scored before.
    fn fresh(&self) -> usize {
        match self {
            Self::Window(window) => window.fresh,
            Self::Trailers(_) => 0,
        }
    }
}

/// A window that is being decided about; given up with the body.
#[derive(Debug)]
struct Running(JoinHandle<Result<(), BodyError>>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What is behind the held beginning of a body.
#[derive(Debug)]
pub struct Transfer {
    incoming: Incoming,
    /// The piece that crossed the limit.
    first: Option<Bytes>,
    sieve: Sieve,
    inspector: Arc<Inspector>,
    running: Option<Running>,
    /// Bytes that are still to come, if that was declared.
    left: Option<u64>,
    /// Longest pause of the sender.
    idle: Duration,
    over: bool,
}

impl Drop for Transfer {
    fn drop(&mut self) {
        let skipped = self.sieve.skipped();
        self.inspector.route.metrics.uninspected(skipped);
    }
}

impl Transfer {
    /// What is behind `piece`; `left` bytes with it, if that is known.
    pub fn new(
        (piece, incoming): (Bytes, Incoming),
        left: Option<u64>,
        sieve: Sieve,
        inspector: Arc<Inspector>,
        idle: Duration,
    ) -> Self {
        Self {
            incoming,
            first: Some(piece),
            sieve,
            inspector,
            running: None,
            left,
            idle,
            over: false,
        }
    }

    /// The frames as they may go on.
    pub fn into_frames(self) -> impl Stream<Item = Result<Frame<Bytes>, BodyError>> + Send {
        futures_util::stream::unfold(self, |mut transfer| async move {
            if transfer.over {
                return None;
            }
            let next = transfer.next().await.transpose()?;
            transfer.over = next.is_err();
            Some((next, transfer))
        })
    }

    async fn next(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        loop {
            let first = self.first.take().filter(|first| !first.is_empty());
            let frame = match first {
                Some(first) => Some(Frame::data(first)),
                None => self.arrival().await?,
            };
            let Some(frame) = frame else {
                self.finish().await?;
                return Ok(None);
            };
            let data = match frame.into_data() {
                Ok(data) => data,
                Err(last) => return self.trailers(last).await,
            };
            if data.is_empty() {
                continue;
            }
            let mut rest: &[u8] = &data;
            while let Some(window) = self.sieve.take(&mut rest) {
                self.submit(Piece::Window(window)).await?;
            }
            self.left = self.left.map(|left| left.saturating_sub(data.len() as u64));
            if self.left == Some(0) || self.incoming.is_end_stream() {
                self.finish().await?;
            }
            return Ok(Some(Frame::data(data)));
        }
    }

    /// What is behind a body is scored like headers before it goes on.
    async fn trailers(&mut self, last: Frame<Bytes>) -> Result<Option<Frame<Bytes>>, BodyError> {
        self.finish().await?;
        let Ok(mut trailers) = last.into_trailers() else {
            return Ok(None);
        };
        headers::sanitize_trailers(&mut trailers);
        if !trailers.is_empty() {
            self.submit(Piece::Trailers(trailers.clone())).await?;
            self.settle().await?;
        }
        Ok(Some(Frame::trailers(trailers)))
    }

    /// The next frame. While none comes, what is there of a window is scored, and verdicts are listened for.
    async fn arrival(&mut self) -> Result<Option<Frame<Bytes>>, BodyError> {
        loop {
            if let Some(frame) = self.incoming.frame().now_or_never() {
                return frame.transpose().map_err(|_| BodyError::Broken);
            }
            if self.running.is_none()
                && let Some(window) = self.sieve.flush()
            {
                self.submit(Piece::Window(window)).await?;
            }
            let running = async {
                match &mut self.running {
                    Some(running) => (&mut running.0).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                outcome = running => {
                    self.running = None;
                    outcome.unwrap_or(Err(BodyError::Broken))?;
                }
                frame = timeout(self.idle, self.incoming.frame()) => {
                    let frame = frame.map_err(|_| BodyError::Timeout)?;
                    return frame.transpose().map_err(|_| BodyError::Broken);
                }
            }
        }
    }

    /// Scores a window when the one before is done.
    async fn submit(&mut self, piece: Piece) -> Result<(), BodyError> {
        self.settle().await?;
        let work = Arc::clone(&self.inspector).score(piece, self.idle);
        self.running = Some(Running(tokio::spawn(work)));
        Ok(())
    }

    async fn settle(&mut self) -> Result<(), BodyError> {
        let Some(mut running) = self.running.take() else {
            return Ok(());
        };
        // The task catches the panics of its work; it ends otherwise only with the process.
        (&mut running.0).await.unwrap_or(Err(BodyError::Broken))
    }

    /// Scores what is left, and waits for the last verdict.
    async fn finish(&mut self) -> Result<(), BodyError> {
        while let Some(window) = self.sieve.finish() {
            self.submit(Piece::Window(window)).await?;
        }
        self.settle().await
    }
}
