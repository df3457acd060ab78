//! Held-out errors to a calibration: per location, per detector and, with two detectors, combined.
//!
//! Must not be here: the fits themselves (`weir_scoring::calibration`), so that serving and training share them.

use std::collections::{BTreeSet, HashMap, HashSet};

use weir_features::Location;
use weir_scoring::calibration::{Calibration, CalibrationError, LocationScales, Tail};

use super::corpus::{Corpus, row_set};

/// Distinct held-out requests below which a base's own field calibration says more than a new one.
pub const LEAST_REQUESTS: usize = 500;

/// Errors of everything, by row and by request.
#[derive(Debug, Clone, Copy)]
pub struct Errors<'a> {
    /// Field error of each distinct row.
    pub rows: &'a [f32],
    /// Field error of each distinct row if nothing were known of its site.
    pub without_profile: &'a [f32],
    /// The site of each request, when the model is for sites that it has not seen: requests are then judged without their
    /// profiles, and no site decides alone what is high at a location.
    pub sites: Option<&'a [u64]>,
    /// Request error of each request, where there is a request detector.
    pub requests: Option<&'a [f32]>,
    /// Location and error of generated ordinary rows, for locations of which the held-out part has few.
    pub lookalikes: &'a [(Location, f32)],
    /// Rows that say nothing of what is high at their location, ascending.
    pub no_measure: &'a [u32],
}

/// Held-out rows from which on a location is judged by real traffic alone.
const ENOUGH_ROWS: usize = 500;

/// Distinct rows that one of many sites contributes at each location to what is high there: an image proxy with web
/// addresses in its paths, one site of ninety, once made all attacks in paths look ordinary (measured).
const ROWS_OF_A_SITE: usize = 12;

/// Distinct requests that one of many sites contributes to the tail: what the next site will be like is a question of
/// how many sites are how, not of how much traffic the largest of them happened to have. On unseen sites (a fifth of the
/// domains), 60 of each, 250 and all gave thresholds at which 81%, 83% and 83% of unseen payloads were blocked and none
/// of 8,131 normal requests: fewer only waste the sample.
const REQUESTS_OF_A_SITE: usize = 250;

/// Share of the values up to which nothing is a repetition.
const TAIL: f64 = 0.99;

/// How often one place of one site stands in the tail. Without this limit, two sites whose beacons carry scripts and
/// markup set the thresholds of all: of 7,000 ordinary requests 2 to 3 were blocked at a budget of one in a thousand, with
/// it 4 to 7 (two seeds), and of GoTestWAF's cases 67% to 81%, with it 76% to 92%.
const REPETITIONS: usize = 2;

/// A calibration and how far it can be trusted.
#[derive(Debug, Clone)]
pub struct Calibrated {
    /// What goes into the manifest.
    pub calibration: Calibration,
    /// Distinct held-out requests it rests on.
    pub samples: u64,
    /// The smallest budget they support.
    pub smallest_budget: f64,
}

/// Calibrates on the held-out requests. `others` are values of other held-out requests by detectors trained alike, which
/// join the tail. `kept` is the field calibration of an unchanged or barely changed base, used
/// when the field network was not trained, or when the held-out part is too small to judge.
///
/// # Errors
/// When there are too few held-out requests.
pub fn calibrate(
    corpus: &Corpus,
    held_out: &[bool],
    errors: Errors<'_>,
    kept: Option<&Calibration>,
    others: &[f32],
) -> Result<Calibrated, CalibrationError> {
    let held: Vec<usize> = (0..corpus.requests.len())
        .filter(|&i| held_out.get(i) == Some(&true))
        .collect();
    let distinct = distinct(corpus, &held);
    let (locations, field) = match kept {
        Some(kept) => (kept.locations.clone(), kept.field.clone()),
        None => {
            let (locations, mut values) = field_values(corpus, &distinct, errors)?;
            values.extend(others);
            (locations, Tail::fit(&values)?)
        }
    };
    let mut calibration = Calibration {
        locations,
        field,
        request: None,
        combined: None,
    };
    if let Some(request_errors) = errors.requests {
        let request: Vec<f32> = held
            .iter()
            .filter_map(|&i| request_errors.get(i).copied())
            .collect();
        let tail = Tail::fit(&request)?;
        let combined: Vec<f32> = held
            .iter()
            .zip(&request)
            .map(|(&i, &error)| {
                let field = calibration
                    .field
                    .score(largest(corpus, &calibration.locations, i, errors).value);
                field.max(tail.score(error)).value()
            })
            .collect();
        calibration.combined = Some(Tail::fit(&combined)?);
        calibration.request = Some(tail);
    }
    Ok(Calibrated {
        samples: calibration.samples(),
        smallest_budget: calibration.smallest_budget(),
        calibration,
    })
}

/// How many distinct requests are held out.
#[must_use]
pub fn distinct_held_out(corpus: &Corpus, held_out: &[bool]) -> usize {
    let held: Vec<usize> = (0..corpus.requests.len())
        .filter(|&i| held_out.get(i) == Some(&true))
        .collect();
    distinct(corpus, &held).len()
}

/// The field detector's values of the distinct held-out requests: what a tail is fitted to.
///
/// # Errors
/// When there are no rows.
pub fn held_out_values(
    corpus: &Corpus,
    held_out: &[bool],
    errors: Errors<'_>,
) -> Result<Vec<f32>, CalibrationError> {
    let held: Vec<usize> = (0..corpus.requests.len())
        .filter(|&i| held_out.get(i) == Some(&true))
        .collect();
    Ok(field_values(corpus, &distinct(corpus, &held), errors)?.1)
}

