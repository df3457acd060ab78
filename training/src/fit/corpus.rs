//! Requests to distinct rows: what the networks see of a data set, each row once, and which rows make up a request.
//!
//! Must not be here: labels, splits and any judgement of a row.

use std::collections::HashMap;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher, Hash, Hasher};
use std::sync::Mutex;

use ndarray::Array2;
use weir_features::profile::{Endpoint, PROFILE_WIDTH};
use weir_features::schema::PROFILE_AT;
use weir_features::{Evidence, Extractor, FIELD_WIDTH, Field, Location, Marks, Scratch};
use weir_scoring::record::OwnedRequest;

use super::timeline::Timeline;
use super::usual;
use crate::progress::{Progress, Stage, Stop, Stopped};

/// Requests a worker takes between two looks at the stop flag.
const CHUNK: usize = 256;

/// Bytes of a suspicious value that are kept for the review file.
const SNIPPET: usize = 200;

/// Bytes from which a lexicon hit counts as a word.
const WORD: usize = 3;

/// What is known about a distinct row besides its numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RowFacts {
    /// Where the field stood.
    pub location: Location,
    /// True when a profile of the site's past has a say in the row.
    pub profiled: bool,
    /// Bytes of the decoded value.
    pub length: u32,
    /// Lexicon families with at least one hit, as names.
    pub families: Vec<&'static str>,
    /// Lexicon hits that are words of code rather than single marks.
    pub hits: u16,
    /// The value without its letters and digits.
    pub skeleton: String,
    /// The raw field behind a row with any lexicon hit: for the review of quarantined rows only, never for a bundle.
    pub suspect: Option<Box<Suspect>>,
}

/// A field with something in it that could be code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    /// Parameter name.
    pub key: Vec<u8>,
    /// The beginning of the decoded value.
    pub value: Vec<u8>,
}

/// The distinct rows of a data set.
#[derive(Debug)]
pub struct Corpus {
    /// One raw row per distinct feature vector.
    pub rows: Array2<f32>,
    /// What else is known of each row.
    pub facts: Vec<RowFacts>,
    /// Rows of each request, ascending and without duplicates, in the order of the input.
    pub requests: Vec<Vec<u32>>,
    /// Each distinct field once: where it stands (a hash of location and key) and its row; ascending.
    pub fields: Vec<(u64, u32)>,
    seen: Vec<u32>,
}

impl Corpus {
    /// Extracts `requests` with `threads` workers; the result does not depend on their number. With a timeline each row
    /// is described by the profile of its request's past.
    ///
    /// # Errors
    /// [`Stopped`] when `stop` was raised.
    pub fn extract(
        requests: &[&OwnedRequest],
        timeline: Option<&Timeline>,
        threads: usize,
        progress: Progress,
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let stage = Mutex::new(progress.stage("extract", requests.len() as u64));
        let share = requests.len().div_ceil(threads.max(1)).max(1);
        let parts: Vec<Result<Part, Stopped>> = std::thread::scope(|scope| {
            let workers: Vec<_> = requests
                .chunks(share)
                .enumerate()
                .map(|(index, slice)| {
                    let past = Past {
                        timeline,
                        first: index * share,
                    };
                    let stage = &stage;
                    scope.spawn(move || Part::extract(slice, past, stage, stop))
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or(Err(Stopped)))
                .collect()
        });
        let mut merged = Part::default();
        for part in parts {
            merged.append(part?);
        }
        let corpus = merged.into_corpus();
        if let Ok(stage) = stage.into_inner() {
            stage.finish(&format!(
                "{} requests, {} distinct rows",
                requests.len(),
                corpus.facts.len()
            ));
        }
        Ok(corpus)
    }

    /// How many requests carry a row.
    #[must_use]
    pub fn seen(&self, row: u32) -> u32 {
        self.seen.get(row as usize).copied().unwrap_or(0)
    }

    /// Which rows the chosen requests use, ascending.
    #[must_use]
    pub fn rows_of(&self, chosen: impl Fn(usize) -> bool) -> Vec<u32> {
        let mut used = vec![false; self.facts.len()];
        for (_, rows) in self.requests.iter().enumerate().filter(|(i, _)| chosen(*i)) {
            for &row in rows {
                if let Some(used) = used.get_mut(row as usize) {
                    *used = true;
                }
            }
        }
        (0..)
            .zip(used)
            .filter_map(|(row, used)| used.then_some(row))
            .collect()
    }

    /// The numbers of the chosen rows.
    #[must_use]
    pub fn select(&self, rows: &[u32]) -> Array2<f32> {
        let indices: Vec<usize> = rows.iter().map(|&row| row as usize).collect();
        self.rows.select(ndarray::Axis(0), &indices)
    }
}

/// Hashing with fixed keys: the same data gives the same row numbers in every run.
type FixedHasher = BuildHasherDefault<DefaultHasher>;

/// Which past the requests of a slice have.
#[derive(Clone, Copy)]
struct Past<'a> {
    timeline: Option<&'a Timeline>,
    /// Number of the slice's first request.
    first: usize,
}

