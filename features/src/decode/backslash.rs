//! Escapes that begin with a backslash: JavaScript, C, shells and CSS. Not here: JSON's own, which its walker undoes.

use super::{Change, hex, hex_number, push_code_point};

/// Undoes `\x2f`, `\u002f` (with surrogate pairs), `\u{2f}`, octal `\057` and `\0057`, CSS's `\2f ` and `\00002f`,
/// and continued lines. Several backslashes before one escape count as one: each string around a string doubles them.
/// Escaped quotes stay, because nested JSON lives by them; see `readings`.
pub(super) fn backslash(input: &[u8], out: &mut Vec<u8>) -> Change {
    let mut change = Change::default();
    let mut copied = 0;
    let mut next = memchr::memchr(b'\\', input);
    while let Some(at) = next {
        let run = input
            .iter()
            .skip(at)
            .take_while(|byte| **byte == b'\\')
            .count();
        let last = at + run - 1;
        let resume = match escaped(input, last) {
            Some((character, length)) => {
                out.extend_from_slice(input.get(copied..at).unwrap_or_default());
                if let Some(code_point) = character {
                    push_code_point(out, code_point);
                }
                copied = last + length;
                change.changed = true;
                copied
            }
            None => last + 1,
        };
        next = memchr::memchr(b'\\', input.get(resume..).unwrap_or_default())
            .map(|step| resume + step);
    }
    if change.changed {
        out.extend_from_slice(input.get(copied..).unwrap_or_default());
    }
    change
}

/// What the escape whose backslash stands at `at` means, and its length. A continued line means nothing.
fn escaped(input: &[u8], at: usize) -> Option<(Option<u32>, usize)> {
    let some = |(code_point, length)| (Some(code_point), length);
    match input.get(at + 1)? {
        b'x' | b'X' if input.get(at + 2) == Some(&b'{') => braced(input, at + 3).map(some),
        b'x' | b'X' => hex_number(input, at + 2, 2).map(|number| (Some(number), 4)),
        b'u' | b'U' if input.get(at + 2) == Some(&b'{') => braced(input, at + 3).map(some),
        b'u' | b'U' => unicode(input, at).map(some),
        b'\n' => Some((None, 2)),
        b'\r' if input.get(at + 2) == Some(&b'\n') => Some((None, 3)),
        b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => {
            octal(input, at).or_else(|| css(input, at)).map(some)
        }
        _ => None,
    }
}

/// `\u002f`, two of them where they are a surrogate pair.
fn unicode(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let first = hex_number(input, at + 2, 4)?;
    let low = (input.get(at + 6) == Some(&b'\\') && matches!(input.get(at + 7), Some(b'u' | b'U')))
        .then(|| hex_number(input, at + 8, 4))
        .flatten();
    Some(match (first, low) {
        (0xd800..=0xdbff, Some(low @ 0xdc00..=0xdfff)) => {
            (0x1_0000 + ((first - 0xd800) << 10) + (low - 0xdc00), 12)
        }
        _ => (first, 6),
    })
}

/// `\u{1F600}`: one to six digits and a closing brace.
fn braced(input: &[u8], start: usize) -> Option<(u32, usize)> {
    let mut number = 0;
    for digits in 0..=6 {
        match input.get(start + digits)? {
            b'}' if digits > 0 => return Some((number, 3 + digits + 1)),
            byte => number = number << 4 | u32::from(hex(Some(byte))?),
        }
    }
    None
}

fn is_visible(code_point: u32) -> bool {
    (0x20..0x7f).contains(&code_point)
}

/// `\057` of C and JavaScript, `\0057` of `echo -e`; only what stands for a visible ASCII character.
fn octal(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let number = |start: usize| {
        let mut number = 0;
        for offset in 0..3 {
            match input.get(start + offset)? {
                digit @ b'0'..=b'7' => number = number << 3 | u32::from(digit - b'0'),
                _ => return None,
            }
        }
        is_visible(number).then_some(number)
    };
    if let Some(found) = number(at + 1) {
        // `\003c` is CSS for `<` and no octal number; five digits or more are CSS as well.
        return (!matches!(input.get(at + 1..at + 3), Some(b"00"))).then_some((found, 4));
    }
    if input.get(at + 1) != Some(&b'0') {
        return None;
    }
    let found = number(at + 2)?;
    // `\0065` could be either; CSS means a letter there, and octal a digit, which nobody hides.
    let goes_on = hex(input.get(at + 5)).is_some();
    let is_css = char::from_u32(found)?.is_ascii_digit() || goes_on && css(input, at).is_some();
    (!is_css).then_some((found, 5))
}

/// CSS (Syntax Module Level 3, 4.3.7): up to six digits and one blank. Two or three digits without anything after them
/// are as likely a folder of a Windows path, so they count only when the value is visible and the escape ends there.
fn css(input: &[u8], at: usize) -> Option<(u32, usize)> {
    let digits = input
        .iter()
        .skip(at + 1)
        .take(6)
        .take_while(|byte| hex(Some(byte)).is_some())
        .count();
    let number = hex_number(input, at + 1, digits)?;
    let after = input.get(at + 1 + digits);
    let blank = matches!(after, Some(b' ' | b'\t' | b'\n'));
    let certain = digits >= 4 && input.get(at + 1) == Some(&b'0');
    let ends = digits == 2 && (blank || !after.is_some_and(u8::is_ascii_alphanumeric));
    (is_visible(number) && (certain || ends)).then_some((number, 1 + digits + usize::from(blank)))
}
