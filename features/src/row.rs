//! One field into one row of numbers. Not here: what the columns are called (`schema`) and what they mean to a model.
//!
//! Everything is a pure function of location, decoded bytes, layers and marks. Counts go in as `ln(1 + n)`.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by bytes, columns by constants"
)]

mod structure;

use std::cell::RefCell;

use crate::field::{Field, Marks};
use crate::lexicon::{Family, Lexicon};
use crate::limits::WINDOW;
use crate::schema::{
    FAMILY_FEATURES, LEXICON_AT, PUNCTUATION, PUNCTUATION_AT, STATISTICS_AT, STRUCTURE_AT,
    TRIGRAMS, TRIGRAMS_AT,
};

/// Skeleton symbols: every letter, digit, blank, control and non-ASCII byte as one symbol, punctuation as itself.
const LETTER: u8 = b'a';
const DIGIT: u8 = b'0';
const BLANK: u8 = b' ';
const CONTROL: u8 = 1;
const OTHER: u8 = 2;
/// Stands before the first and after the last byte in trigrams.
const EDGE: u8 = 3;

const SYMBOL: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let value = byte as u8;
        table[byte] = match value {
            b'a'..=b'z' | b'A'..=b'Z' => LETTER,
            b'0'..=b'9' => DIGIT,
            b' ' | 9..=13 => BLANK,
            0..=31 | 127 => CONTROL,
            128..=255 => OTHER,
            punctuation => punctuation,
        };
        byte += 1;
    }
    table
};

/// The natural logarithm of 1 + n for the counts that a window can have.
fn log_count(count: usize) -> f32 {
    static TABLE: std::sync::LazyLock<Vec<f32>> =
        std::sync::LazyLock::new(|| (0..=WINDOW).map(|count| (count as f32).ln_1p()).collect());
    TABLE
        .get(count)
        .copied()
        .unwrap_or_else(|| (count as f32).ln_1p())
}

