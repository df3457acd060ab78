//! The payloads that exposure draws from, balanced by class and source.

use std::collections::{BTreeMap, HashMap, HashSet};

use weir_features::{Extractor, Location, Scratch};

use super::dice::Dice;
use super::{Payload, class, grammar, junk};
use crate::data::{Exposure, LabelledRequest};

/// The source name of generated payloads.
pub const GRAMMAR: &str = "grammar";

/// How many payloads a grammar of weight 1 counts as when classes and sources are balanced.
const GRAMMAR_SIZE: f64 = 1500.0;

/// A field value that more of the requests than this share have in common belongs to the tool, not to its attacks.
const COMMON_SHARE: f64 = 0.004;

/// Payloads by class and source.
#[derive(Debug, Clone, Default)]
pub struct Pool {
    classes: Vec<Class>,
    weights: Vec<f64>,
}

#[derive(Debug, Clone)]
struct Class {
    name: String,
    /// Payloads of one source each; the generated ones last, as an empty list.
    sources: Vec<Vec<Payload>>,
    weights: Vec<f64>,
}

impl Pool {
    /// Balances payloads, the fields taken out of anomalous requests and, if `generate`, the built-in grammars, by the square root of class and
    /// source sizes. Duplicates count once.
    #[must_use]
    pub fn new(exposure: &Exposure, extractor: &Extractor, generate: bool) -> Self {
        let mut seen = HashSet::new();
        let mut groups: BTreeMap<String, BTreeMap<String, Vec<Payload>>> = BTreeMap::new();
        let taken = from_requests(&exposure.requests, extractor);
        for payload in exposure.payloads.iter().chain(&taken) {
            let class = class::canonical(&payload.class);
            if junk::reason(&payload.bytes, class).is_none()
                && seen.insert((payload.bytes.clone(), payload.location))
            {
                let sources = groups.entry(class.to_owned()).or_default();
                sources
                    .entry(payload.source.clone())
                    .or_default()
                    .push(Payload {
                        class: class.to_owned(),
                        ..payload.clone()
                    });
            }
        }
        let generated: HashMap<&str, f64> = if generate {
            grammar::CLASSES.iter().copied().collect()
        } else {
            HashMap::new()
        };
        for name in generated.keys() {
            groups.entry((*name).to_owned()).or_default();
        }
        let classes: Vec<Class> = groups
            .into_iter()
            .map(|(name, sources)| Class::new(name, sources, &generated))
            .collect();
        let weights = classes.iter().map(Class::weight).collect();
        Self { classes, weights }
    }

    /// Whether there is nothing to draw.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.classes.is_empty()
    }

    /// Draws a payload.
    pub fn draw(&self, dice: &mut Dice) -> Option<Payload> {
        self.classes.get(dice.weighted(&self.weights))?.draw(dice)
    }
}

impl Class {
    #[expect(clippy::cast_precision_loss, reason = "list lengths")]
    fn new(
        name: String,
        sources: BTreeMap<String, Vec<Payload>>,
        generated: &HashMap<&str, f64>,
    ) -> Self {
        let mut sources: Vec<Vec<Payload>> = sources.into_values().collect();
        let mut weights: Vec<f64> = sources
            .iter()
            .map(|list| (list.len() as f64).sqrt())
            .collect();
        if let Some(weight) = generated.get(name.as_str()) {
            sources.push(Vec::new());
            weights.push((GRAMMAR_SIZE * weight).sqrt());
        }
        Self {
            name,
            sources,
            weights,
        }
    }

    fn weight(&self) -> f64 {
        self.weights
            .iter()
            .map(|weight| weight * weight)
            .sum::<f64>()
            .sqrt()
    }

    fn draw(&self, dice: &mut Dice) -> Option<Payload> {
        let list = self.sources.get(dice.weighted(&self.weights))?;
        if let Some(payload) = dice.choose(list) {
            return Some(payload.clone());
        }
        let (text, place) = grammar::placed(&self.name, dice)?;
        Some(Payload {
            location: place.or_else(|| piece_location(&text, &self.name)),
            bytes: text.into_bytes(),
            class: self.name.clone(),
            source: GRAMMAR.to_owned(),
        })
    }
}

/// Generated pieces like `a[$ne]=1&b[$ne]=1` are names as well as values.
fn piece_location(text: &str, class: &str) -> Option<Location> {
    let operator_in_key = matches!(class, "nosqli" | "prototype" | "deserialization")
        && text.split('=').next().is_some_and(|key| {
            key.len() < text.len()
                && key.contains(['[', '.', '_'])
                && !key.contains(['{', '\'', '"', ' '])
        });
    operator_in_key.then_some(Location::QueryKey)
}

