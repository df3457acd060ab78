#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::{Duration, Instant};

use super::*;
use crate::testing::{Behaviour, Fake, client, inspection, one_route, shared, snapshot, view};

const BLOCKED_SCORE: f32 = 9.0;

fn decide_with(route: &str, scorer: Option<Behaviour>) -> Decision {
    let shared = shared(snapshot(one_route(route), scorer.map(Fake::new)));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    inspect(&shared, &pinned, route, &inspection(view("/search?q=1")))
}

fn late() -> Inspection<'static> {
    let started = Instant::now().checked_sub(Duration::from_secs(10)).unwrap();
    Inspection {
        started,
        ..inspection(view("/"))
    }
}

/// Each cause of failure, under each fail mode, enforced and shadowed.
fn fails(failure: Failure, decide: impl Fn(&str) -> Decision) {
    let (open, closed) = (
        decide("mode: enforce, fail: open"),
        decide("mode: enforce, fail: closed"),
    );
    assert_eq!(
        open.cause,
        Cause::Failed {
            failure,
            mode: FailMode::Open
        }
    );
    assert_eq!(
        (open.action, open.outcome()),
        (Action::Forward, Outcome::FailedOpen)
    );
    assert_eq!(
        closed.cause,
        Cause::Failed {
            failure,
            mode: FailMode::Closed
        }
    );
    assert_eq!(
        (closed.action, closed.outcome()),
        (Action::Block { status: 503 }, Outcome::FailedClosed)
    );
    assert!(closed.scores.is_none() && closed.reason.is_none());
    // Shadow lets everything pass: it must be safe to try `fail: closed` in it.
    let shadow = decide("mode: shadow, fail: closed");
    assert_eq!(
        (shadow.action, shadow.outcome()),
        (Action::Forward, Outcome::FailedClosed)
    );
}

#[test]
fn without_a_model_the_fail_mode_decides() {
    fails(Failure::NoModel, |route| decide_with(route, None));
}

#[test]
fn when_scoring_fails_the_fail_mode_decides() {
    fails(Failure::Scoring, |route| {
        decide_with(route, Some(Behaviour::Fails))
    });
}

#[test]
fn when_inspection_panics_the_fail_mode_decides_and_the_next_request_is_scored() {
    fails(Failure::Panic, |route| {
        decide_with(route, Some(Behaviour::Panics))
    });
    assert_eq!(
        decide_with("mode: enforce", Some(Behaviour::Scores(0.1))).outcome(),
        Outcome::Pass
    );
}

#[test]
fn after_the_deadline_the_fail_mode_decides() {
    fails(Failure::Deadline, |route| {
        let shared = shared(snapshot(
            one_route(route),
            Some(Fake::new(Behaviour::Scores(BLOCKED_SCORE))),
        ));
        let pinned = shared.pin();
        let route = pinned.route(b"any", b"/").unwrap();
        inspect(&shared, &pinned, route, &late())
    });
}

#[tokio::test]
async fn offloaded_work_that_hangs_meets_the_deadline() {
    let shared = shared(snapshot(
        one_route("mode: enforce, fail: closed, inspect: {deadline: 1ms}"),
        None,
    ));
    let pinned = shared.pin();
    let route = Arc::clone(pinned.route(b"any", b"/").unwrap());
    let (release, hold) = std::sync::mpsc::channel::<()>();
    let work = move |snapshot: &Snapshot, route: &Route| {
        let _released = hold.recv();
        refused(snapshot, route, Cause::Off)
    };
    // A busy worker leaves none for this one either: all permits are taken.
    let _busy = shared
        .heavy
        .try_acquire_many(u32::try_from(shared.heavy.available_permits()).unwrap())
        .unwrap();
    let decision = offload(
        &shared,
        Arc::clone(&pinned),
        Arc::clone(&route),
        Instant::now(),
        work,
    )
    .await;
    assert_eq!(
        decision.cause,
        Cause::Failed {
            failure: Failure::Deadline,
            mode: FailMode::Closed
        }
    );
    drop(release);
}

#[tokio::test]
async fn offloaded_work_is_answered_and_its_panic_is_a_failure() {
    let shared = shared(snapshot(
        one_route("mode: enforce, fail: open, inspect: {deadline: 60s}"),
        None,
    ));
    let pinned = shared.pin();
    let route = Arc::clone(pinned.route(b"any", b"/").unwrap());
    let work = |snapshot: &Snapshot, route: &Route| refused(snapshot, route, Cause::Off);
    let decision = offload(
        &shared,
        Arc::clone(&pinned),
        Arc::clone(&route),
        Instant::now(),
        work,
    )
    .await;
    assert_eq!(decision.cause, Cause::Off);
    let broken = |_: &Snapshot, _: &Route| -> Decision { panic!("as told") };
    let decision = offload(&shared, Arc::clone(&pinned), route, Instant::now(), broken).await;
    assert_eq!(
        decision.cause,
        Cause::Failed {
            failure: Failure::Panic,
            mode: FailMode::Open
        }
    );
}

