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
