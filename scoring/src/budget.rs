//! Scores, false-positive budgets, and the one function that turns both into a verdict.
//!
//! What must not be here: modes (off, shadow, enforce), fail modes, exceptions: they belong to the proxy's policy.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeMap, Serializer};
use serde::{Deserialize, Serialize};

/// A calibrated score: `-log10(P(a normal request scores at least this))`.
///
/// 0 is entirely ordinary; 3.0 means one normal request in a thousand scores this high. Always finite, never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(try_from = "f32", into = "f32")]
pub struct Score(f32);

impl Score {
    /// The score of a request that has nothing to score.
    pub const ZERO: Self = Self(0.0);
    /// No calibration says more than this; it keeps scores finite in JSON, metrics and headers.
    pub const MAX: Self = Self(99.0);

    /// A score clamped into `[0, 99]`. `NaN` becomes the maximum: a score that nobody can compute is not ordinary.
    #[must_use]
    pub fn new(value: f32) -> Self {
        if value.is_nan() {
            Self::MAX
        } else {
            // Adding zero turns a negative zero into zero.
            Self(value.clamp(0.0, Self::MAX.0) + 0.0)
        }
    }

    /// The score of a tail probability.
    #[must_use]
    pub fn from_probability(probability: f64) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a score needs no more than single precision"
        )]
        let score = -probability.log10() as f32;
        Self::new(score)
    }

    /// The number itself.
    #[must_use]
    pub const fn value(self) -> f32 {
        self.0
    }

    /// The share of normal requests that score at least this much.
    #[must_use]
    pub fn probability(self) -> f64 {
        10f64.powf(-f64::from(self.0))
    }

    /// The larger of two scores.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        if other.0 > self.0 { other } else { self }
    }
}

impl fmt::Display for Score {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:.2}", self.0)
    }
}

impl From<Score> for f32 {
    fn from(score: Score) -> Self {
        score.0
    }
}

impl TryFrom<f32> for Score {
    type Error = BudgetError;

    fn try_from(value: f32) -> Result<Self, BudgetError> {
        if (0.0..=Self::MAX.0).contains(&value) {
            Ok(Self(value))
        } else {
            Err(BudgetError::Score)
        }
    }
}

/// Why a budget cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BudgetError {
    /// Not one of the accepted forms.
    #[error(
        "a budget is a share of normal requests such as `1/200` or `0.001`, or a score such as `score: 3.2`"
    )]
    Syntax,
    /// A share outside (0, 1].
    #[error(
        "a budget must be more than 0 and at most 1: `1/1000` allows one normal request in a thousand"
    )]
    Range,
    /// A score outside \[0, 99\].
    #[error(
        "a score must be between 0 and 99: `score: 3.2` is what one normal request in 1,585 reaches"
    )]
    Score,
    /// Blocks more than it flags.
    #[error(
        "the block budget must not be larger than the flag budget: what is blocked is flagged as well"
    )]
    Order,
}

/// How many false positives a policy accepts: a share of distinct normal requests, or directly a score.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Budget(Form);

#[derive(Clone, Copy, Debug, PartialEq)]
enum Form {
    Share(f64),
    Score(Score),
}

impl Budget {
    /// A budget of `share` of all normal requests.
    ///
    /// # Errors
    /// When `share` is not in (0, 1].
    pub fn share(share: f64) -> Result<Self, BudgetError> {
        if share > 0.0 && share <= 1.0 {
            Ok(Self(Form::Share(share)))
        } else {
            Err(BudgetError::Range)
        }
    }

    /// A budget given as the score from which it applies.
    ///
    /// # Errors
    /// When `score` is not in \[0, 99\].
    pub fn score(score: f32) -> Result<Self, BudgetError> {
        Score::try_from(score).map(|score| Self(Form::Score(score)))
    }

    /// The lowest score that exhausts this budget.
    #[must_use]
    pub fn threshold(&self) -> Score {
        match self.0 {
            Form::Share(share) => Score::from_probability(share),
            Form::Score(score) => score,
        }
    }

    /// The share of normal requests that reach the threshold.
    #[must_use]
    pub fn probability(&self) -> f64 {
        match self.0 {
            Form::Share(share) => share,
            Form::Score(score) => score.probability(),
        }
    }
}

impl FromStr for Budget {
    type Err = BudgetError;

