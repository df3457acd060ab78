//! What is usual for one parameter, ready for look-ups. Not here: which parameter a field belongs to.
#![expect(
    clippy::indexing_slicing,
    reason = "columns and symbols are indexed by constants and by bytes mapped below the alphabet's size"
)]

use siphasher::sip::SipHasher13;

use super::columns as column;
use super::hash::{folded_hash, skeleton_hash};
use super::key_stats::{KeyStats, mark_bits, traits};
use super::symbols::{self, ALPHABET, CLASSES, Kind, MARK_CLASSES, SHARES, Summary};
use super::table::{Entry, QUOTA, Table};
use crate::field::Field;

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

/// Logarithms of transition probabilities between symbols, in fifteenths, for the rows that occur.
#[derive(Clone, Debug)]
struct Bigrams {
    /// Which row of `cells` belongs to a symbol; `u8::MAX` is none.
    rows: [u8; ALPHABET],
    cells: Box<[[u8; ALPHABET]]>,
    mean: Moments,
}

const STEPS: f32 = 15.0;
/// What is added to every transition, so that none is impossible.
const SMOOTHING: f64 = 0.05;

impl Bigrams {
    fn of(stats: &Table<u16>, quota: usize) -> Self {
        let entries: Vec<(usize, usize, f64, bool)> = stats
            .entries
            .iter()
            .filter(|entry| entry.key >= traits::BIGRAM)
            .map(|entry| {
                let bigram = usize::from(entry.key - traits::BIGRAM);
                let (first, second) = (bigram / ALPHABET, bigram % ALPHABET);
                (
                    first,
                    second,
                    f64::from(entry.count),
                    entry.is_admitted(quota),
                )
            })
            .collect();
        let mut totals = [0.0; ALPHABET];
        for &(first, _, count, admitted) in &entries {
            totals[first] += if admitted { count } else { 0.0 };
        }
        let log = |count: f64, total: f64| {
            ((count + SMOOTHING) / (total + SMOOTHING * ALPHABET as f64)).ln()
        };
        let mut bigrams = Self {
            rows: [u8::MAX; ALPHABET],
            cells: Box::default(),
            mean: Moments::of(
                entries.iter().map(|&(first, _, count, admitted)| {
                    // As if the transition itself had not been seen: its probability out of sample.
                    let (own, total) = if admitted {
                        (count - 1.0, totals[first] - 1.0)
                    } else {
                        (0.0, totals[first])
                    };
                    (log(own, total), count)
                }),
                0.3,
            ),
        };
        let mut cells: Vec<[u8; ALPHABET]> = Vec::new();
        for (symbol, total) in totals.into_iter().enumerate() {
            if total > 0.0 {
                bigrams.rows[symbol] = cells.len() as u8;
                cells.push([quantised(log(0.0, total)); ALPHABET]);
            }
        }
        for &(first, second, count, admitted) in &entries {
            if let Some(row) = cells.get_mut(usize::from(bigrams.rows[first]))
                && admitted
            {
                row[second] = quantised(log(count, totals[first]));
            }
        }
        bigrams.cells = cells.into();
        bigrams
    }

    /// The mean's z-score and the least likely transition.
    fn write(&self, value: &[u8], out: &mut [f32]) {
        let unknown = quantised(-(ALPHABET as f64).ln());
        let (mut sum, mut worst, mut count) = (0u32, 0u8, 0u32);
        for bigram in symbols::bigrams(value) {
            let (first, second) = (
                usize::from(bigram) / ALPHABET,
                usize::from(bigram) % ALPHABET,
            );
            let cell = self
                .cells
                .get(usize::from(self.rows[first]))
                .map_or(unknown, |row| row[second]);
            sum += u32::from(cell);
            worst = worst.max(cell);
            count += 1;
        }
        let mean = -(sum as f32) / STEPS / count.max(1) as f32;
        // Neighbouring transitions are not independent: more than 16 of them make no surer.
        let sure = (count.min(16) as f32).sqrt();
        out[column::BIGRAM_MEAN] = (self.mean.z(mean) * sure).clamp(-CLIP, CLIP);
        // One in a thousand is nothing special in text.
        out[column::BIGRAM_WORST] = (f32::from(worst) / STEPS - 7.0).clamp(0.0, CLIP);
    }
}