#[derive(Default)]
struct Part {
    values: Vec<f32>,
    facts: Vec<RowFacts>,
    row_hashes: Vec<u64>,
    /// Place and row of each distinct field.
    by_field: HashMap<u64, (u64, u32), FixedHasher>,
    by_row: HashMap<u64, u32, FixedHasher>,
    requests: Vec<Vec<u32>>,
}

impl Part {
    fn extract(
        requests: &[&OwnedRequest],
        past: Past<'_>,
        stage: &Mutex<Stage>,
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let extractor = Extractor::shared();
        let mut scratch = Scratch::default();
        let mut part = Self::default();
        let mut row = vec![0.0; FIELD_WIDTH];
        let mut number = past.first;
        for chunk in requests.chunks(CHUNK) {
            stop.check()?;
            for request in chunk {
                let profile = past.timeline.and_then(|timeline| timeline.past(number));
                number += 1;
                let rows = request.with_view(|view| {
                    let fields = extractor.extract(view, &mut scratch);
                    let endpoint = profile
                        .map(|profile| profile.endpoint(view, &fields))
                        .filter(Endpoint::is_known);
                    fields
                        .iter()
                        .map(|field| part.number(extractor, &field, endpoint.as_ref(), &mut row))
                        .collect::<Vec<u32>>()
                });
                part.push_request(rows);
            }
            if let Ok(mut stage) = stage.lock() {
                stage.advance(chunk.len());
            }
        }
        Ok(part)
    }

    fn push_request(&mut self, mut rows: Vec<u32>) {
        rows.sort_unstable();
        rows.dedup();
        self.requests.push(rows);
    }

    /// The number of a field's row. Equal fields are met again and again, so a field is hashed before its row is made.
    fn number(
        &mut self,
        extractor: &Extractor,
        field: &Field<'_>,
        endpoint: Option<&Endpoint<'_>>,
        row: &mut [f32],
    ) -> u32 {
        let mut profile = [0.0; PROFILE_WIDTH];
        let profiled = endpoint.is_some_and(|endpoint| endpoint.write(field, &mut profile));
        let field_hash = hash_field(field, &profile);
        if let Some(&(_, number)) = self.by_field.get(&field_hash) {
            return number;
        }
        extractor.row(field, row);
        if let Some(columns) = row.get_mut(PROFILE_AT..PROFILE_AT + PROFILE_WIDTH) {
            columns.copy_from_slice(&profile);
        }
        let row_hash = hash_row(row);
        let number = match self.by_row.get(&row_hash) {
            Some(&number) => number,
            None => self.push_row(row, row_hash, || facts(extractor, field, profiled)),
        };
        let place = FixedHasher::default().hash_one((field.location.index(), field.key));
        self.by_field.insert(field_hash, (place, number));
        number
    }

    fn push_row(&mut self, row: &[f32], hash: u64, facts: impl FnOnce() -> RowFacts) -> u32 {
        let number = u32::try_from(self.facts.len()).unwrap_or(u32::MAX);
        self.values.extend_from_slice(row);
        self.facts.push(facts());
        self.row_hashes.push(hash);
        self.by_row.insert(hash, number);
        number
    }

