//! One field into one row of numbers. Not here: what the columns are called (`schema`) and what they mean to a model.
//!
//! Everything is a pure function of location, decoded bytes, layers and marks. Counts go in as `ln(1 + n)`.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by bytes, columns by constants"
)]

mod structure;

use std::cell::RefCell;
use std::sync::LazyLock;

use crate::field::{Field, Marks};
use crate::lexicon::{Family, Lexicon};
use crate::limits::WINDOW;
use crate::schema::{
    FAMILY_FEATURES, LEXICON_AT, PUNCTUATION, PUNCTUATION_AT, STATISTICS_AT, STRUCTURE_AT,
    TOKENS_AT, TRIGRAMS, TRIGRAMS_AT,
};
use crate::skeleton::{BLANK, CONTROL, DIGIT, EDGE, LETTER, OTHER, SYMBOL};
use crate::tokens::{self, Present};

/// The natural logarithm of 1 + n, tabled for the counts that a window can have.
struct Logarithms(Vec<f32>);

static LOGARITHMS: LazyLock<Logarithms> =
    LazyLock::new(|| Logarithms((0..=WINDOW).map(|count| (count as f32).ln_1p()).collect()));

impl Logarithms {
    fn of(&self, count: usize) -> f32 {
        self.0
            .get(count)
            .copied()
            .unwrap_or_else(|| (count as f32).ln_1p())
    }
}

thread_local! {
    /// The folded copy of a value for the lexicon; a buffer, so its content never matters.
    static FOLDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// How often each byte occurs, and which bytes do.
struct Counts {
    of: [u16; 256],
    distinct: [u8; 256],
    len: usize,
}

impl Counts {
    fn of(value: &[u8]) -> Self {
        let mut counts = Self {
            of: [0; 256],
            distinct: [0; 256],
            len: 0,
        };
        for &byte in value {
            counts.add(byte);
        }
        counts
    }

    fn add(&mut self, slot: u8) {
        let count = &mut self.of[usize::from(slot)];
        if *count == 0 {
            self.distinct[self.len] = slot;
            self.len += 1;
        }
        *count = count.saturating_add(1);
    }

    /// The slots that occur, each with its count.
    fn iter(&self) -> impl Iterator<Item = (u8, usize)> {
        self.distinct[..self.len]
            .iter()
            .map(|slot| (*slot, usize::from(self.of[usize::from(*slot)])))
    }
}

/// Writes the row of `field` into `out`, whose length the caller has checked.
pub(crate) fn write(lexicon: &Lexicon, field: &Field<'_>, out: &mut [f32]) {
    let logarithms = &*LOGARITHMS;
    out.fill(0.0);
    out[field.location.index()] = 1.0;
    let counts = Counts::of(field.value);
    statistics(
        field,
        &counts,
        logarithms,
        &mut out[STATISTICS_AT..PUNCTUATION_AT],
    );
    for (column, mark) in PUNCTUATION.iter().enumerate() {
        out[PUNCTUATION_AT + column] = logarithms.of(usize::from(counts.of[usize::from(*mark)]));
    }
    let hits = FOLDED.with_borrow_mut(|folded| lexicon.hits(field.value, folded));
    for family in 0..Family::COUNT {
        let at = LEXICON_AT + family * FAMILY_FEATURES;
        out[at] = logarithms.of(usize::from(hits.words[family]));
        out[at + 1] = logarithms.of(usize::from(hits.marks[family]));
        out[at + 2] = logarithms.of(usize::from(hits.distinct[family]));
    }
    structure::write(field.value, &mut out[STRUCTURE_AT..TOKENS_AT]);
    tokens::write(
        field.value,
        Present::of(counts.iter().map(|(byte, _)| byte)),
        &mut out[TOKENS_AT..TOKENS_AT + tokens::WIDTH],
    );
    trigrams(
        field.value,
        logarithms,
        &mut out[TRIGRAMS_AT..TRIGRAMS_AT + TRIGRAMS],
    );
}

fn statistics(field: &Field<'_>, counts: &Counts, logarithms: &Logarithms, out: &mut [f32]) {
    let length = field.value.len().max(1) as f32;
    let (mut letters, mut digits, mut blanks, mut controls, mut others) = (0, 0, 0, 0, 0);
    let (mut upper, mut vowels, mut distinct) = (0, 0, 0);
    let mut entropy = 0.0;
    for (byte, count) in counts.iter() {
        let share = count as f32 / length;
        entropy -= share * share.log2();
        match SYMBOL[usize::from(byte)] {
            LETTER => letters += count,
            DIGIT => digits += count,
            BLANK => blanks += count,
            CONTROL => controls += count,
            OTHER => others += count,
            _ => distinct += 1,
        }
        upper += if byte.is_ascii_uppercase() { count } else { 0 };
        vowels += if b"aeiouAEIOU".contains(&byte) {
            count
        } else {
            0
        };
    }
    let plain = letters + digits + others;
    let runs = Runs::of(field.value);
    let flag = |marks: Marks| f32::from(u8::from(field.marks.contains(marks)));
    let columns = [
        logarithms.of(field.value.len()),
        f32::from(field.layers),
        f32::from(field.obfuscations),
        letters as f32 / length,
        digits as f32 / length,
        upper as f32 / length,
        blanks as f32 / length,
        others as f32 / length,
        logarithms.of(controls),
        1.0 - plain as f32 / length,
        entropy,
        logarithms.of(distinct),
        logarithms.of(runs.alphanumeric),
        logarithms.of(runs.digits),
        logarithms.of(runs.same),
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
fn trigrams(value: &[u8], logarithms: &Logarithms, out: &mut [f32]) {
    let mut counts = Counts::of(&[]);
    let mut window = None;
    let mut last = EDGE;
    for symbol in value
        .iter()
        .map(|byte| SYMBOL[usize::from(*byte)])
        .chain([EDGE])
    {
        if symbol == last && matches!(symbol, LETTER | DIGIT | BLANK | OTHER) {
            continue;
        }
        if let Some(before) = window {
            counts.add(trigram_slot([before, last, symbol]));
        }
        window = Some(last);
        last = symbol;
    }
    for (slot, count) in counts.iter() {
        out[usize::from(slot)] = logarithms.of(count);
    }
}

/// Fibonacci hashing of three symbols (Knuth, The Art of Computer Programming 3, 6.4) into [`TRIGRAMS`] slots, one for each value of a byte.
fn trigram_slot(symbols: [u8; 3]) -> u8 {
    let [first, second, third] = symbols.map(u32::from);
    let mixed = (first << 16 | second << 8 | third).wrapping_mul(0x9e37_79b1);
    (mixed >> (32 - TRIGRAMS.trailing_zeros())) as u8
}
