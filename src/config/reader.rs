//! Reads typed values out of the tree and collects problems instead of stopping at them.
//!
//! Not here: which keys there are (`fields`, `routes`). A failed read yields `None` and a problem; the caller goes on
//! with a default, and the configuration as a whole is refused at the end.

use std::cell::RefCell;
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use serde_saphyr::Spanned;

use super::problem::Problem;
use super::tree::Node;
use crate::units::{Bytes, format_duration, parse_duration};

/// Problems found so far.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<Problem>>);

impl Problems {
    fn add(&self, position: Option<(u64, u64)>, key: &str, message: String) {
        self.0.borrow_mut().push(Problem {
            position,
            key: key.to_owned(),
            message,
        });
    }

    /// The value, unless anything was wrong.
    pub(super) fn into_result<T>(self, value: Option<T>) -> Result<T, Vec<Problem>> {
        let mut problems = self.0.into_inner();
        problems.sort_by_key(|problem| problem.position.unwrap_or((u64::MAX, 0)));
        match value {
            Some(value) if problems.is_empty() => Ok(value),
            _ => Err(problems),
        }
    }
}

/// One value with its place.
#[derive(Debug, Clone)]
pub(super) struct Item<'a> {
    node: &'a Spanned<Node>,
    pub(super) key: String,
    problems: &'a Problems,
}

fn position<T>(spanned: &Spanned<T>) -> Option<(u64, u64)> {
    let at = spanned.referenced;
    (at.line() > 0).then(|| (at.line(), at.column()))
}

impl<'a> Item<'a> {
    pub(super) fn root(node: &'a Spanned<Node>, problems: &'a Problems) -> Self {
        Self {
            node,
            key: String::new(),
            problems,
        }
    }

    /// Notes that the value is not what is allowed here.
    pub(super) fn expected(&self, allowed: impl Display) {
        let message = format!(
            "{} is not allowed here: expected {allowed}",
            self.node.value.describe()
        );
        self.problems.add(position(self.node), &self.key, message);
    }

    /// Notes any other problem with the value.
    pub(super) fn problem(&self, message: impl Into<String>) {
        self.problems
            .add(position(self.node), &self.key, message.into());
    }

    /// The value as a mapping.
    pub(super) fn section(&self) -> Section<'a> {
        let entries: &[_] = match &self.node.value {
            Node::Map(entries) => entries,
            Node::Null if self.key.is_empty() => &[],
            _ => {
                self.expected("a mapping of keys to values");
                &[]
            }
        };
        Section {
            entries,
            item: self.clone(),
            known: RefCell::default(),
        }
    }

    /// Whether the value is a mapping.
    pub(super) fn is_section(&self) -> bool {
        matches!(self.node.value, Node::Map(_))
    }

    /// The value as a list.
    pub(super) fn list(&self) -> Vec<Item<'a>> {
        match &self.node.value {
            Node::List(items) => items
                .iter()
                .enumerate()
                .map(|(at, node)| Item {
                    node,
                    key: format!("{}[{at}]", self.key),
                    problems: self.problems,
                })
                .collect(),
            _ => {
                self.expected("a list, each item after a `-`");
                Vec::new()
            }
        }
    }

    /// The value as text, not empty.
    pub(super) fn text(&self) -> Option<&'a str> {
        match &self.node.value {
            Node::Scalar(text) if !text.trim().is_empty() => Some(text.trim()),
            _ => {
                self.expected("a value");
                None
            }
        }
    }

    /// Notes an empty list; anything else that is no list is noted by `list`.
    pub(super) fn not_empty(&self, message: &str) {
        if matches!(&self.node.value, Node::List(items) if items.is_empty()) {
            self.problem(message);
        }
    }

    /// The value, parsed.
    pub(super) fn parse<T: FromStr>(&self, allowed: &str) -> Option<T> {
        let value = self.text()?.parse().ok();
        if value.is_none() {
            self.expected(allowed);
        }
        value
    }

    /// One of some words.
    pub(super) fn choice<T: Copy>(&self, words: &[(&str, T)]) -> Option<T> {
        let text = self.text()?;
        let found = words
            .iter()
            .find(|(word, _)| *word == text)
            .map(|(_, value)| *value);
        if found.is_none() {
            let names: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
            let hint = nearest(text, &names)
                .map_or(String::new(), |name| format!(" (did you mean `{name}`?)"));
            self.expected(format!("{}{hint}", one_of(&names)));
        }
        found
    }

    /// `true` or `false`.
    pub(super) fn flag(&self) -> Option<bool> {
        self.choice(&[("true", true), ("false", false)])
    }

    /// A whole number.
    pub(super) fn count(&self, range: RangeInclusive<usize>) -> Option<usize> {
        self.in_range(
            self.text()?.parse().ok(),
            range,
            "a whole number",
            |count| count.to_string(),
        )
    }

    /// A size.
    pub(super) fn size(&self, range: RangeInclusive<Bytes>) -> Option<Bytes> {
        self.in_range(
            self.text()?.parse().ok(),
            range,
            "a size such as 64KiB",
            Bytes::to_string,
        )
    }

    /// A duration.
    pub(super) fn duration(&self, range: RangeInclusive<Duration>) -> Option<Duration> {
        self.in_range(
            parse_duration(self.text()?).ok(),
            range,
            "a duration such as 250ms, 5s or 10m",
            |duration| format_duration(*duration),
        )
    }

    fn in_range<T: PartialOrd>(
        &self,
        value: Option<T>,
        range: RangeInclusive<T>,
        what: &str,
        show: impl Fn(&T) -> String,
    ) -> Option<T> {
        let value = value.filter(|value| range.contains(value));
        if value.is_none() {
            self.expected(format!(
                "{what}, from {} to {}",
                show(range.start()),
                show(range.end())
            ));
        }
        value
    }
}

