//! Departures in words. Not here: which columns they are, how much they weigh.

use std::ops::Range;

use weir_features::profile::Departures;
use weir_features::{Field, Location, Marks};

use super::super::cause::Told;
use super::super::place::Site;
use super::super::snippet::printable;
use super::super::usual::thousands;
use super::{NOTABLE, column};

/// Names and marks that are listed.
const NAMED: usize = 8;
/// Stretches of a value that are pointed at.
const PIECES: usize = 32;
/// Bytes of a name that are shown.
const NAME_BYTES: usize = 48;

/// What is told about.
pub(super) struct About<'a> {
    pub(super) row: &'a [f32],
    pub(super) field: Field<'a>,
    pub(super) site: &'a Site,
    pub(super) seen: Option<&'a Departures>,
}

impl About<'_> {
    fn is(&self, name: &str) -> bool {
        column(self.row, name) > 0.0
    }

    pub(super) fn key(&self) -> Option<String> {
        let (here, anywhere) = (
            self.is("parameter never seen at this endpoint"),
            self.is("parameter never seen on this site"),
        );
        let place = match (here, anywhere) {
            (true, true) => "at this endpoint, nor elsewhere on this site",
            (true, false) => "at this endpoint",
            (false, true) => "on this site",
            (false, false) => return None,
        };
        Some(format!("{} was never seen {place}", noun(&self.field)))
    }

    pub(super) fn kind(&self) -> Option<String> {
        let seen = self.seen?;
        let kind = seen
            .is_no
            .filter(|_| self.is("of another type than always before"))?;
        let usual = &self.site.usual;
        let place = self.site.whereabouts();
        let values = match self.field.key {
            [] => "values".to_owned(),
            key => format!("values of `{}`", short(key)),
        };
        let all = if seen.every_value_was {
            "all"
        } else {
            "nearly all"
        };
        let count = thousands(usual.observations);
        if let Some(known) = self.known_values() {
            let name = match self.field.key {
                [] => "that are usual".to_owned(),
                key => format!("that `{}` usually has", short(key)),
            };
            return Some(format!("not {known} {name} {place}, with {count} seen"));
        }
        let kind = match kind {
            "yes or no" => "yes-or-no value",
            "text without punctuation" => "plain text (letters, digits and blanks)",
            kind => kind,
        };
        Some(format!(
            "is no {kind}, although {all} {count} {values} {place} so far were"
        ))
    }

    /// "the one value", "one of the 5 values", where there are so few.
    fn known_values(&self) -> Option<String> {
        known_values(&self.site.usual.kind)
    }

    pub(super) fn characters(&self, shown: &[u8]) -> Option<Told> {
        let seen = self.seen?;
        let new = |at: usize, byte: u8| {
            // What is masked is not told of either.
            shown.get(at) == Some(&byte) && seen.is_new(byte)
        };
        let mut pieces = runs(self.field.value, new);
        if !pieces.is_empty() {
            let bytes = pieces.iter().cloned().flatten();
            let texts = named(bytes.filter_map(|at| self.field.value.get(at).copied()));
            pieces.truncate(PIECES);
            return Some(Told {
                name: "characters never seen here".to_owned(),
                texts,
                pieces,
            });
        }
        if let Some((mark, most)) = seen.more_often.first() {
            let mut pieces = runs(self.field.value, |_, byte| char::from(byte) == *mark);
            pieces.truncate(PIECES);
            let most = if *most == 1 {
                "once".to_owned()
            } else {
                format!("{most} times")
            };
            return Some(Told {
                name: format!("`{mark}` more often than ever here, which so far was {most}"),
                texts: Vec::new(),
                pieces,
            });
        }
        if let Some(lacking) = seen.lacks.first() {
            return Some(Told::name(format!(
                "no {lacking}, which nearly all values here have"
            )));
        }
        let pair = self.is("least usual pair of characters");
        let order = column(self.row, "sequence of characters against the usual") >= NOTABLE;
        if pair || order {
            return Some(Told::name("characters in an order that is unusual here"));
        }
        ["letters", "digits", "upper case", "punctuation"]
            .into_iter()
            .map(|what| {
                (
                    what,
                    column(self.row, &format!("share of {what} against the usual")),
                )
            })
            .filter(|(_, deviation)| deviation.abs() >= NOTABLE)
            .max_by(|(_, a), (_, b)| a.abs().total_cmp(&b.abs()))
            .map(|(what, deviation)| {
                let word = if deviation > 0.0 { "larger" } else { "smaller" };
                Told::name(format!("a {word} share of {what} than usual here"))
            })
    }

    pub(super) fn shape(&self) -> Option<String> {
        let parts = column(self.row, "number of parts against the usual");
        let told = if self.is("never seen shape") {
            "letters, digits and punctuation in an order never seen here"
        } else if self.is("rare shape") {
            "letters, digits and punctuation in an order that is rare here"
        } else if self.is("never seen character patterns") {
            "letters, digits and punctuation follow each other as never before here"
        } else if parts >= NOTABLE {
            "more words, numbers and marks than usual here"
        } else if parts <= -NOTABLE {
            "fewer words, numbers and marks than usual here"
        } else {
            return None;
        };
        Some(told.to_owned())
    }

    pub(super) fn value(&self) -> Option<String> {
        if !self.is("never seen value") {
            return None;
        }
        let name = short(self.field.value);
        if self.site.is_unknown_name(&self.field) {
            return Some(format!(
                "parameter `{name}` was never seen at this endpoint"
            ));
        }
        if matches!(self.field.location, Location::QueryKey | Location::BodyKey) {
            return Some(format!("the name `{name}` was never seen here"));
        }
        Some(match self.known_values() {
            Some(known) => format!("not {known} usual here"),
            None => NEW_VALUE.to_owned(),
        })
    }

    pub(super) fn encoding(&self) -> Option<String> {
        let seen = self.seen?;
        let mut found: Vec<String> = Vec::new();
        if seen.is_layer_new {
            found.push(match self.field.layers {
                0 => return Some("not encoded, although all values here so far were".to_owned()),
                1 => "encoded".to_owned(),
                2 => "encoded twice".to_owned(),
                layers => format!("encoded {layers} times"),
            });
        }
        found.extend(seen.circumstances.iter().map(ToString::to_string));
        (!found.is_empty()).then(|| format!("{}, never so here", found.join(", ")))
    }

    pub(super) fn endpoint(&self) -> Option<String> {
        let mut found: Vec<&str> = Vec::new();
        if self.is("never seen endpoint") || self.is("unknown part of the path") {
            found.push("this endpoint was never seen");
        }
        if self.is("never seen method at this endpoint") {
            found.push("the request's method was never seen at this endpoint");
        }
        if self.is("never seen file extension") {
            let last = self.field.value.rsplit(|byte| *byte == b'/').next();
            found.push(match last.is_some_and(|last| last.contains(&b'.')) {
                true => "such a file extension was never seen on this site",
                false => "a path without file extension was never seen on this site",
            });
        }
        (!found.is_empty()).then(|| found.join("; "))
    }

    pub(super) fn names(&self) -> Option<String> {
        let mut found: Vec<String> = Vec::new();
        match self.site.unknown_names.as_slice() {
            [] => {}
            [name] => found.push(format!(
                "parameter `{name}` was never seen at this endpoint"
            )),
            names => {
                let list: Vec<String> = names
                    .iter()
                    .take(NAMED)
                    .map(|name| format!("`{name}`"))
                    .collect();
                found.push(format!(
                    "parameters {} were never seen at this endpoint",
                    list.join(", ")
                ));
            }
        }
        let template = self
            .site
            .usual
            .template
            .as_deref()
            .unwrap_or("this endpoint");
        match self.site.usual.missing_parameters {
            0 => {}
            1 => found.push(format!(
                "a parameter is missing that nearly every request to {template} had"
            )),
            missing => found.push(format!(
                "{missing} parameters are missing that nearly every request to {template} had"
            )),
        }
        if self.is("parameters repeated more often than ever") {
            found.push("parameters are repeated more often than ever at this endpoint".to_owned());
        }
        if found.is_empty() && self.is("never seen set of parameters") {
            found.push("these parameters were never seen together".to_owned());
        }
        (!found.is_empty()).then(|| found.join("; "))
    }
}

