//! Unicode that hides ASCII: overlong UTF-8 and compatibility forms.

use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfkc_quick};

use super::escapes::is_percent_escape;
use super::{Change, push_code_point};

/// Folds overlong UTF-8 sequences of two to six bytes (`C0 AF` for `/`) into the character they stand for.
pub(super) fn overlong(input: &[u8], out: &mut Vec<u8>) -> Change {
    let mut change = Change::default();
    let begins = |byte: &u8| matches!(byte, 0xc0 | 0xc1 | 0xe0 | 0xf0 | 0xf8..=0xfd);
    if input.is_ascii() || !input.iter().any(begins) {
        return change;
    }
    let mut copied = 0;
    let mut at = 0;
    while at < input.len() {
        let Some((code_point, length)) = overlong_at(input, at) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(input.get(copied..at).unwrap_or_default());
        push_code_point(out, code_point);
        at += length;
        copied = at;
        change = Change {
            changed: true,
            obfuscated: true,
        };
    }
    out.extend_from_slice(input.get(copied..).unwrap_or_default());
    change
}

/// The code point and length of an overlong sequence at `at`. Decoders that accept them also accept a second byte
/// without the continuation bit (`C0 2F`), which IIS made famous, or with one bit too many (`C0 EE`). Of an escape it is what
/// the escape hides that is the second byte.
fn overlong_at(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = *input.get(at)?;
    let (length, head, least) = match first {
        0xc0 | 0xc1 => (2, u32::from(first & 0x1f), 0x80),
        0xe0 => (3, 0, 0x800),
        0xf0 => (4, 0, 0x1_0000),
        0xf8..=0xfb => (5, u32::from(first & 0x03), 0x20_0000),
        0xfc | 0xfd => (6, u32::from(first & 0x01), 0x400_0000),
        _ => return None,
    };
    let mut code_point = head;
    for offset in 1..length {
        let byte = *input.get(at + offset)?;
        let lax = length == 2
            && (byte.is_ascii_graphic() && !is_percent_escape(input, at + 1)
                || is_path_sign(input, at));
        if byte & 0xc0 != 0x80 && !lax {
            return None;
        }
        code_point = code_point << 6 | u32::from(byte & 0x3f);
    }
    (code_point < least).then_some((code_point, length))
}

/// Whether `C0 EE`, `C0 EF` or `C1 DC` at `at` stand for `.`, `/` or `\\` beside another such sign. In single-byte code
/// pages the same bytes begin words, with letters after them.
fn is_path_sign(input: &[u8], at: usize) -> bool {
    let signs = |at: usize| {
        matches!(
            input.get(at..at + 2),
            Some([0xc0, 0xee | 0xef] | [0xc1, 0xdc])
        )
    };
    let plain = |byte: Option<&u8>| matches!(byte, Some(b'.' | b'/' | b'\\' | 0xc0 | 0xc1));
    let before = at.checked_sub(1).and_then(|before| input.get(before));
    let pair_before = at.checked_sub(2).is_some_and(signs);
    signs(at) && (plain(input.get(at + 2)) || plain(before) || pair_before)
}

/// Replaces compatibility forms (full-width letters, ligatures, circled digits) by what they are compatible with,
/// NFKC of Unicode Standard Annex 15, and look-alike slashes by slashes.
pub(super) fn compatibility(input: &[u8], out: &mut Vec<u8>) -> Change {
    if input.is_ascii() {
        return Change::default();
    }
    let keeps = has_many_phrases(input);
    let folds = |text: &str| {
        text.split(|character| keeps && is_phrase(character))
            .any(|text| {
                text.chars()
                    .any(|character| fold_slash(character) != character)
                    || is_nfkc_quick(text.chars()) != IsNormalized::Yes
            })
    };
    // Chunk by chunk, so that one broken byte does not save the rest from being folded.
    if !input.utf8_chunks().any(|chunk| folds(chunk.valid())) {
        return Change::default();
    }
    let ascii_before = input.iter().filter(|byte| byte.is_ascii()).count();
    for chunk in input.utf8_chunks() {
        for text in chunk
            .valid()
            .split_inclusive(|character| keeps && is_phrase(character))
        {
            let phrase = text
                .chars()
                .next_back()
                .filter(|last| keeps && is_phrase(*last));
            let text = text.get(..text.len() - phrase.map_or(0, char::len_utf8));
            for character in text
                .unwrap_or_default()
                .nfkc()
                .map(fold_slash)
                .chain(phrase)
            {
                out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
            }
        }
        out.extend_from_slice(chunk.invalid());
    }
    let ascii_after = out.iter().filter(|byte| byte.is_ascii()).count();
    Change {
        changed: out.as_slice() != input,
        obfuscated: ascii_after > ascii_before,
    }
}

/// Phrases of one text that are spelled out.
const MAX_PHRASES: usize = 16;

/// Arabic phrases in one character, which NFKC makes eleven and five times as long: spelled out in a text of nothing else
/// they would cost far more than they weigh, and what hides in them is Arabic.
fn is_phrase(character: char) -> bool {
    matches!(character, '\u{fdfa}' | '\u{fdfb}')
}

fn has_many_phrases(input: &[u8]) -> bool {
    let ends = memchr::memmem::find_iter(input, "\u{fdfa}").count();
    ends + memchr::memmem::find_iter(input, "\u{fdfb}").count() > MAX_PHRASES
}

fn fold_slash(character: char) -> char {
    match character {
        '\u{2044}' | '\u{2215}' | '\u{29f8}' => '/',
        '\u{2216}' | '\u{29f5}' | '\u{29f9}' => '\\',
        other => other,
    }
}
