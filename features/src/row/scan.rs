//! What one pass over a value's bytes tells: which occur how often, the longest runs, the trigrams of the skeleton.
//!
//! Not here: the columns that these become (`row`). Bytes of a value come in runs of one kind, so whatever depends on kinds is done once for each run.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by bytes"
)]

use crate::schema::TRIGRAMS;
use crate::skeleton::{BLANK, DIGIT, EDGE, LETTER, OTHER, SYMBOL};

/// How often each byte occurs, and which bytes do.
pub(super) struct Counts {
    of: [u16; 256],
    distinct: [u8; 256],
    len: usize,
}

impl Counts {
    fn new() -> Self {
        Self {
            of: [0; 256],
            distinct: [0; 256],
            len: 0,
        }
    }

    #[inline(always)]
    fn add(&mut self, slot: u8) {
        let count = &mut self.of[usize::from(slot)];
        if *count == 0 {
            self.distinct[self.len & 255] = slot;
            self.len += 1;
        }
        *count = count.saturating_add(1);
    }

    /// The slots that occur, in the order of their first occurrence.
    pub(super) fn distinct(&self) -> &[u8] {
        self.distinct.get(..self.len).unwrap_or_default()
    }

    /// These slots, each with its count.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u8, usize)> {
        self.distinct()
            .iter()
            .map(|slot| (*slot, usize::from(self.of[usize::from(*slot)])))
    }
}

/// The longest runs of a value, in bytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Runs {
    pub(super) alphanumeric: usize,
    pub(super) digits: usize,
    pub(super) same: usize,
    /// Bytes in words of 2 to 14 letters that stand between blanks, commas and full stops, as in prose.
    pub(super) prose: usize,
}

/// What a value's bytes tell.
pub(super) struct Scan {
    pub(super) bytes: Counts,
    pub(super) runs: Runs,
    /// Hashed trigrams of the skeleton: repeated letters, digits, blanks and non-ASCII bytes collapse into one symbol.
    pub(super) trigrams: Counts,
    /// White space stands beside white space.
    pub(super) wide_blanks: bool,
}

/// Bytes behind which a word of prose ends, and another begins.
const ENDS: [bool; 256] = {
    let mut table = [false; 256];
    let mut at = 0;
    let ends = *b" ,.\n\r!?";
    while at < ends.len() {
        table[ends[at] as usize] = true;
        at += 1;
    }
    table
};

impl Scan {
    /// Of nothing: so large that it is better read in its place than moved.
    pub(super) fn new() -> Self {
        Self {
            bytes: Counts::new(),
            runs: Runs::default(),
            trigrams: Counts::new(),
            wide_blanks: false,
        }
    }

    /// Reads the value that this is a scan of.
    pub(super) fn read(&mut self, value: &[u8]) {
        let Some((&first, rest)) = value.split_first() else {
            return;
        };
        self.bytes.add(first);
        let mut state = State {
            symbol: SYMBOL[usize::from(first)],
            symbols: u32::from(EDGE) << 8 | u32::from(SYMBOL[usize::from(first)]),
            before_word: true,
            ..State::default()
        };
        let (mut last, mut run, mut same, mut longest) = (first, 1, 1, 1);
        for &byte in rest {
            self.bytes.add(byte);
            same = if byte == last { same + 1 } else { 1 };
            longest = longest.max(same);
            let symbol = SYMBOL[usize::from(byte)];
            if symbol == state.symbol && matches!(symbol, LETTER | DIGIT | BLANK | OTHER) {
                run += 1;
            } else {
                self.end_run(&mut state, run, last, Some((byte, symbol)));
                run = 1;
            }
            last = byte;
        }
        self.end_run(&mut state, run, last, None);
        self.runs.same = longest;
    }

    /// A run of one symbol ends with the byte `last`, and the next begins, if there is one.
    #[inline(always)]
    fn end_run(&mut self, state: &mut State, run: usize, last: u8, next: Option<(u8, u8)>) {
        if state.symbol == LETTER {
            state.word = run;
        } else {
            state.word = 0;
            state.before_word = ENDS[usize::from(last)];
        }
        if matches!(state.symbol, LETTER | DIGIT | OTHER) {
            state.alphanumeric += run;
            self.runs.alphanumeric = self.runs.alphanumeric.max(state.alphanumeric);
        } else {
            state.alphanumeric = 0;
            self.wide_blanks |= run > 1;
        }
        if state.symbol == DIGIT {
            self.runs.digits = self.runs.digits.max(run);
        }
        let ends = next.is_none_or(|(byte, _)| ENDS[usize::from(byte)]);
        if state.before_word && ends && (2..=14).contains(&state.word) {
            self.runs.prose += state.word;
        }
        let symbol = next.map_or(EDGE, |(_, symbol)| symbol);
        state.symbols = state.symbols << 8 | u32::from(symbol);
        self.trigrams.add(trigram_slot(state.symbols & 0x00ff_ffff));
        state.symbol = symbol;
    }
}

