//! Text inside base64 and hexadecimal: whole values, and runs of it within longer ones. Not here: JSON Web Tokens.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::binary::is_mostly_printable;
use crate::charset;
use crate::decode::hex;
use crate::lent::Lent;

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

/// Shorter texts over the base64 alphabet are words and numbers.
pub(crate) const SHORTEST_BASE64: usize = 12;
/// Shorter runs inside a value are words, and so are most longer ones: their first bytes decide.
const SHORTEST_RUN: usize = 16;
/// Shorter hexadecimal is a number or a colour.
const SHORTEST_HEX: usize = 16;
/// Up to this many decimal digits are a number: of a card, an account, an order. Text in hexadecimal has letters.
const LONGEST_NUMBER: usize = 24;
/// Runs that one value may hold; attackers need one.
const MAX_RUNS: usize = 32;

/// The bytes of base64 or base64url, whatever they are.
pub(crate) fn base64_bytes(text: &[u8]) -> Option<Lent> {
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    let mut bytes = Lent::new();
    engine.decode_vec(text, &mut bytes).ok()?;
    Some(bytes)
}

/// What a byte of base64 is: a capital or small letter, a digit of hexadecimal, a sign, or nothing of it.
const CAPITAL: u8 = 1;
const SMALL: u8 = 2;
const SIGN: u8 = 4;
const DIGIT: u8 = 8;

#[expect(
    clippy::indexing_slicing,
    reason = "a table of 256 entries indexed by bytes"
)]
const KIND: [u8; 256] = {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        table[byte] = match byte as u8 {
            b'A'..=b'Z' => CAPITAL,
            b'a'..=b'z' => SMALL,
            b'0'..=b'9' => DIGIT,
            b'+' | b'/' | b'-' | b'_' => SIGN,
            _ => 0,
        };
        byte += 1;
    }
    table
};

fn kind(byte: u8) -> u8 {
    KIND.get(usize::from(byte)).copied().unwrap_or(0)
}

/// The text that base64 or base64url hides, if that is what the whole of `text` is.
pub(crate) fn base64_text(text: &[u8]) -> Option<Lent> {
    if text.len() < SHORTEST_BASE64 {
        return None;
    }
    let end = text
        .iter()
        .rev()
        .take(2)
        .take_while(|byte| **byte == b'=')
        .count();
    let body = text.get(..text.len() - end)?;
    if !begins_plausibly(body) {
        return None;
    }
    let mut blanks = false;
    for &byte in body {
        if kind(byte) == 0 {
            if !byte.is_ascii_whitespace() {
                return None;
            }
            blanks = true;
        }
    }
    // Mail breaks lines, and a form makes spaces of plus signs.
    let mut folded = Lent::new();
    let body = if blanks {
        let kept = body
            .iter()
            .filter(|byte| !matches!(byte, b'\r' | b'\n' | b'\t'));
        folded.extend(kept.map(|&byte| if byte == b' ' { b'+' } else { byte }));
        folded.as_slice()
    } else {
        body
    };
    if body.len() % 4 == 1 {
        return None;
    }
    base64_bytes(body).and_then(readable)
}

/// Judges the first six bytes, which nearly all words and identifiers fail: text begins with text, UTF-16 with a
/// constant half, a serialised object with its mark.
fn begins_plausibly(body: &[u8]) -> bool {
    let Some(head) = body.first_chunk::<8>() else {
        return false;
    };
    let Some(bytes) = first_bytes(head) else {
        return false;
    };
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let is_foreign = |bytes: &[u8]| match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => error.error_len().is_none(),
    };
    let zeros = bytes.iter().filter(|byte| **byte == 0).count();
    // A zero byte splits words for those who read them, and not for whom they are meant.
    zeros <= 1 && bytes.iter().all(|byte| is_text(byte) || *byte == 0)
        || bytes.first() >= Some(&0xc2) && is_foreign(&bytes)
        || bytes.starts_with(b"\xac\xed\x00\x05")
        || bytes.starts_with(b"\x00\x01\x00\x00\x00\xff")
        || matches!(bytes, [0x80, 2..=5, ..])
        || [0, 1].into_iter().any(|half| {
            let halves = bytes.iter().skip(half).step_by(2);
            halves.filter(|byte| matches!(byte, 0 | 0xff)).count() >= 2
        })
}

/// What eight digits of base64, in either alphabet, stand for; a form makes spaces of plus signs. A line does not break
/// within the first eight digits.
fn first_bytes(head: &[u8; 8]) -> Option<[u8; 6]> {
    let mut bits = 0u64;
    for &byte in head {
        let digit = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' | b' ' => 62,
            b'/' | b'_' => 63,
            _ => return None,
        };
        bits = bits << 6 | u64::from(digit);
    }
    let [_, _, bytes @ ..] = bits.to_be_bytes();
    Some(bytes)
}

/// Decoded bytes as text: UTF-8 as it is, UTF-16 (PowerShell's `-EncodedCommand`) translated, and of serialised
/// objects the strings. So too of binary messages that are mostly text: the control bytes between their fields are neither
/// line breaks nor comments of a language, and a payload that carries some is still seen.
fn readable(decoded: Lent) -> Option<Lent> {
    if is_message(&decoded) {
        return Some(strings(&decoded)).filter(|text| !text.is_empty());
    }
    if is_mostly_printable(&decoded) {
        return Some(decoded);
    }
    if let Some(charset) = charset::sniffed(&decoded) {
        return Some(charset::to_utf8(charset, &decoded)).filter(|text| is_mostly_printable(text));
    }
    serialised(&decoded).then(|| strings(&decoded))
}

