//! Reasons: why a request scored as it did, in words that an operator can act on.
//!
//! What must not be here: the decision itself, and values of secret fields, of which only length and alphabet leave
//! this room.
//!
//! A reason names the most unusual fields, what in each value raised its score (found by ablation), marks the
//! part of the value with the most influence, and says what is usual there and what would have passed.

use std::fmt::{self, Write as _};

use serde::Serialize;
use weir_features::{Evidence, Extractor, Field, Marks, schema};

use crate::budget::Score;
use crate::bundle::{Manifest, Usual};

pub(crate) mod attribution;
mod cause;
mod departure;
mod evidence;
mod join;
mod mark;
mod names;
mod place;
mod secrets;
mod snippet;
mod usual;

use attribution::{Baseline, Influence};
use cause::{Cause, Subject};
pub(crate) use place::Site;
pub use place::{ShapeShare, UsualHere};
pub use secrets::SecretKeys;
pub use snippet::Snippet;

/// Fields that a reason explains.
pub const TOP_FIELDS: usize = 3;
/// Contributions named for the request as a whole.
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
    /// How rare such a score is, in words.
    pub rarity: String,
    /// What raised the score most; empty for an ordinary value.
    pub because: Vec<Contribution>,
    /// What is usual at this place; empty for an ordinary value.
    pub usual: String,
    /// The same in numbers.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub usual_here: Option<UsualHere>,
    /// What would have passed; empty for an ordinary value.
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
    /// Its share of everything that raised the score.
    pub share: f32,
}

impl fmt::Display for Contribution {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:.0}%)", self.what, self.share * 100.0)
    }
}

impl Reason {
    /// The reason as a few lines of text; one line for an ordinary request.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for field in &self.fields {
            // Writing into a string cannot fail.
            let _ = write!(text, "{}", field.to_text());
        }
        if let Some(request) = &self.request {
            let _ = writeln!(text, "Request as a whole: score {}", request.score);
            let _ = writeln!(text, "  Because: {}", join(&request.because));
        }
        text
    }
}

impl FieldReason {
    /// The reason as a few lines of text; one line for an ordinary value.
    #[must_use]
    pub fn to_text(&self) -> String {
        let place = self.place();
        if self.score.value() < NOTABLE {
            return format!(
                "Nothing unusual: the highest score of a field is {} ({place})\n",
                self.score
            );
        }
        format!(
            "{}: {}\n  Score {}: {}\n  Because: {}\n  Usual here: {}\n  Would pass: {}\n",
            capitalised(&place),
            self.value,
            self.score,
            self.rarity,
            join(&self.because),
            self.usual,
            self.would_pass,
        )
    }

    fn place(&self) -> String {
        let location = match self.location {
            "json" => "JSON value".to_owned(),
            "xml" => "XML part".to_owned(),
            other => other.replace('_', " "),
        };
        if self.key.is_empty() {
            location
        } else {
            format!("{location} `{}`", self.key)
        }
    }
}

