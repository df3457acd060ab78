//! Causes: influences with their evidence, in words. Not here: how influence is measured, and what is usual.

use std::ops::Range;

use weir_features::schema::{feature_name, token_family};
use weir_features::{Evidence, Family, Field, Marks, syntax};

use super::attribution::{Baseline, Breakout, Influence, Kind};
use super::departure;
use super::evidence::pieces;
use super::join::join;
use super::names::{family_words, lone_words, syntax_words};
use super::place::Site;
use super::snippet::printable;
use crate::bundle::Usual;

mod numbers;

pub(in crate::reason) use numbers::size;

/// Causes named for each field.
const TOP_CAUSES: usize = 6;
/// Smaller shares of the influence are not worth a word.
const SMALLEST_SHARE: f32 = 0.04;
/// A mark below this share is not listed among the others.
const SMALLEST_MARK: f32 = 0.01;
/// Terms, marks or numbers named in one cause.
const NAMED: usize = 4;
/// Signs of one language named in one cause.
const SYNTAX_NAMED: usize = 2;
/// Bytes of a term that are shown.
const TERM_BYTES: usize = 48;

/// What a cause is told about.
#[derive(Clone, Copy, Debug)]
pub(super) struct Subject<'a> {
    pub(super) field: Field<'a>,
    pub(super) row: &'a [f32],
    pub(super) baseline: &'a Baseline,
    pub(super) evidence: &'a [Evidence],
    /// The value with secrets inside it masked.
    pub(super) shown: &'a [u8],
    /// Of a secret value only the kind of a cause is told.
    pub(super) secret: bool,
    pub(super) usual: Option<&'a Usual>,
    /// What the site's profile knows, where there is one.
    pub(super) site: Option<&'a Site>,
}

/// Something in a value that raised its score.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Cause {
    pub(super) kind: Kind,
    /// Part of all influences.
    pub(super) share: f32,
    /// Where it stands in the value; empty for what is about the whole value.
    pub(super) pieces: Vec<Range<usize>>,
    /// What it is called.
    pub(super) name: String,
    /// What of the value is quoted; empty for what has nothing to quote, and for secrets.
    pub(super) texts: Vec<String>,
}

impl Cause {
    /// The cause in words.
    pub(super) fn what(&self) -> String {
        if self.texts.is_empty() {
            return self.name.clone();
        }
        format!("{}: {}", self.name, self.texts.join(", "))
    }
}

/// A cause in words: its name, what of the value is quoted, where that stands.
#[derive(Debug)]
pub(super) struct Told {
    pub(super) name: String,
    pub(super) texts: Vec<String>,
    pub(super) pieces: Vec<Range<usize>>,
}

impl Told {
    /// What has nothing to quote.
    pub(super) fn name(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            texts: Vec::new(),
            pieces: Vec::new(),
        }
    }
}

/// The causes worth naming, the most influential first; a parameter that was never there comes before what its value
/// is.
pub(super) fn causes(influences: &[Influence], subject: &Subject<'_>) -> Vec<Cause> {
    let foremost = departure::foremost(subject).map(Kind::Profile);
    let mut causes: Vec<Cause> = influences
        .iter()
        .filter(|influence| !matches!(influence.kind, Kind::Punctuation(_)))
        .filter(|influence| influence.share >= SMALLEST_SHARE || Some(influence.kind) == foremost)
        .filter_map(|influence| subject.cause(influence))
        .chain(subject.punctuation(influences))
        .collect();
    causes.sort_by(|a, b| b.share.total_cmp(&a.share));
    join(&mut causes, subject.field.value);
    let first = causes.iter().position(|cause| Some(cause.kind) == foremost);
    if let Some(at) = first {
        let cause = causes.remove(at);
        causes.insert(0, cause);
    }
    causes.truncate(TOP_CAUSES);
    causes
}