    fn append(&mut self, part: Self) {
        let rows = part.values.chunks_exact(FIELD_WIDTH);
        let mut numbers = Vec::with_capacity(part.facts.len());
        for ((row, facts), &hash) in rows.zip(part.facts).zip(&part.row_hashes) {
            numbers.push(match self.by_row.get(&hash) {
                Some(&number) => number,
                None => self.push_row(row, hash, || facts),
            });
        }
        for (field, (place, row)) in part.by_field {
            if let Some(&row) = numbers.get(row as usize) {
                self.by_field.entry(field).or_insert((place, row));
            }
        }
        for rows in part.requests {
            let rows = rows
                .iter()
                .filter_map(|&row| numbers.get(row as usize).copied());
            self.push_request(rows.collect());
        }
    }

    #[expect(
        clippy::expect_used,
        reason = "every push adds exactly one row of values"
    )]
    fn into_corpus(self) -> Corpus {
        let shape = (self.facts.len(), FIELD_WIDTH);
        let rows = Array2::from_shape_vec(shape, self.values)
            .expect("one row of values for each row's facts");
        let mut seen = vec![0; self.facts.len()];
        for &row in self.requests.iter().flatten() {
            if let Some(seen) = seen.get_mut(row as usize) {
                *seen += 1;
            }
        }
        let mut fields: Vec<(u64, u32)> = self.by_field.into_values().collect();
        fields.sort_unstable();
        Corpus {
            rows,
            facts: self.facts,
            requests: self.requests,
            fields,
            seen,
        }
    }
}

fn facts(extractor: &Extractor, field: &Field<'_>, profiled: bool) -> RowFacts {
    let evidence = extractor.evidence(field.value);
    let mut families: Vec<&'static str> = evidence.iter().map(|hit| hit.family.name()).collect();
    families.sort_unstable();
    families.dedup();
    let hits = code_words(&evidence);
    let suspect = (!families.is_empty()).then(|| {
        let value = field.value.get(..SNIPPET).unwrap_or(field.value);
        Box::new(Suspect {
            key: field.key.to_vec(),
            value: value.to_vec(),
        })
    });
    let length = u32::try_from(field.value.len()).unwrap_or(u32::MAX);
    let skeleton = usual::skeleton(field.value);
    RowFacts {
        location: field.location,
        profiled,
        length,
        families,
        hits,
        skeleton,
        suspect,
    }
}

/// How many words of code are among the evidence. Single marks such as a quote are everywhere in random values.
#[must_use]
pub(super) fn code_words(evidence: &[Evidence]) -> u16 {
    let words = evidence.iter().filter(|hit| hit.end - hit.start >= WORD);
    u16::try_from(words.count()).unwrap_or(u16::MAX)
}

fn hash_field(field: &Field<'_>, profile: &[f32]) -> u64 {
    let mut hasher = FixedHasher::default().build_hasher();
    for value in profile {
        value.to_bits().hash(&mut hasher);
    }
    field.location.index().hash(&mut hasher);
    field.key.hash(&mut hasher);
    field.value.hash(&mut hasher);
    [field.layers, field.obfuscations].hash(&mut hasher);
    for mark in [
        Marks::WINDOW,
        Marks::OVERFLOW,
        Marks::BINARY,
        Marks::LAYER_LIMIT,
        Marks::NESTED,
    ] {
        field.marks.contains(mark).hash(&mut hasher);
    }
    hasher.finish()
}

fn hash_row(row: &[f32]) -> u64 {
    let mut hasher = FixedHasher::default().build_hasher();
    for value in row {
        value.to_bits().hash(&mut hasher);
    }
    hasher.finish()
}

/// A number for the set of rows of a request: equal sets are one request to the field detector.
#[must_use]
pub fn row_set(rows: &[u32]) -> u64 {
    FixedHasher::default().hash_one(rows)
}
