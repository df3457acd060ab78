//! What a budget asks for beside what a calibration promises. Not here: how much a sample promises.

use std::fmt;

use super::{Budget, Budgets};

/// A budget that is smaller than the smallest one that a calibration's sample supports. It may be used: where its threshold
/// lies is then extrapolated and no promise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Unsupported {
    /// `flag` or `block`.
    pub which: &'static str,
    /// The budget.
    pub budget: Budget,
    /// The smallest share that the calibration supports with 95% confidence.
    pub smallest: f64,
}

impl fmt::Display for Unsupported {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            which,
            budget,
            smallest,
        } = self;
        let share = percent(budget.probability());
        write!(
            formatter,
            "the {which} budget {budget} ({share}) is below {} ({}), the smallest that the model's calibration promises with \
             95% confidence: it applies, but how often it is exceeded is extrapolated; calibrate on more normal traffic to \
             promise less",
            one_in(*smallest),
            percent(*smallest)
        )
    }
}

impl Budgets {
    /// Those of the two budgets that are below `smallest`.
    pub fn unsupported(&self, smallest: f64) -> impl Iterator<Item = Unsupported> + use<> {
        let both = [("flag", self.flag), ("block", self.block)];
        both.into_iter()
            .filter(move |(_, budget)| budget.probability() < smallest)
            .map(move |(which, budget)| Unsupported {
                which,
                budget,
                smallest,
            })
    }
}

/// A share as `1/n`, rounded so that the share named is supported too.
#[must_use]
pub fn one_in(share: f64) -> String {
    format!("1/{:.0}", share.recip().floor().max(1.0))
}

/// With two significant digits.
fn percent(share: f64) -> String {
    let percent = share * 100.0;
    let digits = (1.0 - percent.log10().floor()).clamp(0.0, 12.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "clamped to 0..=12"
    )]
    let digits = digits as usize;
    format!("{percent:.digits$}%")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::calibration::smallest_budget;

    fn budgets(flag: &str, block: &str) -> Budgets {
        Budgets::new(flag.parse().unwrap(), block.parse().unwrap()).unwrap()
    }

    #[test]
    fn only_budgets_below_the_promise_are_told_and_both_numbers_are_named() {
        let smallest = smallest_budget(6253);
        assert_eq!(budgets("1/200", "1/1000").unsupported(smallest).count(), 0);
        let told: Vec<String> = budgets("1/200", "1/5000")
            .unsupported(smallest)
            .map(|one| one.to_string())
            .collect();
        assert_eq!(told.len(), 1);
        assert!(
            told[0].contains("block budget 1/5000 (0.020%) is below 1/2087 (0.048%)"),
            "{}",
            told[0]
        );
        assert_eq!(
            budgets("score: 4", "score: 5")
                .unsupported(smallest)
                .count(),
            2
        );
    }

    #[test]
    fn the_share_that_is_named_is_supported() {
        for requests in [1, 59, 1000, 6253, 1_000_000] {
            let smallest = smallest_budget(requests);
            let named: Budget = one_in(smallest).parse().unwrap();
            assert!(named.probability() >= smallest, "{requests}");
        }
    }
}
