//! What Weir adds to a request's time: the same requests sent directly and through Weir, in turn, one at a time.
//!
//! Runs after the crowd has gone home, so that the difference is Weir's work and not waiting for a processor.

use std::net::SocketAddr;

use anyhow::{Result, anyhow};

use crate::client::Visitor;
use crate::customers::Customer;
use crate::random::Random;
use crate::tally::Outcome;

const WARM_UP: usize = 50;
const PAIRS: usize = 600;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Added {
    pub(crate) pairs: usize,
    pub(crate) direct: (u32, u32),
    pub(crate) through: (u32, u32),
}

/// Microseconds at the 50th and 99th percentile, either way.
pub(crate) async fn measure(shop: SocketAddr, weir: SocketAddr) -> Result<Added> {
    let mut customer = Customer::new(Random::new(77));
    let mut ways = [Visitor::new(shop, None), Visitor::new(weir, None)];
    let mut times = [Vec::with_capacity(PAIRS), Vec::with_capacity(PAIRS)];
    for pair in 0..WARM_UP + PAIRS {
        let message = customer.act();
        let mut took = [0_u32; 2];
        let mut comparable = true;
        // Alternating which way goes first spreads what the first one warms for the second.
        let order = if pair % 2 == 0 { [0, 1] } else { [1, 0] };
        for way in order {
            let (Some(visitor), Some(slot)) = (ways.get_mut(way), took.get_mut(way)) else {
                continue;
            };
            let answer = visitor
                .send(&message)
                .await
                .map_err(|why| anyhow!("measuring latency: {why}"))?;
            comparable &= !matches!(answer.outcome(), Outcome::Blocked(_) | Outcome::Failed(_));
            *slot = answer.micros;
        }
        if pair >= WARM_UP && comparable {
            for (all, one) in times.iter_mut().zip(took) {
                all.push(one);
            }
        }
    }
    let [direct, through] = times;
    Ok(Added {
        pairs: direct.len(),
        direct: percentiles(direct),
        through: percentiles(through),
    })
}

fn percentiles(mut micros: Vec<u32>) -> (u32, u32) {
    micros.sort_unstable();
    let at = |share: f64| {
        micros
            .get((micros.len() as f64 * share) as usize)
            .or(micros.last())
            .copied()
            .unwrap_or_default()
    };
    (at(0.50), at(0.99))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_of_a_known_list() {
        assert_eq!(percentiles((1..=100).rev().collect()), (51, 100));
        assert_eq!(percentiles(Vec::new()), (0, 0));
    }
}
