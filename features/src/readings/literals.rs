//! Texts spelled as numbers or in pieces: `CHAR(97,100)`, `CHR(97)||CHR(100)`, `0x6164`, `x'6164'`, `'ad'||'min'`.
//!
//! Not here: what the text says. Each is replaced where it stands, so that the words around it stay its context.

use crate::blob::hex_bytes;
use crate::lent::Lent;

/// Functions that make characters of numbers, in the languages that attacks are written in.
const FUNCTIONS: [&[u8]; 8] = [
    b"fromcharcode",
    b"fromcodepoint",
    b"nchar",
    b"char",
    b"nchr",
    b"chrw",
    b"chr",
    b"unichar",
];
/// The longest of them.
const LONGEST: usize = 13;
/// Hexadecimal literals of fewer digits are numbers.
const SHORTEST_HEX: usize = 6;

/// A cheap look at what stands beside the marks that spelled texts have, which most values with these marks fail.
fn may_be_spelled(value: &[u8]) -> bool {
    let at = |index: Option<usize>| index.and_then(|index| value.get(index));
    let call = |open: usize| {
        matches!(
            at(open.checked_sub(1)),
            Some(b'r' | b'R' | b'e' | b'E' | b't' | b'T' | b'w' | b'W')
        )
    };
    let number = |x: usize| at(x.checked_sub(1)) == Some(&b'0') || at(Some(x + 1)) == Some(&b'\'');
    let joins = |quote: usize| {
        matches!(
            at(Some(quote + 1)),
            Some(b'|' | b'+' | b'.' | b'&' | b' ' | b'\t' | b'\n' | b'\r')
        )
    };
    memchr::memchr_iter(b'(', value).any(call)
        || memchr::memchr2_iter(b'x', b'X', value).any(number)
        || memchr::memchr2_iter(b'\'', b'"', value).any(joins)
}

/// Replaces what is spelled out and joins the pieces; false when there is nothing of it.
pub(super) fn join(value: &[u8], out: &mut Vec<u8>) -> bool {
    if !may_be_spelled(value) {
        return false;
    }
    let mut copied = 0;
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let found = match byte {
            b'(' => function(value, at, copied),
            b'0' | b'x' | b'X' => hexadecimal(value, at),
            b'\'' | b'"' => {
                let length = seam(value, at);
                (length > 0).then(|| (at, at + length, Lent::new()))
            }
            _ => None,
        };
        let Some((start, end, text)) = found else {
            at += 1;
            continue;
        };
        out.extend_from_slice(value.get(copied..start).unwrap_or_default());
        out.extend_from_slice(&text);
        at = end;
        // The operator between two spelled pieces goes with them.
        if !text.is_empty()
            && let Some(next) = operator(value, end)
            && spelled(value, next)
        {
            at = next;
        }
        copied = at;
    }
    if copied > 0 {
        out.extend_from_slice(value.get(copied..).unwrap_or_default());
    }
    copied > 0
}

type Found = (usize, usize, Lent);

/// `CHAR(60, 0x3c)` whose bracket opens at `at`.
fn function(value: &[u8], at: usize, copied: usize) -> Option<Found> {
    let before = value.get(copied.max(at.saturating_sub(LONGEST + 1))..at)?;
    let word = before
        .iter()
        .rev()
        .take_while(|byte| byte.is_ascii_alphabetic())
        .count();
    let name = before.get(before.len() - word..)?;
    if !FUNCTIONS
        .iter()
        .any(|known| name.eq_ignore_ascii_case(known))
    {
        return None;
    }
    let mut start = at - word;
    // `String.` before `fromCharCode` belongs to it.
    let prefix = value.get(copied..start).unwrap_or_default();
    let tail = prefix
        .get(prefix.len().saturating_sub(7)..)
        .unwrap_or_default();
    if tail.eq_ignore_ascii_case(b"string.") {
        start -= 7;
    }
    let mut text = Lent::new();
    let mut cursor = at + 1;
    loop {
        cursor = skip_blanks(value, cursor);
        let (number, after) = number(value, cursor)?;
        push(&mut text, number)?;
        cursor = skip_blanks(value, after);
        match value.get(cursor) {
            Some(b',') => cursor += 1,
            Some(b')') => return Some((start, cursor + 1, text)),
            // `CHAR(97 USING ascii)`
            Some(b'u' | b'U') => {
                let rest = value.get(cursor..)?;
                let close = rest.iter().take(32).position(|byte| *byte == b')')?;
                return Some((start, cursor + close + 1, text));
            }
            _ => return None,
        }
    }
}

