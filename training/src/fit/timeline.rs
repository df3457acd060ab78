//! Profiles of what came before: for each request a profile of its site's past, never of the request itself.
//!
//! Must not be here: rows. What a profile says of a value that it has learned from is worthless for training: the network
//! would never meet normal novelty. So a site's traffic is cut in time, and every part is described by the profile of the
//! parts before it, as it will be when the model serves.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

use sha2::{Digest, Sha256};
use weir_features::profile::{Profile, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, Field, Scratch};
use weir_scoring::record::OwnedRequest;

use super::contamination;
use super::corpus::code_words;
use super::held_out::in_time;
use crate::data::LabelledRequest;
use crate::progress::{Progress, Stop, Stopped};

/// Where a site's traffic is cut: 30, 50, 75 and 100% of what training sees; the last fifth can be held out.
pub const CUTS: [f64; 4] = [0.24, 0.40, 0.60, 0.80];

/// Share of requests that may be suspected of being attacks.
const MOST_SUSPECTS: f64 = 0.1;

/// Requests between two looks at the stop flag.
const CHUNK: usize = 1024;

/// The past of each request.
#[derive(Debug)]
pub struct Timeline {
    /// How many cuts lie before each request.
    block: Vec<usize>,
    /// What was known before the first cut, and at each cut.
    profiles: Vec<Option<Profile>>,
    /// Everything.
    learned: ProfileBuilder,
}

impl Timeline {
    /// Learns from `requests` in time order, after what `known` has learned already.
    ///
    /// # Errors
    /// [`Stopped`] when `stop` was raised.
    pub fn learn(
        requests: &[LabelledRequest],
        known: Option<&ProfileBuilder>,
        seed: u64,
        progress: Progress,
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let block = blocks(requests);
        let suspects = suspects(requests);
        let mut learned = known
            .cloned()
            .unwrap_or_else(|| ProfileBuilder::new(key(requests, seed)));
        let mut profiles = vec![known.map(ProfileBuilder::freeze)];
        let mut stage = progress.stage("profile", requests.len() as u64);
        let mut scratch = Scratch::default();
        let extractor = Extractor::shared();
        for part in 0..=CUTS.len() {
            let members = (0..requests.len()).filter(|&i| block.get(i) == Some(&part));
            for (count, index) in members.enumerate() {
                if count.is_multiple_of(CHUNK) {
                    stop.check()?;
                    stage.advance(if count == 0 { 0 } else { CHUNK });
                }
                let Some(record) = requests.get(index) else {
                    continue;
                };
                if suspects.get(index) == Some(&true) {
                    continue;
                }
                let source = source(record);
                record.request.with_view(|view| {
                    let fields = extractor.extract(view, &mut scratch);
                    learned.observe(view, &fields, source);
                });
            }
            if part < CUTS.len() {
                profiles.push(Some(learned.freeze()));
            }
        }
        stage.finish(&format!("{} requests", learned.requests()));
        Ok(Self {
            block,
            profiles,
            learned,
        })
    }

    /// What was known when request number `index` came.
    #[must_use]
    pub fn past(&self, index: usize) -> Option<&Profile> {
        let block = *self.block.get(index)?;
        self.profiles.get(block)?.as_ref()
    }

    /// What all requests together taught.
    #[must_use]
    pub fn learned(&self) -> &ProfileBuilder {
        &self.learned
    }
}

/// How many cuts lie before each request: requests of one site are ranked among themselves.
fn blocks(requests: &[LabelledRequest]) -> Vec<usize> {
    positions(requests)
        .into_iter()
        .map(|position| CUTS.iter().filter(|cut| position >= **cut).count())
        .collect()
}

/// For each request the share of its site's requests that came before it.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "request counts stay far below 2^52"
)]
pub(super) fn positions(requests: &[LabelledRequest]) -> Vec<f64> {
    let mut ranks = vec![0usize; requests.len()];
    let mut counts: HashMap<&[u8], usize> = HashMap::new();
    for index in in_time(requests) {
        let (Some(rank), Some(request)) = (ranks.get_mut(index), requests.get(index)) else {
            continue;
        };
        let count = counts
            .entry(request.request.host().unwrap_or_default())
            .or_default();
        *rank = *count;
        *count += 1;
    }
    let count = |request: &LabelledRequest| {
        let host = request.request.host().unwrap_or_default();
        counts.get(host).copied().unwrap_or(1)
    };
    ranks
        .iter()
        .zip(requests)
        .map(|(&rank, request)| rank as f64 / count(request) as f64)
        .collect()
}

/// Requests with a value that is hardly anything but code: they must not teach what is usual. Where they are many,
/// code is what the site is about, and nobody is suspected.
#[expect(
    clippy::cast_precision_loss,
    reason = "request counts stay far below 2^52"
)]
fn suspects(requests: &[LabelledRequest]) -> Vec<bool> {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let is_code = |field: Field<'_>| {
        let hits = code_words(&extractor.evidence(field.value));
        contamination::is_dense(hits, field.value.len())
    };
    let mut is_suspect = |record: &LabelledRequest| {
        record.request.with_view(|view| {
            let fields = extractor.extract(view, &mut scratch);
            fields.iter().any(is_code)
        })
    };
    let suspects: Vec<bool> = requests.iter().map(&mut is_suspect).collect();
    let count = suspects.iter().filter(|suspect| **suspect).count();
    if count as f64 > MOST_SUSPECTS * requests.len() as f64 {
        return vec![false; requests.len()];
    }
    suspects
}

/// A number for the host of a request.
pub(super) fn site(record: &LabelledRequest) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    hasher.hash_one(record.request.host())
}

/// Who brought a request: the client, or the request itself where nobody is named, so that repetition proves nothing.
fn source(record: &LabelledRequest) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    match &record.client {
        Some(client) => hasher.hash_one(client),
        None => {
            let OwnedRequest {
                method,
                target,
                body,
                ..
            } = &record.request;
            hasher.hash_one((method, target, body))
        }
    }
}

/// The key of a new profile: only who has the very same traffic can guess it.
fn key(requests: &[LabelledRequest], seed: u64) -> ProfileKey {
    let mut hasher = Sha256::new();
    hasher.update(b"weir profile key");
    hasher.update(seed.to_le_bytes());
    for record in requests {
        hasher.update(source(record).to_le_bytes());
        for (name, value) in &record.request.headers {
            hasher.update(name);
            hasher.update(value);
        }
    }
    let digest: [u8; 32] = hasher.finalize().into();
    let mut key = [0; 16];
    key.iter_mut().zip(digest).for_each(|(to, from)| *to = from);
    ProfileKey::new(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(host: &str) -> LabelledRequest {
        LabelledRequest {
            request: OwnedRequest {
                method: b"GET".to_vec(),
                target: b"/".to_vec(),
                headers: vec![(b"Host".to_vec(), host.into())],
                body: Vec::new(),
            },
            ..LabelledRequest::default()
        }
    }

    #[test]
    fn sites_are_ranked_apart() {
        let requests: Vec<LabelledRequest> = ["a", "b", "a", "a", "a", "b"]
            .into_iter()
            .map(request)
            .collect();
        assert_eq!(positions(&requests), [0.0, 0.0, 0.25, 0.5, 0.75, 0.5]);
        assert_eq!(blocks(&requests), [0, 0, 1, 2, 3, 2]);
    }
}
