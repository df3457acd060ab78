//! Where in a value each kind of evidence stands. Not here: what it is worth and what it is called.

use std::ops::Range;

use weir_features::schema::token_family;
use weir_features::{Evidence, Family, syntax};

use super::attribution::{Breakout, Kind};

/// Bytes of a name before a bracket, or of one side of a comparison.
const WORD: usize = 24;
/// Pieces of one kind that are looked at; a reason shows a few.
const PIECES: usize = 32;

/// The pieces of `value` that are evidence of `kind`, in order; none for kinds that are about the whole value.
pub(super) fn pieces(kind: Kind, value: &[u8], evidence: &[Evidence]) -> Vec<Range<usize>> {
    let mut pieces = match kind {
        Kind::Lexicon(family) => terms(
            value.len(),
            evidence.iter().filter(|piece| piece.family == family),
        ),
        Kind::Tokens(family) => recognised(family, value),
        Kind::Punctuation(mark) => positions(value, |at, byte| {
            (byte == mark as u32 as u8 || (mark == '\n' && byte == b'\r')).then_some(at..at + 1)
        }),
        Kind::Structure(breakout) => structure(breakout, value),
        Kind::Encoding
        | Kind::Length
        | Kind::MakeUp
        | Kind::Origin
        | Kind::Profile(_)
        | Kind::Skeleton => Vec::new(),
    };
    pieces.truncate(PIECES);
    pieces
}

/// The terms, joined where they overlap or touch: `union` inside `union select` says nothing new, and `../` and
/// `etc/passwd` are one path.
fn terms<'e>(length: usize, found: impl Iterator<Item = &'e Evidence>) -> Vec<Range<usize>> {
    joined(
        found
            .filter(|piece| piece.start < piece.end && piece.end <= length)
            .map(|piece| piece.start..piece.end)
            .collect(),
    )
}

/// What the tokenizers recognised as code of a family.
fn recognised(family: Family, value: &[u8]) -> Vec<Range<usize>> {
    joined(
        syntax(value)
            .into_iter()
            .filter(|piece| token_family(piece.column) == Some(family))
            .map(|piece| piece.start..piece.end)
            .collect(),
    )
}

fn joined(mut ranges: Vec<Range<usize>>) -> Vec<Range<usize>> {
    ranges.sort_by_key(|range| (range.start, std::cmp::Reverse(range.end)));
    let mut joined: Vec<Range<usize>> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start <= last.end => last.end = last.end.max(range.end),
            _ => joined.push(range),
        }
    }
    joined
}

fn positions(value: &[u8], piece: impl Fn(usize, u8) -> Option<Range<usize>>) -> Vec<Range<usize>> {
    value
        .iter()
        .enumerate()
        .filter_map(|(at, byte)| piece(at, *byte))
        .collect()
}

fn structure(breakout: Breakout, value: &[u8]) -> Vec<Range<usize>> {
    let one = |at: usize| at..at + 1;
    match breakout {
        Breakout::SingleQuote => {
            let quotes = positions(value, |at, byte| {
                (byte == b'\'' && !is_apostrophe(value, at)).then(|| one(at))
            });
            last(quotes)
        }
        Breakout::DoubleQuote => last(positions(value, |at, byte| (byte == b'"').then(|| one(at)))),
        Breakout::Backtick => last(positions(value, |at, byte| (byte == b'`').then(|| one(at)))),
        Breakout::ClosingBracket => unmatched(value).0,
        Breakout::OpeningBracket => unmatched(value).1,
        Breakout::Tags => positions(value, |at, byte| {
            let next = value.get(at + 1)?;
            let opens = byte == b'<'
                && (next.is_ascii_alphabetic() || matches!(next, b'/' | b'!' | b'?' | b'%'));
            opens.then(|| at..(at + 2 + name_length(value.get(at + 2..))).min(value.len()))
        }),
        Breakout::Calls => positions(value, |at, byte| {
            let name = name_before(value, at);
            (byte == b'(' && name > 0).then(|| at - name..at + 1)
        }),
        Breakout::Tautology => positions(value, |at, byte| {
            (byte == b'=').then(|| tautology(value, at)).flatten()
        }),
        Breakout::CommentAfterQuote => comment_after_quote(value).into_iter().collect(),
        Breakout::CommentAtEnd => comment_at_end(value).into_iter().collect(),
        Breakout::Beginning => value
            .iter()
            .position(|byte| !byte.is_ascii_whitespace())
            .map(one)
            .into_iter()
            .collect(),
        Breakout::Other => Vec::new(),
    }
}

