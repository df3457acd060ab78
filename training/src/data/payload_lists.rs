//! The public payload collections, each in its own format, to payload records and anomalous request records.
//!
//! Junk that no careful analyst would call an attack is dropped and counted; validation-only parts (false-positive sets) never come out.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Map, Value};
use weir_scoring::record::{Label, PayloadRecord, RequestRecord, to_text};

use super::{DataError, lines};
use crate::exposure::{class, encode, junk};

/// One imported line.
#[derive(Debug, Clone)]
pub enum Item {
    /// A payload.
    Payload(PayloadRecord),
    /// A whole anomalous request.
    Request(Box<RequestRecord>),
}

/// What was imported from one file, and what was not.
#[derive(Debug, Default)]
pub struct Imported {
    /// The kept items, in order.
    pub items: Vec<Item>,
    /// Dropped lines by reason.
    pub dropped: BTreeMap<&'static str, u64>,
    /// Lines in no known format, with their number.
    pub bad: Vec<(u64, String)>,
    /// How many payloads were seen.
    pub seen: u64,
    keep_junk: bool,
}

impl Imported {
    fn drop(&mut self, reason: &'static str) {
        *self.dropped.entry(reason).or_default() += 1;
    }

    /// Keeps a payload unless it is junk.
    fn payload(&mut self, bytes: &[u8], class_name: &str, source: &str, location: Option<&str>) {
        self.seen += 1;
        let attack_class = class::canonical(class_name);
        if let Some(reason) = junk::reason(bytes, attack_class).filter(|_| !self.keep_junk) {
            return self.drop(reason.name());
        }
        self.items.push(Item::Payload(PayloadRecord {
            payload: to_text(bytes),
            attack_class: Some(attack_class.to_owned()),
            source: Some(source.to_owned()),
            location: location.map(str::to_owned),
        }));
    }
}

/// Imports a list whose format is recognised by its content. `source` names it; none takes the format's or the folder's name.
/// `keep_junk` keeps what junk filters would drop: a test set counts it against the detector.
///
/// # Errors
/// When the file cannot be read.
pub fn import(path: &Path, source: Option<&str>, keep_junk: bool) -> Result<Imported, DataError> {
    let mut out = Imported {
        keep_junk,
        ..Imported::default()
    };
    let is_csv = path.to_string_lossy().contains(".csv");
    if is_csv {
        csv_list(&lines::read(path)?, source, &mut out);
        return Ok(out);
    }
    let folder = path
        .parent()
        .and_then(Path::file_name)
        .map(|name| name.to_string_lossy().into_owned());
    let folder = folder.unwrap_or_else(|| lines::stem(path));
    lines::each(path, |number, line| {
        match serde_json::from_slice::<Map<String, Value>>(line) {
            Ok(object) => json_item(&object, source, &folder, number, &mut out),
            Err(error) => out.bad.push((number, error.to_string())),
        }
        true
    })?;
    Ok(out)
}

fn json_item(
    object: &Map<String, Value>,
    source: Option<&str>,
    folder: &str,
    number: u64,
    out: &mut Imported,
) {
    let text = |key: &str| object.get(key).and_then(Value::as_str).unwrap_or_default();
    if object.contains_key("placeholders") {
        gotestwaf(object, source.unwrap_or("gotestwaf"), out);
    } else if object.contains_key("BLOCKED") {
        waf_bypass(object, source.unwrap_or("waf_bypass"), out);
    } else if object.contains_key("rule_id") {
        crs(object, source.unwrap_or("crs"), number, out);
    } else if object.contains_key("payload") {
        let location = object.get("location").and_then(Value::as_str);
        out.payload(
            text("payload").as_bytes(),
            text("attack_class"),
            source.unwrap_or(folder),
            location,
        );
    } else {
        out.bad.push((number, "in no known format: expected a `payload` key or a line of gotestwaf, waf_bypass or CRS".to_owned()));
    }
}

/// GoTestWAF: payloads x encoders x placeholders; its `false-pos` set stays for validation.
fn gotestwaf(object: &Map<String, Value>, source: &str, out: &mut Imported) {
    let list = |key: &str| {
        object
            .get(key)
            .and_then(Value::as_array)
            .cloned()
            .unwrap_or_default()
    };
    let kind = object
        .get("type")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    for payload in list("payloads").iter().filter_map(Value::as_str) {
        for encoder in list("encoders") {
            for placeholder in list("placeholders") {
                if object.get("set").and_then(Value::as_str) == Some("false-pos") {
                    out.seen += 1;
                    out.drop("false-positive set");
                    continue;
                }
                let bytes = match encoder.as_str() {
                    Some("Base64Flat" | "Base64") => encode::base64(payload.as_bytes()),
                    _ => payload.as_bytes().to_vec(),
                };
                let (location, bytes) = placed(&placeholder, bytes);
                out.payload(&bytes, kind, source, Some(location));
            }
        }
    }
}

