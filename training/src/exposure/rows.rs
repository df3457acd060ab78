//! Exposure rows: a payload is drawn, written in some form, grafted, and the rows that it changed are kept.

use std::collections::HashSet;

use ndarray::Array2;
use rand::Rng as _;
use rand_chacha::ChaCha8Rng;
use weir_features::profile::{Endpoint, PROFILE_WIDTH, Profile};
use weir_features::schema::PROFILE_AT;
use weir_features::{Extractor, FIELD_WIDTH, Field, Location, Marks, Scratch, WINDOW};
use weir_scoring::record::OwnedRequest;

use super::dice::Dice;
use super::graft::{self, Mode};
use super::pool::{GRAMMAR, Pool};
use super::{Payload, benign, encode, junk, location_weights};
use crate::data::Exposure;

/// Share of payloads that a benign value precedes.
const PREFIX_SHARE: f64 = 0.3;

/// Share of payloads that hide behind padding longer than a window.
const PADDED_SHARE: f64 = 0.015;

/// Share of payloads with a place of their own that are put there.
const OWN_PLACE_SHARE: f64 = 0.6;

/// One graft gives at most this many rows, so that a long body does not outweigh many short attacks.
const ROWS_A_GRAFT: usize = 4;

/// Grafts tried for each row that is wanted before giving up.
const MOST_TRIES: usize = 6;

/// Grafts a worker makes at a time; results are joined in order, so that they do not depend on the number of threads.
const CHUNK: usize = 512;

/// Why no rows could be made.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ExposureError {
    /// There is nothing to graft into.
    #[error("no normal requests to graft attacks into: give at least one file with --normal")]
    NoTemplates,
    /// There is nothing to graft.
    #[error(
        "no attack payload is left after junk was dropped: check the files given with --exposure"
    )]
    NoPayloads,
}

/// A request to graft into.
#[derive(Debug, Clone, Copy)]
pub struct Template<'a> {
    /// The request.
    pub request: &'a OwnedRequest,
    /// What was known of its site when it came.
    pub past: Option<&'a Profile>,
}

/// Rows of grafted attacks, and of ordinary look-alikes grafted the same way.
#[derive(Debug, Clone)]
pub struct ExposureRows {
    /// One attack row each.
    pub rows: Array2<f32>,
    /// Where each attack row stands.
    pub locations: Vec<Location>,
    /// The class of each attack row.
    pub classes: Vec<String>,
    /// Rows of ordinary look-alikes, to be trained as normal ones.
    pub benign: Array2<f32>,
    /// Where each look-alike row stands.
    pub benign_locations: Vec<Location>,
}

/// Rows of one location and class after another.
#[derive(Default)]
struct Part {
    values: Vec<f32>,
    locations: Vec<Location>,
    classes: Vec<String>,
}

/// One look-alike for so many attack rows.
const LOOKALIKE_PART: usize = 5;