fn quantised(logarithm: f64) -> u8 {
    (-logarithm as f32 * STEPS).round().clamp(0.0, 255.0) as u8
}

/// What is usual for one parameter.
#[derive(Clone, Debug)]
pub(crate) struct KeyProfile {
    pub(crate) observations: u64,
    pub(crate) requests: u64,
    /// The steps of the length scale that were seen.
    pub(crate) lengths: u128,
    length: Moments,
    length_weight: f32,
    classes: u64,
    /// How surprising it is when a class of symbol is missing.
    missing: [f32; CLASSES],
    /// The most occurrences of each mark.
    marks_most: [u8; MARK_CLASSES],
    trigrams: Known<u32>,
    pub(crate) skeletons: Known<u64>,
    /// The skeletons' surprises where they were seen, in the order of `skeletons`.
    rarities: Box<[f32]>,
    pub(crate) values: Known<u64>,
    bigrams: Bigrams,
    /// How surprising it is when a value is not of a kind that nearly all were.
    pub(crate) kinds: [f32; Kind::ALL.len()],
    shares: [Moments; SHARES],
    parts: Moments,
    layers: u8,
    marks: u8,
    maturity: f32,
    /// The most frequent skeletons and their shares, for explanations.
    pub(crate) examples: Vec<(Box<[u8]>, f32)>,
}

impl KeyProfile {
    pub(crate) fn of(stats: &KeyStats) -> Self {
        let quota = if stats.sources.count() >= QUOTA {
            QUOTA
        } else {
            1
        };
        let total = stats.observations as f64;
        let range = |from: u16, keys: u16| range(&stats.traits, from, keys);
        let admitted = move |from: u16, keys: u16| {
            range(from, keys)
                .iter()
                .filter(move |entry| entry.is_admitted(quota))
                .map(move |entry| (entry.key - from, f64::from(entry.count)))
        };
        let bits = |from: u16, keys: u16| {
            admitted(from, keys).fold(0u128, |bits, (bit, _)| bits | 1 << bit)
        };
        let steps = u16::from(symbols::LENGTH_STEPS);
        let length_table = Table {
            entries: range(traits::LENGTH, steps).to_vec(),
            cut: false,
        };
        Self {
            observations: stats.observations,
            requests: stats.requests,
            lengths: bits(traits::LENGTH, steps),
            length: Moments::of(
                admitted(traits::LENGTH, steps).map(|(step, count)| {
                    (f64::from(symbols::step_length(step as u8).ln_1p()), count)
                }),
                0.02,
            ),
            length_weight: surprise(length_table.novel(quota), total),
            classes: bits(traits::CLASS, 64) as u64,
            missing: always(range(traits::CLASS, CLASSES as u16), traits::CLASS, total),
            marks_most: std::array::from_fn(|mark| {
                admitted(traits::MARK_COUNT + 8 * mark as u16, 8)
                    .map(|(step, _)| step as u8 + 1)
                    .max()
                    .unwrap_or(0)
            }),
            trigrams: Known::new(&stats.trigrams, quota, stats.trigrams.total(), 1.0),
            rarities: stats
                .skeletons
                .admitted(quota)
                .map(|entry| (total / f64::from(entry.count.max(1))).ln().max(0.0) as f32)
                .collect(),
            skeletons: Known::of(&stats.skeletons, quota, total),
            values: Known::of(&stats.values, quota, total),
            bigrams: Bigrams::of(&stats.traits, quota),
            kinds: always(
                range(traits::KIND, Kind::ALL.len() as u16),
                traits::KIND,
                total,
            ),
            shares: std::array::from_fn(|kind| {
                let from = traits::SHARE + 16 * kind as u16;
                Moments::of(
                    admitted(from, 16).map(|(step, count)| (f64::from(step) / 8.0, count)),
                    0.08,
                )
            }),
            parts: Moments::of(
                admitted(traits::PARTS, u16::from(symbols::PARTS_STEPS))
                    .map(|(step, count)| (f64::from(step) / 4.0, count)),
                0.15,
            ),
            layers: bits(traits::LAYERS, 8) as u8,
            marks: bits(traits::MARKS, 8) as u8,
            maturity: (stats.observations as f32).ln_1p() / 2.0,
            examples: examples(stats, quota),
        }
    }

