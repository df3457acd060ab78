//! What is usual for one parameter, ready for look-ups. Not here: which parameter a field belongs to.
#![expect(
    clippy::indexing_slicing,
    reason = "columns are constants, traits lie in the range that was cut out"
)]

use siphasher::sip::SipHasher13;

use super::bigrams::Bigrams;
use super::columns as column;
use super::hash::{folded_hash, skeleton_hash};
use super::key_stats::{KeyStats, mark_bits, traits};
use super::known::{CLIP, Known, Moments, surprise};
use super::symbols::{self, CLASSES, Kind, MARK_CLASSES, SHARES, Summary};
use super::table::{Entry, QUOTA, Table};
use crate::field::Field;

/// What is usual for one parameter.
#[derive(Clone, Debug)]
pub(crate) struct KeyProfile {
    pub(crate) observations: u64,
    pub(crate) requests: u64,
    /// The steps of the length scale that were seen.
    pub(crate) lengths: u128,
    length: Moments,
    length_weight: f32,
    pub(crate) classes: u64,
    /// How surprising it is when a class of symbol is missing.
    pub(crate) missing: [f32; CLASSES],
    /// The most occurrences of each mark.
    pub(crate) marks_most: [u8; MARK_CLASSES],
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
    pub(crate) layers: u8,
    pub(crate) marks: u8,
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
        write_total(out);
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
        match self.skeletons.position(skeleton) {
            Some(at) => out[column::SKELETON_RARE] = self.rarities[at].clamp(0.0, CLIP),
            None => out[column::SKELETON] = self.skeletons.surprise(skeleton),
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
pub(crate) fn write_total(out: &mut [f32]) {
    let squares: f32 = NEVER_SEEN
        .iter()
        .map(|column| out[*column] * out[*column])
        .sum();
    out[column::TOTAL] = (squares.sqrt() / 2.0).min(CLIP);
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