fn push(text: &mut Vec<u8>, number: u32) -> Option<()> {
    let character = char::from_u32(number)?;
    text.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    Some(())
}

/// A decimal number or one after `0x` at `at`, and where it ends.
fn number(value: &[u8], at: usize) -> Option<(u32, usize)> {
    let (radix, start) = match value.get(at..at + 2) {
        Some(b"0x" | b"0X") => (16, at + 2),
        _ => (10, at),
    };
    let mut number: u32 = 0;
    let mut end = start;
    while let Some(digit) = value
        .get(end)
        .and_then(|byte| char::from(*byte).to_digit(radix))
    {
        number = number.checked_mul(radix)?.checked_add(digit)?;
        end += 1;
    }
    (end > start).then_some((number, end))
}

/// `0x6164`, `x'6164'` and `X'6164'` that spell text.
fn hexadecimal(value: &[u8], at: usize) -> Option<Found> {
    let rest = value.get(at..)?;
    let (skip, close) = match rest {
        [b'0', b'x' | b'X', ..] => (2, 0),
        [b'x' | b'X', b'\'', ..] => (2, 1),
        _ => return None,
    };
    let inside_word = at
        .checked_sub(1)
        .and_then(|index| value.get(index))
        .is_some_and(u8::is_ascii_alphanumeric);
    let digits = rest
        .iter()
        .skip(skip)
        .take_while(|byte| byte.is_ascii_hexdigit())
        .count();
    let ends = match close {
        0 => !rest
            .get(skip + digits)
            .is_some_and(u8::is_ascii_alphanumeric),
        _ => rest.get(skip + digits) == Some(&b'\''),
    };
    if inside_word || !ends || digits < SHORTEST_HEX || digits % 2 == 1 {
        return None;
    }
    let text = hex_bytes(rest.get(skip..skip + digits)?)?;
    let readable = text
        .iter()
        .all(|byte| byte.is_ascii_graphic() || matches!(byte, b' ' | b'\t' | b'\n' | b'\r'));
    readable.then_some((at, at + skip + digits + close, text))
}

fn skip_blanks(value: &[u8], at: usize) -> usize {
    at + value
        .iter()
        .skip(at)
        .take(16)
        .take_while(|byte| byte.is_ascii_whitespace())
        .count()
}

/// Where what follows a joining operator begins: `||`, `+`, `.`, `&`, `,`.
fn operator(value: &[u8], at: usize) -> Option<usize> {
    let at = skip_blanks(value, at);
    let length = match value.get(at..)? {
        [b'|', b'|', ..] => 2,
        [b'+' | b'.' | b'&' | b',', ..] => 1,
        _ => return None,
    };
    Some(skip_blanks(value, at + length))
}

/// True when a character function or a hexadecimal literal begins at `at`.
fn spelled(value: &[u8], at: usize) -> bool {
    if hexadecimal(value, at).is_some() {
        return true;
    }
    let word = value
        .iter()
        .skip(at)
        .take(LONGEST + 7)
        .take_while(|byte| byte.is_ascii_alphabetic() || **byte == b'.')
        .count();
    value.get(at + word) == Some(&b'(') && function(value, at + word, at).is_some()
}

/// The length of what stands between two strings that are joined, from the closing quote at `at` to the opening one:
/// `'||'`, `" + "`. Only between characters that may well be one word.
fn seam(value: &[u8], at: usize) -> usize {
    let Some(quote) = value.get(at) else { return 0 };
    let inside = |byte: Option<&u8>| {
        byte.is_some_and(|byte| {
            byte.is_ascii_graphic()
                && !matches!(byte, b'\'' | b'"' | b'=' | b',' | b'(' | b'[' | b'{' | b':')
        })
    };
    let before = at.checked_sub(1).and_then(|index| value.get(index));
    let Some(next) = operator(value, at + 1) else {
        return 0;
    };
    let comma = value
        .get(at + 1..next)
        .is_some_and(|between| between.contains(&b','));
    if comma || value.get(next) != Some(quote) || !inside(before) || !inside(value.get(next + 1)) {
        return 0;
    }
    next + 1 - at
}
