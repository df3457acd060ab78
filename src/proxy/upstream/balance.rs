//! Which of an upstream's endpoints a request goes to.
//!
//! Not here: what makes an endpoint unfit (`health`) and what happens when none is left.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::endpoint::Endpoint;
use super::health::State;
use crate::config::Balance;

/// Takes turns, or draws.
#[derive(Debug)]
pub(super) struct Balancer {
    balance: Balance,
    /// Choices so far.
    choices: AtomicU64,
}

impl Balancer {
    pub(super) fn new(balance: Balance) -> Self {
        Self {
            balance,
            choices: AtomicU64::new(0),
        }
    }

    /// An endpoint that is up, and another than `avoid` if there is one. When all are ejected, one of those: a doubtful
    /// answer is better than none. `None` when there are none or all are down.
    pub(super) fn choose<'e>(
        &self,
        endpoints: &'e [Arc<Endpoint>],
        avoid: Option<&Arc<Endpoint>>,
    ) -> Option<&'e Arc<Endpoint>> {
        if let [only] = endpoints {
            return (only.state() != State::Down).then_some(only);
        }
        let other =
            |endpoint: &Arc<Endpoint>| avoid.is_none_or(|avoid| !Arc::ptr_eq(avoid, endpoint));
        // A second choice takes nobody's turn.
        let choice = match avoid {
            None => self.choices.fetch_add(1, Ordering::Relaxed),
            Some(_) => self.choices.load(Ordering::Relaxed),
        };
        self.among(endpoints, choice, |endpoint| {
            endpoint.state() == State::Up && other(endpoint)
        })
        .or_else(|| {
            self.among(endpoints, choice, |endpoint| {
                endpoint.state() != State::Down && other(endpoint)
            })
        })
        .or_else(|| {
            self.among(endpoints, choice, |endpoint| {
                endpoint.state() != State::Down
            })
        })
    }

    fn among<'e>(
        &self,
        endpoints: &'e [Arc<Endpoint>],
        choice: u64,
        fit: impl Fn(&Arc<Endpoint>) -> bool,
    ) -> Option<&'e Arc<Endpoint>> {
        let fitting = || endpoints.iter().filter(|endpoint| fit(endpoint));
        let count = fitting().count() as u64;
        if count == 0 {
            return None;
        }
        let nth = |n: u64| fitting().nth(usize::try_from(n).unwrap_or(0));
        // Health may change between counting and taking; then the first one that still fits is as good.
        let or_first = |found: Option<&'e Arc<Endpoint>>| found.or_else(|| fitting().next());
        match self.balance {
            Balance::RoundRobin => or_first(nth(choice % count)),
            Balance::LeastRequest if count == 1 => or_first(nth(0)),
            Balance::LeastRequest => {
                let drawn = mix(choice);
                let first = (drawn & 0xffff_ffff) % count;
                let second = (first + 1 + (drawn >> 32) % (count - 1)) % count;
                let (first, second) = (or_first(nth(first))?, or_first(nth(second))?);
                Some(if second.active() < first.active() {
                    second
                } else {
                    first
                })
            }
        }
    }
}

/// Steele, Lea and Flood's SplitMix64: even draws from a counter, so that threads share no generator behind a lock.
fn mix(counter: u64) -> u64 {
    let mut z = counter.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use crate::proxy::upstream::endpoint::test_endpoint;

    fn endpoints(count: u16) -> Vec<Arc<Endpoint>> {
        (1..=count).map(test_endpoint).collect()
    }

    /// How often each endpoint is chosen.
    fn shares(
        balancer: &Balancer,
        endpoints: &[Arc<Endpoint>],
        avoid: Option<&Arc<Endpoint>>,
    ) -> Vec<usize> {
        let mut shares = vec![0; endpoints.len()];
        for _ in 0..3_000 {
            let chosen = balancer.choose(endpoints, avoid).unwrap();
            let at = endpoints.iter().position(|one| Arc::ptr_eq(one, chosen));
            shares[at.unwrap()] += 1;
        }
        shares
    }

    #[test]
    fn turns_are_even_and_leave_out_what_is_unfit() {
        let endpoints = endpoints(4);
        let turns = Balancer::new(Balance::RoundRobin);
        assert_eq!(shares(&turns, &endpoints, None), [750; 4]);
        assert_eq!(shares(&turns, &endpoints, Some(&endpoints[2]))[2], 0);
        endpoints[0].take_down();
        assert_eq!(shares(&turns, &endpoints, None), [0, 1000, 1000, 1000]);
    }

    #[test]
    fn draws_are_even_between_idle_endpoints_and_avoid_the_busiest() {
        let endpoints = endpoints(3);
        let draws = Balancer::new(Balance::LeastRequest);
        for share in shares(&draws, &endpoints, None) {
            assert!((900..1_100).contains(&share), "{share}");
        }
        let busy: Vec<_> = (0..5).map(|_| endpoints[1].begin()).collect();
        assert_eq!(shares(&draws, &endpoints, None)[1], 0);
        drop(busy);
        assert!(shares(&draws, &endpoints, None)[1] > 900);
    }

    #[test]
    fn the_last_one_is_used_however_it_fares_unless_it_is_down() {
        let two = endpoints(2);
        let turns = Balancer::new(Balance::RoundRobin);
        two[1].take_down();
        let chosen = turns.choose(&two, Some(&two[0])).unwrap();
        assert!(Arc::ptr_eq(chosen, &two[0]), "there is no other");
        two[0].take_down();
        assert!(turns.choose(&two, None).is_none());
        assert!(turns.choose(&[], None).is_none());
        assert!(turns.choose(&two[..1], None).is_none());
    }
}
