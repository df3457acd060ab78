//! What a value looks like: symbols, skeleton, bigrams, types. Not here: what is usual, or any memory of values.
#![expect(
    clippy::indexing_slicing,
    reason = "tables of 256 entries indexed by bytes"
)]

use crate::skeleton::{BLANK, DIGIT, EDGE as SKELETON_EDGE, LETTER, OTHER, SYMBOL};

/// Symbols of letter bigrams: 0 is the edge, then letters, digits, blank, everything that is not ASCII text, marks.
pub(crate) const ALPHABET: usize = 64;
const EDGE: u8 = 0;

/// The marks that have a bigram symbol of their own; similar ones share one.
const MARKS: [&[u8]; 24] = [
    b"\"", b"#", b"$", b"%", b"&", b"'", b"([{", b")]}", b"*", b"+", b",", b"-", b".", b"/", b":",
    b";", b"<", b"=", b">", b"!?", b"@", b"\\", b"^_`~", b"|",
];

const BIGRAM_SYMBOL: [u8; 256] = {
    let mut table = [38; 256];
    let mut letter = 0;
    while letter < 26 {
        table[(b'a' + letter) as usize] = 1 + letter;
        table[(b'A' + letter) as usize] = 1 + letter;
        letter += 1;
    }
    let mut digit = 0;
    while digit < 10 {
        table[(b'0' + digit) as usize] = 27 + digit;
        digit += 1;
    }
    table[b' ' as usize] = 37;
    table[b'\t' as usize] = 37;
    let mut mark = 0;
    while mark < MARKS.len() {
        let mut at = 0;
        while at < MARKS[mark].len() {
            table[MARKS[mark][at] as usize] = 39 + mark as u8;
            at += 1;
        }
        mark += 1;
    }
    table
};

/// Symbol classes: lower and upper case, digits, blanks, line breaks, control, non-ASCII, and each mark by itself.
pub(crate) const CLASSES: usize = FIRST_MARK + MARK_CLASSES;
const FIRST_MARK: usize = 7;
/// The marks of ASCII.
pub(crate) const MARK_CLASSES: usize = 32;
/// Occurrences of a mark beyond this many are not told apart.
pub(crate) const MOST_COUNTED: u8 = 8;

const CLASS: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    let mut mark = FIRST_MARK as u8;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'a'..=b'z' => 0,
            b'A'..=b'Z' => 1,
            b'0'..=b'9' => 2,
            b' ' | b'\t' => 3,
            b'\n' | b'\r' => 4,
            0..=31 | 127 => 5,
            128..=255 => 6,
            _ => {
                mark += 1;
                mark - 1
            }
        };
        byte += 1;
    }
    table
};

/// The class of a byte.
pub(crate) fn class(byte: u8) -> u8 {
    CLASS[usize::from(byte)]
}

/// The marks, in the order of their classes.
pub(crate) fn marks() -> impl Iterator<Item = char> {
    (b'!'..=b'~')
        .filter(u8::is_ascii_punctuation)
        .map(char::from)
}

/// The skeleton's symbols: letters, digits, blanks and non-ASCII bytes each collapse into one.
pub(crate) fn skeleton(value: &[u8]) -> impl Iterator<Item = u8> {
    let mut last = SKELETON_EDGE;
    value.iter().filter_map(move |byte| {
        let symbol = SYMBOL[usize::from(*byte)];
        let repeated = symbol == last && matches!(symbol, LETTER | DIGIT | BLANK | OTHER);
        last = symbol;
        (!repeated).then_some(symbol)
    })
}

/// The skeleton's trigrams with an edge on both sides, scrambled so that the smallest are a fair sample: an odd
/// multiplier permutes the 32-bit numbers.
pub(crate) fn trigrams(value: &[u8]) -> impl Iterator<Item = u32> {
    let mut window = u32::from(SKELETON_EDGE);
    let mut held = 1;
    skeleton(value)
        .chain([SKELETON_EDGE])
        .filter_map(move |symbol| {
            window = (window << 8 | u32::from(symbol)) & 0xff_ffff;
            held += 1;
            (held >= 3).then(|| window.wrapping_mul(0x9e37_79b1))
        })
}

/// The bigrams of the value without case, with an edge on both sides, as `first * 64 + second`.
pub(crate) fn bigrams(value: &[u8]) -> impl Iterator<Item = u16> {
    let mut last = EDGE;
    value
        .iter()
        .map(|byte| BIGRAM_SYMBOL[usize::from(*byte)])
        .chain([EDGE])
        .map(move |symbol| {
            let bigram = u16::from(last) * ALPHABET as u16 + u16::from(symbol);
            last = symbol;
            bigram
        })
}