fn last(mut pieces: Vec<Range<usize>>) -> Vec<Range<usize>> {
    pieces.pop().into_iter().collect()
}

/// Between letters, as in `O'Brien`: no quote. The extractor counts the same way.
fn is_apostrophe(value: &[u8], at: usize) -> bool {
    let letter = |at: Option<usize>| {
        at.and_then(|at| value.get(at))
            .is_some_and(u8::is_ascii_alphabetic)
    };
    letter(at.checked_sub(1)) && letter(Some(at + 1))
}

/// Closing brackets that nothing opened, and opening ones that nothing closes.
fn unmatched(value: &[u8]) -> (Vec<Range<usize>>, Vec<Range<usize>>) {
    let mut closing = Vec::new();
    let mut open: [Vec<usize>; 4] = Default::default();
    for (at, byte) in value.iter().enumerate() {
        let opens = b"([{<".iter().position(|bracket| bracket == byte);
        if let Some(places) = opens.and_then(|kind| open.get_mut(kind)) {
            places.push(at);
        }
        let closes = b")]}>".iter().position(|bracket| bracket == byte);
        if let Some(places) = closes.and_then(|kind| open.get_mut(kind))
            && places.pop().is_none()
        {
            closing.push(at..at + 1);
        }
    }
    let mut opening: Vec<usize> = open.into_iter().flatten().collect();
    opening.sort_unstable();
    (closing, opening.into_iter().map(|at| at..at + 1).collect())
}

fn is_name(byte: &u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.')
}

fn name_length(text: Option<&[u8]>) -> usize {
    text.unwrap_or_default()
        .iter()
        .take(WORD)
        .take_while(|byte| is_name(byte))
        .count()
}

fn name_before(value: &[u8], at: usize) -> usize {
    value
        .get(..at)
        .unwrap_or_default()
        .iter()
        .rev()
        .take(WORD)
        .take_while(|byte| is_name(byte))
        .count()
}

/// The comparison around an equals sign whose two sides are the same word or number, quotes and blanks aside.
fn tautology(value: &[u8], at: usize) -> Option<Range<usize>> {
    let aside = |byte: &&u8| matches!(**byte, b' ' | b'\'' | b'"' | b'`' | b'(' | b')');
    let left = value.get(..at)?;
    let right = value.get(at + 1..)?;
    let skipped = left.iter().rev().take_while(aside).count();
    let word = |byte: &&u8| byte.is_ascii_alphanumeric();
    let length = left
        .iter()
        .rev()
        .skip(skipped)
        .take(WORD)
        .take_while(word)
        .count();
    let start = at - skipped - length;
    let behind = right.iter().take_while(aside).count();
    let end = at + 1 + behind + length;
    let same = length > 0 && value.get(start..start + length) == value.get(end - length..end);
    let ends = !value.get(end).is_some_and(u8::is_ascii_alphanumeric);
    // A quote that closes the first word's other side belongs to what is shown.
    let quote = start
        .checked_sub(1)
        .filter(|before| matches!(value.get(*before), Some(b'\'' | b'"')));
    (same && ends).then(|| quote.unwrap_or(start)..end)
}

const COMMENTS: [&[u8]; 6] = [b"--", b"/*", b"#", b"//", b";%00", b";\0"];

