//! Weir's decision records, read as an operator would: find a request by its id and say why in plain words.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// Records are written by a thread of their own, a moment after the answer.
const LIMIT: Duration = Duration::from_secs(3);
/// Columns of a paragraph: with its margin it fits on a terminal of 100.
const PARAGRAPH: usize = 84;
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

/// A few lines for the reader of the demo: the most unusual field, with the part that reads like code marked.
pub(crate) fn in_words(what: &str, record: &Value) -> String {
    let path: String = text(record, "/path").chars().take(100).collect();
    let mut lines = vec![
        format!("  {what}: {} {path}", text(record, "/method")),
        format!(
            "    request {}, score {}",
            text(record, "/request_id"),
            number(record, "/score")
        ),
    ];
    match record.pointer("/reason/fields/0") {
        Some(field) => {
            let place = format!(
                "{} {}",
                text(field, "/location").replace('_', " "),
                text(field, "/key")
            );
            lines.push(wrapped("where", &place));
            lines.push(wrapped("value", &value(field)));
            lines.push(wrapped("because", &because(field)));
            for (name, pointer) in [
                ("rarity", "/rarity"),
                ("usual", "/usual"),
                ("would pass", "/would_pass"),
            ] {
                let told = text(field, pointer);
                if !told.is_empty() {
                    lines.push(wrapped(name, told));
                }
            }
        }
        None => lines.push("    (the record holds no reason)".to_owned()),
    }
    lines.join("\n") + "\n"
}

/// A named paragraph, broken between words.
fn wrapped(name: &str, text: &str) -> String {
    let mut lines = vec![format!("    {name:<10}")];
    let mut width = 0;
    for word in text.split(' ') {
        let length = word.chars().count() + 1;
        if width > 0 && width + length > PARAGRAPH {
            lines.push(" ".repeat(14));
            width = 0;
        }
        if let Some(line) = lines.last_mut() {
            line.push(' ');
            line.push_str(word);
        }
        width += length;
    }
    lines.join("\n")
}

fn text<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

fn number(value: &Value, pointer: &str) -> String {
    value
        .pointer(pointer)
        .and_then(Value::as_f64)
        .map_or_else(|| "none".to_owned(), |number| format!("{number:.1}"))
}

fn value(field: &Value) -> String {
    let (before, marked, after) = (
        text(field, "/value/before"),
        text(field, "/value/marked"),
        text(field, "/value/after"),
    );
    if marked.is_empty() {
        before.to_owned()
    } else {
        format!("{before}»{marked}«{after}")
    }
}

fn because(field: &Value) -> String {
    let found = field
        .get("because")
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    let words: Vec<&str> = found.iter().map(|one| text(one, "/what")).collect();
    if words.is_empty() {
        "many small deviations".to_owned()
    } else {
        words.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_becomes_sentences() {
        let record = serde_json::json!({
            "request_id": "r1", "method": "GET", "path": "/search?q=x", "score": 7.25,
            "reason": {"fields": [{
                "location": "query_value", "key": "q", "value": {"before": "rod", "marked": "' OR 1=1", "after": "", "bytes": 11},
                "because": [{"what": "SQL words", "share": 0.5}], "usual": "letters", "would_pass": "rod",
            }]},
        });
        let words = in_words("SQL injection", &record);
        for wanted in [
            "SQL injection: GET /search?q=x",
            "score 7.2",
            "query value q",
            "rod»' OR 1=1«",
            "SQL words",
            "letters",
        ] {
            assert!(words.contains(wanted), "{wanted} is missing in\n{words}");
        }
    }
}
