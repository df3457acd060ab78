//! One field into one row of numbers. Not here: what the columns are called (`schema`) and what they mean to a model.
//!
//! Everything is a pure function of location, decoded bytes, layers and marks. Counts go in as `ln(1 + n)`.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by bytes, columns by constants"
)]

mod scan;
mod structure;

use std::cell::RefCell;
use std::sync::LazyLock;

use crate::field::{Field, Marks};
use crate::lexicon::{FOLDED_BYTES, Family, Hits, Lexicon};
use crate::limits::WINDOW;
use crate::schema::{
    FAMILY_FEATURES, LEXICON_AT, PUNCTUATION, PUNCTUATION_AT, STATISTICS_AT, STRUCTURE_AT,
    TOKENS_AT, TRIGRAMS, TRIGRAMS_AT,
};
use crate::skeleton::{BLANK, CONTROL, DIGIT, LETTER, OTHER, SYMBOL};
use crate::tokens::{self, Present};
use scan::Scan;

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

/// What bytes add to the entropy, tabled for short values and bytes that are not in all places of them.
struct Entropies(Vec<[f32; FEW]>);

static ENTROPIES: LazyLock<Entropies> = LazyLock::new(|| {
    let of = |length| std::array::from_fn(|count| entropy(count, length));
    Entropies((0..=SHORT).map(of).collect())
});

/// The longest value whose entropies are tabled.
const SHORT: usize = 160;
/// Entropies are tabled for fewer occurrences than this.
const FEW: usize = 24;

impl Entropies {
    /// Of a byte that stands so often in a value of this length.
    fn of(&self, count: usize, length: usize) -> f32 {
        match self.0.get(length).and_then(|table| table.get(count)) {
            Some(entropy) => *entropy,
            None => entropy(count, length),
        }
    }
}

fn entropy(count: usize, length: usize) -> f32 {
    let share = count as f32 / length as f32;
    share * share.log2()
}

thread_local! {
    /// The folded copy of a value for the lexicon; a buffer, so its content never matters.
    static FOLDED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Writes the row of `field` into `out`, whose length the caller has checked.
pub(crate) fn write(lexicon: &Lexicon, field: &Field<'_>, out: &mut [f32]) {
    let logarithms = &*LOGARITHMS;
    out.fill(0.0);
    out[field.location.index()] = 1.0;
    let mut scan = Scan::new();
    scan.read(field.value);
    let present = Present::of(scan.bytes.distinct().iter().copied());
    statistics(field, &scan, logarithms, out);
    // Folding changes something only where one of these stands.
    let folds = scan.wide_blanks || present.any(FOLDED_BYTES);
    let hits = FOLDED.with_borrow_mut(|folded| lexicon.hits_in(field.value, folds, folded));
    if hits != Hits::default() {
        for family in 0..Family::COUNT {
            let at = LEXICON_AT + family * FAMILY_FEATURES;
            out[at] = logarithms.of(usize::from(hits.words[family]));
            out[at + 1] = logarithms.of(usize::from(hits.marks[family]));
            out[at + 2] = logarithms.of(usize::from(hits.distinct[family]));
        }
    }
    structure::write(field.value, present, &mut out[STRUCTURE_AT..TOKENS_AT]);
    tokens::write(
        field.value,
        present,
        &mut out[TOKENS_AT..TOKENS_AT + tokens::WIDTH],
    );
    let trigrams = &mut out[TRIGRAMS_AT..TRIGRAMS_AT + TRIGRAMS];
    for (slot, count) in scan.trigrams.iter() {
        trigrams[usize::from(slot)] = logarithms.of(count);
    }
}

/// What the statistics ask of a byte.
#[derive(Clone, Copy)]
struct Kind {
    symbol: u8,
    upper: bool,
    vowel: bool,
    /// The column of its count, 0 for none.
    column: u8,
}

const KINDS: [Kind; 256] = {
    let mut table = [Kind {
        symbol: 0,
        upper: false,
        vowel: false,
        column: 0,
    }; 256];
    let mut byte = 0;
    while byte < 256 {
        let letter = (byte as u8).to_ascii_lowercase();
        table[byte].symbol = SYMBOL[byte];
        table[byte].upper = (byte as u8).is_ascii_uppercase();
        table[byte].vowel = matches!(letter, b'a' | b'e' | b'i' | b'o' | b'u');
        byte += 1;
    }
    let mut mark = 0;
    while mark < PUNCTUATION.len() {
        table[PUNCTUATION[mark] as usize].column = (PUNCTUATION_AT + mark) as u8;
        mark += 1;
    }
    table
};

/// Writes statistics and the counts of single marks.
fn statistics(field: &Field<'_>, scan: &Scan, logarithms: &Logarithms, out: &mut [f32]) {
    let length = field.value.len().max(1) as f32;
    let (mut letters, mut digits, mut blanks, mut controls, mut others) = (0, 0, 0, 0, 0);
    let (mut upper, mut vowels, mut distinct) = (0, 0, 0);
    let mut entropy = 0.0;
    for (byte, count) in scan.bytes.iter() {
        entropy -= ENTROPIES.of(count, field.value.len());
        let kind = KINDS[usize::from(byte)];
        match kind.symbol {
            LETTER => letters += count,
            DIGIT => digits += count,
            BLANK => blanks += count,
            CONTROL => controls += count,
            OTHER => others += count,
            _ => distinct += 1,
        }
        upper += if kind.upper { count } else { 0 };
        vowels += if kind.vowel { count } else { 0 };
        if kind.column > 0 {
            out[usize::from(kind.column)] = logarithms.of(count);
        }
    }
    let plain = letters + digits + others;
    let runs = &scan.runs;
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
    out[STATISTICS_AT..PUNCTUATION_AT].copy_from_slice(&columns);
}
