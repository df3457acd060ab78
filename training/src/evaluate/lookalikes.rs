//! Harmless text that reads like an attack, as a benign class of its own.
//!
//! Read are plain text (one look-alike a line), payload records and request records; `scripts/lookalikes.py build` makes
//! such requests of the false-positive sets of public collections. They are for measuring only and never train.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context;
use serde_json::{Map, Value};
use weir_features::Location;
use weir_scoring::budget::{Verdict, verdict};
use weir_scoring::record::{Label, OwnedRequest, RequestRecord, to_bytes};

use super::build::{About, combined, verdicts};
use super::report::{LookalikeRow, Lookalikes};
use super::samples::{NormalSample, stable_hash};
use super::{Scored, cases};
use crate::data::lines;
use crate::exposure::dice::Dice;
use crate::exposure::graft::{Mode, graft};

/// Where text stands that names no place.
const PLACES: [Location; 3] = [Location::QueryValue, Location::BodyValue, Location::Json];

/// One look-alike, before it has a request.
#[derive(Debug, Clone, PartialEq)]
pub enum Lookalike {
    /// Text for a place, or for each of three usual ones.
    Text(Vec<u8>, Option<Location>),
    /// A whole request and the collection that it names.
    Request {
        /// The request.
        request: OwnedRequest,
        /// The collection: the record's `source` or `set`.
        source: Option<String>,
        /// The harmless text in it: the record's `text`.
        text: Option<Vec<u8>>,
    },
}

/// A look-alike as a request.
#[derive(Debug, Clone)]
pub struct LookalikeSample {
    /// The request.
    pub request: OwnedRequest,
    /// The collection, or the file's name.
    pub source: String,
    /// Where the text stands; none for a whole request.
    pub location: Option<Location>,
    /// The text, or the request's target.
    pub text: Vec<u8>,
}

/// Reads look-alikes and puts each into one of `templates`, which should be requests that pass.
///
/// # Errors
/// When a file cannot be read or holds none.
pub fn read(
    paths: &[PathBuf],
    templates: &[&NormalSample],
    seed: u64,
) -> anyhow::Result<Vec<LookalikeSample>> {
    let mut out = Vec::new();
    for path in paths {
        let source = lines::stem(path);
        let before = out.len();
        lines::each(path, |_, line| {
            if let Some(found) = of_line(line) {
                out.extend(placed(found, &source, templates, seed));
            }
            true
        })
        .context("cannot read --lookalikes")?;
        anyhow::ensure!(
            out.len() > before,
            "{} holds no look-alikes: expected lines of text, payload records or request records",
            path.display()
        );
    }
    Ok(out)
}

fn placed(
    found: Lookalike,
    source: &str,
    templates: &[&NormalSample],
    seed: u64,
) -> Vec<LookalikeSample> {
    let (text, places) = match found {
        Lookalike::Request {
            request,
            source: own,
            text,
        } => {
            return vec![LookalikeSample {
                source: own.unwrap_or_else(|| source.to_owned()),
                location: None,
                text: text.unwrap_or_else(|| request.target.clone()),
                request,
            }];
        }
        Lookalike::Text(text, Some(place)) => (text, vec![place]),
        Lookalike::Text(text, None) => (text, PLACES.to_vec()),
    };
    let mut dice = Dice::derived(seed, stable_hash(&text));
    places
        .into_iter()
        .filter_map(|location| {
            let template = dice.choose(templates)?;
            let made = graft(&template.request, location, &text, Mode::Replace, &mut dice);
            Some(LookalikeSample {
                source: source.to_owned(),
                location: Some(location),
                text: text.clone(),
                request: made.after,
            })
        })
        .collect()
}

/// The look-alike of one line: a request record that is not labelled an attack, the text of a record, or the line itself.
#[must_use]
pub fn of_line(line: &[u8]) -> Option<Lookalike> {
    let Ok(object) = serde_json::from_slice::<Map<String, Value>>(line) else {
        return Some(Lookalike::Text(line.trim_ascii().to_vec(), None));
    };
    let key = |key: &str| object.get(key).and_then(Value::as_str);
    if !object.contains_key("uri") {
        let text = key("payload").or_else(|| key("text"))?;
        let place = key("location").and_then(Location::from_name);
        return Some(Lookalike::Text(to_bytes(text), place));
    }
    let record = RequestRecord::parse(line).ok()?;
    if record.label == Some(Label::Anomalous) {
        return None;
    }
    Some(Lookalike::Request {
        request: record.to_request().ok()?,
        source: key("source").or_else(|| key("set")).map(str::to_owned),
        text: key("text").map(to_bytes),
    })
}

/// Counts by source, and those that did not pass.
pub(super) fn table(scored: &[(LookalikeSample, Scored)], about: &About<'_>) -> Lookalikes {
    let mut rows: BTreeMap<&str, [usize; 3]> = BTreeMap::new();
    let mut sum = [0; 3];
    for (sample, scored) in scored {
        let [_, flagged, blocked] = verdicts(std::iter::once(scored.scores), &about.budgets);
        for counts in [rows.entry(&sample.source).or_default(), &mut sum] {
            for (count, more) in counts.iter_mut().zip([1, flagged + blocked, blocked]) {
                *count += more;
            }
        }
    }
    let named = rows.into_iter().chain([("all", sum)]);
    let mut worst: Vec<&(LookalikeSample, Scored)> = scored
        .iter()
        .filter(|(_, scored)| verdict(&scored.scores, &about.budgets) != Verdict::Pass)
        .collect();
    worst.sort_by(|a, b| combined(&b.1).total_cmp(&combined(&a.1)));
    Lookalikes {
        rows: named
            .map(|(name, [count, flagged, blocked])| LookalikeRow {
                name: name.to_owned(),
                count,
                flagged,
                blocked,
            })
            .collect(),
        worst: worst
            .into_iter()
            .take(cases::LISTED)
            .map(|pair| cases::of_lookalike(pair, about.engine))
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_text_payloads_or_requests() {
        assert_eq!(
            of_line(b"O'Brien and/or sons"),
            Some(Lookalike::Text(b"O'Brien and/or sons".to_vec(), None))
        );
        assert_eq!(
            of_line(br#"{"payload":"a < b","location":"json"}"#),
            Some(Lookalike::Text(b"a < b".to_vec(), Some(Location::Json)))
        );
        assert!(matches!(
            of_line(br#"{"method":"GET","uri":"/","source":"crs"}"#),
            Some(Lookalike::Request { source: Some(source), .. }) if source == "crs"
        ));
        assert_eq!(
            of_line(br#"{"method":"GET","uri":"/","label":"anomalous"}"#),
            None
        );
        assert_eq!(of_line(br#"{"other":1}"#), None);
    }
}