impl Subject<'_> {
    fn cause(&self, influence: &Influence) -> Option<Cause> {
        let of_value = !matches!(
            influence.kind,
            Kind::Encoding | Kind::Origin | Kind::Profile(_)
        );
        if of_value && self.field.value.is_empty() {
            return None;
        }
        let mut pieces = pieces(influence.kind, self.field.value, self.evidence);
        let (name, texts) = match influence.kind {
            Kind::Lexicon(family) => self.lexicon(family, &pieces)?,
            Kind::Tokens(family) => self.tokens(family, &pieces)?,
            Kind::Structure(breakout) => self.structure(breakout, &pieces)?,
            Kind::Encoding => self.encoding()?,
            Kind::Length => (self.length()?, Vec::new()),
            Kind::MakeUp => self.make_up()?,
            Kind::Origin => (self.origin()?, Vec::new()),
            Kind::Profile(departure) => {
                let told = departure::told(departure, self)?;
                pieces = told.pieces;
                (told.name, told.texts)
            }
            Kind::Skeleton => named("letters, digits and punctuation in an unusual order"),
            Kind::Punctuation(_) => return None,
        };
        Some(Cause {
            kind: influence.kind,
            share: influence.share,
            pieces,
            name,
            texts,
        })
    }

    /// All marks together: one by one they would fill the list.
    fn punctuation(&self, influences: &[Influence]) -> Option<Cause> {
        let marks: Vec<(char, f32)> = influences
            .iter()
            .filter(|influence| influence.share >= SMALLEST_MARK)
            .filter_map(|influence| match influence.kind {
                Kind::Punctuation(mark) => Some((mark, influence.share)),
                _ => None,
            })
            .collect();
        let share: f32 = marks.iter().map(|(_, share)| share).sum();
        let (first, _) = *marks.first()?;
        if share < SMALLEST_SHARE {
            return None;
        }
        let texts = if self.secret {
            Vec::new()
        } else {
            let names = marks.iter().take(2 * NAMED);
            names
                .map(|(mark, _)| match mark {
                    ' ' => "blanks".to_owned(),
                    '\n' => "line breaks".to_owned(),
                    '`' => "backticks".to_owned(),
                    mark => format!("`{mark}`"),
                })
                .collect()
        };
        let pieces = marks
            .iter()
            // Blanks are everywhere; they point nowhere.
            .filter(|(mark, _)| *mark != ' ')
            .flat_map(|(mark, _)| pieces(Kind::Punctuation(*mark), self.field.value, self.evidence))
            .collect();
        Some(Cause {
            kind: Kind::Punctuation(first),
            share,
            pieces,
            name: "unusual punctuation".to_owned(),
            texts,
        })
    }

    /// What stands at some pieces, each once; nothing that is masked.
    fn texts(&self, pieces: &[Range<usize>]) -> Vec<String> {
        let mut texts: Vec<String> = Vec::new();
        for piece in pieces {
            let shown = self.shown.get(piece.clone()).unwrap_or_default();
            if self.secret || self.field.value.get(piece.clone()) != Some(shown) {
                continue;
            }
            let shown = shown.get(..TERM_BYTES).unwrap_or(shown).trim_ascii();
            let words: Vec<&[u8]> = shown
                .split(u8::is_ascii_whitespace)
                .filter(|word| !word.is_empty())
                .collect();
            let text = printable(&words.join(&b' ')).to_lowercase();
            let text = format!("`{text}`");
            if text.len() > 2 && !texts.contains(&text) {
                texts.push(text);
            }
            if texts.len() == NAMED {
                break;
            }
        }
        texts
    }

    fn lexicon(&self, family: Family, pieces: &[Range<usize>]) -> Option<(String, Vec<String>)> {
        if pieces.is_empty() {
            return None;
        }
        let texts = self.texts(pieces);
        let is_prose = |piece: &Range<usize>| {
            let text = self.field.value.get(piece.clone()).unwrap_or_default();
            text.iter().all(u8::is_ascii_alphabetic) && !self.is_command(family, piece)
        };
        let name = if self.secret {
            family_words(family)
        } else if family == Family::Protocol && self.breaks_line(pieces) {
            "a line break followed by a header line"
        } else if family == Family::Path && texts.iter().any(|text| text.contains("..")) {
            "path traversal"
        } else if pieces.iter().all(is_prose) {
            lone_words(family)
        } else {
            family_words(family)
        };
        Some((name.to_owned(), texts))
    }

    /// What the tokenizers recognised, told by the columns with most of it.
    fn tokens(&self, family: Family, pieces: &[Range<usize>]) -> Option<(String, Vec<String>)> {
        let mut columns: Vec<usize> = syntax(self.field.value)
            .iter()
            .map(|piece| piece.column)
            .filter(|column| token_family(*column) == Some(family))
            .collect();
        columns.sort_unstable();
        columns.dedup();
        if pieces.is_empty() || columns.is_empty() {
            return None;
        }
        if self.secret {
            return Some(named(family_words(family)));
        }
        let names: Vec<&str> = columns
            .into_iter()
            .take(SYNTAX_NAMED)
            .map(|column| syntax_words(feature_name(column)))
            .collect();
        Some((names.join(", "), self.texts(pieces)))
    }

    /// A word right behind what ends a shell command or begins one.
    fn is_command(&self, family: Family, piece: &Range<usize>) -> bool {
        let before = self.field.value.get(..piece.start).unwrap_or_default();
        let last = before.trim_ascii_end().last();
        family == Family::Shell && matches!(last, Some(b';' | b'|' | b'&' | b'`' | b'(' | b'\n'))
    }

    fn breaks_line(&self, pieces: &[Range<usize>]) -> bool {
        pieces
            .iter()
            .any(|piece| matches!(self.field.value.get(piece.start), Some(b'\n' | b'\r')))
    }

    fn structure(
        &self,
        breakout: Breakout,
        pieces: &[Range<usize>],
    ) -> Option<(String, Vec<String>)> {
        let name = match breakout {
            Breakout::SingleQuote => "a single quote that is never closed",
            Breakout::DoubleQuote => "a double quote that is never closed",
            Breakout::Backtick => "a backtick that is never closed",
            Breakout::ClosingBracket => "a closing bracket that nothing opened",
            Breakout::OpeningBracket => "a bracket that is never closed",
            Breakout::Tags => "tags",
            Breakout::Calls => "function calls",
            Breakout::Tautology => "a comparison that is always true",
            Breakout::CommentAfterQuote => "a comment after a quote",
            Breakout::CommentAtEnd => "ends in a comment",
            Breakout::Beginning => "begins with what closes something before it",
            Breakout::Other => return Some(named("breaks out of its place")),
        };
        if pieces.is_empty() {
            return None;
        }
        let quotes = matches!(
            breakout,
            Breakout::Tags | Breakout::Calls | Breakout::Tautology | Breakout::Beginning
        );
        let texts = if quotes {
            self.texts(pieces)
        } else {
            Vec::new()
        };
        Some((name.to_owned(), texts))
    }

    fn encoding(&self) -> Option<(String, Vec<String>)> {
        let mut found = Vec::new();
        match self.field.layers {
            0 | 1 => {}
            2 => found.push("double-encoded".to_owned()),
            layers => found.push(format!("encoded {layers} times over")),
        }
        if self.field.obfuscations > 0 {
            found.push("an encoding that only serves to hide".to_owned());
        }
        if self.field.marks.contains(Marks::LAYER_LIMIT) {
            found.push("more layers of encoding than are undone".to_owned());
        }
        (!found.is_empty()).then(|| named(&found.join(", ")))
    }

    fn origin(&self) -> Option<String> {
        let marks = [
            (Marks::WINDOW, "part of a long value"),
            (Marks::OVERFLOW, "found beyond a parsing limit"),
            (Marks::BINARY, "bytes that are no text"),
            (Marks::NESTED, "found inside another value"),
        ];
        let found: Vec<&str> = marks
            .into_iter()
            .filter(|(mark, _)| self.field.marks.contains(*mark))
            .map(|(_, words)| words)
            .collect();
        (!found.is_empty()).then(|| found.join(", "))
    }
}

fn named(name: &str) -> (String, Vec<String>) {
    (name.to_owned(), Vec::new())
}

#[cfg(test)]
mod tests;
