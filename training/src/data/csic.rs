//! The original CSIC 2010 text format: raw HTTP requests, one after another, separated by blank lines.

use weir_scoring::record::{Label, RequestRecord, to_text};

/// What was read.
#[derive(Debug, Default)]
pub struct Imported {
    /// The requests, in order.
    pub records: Vec<RequestRecord>,
    /// Lines that belong to no request, with their number.
    pub skipped: Vec<(u64, String)>,
}

/// Reads a whole file. Every request gets `label`.
#[must_use]
pub fn import(content: &[u8], label: Option<Label>) -> Imported {
    let mut out = Imported::default();
    let mut current: Option<Partial> = None;
    for (number, line) in (1..).zip(content.split(|byte| *byte == b'\n')) {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if let Some(start) = request_line(line) {
            out.records
                .extend(current.replace(start).map(|done| done.finish(label)));
            continue;
        }
        match &mut current {
            Some(partial) => partial.take(line),
            None if line.is_empty() => {}
            None => out
                .skipped
                .push((number, "no request line before this line".to_owned())),
        }
    }
    out.records.extend(current.map(|done| done.finish(label)));
    out
}

struct Partial {
    method: String,
    uri: String,
    version: String,
    headers: Vec<(String, String)>,
    in_body: bool,
    body: Vec<u8>,
}

fn request_line(line: &[u8]) -> Option<Partial> {
    let text = to_text(line);
    let (method, rest) = text.split_once(' ')?;
    let (uri, version) = rest.rsplit_once(' ')?;
    let known = !method.is_empty()
        && method.bytes().all(|byte| byte.is_ascii_uppercase())
        && version.starts_with("HTTP/");
    known.then(|| Partial {
        method: method.to_owned(),
        uri: uri.to_owned(),
        version: version.to_owned(),
        headers: Vec::new(),
        in_body: false,
        body: Vec::new(),
    })
}

impl Partial {
    fn take(&mut self, line: &[u8]) {
        if self.in_body {
            if !self.body.is_empty() {
                self.body.push(b'\n');
            }
            self.body.extend_from_slice(line);
        } else if line.is_empty() {
            self.in_body = true;
        } else {
            let text = to_text(line);
            let (name, value) = text.split_once(':').unwrap_or((&text, ""));
            self.headers
                .push((name.trim().to_owned(), value.trim().to_owned()));
        }
    }

    fn finish(self, label: Option<Label>) -> RequestRecord {
        // The separator before the next request reads like blank body lines.
        let body = self.body.trim_ascii_end();
        let (body, body_base64) = match std::str::from_utf8(body) {
            Ok("") => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(base64(body))),
        };
        RequestRecord {
            method: self.method,
            uri: self.uri,
            version: Some(self.version),
            headers: self.headers,
            body,
            body_base64,
            label,
            attack_class: None,
            client: None,
            time: None,
            status: None,
            response_bytes: None,
            other: serde_json::Map::new(),
        }
    }
}

fn base64(bytes: &[u8]) -> String {
    use ::base64::Engine as _;
    ::base64::engine::general_purpose::STANDARD.encode(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const FILE: &[u8] = b"GET http://localhost:8080/tienda1/index.jsp HTTP/1.1\r\nHost: localhost:8080\r\nCookie: JSESSIONID=1\r\n\r\n\r\n\
POST http://localhost:8080/a.jsp HTTP/1.1\nHost: localhost:8080\nContent-Length: 7\n\nid=3&x=\xf1\n\n\
PUT http://localhost:9090/b HTTP/1.1\nHost: localhost:9090\n\n";

    #[test]
    fn requests_are_separated_and_bodies_kept() {
        let read = import(FILE, Some(Label::Normal));
        assert_eq!(read.records.len(), 3);
        assert!(read.skipped.is_empty());
        assert_eq!(
            read.records[0].headers[1],
            ("Cookie".to_owned(), "JSESSIONID=1".to_owned())
        );
        assert_eq!(read.records[0].body, None);
        assert_eq!(read.records[1].to_request().unwrap().body, b"id=3&x=\xf1");
        assert_eq!(read.records[2].method, "PUT");
        assert_eq!(read.records[2].label, Some(Label::Normal));
    }

    #[test]
    fn text_before_the_first_request_is_reported() {
        let read = import(b"Start - Id: 1\nGET / HTTP/1.1\n\n", None);
        assert_eq!((read.records.len(), read.skipped.len()), (1, 1));
        assert_eq!(read.skipped[0].0, 1);
    }
}