impl ExposureRows {
    /// Makes `wanted` rows from payloads, the built-in grammars and the requests to graft into, and a fifth as many of look-alikes.
    ///
    /// # Errors
    /// When there is nothing to graft, or nothing to graft into.
    pub fn generate(
        templates: &[Template<'_>],
        exposure: &Exposure,
        extractor: &Extractor,
        rng: &mut ChaCha8Rng,
        wanted: usize,
    ) -> Result<Self, ExposureError> {
        Self::from_pool(
            templates,
            &Pool::new(exposure, extractor, true),
            extractor,
            rng,
            wanted,
        )
    }

    /// [`Self::generate`] from a pool of the caller's.
    ///
    /// # Errors
    /// When there is nothing to graft, or nothing to graft into.
    pub fn from_pool(
        templates: &[Template<'_>],
        pool: &Pool,
        extractor: &Extractor,
        rng: &mut ChaCha8Rng,
        wanted: usize,
    ) -> Result<Self, ExposureError> {
        if templates.is_empty() {
            return Err(ExposureError::NoTemplates);
        }
        if pool.is_empty() {
            return Err(ExposureError::NoPayloads);
        }
        let seed = rng.random();
        let attacks = fill(wanted, seed, &|dice, scratch, part| {
            attack(templates, pool, extractor, dice, scratch, part)
        });
        let normal = fill(
            wanted / LOOKALIKE_PART,
            rng.random(),
            &|dice, scratch, part| lookalike(templates, extractor, dice, scratch, part),
        );
        Ok(Self {
            rows: matrix(attacks.values),
            locations: attacks.locations,
            classes: attacks.classes,
            benign: matrix(normal.values),
            benign_locations: normal.locations,
        })
    }
}

fn matrix(values: Vec<f32>) -> Array2<f32> {
    let rows = values.len() / FIELD_WIDTH;
    Array2::from_shape_vec((rows, FIELD_WIDTH), values)
        .unwrap_or_else(|_| Array2::zeros((0, FIELD_WIDTH)))
}

/// Calls `make` with numbered dice on all cores until `wanted` rows are there.
fn fill(
    wanted: usize,
    seed: u64,
    make: &(dyn Fn(&mut Dice, &mut [Scratch; 2], &mut Part) + Sync),
) -> Part {
    let threads = std::thread::available_parallelism()
        .map_or(1, usize::from)
        .min(8);
    let mut all = Part::default();
    let mut next = 0;
    while all.locations.len() < wanted && next < wanted * MOST_TRIES {
        let parts: Vec<Part> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..threads)
                .map(|worker| {
                    let first = next + worker * CHUNK;
                    scope.spawn(move || {
                        let mut part = Part::default();
                        let mut scratch = <[Scratch; 2]>::default();
                        for index in first..first + CHUNK {
                            make(
                                &mut Dice::derived(seed, index as u64),
                                &mut scratch,
                                &mut part,
                            );
                        }
                        part
                    })
                })
                .collect();
            workers
                .into_iter()
                .map(|worker| worker.join().unwrap_or_default())
                .collect()
        });
        next += threads * CHUNK;
        for part in parts {
            all.values.extend(part.values);
            all.locations.extend(part.locations);
            all.classes.extend(part.classes);
        }
    }
    all.values.truncate(wanted * FIELD_WIDTH);
    all.locations.truncate(wanted);
    all.classes.truncate(wanted);
    all
}

impl Part {
    fn push(
        &mut self,
        extractor: &Extractor,
        field: &Field<'_>,
        endpoint: Option<&Endpoint<'_>>,
        class: &str,
    ) {
        let start = self.values.len();
        self.values.resize(start + FIELD_WIDTH, 0.0);
        if let Some(row) = self.values.get_mut(start..) {
            extractor.row(field, row);
            let columns = row.get_mut(PROFILE_AT..PROFILE_AT + PROFILE_WIDTH);
            if let (Some(endpoint), Some(columns)) = (endpoint, columns) {
                endpoint.write(field, columns);
            }
        }
        self.locations.push(field.location);
        self.classes.push(class.to_owned());
    }
}

