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
            Self(value.clamp(0.0, Self::MAX.0))
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

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use proptest::prelude::*;

    use super::*;

    fn scores(combined: f32, blocking: f32) -> Scores {
        Scores {
            combined: Score::new(combined),
            blocking: Score::new(blocking),
            ..Scores::default()
        }
    }

    #[test]
    fn every_form_of_a_budget_parses() {
        for (text, threshold) in [
            ("1/200", 2.30103),
            (" 1 / 1000 ", 3.0),
            ("0.001", 3.0),
            ("1", 0.0),
            ("1e-6", 6.0),
            ("score: 3.2", 3.2),
            ("score:3.2", 3.2),
            ("score=3.2", 3.2),
        ] {
            let budget: Budget = text.parse().unwrap();
            assert!(
                (budget.threshold().value() - threshold).abs() < 1e-5,
                "{text}: {}",
                budget.threshold()
            );
        }
    }

    #[test]
    fn what_is_no_budget_is_refused_with_an_example() {
        use BudgetError::{Range, Score, Syntax};
        for (text, error) in [
            ("", Syntax),
            ("often", Syntax),
            ("1/", Syntax),
            ("score", Syntax),
            ("score: high", Syntax),
            ("0", Range),
            ("1/0", Range),
            ("-0.1", Range),
            ("5/4", Range),
            ("NaN", Range),
            ("inf", Range),
            ("score: -1", Score),
            ("score: nan", Score),
            ("score: 1000", Score),
        ] {
            assert_eq!(text.parse::<Budget>(), Err(error), "{text}");
        }
        assert!(BudgetError::Syntax.to_string().contains("1/200"));
    }

    #[test]
    fn json_takes_numbers_strings_and_score_maps() {
        for (json, text) in [
            ("0.001", "1/1000"),
            ("1", "1/1"),
            ("\"1/200\"", "1/200"),
            ("{\"score\":3.5}", "score: 3.5"),
            ("{\"score\":3}", "score: 3"),
        ] {
            let budget: Budget = serde_json::from_str(json).unwrap();
            assert_eq!(budget.to_string(), text);
            let written = serde_json::to_string(&budget).unwrap();
            assert_eq!(
                serde_json::from_str::<Budget>(&written).unwrap(),
                budget,
                "{written}"
            );
        }
        for json in [
            "0",
            "2",
            "-1",
            "null",
            "[]",
            "{}",
            "{\"share\":1}",
            "{\"score\":1,\"score\":2}",
        ] {
            assert!(serde_json::from_str::<Budget>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn blocking_more_than_flagging_is_refused() {
        let share = |share| Budget::share(share).unwrap();
        assert_eq!(
            Budgets::new(share(0.001), share(0.01)),
            Err(BudgetError::Order)
        );
        assert!(Budgets::new(share(0.01), share(0.01)).is_ok());
    }

    #[test]
    fn only_detectors_that_may_block_block() {
        let budgets = Budgets::default();
        assert_eq!(verdict(&scores(0.1, 0.1), &budgets), Verdict::Pass);
        assert_eq!(verdict(&scores(2.31, 0.0), &budgets), Verdict::Flag);
        assert_eq!(verdict(&scores(50.0, 0.0), &budgets), Verdict::Flag);
        assert_eq!(verdict(&scores(0.0, 2.31), &budgets), Verdict::Flag);
        assert_eq!(verdict(&scores(3.0, 3.0), &budgets), Verdict::Block);
    }

    #[test]
    fn a_threshold_is_reached_by_equality() {
        let budgets = Budgets::default();
        let at = budgets.block.threshold();
        assert_eq!(
            verdict(&scores(at.value(), at.value()), &budgets),
            Verdict::Block
        );
    }

    #[test]
    fn no_input_makes_a_score_that_is_not_finite() {
        for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -1.0, 1e30] {
            assert!((0.0..=99.0).contains(&Score::new(value).value()));
        }
        assert_eq!(Score::from_probability(0.0), Score::MAX);
        assert_eq!(Score::from_probability(1.0), Score::ZERO);
        assert!(serde_json::from_str::<Score>("1e9").is_err());
    }

    proptest! {
        #[test]
        fn a_smaller_budget_never_has_a_lower_threshold(a in 1e-12f64..1.0, b in 1e-12f64..1.0) {
            let (small, large) = if a < b { (a, b) } else { (b, a) };
            prop_assert!(
                Budget::share(small).unwrap().threshold() >= Budget::share(large).unwrap().threshold()
            );
        }

        #[test]
        fn a_higher_score_never_gets_a_milder_verdict(
            low in 0f32..99.0, more in 0f32..20.0, combined in 0f32..99.0, flag in 1e-9f64..1.0, ratio in 1e-6f64..1.0,
        ) {
            let budgets = Budgets::new(
                Budget::share(flag).unwrap(),
                Budget::share(flag * ratio).unwrap(),
            ).unwrap();
            prop_assert!(verdict(&scores(combined, low), &budgets) <= verdict(&scores(combined, low + more), &budgets));
            prop_assert!(verdict(&scores(low, combined), &budgets) <= verdict(&scores(low + more, combined), &budgets));
        }

        #[test]
        fn display_and_parse_agree(share in 1e-9f64..1.0) {
            let budget = Budget::share(share).unwrap();
            let again: Budget = budget.to_string().parse().unwrap();
            prop_assert!((again.probability() / share - 1.0).abs() < 1e-8);
        }

        #[test]
        fn parsing_never_panics(text in ".{0,40}") {
            let _ = text.parse::<Budget>();
        }
    }
}
