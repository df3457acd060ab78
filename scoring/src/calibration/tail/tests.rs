#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use proptest::prelude::*;

use super::*;

/// `n` values at the midpoints of equal shares of a distribution given by its inverse survival function.
fn sample(n: usize, inverse: impl Fn(f64) -> f64) -> Vec<f32> {
    (0..n)
        .map(|i| inverse((i as f64 + 0.5) / n as f64) as f32)
        .collect()
}

#[test]
fn the_sample_is_believed_where_it_is_rich() {
    let tail = Tail::fit(&sample(20_000, |share| 1.0 - share)).unwrap();
    for share in [0.5, 0.1, 0.05, 0.01, 1.0 / 200.0] {
        let found = tail.probability((1.0 - share) as f32);
        assert!((found / share - 1.0).abs() < 0.05, "{share}: {found}");
    }
    assert_eq!(tail.score(-1.0), Score::ZERO);
    assert_eq!(tail.samples(), 20_000);
}

/// Log-normal values by Box and Muller from a fixed linear congruential sequence.
fn log_normal(seed: u64) -> impl FnMut() -> f32 {
    let mut state = seed;
    let mut uniform = move || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        ((state >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    };
    move || {
        let (radius, angle) = (uniform(), uniform());
        ((-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()).exp() as f32
    }
}

#[test]
fn budgets_hold_on_data_that_was_not_fitted() {
    let mut draw = log_normal(1);
    let fitted: Vec<f32> = (0..8000).map(|_| draw()).collect();
    let tail = Tail::fit(&fitted).unwrap();
    let fresh: Vec<f32> = (0..400_000).map(|_| draw()).collect();
    for (budget, least, most) in [
        (1.0 / 200.0, 0.75, 1.3),
        (1.0 / 1000.0, 0.5, 1.6),
        (1e-4, 0.2, 3.0),
    ] {
        let threshold = Score::from_probability(budget);
        let hits = fresh
            .iter()
            .filter(|value| tail.score(**value) >= threshold)
            .count();
        let ratio = hits as f64 / fresh.len() as f64 / budget;
        assert!((least..most).contains(&ratio), "{budget}: {ratio}");
    }
}

#[test]
fn an_exponential_tail_is_continued() {
    let tail = Tail::fit(&sample(20_000, |share| -share.ln())).unwrap();
    for (value, score) in [(6.9078, 3.0), (11.5129, 5.0)] {
        let found = f64::from(tail.score(value as f32).value());
        assert!((found - score).abs() < 0.4, "{value}: {found}");
    }
}

#[test]
fn a_heavy_tail_is_continued() {
    // Pareto with shape 1/2: the share that reaches x is x^-2.
    let tail = Tail::fit(&sample(50_000, |share| share.powf(-0.5))).unwrap();
    assert!((0.3..=0.7).contains(&tail.shape), "{}", tail.shape);
    let found = tail.score(1000.0).value();
    assert!((5.0..7.5).contains(&found), "{found}");
}

#[test]
fn a_bounded_distribution_still_orders_what_lies_beyond() {
    let tail = Tail::fit(&sample(5000, |share| 1.0 - share)).unwrap();
    assert!(tail.score(1.2) > tail.score(1.1));
    assert!(tail.score(5.0) > tail.score(2.0));
}

#[test]
fn values_below_the_sample_keep_their_order() {
    let tail = Tail::fit(&sample(500, |share| 2.0 - share)).unwrap();
    assert_eq!(tail.score(0.0), Score::ZERO);
    assert!(tail.score(0.5) > tail.score(0.25));
    assert!(tail.score(0.999) <= tail.score(1.001));
    assert!(tail.score(0.999) < Score::new(0.01));
}

#[test]
fn equal_values_leave_a_tail() {
    let tail = Tail::fit(&[2.0; 100]).unwrap();
    assert!(tail.score(2.0) < Score::new(0.01));
    assert!(tail.score(4.0) > Score::new(1.0));
    let zero = Tail::fit(&[0.0; 100]).unwrap();
    assert!(zero.score(1.0) > Score::new(3.0));
}

#[test]
fn weights_act_as_repetition() {
    let values: Vec<f32> = (1..=1000).map(|value| value as f32).collect();
    let weights: Vec<f64> = values
        .iter()
        .map(|&value| if value > 990.0 { 1.0 } else { 9.0 })
        .collect();
    let weighted = Tail::fit_weighted(&values, &weights).unwrap();
    let repeated: Vec<f32> = values
        .iter()
        .zip(&weights)
        .flat_map(|(&value, &weight)| std::iter::repeat_n(value, weight as usize))
        .collect();
    let repeated = Tail::fit(&repeated).unwrap();
    for value in [100.0, 500.0, 900.0] {
        let (a, b) = (weighted.probability(value), repeated.probability(value));
        assert!((a / b - 1.0).abs() < 0.02, "{value}: {a} {b}");
    }
}

#[test]
fn too_few_values_are_refused() {
    assert!(matches!(
        Tail::fit(&[1.0; 19]),
        Err(CalibrationError::TooFew { found: 19, .. })
    ));
    assert!(Tail::fit(&[f32::NAN; 1000]).is_err());
    assert!(Tail::fit_weighted(&[1.0; 100], &[0.0; 100]).is_err());
}

#[test]
fn damage_is_refused() {
    for json in [
        r#"{"samples":9,"shape":0.1,"scale":1.0,"knots":[]}"#,
        r#"{"samples":9,"shape":-0.1,"scale":1.0,"knots":[[0,1]]}"#,
        r#"{"samples":9,"shape":0.1,"scale":0.0,"knots":[[0,1]]}"#,
        r#"{"samples":9,"shape":0.1,"scale":1.0,"knots":[[0,1.5]]}"#,
        r#"{"samples":9,"shape":0.1,"scale":1.0,"knots":[[0,1],[0,0.5]]}"#,
        r#"{"samples":9,"shape":0.1,"scale":1.0,"knots":[[0,0.5],[1,0.6]]}"#,
        r#"{"samples":9,"shape":0.1,"scale":1.0,"knots":[[0,1],[1,0]]}"#,
    ] {
        assert!(serde_json::from_str::<Tail>(json).is_err(), "{json}");
    }
}

proptest! {
    #[test]
    fn monotone_finite_and_kept_by_json(
        values in proptest::collection::vec(prop_oneof![0f32..10.0, Just(1.0f32), 0f32..1e30, any::<f32>()], 20..300),
        mut probes in proptest::collection::vec(any::<f32>(), 2..20),
    ) {
        let Ok(tail) = Tail::fit(&values) else { return Ok(()) };
        probes.extend(values.iter().copied());
        for probe in &probes {
            let score = tail.score(*probe).value();
            prop_assert!(score.is_finite() && score >= 0.0);
        }
        probes.retain(|probe| !probe.is_nan());
        probes.sort_unstable_by(f32::total_cmp);
        for pair in probes.windows(2) {
            prop_assert!(tail.score(pair[0]) <= tail.score(pair[1]), "{pair:?}");
        }
        let json = serde_json::to_string(&tail).unwrap();
        let again: Tail = serde_json::from_str(&json).unwrap();
        for probe in &probes {
            let (a, b) = (tail.score(*probe).value(), again.score(*probe).value());
            prop_assert!((a - b).abs() <= 1e-4 * (1.0 + a), "{probe}: {a} {b}");
        }
    }
}