fn comment_after_quote(value: &[u8]) -> Option<Range<usize>> {
    let quote = value
        .iter()
        .position(|byte| matches!(byte, b'\'' | b'"' | b'`'))?;
    let rest = value.get(quote..)?;
    COMMENTS
        .iter()
        .filter_map(|comment| {
            let at = rest
                .windows(comment.len())
                .position(|window| window == *comment)?;
            Some(quote + at..quote + at + comment.len())
        })
        .min_by_key(|range| range.start)
}

fn comment_at_end(value: &[u8]) -> Option<Range<usize>> {
    let end = value.trim_ascii_end().len();
    let text = value.get(..end)?;
    let marks: [&[u8]; 8] = [b"-- -", b"-->", b"--+", b"--", b"#", b"/*", b"//", b"\0"];
    marks
        .iter()
        .find(|mark| text.ends_with(mark))
        .map(|mark| end - mark.len()..end)
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

    fn found(breakout: Breakout, value: &str) -> Vec<&str> {
        structure(breakout, value.as_bytes())
            .into_iter()
            .map(|range| &value[range])
            .collect()
    }

    #[test]
    fn each_way_to_break_out_is_found_where_it_is() {
        assert_eq!(found(Breakout::SingleQuote, "it's 5' or"), ["'"]);
        assert_eq!(found(Breakout::Tautology, "x' or '1'='1"), ["'1'='1"]);
        assert_eq!(
            found(Breakout::Tautology, "1=1 a=b c = c"),
            ["1=1", "c = c"]
        );
        assert!(found(Breakout::Tautology, "a=ab 1=2 =").is_empty());
        assert_eq!(found(Breakout::CommentAtEnd, "1 or 2 -- "), ["--"]);
        assert_eq!(found(Breakout::CommentAfterQuote, "-- a' b -- c"), ["--"]);
        assert_eq!(found(Breakout::Calls, "x;alert(1) (2)"), ["alert("]);
        assert_eq!(found(Breakout::Tags, "<b>2 <3</b>"), ["<b", "</b"]);
        assert_eq!(found(Breakout::ClosingBracket, "a) (b)"), [")"]);
        assert_eq!(found(Breakout::OpeningBracket, "{a (b)"), ["{"]);
        assert_eq!(found(Breakout::Beginning, " ';x"), ["'"]);
    }

    #[test]
    fn a_term_inside_a_longer_one_is_left_out() {
        let value = b"1 UNION  SELECT a FROM b";
        let evidence = Extractor::shared().evidence(value);
        let found = pieces(Kind::Lexicon(Family::Sql), value, &evidence);
        let texts: Vec<&[u8]> = found.into_iter().map(|range| &value[range]).collect();
        assert_eq!(texts, [&b"UNION  SELECT"[..], b"FROM"]);
    }

    proptest! {
        #[test]
        fn pieces_lie_inside_any_value(value in proptest::collection::vec(prop_oneof![any::<u8>(), proptest::sample::select(b"'\"`()<>={}[]-#/*\0 a1".to_vec())], 0..60)) {
            let evidence = Extractor::shared().evidence(&value);
            for breakout in [
                Breakout::SingleQuote, Breakout::DoubleQuote, Breakout::Backtick, Breakout::ClosingBracket,
                Breakout::OpeningBracket, Breakout::Tags, Breakout::Calls, Breakout::Tautology,
                Breakout::CommentAfterQuote, Breakout::CommentAtEnd, Breakout::Beginning, Breakout::Other,
            ] {
                for range in pieces(Kind::Structure(breakout), &value, &evidence) {
                    prop_assert!(range.start < range.end && range.end <= value.len());
                }
            }
            for family in Family::ALL {
                let tokens = pieces(Kind::Tokens(family), &value, &evidence);
                for range in pieces(Kind::Lexicon(family), &value, &evidence).into_iter().chain(tokens) {
                    prop_assert!(range.start < range.end && range.end <= value.len());
                }
            }
        }
    }
}
