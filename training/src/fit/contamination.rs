//! Normal traffic is never clean: rows that look like attacks are set aside before training and listed for review.
//!
//! Must not be here: trimming by reconstruction error, which needs a network (`train::field`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use serde_json::json;
use weir_features::Location;
use weir_scoring::reason::SecretKeys;

use super::corpus::Corpus;

/// Words of code from which a rare row is set aside.
const HEAVY_HITS: u16 = 4;

/// Bytes of a value for each such word: in a long text a few words mean nothing.
const BYTES_A_HIT: u32 = 20;

/// What more requests, or more values of one parameter, than this carry belongs to the application, however it looks.
const RARE: u32 = 2;

/// At most this share of the rows is set aside: a site about programming must remain trainable.
const MOST: f64 = 0.005;

/// Training rows to set aside, ascending.
#[must_use]
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share"
)]
pub fn quarantine(corpus: &Corpus, rows: &[u32]) -> Vec<u32> {
    let rare = |row: u32| corpus.seen(row) <= RARE;
    let hits = |row: u32| corpus.facts.get(row as usize).map_or(0, |facts| facts.hits);
    let dense = |row: u32| {
        corpus.facts.get(row as usize).is_some_and(|facts| {
            facts.hits >= HEAVY_HITS && facts.length <= u32::from(facts.hits) * BYTES_A_HIT
        })
    };
    let mut heavy: Vec<u32> = rows.iter().copied().filter(|&row| dense(row)).collect();
    let mut by_place: HashMap<(Location, &[u8]), u32> = HashMap::new();
    for &row in &heavy {
        *by_place.entry(place(corpus, row)).or_default() += 1;
    }
    let alone = |row: u32| {
        by_place
            .get(&place(corpus, row))
            .is_some_and(|&count| count <= RARE)
    };
    heavy.retain(|&row| rare(row) && alone(row));
    heavy.sort_by_key(|&row| (std::cmp::Reverse(hits(row)), row));
    heavy.truncate((MOST * rows.len() as f64) as usize);
    heavy.sort_unstable();
    heavy
}

fn place(corpus: &Corpus, row: u32) -> (Location, &[u8]) {
    let facts = corpus.facts.get(row as usize);
    let suspect = facts.and_then(|facts| facts.suspect.as_ref());
    let key = suspect
        .map(|suspect| suspect.key.as_slice())
        .unwrap_or_default();
    (facts.map_or(Location::Path, |facts| facts.location), key)
}

/// Writes the rows for review, one JSON object a line, values of secret keys replaced.
///
/// # Errors
/// When the file cannot be written.
pub fn write_review(
    corpus: &Corpus,
    rows: &[u32],
    secrets: &SecretKeys,
    file: &Path,
) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for &row in rows {
        let Some(facts) = corpus.facts.get(row as usize) else {
            continue;
        };
        let Some(suspect) = &facts.suspect else {
            continue;
        };
        let value = if secrets.is_secret(facts.location, &suspect.key) {
            SecretKeys::describe(&suspect.value)
        } else {
            String::from_utf8_lossy(&secrets.mask_inline(&suspect.value)).into_owned()
        };
        let line = json!({
            "location": facts.location.name(), "key": String::from_utf8_lossy(&suspect.key), "value": value,
            "length": facts.length, "families": facts.families, "hits": facts.hits,
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
