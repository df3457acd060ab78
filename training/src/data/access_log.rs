//! nginx and Apache access logs in common and combined format, to request records.
//!
//! A log knows neither bodies nor most headers: what comes out can train the request detector and calibrate paths and queries.

use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use weir_scoring::record::{Label, RequestRecord, Timestamp, to_text};

const TIME: &[BorrowedFormatItem<'_>] = format_description!(
    "[day]/[month repr:short]/[year]:[hour]:[minute]:[second] [offset_hour sign:mandatory][offset_minute]"
);

/// Why a line is no log line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum LogError {
    /// The line does not have the fields of a common or combined log.
    #[error("no access log line: no {0} (expected common or combined format)")]
    Missing(&'static str),
    /// The client sent no parsable request line (`-`, a TLS hello, an empty line): there is no request to learn from.
    #[error("the logged request line is no request: {0:?}")]
    NoRequest(String),
}

/// Reads one line. Log lines that are wrapped in another pair of quotes are unwrapped.
///
/// # Errors
/// When the line is no access log line or holds no request.
pub fn parse(
    line: &[u8],
    host: Option<&str>,
    label: Option<Label>,
) -> Result<RequestRecord, LogError> {
    let line = unwrap(line.trim_ascii());
    let (client, rest) = word(line).ok_or(LogError::Missing("client"))?;
    let bracket = rest
        .iter()
        .position(|byte| *byte == b'[')
        .ok_or(LogError::Missing("[time]"))?;
    let (_, rest) = rest
        .split_at_checked(bracket + 1)
        .ok_or(LogError::Missing("[time]"))?;
    let close = rest
        .iter()
        .position(|byte| *byte == b']')
        .ok_or(LogError::Missing("[time]"))?;
    let (stamp, rest) = rest
        .split_at_checked(close)
        .ok_or(LogError::Missing("[time]"))?;
    let (request, rest) = quoted(rest).ok_or(LogError::Missing("\"request\""))?;
    let (status, rest) = word(rest).ok_or(LogError::Missing("status"))?;
    let (size, rest) = word(rest).unwrap_or_default();
    let (referer, rest) = quoted(rest).unwrap_or_default();
    let (agent, _) = quoted(rest).unwrap_or_default();
    let (method, uri, version) =
        request_line(&request).ok_or_else(|| LogError::NoRequest(to_text(&request)))?;
    let mut headers = Vec::new();
    for (name, value) in [
        ("Host", host.unwrap_or_default().as_bytes()),
        ("User-Agent", &agent),
        ("Referer", &referer),
    ] {
        if !value.is_empty() && value != b"-" {
            headers.push((name.to_owned(), to_text(value)));
        }
    }
    Ok(RequestRecord {
        method,
        uri,
        version,
        headers,
        body: None,
        body_base64: None,
        label,
        attack_class: None,
        client: (client != b"-").then(|| to_text(client)),
        time: seconds(stamp),
        status: number(status),
        response_bytes: number(size),
        other: serde_json::Map::new(),
    })
}

fn unwrap(line: &[u8]) -> &[u8] {
    match line.strip_prefix(b"\"") {
        Some(rest) => rest.strip_suffix(b"\"").unwrap_or(rest),
        None => line,
    }
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let text = text.trim_ascii_start();
    let end = text
        .iter()
        .position(u8::is_ascii_whitespace)
        .unwrap_or(text.len());
    text.split_at_checked(end)
        .filter(|(word, _)| !word.is_empty())
}

