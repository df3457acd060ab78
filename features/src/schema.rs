//! The columns of field rows and request vectors: names, groups, versions and the fingerprint.
//!
//! Not here: how the numbers are computed. A change of any number in any row changes the fingerprint, and bundles
//! trained with another fingerprint refuse to load.

mod fingerprint;

use crate::lexicon::Family;
use crate::location::Location;
use crate::profile::{PROFILE_FEATURES, PROFILE_WIDTH};
use crate::tokens;

pub use fingerprint::fingerprint;

/// Raised when columns are added, removed or reordered.
pub const SCHEMA_VERSION: u32 = 2;

/// The punctuation marks that are counted one by one.
pub(crate) const PUNCTUATION: [u8; 35] = *b"'\"<>();=-/*|&`$\\{}%#!?@:,.[]^~+_ \n\r";

const STATISTICS: [&str; 22] = [
    "length",
    "decode layers",
    "obfuscated encodings",
    "share of letters",
    "share of digits",
    "share of upper case",
    "share of white space",
    "share of non-ASCII",
    "control characters",
    "share of punctuation",
    "entropy",
    "distinct punctuation",
    "longest alphanumeric run",
    "longest run of digits",
    "longest run of one character",
    "share of vowels",
    "share of prose",
    "part of a long value",
    "beyond a parsing limit",
    "binary",
    "encoded too often",
    "nested in another value",
];

const STRUCTURE: [&str; 11] = [
    "unbalanced single quote",
    "unbalanced double quote",
    "unbalanced backtick",
    "closing bracket without opening",
    "opening bracket without closing",
    "tags",
    "function calls",
    "tautologies",
    "comment after a quote",
    "comment at the end",
    "breaks out at the beginning",
];

/// Columns of a lexicon family: words, marks, distinct.
pub(crate) const FAMILY_FEATURES: usize = 3;
/// Slots of hashed skeleton trigrams; a power of two.
pub(crate) const TRIGRAMS: usize = 256;

pub(crate) const STATISTICS_AT: usize = Location::COUNT;
pub(crate) const PUNCTUATION_AT: usize = STATISTICS_AT + STATISTICS.len();
pub(crate) const LEXICON_AT: usize = PUNCTUATION_AT + PUNCTUATION.len();
pub(crate) const STRUCTURE_AT: usize = LEXICON_AT + Family::COUNT * FAMILY_FEATURES;
pub(crate) const TOKENS_AT: usize = STRUCTURE_AT + STRUCTURE.len();
/// The first column of what a site's profile says, [`PROFILE_WIDTH`] of them; all zeros where none has a say.
pub const PROFILE_AT: usize = TOKENS_AT + tokens::WIDTH;
pub(crate) const TRIGRAMS_AT: usize = PROFILE_AT + PROFILE_WIDTH;

/// Columns of a field row.
pub const FIELD_WIDTH: usize = TRIGRAMS_AT + TRIGRAMS;

/// Columns of a request vector.
pub const REQUEST_WIDTH: usize = 35;

/// What a column of a field row is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The one-hot location.
    Location(Location),
    /// A number about the whole value, named by [`feature_name`].
    Statistic,
    /// The count of this character.
    Punctuation(char),
    /// Terms of a family of code.
    Lexicon(Family),
    /// Evidence of breaking out, named by [`feature_name`].
    Structure,
    /// What a tokenizer recognised, named by [`feature_name`]; its language is [`token_family`].
    Tokens,
    /// How far the value departs from what is usual at its place, named by [`feature_name`].
    Profile,
    /// A hashed sequence of three symbols: the order of letters, digits and punctuation.
    Skeleton,
}

/// What column `index` of a field row is about; `None` beyond [`FIELD_WIDTH`].
#[must_use]
pub fn feature_group(index: usize) -> Option<Group> {
    if let Some(location) = Location::ALL.get(index) {
        return Some(Group::Location(*location));
    }
    let column = |start: usize| index.checked_sub(start);
    if index < PUNCTUATION_AT {
        return Some(Group::Statistic);
    }
    if index < LEXICON_AT {
        return column(PUNCTUATION_AT)
            .and_then(|at| PUNCTUATION.get(at))
            .map(|mark| Group::Punctuation(char::from(*mark)));
    }
    if index < STRUCTURE_AT {
        return column(LEXICON_AT)
            .and_then(|at| Family::ALL.get(at / FAMILY_FEATURES))
            .map(|f| Group::Lexicon(*f));
    }
    if index < TOKENS_AT {
        return Some(Group::Structure);
    }
    if index < PROFILE_AT {
        return Some(Group::Tokens);
    }
    if index < TRIGRAMS_AT {
        return Some(Group::Profile);
    }
    (index < FIELD_WIDTH).then_some(Group::Skeleton)
}