fn capitalised(text: &str) -> String {
    let mut characters = text.chars();
    match characters.next() {
        Some(first) => first.to_uppercase().chain(characters).collect(),
        None => String::new(),
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

/// A field on its way to a reason: what the engine measured, and what in the value explains it.
pub(crate) struct Explanation<'a> {
    field: Field<'a>,
    score: Score,
    secret: bool,
    shown: std::borrow::Cow<'a, [u8]>,
    causes: Vec<Cause>,
    site: Option<Site>,
    mark: Option<std::ops::Range<usize>>,
}

impl<'a> Explanation<'a> {
    /// Names the causes of a field's score and finds the part of its value to mark.
    pub(crate) fn new(
        (field, score): (Field<'a>, Score),
        row: &[f32],
        influences: &[Influence],
        site: Option<Site>,
        context: &Context<'_>,
    ) -> Self {
        let secret = context.secrets.is_secret(field.location, field.key);
        let evidence: Vec<Evidence> = context.extractor.evidence(field.value);
        let shown = context.secrets.mask_inline(field.value);
        let causes = cause::causes(
            influences,
            &Subject {
                field,
                row,
                baseline: context.baseline,
                evidence: &evidence,
                shown: &shown,
                secret,
                usual: context.manifest.usual.get(field.location.name()),
                site: site.as_ref(),
            },
        );
        Self {
            mark: mark::marked_part(field.value, &causes),
            field,
            score,
            secret,
            shown,
            causes,
            site,
        }
    }

    /// The value without the marked part, where something is left of it. It is scored to tell what would have passed.
    pub(crate) fn without_mark(&self) -> Option<Vec<u8>> {
        let mark = self.mark.clone().filter(|_| !self.secret)?;
        let mut value = self.field.value.to_vec();
        value.drain(mark);
        value.iter().any(u8::is_ascii_alphanumeric).then_some(value)
    }

    /// The field as it is, to be scored with another value.
    pub(crate) fn field(&self) -> Field<'a> {
        self.field
    }

    /// The reason, given the score without the marked part.
    pub(crate) fn reason(self, without_mark: Option<Score>, context: &Context<'_>) -> FieldReason {
        let manifest = context.manifest;
        let place = manifest.usual.get(self.field.location.name());
        let value = if self.secret {
            Snippet::redacted(self.field.value)
        } else {
            Snippet::new(&self.shown, self.mark.clone())
        };
        let flag = manifest.budgets.flag.threshold();
        let scored = usual::Scored {
            score: self.score,
            without_mark,
        };
        FieldReason {
            location: self.field.location.name(),
            key: display_key(&self.field),
            score: self.score,
            value,
            rarity: usual::rarity(self.score, usual::Sample::of(manifest)),
            usual: self.usual(place),
            usual_here: UsualHere::of(self.site.as_ref(), place, self.secret),
            would_pass: self.would_pass(scored, flag, place),
            because: self
                .causes
                .iter()
                .map(|cause| Contribution {
                    what: cause.what(),
                    share: round_share(cause.share),
                })
                .collect(),
        }
    }
}

impl Explanation<'_> {
    fn usual(&self, location: Option<&Usual>) -> String {
        let in_general = || usual::usual(location, &self.causes);
        match &self.site {
            None => in_general(),
            Some(site) => place::usual(site, self.secret).unwrap_or_else(|| {
                let unheard_of = place::unheard_of(site, &self.field);
                format!("{unheard_of}; in general: {}", in_general())
            }),
        }
    }

    fn would_pass(&self, scored: usual::Scored, flag: Score, location: Option<&Usual>) -> String {
        if scored.score >= flag
            // What values of a secret look like is not told.
            && !self.secret
            && let Some(site) = &self.site
            && let Some(told) = place::would_pass(site, &self.field, &self.causes)
        {
            return told;
        }
        let site = self.site.as_ref();
        let shapes = site
            .and_then(|site| place::shapes(site, self.secret))
            .or_else(|| location.and_then(usual::shapes));
        usual::would_pass(scored, flag, shapes, &self.causes)
    }
}

/// What explanations of one request share.
#[derive(Clone, Copy)]
pub(crate) struct Context<'a> {
    pub(crate) extractor: &'a Extractor,
    pub(crate) manifest: &'a Manifest,
    pub(crate) baseline: &'a Baseline,
    pub(crate) secrets: &'a SecretKeys,
}

/// Of an ordinary field, that it is ordinary.
pub(crate) fn ordinary(field: &Field<'_>, score: Score, context: &Context<'_>) -> FieldReason {
    let value = if context.secrets.is_secret(field.location, field.key) {
        Snippet::redacted(field.value)
    } else {
        Snippet::new(&context.secrets.mask_inline(field.value), None)
    };
    FieldReason {
        location: field.location.name(),
        key: display_key(field),
        score,
        value,
        rarity: "nothing unusual".to_owned(),
        because: Vec::new(),
        usual: String::new(),
        usual_here: None,
        would_pass: String::new(),
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
