//! waf-bypass' payload file: every zone of every payload, plain and in the encodings it names. Not here: sending.
//!
//! Written from the tool's behaviour, with two differences: a `#` in a URL is sent escaped and not cut off, and `..` in a
//! path is sent as it stands.

use std::path::Path;

use anyhow::Result;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::cases::{Case, Suite, lines};
use crate::encode;
use crate::message::Message;

#[derive(Deserialize)]
#[serde(rename_all = "UPPERCASE")]
struct Line {
    #[serde(rename = "attack_class")]
    class: String,
    url: Option<String>,
    args: Option<String>,
    body: Option<String>,
    cookie: Option<String>,
    #[serde(rename = "USER-AGENT")]
    user_agent: Option<String>,
    referer: Option<String>,
    header: Option<String>,
    method: Option<String>,
    encode: Option<String>,
    boundary: Option<String>,
    json: Option<bool>,
    blocked: Option<bool>,
}

/// Stands for the tool's random part of names.
const RANDOM: &str = "5f3a9c";

/// The cases in the tool's order.
pub(crate) fn read(file: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in lines::<Line>(file)? {
        for (zone, payload) in line.zones() {
            let payload = payload.replace("%RND%", RANDOM);
            for encoding in line.encodings(zone) {
                cases.push(Case {
                    suite: Suite::WafBypass,
                    set: line.class.clone(),
                    name: String::new(),
                    place: zone.to_owned(),
                    encoder: encoding.to_owned(),
                    harmless: line.blocked == Some(false),
                    message: line.request(zone, encoding, &payload).checked(),
                    payload: payload.clone(),
                });
            }
        }
    }
    Ok(cases)
}

impl Line {
    fn zones(&self) -> impl Iterator<Item = (&'static str, &String)> {
        let zones = [
            ("URL", &self.url),
            ("ARGS", &self.args),
            ("BODY", &self.body),
            ("COOKIE", &self.cookie),
            ("USER-AGENT", &self.user_agent),
            ("REFERER", &self.referer),
            ("HEADER", &self.header),
        ];
        let given = zones.into_iter();
        given.filter_map(|(zone, payload)| Some((zone, payload.as_ref()?)))
    }

    /// The encodings of a zone, plain last. Three zones are sent plain only, and so are whole documents.
    fn encodings(&self, zone: &str) -> Vec<&str> {
        let document = self.class == "API"
            || self.json == Some(true)
            || (self.class == "MFD" && self.body.is_some());
        let mut names = Vec::new();
        if !document && !matches!(zone, "URL" | "USER-AGENT" | "REFERER") {
            let list = self.encode.as_deref().unwrap_or_default();
            names.extend(list.split([' ', ',']).filter(|name| !name.is_empty()));
        }
        names.push("Plain");
        names
    }

    fn request(&self, zone: &str, encoding: &str, payload: &str) -> Message {
        let method = self.method.as_deref().map(str::to_uppercase);
        let usual = if zone == "BODY" { "POST" } else { "GET" };
        let method = method.unwrap_or_else(|| usual.to_owned());
        let in_pairs = matches!(zone, "ARGS" | "BODY");
        let payload = encoded(encoding, payload, in_pairs);
        let message = Message::new(&method, "/");
        let mut message = match zone {
            "URL" => {
                let path = payload.strip_prefix('/').unwrap_or(&payload);
                Message::new(&method, format!("/{}", encode::target(path)))
            }
            "ARGS" => Message::new(&method, format!("/?{}", encode::target(&payload))),
            "COOKIE" => message.with("Cookie", format!("WBC-{RANDOM}={payload}")),
            "USER-AGENT" => message.with("User-Agent", payload),
            "REFERER" => message.with("Referer", payload),
            "HEADER" => message.with(&format!("WBH-{RANDOM}"), payload),
            _ => return self.with_body(message, payload),
        };
        if self.class == "API" || self.json == Some(true) {
            message = message.with("Content-Type", "application/json");
        }
        message
    }

    fn with_body(&self, message: Message, payload: String) -> Message {
        if self.class == "API" || self.json == Some(true) {
            return message
                .with("Content-Type", "application/json")
                .body(payload);
        }
        if self.class != "MFD" {
            return message.body(payload);
        }
        let boundary = self.boundary.clone().unwrap_or_else(|| RANDOM.repeat(10));
        let body = if self.boundary.is_some() {
            payload
        } else {
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{RANDOM}\"\r\n\r\n{payload}\r\n--{boundary}--\r\n"
            )
        };
        let kind = format!("multipart/form-data; boundary={boundary}");
        message.with("Content-Type", kind).body(body)
    }
}

/// A payload in one of the tool's encodings; of `key=value&...` the values only.
fn encoded(encoding: &str, payload: &str, in_pairs: bool) -> String {
    let one: fn(&str) -> String = match encoding.to_uppercase().as_str() {
        "BASE64" => |text| STANDARD.encode(text),
        "UTF-16" => encode::js_unicode,
        "HTML-ENTITY" => |text| encode::form(&encode::html(text)),
        _ => return payload.to_owned(),
    };
    if !in_pairs {
        return one(payload);
    }
    let pairs = payload.split('&').map(|pair| match pair.split_once('=') {
        Some((key, value)) => format!("{key}={}", one(value)),
        None => one(pair),
    });
    pairs.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn values_are_encoded_and_keys_are_not() {
        assert_eq!(encoded("Base64", "a=<x>&b", true), "a=PHg+&Yg==");
        assert_eq!(encoded("Base64", "a=<x>", false), "YT08eD4=");
        assert_eq!(encoded("UTF-16", "a=<", true), "a=\\u003c");
        assert_eq!(encoded("HTML-ENTITY", "<", false), "%26lt%3B");
        assert_eq!(encoded("Plain", "<", false), "<");
    }

    #[test]
    fn a_line_becomes_its_zones() {
        let line: Line = serde_json::from_str(
            r#"{"attack_class":"XSS","URL":"/x?<a>","BODY":"p=<b>","ENCODE":"Base64 UTF-16","BLOCKED":true}"#,
        )
        .unwrap();
        let zones: Vec<_> = line
            .zones()
            .map(|(zone, _)| (zone, line.encodings(zone).len()))
            .collect();
        assert_eq!(zones, [("URL", 1), ("BODY", 3)]);
        assert_eq!(line.request("URL", "Plain", "/x?<a>").target, "/x?%3Ca%3E");
        let message = line.request("BODY", "Base64", "p=<b>");
        assert_eq!(
            (message.method.as_str(), message.body.as_slice()),
            ("POST", &b"p=PGI+"[..])
        );
    }
}