/// A mapping whose keys are asked for by name. Dropping it reports the keys that nobody asked for.
#[derive(Debug)]
pub(super) struct Section<'a> {
    entries: &'a [(Spanned<String>, Spanned<Node>)],
    pub(super) item: Item<'a>,
    known: RefCell<Vec<&'static str>>,
}

impl<'a> Section<'a> {
    /// The value of a key; a key without a value counts as absent.
    pub(super) fn get(&self, name: &'static str) -> Option<Item<'a>> {
        self.known.borrow_mut().push(name);
        let (_, node) = self.entries.iter().find(|(key, _)| key.value == name)?;
        if matches!(node.value, Node::Null) {
            return None;
        }
        Some(Item {
            node,
            key: self.path(name),
            problems: self.item.problems,
        })
    }

    /// The value of a key whose presence means something: present without a value it is a mistake, as silence would
    /// be the opposite of what was meant.
    pub(super) fn get_filled(&self, name: &'static str) -> Option<Item<'a>> {
        let found = self.get(name);
        let empty = self.entries.iter().find(|(key, _)| key.value == name);
        if let (None, Some((_, node))) = (&found, empty) {
            let message = format!("is empty: write `{name}: {{}}` for the defaults, or remove it");
            self.item
                .problems
                .add(position(node), &self.path(name), message);
        }
        found
    }

    /// Whether a key has a value.
    pub(super) fn has(&self, name: &'static str) -> bool {
        self.get(name).is_some()
    }

    /// The value of a key that must be there.
    pub(super) fn need(&self, name: &'static str, what: &str) -> Option<Item<'a>> {
        let found = self.get(name);
        if found.is_none() {
            let message = format!("is missing: {what}");
            self.item
                .problems
                .add(position(self.item.node), &self.path(name), message);
        }
        found
    }

    fn path(&self, name: &str) -> String {
        if self.item.key.is_empty() {
            name.to_owned()
        } else {
            format!("{}.{name}", self.item.key)
        }
    }
}

impl Drop for Section<'_> {
    fn drop(&mut self) {
        let known = self.known.borrow();
        for (key, _) in self.entries {
            if known.iter().any(|name| *name == key.value) {
                continue;
            }
            let hint = match nearest(&key.value, &known) {
                Some(name) => format!("did you mean `{name}`?"),
                None => format!("known keys are {}", known.join(", ")),
            };
            self.item.problems.add(
                position(key),
                &self.path(&key.value),
                format!("unknown key; {hint}"),
            );
        }
    }
}

fn one_of(names: &[&str]) -> String {
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} or {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// The name that `word` probably means: within two edits, or one that it begins or ends.
fn nearest<'n>(word: &str, names: &[&'n str]) -> Option<&'n str> {
    const EDITS: usize = 2;
    // Longer words are no slips of the hand, and distances of long ones cost.
    let word: String = word.chars().take(64).collect();
    names
        .iter()
        .map(|name| (distance(&word, name), *name))
        .filter(|(edits, name)| *edits <= EDITS && *edits < name.len())
        .min_by_key(|(edits, _)| *edits)
        .map(|(_, name)| name)
        .or_else(|| {
            names
                .iter()
                .find(|name| {
                    word.len() >= 4 && (name.starts_with(&word) || word.starts_with(*name))
                })
                .copied()
        })
}

/// Levenshtein's distance.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (cell, y) in row.iter_mut().skip(1).zip(b.chars()) {
            let substituted = diagonal + usize::from(x != y);
            diagonal = *cell;
            *cell = substituted.min(left + 1).min(diagonal + 1);
            left = *cell;
        }
    }
    row.last().copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("mode", "mode", 0),
            ("moed", "mode", 2),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
        }
    }

    #[test]
    fn slips_find_their_key_and_strangers_do_not() {
        let names = ["mode", "budgets", "rate_limit"];
        assert_eq!(nearest("modes", &names), Some("mode"));
        assert_eq!(nearest("budget", &names), Some("budgets"));
        assert_eq!(nearest("ratelimit", &names), Some("rate_limit"));
        assert_eq!(nearest("xyzzy", &names), None);
    }
}
