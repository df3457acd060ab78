//! Attacks on the sites that a capture is of: every host gets payloads of its own, in requests and fields that it really has.
//!
//! Nothing but the payload may give an attack away: method, path, header names, parameter names and every other value
//! stay what they were, and so does the host. Payloads that need a path of their own (scanner probes) are left out.

use std::collections::{BTreeMap, HashSet};

use weir_features::Location;
use weir_scoring::record::OwnedRequest;

use super::samples::{AttackSample, GraftOptions, NormalSample, chosen, class_name, stable_hash};
use crate::data::Exposure;
use crate::exposure::dice::Dice;
use crate::exposure::graft::{Mode, graft};
use crate::exposure::{Payload, location_weights};

/// Attacks on a host where no number is given: enough that a rate near 97% is known to about two points.
pub const DEFAULT_PER_HOST_TEXT: &str = "200";

/// Draws for each attack that is wanted before a host goes without.
const MOST_DRAWS: usize = 20;

/// Grafts tried for one payload and place until nothing but a value has changed.
const MOST_TRIES: u64 = 24;

/// Grafts `per_host` payloads into the requests of each host.
#[must_use]
pub fn attacks(
    exposure: &Exposure,
    templates: &[NormalSample],
    per_host: usize,
    options: &GraftOptions,
) -> Vec<AttackSample> {
    let classes = by_class(&exposure.payloads, options.most_a_class);
    let mut hosts: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (index, template) in templates.iter().enumerate() {
        hosts.entry(&template.host).or_default().push(index);
    }
    let mut out = Vec::new();
    for (host, indices) in hosts {
        let places = Places::of(templates, &indices);
        let mut dice = Dice::derived(options.seed, stable_hash(host.as_bytes()));
        out.extend(of_host(&classes, templates, &places, per_host, &mut dice));
    }
    out
}

/// Payloads by class, with the square root of a class's size as its weight.
struct Classes<'p> {
    payloads: Vec<Vec<&'p Payload>>,
    weights: Vec<f64>,
}

#[expect(clippy::cast_precision_loss, reason = "the length of a list")]
fn by_class(payloads: &[Payload], most: Option<usize>) -> Classes<'_> {
    let mut classes: BTreeMap<String, Vec<&Payload>> = BTreeMap::new();
    for payload in chosen(payloads, most) {
        let class = class_name(&payload.class);
        if class != "scanner" {
            classes.entry(class).or_default().push(payload);
        }
    }
    let payloads: Vec<Vec<&Payload>> = classes.into_values().collect();
    Classes {
        weights: payloads
            .iter()
            .map(|list| (list.len() as f64).sqrt())
            .collect(),
        payloads,
    }
}

fn of_host(
    classes: &Classes<'_>,
    templates: &[NormalSample],
    places: &Places,
    wanted: usize,
    dice: &mut Dice,
) -> Vec<AttackSample> {
    let mut used: HashSet<&[u8]> = HashSet::new();
    let mut out = Vec::new();
    for _ in 0..wanted * MOST_DRAWS {
        if out.len() >= wanted {
            break;
        }
        let class = classes.payloads.get(dice.weighted(&classes.weights));
        let Some(payload) = class.and_then(|list| dice.choose(list)).copied() else {
            break;
        };
        if used.contains(payload.bytes.as_slice()) {
            continue;
        }
        if let Some(sample) = grafted(payload, templates, places, dice) {
            used.insert(&payload.bytes);
            out.push(sample);
        }
    }
    out
}

/// The requests of a host by the fields that they have.
struct Places(BTreeMap<Location, Vec<usize>>);

impl Places {
    fn of(templates: &[NormalSample], indices: &[usize]) -> Self {
        let mut places: BTreeMap<Location, Vec<usize>> = BTreeMap::new();
        for index in indices {
            let Some(template) = templates.get(*index) else {
                continue;
            };
            for location in fields_of(&template.request) {
                places.entry(location).or_default().push(*index);
            }
        }
        Self(places)
    }

    fn weights(&self, class: &str) -> Vec<f64> {
        let weights = location_weights(class);
        let possible = Location::ALL.iter().zip(weights);
        possible
            .map(|(location, weight)| {
                let own = *location != Location::QueryKey && self.0.contains_key(location);
                if own { weight } else { 0.0 }
            })
            .collect()
    }
}

/// The kinds of values that a request has.
fn fields_of(request: &OwnedRequest) -> Vec<Location> {
    let header = |name: &str| request.header(name).unwrap_or_default();
    let kind = header("content-type").to_ascii_lowercase();
    let is_form = kind
        .windows(21)
        .any(|part| part == b"x-www-form-urlencoded");
    let document = serde_json::from_slice::<serde_json::Value>(&request.body);
    let is_json =
        document.is_ok_and(|document| matches!(members(&document), Some(count) if count > 0));
    let mut out = vec![Location::QueryKey, Location::Header];
    let mut add = |there: bool, location| {
        if there {
            out.push(location);
        }
    };
    add(query(&request.target).contains(&b'='), Location::QueryValue);
    add(is_form && is_pairs(&request.body), Location::BodyValue);
    add(!is_form && is_json, Location::Json);
    add(header("cookie").contains(&b'='), Location::Cookie);
    add(!header("referer").is_empty(), Location::Referer);
    add(!header("user-agent").is_empty(), Location::UserAgent);
    out
}

