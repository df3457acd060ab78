//! A value on one line, with the part that reads like code marked. Not here: what is secret.

use std::fmt;
use std::ops::Range;

use serde::Serialize;

use super::secrets::SecretKeys;

/// Bytes of a value shown around the mark.
const CONTEXT: usize = 48;
/// Bytes of a value shown in all.
const SHOWN: usize = 160;

/// A value on one line: what comes before the marked part, the marked part, what comes after.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Snippet {
    /// Text before the marked part; all of it where nothing is marked.
    pub before: String,
    /// The part that reads like code.
    pub marked: String,
    /// Text after the marked part.
    pub after: String,
    /// Length of the whole decoded value in bytes.
    pub bytes: usize,
}

impl Snippet {
    /// The value with `mark` marked, cut to what fits on a line.
    #[must_use]
    pub fn new(value: &[u8], mark: Option<Range<usize>>) -> Self {
        let bytes = value.len();
        let Some(mark) = mark.filter(|mark| mark.start < mark.end && mark.end <= bytes) else {
            return Self {
                before: cut_end(value, SHOWN),
                bytes,
                ..Self::default()
            };
        };
        let part = |range: Range<usize>| value.get(range).unwrap_or_default();
        Self {
            before: cut_start(part(0..mark.start), CONTEXT),
            marked: cut_end(part(mark.clone()), SHOWN),
            after: cut_end(part(mark.end..bytes), CONTEXT),
            bytes,
        }
    }

    /// Of a secret value only length and alphabet.
    #[must_use]
    pub fn redacted(value: &[u8]) -> Self {
        Self {
            before: SecretKeys::describe(value),
            bytes: value.len(),
            ..Self::default()
        }
    }
}

impl fmt::Display for Snippet {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.before.is_empty(), self.marked.is_empty()) {
            (true, true) => formatter.write_str("(empty)"),
            (false, true) => formatter.write_str(&self.before),
            (_, false) => write!(formatter, "{}»{}«{}", self.before, self.marked, self.after),
        }
    }
}

fn cut_end(text: &[u8], limit: usize) -> String {
    match text.split_at_checked(limit) {
        Some((shown, rest)) if !rest.is_empty() => format!("{}…", printable(shown)),
        _ => printable(text),
    }
}

fn cut_start(text: &[u8], limit: usize) -> String {
    match text
        .len()
        .checked_sub(limit)
        .and_then(|at| text.split_at_checked(at))
    {
        Some((hidden, shown)) if !hidden.is_empty() => format!("…{}", printable(shown)),
        _ => printable(text),
    }
}

/// Text as it is, with control characters and bytes that are no text escaped: nothing in a value may forge a line of a
/// log or move a terminal's cursor.
pub(super) fn printable(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for character in chunk.valid().chars() {
            if is_harmless(character) {
                text.push(character);
            } else {
                text.extend(character.escape_default());
            }
        }
        for byte in chunk.invalid() {
            text.extend(format!("\\x{byte:02x}").chars());
        }
    }
    text
}

/// Neither a control character nor one that reorders or hides text (Unicode TR 36, bidirectional and zero-width).
fn is_harmless(character: char) -> bool {
    !character.is_control()
        && !matches!(
            character,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}'
        )
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_part_is_marked_in_its_place() {
        let snippet = Snippet::new(b"12' union select a -- ", Some(2..18));
        assert_eq!(snippet.to_string(), "12»' union select a« -- ");
        assert_eq!(Snippet::new(b"lamp", None).to_string(), "lamp");
        assert_eq!(Snippet::new(b"lamp", Some(2..9)).to_string(), "lamp");
        assert_eq!(Snippet::new(b"", None).to_string(), "(empty)");
    }

    #[test]
    fn nothing_in_a_value_moves_a_cursor_or_forges_a_line() {
        assert_eq!(printable(b"a\x1b[2J\n\xffb"), "a\\u{1b}[2J\\n\\xffb");
        assert_eq!(printable("x\u{202e}y é".as_bytes()), "x\\u{202e}y é");
    }

    proptest! {
        #[test]
        fn any_value_and_mark_make_a_bounded_line(
            value in proptest::collection::vec(any::<u8>(), 0..400),
            start in 0usize..420,
            length in 0usize..420,
        ) {
            let snippet = Snippet::new(&value, Some(start..start + length));
            prop_assert!(snippet.to_string().len() < 4096);
            prop_assert!(!snippet.to_string().contains(|character: char| character.is_control()));
            prop_assert_eq!(snippet.bytes, value.len());
        }
    }
}
