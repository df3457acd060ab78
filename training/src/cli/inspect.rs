//! `weir-train inspect`: what a bundle or a data file is.
//!
//! Must not be here: verdicts about quality; those are `evaluate`'s.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Value, json};
use weir_features::{Extractor, Scratch};

use crate::data::{ReadOptions, read_exposure, read_requests};

/// Hosts, classes and the like that a summary lists.
const MOST_NAMED: usize = 12;

/// Arguments of `weir-train inspect`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// A bundle directory, or a file of request or payload records
    path: PathBuf,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the path is neither a bundle nor a data file.
    pub fn run(self) -> anyhow::Result<()> {
        let summary = if self.path.is_dir() {
            bundle(&self.path)?
        } else {
            data(&self.path)?
        };
        if self.json {
            println!("{summary}");
        } else {
            print!("{}", text(&summary));
        }
        Ok(())
    }
}

fn bundle(directory: &Path) -> anyhow::Result<Value> {
    let bundle = weir_scoring::bundle::Bundle::open(directory)?;
    let manifest = serde_json::to_value(bundle.manifest())?;
    let of = |key: &str| manifest.get(key).cloned().unwrap_or(Value::Null);
    let usual = manifest.get("usual").and_then(Value::as_object);
    let locations: BTreeMap<String, Value> = usual
        .into_iter()
        .flatten()
        .map(|(location, usual)| {
            let of = |key: &str| usual.get(key).cloned().unwrap_or(Value::Null);
            let summary = json!({
                "rows": of("rows"), "distinct": of("distinct"), "usual_length": of("length_p50"),
                "long_length": of("length_p99"),
            });
            (location.clone(), summary)
        })
        .collect();
    Ok(json!({
        "kind": "bundle", "path": directory, "id": of("id"), "created": of("created"),
        "fingerprint": of("fingerprint"),
        "readable_here": manifest.get("fingerprint").and_then(Value::as_str)
            == Some(weir_features::schema::fingerprint().as_str()),
        "detectors": networks(&manifest), "budgets": of("budgets"), "smallest_budget": of("smallest_budget"),
        "data": of("data"), "metrics": of("metrics"), "locations": locations, "files": of("files"),
    }))
}

fn networks(manifest: &Value) -> BTreeMap<String, Value> {
    let detectors = manifest.get("detectors").and_then(Value::as_object);
    let described = detectors
        .into_iter()
        .flatten()
        .filter(|(_, detector)| !detector.is_null());
    described
        .map(|(name, detector)| {
            (
                name.clone(),
                json!({
                    "network": detector.get("network"),
                    "members": detector.get("members").unwrap_or(&json!(1)),
                }),
            )
        })
        .collect()
}

fn data(file: &Path) -> anyhow::Result<Value> {
    let paths = [file.to_path_buf()];
    let requests = read_requests(&paths, &ReadOptions::default());
    match requests {
        Ok(requests) if !requests.records.is_empty() => Ok(request_summary(file, &requests)),
        not_requests => {
            let exposure = read_exposure(&paths).with_context(|| {
                format!(
                    "{} holds neither request nor payload records",
                    file.display()
                )
            })?;
            if exposure.payloads.is_empty() {
                not_requests?;
                anyhow::bail!("{} holds no records", file.display());
            }
            let classes = count(
                exposure
                    .payloads
                    .iter()
                    .map(|payload| payload.class.clone()),
            );
            let sources = count(
                exposure
                    .payloads
                    .iter()
                    .map(|payload| payload.source.clone()),
            );
            Ok(json!({
                "kind": "payloads", "path": file, "payloads": exposure.payloads.len(), "classes": classes,
                "sources": sources,
            }))
        }
    }
}

fn request_summary(file: &Path, requests: &crate::data::Requests) -> Value {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let mut fields: BTreeMap<&'static str, u64> = BTreeMap::new();
    for record in &requests.records {
        record.request.with_view(|view| {
            for field in extractor.extract(view, &mut scratch).iter() {
                *fields.entry(field.location.name()).or_default() += 1;
            }
        });
    }
    let records = || requests.records.iter();
    let with = |known: fn(&crate::data::LabelledRequest) -> bool| {
        records().filter(|record| known(record)).count()
    };
    let times: Vec<f64> = records().filter_map(|record| record.time).collect();
    json!({
        "kind": "requests", "path": file, "requests": requests.records.len(), "bad_lines": requests.bad_lines.len(),
        "hosts": count(records().map(|r| String::from_utf8_lossy(r.request.host().unwrap_or_default()).into_owned())),
        "methods": count(records().map(|r| String::from_utf8_lossy(&r.request.method).into_owned())),
        "labels": count(records().map(|r| format!("{:?}", r.label).to_lowercase())),
        "attack_classes": count(records().filter_map(|r| r.attack_class.clone())),
        "carry": {
            "client": with(|r| r.client.is_some()), "time": with(|r| r.time.is_some()),
            "status": with(|r| r.status.is_some()), "response_bytes": with(|r| r.response_bytes.is_some()),
        },
        "trains_request_detector": crate::fit::vectors::complete(&requests.records),
        "from": times.iter().copied().reduce(f64::min), "to": times.iter().copied().reduce(f64::max),
        "fields": fields,
    })
}

/// The most frequent names with their counts; the rest as one entry.
fn count(names: impl Iterator<Item = String>) -> BTreeMap<String, u64> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for name in names {
        *counts.entry(name).or_default() += 1;
    }
    let mut named: Vec<(String, u64)> = counts.into_iter().collect();
    named.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
    let rest = named.split_off(named.len().min(MOST_NAMED));
    if !rest.is_empty() {
        let sum = rest.iter().map(|(_, count)| count).sum();
        named.push((format!("({} more)", rest.len()), sum));
    }
    named.into_iter().collect()
}

/// Indented lines, one a leaf.
fn text(value: &Value) -> String {
    let mut out = String::new();
    write_text(value, 0, &mut out);
    out
}

fn write_text(value: &Value, depth: usize, out: &mut String) {
    use std::fmt::Write as _;
    for (key, value) in value.as_object().into_iter().flatten() {
        let indent = "  ".repeat(depth);
        let _ = match value {
            Value::Null => Ok(()),
            // The depth of a summary is fixed by this file; a manifest cannot make it deep.
            Value::Object(fields) if fields.is_empty() => Ok(()),
            Value::Object(_) if depth < 6 => {
                let _ = writeln!(out, "{indent}{key}");
                write_text(value, depth + 1, out);
                Ok(())
            }
            Value::String(string) => writeln!(out, "{indent}{key:<24} {string}"),
            other => writeln!(out, "{indent}{key:<24} {other}"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_name_the_most_frequent_and_sum_the_rest() {
        let names = (0..40).flat_map(|i| vec![format!("n{i:02}"); 40 - i]);
        let counted = count(names);
        assert_eq!(counted.len(), MOST_NAMED + 1);
        assert_eq!(counted.get("n00"), Some(&40));
        assert_eq!(counted.get("(28 more)"), Some(&(1..=28).sum()));
    }

    #[test]
    fn text_leaves_nulls_out() {
        assert_eq!(
            text(&json!({"a": 1, "b": null, "c": {"d": "x"}})),
            "a                        1\nc\n  d                        x\n"
        );
    }
}