/// What is said of a value of which there is nothing better to say.
pub(in crate::reason) const NEW_VALUE: &str = "a value never seen here";

/// "the one value", "one of the 5 values": a profile's words for enumerations, with an article.
pub(in crate::reason) fn known_values(kind: &str) -> Option<String> {
    match kind.split_once("one of ") {
        Some((_, values)) => Some(format!("one of the {values}")),
        None => (kind == "always the same value").then(|| "the one value".to_owned()),
    }
}

/// What a field is called: "the parameter `q`".
pub(in crate::reason) fn noun(field: &Field<'_>) -> String {
    let key = short(field.key);
    let own = match (field.location, field.key.is_empty()) {
        (Location::QueryKey, _) => "a query parameter".to_owned(),
        (Location::BodyKey, _) => "a name in the body".to_owned(),
        (Location::RawBody, _) => "such a body".to_owned(),
        (Location::Path, _) => "such a path".to_owned(),
        (Location::UserAgent, _) => "a user agent".to_owned(),
        (Location::Referer, true) => "a referring page".to_owned(),
        (Location::Referer, false) => format!("the part `{key}` of the referring page"),
        (_, true) => "a value without a name".to_owned(),
        (Location::Header, false) => format!("the header `{key}`"),
        (Location::Cookie, false) => format!("the cookie `{key}`"),
        (Location::Json, false) => format!("the JSON value `{key}`"),
        (Location::Xml, false) => format!("the XML part `{key}`"),
        (Location::QueryValue | Location::BodyValue, false) => format!("the parameter `{key}`"),
    };
    if field.marks.contains(Marks::NESTED) {
        format!("something inside {own}")
    } else {
        own
    }
}

