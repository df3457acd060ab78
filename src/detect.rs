//! Decides about one request: client windows, score, exceptions, budgets, mode and fail mode, in that order.
//!
//! Not here: HTTP (no hyper types; the proxy hands over borrowed bytes), how scores come about (`weir-scoring`), and
//! what a refusal looks like (`proxy`). Nothing in here waits: [`inspect`] is synchronous, and [`offload`] is the one
//! way to run it off the async threads under the route's deadline.

pub mod decision;
pub mod exceptions;
pub mod scorer;

use std::cell::RefCell;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime};

use weir_features::{Location, RequestContext, RequestVector, RequestView};
use weir_scoring::engine::{Assessment, EngineScratch, FieldFilter, ScoreError, Subject, Visit};

use crate::config::{FailMode, Mode};
use crate::runtime::{RetryAfter, Route, Shared, Snapshot};
use crate::telemetry::panics;
use crate::units::{Bytes, ClientIp, epoch_seconds};

pub use decision::{Action, Cause, Decision, Failure, Outcome, Timings};
pub use exceptions::Exceptions;
pub use scorer::Scorer;
pub use weir_scoring::budget::{Budget, Budgets, Score, Scores, Verdict, verdict};
pub use weir_scoring::engine::BatchOptions;
pub use weir_scoring::ort::ExecutionProvider;
pub use weir_scoring::reason::{Reason, SecretKeys};

/// Bodies above this leave the async threads: extraction and scoring of more would hold up other connections for
/// longer than about half a millisecond.
pub const HEAVY_BODY: Bytes = Bytes::kib(16);

/// Status of a blocked request.
const BLOCKED: u16 = 403;
/// Status of a request whose inspection failed closed: the client may try again.
const UNAVAILABLE: u16 = 503;

/// What is inspected.
#[derive(Debug, Clone, Copy)]
pub struct Inspection<'a> {
    /// The request as it would reach the application.
    pub request: RequestView<'a>,
    /// Its client, behind trusted proxies.
    pub client: ClientIp,
    /// When it arrived.
    pub time: SystemTime,
    /// Since when the route's deadline counts: when the body was complete or cut.
    pub started: Instant,
}

/// Whether an inspection should run through [`offload`].
pub fn is_heavy(held_body: usize) -> bool {
    held_body > HEAVY_BODY.as_usize()
}

/// Counts the request against the route's rate limit.
///
/// # Errors
/// When the client is over its limit: how long to wait.
pub fn rate_limit(route: &Route, client: ClientIp) -> Result<(), RetryAfter> {
    route
        .limiter
        .as_ref()
        .map_or(Ok(()), |limiter| limiter.check(client))
}

/// Tells the client's windows how its request ended, and the memory of new endpoints whether there was something.
pub fn observe_response(
    shared: &Shared,
    decision: &Decision,
    client: ClientIp,
    time: SystemTime,
    status: u16,
    bytes: u64,
) {
    shared
        .windows
        .response(client.key(), epoch_seconds(time), status, bytes);
    if let Some(path) = decision.new_path {
        shared
            .new_endpoints
            .answered(path, client.visitor(), is_found(status));
    }
}

/// Whether an answer says that there is something at this place.
pub fn is_found(status: u16) -> bool {
    !matches!(status, 404 | 410)
}

/// Decides about a request. Never panics and never blocks on anything but a scoring session, and for a batch no longer than until the
/// deadline.
///
/// The deadline is checked before work begins: a request that waited too long for a thread is not scored any more. A
/// score that is there counts even when it is late; discarding it would hand slow requests a way past `fail: open`.
pub fn inspect(
    shared: &Shared,
    snapshot: &Snapshot,
    route: &Route,
    input: &Inspection<'_>,
) -> Decision {
    let begun = Instant::now();
    if route.policy.mode == Mode::Off {
        return Decision::new(snapshot, route, Cause::Off);
    }
    let outcome = panics::catch(|| scored(shared, snapshot, route, input, begun));
    let mut decision = match outcome {
        Ok(Ok(decision)) => decision,
        Ok(Err(failure)) => failed(snapshot, route, failure),
        Err(panic) => {
            let place = panic.place;
            tracing::error!(route = %route.policy.id, place, "an inspection panicked");
            failed(snapshot, route, Failure::Panic)
        }
    };
    decision.timings.whole = begun.elapsed();
    decision
}