    /// The shortest and the longest length seen, the latter as the end of its step.
    pub(crate) fn length_range(&self) -> Option<(u32, u32)> {
        let least = u8::try_from(self.lengths.trailing_zeros()).ok()?;
        let most = u8::try_from(self.lengths.checked_ilog2()?).ok()?;
        let shortest = match least.checked_sub(1) {
            Some(step) => symbols::step_length(step) as u32 + 1,
            None => 0,
        };
        Some((shortest, symbols::step_length(most).ceil() as u32))
    }

    /// Writes the columns of a value; the others stay as they are.
    pub(crate) fn write(&self, hasher: SipHasher13, field: &Field<'_>, out: &mut [f32]) {
        let value = field.value;
        let summary = Summary::of(value);
        out[column::MATURITY] = self.maturity.min(CLIP);
        out[column::VARIETY] = self.values.novelty;
        let hash = folded_hash(hasher, value);
        if self.values.is_listed(hash) {
            // What is known as it is departs from nothing, however rare its shape may be among the others.
            return;
        }
        self.write_length(summary.length, out);
        let new = (summary.classes & !self.classes).count_ones();
        out[column::CLASSES] = ((new as f32).ln_1p() * 2.0).min(CLIP);
        out[column::CLASSES_MISSING] = worst_missing(&self.missing, summary.classes);
        let more: u32 = summary
            .marks
            .iter()
            .zip(&self.marks_most)
            .map(|(count, most)| u32::from(count.saturating_sub(*most)))
            .sum();
        out[column::MARK_COUNTS] = ((more as f32).ln_1p() * 3.0).min(CLIP);
        self.write_skeleton(hasher, value, out);
        out[column::VALUE] = self.values.surprise(hash);
        self.bigrams.write(value, out);
        // A shape that is known here, if rare, is no break with the type.
        let new_shape = out[column::SKELETON_RARE] == 0.0 && out[column::SKELETON] > 0.0;
        out[column::KIND] = if new_shape {
            worst_missing(&self.kinds, u64::from(summary.kinds))
        } else {
            0.0
        };
        for (kind, share) in summary.shares.into_iter().enumerate() {
            out[SHARE_COLUMNS[kind]] = self.shares[kind].z(share);
        }
        out[column::LAYERS] = if self.layers >> field.layers.min(7) & 1 == 0 {
            self.maturity.min(CLIP)
        } else {
            0.0
        };
        let marks = mark_bits(field).fold(0, |bits, bit| bits | 1 << bit);
        out[column::MARKS] = if marks & !self.marks == 0 {
            0.0
        } else {
            self.maturity.min(CLIP)
        };
        out[column::TOTAL] = total(out);
    }

    fn write_length(&self, length: usize, out: &mut [f32]) {
        let step = symbols::length_step(length);
        let natural = symbols::step_length(step).ln_1p();
        out[column::LENGTH] = self.length.z(natural);
        if self.lengths == 0 {
            return;
        }
        if self.lengths >> step & 1 == 0 {
            // Between and beside lengths that vary a new one is no news.
            let gap = (self.gap(step) / self.length.deviation).min(1.0);
            out[column::LENGTH_NEW] = self.length_weight * gap;
        }
        let (least, most) = (
            self.lengths.trailing_zeros() as u8,
            127 - self.lengths.leading_zeros() as u8,
        );
        let beyond = (natural - symbols::step_length(most).ln_1p())
            .max(symbols::step_length(least).ln_1p() - natural);
        if beyond > 0.0 {
            // A step beyond a range that hardly ever moves says as much as a leap beyond one that does.
            out[column::LENGTH_BEYOND] = (beyond * 5.0 + self.length_weight / 2.0).min(CLIP);
        }
    }

