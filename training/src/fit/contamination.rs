//! Normal traffic is never clean: rows that look like attacks are set aside before training and listed for review, and
//! where there are many of them, the requests that carry them do not calibrate.
//!
//! Must not be here: trimming by reconstruction error, which needs a network (`train::field`).
//!
//! What looks like an attack is learnt where exposure rows are at hand: a linear model tells them from the capture's own
//! rows, and mistakes in the capture hardly move it. Without exposure rows, dense words of code decide. Either way a row
//! stays if its place (location and key) is one where such values are common, or if many requests carry it: that belongs
//! to the application, however it looks.

use std::collections::HashMap;

use ndarray::ArrayView2;

use super::corpus::{Corpus, RowFacts};

mod linear;

use linear::Linear;

/// Words of code from which a row looks like an attack.
const HEAVY_HITS: u16 = 4;

/// Bytes of a value for each such word: in a long text a few words mean nothing.
const BYTES_A_HIT: usize = 20;

/// A row looks like an attack if it lies beyond this share of the exposure rows. The rest of the attacks looks so much like
/// ordinary text that setting such rows aside would cost more normal ones.
const MILDEST: f64 = 0.2;

/// In longer values, of which a row sees a part, a few words mean nothing.
const LONGEST: u32 = 512;

/// What more requests than this carry, or more than one in [`RARE_SHARE`], belongs to the application.
const RARE: u32 = 2;
/// See [`RARE`].
const RARE_SHARE: usize = 1000;

/// A place at which at least this many different values look like attacks, and more than one in [`COMMON_PART`] of all
/// its values, is one where the application takes code.
const COMMON: u32 = 20;
/// See [`COMMON`].
const COMMON_PART: u32 = 3;

/// At most this share of the distinct rows is set aside: a site about programming must remain trainable. Clean captures of
/// 16 sites lost 0 to 1% (0.2% in the median), one of 665 sites 0.7% (measured).
pub const MOST: f64 = 0.10;

/// Above this share of the held-out requests, those with quarantined rows do not calibrate. Up to it they may be the odd
/// normal requests that a budget is about: clean captures of 16 sites had 0 to 1.8% of them (measured).
pub const ATTACKED: f64 = 0.02;

/// Rows to set aside, ascending. `attacks`: exposure rows, possibly none.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share"
)]
pub fn quarantine(corpus: &Corpus, attacks: ArrayView2<'_, f32>, seed: u64) -> Vec<u32> {
    let suspicions = suspicions(corpus, attacks, seed);
    let suspicion = |row: u32| suspicions.get(row as usize).copied().unwrap_or(0.0);
    let suspicious = |row: u32| suspicion(row) > 0.0;
    let mut places: HashMap<u64, [u32; 2]> = HashMap::new();
    for &(place, row) in &corpus.fields {
        let [all, odd] = places.entry(place).or_default();
        *all += 1;
        *odd += u32::from(suspicious(row));
    }
    let common = |place: u64| {
        places
            .get(&place)
            .is_some_and(|&[all, odd]| odd >= COMMON && odd * COMMON_PART > all)
    };
    let rare = RARE.max((corpus.requests.len() / RARE_SHARE) as u32);
    let odd_fields = corpus
        .fields
        .iter()
        .filter(|(place, row)| suspicious(*row) && corpus.seen(*row) <= rare && !common(*place));
    let mut rows: Vec<u32> = odd_fields.map(|(_, row)| *row).collect();
    rows.sort_unstable();
    rows.dedup();
    rows.sort_by(|&a, &b| suspicion(b).total_cmp(&suspicion(a)).then(a.cmp(&b)));
    rows.truncate((MOST * corpus.facts.len() as f64) as usize);
    rows.sort_unstable();
    rows
}

/// For each row how much it looks like an attack: 0 for one that does not.
fn suspicions(corpus: &Corpus, attacks: ArrayView2<'_, f32>, seed: u64) -> Vec<f32> {
    if attacks.nrows() == 0 {
        return corpus.facts.iter().map(density).collect();
    }
    let model = Linear::fit(corpus.rows.view(), attacks, seed);
    let least = quantile(model.probabilities(attacks), MILDEST);
    let rows = model.probabilities(corpus.rows.view());
    let told = rows.into_iter().zip(&corpus.facts);
    told.map(|(probability, facts)| {
        let speaks = facts.length <= LONGEST && !facts.families.is_empty();
        if speaks && probability >= least {
            probability
        } else {
            0.0
        }
    })
    .collect()
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a position in a vector of rows"
)]
fn quantile(mut values: Vec<f32>, share: f64) -> f32 {
    let position = (share * values.len() as f64) as usize;
    let position = position.min(values.len().saturating_sub(1));
    if values.is_empty() {
        return f32::INFINITY;
    }
    *values.select_nth_unstable_by(position, f32::total_cmp).1
}

/// Without attacks to compare with: many words of code in few bytes.
fn density(facts: &RowFacts) -> f32 {
    if is_dense(facts.hits, facts.length as usize) {
        1.0 - 1.0 / f32::from(facts.hits)
    } else {
        0.0
    }
}

/// True for a value that is hardly anything but words of code.
#[must_use]
pub(super) fn is_dense(hits: u16, length: usize) -> bool {
    hits >= HEAVY_HITS && length <= usize::from(hits) * BYTES_A_HIT
}

/// Which held-out requests calibrate: all, unless so many carry a quarantined row that the capture was attacked. Then
/// those are left out, or the budgets would be counted along the attacks.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "counts of requests are far below 2^52"
)]
pub fn calibrating(corpus: &Corpus, held_out: &[bool], quarantined: &[u32]) -> Vec<bool> {
    let odd = |rows: &Vec<u32>| {
        rows.iter()
            .any(|row| quarantined.binary_search(row).is_ok())
    };
    let clean: Vec<bool> = corpus.requests.iter().map(|rows| !odd(rows)).collect();
    let held = held_out.iter().filter(|held| **held).count();
    let kept: Vec<bool> = held_out
        .iter()
        .zip(&clean)
        .map(|(held, clean)| *held && *clean)
        .collect();
    let dropped = held - kept.iter().filter(|kept| **kept).count();
    if dropped as f64 > ATTACKED * held as f64 {
        kept
    } else {
        held_out.to_vec()
    }
}

/// A row that the trained detector takes for an attack has an error beyond this share of those of attacks.
const MILDEST_TAKEN: f64 = 0.1;

/// Rows that say nothing of how high ordinary errors are at their location, ascending: those set aside, and those that
/// the trained detector takes for attacks too, by `errors` of the corpus and of `attacks`. One body in a hundred that is an
/// attack would otherwise be the measure of all others, and so would one site in ninety that passes code around.
#[must_use]
pub fn no_measure(quarantined: &[u32], errors: &[f32], attacks: Vec<f32>) -> Vec<u32> {
    let least = quantile(attacks, MILDEST_TAKEN);
    let taken = (0u32..).zip(errors).filter(|(_, error)| **error >= least);
    let mut rows: Vec<u32> = taken.map(|(row, _)| row).collect();
    rows.extend(quarantined);
    rows.sort_unstable();
    rows.dedup();
    rows
}