fn field_values(
    corpus: &Corpus,
    distinct: &[usize],
    errors: Errors<'_>,
) -> Result<(LocationScales, Vec<f32>), CalibrationError> {
    // Each distinct row once. By occurrence, what a few busy pages repeat would hide how wild a location can be, and
    // sites that the model has not seen would be flagged more often than promised (measured).
    let rows = match errors.sites {
        Some(sites) => few_of_each(corpus, distinct, sites),
        None => distinct
            .iter()
            .filter_map(|&request| corpus.requests.get(request))
            .flatten()
            .copied()
            .collect(),
    };
    let rows: Vec<u32> = rows
        .into_iter()
        .filter(|row| errors.no_measure.binary_search(row).is_err())
        .collect();
    let place = |row: u32| corpus.facts.get(row as usize).map(|facts| facts.location);
    let real: Vec<(Location, f32)> = rows
        .iter()
        .filter_map(|&row| Some((place(row)?, *errors.without_profile.get(row as usize)?)))
        .collect();
    let profiled = rows.iter().filter_map(|&row| {
        let facts = corpus.facts.get(row as usize)?;
        let error = errors.rows.get(row as usize)?;
        facts.profiled.then_some((facts.location, true, *error))
    });
    let enough = |location: Location| {
        let rows = real.iter().filter(|(place, _)| *place == location);
        rows.count() >= ENOUGH_ROWS
    };
    let judged = Location::ALL.map(enough);
    let generated = errors
        .lookalikes
        .iter()
        .filter(|(location, _)| judged.get(location.index()) == Some(&false));
    let plain = real.iter().chain(generated);
    let plain = plain.map(|&(location, error)| (location, false, error));
    let locations = LocationScales::fit(plain.chain(profiled))?;
    let mut counts: HashMap<u64, usize> = HashMap::new();
    let mut is_among_few = |request: &usize| {
        let Some(site) = errors.sites.and_then(|sites| sites.get(*request)) else {
            return true;
        };
        let count = counts.entry(*site).or_default();
        *count += 1;
        *count <= REQUESTS_OF_A_SITE
    };
    let values: Vec<Largest> = distinct
        .iter()
        .copied()
        .filter(|request| is_among_few(request))
        .map(|request| largest(corpus, &locations, request, errors))
        .collect();
    let values = match errors.sites {
        Some(sites) => without_repetition(corpus, sites, values),
        None => values.iter().map(|largest| largest.value).collect(),
    };
    Ok((locations, values))
}

/// Values of many sites, but what one place (location and key) of one site brings into the tail again and again only a
/// few times: that is one finding, which the site's own profile or an exception settles, and no matter of the budget of
/// all others.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a position in a vector"
)]
fn without_repetition(corpus: &Corpus, sites: &[u64], values: Vec<Largest>) -> Vec<f32> {
    let places: HashMap<u32, u64> = corpus
        .fields
        .iter()
        .map(|&(place, row)| (row, place))
        .collect();
    let mut sorted: Vec<f32> = values.iter().map(|largest| largest.value).collect();
    sorted.sort_by(f32::total_cmp);
    let tail = sorted.get((TAIL * sorted.len() as f64) as usize).copied();
    let mut counts: HashMap<(Option<&u64>, Option<&u64>), usize> = HashMap::new();
    let mut is_new = |largest: &&Largest| {
        if Some(largest.value) <= tail {
            return true;
        }
        let place = largest.row.and_then(|row| places.get(&row));
        let count = counts
            .entry((sites.get(largest.request), place))
            .or_default();
        *count += 1;
        *count <= REPETITIONS
    };
    values
        .iter()
        .filter(&mut is_new)
        .map(|largest| largest.value)
        .collect()
}

/// The rows of requests, but only the first few of each site at each location.
fn few_of_each(corpus: &Corpus, requests: &[usize], sites: &[u64]) -> BTreeSet<u32> {
    let mut counts: HashMap<(u64, Location), usize> = HashMap::new();
    let mut chosen = BTreeSet::new();
    for &request in requests {
        let (Some(rows), Some(&site)) = (corpus.requests.get(request), sites.get(request)) else {
            continue;
        };
        for &row in rows {
            let Some(facts) = corpus.facts.get(row as usize) else {
                continue;
            };
            let count = counts.entry((site, facts.location)).or_default();
            if *count < ROWS_OF_A_SITE && chosen.insert(row) {
                *count += 1;
            }
        }
    }
    chosen
}

/// Requests that differ in at least one row.
fn distinct(corpus: &Corpus, requests: &[usize]) -> Vec<usize> {
    let mut seen = HashSet::new();
    let is_new = |request: &usize| {
        corpus
            .requests
            .get(*request)
            .is_some_and(|rows| seen.insert(row_set(rows)))
    };
    requests.iter().copied().filter(is_new).collect()
}

/// The field detector's value of a request, its largest scaled row error, and the row that has it.
#[derive(Debug, Clone, Copy)]
struct Largest {
    request: usize,
    row: Option<u32>,
    value: f32,
}

fn largest(
    corpus: &Corpus,
    locations: &LocationScales,
    request: usize,
    errors: Errors<'_>,
) -> Largest {
    let rows = corpus
        .requests
        .get(request)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let scaled = rows.iter().filter_map(|&row| {
        let facts = corpus.facts.get(row as usize)?;
        let profiled = facts.profiled && errors.sites.is_none();
        let judged = if profiled {
            errors.rows
        } else {
            errors.without_profile
        };
        let error = *judged.get(row as usize)?;
        Some((row, locations.scaled(facts.location, profiled, error)))
    });
    let (row, value) = scaled
        .max_by(|a, b| a.1.total_cmp(&b.1))
        .map_or((None, 0.0), |(row, value)| (Some(row), value.max(0.0)));
    Largest {
        request,
        row,
        value,
    }
}
