//! What one parameter's values looked like, as bounded tables. Not here: what follows from it (`frozen`).

use std::collections::BTreeMap;

use siphasher::sip::SipHasher13;

use super::hash::{folded_hash, skeleton_hash};
use super::request_parts::is_parameter;
use super::symbols::{self, Summary};
use super::table::{Sources, Table};
use crate::field::{Field, Marks};

/// Distinct values kept for a parameter.
pub(crate) const MAX_VALUES: usize = 512;
/// Distinct skeletons kept for a parameter.
pub(crate) const MAX_SKELETONS: usize = 128;
/// Distinct skeleton trigrams kept for a parameter.
pub(crate) const MAX_TRIGRAMS: usize = 512;
/// Bytes of a skeleton that are kept for explanations.
pub(crate) const MAX_TEXT: usize = 40;

/// Small numbers that describe a value, one range of keys for each kind.
pub(crate) mod traits {
    use crate::profile::symbols::{ALPHABET, LENGTH_STEPS};

    /// Steps of the length.
    pub(crate) const LENGTH: u16 = 0;
    /// Symbol classes that occur.
    pub(crate) const CLASS: u16 = 128;
    /// Kinds that the value is.
    pub(crate) const KIND: u16 = 192;
    /// Shares of letters, digits, upper case and marks: 16 keys each.
    pub(crate) const SHARE: u16 = 256;
    /// Steps of the skeleton's length.
    pub(crate) const PARTS: u16 = 336;
    /// Layers of encoding.
    pub(crate) const LAYERS: u16 = 384;
    /// Obfuscated encodings, and one key for each mark.
    pub(crate) const MARKS: u16 = 392;
    /// Occurrences of each mark: 8 keys each, for 1 to 8.
    pub(crate) const MARK_COUNT: u16 = 512;
    /// Bigrams.
    pub(crate) const BIGRAM: u16 = 4096;
    /// No key is this large, so no table of traits is ever cut.
    pub(crate) const END: usize = BIGRAM as usize + ALPHABET * ALPHABET;

    const _: () = assert!(LENGTH_STEPS as u16 <= CLASS);
}

/// One value, described.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) value: u64,
    pub(crate) skeleton: u64,
    pub(crate) text: Vec<u8>,
    pub(crate) is_parameter: bool,
    pub(crate) traits: Vec<(u16, u32)>,
    pub(crate) trigrams: Vec<(u32, u32)>,
}

impl Seen {
    pub(crate) fn of(hasher: SipHasher13, field: &Field<'_>) -> Self {
        let value = field.value;
        let summary = Summary::of(value);
        let mut keys: Vec<u16> = symbols::bigrams(value)
            .map(|bigram| traits::BIGRAM + bigram)
            .collect();
        keys.push(traits::LENGTH + u16::from(symbols::length_step(summary.length)));
        keys.extend(bits(summary.classes, traits::CLASS));
        keys.extend(bits(u64::from(summary.kinds), traits::KIND));
        for (kind, share) in summary.shares.into_iter().enumerate() {
            keys.push(traits::SHARE + 16 * kind as u16 + u16::from(symbols::share_step(share)));
        }
        let parts = symbols::skeleton(value).count();
        keys.push(traits::PARTS + u16::from(symbols::parts_step(parts)));
        for (mark, count) in (0u16..).zip(summary.marks) {
            keys.extend(
                count
                    .checked_sub(1)
                    .map(|steps| traits::MARK_COUNT + 8 * mark + u16::from(steps)),
            );
        }
        keys.push(traits::LAYERS + u16::from(field.layers.min(7)));
        keys.extend(mark_bits(field).map(|bit| traits::MARKS + bit));
        Self {
            value: folded_hash(hasher, value),
            skeleton: skeleton_hash(hasher, value),
            text: symbols::skeleton(value).take(MAX_TEXT).collect(),
            is_parameter: is_parameter(field),
            traits: counted(keys),
            trigrams: counted(symbols::trigrams(value).collect()),
        }
    }
}

