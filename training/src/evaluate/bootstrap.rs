//! Confidence intervals by resampling, seeded: equal seeds give equal intervals, whatever the number of threads.
//!
//! Must not be here: what is measured. A measure is a function of how often each sample was drawn.
//!
//! Percentile bootstrap (Efron and Tibshirani 1993, chapter 13), 95%. Attacks are drawn one by one. Normal requests of
//! many hosts are drawn host by host, since requests of one site resemble each other and the next site is the risk;
//! with few hosts they are drawn one by one.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde::Serialize;

use super::measures::rank;
use crate::exposure::dice::Dice;

/// Hosts from which on whole hosts are drawn.
pub const MANY_HOSTS: usize = 40;

/// The two ends of a 95% interval.
const ENDS: [f64; 2] = [0.025, 0.975];

/// A number with its 95% interval.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize)]
pub struct Estimate {
    /// The number, of the sample as it is.
    pub value: f64,
    /// Its interval; none without resampling.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
}

impl Estimate {
    /// A number with the interval that its resampled values span.
    #[must_use]
    pub fn new(value: f64, mut resampled: Vec<f64>) -> Self {
        resampled.sort_by(f64::total_cmp);
        let end = |share| resampled.get(rank(resampled.len(), share)).copied();
        let [low, high] = ENDS;
        Self {
            value,
            interval: end(low).zip(end(high)).map(|(low, high)| [low, high]),
        }
    }
}

/// What is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Unit {
    /// Single requests.
    Requests,
    /// All requests of a host together.
    Hosts,
}

/// How samples are drawn.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Resamples; 0 for no intervals.
    pub resamples: usize,
    /// Of the draws.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
}

/// How often each sample was drawn.
#[derive(Debug, Clone, Default)]
pub struct Draw {
    /// Each normal request.
    pub normal: Vec<u32>,
    /// Each attack.
    pub attacks: Vec<u32>,
}

/// The samples that are drawn from.
#[derive(Debug, Clone)]
pub struct Population {
    /// The unit of normal requests.
    pub unit: Unit,
    /// The units: which normal requests belong to each.
    units: Vec<Vec<u32>>,
    normal: usize,
    attacks: usize,
}

impl Population {
    /// Normal requests by their hosts, and a number of attacks.
    #[must_use]
    pub fn new<'a>(hosts: impl IntoIterator<Item = &'a str>, attacks: usize) -> Self {
        let mut by_host: HashMap<&str, usize> = HashMap::new();
        let mut units: Vec<Vec<u32>> = Vec::new();
        let mut normal = 0;
        for (index, host) in (0..).zip(hosts) {
            let next = by_host.len();
            let number = *by_host.entry(host).or_insert(next);
            if number == units.len() {
                units.push(Vec::new());
            }
            if let Some(unit) = units.get_mut(number) {
                unit.push(index);
            }
            normal += 1;
        }
        let unit = if units.len() >= MANY_HOSTS {
            Unit::Hosts
        } else {
            units = (0..).take(normal).map(|index| vec![index]).collect();
            Unit::Requests
        };
        Self {
            unit,
            units,
            normal,
            attacks,
        }
    }

    fn draw(&self, dice: &mut Dice) -> Draw {
        let mut draw = Draw {
            normal: vec![0; self.normal],
            attacks: vec![0; self.attacks],
        };
        for _ in 0..self.units.len() {
            for index in dice.choose(&self.units).into_iter().flatten() {
                if let Some(times) = draw.normal.get_mut(*index as usize) {
                    *times += 1;
                }
            }
        }
        for _ in 0..self.attacks {
            if let Some(times) = draw.attacks.get_mut(dice.below(self.attacks)) {
                *times += 1;
            }
        }
        draw
    }
}

