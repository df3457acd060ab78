//! What becomes of rows that were set aside because they look like attacks: somebody reads them, and where there are many,
//! their requests do not calibrate.
//!
//! Must not be here: which rows look like attacks (`contamination`).

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::json;
use weir_scoring::reason::SecretKeys;

use super::corpus::Corpus;
use super::field::FieldOutcome;
use super::{FitOptions, HeldOut, contamination};
use crate::data::LabelledRequest;
use crate::progress::Progress;

/// Which held-out requests calibrate. Of many sites every kind of odd request is to be expected, and calibrates; of one
/// site, so many are a sign of attacks.
pub(super) fn calibrating(
    corpus: &Corpus,
    requests: &[LabelledRequest],
    held_out: &[bool],
    outcome: Option<&FieldOutcome>,
    options: &FitOptions,
    progress: Progress,
) -> Vec<bool> {
    let by_time = options.held_out.resolve(requests) == HeldOut::Time;
    let Some(outcome) = outcome.filter(|_| by_time) else {
        return held_out.to_vec();
    };
    let kept = contamination::calibrating(corpus, held_out, &outcome.quarantined);
    let count = |flags: &[bool]| flags.iter().filter(|flag| **flag).count();
    let dropped = count(held_out) - count(&kept);
    if dropped > 0 {
        progress.note(&format!(
            "the capture was attacked, or the application takes code in many places: {dropped} of {} held-out requests \
             look like attacks and do not calibrate; read the list of what was set aside",
            count(held_out)
        ));
    }
    kept
}

/// Lists them, and says where.
///
/// # Errors
/// When the file cannot be written.
pub(super) fn review(
    corpus: &Corpus,
    outcome: Option<&FieldOutcome>,
    options: &FitOptions,
) -> anyhow::Result<Option<PathBuf>> {
    let Some(outcome) = outcome.filter(|outcome| !outcome.quarantined.is_empty()) else {
        return Ok(None);
    };
    let file = options.quarantine.clone().unwrap_or_else(|| {
        let mut name = options.out.clone().into_os_string();
        name.push(".quarantine.jsonl");
        PathBuf::from(name)
    });
    if let Some(parent) = file.parent() {
        std::fs::create_dir_all(parent)?;
    }
    write(corpus, &outcome.quarantined, &SecretKeys::default(), &file)
        .with_context(|| format!("cannot write {}", file.display()))?;
    Ok(Some(file))
}

/// One JSON object a line, values of secret keys replaced.
fn write(corpus: &Corpus, rows: &[u32], secrets: &SecretKeys, file: &Path) -> std::io::Result<()> {
    let mut out = BufWriter::new(File::create(file)?);
    for &row in rows {
        let Some(facts) = corpus.facts.get(row as usize) else {
            continue;
        };
        // A value without a single lexicon hit was not kept: its skeleton has to do.
        let (key, value) = match &facts.suspect {
            Some(suspect) if secrets.is_secret(facts.location, &suspect.key) => {
                (suspect.key.as_slice(), SecretKeys::describe(&suspect.value))
            }
            Some(suspect) => {
                let value = secrets.mask_inline(&suspect.value);
                (
                    suspect.key.as_slice(),
                    String::from_utf8_lossy(&value).into_owned(),
                )
            }
            None => (&[][..], facts.skeleton.clone()),
        };
        let line = json!({
            "location": facts.location.name(), "key": String::from_utf8_lossy(key), "value": value,
            "length": facts.length, "families": facts.families, "hits": facts.hits,
            "requests": corpus.seen(row),
        });
        writeln!(out, "{line}")?;
    }
    out.flush()
}
