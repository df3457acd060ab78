//! The requests that an operator should look at: the highest normal ones and the lowest attacks, with their explanations.

use weir_features::{Location, RequestVector};
use weir_scoring::engine::{Engine, EngineScratch, NoExceptions, Subject};
use weir_scoring::reason::{Reason, SecretKeys};
use weir_scoring::record::OwnedRequest;

use super::build::combined;
use super::lookalikes::LookalikeSample;
use super::report::{BIN_WIDTH, BINS, Case, Histogram};
use super::{Attack, Normal, Scored};

/// Cases of each kind.
pub(super) const LISTED: usize = 40;
/// Characters of a payload that are shown.
const TEXT: usize = 160;
/// Locations whose distribution is shown have at least this many samples.
const LEAST: usize = 20;

/// The highest normal requests.
pub(super) fn alarms(normal: &[Normal], engine: Option<&Engine>) -> Vec<Case> {
    let mut sorted: Vec<&Normal> = normal.iter().collect();
    sorted.sort_by(|a, b| combined(&b.1).total_cmp(&combined(&a.1)));
    let listed = sorted.into_iter().take(LISTED);
    listed.map(|normal| of_normal(normal, engine)).collect()
}

/// The lowest attacks.
pub(super) fn misses(attacks: &[Attack], engine: Option<&Engine>) -> Vec<Case> {
    let mut sorted: Vec<&Attack> = attacks.iter().collect();
    sorted.sort_by(|a, b| combined(&a.1).total_cmp(&combined(&b.1)));
    let listed = sorted.into_iter().take(LISTED);
    listed.map(|attack| of_attack(attack, engine)).collect()
}

/// A normal request as a case.
pub(super) fn of_normal((sample, scored): &Normal, engine: Option<&Engine>) -> Case {
    Case {
        location: scored.top.as_ref().map(|(location, _)| location.name()),
        source: sample.source.clone(),
        reason: explained(engine, &sample.request, sample.vector.as_ref()),
        ..case(scored, &sample.request)
    }
}

/// An attack as a case.
pub(super) fn of_attack((sample, scored): &Attack, engine: Option<&Engine>) -> Case {
    let text = if sample.payload.is_empty() {
        &sample.request.target
    } else {
        &sample.payload
    };
    Case {
        class: sample.class.clone(),
        source: sample.source.clone(),
        location: sample.location.map(Location::name),
        text: readable(text),
        reason: explained(engine, &sample.request, sample.vector.as_ref()),
        ..case(scored, &sample.request)
    }
}

/// A look-alike as a case.
pub(super) fn of_lookalike(
    (sample, scored): &(LookalikeSample, Scored),
    engine: Option<&Engine>,
) -> Case {
    Case {
        source: sample.source.clone(),
        location: scored.top.as_ref().map(|(location, _)| location.name()),
        text: readable(&sample.text),
        reason: explained(engine, &sample.request, None),
        ..case(scored, &sample.request)
    }
}

fn case(scored: &Scored, request: &OwnedRequest) -> Case {
    let key = scored.top.as_ref().map(|(_, key)| key.as_slice());
    Case {
        score: combined(scored),
        other: None,
        class: String::new(),
        source: String::new(),
        location: None,
        key: readable(key.unwrap_or_default()),
        host: readable(request.host().unwrap_or_default()),
        text: String::new(),
        reason: None,
    }
}

fn explained(
    engine: Option<&Engine>,
    request: &OwnedRequest,
    vector: Option<&RequestVector>,
) -> Option<Reason> {
    let engine = engine?;
    let mut scratch = EngineScratch::default();
    request.with_view(|view| {
        let subject = Subject {
            vector,
            ..Subject::of(view)
        };
        engine
            .explain(
                0,
                &subject,
                &NoExceptions,
                &mut scratch,
                &SecretKeys::default(),
            )
            .ok()
    })
}

/// Bytes as printable text, shortened.
fn readable(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .chars()
        .take(TEXT)
        .flat_map(char::escape_default)
        .collect()
}

/// Distributions of all normal requests and attacks, then of each location that decided often enough.
pub(super) fn histograms(normal: &[Normal], attacks: &[Attack]) -> Vec<Histogram> {
    let all = |location: Option<Location>| {
        let here = move |scored: &&Scored| {
            location
                .is_none_or(|location| scored.top.as_ref().is_some_and(|(top, _)| *top == location))
        };
        [
            histogram(
                "normal",
                location,
                normal.iter().map(|(_, s)| s).filter(here),
            ),
            histogram(
                "attack",
                location,
                attacks.iter().map(|(_, s)| s).filter(here),
            ),
        ]
    };
    let by_location = Location::ALL.iter().map(|location| all(Some(*location)));
    let enough = by_location.filter(|pair| pair.iter().all(|one| one.count >= LEAST));
    all(None).into_iter().chain(enough.flatten()).collect()
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "scores are from 0 to 99, and counts of samples far below 2^52"
)]
fn histogram<'s>(
    side: &str,
    location: Option<Location>,
    scores: impl Iterator<Item = &'s Scored>,
) -> Histogram {
    let mut counts = [0_u64; BINS];
    for scored in scores {
        let bin = (combined(scored) / BIN_WIDTH) as usize;
        if let Some(count) = counts.get_mut(bin.min(BINS - 1)) {
            *count += 1;
        }
    }
    let total: u64 = counts.iter().sum();
    Histogram {
        name: match location {
            Some(location) => format!("{side}: {}", location.name()),
            None => side.to_owned(),
        },
        count: usize::try_from(total).unwrap_or(usize::MAX),
        shares: counts
            .iter()
            .map(|count| *count as f64 / (total as f64).max(1.0))
            .collect(),
    }
}