impl Plan {
    /// Calls `measure` with every draw; results in the order of the draws.
    pub fn each<T: Send>(
        &self,
        population: &Population,
        measure: impl Fn(&Draw) -> T + Sync,
    ) -> Vec<T> {
        let next = AtomicUsize::new(0);
        let mut out: Vec<(usize, T)> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..self.threads.clamp(1, self.resamples.max(1)))
                .map(|_| {
                    scope.spawn(|| {
                        let mut part = Vec::new();
                        loop {
                            let index = next.fetch_add(1, Ordering::Relaxed);
                            if index >= self.resamples {
                                return part;
                            }
                            let mut dice = Dice::derived(self.seed, index as u64);
                            part.push((index, measure(&population.draw(&mut dice))));
                        }
                    })
                })
                .collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap_or_default())
                .collect()
        });
        out.sort_by_key(|(index, _)| *index);
        out.into_iter().map(|(_, value)| value).collect()
    }
}

/// One column of resampled tuples.
pub fn column<T>(draws: &[T], read: impl Fn(&T) -> f64) -> Vec<f64> {
    draws.iter().map(read).collect()
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::indexing_slicing,
        clippy::cast_precision_loss
    )]

    use super::*;
    use crate::evaluate::measures::Ladder;

    fn plan(resamples: usize, seed: u64, threads: usize) -> Plan {
        Plan {
            resamples,
            seed,
            threads,
        }
    }

    #[test]
    fn a_seed_decides_every_draw_and_threads_do_not() {
        let population = Population::new(vec!["a"; 50], 30);
        let run = |seed, threads| {
            plan(20, seed, threads).each(&population, |draw| {
                (draw.normal.clone(), draw.attacks.clone())
            })
        };
        assert_eq!(run(1, 1), run(1, 3));
        assert_ne!(run(1, 1), run(2, 1));
        for (normal, attacks) in run(1, 2) {
            assert_eq!(normal.iter().sum::<u32>(), 50);
            assert_eq!(attacks.iter().sum::<u32>(), 30);
        }
    }

    #[test]
    fn requests_of_many_hosts_are_drawn_host_by_host() {
        let hosts: Vec<String> = (0..120).map(|n| format!("h{}", n % MANY_HOSTS)).collect();
        let population = Population::new(hosts.iter().map(String::as_str), 1);
        assert_eq!(population.unit, Unit::Hosts);
        let draws = plan(5, 1, 1).each(&population, |draw| draw.normal.clone());
        for weights in draws {
            assert!((0..MANY_HOSTS).all(|host| {
                weights[host] == weights[host + MANY_HOSTS]
                    && weights[host] == weights[host + 2 * MANY_HOSTS]
            }));
        }
        assert_eq!(Population::new(vec!["a"; 120], 1).unit, Unit::Requests);
    }

    #[test]
    fn the_interval_of_a_share_is_near_the_normal_approximation() {
        // 200 attacks, half of them found: 0.5 +- 1.96 * sqrt(0.25 / 200) = 0.431 to 0.569.
        let attacks: Vec<f32> = (0..200).map(|n| if n < 100 { 5.0 } else { 0.0 }).collect();
        let ladder = Ladder::new(&[1.0; 100], &attacks).unwrap();
        let population = Population::new(vec!["a"; 100], 200);
        let found = plan(1000, 1, 2).each(&population, |draw| {
            ladder
                .weighted(&draw.normal, &draw.attacks)
                .figures()
                .values[3]
        });
        let estimate = Estimate::new(0.5, found);
        let [low, high] = estimate.interval.unwrap();
        assert!((low - 0.431).abs() < 0.015 && (high - 0.569).abs() < 0.015);
    }

    #[test]
    fn ends_are_nearest_ranks_and_nothing_has_no_interval() {
        let estimate = Estimate::new(0.0, (1..=1000).map(|n| n as f64).collect());
        assert_eq!(estimate.interval, Some([25.0, 975.0]));
        assert_eq!(Estimate::new(3.0, Vec::new()).interval, None);
    }
}
