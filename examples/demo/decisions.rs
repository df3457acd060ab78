//! Weir's decision records, read as an operator would: find a request by its id and say why in plain words.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weir_scoring::reason::Reason;

/// Records are written by a thread of their own, a moment after the answer.
const LIMIT: Duration = Duration::from_secs(3);
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// The decision about the request with this id.
pub(crate) async fn find(records: &Path, id: &str) -> Result<Value> {
    let until = Instant::now() + LIMIT;
    loop {
        let text = fs::read_to_string(records)
            .with_context(|| format!("cannot read {}", records.display()))?;
        // The id occurs in one line only; parsing every record would be a waste.
        let line = text.lines().find(|line| line.contains(id));
        if let Some(record) = line.and_then(|line| serde_json::from_str(line).ok()) {
            return Ok(record);
        }
        if Instant::now() > until {
            bail!(
                "no decision record for request {id} in {}",
                records.display()
            );
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// A few lines for the reader of the demo.
pub(crate) fn in_words(what: &str, record: &Value) -> String {
    let text = |name: &str| {
        record
            .get(name)
            .and_then(Value::as_str)
            .unwrap_or("?")
            .to_owned()
    };
    let score = record
        .get("score")
        .and_then(Value::as_f64)
        .map_or("none".to_owned(), |score| format!("{score:.1}"));
    let why = record
        .get("reason")
        .and_then(|reason| serde_json::from_value::<Reason>(reason.clone()).ok())
        .map_or_else(
            || "(the record holds no reason)".to_owned(),
            |reason| reason.to_text(),
        );
    let why: String = why.lines().map(|line| format!("      {line}\n")).collect();
    let path: String = text("path").chars().take(90).collect();
    format!(
        "  {what}: {} {path}\n    request {}, score {score}\n{why}",
        text("method"),
        text("request_id")
    )
}
