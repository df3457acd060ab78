//! Whether more than so many distinct things were seen, in little memory. Not here: the things.

use std::collections::BTreeSet;

/// Distinct hashes below the threshold that make a crowd.
const SAMPLE: usize = 128;

/// Counts distinct hashes by those that are small: once 128 fell below 128/n of the range, about n were seen.
///
/// The answer depends on the set of hashes alone, and once it is yes it stays yes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Crowd {
    pub(crate) sample: BTreeSet<u64>,
    pub(crate) crowded: bool,
}

impl Crowd {
    const fn threshold(most: u64) -> u64 {
        u64::MAX / most * SAMPLE as u64
    }

    /// Adds a hash; `most` things are no crowd yet.
    pub(crate) fn add(&mut self, hash: u64, most: u64) {
        if !self.crowded && hash < Self::threshold(most) {
            self.sample.insert(hash);
            self.settle();
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.crowded |= other.crowded;
        self.sample.extend(&other.sample);
        self.settle();
    }

    fn settle(&mut self) {
        if self.crowded || self.sample.len() >= SAMPLE {
            self.crowded = true;
            self.sample.clear();
        }
    }

    /// Whether [`Self::add`] could have left it so.
    pub(crate) fn is_valid(&self, most: u64) -> bool {
        let small = |hash: &u64| *hash < Self::threshold(most);
        self.sample.len() < SAMPLE
            && self.sample.iter().all(small)
            && (!self.crowded || self.sample.is_empty())
    }
}