/// The attacking fields of whole requests: what is rare among them and shows evidence or unusual punctuation. Host, agent and path of the tool
/// that sent them stay behind.
fn from_requests(requests: &[LabelledRequest], extractor: &Extractor) -> Vec<Payload> {
    let mut counts: HashMap<(Location, Vec<u8>), usize> = HashMap::new();
    let mut scratch = Scratch::default();
    let mut fields = Vec::with_capacity(requests.len());
    for request in requests {
        let found: Vec<(Location, Vec<u8>)> = request.request.with_view(|view| {
            extractor
                .extract(view, &mut scratch)
                .iter()
                .map(|field| (field.location, field.value.to_vec()))
                .collect()
        });
        for field in &found {
            *counts.entry(field.clone()).or_default() += 1;
        }
        fields.push(found);
    }
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a small share of a count"
    )]
    let common = ((requests.len() as f64 * COMMON_SHARE) as usize).max(12);
    let mut out = Vec::new();
    for (request, found) in requests.iter().zip(fields) {
        let rare = found.into_iter().filter(|field| {
            counts.get(field).is_some_and(|count| *count <= common)
                && !junk::is_harmless_field(&field.1)
        });
        let (strong, weak): (Vec<_>, Vec<_>) =
            rare.partition(|(_, value)| !extractor.evidence(value).is_empty());
        let chosen = if strong.is_empty() { weak } else { strong };
        out.extend(
            chosen
                .into_iter()
                .filter(|(location, _)| {
                    *location != Location::UserAgent
                        || request.attack_class.as_deref() == Some("scanner")
                })
                .map(|(location, bytes)| Payload {
                    bytes,
                    class: request
                        .attack_class
                        .clone()
                        .unwrap_or_else(|| "other".to_owned()),
                    source: request.source.clone(),
                    location: match location {
                        Location::QueryKey | Location::BodyKey | Location::RawBody => None,
                        other => Some(other),
                    },
                }),
        );
    }
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn payload(text: &str, class: &str) -> Payload {
        Payload {
            bytes: text.into(),
            class: class.into(),
            source: "list".into(),
            location: None,
        }
    }

    #[test]
    fn large_classes_do_not_drown_small_ones() {
        let mut exposure = Exposure::default();
        exposure
            .payloads
            .extend((0..10_000).map(|n| payload(&format!("../../{n}"), "traversal")));
        exposure
            .payloads
            .extend((0..25).map(|n| payload(&format!("*)(uid={n}"), "ldap")));
        exposure.payloads.push(payload("word", "ldap"));
        let pool = Pool::new(&exposure, Extractor::shared(), false);
        let mut dice = Dice::new(1);
        let drawn: Vec<Payload> = (0..4000).map(|_| pool.draw(&mut dice).unwrap()).collect();
        let ldap = drawn
            .iter()
            .filter(|payload| payload.class == "ldap")
            .count();
        assert!((120..280).contains(&ldap), "{ldap}");
        assert!(drawn.iter().all(|payload| payload.bytes != b"word"));
    }

    #[test]
    fn grammars_alone_fill_a_pool() {
        let pool = Pool::new(&Exposure::default(), Extractor::shared(), true);
        let mut dice = Dice::new(1);
        let classes: HashSet<String> = (0..3000)
            .map(|_| pool.draw(&mut dice).unwrap().class)
            .collect();
        assert_eq!(classes.len(), grammar::CLASSES.len());
        assert!(Pool::new(&Exposure::default(), Extractor::shared(), false).is_empty());
    }

    #[test]
    fn the_tool_stays_behind_when_requests_are_taken_apart() {
        let requests: Vec<LabelledRequest> = (0..40)
            .map(|n| {
                let line = format!("{{\"method\":\"GET\",\"uri\":\"/get?x=%27%20or%20{n}%3D{n}--\",\"headers\":[[\"User-Agent\",\"Agent (test; 1.0)\"],[\"X-A\",\"a/b;(c)\"]],\"attack_class\":\"sqli\"}}");
                LabelledRequest { request: weir_scoring::record::RequestRecord::parse(line.as_bytes()).unwrap().to_request().unwrap(), attack_class: Some("sqli".into()), ..LabelledRequest::default() }
            })
            .collect();
        let taken = from_requests(&requests, Extractor::shared());
        assert!(taken.len() >= 40);
        assert!(
            taken
                .iter()
                .all(|payload| payload.location == Some(Location::QueryValue)),
            "{taken:?}"
        );
    }
}