#[test]
fn verdicts_act_by_mode() {
    let block = Some(Behaviour::Scores(BLOCKED_SCORE));
    let enforced = decide_with("mode: enforce", block);
    assert_eq!(
        (enforced.verdict, enforced.action),
        (Verdict::Block, Action::Block { status: 403 })
    );
    assert!(enforced.reason.is_some());
    let shadowed = decide_with("mode: shadow", block);
    assert_eq!(
        (shadowed.verdict, shadowed.action),
        (Verdict::Block, Action::Forward)
    );
    assert!(shadowed.reason.is_some());
    let off = decide_with("mode: 'off'", block);
    assert_eq!(
        (off.cause, off.action, off.scores),
        (Cause::Off, Action::Forward, None)
    );
    let flagged = decide_with("mode: enforce", Some(Behaviour::Scores(2.5)));
    assert_eq!(
        (flagged.verdict, flagged.action),
        (Verdict::Flag, Action::Forward)
    );
    let passed = decide_with("mode: enforce", Some(Behaviour::Scores(2.0)));
    assert_eq!(
        (passed.verdict, passed.reason.is_none()),
        (Verdict::Pass, true)
    );
}

#[test]
fn a_routes_own_budgets_move_its_thresholds() {
    let strict = "mode: enforce, budgets: {flag: 1/10, block: 0.01}";
    assert_eq!(
        decide_with(strict, Some(Behaviour::Scores(2.1))).verdict,
        Verdict::Block
    );
    let lenient = "mode: enforce, budgets: {flag: {score: 4.0}, block: {score: 5.0}}";
    assert_eq!(
        decide_with(lenient, Some(Behaviour::Scores(3.9))).verdict,
        Verdict::Pass
    );
}

#[test]
fn exceptions_reach_the_scorer_only_on_their_path() {
    let behaviour = Behaviour::UnlessExcepted(BLOCKED_SCORE);
    let here = "mode: enforce, exceptions: [{path: /search, location: query_value, key: q}]";
    assert_eq!(decide_with(here, Some(behaviour)).verdict, Verdict::Pass);
    let elsewhere = "mode: enforce, exceptions: [{path: /other, location: query_value, key: q}]";
    assert_eq!(
        decide_with(elsewhere, Some(behaviour)).verdict,
        Verdict::Block
    );
}

#[test]
fn rate_limits_refuse_with_a_time_to_wait() {
    let limited = snapshot(
        one_route("rate_limit: {requests: 2, per: 60s, burst: 2}"),
        None,
    );
    let route = limited.route(b"any", b"/").unwrap();
    assert!(rate_limit(route, client()).is_ok() && rate_limit(route, client()).is_ok());
    let RetryAfter(wait) = rate_limit(route, client()).unwrap_err();
    assert!((1..=60).contains(&wait));
    let free = snapshot(one_route("mode: shadow"), None);
    assert!(rate_limit(free.route(b"any", b"/").unwrap(), client()).is_ok());
}

#[test]
fn refusals_carry_their_status() {
    let snapshot = snapshot(one_route("mode: shadow"), None);
    let route = snapshot.route(b"any", b"/").unwrap();
    let status = |cause| refused(&snapshot, route, cause).action;
    assert_eq!(status(Cause::RateLimited), Action::Block { status: 429 });
    assert_eq!(status(Cause::BodyLimit), Action::Block { status: 413 });
}

#[test]
fn failures_and_scores_are_counted_on_their_route() {
    let failed = decide_with("mode: enforce", Some(Behaviour::Fails));
    assert_eq!(failed.verdict, Verdict::Pass);
    let shared = shared(snapshot(
        one_route("mode: enforce"),
        Some(Fake::new(Behaviour::Scores(1.0))),
    ));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    inspect(&shared, &pinned, route, &inspection(view("/")));
    assert_eq!(shared.windows.len(), 1);
    assert!(shared.metrics.render().contains("weir_rows_total 1"));
}

#[test]
fn answers_reach_the_memory_of_new_endpoints() {
    assert!(is_found(200) && is_found(302) && is_found(403) && is_found(500));
    assert!(!is_found(404) && !is_found(410));
    let shared = shared(snapshot(
        one_route("mode: enforce"),
        Some(Fake::new(Behaviour::Scores(0.1))),
    ));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    let mut decision = inspect(&shared, &pinned, route, &inspection(view("/")));
    assert_eq!(decision.new_path, None);
    // An answer to what nobody asked is no memory.
    decision.new_path = Some(7);
    observe_response(&shared, &decision, client(), SystemTime::now(), 404, 0);
    assert!(shared.new_endpoints.is_empty());
}

/// Forward by years and back to 1970: windows lose history, and no request fails.
#[test]
fn the_clock_may_jump() {
    let shared = shared(snapshot(
        one_route("mode: enforce, rate_limit: {requests: 1000, per: 1s}"),
        Some(Fake::new(Behaviour::Scores(0.5))),
    ));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    let now = SystemTime::now();
    let year = Duration::from_secs(365 * 24 * 3600);
    for time in [
        now,
        now + 30 * year,
        now - year,
        SystemTime::UNIX_EPOCH,
        SystemTime::UNIX_EPOCH - year,
        now,
    ] {
        let mut input = inspection(view("/"));
        input.time = time;
        assert!(rate_limit(route, input.client).is_ok());
        let decision = inspect(&shared, &pinned, route, &input);
        assert_eq!(decision.cause, Cause::Scored, "{time:?}");
        observe_response(&shared, &decision, input.client, time, 200, 10);
        let _id = crate::units::RequestId::fresh(time);
        assert!(!crate::audit::timestamp(time).is_empty(), "{time:?}");
    }
}
