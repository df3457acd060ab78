//! What is scored: normal requests, anomalous requests as they are, and payloads grafted into normal requests.
//!
//! Grafting for evaluation is the training code with a fixed seed and no obfuscation: a payload stands as its collection wrote it.

use std::collections::BTreeMap;

use sha2::{Digest as _, Sha256};
use weir_features::{Location, RequestVector};
use weir_scoring::record::OwnedRequest;

use crate::data::{Exposure, LabelledRequest};
use crate::exposure::dice::Dice;
use crate::exposure::encode::is_base64_text;
use crate::exposure::graft::{Mode, graft};
use crate::exposure::{Payload, benign, class, natural};

/// Share of payloads that follow the beginning of an ordinary value.
const PREFIX_SHARE: f64 = 0.3;

/// One normal request.
#[derive(Debug, Clone)]
pub struct NormalSample {
    /// The request.
    pub request: OwnedRequest,
    /// What the request detector gets.
    pub vector: Option<RequestVector>,
    /// The host asked for, in lower case and without its port.
    pub host: String,
    /// When it arrived.
    pub time: Option<f64>,
    /// The collection it comes from.
    pub source: String,
}

/// One attack.
#[derive(Debug, Clone)]
pub struct AttackSample {
    /// The request.
    pub request: OwnedRequest,
    /// What the request detector gets.
    pub vector: Option<RequestVector>,
    /// The host asked for, in lower case and without its port.
    pub host: String,
    /// The class of attack.
    pub class: String,
    /// The collection.
    pub source: String,
    /// Where it was grafted; none for a whole request.
    pub location: Option<Location>,
    /// Which of the normal requests it was grafted into; none for a whole request.
    pub template: Option<usize>,
    /// The payload, for the list of misses; empty for a whole request.
    pub payload: Vec<u8>,
}

/// How payloads become requests.
#[derive(Debug, Clone, Copy)]
pub struct GraftOptions {
    /// Of every random choice.
    pub seed: u64,
    /// At most this many payloads a class; of more, an even selection by hash.
    pub most_a_class: Option<usize>,
}

/// The first eight bytes of the SHA-256 of `bytes`: the same number on every machine.
pub(crate) fn stable_hash(bytes: &[u8]) -> u64 {
    first_eight(&Sha256::digest(bytes))
}

fn first_eight(digest: &[u8]) -> u64 {
    digest
        .iter()
        .take(8)
        .fold(0, |hash, byte| (hash << 8) | u64::from(*byte))
}

/// Normal requests as samples.
#[must_use]
pub fn normal(
    requests: &[LabelledRequest],
    vectors: Option<&[RequestVector]>,
) -> Vec<NormalSample> {
    let vector = |index: usize| vectors.and_then(|vectors| vectors.get(index)).copied();
    requests
        .iter()
        .enumerate()
        .map(|(index, record)| NormalSample {
            vector: vector(index),
            host: host(record),
            time: record.time,
            source: record.source.clone(),
            request: record.request.clone(),
        })
        .collect()
}

fn host(record: &LabelledRequest) -> String {
    record.host.clone().unwrap_or_default()
}

/// Attacks as samples: requests as they are, each distinct payload once, in a location natural to it.
#[must_use]
pub fn attacks(
    exposure: &Exposure,
    vectors: Option<&[RequestVector]>,
    templates: &[NormalSample],
    options: &GraftOptions,
) -> Vec<AttackSample> {
    let mut out = whole(exposure, vectors);
    out.extend(
        chosen(&exposure.payloads, options.most_a_class)
            .into_iter()
            .filter_map(|payload| grafted(payload, templates, options.seed)),
    );
    out
}

/// The requests among the attacks, as they are.
pub(super) fn whole(exposure: &Exposure, vectors: Option<&[RequestVector]>) -> Vec<AttackSample> {
    let vector = |index: usize| vectors.and_then(|vectors| vectors.get(index)).copied();
    exposure
        .requests
        .iter()
        .enumerate()
        .map(|(index, record)| AttackSample {
            vector: vector(index),
            host: host(record),
            class: record
                .attack_class
                .clone()
                .unwrap_or_else(|| "unlabelled".to_owned()),
            source: record.source.clone(),
            location: None,
            template: None,
            payload: Vec::new(),
            request: record.request.clone(),
        })
        .collect()
}

