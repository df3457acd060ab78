//! What a finite sample can promise about a rate. Not here: what is counted.

/// Confidence of every bound in this crate.
const CONFIDENCE: f64 = 0.95;

/// The smallest false-positive budget that `normal_requests` held-out normal requests support: if none of them reaches a
/// score, at most this share of all normal requests does, with 95% confidence. This is the "rule of three", about
/// `3 / n` (Hanley and Lippman-Hand, "If nothing goes wrong, is everything all right?", JAMA 249, 1983).
#[must_use]
pub fn smallest_budget(normal_requests: u64) -> f64 {
    upper_bound(0, normal_requests)
}

/// The one-sided 95% Clopper-Pearson upper bound of a rate of which `events` were counted in `trials` (Clopper and
/// Pearson, Biometrika 26, 1934). 1 without trials.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2^53"
)]
pub fn upper_bound(events: u64, trials: u64) -> f64 {
    if events >= trials {
        return 1.0;
    }
    let alpha = 1.0 - CONFIDENCE;
    if events == 0 {
        return 1.0 - alpha.powf(1.0 / trials as f64);
    }
    let (mut low, mut high) = (events as f64 / trials as f64, 1.0);
    for _ in 0..100 {
        let middle = f64::midpoint(low, high);
        if at_most(events, trials, middle) > alpha {
            low = middle
        } else {
            high = middle
        }
    }
    high
}

/// The probability of at most `events` in `trials` at `rate`.
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2^53"
)]
fn at_most(events: u64, trials: u64, rate: f64) -> f64 {
    let log_odds = rate.ln() - (-rate).ln_1p();
    let mut log_term = trials as f64 * (-rate).ln_1p();
    let mut sum = log_term.exp();
    for event in 1..=events {
        log_term += ((trials - event + 1) as f64 / event as f64).ln() + log_odds;
        sum += log_term.exp();
    }
    sum
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    #[test]
    fn no_event_gives_the_rule_of_three() {
        assert!((smallest_budget(1000) * 1000.0 / 3.0 - 1.0).abs() < 0.01);
        assert!((smallest_budget(100_000) * 100_000.0 / 3.0 - 1.0).abs() < 0.01);
        assert_eq!(smallest_budget(0), 1.0);
        assert!((smallest_budget(1) - 0.95).abs() < 1e-9);
    }

    #[test]
    fn the_bound_agrees_with_published_values() {
        // One-sided 95% bounds: the upper ends of two-sided 90% Clopper-Pearson intervals.
        for (events, trials, bound) in [
            (1, 10, 0.394_163),
            (5, 100, 0.102_253),
            (10, 1000, 0.016_897),
        ] {
            let found = upper_bound(events, trials);
            assert!((found - bound).abs() < 2e-4, "{events}/{trials}: {found}");
        }
        assert_eq!(upper_bound(7, 7), 1.0);
    }

    #[test]
    fn the_bound_grows_with_events_and_shrinks_with_trials() {
        assert!(upper_bound(3, 100) > upper_bound(2, 100));
        assert!(upper_bound(3, 100) > upper_bound(3, 200));
        assert!(upper_bound(5000, 1_000_000) > 0.005);
    }
}
