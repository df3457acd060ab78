//! A value on one line, with the part that reads like code marked. Not here: what is secret.

use std::fmt;
use std::ops::Range;

use serde::Serialize;
use weir_features::Evidence;

use super::secrets::SecretKeys;

/// Bytes of a value shown around the mark.
const CONTEXT: usize = 48;
/// Bytes of a value shown in all.
const SHOWN: usize = 160;
/// Pieces of evidence this close to each other are one part.
const JOIN: usize = 16;

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

/// The part of a value with the densest evidence: neighbouring pieces joined, together with the quotes and brackets
/// that open it and the comment that closes it.
pub(crate) fn marked_part(value: &[u8], evidence: &[Evidence]) -> Option<Range<usize>> {
    let mut pieces: Vec<Range<usize>> = evidence
        .iter()
        .filter(|piece| piece.start < piece.end && piece.end <= value.len())
        .map(|piece| piece.start..piece.end)
        .collect();
    if pieces.is_empty() {
        return densest_punctuation(value);
    }
    pieces.sort_unstable_by_key(|piece| piece.start);
    let mut best: Option<(usize, Range<usize>)> = None;
    let mut current: Option<(usize, Range<usize>)> = None;
    for piece in pieces {
        current = Some(match current.take() {
            Some((weight, part)) if piece.start <= part.end + JOIN => {
                let fresh = piece.end.saturating_sub(part.end.max(piece.start));
                (weight + fresh, part.start..part.end.max(piece.end))
            }
            finished => {
                best = heavier(best, finished);
                (piece.len(), piece)
            }
        });
    }
    heavier(best, current).map(|(_, part)| widen(value, part))
}

type Part = Option<(usize, Range<usize>)>;

fn heavier(a: Part, b: Part) -> Part {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.0 > a.0 { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Adds the marks of code that touch a part: what broke out before it, what comments out the rest behind it.
fn widen(value: &[u8], part: Range<usize>) -> Range<usize> {
    let touches = |byte: &&u8| byte.is_ascii_punctuation() || **byte == b' ';
    let before = value
        .get(..part.start)
        .unwrap_or_default()
        .iter()
        .rev()
        .take_while(touches)
        .count();
    let after = value
        .get(part.end..)
        .unwrap_or_default()
        .iter()
        .take_while(touches)
        .count();
    let (mut start, mut end) = (part.start - before, part.end + after);
    while start < part.start && value.get(start) == Some(&b' ') {
        start += 1;
    }
    while end > part.end && value.get(end - 1) == Some(&b' ') {
        end -= 1;
    }
    start..end
}

/// Without evidence, the first run of at least two marks that prose does not have next to each other.
fn densest_punctuation(value: &[u8]) -> Option<Range<usize>> {
    let is_mark = |byte: u8| {
        matches!(
            byte,
            b'\''
                | b'"'
                | b'`'
                | b'<'
                | b'>'
                | b'('
                | b')'
                | b'{'
                | b'}'
                | b'['
                | b']'
                | b';'
                | b'|'
                | b'$'
                | b'\\'
                | b'*'
                | b'='
        )
    };
    let mut best = 0..0;
    let mut start = None;
    for (at, byte) in value.iter().copied().chain([b'a']).enumerate() {
        match (is_mark(byte), start) {
            (true, None) => start = Some(at),
            (false, Some(from)) => {
                if at - from > best.len() {
                    best = from..at;
                }
                start = None;
            }
            _ => {}
        }
    }
    (best.len() >= 2).then_some(best)
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
    use weir_features::Family;

    use super::*;

    fn piece(start: usize, end: usize) -> Evidence {
        Evidence {
            family: Family::Sql,
            start,
            end,
        }
    }

    #[test]
    fn neighbouring_evidence_is_one_part_with_what_opens_and_closes_it() {
        let value = b"12' union all select a from b-- ";
        let part = marked_part(value, &[piece(4, 9), piece(14, 20), piece(23, 27)]).unwrap();
        assert_eq!(&value[part.clone()], b"' union all select a from");
        assert_eq!(
            Snippet::new(value, Some(part)).to_string(),
            "12»' union all select a from« b-- "
        );
    }

    #[test]
    fn the_heavier_part_is_marked() {
        let value = b"or                                        <script>alert(1)</script>";
        let part = marked_part(value, &[piece(0, 2), piece(42, 50)]).unwrap();
        assert!(value[part].starts_with(b"<script>"));
    }

    #[test]
    fn without_evidence_punctuation_is_marked_or_nothing() {
        assert_eq!(marked_part(b"a'));b", &[]), Some(1..5));
        assert_eq!(marked_part(b"it's fine", &[]), None);
        assert_eq!(marked_part(b"", &[]), None);
        assert_eq!(Snippet::new(b"", None).to_string(), "(empty)");
    }

    #[test]
    fn nothing_in_a_value_moves_a_cursor_or_forges_a_line() {
        assert_eq!(printable(b"a\x1b[2J\n\xffb"), "a\\u{1b}[2J\\n\\xffb");
        assert_eq!(printable("x\u{202e}y é".as_bytes()), "x\\u{202e}y é");
    }

    proptest! {
        #[test]
        fn any_value_and_evidence_make_a_bounded_line(
            value in proptest::collection::vec(any::<u8>(), 0..400),
            pieces in proptest::collection::vec((0usize..420, 0usize..420), 0..8),
        ) {
            let evidence: Vec<Evidence> = pieces.into_iter().map(|(start, end)| piece(start, end)).collect();
            let snippet = Snippet::new(&value, marked_part(&value, &evidence));
            prop_assert!(snippet.to_string().len() < 4096);
            prop_assert!(!snippet.to_string().contains(|character: char| character.is_control()));
            prop_assert_eq!(snippet.bytes, value.len());
        }
    }
}
