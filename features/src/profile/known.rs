//! What a table or a histogram knows, and how surprising what it does not know is. Not here: what the keys mean.

use super::table::Table;

/// Every natural scale ends here, on both sides: the networks clip there too.
pub(crate) const CLIP: f32 = 8.0;

/// How surprising something never seen is: minus the logarithm of how often that happened in training.
///
/// `novel` of `total` observations were new (see [`Table::novel`]); half an observation more keeps a young profile
/// from being sure, and nothing is surer than one in a thousand.
pub(crate) fn surprise(novel: f64, total: f64) -> f32 {
    let rate = (novel + 0.5) / (total + 1.0);
    (-(rate.min(1.0) + 1e-3).ln()).max(0.0) as f32
}

/// A mean and a deviation.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Moments {
    pub(crate) mean: f32,
    pub(crate) deviation: f32,
    /// Nothing is known.
    pub(crate) empty: bool,
}

impl Moments {
    /// Of numbers with weights.
    pub(crate) fn of(numbers: impl Iterator<Item = (f64, f64)>, floor: f64) -> Self {
        let (mut weights, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for (number, weight) in numbers {
            weights += weight;
            sum += number * weight;
            squares += number * number * weight;
        }
        if weights <= 0.0 {
            return Self {
                empty: true,
                ..Self::default()
            };
        }
        let mean = sum / weights;
        let variance = (squares / weights - mean * mean).max(0.0);
        Self {
            mean: mean as f32,
            deviation: variance.sqrt().max(floor) as f32,
            empty: false,
        }
    }

    /// How many deviations from the mean, clipped; 0 when nothing is known.
    pub(crate) fn z(&self, number: f32) -> f32 {
        if self.empty {
            return 0.0;
        }
        ((number - self.mean) / self.deviation).clamp(-CLIP, CLIP)
    }
}

/// Keys that were seen, and how far the table that held them reaches.
#[derive(Clone, Debug)]
pub(crate) struct Known<K> {
    keys: Box<[K]>,
    /// Keys above this one were never kept, so nothing is known about them.
    reach: Option<K>,
    /// How surprising an unknown key is.
    pub(crate) weight: f32,
    /// How often a key is new.
    pub(crate) novelty: f32,
}

impl<K: Copy + Ord> Known<K> {
    /// `sampled`: which share of all keys the table holds.
    pub(crate) fn new(table: &Table<K>, quota: usize, total: f64, sampled: f64) -> Self {
        let keys: Box<[K]> = table.admitted(quota).map(|entry| entry.key).collect();
        let novel = (table.novel(quota) / sampled.max(1e-9)).min(total);
        Self {
            keys,
            reach: table
                .cut
                .then(|| table.entries.last().map(|entry| entry.key))
                .flatten(),
            weight: surprise(novel, total),
            novelty: (novel / total.max(1.0)) as f32,
        }
    }

    /// How many keys are known.
    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Where `key` stands among those seen, in ascending order.
    pub(crate) fn position(&self, key: K) -> Option<usize> {
        self.keys.binary_search(&key).ok()
    }

    /// True when `key` itself was seen.
    pub(crate) fn is_listed(&self, key: K) -> bool {
        self.keys.binary_search(&key).is_ok()
    }

    pub(crate) fn has(&self, key: K) -> bool {
        self.keys.binary_search(&key).is_ok() || self.reach.is_some_and(|reach| key > reach)
    }

    /// How surprising `key` is: 0 when it was seen.
    pub(crate) fn surprise(&self, key: K) -> f32 {
        if self.has(key) { 0.0 } else { self.weight }
    }
}

impl Known<u64> {
    pub(crate) fn of(table: &Table<u64>, quota: usize, total: f64) -> Self {
        let sampled = match table.entries.last() {
            Some(last) if table.cut => last.key as f64 / u64::MAX as f64,
            _ => 1.0,
        };
        Self::new(table, quota, total, sampled)
    }
}
