//! Reasons: why a request scored as it did, in words that an operator can act on.
//!
//! What must not be here: the decision itself, and values of secret fields, of which only length and alphabet leave
//! this room.
//!
//! A reason names the most unusual fields, marks the part of each value that reads like code, lists what contributed to
//! its reconstruction error in plain words, and says what is usual there and what would have passed.

use std::fmt::{self, Write as _};

use serde::Serialize;
use weir_features::{Extractor, Field, Marks, schema};

use crate::budget::Score;
use crate::bundle::Manifest;

mod secrets;
mod snippet;
mod words;

pub use secrets::SecretKeys;
pub use snippet::Snippet;
pub(crate) use snippet::marked_part;

/// Fields that a reason explains.
pub const TOP_FIELDS: usize = 3;
/// Contributions named for each field.
const TOP_CONTRIBUTIONS: usize = 4;
/// Smaller shares of an error are not worth a word.
const SMALLEST_SHARE: f32 = 0.04;
/// Further fields, and the request as a whole, are explained from this score on: one normal request in ten reaches it.
pub(crate) const NOTABLE: f32 = 1.0;
/// Characters of a key that are shown.
const KEY_CHARACTERS: usize = 80;

/// Why a request scored as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Reason {
    /// The most unusual field, and up to two others that are unusual as well.
    pub fields: Vec<FieldReason>,
    /// What the request detector found, where it found something.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request: Option<RequestReason>,
}

/// Why one field scored as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct FieldReason {
    /// Name of the location.
    pub location: &'static str,
    /// The parameter, header or cookie name, or the JSON path; empty where the location has no names.
    pub key: String,
    /// The score the request would have if this were its only field.
    pub score: Score,
    /// The decoded value, or what may be said of it.
    pub value: Snippet,
    /// What contributed most to the score: first what can be named in the value, then what is about its shape.
    pub because: Vec<Contribution>,
    /// What is usual at this location.
    pub usual: String,
    /// What would have passed.
    pub would_pass: String,
}

/// Why the request as a whole scored as it did.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RequestReason {
    /// The request detector's score.
    pub score: Score,
    /// The features that contributed most.
    pub because: Vec<Contribution>,
}

/// One contribution to a score.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Contribution {
    /// What was found, in words.
    pub what: String,
    /// Its share of the reconstruction error.
    pub share: f32,
}

impl fmt::Display for Contribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:.0}%)", self.what, self.share * 100.0)
    }
}

impl Reason {
    /// The reason as a few lines of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for field in &self.fields {
            // Writing into a string cannot fail.
            let _ = write!(text, "{}", field.to_text());
        }
        if let Some(request) = &self.request {
            let _ = writeln!(text, "the request as a whole: score {}", request.score);
            let _ = writeln!(text, "  because: {}", join(&request.because));
        }
        text
    }
}

impl FieldReason {
    /// The reason as a few lines of text.
    #[must_use]
    pub fn to_text(&self) -> String {
        let key = if self.key.is_empty() {
            String::new()
        } else {
            format!(" `{}`", self.key)
        };
        format!(
            "{}{key}: {}\n  score {}: {}\n  because: {}\n  usual: {}\n  would pass: {}\n",
            self.location,
            self.value,
            self.score,
            rarity(self.score),
            join(&self.because),
            self.usual,
            self.would_pass,
        )
    }
}

fn join(contributions: &[Contribution]) -> String {
    if contributions.is_empty() {
        return "many small deviations, none of which stands out".to_owned();
    }
    contributions
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}

/// A score as a frequency. Beyond one in a million the sample says nothing but "rare".
fn rarity(score: Score) -> String {
    let one_in = score.probability().recip();
    if one_in < 1.5 {
        "ordinary".to_owned()
    } else if one_in > 1e6 {
        "fewer than one normal request in a million has a value this unusual".to_owned()
    } else {
        format!(
            "about one normal request in {} has a value this unusual",
            words::rounded(one_in)
        )
    }
}

/// What the engine measured about one field.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured<'a> {
    pub(crate) field: Field<'a>,
    pub(crate) row: &'a [f32],
    pub(crate) residuals: &'a [f32],
    pub(crate) score: Score,
    /// The score without the marked part of the value, where there is one.
    pub(crate) without_mark: Option<Score>,
}

/// Explains one field.
pub(crate) fn explain_field(
    extractor: &Extractor,
    manifest: &Manifest,
    secrets: &SecretKeys,
    measured: &Measured<'_>,
) -> FieldReason {
    let field = &measured.field;
    let secret = secrets.is_secret(field.location, field.key);
    let evidence = extractor.evidence(field.value);
    let shown = secrets.mask_inline(field.value);
    let groups = words::contributions(field, measured.row, measured.residuals);
    let because: Vec<Contribution> = groups
        .iter()
        .filter(|group| group.share >= SMALLEST_SHARE)
        .take(TOP_CONTRIBUTIONS)
        .map(|group| Contribution {
            what: group.describe(field, &shown, &evidence, secret),
            share: round_share(group.share),
        })
        .collect();
    let usual = manifest.usual.get(field.location.name());
    let value = if secret {
        Snippet::redacted(field.value)
    } else {
        Snippet::new(&shown, marked_part(field.value, &evidence))
    };
    let passes = measured
        .without_mark
        .filter(|score| *score < manifest.budgets.flag.threshold());
    FieldReason {
        location: field.location.name(),
        key: display_key(field),
        score: measured.score,
        value,
        usual: words::usual(usual, &groups),
        would_pass: match passes {
            Some(score) if !secret => {
                format!("the same value without the marked part (score {score})")
            }
            _ => words::would_pass(field, usual, &groups),
        },
        because,
    }
}

/// Explains the request detector's score from its residuals.
pub(crate) fn explain_request(score: Score, vector: &[f32], residuals: &[f32]) -> RequestReason {
    let total: f32 = residuals.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let mut because: Vec<Contribution> = residuals
        .iter()
        .zip(vector)
        .enumerate()
        .map(|(index, (residual, value))| Contribution {
            what: format!("{} ({value:.2})", schema::request_feature_name(index)),
            share: round_share(residual / total),
        })
        .filter(|contribution| contribution.share >= SMALLEST_SHARE)
        .collect();
    because.sort_by(|a, b| b.share.total_cmp(&a.share));
    because.truncate(TOP_CONTRIBUTIONS);
    RequestReason { score, because }
}

fn round_share(share: f32) -> f32 {
    (share.clamp(0.0, 1.0) * 1000.0).round() / 1000.0
}

fn display_key(field: &Field<'_>) -> String {
    let mut key = snippet::printable(field.key);
    if key.chars().count() > KEY_CHARACTERS {
        key = key.chars().take(KEY_CHARACTERS).collect();
        key.push('…');
    }
    if field.marks.contains(Marks::WINDOW) || field.marks.contains(Marks::OVERFLOW) {
        key.push_str(if key.is_empty() {
            "part of a longer text"
        } else {
            ", part of a longer value"
        });
    }
    key
}