/// The family of code that column `index` of [`Group::Tokens`] is evidence of; `None` for other columns, and for those
/// that sum up all families.
#[must_use]
pub fn token_family(index: usize) -> Option<Family> {
    let column = index.checked_sub(TOKENS_AT)?;
    tokens::COLUMNS.get(column).and_then(|(family, _)| *family)
}

/// The name of column `index` of a field row, in words; empty beyond [`FIELD_WIDTH`].
#[must_use]
pub fn feature_name(index: usize) -> &'static str {
    static NAMES: std::sync::LazyLock<Vec<String>> =
        std::sync::LazyLock::new(|| (0..FIELD_WIDTH).map(name).collect());
    NAMES.get(index).map_or("", String::as_str)
}

fn name(index: usize) -> String {
    match feature_group(index) {
        Some(Group::Location(location)) => format!("location {}", location.name()),
        Some(Group::Statistic) => STATISTICS
            .get(index - STATISTICS_AT)
            .copied()
            .unwrap_or_default()
            .to_owned(),
        Some(Group::Punctuation(mark)) => format!("count of {mark:?}"),
        Some(Group::Lexicon(family)) => {
            let part = ["words", "marks", "distinct terms"];
            let column = (index - LEXICON_AT) % FAMILY_FEATURES;
            format!(
                "{} {}",
                family.name(),
                part.get(column).copied().unwrap_or_default()
            )
        }
        Some(Group::Structure) => STRUCTURE
            .get(index - STRUCTURE_AT)
            .copied()
            .unwrap_or_default()
            .to_owned(),
        Some(Group::Tokens) => tokens::COLUMNS
            .get(index - TOKENS_AT)
            .map(|(_, name)| (*name).to_owned())
            .unwrap_or_default(),
        Some(Group::Profile) => PROFILE_FEATURES
            .get(index - PROFILE_AT)
            .copied()
            .unwrap_or_default()
            .to_owned(),
        Some(Group::Skeleton) => format!("skeleton {}", index - TRIGRAMS_AT),
        None => String::new(),
    }
}

/// The columns of a request vector, in order.
const REQUEST_FEATURES: [&str; REQUEST_WIDTH] = [
    "method",
    "path depth",
    "path entropy",
    "path length",
    "query length",
    "parameter count",
    "encoded characters",
    "double encoding",
    "client's last status",
    "client's last status class",
    "client's last response size",
    "hour",
    "weekday",
    "weekend",
    "user agent length",
    "user agent entropy",
    "known bot",
    "known scanner",
    "attack pattern hit",
    "special character ratio",
    "file extension",
    "country",
    "private address",
    "requests in 1 minute",
    "requests in 5 minutes",
    "requests in 10 minutes",
    "error rate in 5 minutes",
    "distinct paths in 5 minutes",
    "distinct user agents in 10 minutes",
    "method entropy in 5 minutes",
    "mean response size in 5 minutes",
    "distinct status classes in 5 minutes",
    "path depth variance in 5 minutes",
    "mean time between requests",
    "deviation of the time between requests",
];

/// The name of column `index` of a request vector; empty beyond [`REQUEST_WIDTH`].
#[must_use]
pub fn request_feature_name(index: usize) -> &'static str {
    REQUEST_FEATURES.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::{FIELD_WIDTH, feature_group, feature_name, fingerprint, request_feature_name};

    #[test]
    fn every_column_has_a_name_of_its_own() {
        let names: std::collections::BTreeSet<&str> = (0..FIELD_WIDTH).map(feature_name).collect();
        assert_eq!(names.len(), FIELD_WIDTH);
        assert!(!names.contains(""));
        assert_eq!(feature_name(FIELD_WIDTH), "");
        assert_eq!(feature_group(FIELD_WIDTH), None);
        assert_eq!(
            request_feature_name(34),
            "deviation of the time between requests"
        );
    }

    #[test]
    fn the_fingerprint_is_stable_within_a_build() {
        assert_eq!(fingerprint(), fingerprint());
        assert!(fingerprint().starts_with(&format!("v{}-", super::SCHEMA_VERSION)));
    }
}