/// Text with tags and lengths between its pieces: two control characters or more that no text has, and five of six bytes
/// printable.
fn is_message(bytes: &[u8]) -> bool {
    let text = |byte: &&u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let tag = |byte: &&u8| byte.is_ascii_control() && !byte.is_ascii_whitespace();
    let printable = bytes.iter().filter(text).count();
    let tags = bytes.iter().filter(tag).count();
    tags >= 2 && printable * 6 >= bytes.len() * 5
}

/// Java, .NET and pickled objects by their first bytes.
fn serialised(bytes: &[u8]) -> bool {
    bytes.starts_with(b"\xac\xed\x00\x05")
        || bytes.starts_with(b"\x00\x01\x00\x00\x00\xff\xff\xff\xff\x01")
        || matches!(bytes, [0x80, 2..=5, rest @ ..] if rest.contains(&b'.'))
}

/// The printable runs of at least four bytes, each after a blank.
fn strings(bytes: &[u8]) -> Lent {
    let mut out = Lent::new();
    for run in bytes.split(|byte| !(byte.is_ascii_graphic() || *byte == b' ')) {
        if run.len() >= 4 {
            out.extend_from_slice(run);
            out.push(b' ');
        }
    }
    out
}

/// The text that hexadecimal digits hide, if that is what the whole of `text` is.
pub(crate) fn hex_text(text: &[u8]) -> Option<Lent> {
    let is_number = text.len() <= LONGEST_NUMBER && text.iter().all(u8::is_ascii_digit);
    let is_hex = text.len().is_multiple_of(2) && text.iter().all(u8::is_ascii_hexdigit);
    if text.len() < SHORTEST_HEX || is_number || !is_hex {
        return None;
    }
    hex_bytes(text).and_then(readable)
}

/// The bytes of an even number of hexadecimal digits.
pub(crate) fn hex_bytes(digits: &[u8]) -> Option<Lent> {
    let mut bytes = Lent::new();
    for pair in digits.chunks_exact(2) {
        bytes.push(hex(pair.first())? << 4 | hex(pair.last())?);
    }
    Some(bytes)
}

/// Hands over the texts that runs of base64 and hexadecimal within `value` hide: `data:` addresses, arguments of
/// decoding functions, `echo ... | base64 -d`.
pub(crate) fn embedded(value: &[u8], mut found: impl FnMut(&[u8])) {
    let mut at = SHORTEST_RUN - 1;
    let mut done = 0;
    let mut runs = 0;
    // A run of sixteen covers every sixteenth byte, so the others need not be looked at.
    while let Some(&byte) = value.get(at) {
        if kind(byte) == 0 {
            at += SHORTEST_RUN;
            continue;
        }
        let mut kinds = 0;
        let mut in_run = |byte: &&u8| {
            let kind = kind(**byte);
            kinds |= kind;
            kind != 0
        };
        let before = value.get(done..at).unwrap_or_default();
        let back = before.iter().rev().take_while(&mut in_run).count();
        let after = value.get(at..).unwrap_or_default();
        let ahead = after.iter().take_while(&mut in_run).count();
        let run = value.get(at - back..at + ahead).unwrap_or_default();
        done = at + ahead;
        at = done + SHORTEST_RUN;
        // Text in base64 has letters of both cases; in hexadecimal it has digits and letters of one.
        let plausible =
            kinds & (CAPITAL | SMALL) == CAPITAL | SMALL || kinds & DIGIT != 0 && kinds & SIGN == 0;
        if !plausible || run.len() < SHORTEST_RUN {
            continue;
        }
        if let Some(text) = run_text(run, run.len() == value.len()) {
            found(&text);
            runs += 1;
            if runs == MAX_RUNS {
                return;
            }
        }
    }
}

/// UTF-8 without control characters.
fn is_clean(text: &[u8]) -> bool {
    std::str::from_utf8(text).is_ok_and(|text| {
        !text
            .bytes()
            .any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
    })
}

/// The text of a run. The whole of a value has been tried before, its pieces have not.
fn run_text(run: &[u8], is_all: bool) -> Option<Lent> {
    if !is_all && run.iter().all(u8::is_ascii_hexdigit) && run.len().is_multiple_of(2) {
        return hex_bytes(run).filter(|text| {
            text.iter()
                .all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        });
    }
    // Slashes are digits of base64, and they are what stands around it in a path.
    let pieces = run.split(|byte| *byte == b'/');
    let longest = pieces.max_by_key(|piece| piece.len());
    [Some(run).filter(|_| !is_all), longest]
        .into_iter()
        .flatten()
        .filter(|run| run.len() >= SHORTEST_RUN && begins_plausibly(run))
        .find_map(|run| {
            let run = run.get(..run.len() - usize::from(run.len() % 4 == 1))?;
            // Runs are found by chance, unlike values, so all of the text must be one.
            base64_bytes(run)
                .and_then(readable)
                .filter(|text| is_clean(text))
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_digits_decode_as_the_whole_does() {
        for piece in ["c2VsZWN0", "A0+/z9Zy", "++++////", "AAAAAAAA", "//////++"] {
            let mut bytes = [0; 6];
            assert_eq!(STANDARD.decode_slice(piece, &mut bytes), Ok(6));
            let head = piece.as_bytes().first_chunk();
            assert_eq!(head.and_then(first_bytes), Some(bytes), "{piece}");
            let url_safe = piece.replace('+', "-").replace('/', "_");
            assert_eq!(
                url_safe.as_bytes().first_chunk().and_then(first_bytes),
                Some(bytes)
            );
        }
        for piece in ["c2VsZQ==", "c2Vs\nZWN", "c2Vs.WN0"] {
            assert_eq!(
                piece.as_bytes().first_chunk().and_then(first_bytes),
                None,
                "{piece}"
            );
        }
    }
}
