//! The symbols of skeletons: letters, digits, blanks, control and non-ASCII bytes as one symbol each, punctuation as
//! itself. Not here: what is counted of them.
#![expect(
    clippy::indexing_slicing,
    reason = "a table of 256 entries indexed by bytes"
)]

pub(crate) const LETTER: u8 = b'a';
pub(crate) const DIGIT: u8 = b'0';
pub(crate) const BLANK: u8 = b' ';
pub(crate) const CONTROL: u8 = 1;
pub(crate) const OTHER: u8 = 2;
/// Stands before the first and after the last byte in trigrams.
pub(crate) const EDGE: u8 = 3;

/// The symbol of each byte.
pub(crate) const SYMBOL: [u8; 256] = {
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
