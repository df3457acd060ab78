//! Evidence that a value breaks out of where it stands: quotes and brackets that do not match, comments, tags.
//!
//! Not here: tokenizers of whole languages.
#![expect(
    clippy::indexing_slicing,
    reason = "columns by constants, the caller passes exactly that many"
)]

use crate::bytes::Bytes;
use crate::tokens::Present;

/// A value without any of these has zeros in all columns.
const NEEDED: Present = Present::set(b"'\"`()[]{}<>=;|&#/*-\0");

/// Writes the columns named in [`crate::schema`] under "structure" into `out`, which is zero.
pub(super) fn write(value: &[u8], present: Present, out: &mut [f32]) {
    if present.any(NEEDED) {
        write_all(value, out);
    }
}

/// What is looked at byte by byte.
static COUNTED: Bytes = Bytes::of(b"'\"`()[]{}<>=");

fn write_all(value: &[u8], out: &mut [f32]) {
    let mut quotes = [0usize; 3];
    let mut depth = [0i32; 4];
    let mut early = 0usize;
    let mut tags = 0usize;
    let mut calls = 0usize;
    let mut tautologies = 0usize;
    for (at, &byte) in value.iter().enumerate() {
        if !COUNTED.has(byte) {
            continue;
        }
        let next = value.get(at + 1).copied().unwrap_or(0);
        let before = at
            .checked_sub(1)
            .and_then(|index| value.get(index))
            .copied()
            .unwrap_or(0);
        match byte {
            // An apostrophe between letters is a contraction or a name, not a quote.
            b'\'' if before.is_ascii_alphabetic() && next.is_ascii_alphabetic() => {}
            b'\'' => quotes[0] += 1,
            b'"' => quotes[1] += 1,
            b'`' => quotes[2] += 1,
            b'(' => {
                depth[0] += 1;
                calls += usize::from(before.is_ascii_alphanumeric() || before == b'_');
            }
            b'[' => depth[1] += 1,
            b'{' => depth[2] += 1,
            b'<' => {
                depth[3] += 1;
                tags += usize::from(
                    next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?' | b'%'),
                );
            }
            b')' => close(&mut depth[0], &mut early),
            b']' => close(&mut depth[1], &mut early),
            b'}' => close(&mut depth[2], &mut early),
            b'>' => close(&mut depth[3], &mut early),
            b'=' => tautologies += usize::from(is_tautology(value, at)),
            _ => {}
        }
    }
    let odd = |count: usize| (count % 2) as f32;
    let open: i32 = depth.iter().map(|depth| depth.max(&0)).sum();
    let columns = [
        odd(quotes[0]),
        odd(quotes[1]),
        odd(quotes[2]),
        (early as f32).ln_1p(),
        (open as f32).ln_1p(),
        (tags as f32).ln_1p(),
        (calls as f32).ln_1p(),
        (tautologies as f32).ln_1p(),
        f32::from(u8::from(comment_after_quote(value))),
        f32::from(u8::from(ends_in_comment(value))),
        f32::from(u8::from(begins_with_break(value))),
    ];
    out.copy_from_slice(&columns);
}

/// A closing bracket that nothing opened leaves the value's own context.
fn close(depth: &mut i32, early: &mut usize) {
    if *depth > 0 {
        *depth -= 1;
    } else {
        *early += 1;
    }
}

/// How far around an equals sign its two sides are compared.
const OPERAND: usize = 16;

/// `1=1`, `'a'='a`, `x = x`: both sides of an equals sign are the same word or number, quotes and blanks aside.
fn is_tautology(value: &[u8], at: usize) -> bool {
    let aside = |byte: &u8| matches!(byte, b' ' | b'\'' | b'"' | b'`' | b'(' | b')');
    let left = value.get(..at).unwrap_or_default();
    let right = value.get(at + 1..).unwrap_or_default();
    let mut left = left
        .iter()
        .rev()
        .skip_while(|byte| aside(byte))
        .take(OPERAND);
    let mut word = [0u8; OPERAND];
    let mut length = 0;
    while let Some(byte) = left.next().filter(|byte| byte.is_ascii_alphanumeric()) {
        word[length] = *byte;
        length += 1;
    }
    if length == 0 || length == OPERAND {
        return false;
    }
    let mut right = right.iter().skip_while(|byte| aside(byte));
    let same = word[..length]
        .iter()
        .rev()
        .all(|byte| right.next() == Some(byte));
    same && !right.next().is_some_and(u8::is_ascii_alphanumeric)
}

/// A quote and, anywhere after it, a comment that swallows the rest of a statement.
fn comment_after_quote(value: &[u8]) -> bool {
    let Some(quote) = memchr::memchr3(b'\'', b'"', b'`', value) else {
        return false;
    };
    let rest = value.get(quote..).unwrap_or_default();
    [&b"--"[..], b"/*", b"#", b"//", b";%00", b";\0"]
        .into_iter()
        .any(|comment| memchr::memmem::find(rest, comment).is_some())
}

/// The last thing in the value is a comment mark.
fn ends_in_comment(value: &[u8]) -> bool {
    let text = value.trim_ascii_end();
    let text = text
        .strip_suffix(b"-")
        .filter(|rest| rest.ends_with(b"-- "))
        .unwrap_or(text)
        .trim_ascii_end();
    [&b"--"[..], b"#", b"/*", b"//", b"-->", b"--+", b"\0"]
        .into_iter()
        .any(|mark| text.ends_with(mark))
}

/// The first thing in the value closes something: a quote, a bracket, a tag, a statement.
fn begins_with_break(value: &[u8]) -> bool {
    let text = value.trim_ascii_start();
    matches!(
        text.first(),
        Some(b'\'' | b'`' | b')' | b'}' | b'>' | b';' | b'|' | b'&')
    ) || text.starts_with(b"\">")
        || text.starts_with(b"\"/>")
        || text.starts_with(b"*/")
        || text.starts_with(b"-->")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_that_are_passed_over_have_zeros(value in prop::collection::vec(any::<u8>(), 0..20)) {
            let present = Present::of(value.iter().copied());
            let mut columns = [0.0; 11];
            write_all(&value, &mut columns);
            prop_assert!(present.any(NEEDED) || columns == [0.0; 11], "{:?}: {:?}", value, columns);
        }
    }
}