    fn from_str(text: &str) -> Result<Self, BudgetError> {
        let text = text.trim();
        if let Some(score) = text.strip_prefix("score") {
            let number = score
                .trim_start()
                .strip_prefix([':', '='])
                .ok_or(BudgetError::Syntax)?;
            return Self::score(number.trim().parse().map_err(|_| BudgetError::Syntax)?);
        }
        let share = match text.split_once('/') {
            Some((numerator, denominator)) => number(numerator)? / number(denominator)?,
            None => number(text)?,
        };
        Self::share(share)
    }
}

fn number(text: &str) -> Result<f64, BudgetError> {
    text.trim().parse().map_err(|_| BudgetError::Syntax)
}

impl fmt::Display for Budget {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Form::Score(score) => write!(formatter, "score: {}", score.0),
            Form::Share(share) => {
                let denominator = share.recip().round();
                let exact =
                    denominator < 1e15 && (share.recip() - denominator).abs() < 1e-9 * denominator;
                if exact {
                    write!(formatter, "1/{denominator}")
                } else {
                    write!(formatter, "{share}")
                }
            }
        }
    }
}

impl Serialize for Budget {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self.0 {
            Form::Share(_) => serializer.collect_str(self),
            Form::Score(score) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry("score", &score)?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(BudgetVisitor)
    }
}

struct BudgetVisitor;

impl<'de> Visitor<'de> for BudgetVisitor {
    type Value = Budget;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a budget such as 1/200, 0.001 or {score: 3.2}")
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Budget, E> {
        Budget::share(value).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Budget, E> {
        Budget::share(if value == 1 { 1.0 } else { f64::NAN }).map_err(E::custom)
    }

    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Budget, E> {
        self.visit_u64(u64::try_from(value).unwrap_or(0))
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Budget, E> {
        value.parse().map_err(E::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Budget, A::Error> {
        let mut budget = None;
        while let Some(key) = map.next_key::<String>()? {
            if key != "score" || budget.is_some() {
                return Err(de::Error::custom(BudgetError::Syntax));
            }
            budget = Some(Budget::score(map.next_value()?).map_err(de::Error::custom)?);
        }
        budget.ok_or_else(|| de::Error::custom(BudgetError::Syntax))
    }
}

/// The two budgets of a route.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Budgets {
    /// Requests from here on are flagged.
    pub flag: Budget,
    /// Requests from here on are blocked.
    pub block: Budget,
}

impl Budgets {
    /// Both budgets, checked against each other.
    ///
    /// # Errors
    /// When more would be blocked than flagged.
    pub fn new(flag: Budget, block: Budget) -> Result<Self, BudgetError> {
        if block.threshold() < flag.threshold() {
            Err(BudgetError::Order)
        } else {
            Ok(Self { flag, block })
        }
    }
}

impl Default for Budgets {
    /// One distinct normal request in 200 flagged, one in 1,000 blocked: what the shipped model can promise.
    fn default() -> Self {
        Self {
            flag: Budget(Form::Share(1.0 / 200.0)),
            block: Budget(Form::Share(1.0 / 1000.0)),
        }
    }
}

/// What the detectors say about one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// All detectors together, calibrated as one.
    pub combined: Score,
    /// Only the detectors that may block.
    pub blocking: Score,
    /// The field detector.
    pub field: Score,
    /// The request detector, where the bundle has one and its input was given.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub request: Option<Score>,
}

/// What a policy says about scores.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Ordinary.
    Pass,
    /// Unusual: passes, marked for the upstream.
    Flag,
    /// Held back where the route enforces.
    Block,
}

impl Verdict {
    /// The stable name used in records, headers and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Flag => "flag",
            Self::Block => "block",
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Block when the detectors that may block exhaust the block budget; flag when either they or all detectors together
/// exhaust the flag budget; pass otherwise.
#[must_use]
pub fn verdict(scores: &Scores, budgets: &Budgets) -> Verdict {
    if scores.blocking >= budgets.block.threshold() {
        Verdict::Block
    } else if scores.combined.max(scores.blocking) >= budgets.flag.threshold() {
        Verdict::Flag
    } else {
        Verdict::Pass
    }
}

mod promise;
#[cfg(test)]
mod tests;

pub use promise::{Unsupported, one_in};