/// Where a scan stands.
#[derive(Default)]
struct State {
    /// Of the run that is under way.
    symbol: u8,
    /// It and those before it.
    symbols: u32,
    /// Letters of the word that ended last.
    word: usize,
    /// What stands before a word begins one of prose.
    before_word: bool,
    alphanumeric: usize,
}

/// Fibonacci hashing of three symbols (Knuth, The Art of Computer Programming 3, 6.4) into [`TRIGRAMS`] slots, one for each value of a byte.
fn trigram_slot(symbols: u32) -> u8 {
    let mixed = symbols.wrapping_mul(0x9e37_79b1);
    (mixed >> (32 - TRIGRAMS.trailing_zeros())) as u8
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same byte by byte.
    fn plain(value: &[u8]) -> (Counts, Runs, Counts, bool) {
        let (mut bytes, mut trigrams, mut runs) = (Counts::new(), Counts::new(), Runs::default());
        let (mut alphanumeric, mut digits, mut same, mut word) = (0, 0, 0, 0);
        let (mut last, mut last_symbol, mut window) = (None, EDGE, None);
        let (mut word_is_prose, mut wide_blanks) = (true, false);
        for &byte in value {
            bytes.add(byte);
            let symbol = SYMBOL[usize::from(byte)];
            let is_alphanumeric = matches!(symbol, LETTER | DIGIT | OTHER);
            alphanumeric = if is_alphanumeric { alphanumeric + 1 } else { 0 };
            digits = if symbol == DIGIT { digits + 1 } else { 0 };
            same = if last == Some(byte) { same + 1 } else { 1 };
            wide_blanks |= symbol == BLANK && last_symbol == BLANK;
            last = Some(byte);
            runs.alphanumeric = runs.alphanumeric.max(alphanumeric);
            runs.digits = runs.digits.max(digits);
            runs.same = runs.same.max(same);
            if !(symbol == last_symbol && matches!(symbol, LETTER | DIGIT | BLANK | OTHER)) {
                if let Some(before) = window {
                    trigrams.add(plain_slot([before, last_symbol, symbol]));
                }
                window = Some(last_symbol);
                last_symbol = symbol;
            }
            if symbol == LETTER {
                word += 1;
                continue;
            }
            let ends = b" ,.\n\r!?".contains(&byte);
            if word_is_prose && ends && (2..=14).contains(&word) {
                runs.prose += word;
            }
            word = 0;
            word_is_prose = ends;
        }
        if let Some(before) = window {
            trigrams.add(plain_slot([before, last_symbol, EDGE]));
        }
        if word_is_prose && (2..=14).contains(&word) {
            runs.prose += word;
        }
        (bytes, runs, trigrams, wide_blanks)
    }

    fn plain_slot(symbols: [u8; 3]) -> u8 {
        let [first, second, third] = symbols.map(u32::from);
        ((first << 16 | second << 8 | third).wrapping_mul(0x9e37_79b1) >> 24) as u8
    }

    fn assert_same(value: &[u8]) {
        let mut scan = Scan::new();
        scan.read(value);
        let (bytes, runs, trigrams, wide_blanks) = plain(value);
        let list = |counts: &Counts| counts.iter().collect::<Vec<_>>();
        assert_eq!(list(&scan.bytes), list(&bytes), "{value:?}");
        assert_eq!(list(&scan.trigrams), list(&trigrams), "{value:?}");
        assert_eq!(scan.runs, runs, "{value:?}");
        assert_eq!(scan.wide_blanks, wide_blanks, "{value:?}");
    }

    proptest! {
        #[test]
        fn text_is_scanned_as_byte_by_byte(value in "[ab1 ,.\t\né<;\u{1}]{0,60}") {
            assert_same(value.as_bytes());
        }

        #[test]
        fn bytes_are_scanned_as_byte_by_byte(value in prop::collection::vec(any::<u8>(), 0..600)) {
            assert_same(&value);
        }
    }

    #[test]
    fn every_byte_and_every_pair_is_scanned_as_byte_by_byte() {
        assert_same(b"");
        for first in 0..=255 {
            assert_same(&[first]);
            for second in 0..=255 {
                assert_same(&[first, second]);
            }
        }
        let all: Vec<u8> = (0..=255).collect();
        assert_same(&all);
        assert_same(&b"word ".repeat(20_000));
    }
}