/// The step of the length scale that holds `length`: exact to 32, then eight to an octave.
pub(crate) fn length_step(length: usize) -> u8 {
    if length <= 32 {
        return length as u8;
    }
    let octaves = (length as f32 / 32.0).log2();
    (32.0 + (octaves * 8.0).ceil()).min(f32::from(LENGTH_STEPS - 1)) as u8
}

/// Steps of the length scale: enough for 32 KiB.
pub(crate) const LENGTH_STEPS: u8 = 113;

/// The longest length in a step.
pub(crate) fn step_length(step: u8) -> f32 {
    if step <= 32 {
        f32::from(step)
    } else {
        32.0 * ((f32::from(step) - 32.0) / 8.0).exp2()
    }
}

/// Kinds of share, in eighths of the value.
pub(crate) const SHARES: usize = 4;
/// Steps of the scale of skeleton lengths.
pub(crate) const PARTS_STEPS: u8 = 32;

/// What one pass over a value tells.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Summary {
    pub(crate) length: usize,
    /// Which symbol classes occur, as bits.
    pub(crate) classes: u64,
    /// How often each mark stands there, up to [`MOST_COUNTED`].
    pub(crate) marks: [u8; MARK_CLASSES],
    /// Letters, digits, upper case and marks, as shares of the length.
    pub(crate) shares: [f32; SHARES],
    /// Which [`Kind`]s the value is, as bits.
    pub(crate) kinds: u16,
}

impl Summary {
    pub(crate) fn of(value: &[u8]) -> Self {
        let mut counts = [0u16; CLASSES];
        let mut classes = 0;
        for byte in value {
            let class = CLASS[usize::from(*byte)];
            classes |= 1u64 << class;
            let count = &mut counts[usize::from(class)];
            *count = count.saturating_add(1);
        }
        let length = value.len().max(1) as f32;
        let share = |count: u16| f32::from(count) / length;
        let marks: u16 = counts[FIRST_MARK..].iter().sum();
        Self {
            length: value.len(),
            classes,
            marks: match marks {
                0 => [0; MARK_CLASSES],
                _ => std::array::from_fn(|mark| {
                    counts[FIRST_MARK + mark].min(u16::from(MOST_COUNTED)) as u8
                }),
            },
            shares: [
                share(counts[0] + counts[1]),
                share(counts[2]),
                share(counts[1]),
                share(marks),
            ],
            kinds: kinds(value, classes),
        }
    }
}

/// The step of a share: eighths.
pub(crate) fn share_step(share: f32) -> u8 {
    (share * 8.0).round().clamp(0.0, 8.0) as u8
}

/// The step of a count of skeleton symbols: four to a factor of e.
pub(crate) fn parts_step(parts: usize) -> u8 {
    ((parts as f32).ln_1p() * 4.0)
        .round()
        .min(f32::from(PARTS_STEPS - 1)) as u8
}

/// What a value can be. Several may hold at once: `7` is an integer, a number and an identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Boolean,
    Integer,
    Number,
    Uuid,
    Hex,
    Date,
    Email,
    Url,
    Path,
    Word,
    Identifier,
    PlainText,
}

impl Kind {
    /// From the most special to the most general.
    pub(crate) const ALL: [Self; 12] = [
        Self::Boolean,
        Self::Integer,
        Self::Number,
        Self::Uuid,
        Self::Hex,
        Self::Date,
        Self::Email,
        Self::Url,
        Self::Path,
        Self::Word,
        Self::Identifier,
        Self::PlainText,
    ];

    pub(crate) const fn bit(self) -> u16 {
        1 << self as u16
    }

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Boolean => "yes or no",
            Self::Integer => "integer",
            Self::Number => "number",
            Self::Uuid => "UUID",
            Self::Hex => "hexadecimal code",
            Self::Date => "date or time",
            Self::Email => "e-mail address",
            Self::Url => "URL",
            Self::Path => "path",
            Self::Word => "word",
            Self::Identifier => "identifier",
            Self::PlainText => "text without punctuation",
        }
    }
}

const LOWER: u64 = 1;
const UPPER: u64 = 2;
const DIGITS: u64 = 4;
const BLANKS: u64 = 8;
const NON_ASCII: u64 = 64;

