//! Escapes that name a byte or a code point: percent, `%u` and textual `0x2f`. Not here: backslashes, see `backslash`.

use super::{Change, hex, hex_number, push_code_point};

/// Undoes `%2f` and `%u002f`. What is malformed stays as it is.
pub(super) fn percent(input: &[u8], out: &mut Vec<u8>) -> Change {
    let mut change = Change::default();
    let Some(mut at) = memchr::memchr(b'%', input) else {
        return change;
    };
    let mut copied = 0;
    loop {
        let length = match input.get(at + 1) {
            Some(b'u' | b'U') => hex_number(input, at + 2, 4).map(|code_point| {
                out.extend_from_slice(input.get(copied..at).unwrap_or_default());
                push_code_point(out, code_point);
                change.obfuscated = true;
                6
            }),
            _ => hex_number(input, at + 1, 2).map(|byte| {
                out.extend_from_slice(input.get(copied..at).unwrap_or_default());
                out.push(byte as u8);
                3
            }),
        };
        let resume = match length {
            Some(length) => {
                change.changed = true;
                copied = at + length;
                copied
            }
            None => at + 1,
        };
        match memchr::memchr(b'%', input.get(resume..).unwrap_or_default()) {
            Some(next) => at = resume + next,
            None => break,
        }
    }
    out.extend_from_slice(input.get(copied..).unwrap_or_default());
    change
}

/// Whether what [`percent`] undoes begins at `at`.
pub(super) fn is_percent_escape(input: &[u8], at: usize) -> bool {
    let digits = match input.get(at + 1) {
        Some(b'u' | b'U') => hex_number(input, at + 2, 4),
        _ => hex_number(input, at + 1, 2),
    };
    input.get(at) == Some(&b'%') && digits.is_some()
}

/// Bytes that scanners write as text to slip past filters (`..0x2f..0x2fetc`): separators, quotes and brackets.
const TEXTUAL: [u8; 10] = [0x2f, 0x5c, 0x2e, 0x27, 0x22, 0x3c, 0x3e, 0x28, 0x29, 0x00];

/// Undoes `0x2f` where it stands for one character; a longer hexadecimal number (`0x2f6574`) is left as it is.
pub(super) fn textual_hex(input: &[u8], out: &mut Vec<u8>) -> Change {
    let mut change = Change::default();
    let mut copied = 0;
    for at in memchr::memchr_iter(b'0', input) {
        if at < copied || !matches!(input.get(at + 1), Some(b'x' | b'X')) {
            continue;
        }
        let Some(byte) = hex_number(input, at + 2, 2).map(|number| number as u8) else {
            continue;
        };
        let digits = input
            .iter()
            .skip(at + 2)
            .take_while(|byte| hex(Some(byte)).is_some())
            .take(8)
            .count();
        let before = at.checked_sub(1).and_then(|index| input.get(index));
        let dotted = before == Some(&b'.');
        // `480x270` is the size of a picture.
        let after_number =
            before.is_some_and(u8::is_ascii_digit) && !(change.changed && at == copied);
        // `0x2f6574` is a number, `0x5cetc` a separator before a word, `0x2e0x2e` two dots.
        let alone = dotted || digits % 2 == 1 || digits == 2 || hex_follows(input, at + 4);
        if !TEXTUAL.contains(&byte) || !alone || after_number {
            continue;
        }
        out.extend_from_slice(input.get(copied..at).unwrap_or_default());
        out.push(byte);
        copied = at + 4;
        change = Change {
            changed: true,
            obfuscated: true,
        };
    }
    if change.changed {
        out.extend_from_slice(input.get(copied..).unwrap_or_default());
    }
    change
}

/// True when another `0x` begins at `at`, whose zero looks like a digit of the number before it.
fn hex_follows(input: &[u8], at: usize) -> bool {
    input.get(at) == Some(&b'0') && matches!(input.get(at + 1), Some(b'x' | b'X'))
}
