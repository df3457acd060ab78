//! What was decided about a request, and why: the value that the proxy acts on and the audit writes down.
//!
//! Not here: how it came about (`detect`).

use std::time::Duration;

use serde::Serialize;
use weir_scoring::budget::{Scores, Verdict};
use weir_scoring::reason::Reason;

use crate::config::{FailMode, Mode};

/// A decision about one request.
#[derive(Debug, Clone)]
pub struct Decision {
    /// What the budgets say about the scores; `Pass` when there are none.
    pub verdict: Verdict,
    /// Scores, when the request was scored.
    pub scores: Option<Scores>,
    /// Why, for flagged and blocked requests.
    pub reason: Option<Reason>,
    /// How the decision came about.
    pub cause: Cause,
    /// What the proxy has to do.
    pub action: Action,
    /// The route's mode.
    pub mode: Mode,
    /// The snapshot that decided.
    pub generation: u64,
    /// Where the time went.
    pub timings: Timings,
    /// The endpoint, if the site's profile does not know it.
    pub new_path: Option<u64>,
}

impl Decision {
    /// The one word that metrics and records count this decision under.
    pub fn outcome(&self) -> Outcome {
        match self.cause {
            Cause::Off => Outcome::Off,
            Cause::RateLimited => Outcome::RateLimited,
            Cause::BodyLimit => Outcome::BodyLimit,
            Cause::Refused => Outcome::Refused,
            Cause::Failed {
                mode: FailMode::Open,
                ..
            } => Outcome::FailedOpen,
            Cause::Failed {
                mode: FailMode::Closed,
                ..
            } => Outcome::FailedClosed,
            Cause::Scored => match self.verdict {
                Verdict::Pass => Outcome::Pass,
                Verdict::Flag => Outcome::Flag,
                Verdict::Block => Outcome::Block,
            },
        }
    }
}

/// How a decision came about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Scored.
    Scored,
    /// The route does not inspect.
    Off,
    /// Inspection failed and the route's fail mode applied.
    Failed {
        /// What failed.
        failure: Failure,
        /// What the route does then.
        mode: FailMode,
    },
    /// Over the rate limit; not inspected.
    RateLimited,
    /// Body beyond `inspect.body` on a route that rejects; not inspected.
    BodyLimit,
    /// Malformed, broken off, too slow, or more than could be held; not inspected.
    Refused,
}

/// What the proxy has to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Send it to the upstream.
    Forward,
    /// Answer with this status.
    Block {
        /// 403 for a verdict, 503 for a failed inspection, 429, 413.
        status: u16,
    },
}

/// What can fail in an inspection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Failure {
    /// No bundle is loaded.
    NoModel,
    /// The scorer returned an error.
    Scoring,
    /// The deadline passed before a score was there.
    Deadline,
    /// The inspection panicked.
    Panic,
    /// The body did not arrive while it was held.
    SlowBody,
}

impl Failure {
    /// In the order of `index`.
    pub const ALL: [Self; 5] = [
        Self::NoModel,
        Self::Scoring,
        Self::Deadline,
        Self::Panic,
        Self::SlowBody,
    ];

    /// Position in `ALL`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Stable name in records and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoModel => "no_model",
            Self::Scoring => "scoring",
            Self::Deadline => "deadline",
            Self::Panic => "panic",
            Self::SlowBody => "slow_body",
        }
    }
}

/// What a request is counted under.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Scored, ordinary.
    Pass,
    /// Scored, over the flag budget.
    Flag,
    /// Scored, over the block budget (forwarded all the same in shadow mode).
    Block,
    /// Not inspected: mode off.
    Off,
    /// Not scored; fail open.
    FailedOpen,
    /// Not scored; fail closed.
    FailedClosed,
    /// 429.
    RateLimited,
    /// 413.
    BodyLimit,
    /// Refused before inspection for any other reason.
    Refused,
}

impl Outcome {
    /// In the order of `index`.
    pub const ALL: [Self; 9] = [
        Self::Pass,
        Self::Flag,
        Self::Block,
        Self::Off,
        Self::FailedOpen,
        Self::FailedClosed,
        Self::RateLimited,
        Self::BodyLimit,
        Self::Refused,
    ];

    /// Position in `ALL`.
    pub const fn index(self) -> usize {
        self as usize
    }

    /// Stable name in records, metrics and `X-Weir-Verdict`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flag => "flag",
            Self::Block => "block",
            Self::Off => "off",
            Self::FailedOpen => "failed_open",
            Self::FailedClosed => "failed_closed",
            Self::RateLimited => "rate_limited",
            Self::BodyLimit => "body_limit",
            Self::Refused => "refused",
        }
    }
}

/// Where an inspection's time went.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timings {
    /// Feature extraction.
    pub extract: Duration,
    /// Scoring without extraction.
    pub score: Duration,
    /// All of the inspection.
    pub whole: Duration,
}
