//! How a value departs from what was seen at its place, for explanations. Not here: what is usual there (`usual`), the
//! columns that a network sees.

use super::Endpoint;
use super::columns::PROFILE_WIDTH;
use super::hash::{folded_hash, hasher, name_hash};
use super::key_profile::{self, KeyProfile};
use super::key_stats::mark_bits;
use super::known::surprise;
use super::request_parts::is_name;
use super::symbols::{self, Kind, Summary};
use crate::field::{Field, Fields};

/// How a value departs from all values seen at its place; nothing is set for one that was seen itself.
///
/// "Never seen" is what a profile means by it: what one source alone brought does not count.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Departures {
    /// What nearly every value was and this one is not: "integer".
    pub is_no: Option<&'static str>,
    /// Whether every value was.
    pub every_value_was: bool,
    /// Marks that stand in the value more often than in any before, with how often at most so far.
    pub more_often: Vec<(char, u8)>,
    /// Kinds of character that nearly every value had and this one does not: "digits".
    pub lacks: Vec<&'static str>,
    /// Whether no value had as many layers of encoding.
    pub is_layer_new: bool,
    /// What happened to the value and never to one before: "found inside another value".
    pub circumstances: Vec<&'static str>,
    /// Classes of symbol never seen, as bits.
    classes: u64,
}

impl Departures {
    /// Whether characters like this one were never seen at the place.
    #[must_use]
    pub fn is_new(&self, byte: u8) -> bool {
        self.classes >> symbols::class(byte) & 1 == 1
    }
}

/// In the order of [`mark_bits`].
const CIRCUMSTANCES: [&str; 6] = [
    "an encoding that only serves to hide",
    "part of a long value",
    "found beyond a parsing limit",
    "bytes that are no text",
    "more layers of encoding than are undone",
    "found inside another value",
];

/// What the classes of several characters are called; marks have none.
const CLASSES: [&str; 7] = [
    "lower-case letters",
    "capitals",
    "digits",
    "blanks",
    "line breaks",
    "control characters",
    "letters beyond ASCII",
];

impl KeyProfile {
    fn departures(&self, field: &Field<'_>) -> Departures {
        let summary = Summary::of(field.value);
        let lacking = |kind: &(&Kind, f32)| kind.1 > 0.0 && summary.kinds & kind.0.bit() == 0;
        let kind = Kind::ALL.iter().zip(self.kinds).find(lacking);
        let counts = summary
            .marks
            .iter()
            .zip(&self.marks_most)
            .zip(symbols::marks());
        let classes = self.missing.iter().enumerate();
        let seen = self.marks;
        Departures {
            is_no: kind.map(|(kind, _)| kind.name()),
            every_value_was: kind
                .is_some_and(|(_, weight)| weight >= surprise(0.0, self.observations as f64)),
            more_often: counts
                .filter(|((count, most), _)| *count > *most && **most > 0)
                .map(|((_, most), mark)| (mark, *most))
                .collect(),
            lacks: classes
                .filter(|(class, weight)| **weight > 0.0 && summary.classes >> class & 1 == 0)
                .filter_map(|(class, _)| CLASSES.get(class).copied())
                .collect(),
            is_layer_new: self.layers >> field.layers.min(7) & 1 == 0,
            circumstances: mark_bits(field)
                .filter(|bit| seen >> bit & 1 == 0)
                .filter_map(|bit| CIRCUMSTANCES.get(usize::from(bit)).copied())
                .collect(),
            classes: summary.classes & !self.classes,
        }
    }
}

impl Endpoint<'_> {
    /// How `field` departs from what was seen at its place; `None` when nothing was seen there.
    #[must_use]
    pub fn departures(&self, field: &Field<'_>) -> Option<Departures> {
        let known = self.key(self.host?, field).profile?;
        let hash = folded_hash(hasher(&self.profile.key), field.value);
        Some(if known.values.is_listed(hash) {
            Departures::default()
        } else {
            known.departures(field)
        })
    }

    /// The names of parameters among a request's fields that its endpoint does not know, in order.
    #[must_use]
    pub fn unknown_names<'s>(&self, fields: &Fields<'s>) -> Vec<&'s [u8]> {
        let Some(endpoint) = self.endpoint else {
            return Vec::new();
        };
        let hasher = hasher(&self.profile.key);
        fields
            .iter()
            .filter(|field| is_name(field) && !endpoint.names.has(name_hash(hasher, field.value)))
            .map(|field| field.value)
            .collect()
    }
}

/// Makes the total among a row's profile columns agree with the others, after some of them were changed.
///
/// # Panics
/// When there are not [`PROFILE_WIDTH`] columns: the caller owns the matrix and its shape.
pub fn with_total(columns: &mut [f32]) {
    assert_eq!(
        columns.len(),
        PROFILE_WIDTH,
        "a profile has PROFILE_WIDTH columns"
    );
    key_profile::write_total(columns);
}
