//! Causes that are one thing to a reader, told once. Not here: how a cause is found.

use super::attribution::{Breakout, Kind};
use super::cause::Cause;
use super::departure::{Departure, NEW_VALUE};

/// Joins what would be told twice: comments, terms that several families have, names of tags and functions that a
/// family has named already. The most influential first, as it came in.
pub(super) fn join(causes: &mut Vec<Cause>, value: &[u8]) {
    let mut joined: Vec<Cause> = Vec::with_capacity(causes.len());
    for cause in causes.drain(..) {
        match joined
            .iter_mut()
            .find_map(|other| Some((relation(other, &cause, value)?, other)))
        {
            Some((Relation::Covers, other)) => other.share += cause.share,
            Some((Relation::IsCovered, other)) => {
                let share = other.share + cause.share;
                *other = Cause { share, ..cause };
            }
            Some((Relation::Equals, other)) => {
                other.share += cause.share;
                if !other.name.contains(&cause.name) {
                    other.name = format!("{} or {}", other.name, cause.name);
                }
            }
            None => joined.push(cause),
        }
    }
    told_once(&mut joined);
    joined.sort_by(|a, b| b.share.total_cmp(&a.share));
    let mut told: Vec<String> = Vec::new();
    for cause in &mut joined {
        if !matches!(cause.kind, Kind::Punctuation(_)) {
            cause.texts.retain(|text| !told.contains(text));
            told.extend(cause.texts.iter().cloned());
        }
    }
    *causes = joined;
}

/// What took another's place may read like a third.
fn told_once(causes: &mut Vec<Cause>) {
    let mut once: Vec<Cause> = Vec::with_capacity(causes.len());
    for cause in causes.drain(..) {
        let same = |other: &&mut Cause| other.name == cause.name && other.texts == cause.texts;
        match once.iter_mut().find(same) {
            Some(other) => other.share += cause.share,
            None => once.push(cause),
        }
    }
    *causes = once;
}

enum Relation {
    Covers,
    IsCovered,
    Equals,
}

/// What a cause that is told is to another that comes after it, where they are about the same bytes.
fn relation(told: &Cause, next: &Cause, value: &[u8]) -> Option<Relation> {
    use Breakout::{Calls, CommentAfterQuote, CommentAtEnd, Tags};
    use Departure::{Characters, Encoding, Shape};
    match (told.kind, next.kind) {
        (Kind::Profile(_), Kind::Profile(_)) => match (implies(told, next), implies(next, told)) {
            (true, _) => Some(Relation::Covers),
            (_, true) => Some(Relation::IsCovered),
            _ => None,
        },
        (Kind::Profile(Shape), Kind::Skeleton) | (Kind::Profile(Encoding), Kind::Encoding) => {
            Some(Relation::Covers)
        }
        (Kind::Skeleton, Kind::Profile(Shape)) | (Kind::Encoding, Kind::Profile(Encoding)) => {
            Some(Relation::IsCovered)
        }
        (Kind::Profile(Characters), Kind::Punctuation(_)) => {
            covers(told, next, value).then_some(Relation::Covers)
        }
        (Kind::Punctuation(_), Kind::Profile(Characters)) => {
            covers(next, told, value).then_some(Relation::IsCovered)
        }
        (
            Kind::Structure(CommentAfterQuote | CommentAtEnd),
            Kind::Structure(CommentAfterQuote | CommentAtEnd),
        ) => Some(Relation::Covers),
        (Kind::Lexicon(_), Kind::Lexicon(_)) => {
            match (covers(told, next, value), covers(next, told, value)) {
                (true, true) => Some(Relation::Equals),
                (true, false) => Some(Relation::Covers),
                (false, true) => Some(Relation::IsCovered),
                (false, false) => None,
            }
        }
        // A recognised construct says more than its words and its brackets.
        (Kind::Tokens(_), Kind::Lexicon(_) | Kind::Structure(_)) => {
            covers(told, next, value).then_some(Relation::Covers)
        }
        (Kind::Lexicon(_) | Kind::Structure(_), Kind::Tokens(_)) => {
            covers(next, told, value).then_some(Relation::IsCovered)
        }
        (Kind::Lexicon(_), Kind::Structure(Tags | Calls)) => {
            covers(told, next, value).then_some(Relation::Covers)
        }
        (Kind::Structure(Tags | Calls), Kind::Lexicon(_)) => {
            covers(next, told, value).then_some(Relation::IsCovered)
        }
        _ => None,
    }
}

/// Another type takes another shape, and another shape takes another value; but that a name is unknown, or none of a
/// few values, says more than its shape.
fn implies(outer: &Cause, inner: &Cause) -> bool {
    use Departure::{Shape, Type, Value};
    let (Kind::Profile(departure), Kind::Profile(other)) = (outer.kind, inner.kind) else {
        return false;
    };
    let is_name = |cause: &Cause| cause.name.contains("was never seen");
    match (departure, other) {
        (Type, Shape) => true,
        (Type, Value) => !is_name(inner),
        (Shape, Value) => inner.name == NEW_VALUE,
        (Value, Shape) => outer.name != NEW_VALUE,
        (Value, Type) => is_name(outer),
        _ => false,
    }
}

/// True when every byte of the pieces of `inner`, blanks aside, is in a piece of `outer`.
fn covers(outer: &Cause, inner: &Cause, value: &[u8]) -> bool {
    let is_covered = |at: usize| {
        value.get(at).is_some_and(u8::is_ascii_whitespace)
            || outer.pieces.iter().any(|piece| piece.contains(&at))
    };
    !inner.pieces.is_empty() && inner.pieces.iter().cloned().flatten().all(is_covered)
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use weir_features::Family;

    use super::*;

    fn cause(kind: Kind, share: f32, piece: std::ops::Range<usize>, name: &str) -> Cause {
        Cause {
            kind,
            share,
            texts: vec![format!("`{piece:?}`")],
            pieces: vec![piece],
            name: name.to_owned(),
        }
    }

    #[test]
    fn what_is_one_thing_to_a_reader_is_told_once() {
        let value = b"set-cookie: alert(1) x=x -- ";
        let sql = Kind::Lexicon(Family::Sql);
        let shell = Kind::Lexicon(Family::Shell);
        let script = Kind::Lexicon(Family::Script);
        let protocol = Kind::Lexicon(Family::Protocol);
        let comment = |breakout, share| cause(Kind::Structure(breakout), share, 25..27, "comment");
        let mut causes = vec![
            cause(shell, 0.3, 0..3, "shell"),
            cause(protocol, 0.2, 0..11, "protocol"),
            cause(Kind::Structure(Breakout::Calls), 0.1, 12..18, "calls"),
            cause(script, 0.08, 12..18, "script"),
            comment(Breakout::CommentAfterQuote, 0.07),
            comment(Breakout::CommentAtEnd, 0.06),
            cause(
                Kind::Structure(Breakout::Tautology),
                0.05,
                21..24,
                "always true",
            ),
            cause(sql, 0.04, 21..24, "SQL"),
            cause(Kind::Lexicon(Family::Query), 0.03, 21..24, "XPath"),
        ];
        join(&mut causes, value);
        let told: Vec<(&str, u32, usize)> = causes
            .iter()
            .map(|cause| {
                let percent = (cause.share * 100.0).round() as u32;
                (cause.name.as_str(), percent, cause.texts.len())
            })
            .collect();
        assert_eq!(
            told,
            [
                ("protocol", 50, 1),
                ("script", 18, 1),
                ("comment", 13, 1),
                ("SQL or XPath", 7, 1),
                ("always true", 5, 0),
            ]
        );
    }
}