/// Bits of [`Kind`]s, from which classes of symbols occur first and from their order only where it matters.
fn kinds(value: &[u8], classes: u64) -> u16 {
    let mut bits = 0;
    let mut is = |kind: Kind, holds: bool| bits |= if holds { kind.bit() } else { 0 };
    let only = |allowed: u64| classes & !allowed == 0;
    let class = |mark: u8| 1u64 << CLASS[usize::from(mark)];
    let letters = LOWER | UPPER | NON_ASCII;
    is(Kind::Word, only(letters));
    is(Kind::PlainText, only(letters | DIGITS | BLANKS));
    is(
        Kind::Identifier,
        only(LOWER | UPPER | DIGITS | class(b'_') | class(b'-') | class(b'.')),
    );
    let unsigned = value.strip_prefix(b"-").unwrap_or(value);
    let minus = class(b'-');
    // What is looked at byte by byte is so only where no other class occurs.
    let integer =
        only(DIGITS | minus) && !unsigned.is_empty() && unsigned.iter().all(u8::is_ascii_digit);
    is(Kind::Integer, integer);
    let decimal = DIGITS | minus | class(b'.') | class(b',');
    is(
        Kind::Number,
        integer || only(decimal) && is_number(unsigned),
    );
    is(
        Kind::Boolean,
        value.len() <= 5
            && matches!(
                value.first(),
                Some(
                    b'0' | b'1'
                        | b't'
                        | b'T'
                        | b'f'
                        | b'F'
                        | b'y'
                        | b'Y'
                        | b'n'
                        | b'N'
                        | b'o'
                        | b'O'
                )
            )
            && [
                &b"0"[..],
                b"1",
                b"true",
                b"false",
                b"yes",
                b"no",
                b"on",
                b"off",
            ]
            .iter()
            .any(|word| value.eq_ignore_ascii_case(word)),
    );
    let hex = only(LOWER | UPPER | DIGITS | minus)
        && value
            .iter()
            .all(|byte| byte.is_ascii_hexdigit() || *byte == b'-');
    is(Kind::Uuid, hex && is_uuid(value));
    is(Kind::Hex, hex && value.len() >= 8 && classes & minus == 0);
    let marks = minus | class(b'/') | class(b':') | class(b'.') | class(b'+');
    is(
        Kind::Date,
        only(DIGITS | UPPER | BLANKS | marks) && is_date(value),
    );
    is(Kind::Email, classes & class(b'@') != 0 && is_email(value));
    let url = value.starts_with(b"http://") || value.starts_with(b"https://");
    let plain = classes & (BLANKS | class(b'<') | class(b'"') | class(b'\'')) == 0;
    is(Kind::Url, url && plain);
    is(Kind::Path, value.first() == Some(&b'/') && plain);
    bits
}

/// Digits with one decimal point or comma.
fn is_number(unsigned: &[u8]) -> bool {
    let separators = unsigned
        .iter()
        .filter(|byte| matches!(byte, b'.' | b','))
        .count();
    separators == 1
        && unsigned.first().is_some_and(u8::is_ascii_digit)
        && unsigned.last().is_some_and(u8::is_ascii_digit)
        && unsigned
            .iter()
            .all(|byte| byte.is_ascii_digit() || matches!(byte, b'.' | b','))
}

/// 8-4-4-4-12 hexadecimal digits; the caller has looked at the alphabet.
pub(crate) fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36 && [8, 13, 18, 23].into_iter().all(|at| value[at] == b'-')
}

/// Starts and is mostly digits, with at least two of the marks of dates and times and at most one `T` and `Z`.
pub(crate) fn is_date(value: &[u8]) -> bool {
    let (mut marks, mut letters, mut digits) = (0, 0, 0);
    for byte in value {
        match byte {
            b'0'..=b'9' => digits += 1,
            b'-' | b'/' | b':' | b'.' => marks += 1,
            b'T' | b'Z' | b' ' | b'+' => letters += 1,
            _ => return false,
        }
    }
    value.first().is_some_and(u8::is_ascii_digit)
        && digits >= 4
        && (2..=7).contains(&marks)
        && letters <= 3
}

/// Text, one `@`, and a host with a dot.
fn is_email(value: &[u8]) -> bool {
    let Some(at) = memchr::memchr(b'@', value) else {
        return false;
    };
    let (name, host) = (&value[..at], &value[at + 1..]);
    let word =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'+');
    !name.is_empty() && name.iter().all(word) && host.contains(&b'.') && host.iter().all(word)
}

#[cfg(test)]
mod tests;