/// Where a GoTestWAF placeholder puts a payload, and how it wraps it.
fn placed(placeholder: &Value, bytes: Vec<u8>) -> (&'static str, Vec<u8>) {
    let name = placeholder
        .as_str()
        .or_else(|| placeholder.as_object()?.keys().next().map(String::as_str));
    match name.unwrap_or_default() {
        "URLPath" => ("path", bytes),
        "HTMLForm" | "HTMLMultipartForm" => ("body_value", bytes),
        "JSONRequest" | "JSONBody" | "gRPC" => ("json", bytes),
        "XMLBody" | "SOAPBody" => ("xml", bytes),
        "Header" => ("header", bytes),
        "UserAgent" => ("user_agent", bytes),
        "GraphQL"
            if placeholder
                .pointer("/GraphQL/method")
                .and_then(Value::as_str)
                == Some("POST") =>
        {
            ("raw_body", bytes)
        }
        "RawRequest" => {
            let body = placeholder
                .pointer("/RawRequest/body")
                .and_then(Value::as_str)
                .unwrap_or("{{payload}}");
            (
                "raw_body",
                body.replace("{{payload}}", &String::from_utf8_lossy(&bytes))
                    .into_bytes(),
            )
        }
        _ => ("query_value", bytes),
    }
}

/// waf-bypass: one payload a zone, written as it goes over the wire; its `FP` class stays for validation.
fn waf_bypass(object: &Map<String, Value>, source: &str, out: &mut Imported) {
    const ZONES: [(&str, &str); 7] = [
        ("URL", "path"),
        ("ARGS", "query_key"),
        ("BODY", "raw_body"),
        ("COOKIE", "cookie"),
        ("USER-AGENT", "user_agent"),
        ("REFERER", "referer"),
        ("HEADER", "header"),
    ];
    let kind = object
        .get("attack_class")
        .and_then(Value::as_str)
        .unwrap_or("unknown");
    let attack = kind != "FP" && object.get("BLOCKED").and_then(Value::as_bool) == Some(true);
    for (zone, location) in ZONES {
        let Some(text) = object.get(zone).and_then(Value::as_str) else {
            continue;
        };
        if !attack {
            out.seen += 1;
            out.drop("false-positive set");
            continue;
        }
        let filled = text
            .replace("%RND%", "7")
            .replace("{{interactsh-url}}", "x.oast.example");
        out.payload(filled.as_bytes(), kind, source, Some(location));
    }
}

/// CRS regression tests: only requests that must match an attack rule; protocol hygiene and response rules are no attacks.
fn crs(object: &Map<String, Value>, source: &str, number: u64, out: &mut Imported) {
    out.seen += 1;
    if object.get("label").and_then(Value::as_str) != Some("expect_match") {
        return out.drop("not expected to match");
    }
    let category = object
        .get("category")
        .and_then(Value::as_str)
        .unwrap_or_default();
    let Some(attack_class) = class::of_crs(category) else {
        return out.drop("rule is about protocol hygiene or responses");
    };
    let mut fields = object.clone();
    fields.retain(|key, _| {
        matches!(
            key.as_str(),
            "method" | "uri" | "version" | "headers" | "body"
        )
    });
    match serde_json::from_value::<RequestRecord>(Value::Object(fields)) {
        Ok(mut record) if !record.uri.is_empty() => {
            record.label = Some(Label::Anomalous);
            record.attack_class = Some(attack_class.to_owned());
            record
                .other
                .insert("source".to_owned(), Value::from(source));
            out.items.push(Item::Request(Box::new(record)));
        }
        Ok(_) => out.drop("no target"),
        Err(error) => out.bad.push((number, error.to_string())),
    }
}