/// Decides about a part of a body that passes, by its own fields alone: the rest of the request has been decided about
/// with what was held. Otherwise like [`inspect`].
pub fn inspect_passing(
    shared: &Shared,
    snapshot: &Snapshot,
    route: &Route,
    input: &Inspection<'_>,
    what: Passing,
) -> Decision {
    let outcome = panics::catch(|| {
        let filter = Only(what, route.exceptions.for_path(input.request.path()));
        assess(
            shared,
            snapshot,
            route,
            input,
            Instant::now(),
            None,
            &filter,
        )
    });
    match outcome {
        Ok(Ok((decision, assessment))) => {
            shared.metrics.rows(assessment.rows, &assessment.cache);
            decision
        }
        Ok(Err(failure)) => failed(snapshot, route, failure),
        Err(panic) => {
            let place = panic.place;
            tracing::error!(route = %route.policy.id, place, "an inspection panicked");
            failed(snapshot, route, Failure::Panic)
        }
    }
}

/// What is decided about by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passing {
    /// A part of the body.
    Body,
    /// What came behind the body, shown as headers.
    Trailers,
}

/// Excepts what stands around it, and what the route excepts.
struct Only<F>(Passing, F);

impl<F: FieldFilter> FieldFilter for Only<F> {
    fn excepted(&self, location: Location, key: &[u8]) -> bool {
        use Location as L;
        let around = match location {
            L::Path => true,
            L::Header if matches!(key, b"host" | b"content-type") => true,
            L::Header | L::Cookie | L::Referer | L::UserAgent => self.0 == Passing::Body,
            _ => false,
        };
        around || self.1.excepted(location, key)
    }
}

/// The decision for a request whose inspection failed: the route's fail mode, applied.
pub fn failed(snapshot: &Snapshot, route: &Route, failure: Failure) -> Decision {
    route.metrics.failure(failure);
    Decision::new(
        snapshot,
        route,
        Cause::Failed {
            failure,
            mode: route.policy.fail,
        },
    )
}

/// The decision for a request that is refused without inspection, for the record.
pub fn refused(snapshot: &Snapshot, route: &Route, cause: Cause) -> Decision {
    Decision::new(snapshot, route, cause)
}

/// Runs an inspection on the blocking pool, within the route's deadline counted from `started`, at most
/// `workers` of them at once. `work` is [`inspect`] with owned input. Work that misses the deadline runs to its end
/// in the background, still counted against the limit.
pub fn offload(
    shared: &Shared,
    snapshot: Arc<Snapshot>,
    route: Arc<Route>,
    started: Instant,
    work: impl FnOnce(&Snapshot, &Route) -> Decision + Send + 'static,
) -> impl Future<Output = Decision> + Send + 'static {
    let heavy = Arc::clone(&shared.heavy);
    async move {
        let left = route
            .policy
            .inspect
            .deadline
            .saturating_sub(started.elapsed());
        let (for_work, for_route) = (Arc::clone(&snapshot), Arc::clone(&route));
        let run = async move {
            let permit = heavy.acquire_owned().await.ok()?;
            let task = tokio::task::spawn_blocking(move || {
                let decision = work(&for_work, &for_route);
                drop(permit);
                decision
            });
            task.await.ok()
        };
        match tokio::time::timeout(left, run).await {
            Ok(Some(decision)) => decision,
            // The closure's own panic: `inspect` catches those of the scorer, this is the caller's part.
            Ok(None) => failed(&snapshot, &route, Failure::Panic),
            Err(_late) => failed(&snapshot, &route, Failure::Deadline),
        }
    }
}

fn scored(
    shared: &Shared,
    snapshot: &Snapshot,
    route: &Route,
    input: &Inspection<'_>,
    now: Instant,
) -> Result<Decision, Failure> {
    // Before anything can fail: a client's windows count every request.
    let vector = window(shared, snapshot, input);
    let filter = route.exceptions.for_path(input.request.path());
    let (decision, assessment) = assess(
        shared,
        snapshot,
        route,
        input,
        now,
        vector.as_ref(),
        &filter,
    )?;
    observe(shared, route, &assessment);
    Ok(decision)
}

