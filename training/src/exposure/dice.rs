//! The seeded source of every random choice that exposure makes.
//!
//! No clock and no operating-system entropy in here: two runs with one seed make the same requests.

use rand::{Rng as _, SeedableRng as _};
use rand_chacha::ChaCha8Rng;

/// A small, total wrapper around ChaCha: no method panics, an empty choice gives the type's default.
#[derive(Debug, Clone)]
pub struct Dice(ChaCha8Rng);

impl Dice {
    /// A generator that only depends on `seed`.
    pub fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    /// An independent generator for item `index` of the run with `seed`, whatever was drawn before.
    pub fn derived(seed: u64, index: u64) -> Self {
        let mut inner = ChaCha8Rng::seed_from_u64(seed);
        inner.set_stream(index);
        Self(inner)
    }

    /// A number in `0..bound`; 0 where `bound` is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        if bound == 0 {
            0
        } else {
            self.0.random_range(0..bound)
        }
    }

    /// A number in `low..=high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        if high <= low {
            low
        } else {
            self.0.random_range(low..=high)
        }
    }

    /// True with probability `share`.
    pub fn chance(&mut self, share: f64) -> bool {
        self.0.random_bool(share.clamp(0.0, 1.0))
    }

    /// A uniform number in `[0, 1)`.
    pub fn unit(&mut self) -> f64 {
        self.0.random()
    }

    /// One of `items`, or none of an empty slice.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        items.get(self.below(items.len()))
    }

    /// One of `words`; the empty string of an empty slice.
    pub fn word<'a>(&mut self, words: &[&'a str]) -> &'a str {
        self.choose(words).copied().unwrap_or_default()
    }

    /// The index of one of `weights`, drawn in proportion to them.
    pub fn weighted(&mut self, weights: &[f64]) -> usize {
        let total: f64 = weights.iter().sum();
        let mut rest = self.unit() * total;
        for (index, weight) in weights.iter().enumerate() {
            rest -= weight;
            if rest < 0.0 {
                return index;
            }
        }
        weights.len().saturating_sub(1)
    }

    /// `length` bytes drawn from `alphabet`.
    pub fn string(&mut self, alphabet: &[u8], length: usize) -> String {
        (0..length)
            .filter_map(|_| self.choose(alphabet).map(|&byte| char::from(byte)))
            .collect()
    }

    /// `length` uniform bytes.
    pub fn bytes(&mut self, length: usize) -> Vec<u8> {
        let mut out = vec![0; length];
        rand::RngCore::fill_bytes(&mut self.0, &mut out);
        out
    }

    /// Shuffles in place (Fisher-Yates).
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.below(last + 1);
            items.swap(last, other);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_draws_the_same() {
        let draw = |mut dice: Dice| (0..20).map(|_| dice.below(1000)).collect::<Vec<_>>();
        assert_eq!(draw(Dice::new(7)), draw(Dice::new(7)));
        assert_ne!(draw(Dice::new(7)), draw(Dice::new(8)));
        assert_ne!(draw(Dice::derived(7, 1)), draw(Dice::derived(7, 2)));
    }

    #[test]
    fn weights_are_followed_and_zero_is_never_drawn() {
        let mut dice = Dice::new(1);
        let mut seen = [0_usize; 3];
        for _ in 0..3000 {
            let index = dice.weighted(&[1.0, 0.0, 3.0]);
            if let Some(slot) = seen.get_mut(index) {
                *slot += 1;
            }
        }
        assert_eq!(seen.get(1), Some(&0));
        assert!(seen.get(2) > seen.first());
    }
}
