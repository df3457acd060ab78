//! HTTP archives (HAR 1.2) as browsers save them, to request records.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use weir_scoring::record::{Label, RequestRecord, Timestamp, to_text};

#[derive(Deserialize)]
struct Archive {
    log: Log,
}

#[derive(Deserialize)]
struct Log {
    entries: Vec<serde_json::Value>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    #[serde(default)]
    started_date_time: Option<String>,
    request: Request,
    #[serde(default)]
    response: Option<Response>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Request {
    method: String,
    url: String,
    #[serde(default)]
    http_version: Option<String>,
    #[serde(default)]
    headers: Vec<Pair>,
    #[serde(default)]
    post_data: Option<PostData>,
}

#[derive(Deserialize)]
struct Pair {
    name: String,
    value: String,
}

#[derive(Deserialize)]
struct PostData {
    #[serde(default)]
    text: Option<String>,
    #[serde(default)]
    encoding: Option<String>,
    #[serde(default)]
    params: Vec<Param>,
}

#[derive(Deserialize)]
struct Param {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    status: Option<i64>,
    #[serde(default)]
    content: Option<Content>,
}

#[derive(Deserialize)]
struct Content {
    #[serde(default)]
    size: Option<i64>,
}

/// What was read: the records in order, and the entries that hold no request, by their position from 1.
#[derive(Debug, Default)]
pub struct Imported {
    /// The requests, in order.
    pub records: Vec<RequestRecord>,
    /// Entries that are no requests.
    pub skipped: Vec<(u64, String)>,
}

/// Reads an archive. Every request gets `label`.
///
/// # Errors
/// When the file is no HAR at all; single entries that are not understood are in `skipped`.
pub fn import(content: &[u8], label: Option<Label>) -> Result<Imported, serde_json::Error> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let archive: Archive = serde_json::from_slice(content)?;
    let mut out = Imported::default();
    for (number, value) in (1..).zip(archive.log.entries) {
        match serde_json::from_value::<Entry>(value) {
            Ok(entry) => match record(entry, label) {
                Some(record) => out.records.push(record),
                None => out
                    .skipped
                    .push((number, "not an http(s) request".to_owned())),
            },
            Err(error) => out.skipped.push((number, error.to_string())),
        }
    }
    Ok(out)
}

fn record(entry: Entry, label: Option<Label>) -> Option<RequestRecord> {
    let (scheme, rest) = entry.request.url.split_once("://")?;
    if !matches!(
        scheme.to_ascii_lowercase().as_str(),
        "http" | "https" | "ws" | "wss"
    ) {
        return None;
    }
    let rest = rest.split('#').next().unwrap_or_default();
    let start = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at_checked(start)?;
    let uri = if target.starts_with('/') {
        target.to_owned()
    } else {
        format!("/{target}")
    };
    // HTTP/2 pseudo-headers are the request line again.
    let mut headers: Vec<(String, String)> = entry
        .request
        .headers
        .into_iter()
        .filter(|pair| !pair.name.starts_with(':'))
        .map(|pair| (latin(&pair.name), latin(&pair.value)))
        .collect();
    if !headers
        .iter()
        .any(|(name, _)| name.eq_ignore_ascii_case("host"))
    {
        headers.insert(0, ("Host".to_owned(), latin(authority)));
    }
    let (body, body_base64) = entry.request.post_data.map_or((None, None), body_of);
    let response = entry.response;
    Some(RequestRecord {
        method: latin(&entry.request.method),
        uri: latin(&uri),
        version: entry.request.http_version,
        headers,
        body,
        body_base64,
        label,
        attack_class: None,
        client: None,
        time: entry
            .started_date_time
            .as_deref()
            .and_then(Timestamp::parse),
        status: response
            .as_ref()
            .and_then(|r| r.status)
            .and_then(|status| u16::try_from(status).ok())
            .filter(|status| *status != 0),
        response_bytes: response
            .and_then(|r| r.content)
            .and_then(|c| c.size)
            .and_then(|size| u64::try_from(size).ok()),
        other: serde_json::Map::new(),
    })
}

/// A browser's text is Unicode; a record's header and target text is bytes.
fn latin(text: &str) -> String {
    to_text(text.as_bytes())
}

fn body_of(data: PostData) -> (Option<String>, Option<String>) {
    match (data.text, data.encoding.as_deref()) {
        (Some(text), Some("base64")) if STANDARD.decode(text.trim()).is_ok() => (None, Some(text)),
        (Some(text), _) if !text.is_empty() => (Some(text), None),
        _ if !data.params.is_empty() => {
            let pairs: Vec<String> = data
                .params
                .iter()
                .map(|pair| {
                    format!(
                        "{}={}",
                        pair.name,
                        pair.value.as_deref().unwrap_or_default()
                    )
                })
                .collect();
            (Some(pairs.join("&")), None)
        }
        _ => (None, None),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const HAR: &str = r#"{"log":{"version":"1.2","entries":[
        {"startedDateTime":"2024-08-22T10:00:00.000Z","request":{"method":"POST","url":"https://shop.example:8443/a?b=é#f","httpVersion":"h2",
         "headers":[{"name":":authority","value":"shop.example"},{"name":"accept","value":"*/*"}],"postData":{"mimeType":"application/json","text":"{\"a\":1}"}},
         "response":{"status":201,"content":{"size":12}}},
        {"request":{"method":"GET","url":"data:text/plain,x","headers":[]}},
        {"request":{"method":"GET","url":"http://x.example?q=1","headers":[{"name":"Host","value":"x.example"}]},"response":{"status":0,"content":{"size":-1}}},
        {"nothing":true}]}}"#;

    #[test]
    fn entries_become_records_in_origin_form() {
        let read = import(HAR.as_bytes(), Some(Label::Normal)).unwrap();
        assert_eq!((read.records.len(), read.skipped.len()), (2, 2));
        let first = read.records[0].to_request().unwrap();
        assert_eq!(first.target, "/a?b=é".as_bytes());
        assert_eq!(first.header("host"), Some(&b"shop.example:8443"[..]));
        assert_eq!(first.body, b"{\"a\":1}");
        assert_eq!(
            (read.records[0].status, read.records[0].response_bytes),
            (Some(201), Some(12))
        );
        assert!(read.records[0].time.is_some());
        assert_eq!(read.records[1].uri, "/?q=1");
        assert_eq!(
            (read.records[1].status, read.records[1].response_bytes),
            (None, None)
        );
        assert_eq!(read.skipped[1].0, 4);
    }

    #[test]
    fn what_is_no_archive_is_an_error() {
        assert!(import(b"[]", None).is_err());
    }
}