/// HttpParamsDataset and the grananqvist list: attacks only, since their normal values come from a benchmark.
fn csv_list(content: &[u8], source: Option<&str>, out: &mut Imported) {
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(content);
    let headers = reader.byte_headers().cloned().unwrap_or_default();
    let column = |name: &str| {
        headers
            .iter()
            .position(|header| header.eq_ignore_ascii_case(name.as_bytes()))
    };
    let payload = column("payload");
    let (kind, mark, name) = match (column("attack_type"), column("is_malicious")) {
        (Some(kind), _) => (Some(kind), column("label"), "httpparams"),
        (None, mark) => (column("injection_type"), mark, "grananqvist"),
    };
    for (number, row) in (2..).zip(reader.byte_records()) {
        let row = match row {
            Ok(row) => row,
            Err(error) => {
                out.bad.push((number, error.to_string()));
                continue;
            }
        };
        let cell =
            |index: Option<usize>| index.and_then(|index| row.get(index)).unwrap_or_default();
        if matches!(cell(mark), b"anom" | b"1.0" | b"1") {
            let kind = String::from_utf8_lossy(cell(kind)).into_owned();
            out.payload(cell(payload), &kind, source.unwrap_or(name), None);
        } else {
            out.seen += 1;
            out.drop("labelled normal");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use super::*;

    fn run(name: &str, content: &str) -> Imported {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(name);
        std::fs::write(&path, content).unwrap();
        import(&path, None, false).unwrap()
    }

    fn payloads(imported: &Imported) -> Vec<&PayloadRecord> {
        imported
            .items
            .iter()
            .map(|item| match item {
                Item::Payload(record) => record,
                Item::Request(_) => panic!("a request"),
            })
            .collect()
    }

    #[test]
    fn plain_lists_lose_their_junk() {
        let read = run(
            "list.jsonl",
            "{\"payload\":\"' or 1=1--\",\"attack_class\":\"sqli\"}\n{\"payload\":\"hello\",\"attack_class\":\"sqli\"}\n{\"x\":1}\n",
        );
        assert_eq!((read.items.len(), read.seen, read.bad.len()), (1, 2, 1));
        assert_eq!(read.dropped.values().sum::<u64>(), 1);
    }

    #[test]
    fn gotestwaf_multiplies_and_keeps_false_positives_out() {
        let read = run(
            "cases.jsonl",
            "{\"set\":\"owasp\",\"type\":\"16KB XSS\",\"payloads\":[\"<svg onload=x()>\"],\"encoders\":[\"URL\",\"Base64Flat\"],\"placeholders\":[\"URLPath\",{\"RawRequest\":{\"body\":\"a={{payload}}\"}}]}\n\
             {\"set\":\"false-pos\",\"type\":null,\"payloads\":[\"union was a great select\"],\"encoders\":[\"URL\"],\"placeholders\":[\"URLParam\"]}\n",
        );
        let kept = payloads(&read);
        assert_eq!(kept.len(), 4);
        assert_eq!(kept[0].attack_class.as_deref(), Some("xss"));
        assert_eq!(
            (kept[1].payload.as_str(), kept[1].location.as_deref()),
            ("a=<svg onload=x()>", Some("raw_body"))
        );
        assert_eq!(read.dropped.get("false-positive set"), Some(&1));
    }

    #[test]
    fn waf_bypass_gives_one_payload_a_zone() {
        let read = run(
            "payloads.jsonl",
            "{\"URL\":\"/<x onblur=y()>\",\"ARGS\":\"p%RND%=<x onblur=y()>\",\"ENCODE\":\"Base64\",\"BLOCKED\":true,\"attack_class\":\"XSS\"}\n\
             {\"ARGS\":\"q=select a dress\",\"BLOCKED\":false,\"attack_class\":\"FP\"}\n",
        );
        let kept = payloads(&read);
        assert_eq!(kept.len(), 2);
        assert_eq!(
            (kept[1].payload.as_str(), kept[1].location.as_deref()),
            ("p7=<x onblur=y()>", Some("query_key"))
        );
    }

    #[test]
    fn crs_keeps_matching_attack_requests() {
        let line = |label: &str, category: &str| {
            format!(
                "{{\"method\":\"GET\",\"uri\":\"/?x=1\",\"headers\":[],\"body\":\"\",\"rule_id\":1,\"label\":\"{label}\",\"category\":\"{category}\"}}\n"
            )
        };
        let text = line("expect_match", "REQUEST-942-APPLICATION-ATTACK-SQLI")
            + &line("expect_no_match", "REQUEST-942-APPLICATION-ATTACK-SQLI")
            + &line("expect_match", "REQUEST-920-PROTOCOL-ENFORCEMENT");
        let read = run("regression.jsonl", &text);
        let [Item::Request(record)] = read.items.as_slice() else {
            panic!("{:?}", read.items)
        };
        assert_eq!(
            (record.label, record.attack_class.as_deref()),
            (Some(Label::Anomalous), Some("sqli"))
        );
        assert_eq!(read.dropped.values().sum::<u64>(), 2);
    }

    #[test]
    fn csv_lists_give_attacks_only() {
        let read = run(
            "payload_full.csv",
            "\"payload\",\"length\",\"attack_type\",\"label\"\n\"c/ caridad s/n\",\"14\",\"norm\",\"norm\"\n\"<a href=\"\"javascript:x()\"\">\",\"5\",\"xss\",\"anom\"\n",
        );
        assert_eq!(payloads(&read)[0].source.as_deref(), Some("httpparams"));
        let read = run(
            "payloads.csv",
            "index,payload,is_malicious,injection_type\n0,shirting,0.0,LEGAL\n2,;alert%28%27XSS%27%29;//,1.0,XSS\n3,;cat /etc/passwd,1.0,SHELL\n",
        );
        let kept = payloads(&read);
        assert_eq!(
            (kept.len(), kept[1].attack_class.as_deref()),
            (2, Some("cmdi"))
        );
    }
}