/// Whether a body is what its content type says: beacons send JSON and bytes as forms.
fn is_pairs(body: &[u8]) -> bool {
    let plain = |name: &&[u8]| {
        !name.is_empty()
            && name.iter().all(|byte| {
                byte.is_ascii_alphanumeric()
                    || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
            })
    };
    body.contains(&b'=') && names(body, b'&').iter().all(plain)
}

fn grafted(
    payload: &Payload,
    templates: &[NormalSample],
    places: &Places,
    dice: &mut Dice,
) -> Option<AttackSample> {
    let (wanted, value) = wanted(payload);
    let weights = places.weights(&payload.class);
    let location = wanted
        .filter(|location| places.0.contains_key(location))
        .or_else(|| {
            let possible = weights.iter().any(|weight| *weight > 0.0);
            Location::ALL
                .get(dice.weighted(&weights))
                .copied()
                .filter(|_| possible)
        })?;
    let index = *dice.choose(places.0.get(&location)?)?;
    let template = templates.get(index)?;
    let seed = dice.between(0, u64::MAX - 1);
    let request = (0..MOST_TRIES).find_map(|attempt| {
        let mut dice = Dice::derived(seed, attempt);
        let mode = Mode::fitting(value, &mut dice);
        let after = graft(&template.request, location, value, mode, &mut dice).after;
        is_same_shape(&template.request, &after, location).then_some(after)
    })?;
    Some(AttackSample {
        vector: None,
        host: template.host.clone(),
        class: class_name(&payload.class),
        source: payload.source.clone(),
        location: Some(location),
        template: Some(index),
        payload: payload.bytes.clone(),
        request,
    })
}

/// Where a payload asks to go, and what of it is the value. Of `name=value` the name would be one that the site does not
/// have; only where the name itself is the attack (`user[$ne]=1`) does it stay.
fn wanted(payload: &Payload) -> (Option<Location>, &[u8]) {
    let bytes = payload.bytes.as_slice();
    match payload.location {
        Some(Location::QueryKey | Location::BodyKey) => {
            let at = bytes.iter().position(|byte| *byte == b'=');
            let (name, value) = at
                .and_then(|at| Some((bytes.get(..at)?, bytes.get(at + 1..)?)))
                .unwrap_or((bytes, &[]));
            let plain = name
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'));
            if plain && !value.is_empty() {
                (Some(Location::QueryValue), value)
            } else {
                (Some(Location::QueryKey), bytes)
            }
        }
        Some(Location::Path | Location::RawBody | Location::Xml) | None => (None, bytes),
        own => (own, bytes),
    }
}

fn query(target: &[u8]) -> &[u8] {
    let at = target.iter().position(|byte| *byte == b'?');
    at.and_then(|at| target.get(at + 1..)).unwrap_or_default()
}

fn names(pairs: &[u8], separator: u8) -> Vec<&[u8]> {
    pairs
        .split(|byte| *byte == separator)
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split(|byte| *byte == b'=').next().unwrap_or_default())
        .collect()
}

/// Members of a JSON object or list.
fn members(document: &serde_json::Value) -> Option<usize> {
    document
        .as_object()
        .map(serde_json::Map::len)
        .or_else(|| document.as_array().map(Vec::len))
}

/// Whether nothing but one value at `location` differs.
fn is_same_shape(before: &OwnedRequest, after: &OwnedRequest, location: Location) -> bool {
    let path = |request: &OwnedRequest| {
        let length = request.target.len() - query(&request.target).len();
        request.target.get(..length).map(|path| {
            path.strip_suffix(b"?")
                .map_or_else(|| path.to_vec(), <[u8]>::to_vec)
        })
    };
    let pairs = |request: &OwnedRequest| -> Vec<Vec<u8>> {
        let names = names(query(&request.target), b'&').into_iter();
        names.map(<[u8]>::to_vec).collect()
    };
    let is_key = location == Location::QueryKey;
    before.method == after.method
        && path(before) == path(after)
        && (is_key || pairs(before) == pairs(after))
        && headers_match(before, after, location)
        && body_matches(before, after, location)
}

fn headers_match(before: &OwnedRequest, after: &OwnedRequest, location: Location) -> bool {
    let own: Option<&[u8]> = match location {
        Location::Cookie => Some(b"cookie"),
        Location::Referer => Some(b"referer"),
        Location::UserAgent => Some(b"user-agent"),
        _ => None,
    };
    let cookies =
        |request: &OwnedRequest| names(request.header("cookie").unwrap_or_default(), b';').len();
    let pairs = || before.headers.iter().zip(&after.headers);
    let changed = pairs()
        .filter(|((name, a), (_, b))| a != b && !name.eq_ignore_ascii_case(b"content-length"))
        .filter(|((name, _), _)| !own.is_some_and(|own| name.eq_ignore_ascii_case(own)))
        .count();
    before.headers.len() == after.headers.len()
        && pairs().all(|((a, _), (b, _))| a == b)
        && cookies(before) == cookies(after)
        && changed == usize::from(location == Location::Header)
}

fn body_matches(before: &OwnedRequest, after: &OwnedRequest, location: Location) -> bool {
    let members = |body: &[u8]| {
        let document = serde_json::from_slice::<serde_json::Value>(body).ok()?;
        members(&document)
    };
    match location {
        Location::Json => members(&before.body) == members(&after.body),
        Location::BodyValue => names(&before.body, b'&') == names(&after.body, b'&'),
        _ => before.body == after.body,
    }
}

#[cfg(test)]
mod tests;
