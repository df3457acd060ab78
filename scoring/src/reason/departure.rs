//! Departures from what a site's profile knows, as groups of columns and in words. Not here: what is usual (`place`).

use weir_features::profile::PROFILE_FEATURES;
use weir_features::schema::PROFILE_AT;

use super::cause::{Subject, Told, size};
use super::usual::thousands;

mod words;

use words::About;
pub(super) use words::{NEW_VALUE, known_values, noun, short};

/// A way to depart from what is usual at a place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Departure {
    /// A parameter that was never there.
    Key,
    /// Of another type than always.
    Type,
    /// Characters never seen, missing, or in other numbers and orders than usual.
    Characters,
    /// The order of letters, digits and punctuation.
    Shape,
    Length,
    /// A value that is not among those known.
    Value,
    /// Layers and kinds of encoding, nesting.
    Encoding,
    /// A path, a method or a file extension that the site does not have.
    Endpoint,
    /// The request's parameters together: unknown, missing, repeated.
    Names,
}

impl Departure {
    /// The departure that a profile column tells of; `None` for what describes the place, and for the total.
    pub(super) fn of(column: &str) -> Option<Self> {
        Some(match column {
            "parameter never seen at this endpoint" | "parameter never seen on this site" => {
                Self::Key
            }
            "of another type than always before" => Self::Type,
            "never seen kinds of character"
            | "kind of character missing that was always there"
            | "punctuation more often than ever"
            | "sequence of characters against the usual"
            | "least usual pair of characters"
            | "share of letters against the usual"
            | "share of digits against the usual"
            | "share of upper case against the usual"
            | "share of punctuation against the usual" => Self::Characters,
            "never seen character patterns"
            | "share of never seen character patterns"
            | "number of parts against the usual"
            | "never seen shape"
            | "rare shape" => Self::Shape,
            "length against the usual" | "length outside the range seen" | "never seen length" => {
                Self::Length
            }
            "never seen value" => Self::Value,
            "never seen layers of encoding" | "never seen kind of encoding or nesting" => {
                Self::Encoding
            }
            "never seen endpoint"
            | "never seen method at this endpoint"
            | "unknown part of the path"
            | "never seen file extension" => Self::Endpoint,
            "never seen set of parameters"
            | "parameters that this endpoint does not know"
            | "parameters missing that were always there"
            | "parameters repeated more often than ever" => Self::Names,
            _ => return None,
        })
    }
}

/// What is said of a secret value, whatever it is.
const DEPARTS: &str = "departs from what is usual here";
/// A parameter this surprising is named before everything else.
const FOREMOST: f32 = 1.0;
/// Numbers closer to usual than this, in deviations, are no departure.
const NOTABLE: f32 = 2.0;

/// A profile column of a row.
fn column(row: &[f32], name: &str) -> f32 {
    let at = PROFILE_FEATURES.iter().position(|feature| *feature == name);
    debug_assert!(at.is_some(), "a profile has no column `{name}`");
    at.and_then(|at| row.get(PROFILE_AT + at))
        .copied()
        .unwrap_or_default()
}

/// What is told before everything else: that a parameter was never there, on its value and on its name.
pub(super) fn foremost(subject: &Subject<'_>) -> Option<Departure> {
    let is = |name| column(subject.row, name) >= FOREMOST;
    if is("parameter never seen at this endpoint") || is("parameter never seen on this site") {
        return Some(Departure::Key);
    }
    let site = subject.site?;
    site.is_unknown_name(&subject.field)
        .then_some(Departure::Value)
}

/// A departure in words, where it is one that can be shown.
pub(super) fn told(departure: Departure, subject: &Subject<'_>) -> Option<Told> {
    let site = subject.site?;
    let of_value = matches!(
        departure,
        Departure::Type | Departure::Characters | Departure::Shape | Departure::Value
    );
    if of_value && subject.secret {
        return Some(Told::name(DEPARTS));
    }
    let about = About {
        row: subject.row,
        field: subject.field,
        site,
        seen: site.departures.as_ref(),
    };
    match departure {
        Departure::Key => about.key().map(Told::name),
        Departure::Type => about.kind().map(Told::name),
        Departure::Characters => about.characters(subject.shown),
        Departure::Shape => about.shape().map(Told::name),
        Departure::Length => length(subject).map(Told::name),
        Departure::Value => about.value().map(Told::name),
        Departure::Encoding => about.encoding().map(Told::name),
        Departure::Endpoint => about.endpoint().map(Told::name),
        Departure::Names => about.names().map(Told::name),
    }
}

/// A length that is unusual where the site's profile knows the place.
pub(super) fn length(subject: &Subject<'_>) -> Option<String> {
    let (least, most) = subject.site?.usual.lengths?;
    let bytes = subject.field.value.len();
    let told = size(bytes);
    if bytes < least as usize || bytes > most as usize {
        return Some(match (least, most) {
            (1, 1) => format!("{told}, where 1 is usual"),
            (least, most) if least == most => {
                format!("{told}, where {} are usual", thousands(most.into()))
            }
            _ => format!(
                "{told}, where {} to {} are usual",
                thousands(least.into()),
                thousands(most.into())
            ),
        });
    }
    let deviation = column(subject.row, "length against the usual");
    if column(subject.row, "never seen length") > 0.0 {
        Some(format!("a length never seen here: {told}"))
    } else if deviation.abs() >= NOTABLE {
        let word = if deviation > 0.0 { "longer" } else { "shorter" };
        Some(format!("{word} than most here: {told}"))
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use weir_features::profile::{PROFILE_CONTEXT, PROFILE_TOTAL};

    use super::*;

    #[test]
    fn every_column_is_a_departure_but_context_and_total() {
        for (at, name) in PROFILE_FEATURES.into_iter().enumerate() {
            let frame = PROFILE_CONTEXT.contains(&at) || at == PROFILE_TOTAL;
            assert_eq!(Departure::of(name).is_none(), frame, "{name}");
        }
    }
}