/// What happened to a field, as small numbers from 0.
pub(crate) fn mark_bits(field: &Field<'_>) -> impl Iterator<Item = u16> {
    let holds = [
        field.obfuscations > 0,
        field.marks.contains(Marks::WINDOW),
        field.marks.contains(Marks::OVERFLOW),
        field.marks.contains(Marks::BINARY),
        field.marks.contains(Marks::LAYER_LIMIT),
        field.marks.contains(Marks::NESTED),
    ];
    (0u16..)
        .zip(holds)
        .filter_map(|(bit, holds)| holds.then_some(bit))
}

pub(crate) fn bits(bits: u64, from: u16) -> impl Iterator<Item = u16> {
    (0u16..64)
        .filter(move |bit| bits >> bit & 1 == 1)
        .map(move |bit| from + bit)
}

/// Sorted keys, each with how often it stands there.
fn counted<K: Copy + Ord>(mut keys: Vec<K>) -> Vec<(K, u32)> {
    keys.sort_unstable();
    let mut counts: Vec<(K, u32)> = Vec::new();
    for key in keys {
        match counts.last_mut() {
            Some((last, count)) if *last == key => *count += 1,
            _ => counts.push((key, 1)),
        }
    }
    counts
}

/// What one parameter's values looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyStats {
    /// Values seen.
    pub(crate) observations: u64,
    /// Requests that had at least one.
    pub(crate) requests: u64,
    /// Whether it is a parameter of the request itself, which an endpoint may miss.
    pub(crate) is_parameter: bool,
    pub(crate) sources: Sources,
    pub(crate) values: Table<u64>,
    pub(crate) skeletons: Table<u64>,
    /// The beginnings of the skeletons in the table: no letter, no digit, so nothing of the value.
    pub(crate) texts: BTreeMap<u64, Box<[u8]>>,
    pub(crate) trigrams: Table<u32>,
    pub(crate) traits: Table<u16>,
}

impl Default for KeyStats {
    fn default() -> Self {
        Self {
            observations: 0,
            requests: 0,
            is_parameter: false,
            sources: Sources::None,
            values: Table::default(),
            skeletons: Table::default(),
            texts: BTreeMap::new(),
            trigrams: Table::default(),
            traits: Table::default(),
        }
    }
}

impl KeyStats {
    pub(crate) fn observe(&mut self, seen: &Seen, source: u32, first_in_request: bool) {
        self.observations = self.observations.saturating_add(1);
        self.requests = self.requests.saturating_add(u64::from(first_in_request));
        self.is_parameter |= seen.is_parameter;
        self.sources.add(source);
        self.values.add(seen.value, 1, source, MAX_VALUES);
        self.skeletons.add(seen.skeleton, 1, source, MAX_SKELETONS);
        if self.skeletons.find(seen.skeleton).is_some() {
            self.texts
                .entry(seen.skeleton)
                .or_insert_with(|| seen.text.as_slice().into());
            self.trim_texts();
        }
        for &(trigram, count) in &seen.trigrams {
            self.trigrams.add(trigram, count, source, MAX_TRIGRAMS);
        }
        for &(key, count) in &seen.traits {
            self.traits.add(key, count, source, traits::END);
        }
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.observations = self.observations.saturating_add(other.observations);
        self.requests = self.requests.saturating_add(other.requests);
        self.is_parameter |= other.is_parameter;
        self.sources.merge(other.sources);
        self.values.merge(&other.values, MAX_VALUES);
        self.skeletons.merge(&other.skeletons, MAX_SKELETONS);
        for (key, text) in &other.texts {
            self.texts.entry(*key).or_insert_with(|| text.clone());
        }
        self.trim_texts();
        self.trigrams.merge(&other.trigrams, MAX_TRIGRAMS);
        self.traits.merge(&other.traits, traits::END);
    }

    /// Texts stand beside the skeletons' table: the same smallest keys.
    fn trim_texts(&mut self) {
        while self.texts.len() > MAX_SKELETONS {
            self.texts.pop_last();
        }
    }
}