/// A quoted string with its escapes undone (Apache and nginx write `\"`, `\\`, `\xHH`), and what follows it.
fn quoted(text: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let start = text.iter().position(|byte| *byte == b'"')?;
    let mut rest = text.get(start + 1..)?;
    let mut out = Vec::new();
    loop {
        rest = match rest {
            [b'"', tail @ ..] => return Some((out, tail)),
            [b'\\', b'x', high, low, tail @ ..] => {
                if let (Some(high), Some(low)) = (
                    char::from(*high).to_digit(16),
                    char::from(*low).to_digit(16),
                ) {
                    out.push(u8::try_from(high * 16 + low).unwrap_or_default());
                    tail
                } else {
                    out.extend_from_slice(b"\\x");
                    rest.get(2..)?
                }
            }
            [b'\\', escaped @ (b'"' | b'\\'), tail @ ..] => {
                out.push(*escaped);
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => return None,
        };
    }
}

fn request_line(line: &[u8]) -> Option<(String, String, Option<String>)> {
    let text = to_text(line);
    let (method, rest) = text.split_once(' ')?;
    let known = !method.is_empty()
        && method.len() <= 32
        && method
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'_' || byte == b'-');
    let (uri, version) = match rest.rsplit_once(' ') {
        Some((uri, version)) if version.starts_with("HTTP/") => (uri, Some(version.to_owned())),
        _ => (rest, None),
    };
    (known && !uri.is_empty()).then(|| (method.to_owned(), uri.to_owned(), version))
}

#[expect(
    clippy::cast_precision_loss,
    reason = "log times are whole seconds of this era"
)]
fn seconds(stamp: &[u8]) -> Option<Timestamp> {
    let time = OffsetDateTime::parse(std::str::from_utf8(stamp).ok()?, TIME).ok()?;
    Timestamp::from_seconds(time.unix_timestamp() as f64)
}

fn number<T: std::str::FromStr>(text: &[u8]) -> Option<T> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn a_combined_line_fills_everything() {
        let line = br#"83.149.9.216 - - [17/May/2015:10:05:03 +0000] "GET /a.png?x=1 HTTP/1.1" 200 203023 "http://s.com/" "Mozilla/5.0 \"x\" \xc3\xa9""#;
        let record = parse(line, Some("s.com"), Some(Label::Normal)).unwrap();
        assert_eq!(
            (
                record.method.as_str(),
                record.uri.as_str(),
                record.version.as_deref()
            ),
            ("GET", "/a.png?x=1", Some("HTTP/1.1"))
        );
        assert_eq!(
            (record.status, record.response_bytes),
            (Some(200), Some(203_023))
        );
        assert_eq!(record.time.unwrap().seconds(), 1_431_857_103.0);
        let request = record.to_request().unwrap();
        assert_eq!(
            request.header("user-agent"),
            Some("Mozilla/5.0 \"x\" é".as_bytes())
        );
        assert_eq!(
            (request.header("host"), request.header("referer")),
            (Some(&b"s.com"[..]), Some(&b"http://s.com/"[..]))
        );
        assert_eq!(record.client.as_deref(), Some("83.149.9.216"));
    }

    #[test]
    fn wrapped_and_common_lines_are_read() {
        let wrapped = br#""192.168.4.25 - - [22/Dec/2016:16:30:52 +0300] "POST /a HTTP/1.1" 303 382 "-" "w3af.org"""#;
        let record = parse(wrapped, None, None).unwrap();
        assert_eq!((record.status, record.headers.len()), (Some(303), 1));
        assert_eq!(record.headers[0].1, "w3af.org");
        assert_eq!(record.time.unwrap().seconds(), 1_482_413_452.0);
        let common = parse(
            b"::1 - bob [22/Dec/2016:16:30:52 +0300] \"HEAD / HTTP/1.0\" 404 -",
            None,
            None,
        )
        .unwrap();
        assert_eq!(
            (common.status, common.response_bytes, common.headers.len()),
            (Some(404), None, 0)
        );
    }

    #[test]
    fn what_is_no_request_says_so() {
        let hello = br#"1.2.3.4 - - [22/Dec/2016:16:30:52 +0300] "\x16\x03\x01" 400 226 "-" "-""#;
        assert!(matches!(
            parse(hello, None, None),
            Err(LogError::NoRequest(_))
        ));
        assert_eq!(
            parse(b"hello world", None, None).unwrap_err(),
            LogError::Missing("[time]")
        );
        assert_eq!(
            parse(b"", None, None).unwrap_err(),
            LogError::Missing("client")
        );
    }
}