/// Distinct payloads, one place each, and at most `most` of a class.
pub(super) fn chosen(payloads: &[Payload], most: Option<usize>) -> Vec<&Payload> {
    let mut places: BTreeMap<(&str, &[u8]), Vec<&Payload>> = BTreeMap::new();
    for payload in payloads {
        places
            .entry((&payload.class, &payload.bytes))
            .or_default()
            .push(payload);
    }
    let mut by_class: BTreeMap<&str, Vec<(u64, &Payload)>> = BTreeMap::new();
    for ((class, bytes), list) in places {
        let hash = stable_hash(bytes);
        let index = usize::try_from(hash % list.len() as u64).unwrap_or_default();
        by_class
            .entry(class)
            .or_default()
            .extend(list.get(index).map(|payload| (hash, *payload)));
    }
    let mut out = Vec::new();
    for mut list in by_class.into_values() {
        list.sort_by_key(|(hash, _)| *hash);
        list.truncate(most.unwrap_or(usize::MAX));
        out.extend(list.into_iter().map(|(_, payload)| payload));
    }
    out
}

fn grafted(payload: &Payload, templates: &[NormalSample], seed: u64) -> Option<AttackSample> {
    let hash = stable_hash(&payload.bytes);
    let mut dice = Dice::derived(seed, hash);
    let index = dice.below(templates.len());
    let template = templates.get(index)?;
    let location = payload
        .location
        .unwrap_or_else(|| natural(&payload.class, &mut dice));
    let mut value = payload.bytes.clone();
    let whole = matches!(
        location,
        Location::RawBody | Location::Path | Location::QueryKey | Location::BodyKey
    );
    let prefixed = !whole && payload.location.is_none() && dice.chance(PREFIX_SHARE);
    if prefixed && !is_base64_text(&value) {
        value = [benign::value(&mut dice).as_bytes(), b" ", &value].concat();
    }
    let mode = if payload.location.is_some() || whole {
        Mode::Replace
    } else {
        Mode::fitting(&value, &mut dice)
    };
    let request = graft(&template.request, location, &value, mode, &mut dice).after;
    Some(AttackSample {
        vector: None,
        host: template.host.clone(),
        template: Some(index),
        class: class_name(&payload.class),
        source: payload.source.clone(),
        location: Some(location),
        payload: payload.bytes.clone(),
        request,
    })
}

/// The common name of a class, or its own where there is none.
pub(super) fn class_name(name: &str) -> String {
    match class::canonical(name) {
        "other" => name.to_owned(),
        known => known.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn templates() -> Vec<NormalSample> {
        let request = OwnedRequest {
            method: b"GET".to_vec(),
            target: b"/a?b=c".to_vec(),
            headers: vec![(b"Host".to_vec(), b"shop.example".to_vec())],
            body: Vec::new(),
        };
        normal(
            &[LabelledRequest {
                request,
                ..LabelledRequest::default()
            }],
            None,
        )
    }

    fn payload(text: &str, location: Option<Location>) -> Payload {
        Payload {
            bytes: text.into(),
            class: "SQL Injection".into(),
            source: "list".into(),
            location,
        }
    }

    #[test]
    fn each_payload_is_grafted_once_and_always_the_same_way() {
        let exposure = Exposure {
            payloads: vec![
                payload("' or 1=1", None),
                payload("' or 1=1", Some(Location::Cookie)),
                payload("1;drop", None),
            ],
            ..Exposure::default()
        };
        let options = GraftOptions {
            seed: 1,
            most_a_class: None,
        };
        let made = attacks(&exposure, None, &templates(), &options);
        assert_eq!(made.len(), 2);
        assert_eq!(made[0].class, "sqli");
        let again = attacks(&exposure, None, &templates(), &options);
        assert!(made.iter().zip(&again).all(|(a, b)| a.request == b.request));
        assert_eq!(
            attacks(
                &exposure,
                None,
                &templates(),
                &GraftOptions {
                    seed: 1,
                    most_a_class: Some(1)
                }
            )
            .len(),
            1
        );
    }
}