thread_local! {
    /// The folded copy of a value for the lexicon; a buffer, so its content never matters.
    static FOLDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes the row of `field` into `out`, whose length the caller has checked.
pub(crate) fn write(lexicon: &Lexicon, field: &Field<'_>, out: &mut [f32]) {
    out.fill(0.0);
    out[field.location.index()] = 1.0;
    let mut counts = [0u16; 256];
    for &byte in field.value {
        counts[usize::from(byte)] = counts[usize::from(byte)].saturating_add(1);
    }
    statistics(field, &counts, &mut out[STATISTICS_AT..PUNCTUATION_AT]);
    for (column, mark) in PUNCTUATION.iter().enumerate() {
        out[PUNCTUATION_AT + column] = log_count(usize::from(counts[usize::from(*mark)]));
    }
    let hits = FOLDED.with_borrow_mut(|folded| lexicon.hits(field.value, folded));
    for family in 0..Family::COUNT {
        let at = LEXICON_AT + family * FAMILY_FEATURES;
        out[at] = log_count(usize::from(hits.words[family]));
        out[at + 1] = log_count(usize::from(hits.marks[family]));
        out[at + 2] = log_count(usize::from(hits.distinct[family]));
    }
    structure::write(field.value, &mut out[STRUCTURE_AT..TRIGRAMS_AT]);
    trigrams(field.value, &mut out[TRIGRAMS_AT..TRIGRAMS_AT + TRIGRAMS]);
}

fn statistics(field: &Field<'_>, counts: &[u16; 256], out: &mut [f32]) {
    let length = field.value.len().max(1) as f32;
    let sum = |symbol: u8| -> usize {
        counts
            .iter()
            .zip(SYMBOL)
            .filter(|(_, other)| *other == symbol)
            .map(|(count, _)| usize::from(*count))
            .sum()
    };
    let (letters, digits, blanks) = (sum(LETTER), sum(DIGIT), sum(BLANK));
    let (controls, others) = (sum(CONTROL), sum(OTHER));
    let plain = letters + digits + others;
    let upper: usize = counts[usize::from(b'A')..=usize::from(b'Z')]
        .iter()
        .map(|count| usize::from(*count))
        .sum();
    let vowels: usize = b"aeiouAEIOU"
        .iter()
        .map(|vowel| usize::from(counts[usize::from(*vowel)]))
        .sum();
    let distinct = counts
        .iter()
        .zip(SYMBOL)
        .filter(|(count, symbol)| {
            **count > 0 && !matches!(*symbol, LETTER | DIGIT | OTHER | BLANK | CONTROL)
        })
        .count();
    let entropy: f32 = counts
        .iter()
        .filter(|count| **count > 0)
        .map(|count| f32::from(*count) / length)
        .map(|share| -share * share.log2())
        .sum();
    let runs = Runs::of(field.value);
    let flag = |marks: Marks| f32::from(u8::from(field.marks.contains(marks)));
    let columns = [
        log_count(field.value.len()),
        f32::from(field.layers),
        f32::from(field.obfuscations),
        letters as f32 / length,
        digits as f32 / length,
        upper as f32 / length,
        blanks as f32 / length,
        others as f32 / length,
        log_count(controls),
        1.0 - plain as f32 / length,
        entropy,
        log_count(distinct),
        log_count(runs.alphanumeric),
        log_count(runs.digits),
        log_count(runs.same),
        vowels as f32 / letters.max(1) as f32,
        runs.prose as f32 / length,
        flag(Marks::WINDOW),
        flag(Marks::OVERFLOW),
        flag(Marks::BINARY),
        flag(Marks::LAYER_LIMIT),
        flag(Marks::NESTED),
    ];
    out.copy_from_slice(&columns);
}

/// The longest runs of a value, in bytes.
#[derive(Default)]
struct Runs {
    alphanumeric: usize,
    digits: usize,
    same: usize,
    /// Bytes in words of 2 to 14 letters that stand between blanks, commas and full stops, as in prose.
    prose: usize,
}

impl Runs {
    fn of(value: &[u8]) -> Self {
        let mut longest = Self::default();
        let (mut alphanumeric, mut digits, mut same, mut word) = (0, 0, 0, 0);
        let mut last = None;
        let mut word_is_prose = true;
        for &byte in value {
            let symbol = SYMBOL[usize::from(byte)];
            alphanumeric = if matches!(symbol, LETTER | DIGIT | OTHER) {
                alphanumeric + 1
            } else {
                0
            };
            digits = if symbol == DIGIT { digits + 1 } else { 0 };
            same = if last == Some(byte) { same + 1 } else { 1 };
            last = Some(byte);
            longest.alphanumeric = longest.alphanumeric.max(alphanumeric);
            longest.digits = longest.digits.max(digits);
            longest.same = longest.same.max(same);
            if symbol == LETTER {
                word += 1;
                continue;
            }
            let ends = matches!(byte, b' ' | b',' | b'.' | b'\n' | b'\r' | b'!' | b'?');
            longest.prose += if word_is_prose && ends && (2..=14).contains(&word) {
                word
            } else {
                0
            };
            word = 0;
            word_is_prose = ends;
        }
        longest.prose += if word_is_prose && (2..=14).contains(&word) {
            word
        } else {
            0
        };
        longest
    }
}

/// Hashed trigrams of the skeleton: repeated letters, digits, blanks and non-ASCII bytes collapse into one symbol.
fn trigrams(value: &[u8], out: &mut [f32]) {
    let mut counts = [0u16; TRIGRAMS];
    let mut window = [EDGE, EDGE];
    let mut filled = 1;
    let mut add = |symbol: u8| {
        if filled >= 2 {
            let slot = trigram_slot([window[0], window[1], symbol]);
            counts[slot] = counts[slot].saturating_add(1);
        }
        window = [window[1], symbol];
        filled += 1;
    };
    let mut last = EDGE;
    for &byte in value {
        let symbol = SYMBOL[usize::from(byte)];
        if symbol == last && matches!(symbol, LETTER | DIGIT | BLANK | OTHER) {
            continue;
        }
        last = symbol;
        add(symbol);
    }
    add(EDGE);
    for (column, count) in out.iter_mut().zip(counts) {
        *column = log_count(usize::from(count));
    }
}

/// Fibonacci hashing of three symbols (Knuth, The Art of Computer Programming 3, 6.4) into [`TRIGRAMS`] slots.
fn trigram_slot(symbols: [u8; 3]) -> usize {
    let [first, second, third] = symbols.map(u32::from);
    let mixed = (first << 16 | second << 8 | third).wrapping_mul(0x9e37_79b1);
    (mixed >> (32 - TRIGRAMS.trailing_zeros())) as usize
}
