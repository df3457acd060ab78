//! What is usual at each location, for explanations: lengths, code-like words, skeletons.
//!
//! Must not be here: any raw value. A skeleton keeps punctuation and forgets every letter and digit.

use std::collections::BTreeMap;

use weir_features::Location;

use super::corpus::{Corpus, RowFacts};

/// Skeletons that are shown as examples.
const EXAMPLES: usize = 3;

/// Statistics of one location.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LocationStatistics {
    /// The location.
    pub(super) location: Location,
    /// Fields seen, repetitions in other requests included.
    pub(super) rows: u64,
    /// Distinct rows.
    pub(super) distinct: u64,
    /// Lengths in bytes at 1%, 50% and 99% of the distinct rows.
    pub(super) lengths: [u32; 3],
    /// Share of the distinct rows with a hit of each lexicon family that occurs.
    pub(super) families: BTreeMap<String, f64>,
    /// The most frequent skeletons.
    pub(super) examples: Vec<String>,
}

/// Statistics of all locations that occur.
#[must_use]
pub(super) fn statistics(corpus: &Corpus) -> Vec<LocationStatistics> {
    let of = |location: Location| {
        let numbered = (0..)
            .zip(&corpus.facts)
            .filter(|(_, facts)| facts.location == location);
        let rows: Vec<(&RowFacts, u64)> = numbered
            .map(|(row, facts)| (facts, u64::from(corpus.seen(row))))
            .collect();
        (!rows.is_empty()).then(|| at(location, &rows))
    };
    Location::ALL.into_iter().filter_map(of).collect()
}

fn at(location: Location, rows: &[(&RowFacts, u64)]) -> LocationStatistics {
    let mut lengths: Vec<u32> = rows.iter().map(|(facts, _)| facts.length).collect();
    lengths.sort_unstable();
    let quantile = |per_cent: usize| {
        lengths
            .get((lengths.len() - 1) * per_cent / 100)
            .copied()
            .unwrap_or(0)
    };
    let mut families: BTreeMap<String, u64> = BTreeMap::new();
    let mut skeletons: BTreeMap<&str, u64> = BTreeMap::new();
    for (facts, seen) in rows {
        for family in &facts.families {
            *families.entry((*family).to_owned()).or_default() += 1;
        }
        *skeletons.entry(facts.skeleton.as_str()).or_default() += seen;
    }
    let mut examples: Vec<(&str, u64)> = skeletons
        .into_iter()
        .filter(|(skeleton, _)| !skeleton.is_empty())
        .collect();
    examples.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
    #[expect(clippy::cast_precision_loss, reason = "row counts stay far below 2^52")]
    let share = |count: u64| (count as f64 / rows.len() as f64 * 1e4).round() / 1e4;
    LocationStatistics {
        location,
        rows: rows.iter().map(|(_, seen)| seen).sum(),
        distinct: rows.len() as u64,
        lengths: [quantile(1), quantile(50), quantile(99)],
        families: families
            .into_iter()
            .map(|(family, count)| (family, share(count)))
            .collect(),
        examples: examples
            .into_iter()
            .take(EXAMPLES)
            .map(|(skeleton, _)| skeleton.to_owned())
            .collect(),
    }
}

/// Characters of a skeleton.
const SKELETON: usize = 40;

/// Runs of letters as `a`, of digits as `0`, of white space as one space, of anything beyond ASCII as `?`.
#[must_use]
pub(super) fn skeleton(value: &[u8]) -> String {
    let mut skeleton = String::new();
    let mut last = None;
    for &byte in value {
        let symbol = match byte {
            b'a'..=b'z' | b'A'..=b'Z' => 'a',
            b'0'..=b'9' => '0',
            byte if byte.is_ascii_whitespace() => ' ',
            byte if byte.is_ascii_graphic() => char::from(byte),
            _ => '?',
        };
        let run = matches!(symbol, 'a' | '0' | ' ' | '?');
        if run && last == Some(symbol) {
            continue;
        }
        last = Some(symbol);
        skeleton.push(symbol);
        if skeleton.len() >= SKELETON {
            break;
        }
    }
    skeleton
}

#[cfg(test)]
mod tests {
    use super::skeleton;

    #[test]
    fn a_skeleton_keeps_punctuation_only() {
        assert_eq!(skeleton(b"Bearer abc123==\t\xc3\xa9"), "a a0== ?");
        assert_eq!(skeleton(&[b'-'; 100]).len(), 40);
    }
}