fn assess(
    shared: &Shared,
    snapshot: &Snapshot,
    route: &Route,
    input: &Inspection<'_>,
    now: Instant,
    vector: Option<&RequestVector>,
    filter: &dyn FieldFilter,
) -> Result<(Decision, Assessment), Failure> {
    let engine = snapshot.engine.as_deref().ok_or(Failure::NoModel)?;
    if now.saturating_duration_since(input.started) >= route.policy.inspect.deadline {
        return Err(Failure::Deadline);
    }
    let subject = Subject {
        request: &input.request,
        vector,
        visit: Some(Visit {
            client: input.client.visitor(),
            time: epoch_seconds(input.time),
            new_endpoints: &shared.new_endpoints,
        }),
        deadline: Some(input.started + route.policy.inspect.deadline),
    };
    with_scratch(|worker, scratch| {
        let assessment = engine
            .score(worker, &subject, filter, scratch)
            .map_err(|error| {
                tracing::warn!(route = %route.policy.id, %error, "scoring failed");
                match error {
                    ScoreError::Late => Failure::Deadline,
                    _ => Failure::Scoring,
                }
            })?;
        let mut decision = Decision::new(snapshot, route, Cause::Scored);
        decide(&mut decision, route, &assessment);
        if decision.verdict != Verdict::Pass {
            let secrets = &snapshot.config.redact;
            decision.reason = engine
                .explain(worker, &subject, filter, scratch, secrets)
                .inspect_err(|error| tracing::warn!(%error, "a verdict could not be explained"))
                .ok();
        }
        Ok((decision, assessment))
    })
}

/// Counts the request, and describes it where a request detector wants to know.
fn window(shared: &Shared, snapshot: &Snapshot, input: &Inspection<'_>) -> Option<RequestVector> {
    let context = RequestContext {
        client: input.client.key(),
        time: epoch_seconds(input.time),
        private_address: input.client.is_private(),
        country: None,
    };
    if snapshot.engine.as_deref().is_some_and(Scorer::wants_vector) {
        return Some(shared.windows.request(&input.request, &context));
    }
    shared.windows.count(&input.request, &context);
    None
}

fn observe(shared: &Shared, route: &Route, assessment: &Assessment) {
    shared.metrics.rows(assessment.rows, &assessment.cache);
    let timings = &assessment.timings;
    route
        .metrics
        .scored(assessment.scores.combined, timings.extract, timings.score);
}

fn decide(decision: &mut Decision, route: &Route, assessment: &Assessment) {
    decision.scores = Some(assessment.scores);
    decision.verdict = verdict(&assessment.scores, &route.budgets);
    decision.new_path = assessment.new_path;
    decision.timings.extract = assessment.timings.extract;
    decision.timings.score = assessment.timings.score;
    decision.action = match (decision.verdict, route.policy.mode) {
        (Verdict::Block, Mode::Enforce) => Action::Block { status: BLOCKED },
        _ => Action::Forward,
    };
}

impl Decision {
    /// A decision that follows from its cause alone; `scored` fills in the rest.
    fn new(snapshot: &Snapshot, route: &Route, cause: Cause) -> Self {
        let action = match cause {
            Cause::Failed {
                mode: FailMode::Closed,
                ..
            } if route.policy.mode == Mode::Enforce => Action::Block {
                status: UNAVAILABLE,
            },
            Cause::RateLimited => Action::Block { status: 429 },
            Cause::BodyLimit => Action::Block { status: 413 },
            Cause::Refused => Action::Block { status: 400 },
            _ => Action::Forward,
        };
        Self {
            verdict: Verdict::Pass,
            scores: None,
            reason: None,
            cause,
            action,
            mode: route.policy.mode,
            generation: snapshot.generation,
            timings: Timings::default(),
            new_path: None,
        }
    }
}

/// Lends this thread's scratch and session number. A panic leaves the scratch behind half-written, so it is taken
/// out first and put back only after a normal return.
fn with_scratch<R>(work: impl FnOnce(usize, &mut EngineScratch) -> R) -> R {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static WORKER: usize = NEXT.fetch_add(1, Ordering::Relaxed);
        static SCRATCH: RefCell<Option<Box<EngineScratch>>> = const { RefCell::new(None) };
    }
    let worker = WORKER.with(|worker| *worker);
    let mut scratch = SCRATCH.take().unwrap_or_default();
    let result = work(worker, &mut scratch);
    SCRATCH.set(Some(scratch));
    result
}

/// Time that is zero until measured; here so that tests and the audit agree on the unit.
pub(crate) fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