    /// How far a step is from the nearest one seen, in natural logarithms of the length.
    fn gap(&self, step: u8) -> f32 {
        let below = self.lengths & ((1u128 << step) - 1);
        let above = self.lengths & !((1u128 << step) - 1);
        let natural = |step: u32| symbols::step_length(step as u8).ln_1p();
        let own = natural(u32::from(step));
        let lower = (below != 0).then(|| own - natural(127 - below.leading_zeros()));
        let upper = (above != 0).then(|| natural(above.trailing_zeros()) - own);
        match (lower, upper) {
            (Some(lower), Some(upper)) => lower.min(upper),
            (Some(gap), None) | (None, Some(gap)) => gap,
            (None, None) => 0.0,
        }
    }

    fn write_skeleton(&self, hasher: SipHasher13, value: &[u8], out: &mut [f32]) {
        let (mut new, mut all) = (0u32, 0u32);
        for trigram in symbols::trigrams(value) {
            new += u32::from(!self.trigrams.has(trigram));
            all += 1;
        }
        out[column::TRIGRAMS] = ((new as f32).ln_1p() * 2.0).min(CLIP);
        out[column::TRIGRAM_SHARE] = new as f32 / all.max(1) as f32 * 4.0;
        out[column::PARTS] = self
            .parts
            .z(f32::from(symbols::parts_step(all as usize)) / 4.0);
        let skeleton = skeleton_hash(hasher, value);
        match self.skeletons.keys.binary_search(&skeleton) {
            Ok(at) => out[column::SKELETON_RARE] = self.rarities[at].clamp(0.0, CLIP),
            Err(_) => out[column::SKELETON] = self.skeletons.surprise(skeleton),
        }
    }
}

const SHARE_COLUMNS: [usize; SHARES] = [
    column::SHARE_LETTERS,
    column::SHARE_DIGITS,
    column::SHARE_UPPER,
    column::SHARE_MARKS,
];

/// What nearly every value had.
const ALWAYS: f64 = 0.95;

/// How surprising it is when one of a range of traits is missing: 0 for those that not nearly every value has.
fn always<const N: usize>(entries: &[Entry<u16>], from: u16, total: f64) -> [f32; N] {
    let mut weights = [0.0; N];
    for entry in entries {
        let count = f64::from(entry.count);
        if count >= total * ALWAYS {
            weights[usize::from(entry.key - from)] = surprise((total - count).max(0.0), total);
        }
    }
    weights
}

fn worst_missing(weights: &[f32], present: u64) -> f32 {
    weights
        .iter()
        .enumerate()
        .filter(|(bit, _)| present >> bit & 1 == 0)
        .fold(0.0, |most: f32, (_, weight)| most.max(*weight))
}

/// The columns that are 0 unless something was never seen.
const NEVER_SEEN: [usize; 12] = [
    column::LENGTH_BEYOND,
    column::LENGTH_NEW,
    column::CLASSES,
    column::CLASSES_MISSING,
    column::MARK_COUNTS,
    column::TRIGRAMS,
    column::TRIGRAM_SHARE,
    column::SKELETON,
    column::VALUE,
    column::KIND,
    column::LAYERS,
    column::MARKS,
];

/// The length of the vector of everything never seen: little of much adds up here to something that one column shows.
fn total(out: &[f32]) -> f32 {
    let squares: f32 = NEVER_SEEN
        .iter()
        .map(|column| out[*column] * out[*column])
        .sum();
    (squares.sqrt() / 2.0).min(CLIP)
}

/// The entries of a range of keys.
fn range(table: &Table<u16>, from: u16, keys: u16) -> &[Entry<u16>] {
    let start = table.entries.partition_point(|entry| entry.key < from);
    let end = table
        .entries
        .partition_point(|entry| entry.key < from + keys);
    &table.entries[start..end]
}

fn examples(stats: &KeyStats, quota: usize) -> Vec<(Box<[u8]>, f32)> {
    let mut frequent: Vec<&Entry<u64>> = stats.skeletons.admitted(quota).collect();
    frequent.sort_by_key(|entry| (std::cmp::Reverse(entry.count), entry.key));
    frequent
        .into_iter()
        .take(3)
        .filter_map(|entry| {
            let share = f64::from(entry.count) / (stats.observations as f64).max(1.0);
            Some((stats.texts.get(&entry.key)?.clone(), share as f32))
        })
        .collect()
}