/// A name on one line.
pub(in crate::reason) fn short(name: &[u8]) -> String {
    match name.get(..NAME_BYTES) {
        Some(beginning) if name.len() > NAME_BYTES => format!("{}…", printable(beginning)),
        _ => printable(name),
    }
}

/// The stretches of a value whose bytes all pass a test.
fn runs(value: &[u8], test: impl Fn(usize, u8) -> bool) -> Vec<Range<usize>> {
    let mut runs: Vec<Range<usize>> = Vec::new();
    for (at, byte) in value.iter().enumerate() {
        if !test(at, *byte) {
            continue;
        }
        match runs.last_mut() {
            Some(run) if run.end == at => run.end += 1,
            _ => runs.push(at..at + 1),
        }
    }
    runs
}

/// Characters as an operator calls them: marks one by one, the others by kind.
fn named(bytes: impl Iterator<Item = u8>) -> Vec<String> {
    let (mut marks, mut kinds): (Vec<String>, Vec<String>) = Default::default();
    for byte in bytes {
        let (list, name) = match byte {
            b'a'..=b'z' => (&mut kinds, "letters"),
            b'A'..=b'Z' => (&mut kinds, "capitals"),
            b'0'..=b'9' => (&mut kinds, "digits"),
            b' ' | b'\t' => (&mut kinds, "blanks"),
            b'\n' | b'\r' => (&mut kinds, "line breaks"),
            0..=31 | 127 => (&mut kinds, "control characters"),
            128.. => (&mut kinds, "characters beyond ASCII"),
            b'`' => (&mut kinds, "backticks"),
            mark => {
                let mark = format!("`{}`", char::from(mark));
                if !marks.contains(&mark) {
                    marks.push(mark);
                }
                continue;
            }
        };
        if !list.iter().any(|known| known == name) {
            list.push(name.to_owned());
        }
    }
    marks.truncate(NAMED);
    marks.append(&mut kinds);
    marks
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn characters_are_called_by_their_names() {
        assert_eq!(
            named(b"<bB>'<` \x01\xff7".iter().copied()),
            [
                "`<`",
                "`>`",
                "`'`",
                "letters",
                "capitals",
                "backticks",
                "blanks",
                "control characters",
                "characters beyond ASCII",
                "digits"
            ]
        );
        assert_eq!(
            runs(b"a<<b>", |_, byte| !byte.is_ascii_alphabetic()),
            [1..3, 4..5]
        );
    }
}