fn attack(
    templates: &[Template<'_>],
    pool: &Pool,
    extractor: &Extractor,
    dice: &mut Dice,
    scratch: &mut [Scratch; 2],
    part: &mut Part,
) {
    let (Some(payload), Some(template)) = (pool.draw(dice), dice.choose(templates).copied()) else {
        return;
    };
    let payload = crate::mutate::augmented(payload, dice);
    let location = place(&payload, dice);
    let mut value = encode::obfuscate(&payload.bytes, &payload.class, dice);
    let whole = matches!(
        location,
        Location::RawBody | Location::Path | Location::QueryKey | Location::BodyKey
    );
    let alone = encode::is_base64_text(&value);
    if !whole && !alone && dice.chance(PREFIX_SHARE) {
        let prefix = benign::value(dice);
        let separator = dice.word(&["", "", " ", "&", ";", ","]);
        value = [prefix.as_bytes(), separator.as_bytes(), &value].concat();
    }
    if location != Location::Path && !alone && dice.chance(PADDED_SHARE) {
        value = [padding(dice).as_bytes(), &value].concat();
    }
    let mode = if whole {
        Mode::Replace
    } else {
        Mode::fitting(&value, dice)
    };
    let made = graft::graft(template.request, location, &value, mode, dice);
    let no_path = graft::is_whole_target(&payload.bytes);
    changed(
        &made,
        template.past,
        extractor,
        scratch,
        |field, endpoint| {
            // Bytes of an uploaded file are not the attack that stands in its name.
            // The name of a scanner is made of words, and yet it says who comes.
            let named = payload.class == "scanner" && field.location == Location::UserAgent;
            let of_payload = !(!named && junk::is_harmless_field(field.value)
                || field.marks.contains(Marks::BINARY)
                || is_framing(field)
                || is_ordinary_place(field, extractor)
                || (no_path && field.location == Location::Path));
            if of_payload {
                part.push(extractor, field, endpoint, &payload.class);
            }
            of_payload
        },
    );
}

/// Where a payload goes: often where it belongs, else where its class can occur.
fn place(payload: &Payload, dice: &mut Dice) -> Location {
    match payload.location {
        Some(own)
            if dice.chance(OWN_PLACE_SHARE)
                // A generated payload has a place only if it means nothing anywhere else.
                || payload.source == GRAMMAR
                || matches!(own, Location::QueryKey | Location::BodyKey) =>
        {
            own
        }
        _ => natural(&payload.class, dice),
    }
}

/// A location at which payloads of a class can occur. Names of parameters are drawn like values: the payload is then a raw piece.
pub(crate) fn natural(class: &str, dice: &mut Dice) -> Location {
    Location::ALL
        .get(dice.weighted(&location_weights(class)))
        .copied()
        .unwrap_or(Location::QueryValue)
}

fn padding(dice: &mut Dice) -> String {
    let unit = match dice.below(3) {
        0 => dice.string(b"Aax01 .", 1),
        1 => benign::value(dice) + " ",
        _ => dice.string(b"abcdefghij klmnop", 40),
    };
    let length = dice.between(WINDOW as u64 / 4, WINDOW as u64 * 6) as usize;
    unit.repeat(length / unit.len().max(1) + 1)
}

fn lookalike(
    templates: &[Template<'_>],
    extractor: &Extractor,
    dice: &mut Dice,
    scratch: &mut [Scratch; 2],
    part: &mut Part,
) {
    let Some(template) = dice.choose(templates).copied() else {
        return;
    };
    let made = graft::Grafted {
        before: template.request.clone(),
        after: benign::requests(dice, &[template.request], 1)
            .pop()
            .unwrap_or_default(),
    };
    changed(
        &made,
        template.past,
        extractor,
        scratch,
        |field, endpoint| {
            part.push(extractor, field, endpoint, "benign");
            true
        },
    );
}

/// Whether a field holds what always stands there: a name of a parameter, a page that linked here.
fn is_ordinary_place(field: &Field<'_>, extractor: &Extractor) -> bool {
    match field.location {
        Location::QueryKey | Location::BodyKey => junk::is_ordinary_name(field.value),
        Location::Referer => {
            field.value.starts_with(b"http") && extractor.evidence(field.value).is_empty()
        }
        _ => false,
    }
}

fn is_framing(field: &Field<'_>) -> bool {
    field.location == Location::Header
        && (field.key.eq_ignore_ascii_case(b"content-type")
            || field.key.eq_ignore_ascii_case(b"content-length"))
}

/// Hands the fields that the graft brought to `keep`, until enough of them were kept.
fn changed(
    made: &graft::Grafted,
    past: Option<&Profile>,
    extractor: &Extractor,
    scratch: &mut [Scratch; 2],
    mut keep: impl FnMut(&Field<'_>, Option<&Endpoint<'_>>) -> bool,
) {
    let [first, second] = scratch;
    made.before.with_view(|view| {
        let before = extractor.extract(view, first);
        let known: HashSet<(Location, &[u8], &[u8])> = before
            .iter()
            .map(|field| (field.location, field.key, field.value))
            .collect();
        made.after.with_view(|view| {
            let after = extractor.extract(view, second);
            let endpoint = past.map(|past| past.endpoint(view, &after));
            let mut kept = 0;
            for field in after.iter() {
                if kept < ROWS_A_GRAFT
                    && !known.contains(&(field.location, field.key, field.value))
                    && keep(&field, endpoint.as_ref())
                {
                    kept += 1;
                }
            }
        });
    });
}

#[cfg(test)]
mod tests;
