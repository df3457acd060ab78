//! Request and payload records: the JSON Lines in which requests travel between capture, import, training and scoring.
//!
//! What must not be here: files, compression, importers of other formats, and any parsing of HTTP itself.
//!
//! Strings in JSON are Unicode, requests are bytes. In `uri`, `headers` and `payload` the characters U+0080 to U+00FF
//! stand for the single bytes 0x80 to 0xFF and every other character for its UTF-8 bytes; [`to_text`] and [`to_bytes`]
//! convert without loss. A `body` is plain UTF-8 text; a body that is not goes into `body_base64`.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_features::RequestView;

/// A longer line is refused: no captured request is this large, and a file without line ends must not fill memory.
pub const MAX_LINE: usize = 32 * 1024 * 1024;

/// Why a line is no record.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// Nothing but white space.
    #[error("the line is empty: write one JSON object on each line")]
    Empty,
    /// Longer than [`MAX_LINE`].
    #[error(
        "the line has {0} bytes, more than {MAX_LINE}: is this JSON Lines, one object on each line?"
    )]
    TooLong(usize),
    /// Not JSON, or a key is missing or has another type than it should.
    #[error("not a {kind} record: {source}")]
    Json {
        /// `request` or `payload`.
        kind: &'static str,
        /// What the parser says, with its position in the line.
        source: serde_json::Error,
    },
    /// A key holds nothing.
    #[error("`{0}` is empty")]
    EmptyKey(&'static str),
    /// Two bodies.
    #[error("`body` and `body_base64` exclude each other: keep the one that holds the body")]
    TwoBodies,
    /// A body that cannot be decoded.
    #[error("`body_base64` is not standard base64: {0}")]
    Base64(#[from] base64::DecodeError),
}

/// What is known about the intent of a recorded request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Label {
    /// Ordinary traffic.
    Normal,
    /// An attack.
    Anomalous,
}

/// A point in time: seconds since the epoch, UTC. Read from RFC 3339 or a number, written as a number.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd, Serialize)]
pub struct Timestamp(f64);

/// The end of the year 9999, the last moment RFC 3339 can name.
const LAST_SECOND: f64 = 253_402_300_800.0;

impl Timestamp {
    /// A time from seconds since the epoch; `None` before the epoch or after the year 9999.
    #[must_use]
    pub fn from_seconds(seconds: f64) -> Option<Self> {
        (0.0..LAST_SECOND)
            .contains(&seconds)
            .then_some(Self(seconds))
    }

    /// Seconds since the epoch.
    #[must_use]
    pub const fn seconds(self) -> f64 {
        self.0
    }

    /// A time from RFC 3339 text or a decimal number of seconds.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        match OffsetDateTime::parse(text, &Rfc3339) {
            #[expect(
                clippy::cast_precision_loss,
                reason = "a fraction of a microsecond does not matter"
            )]
            Ok(time) => Self::from_seconds(time.unix_timestamp_nanos() as f64 / 1e9),
            Err(_) => Self::from_seconds(text.parse().ok()?),
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TimestampVisitor)
    }
}

struct TimestampVisitor;

impl Visitor<'_> for TimestampVisitor {
    type Value = Timestamp;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(
            "a time in RFC 3339 (\"2026-11-20T05:30:00Z\") or in seconds since the epoch",
        )
    }

    fn visit_f64<E: de::Error>(self, value: f64) -> Result<Timestamp, E> {
        Timestamp::from_seconds(value)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Float(value), &self))
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds until the year 9999 are exact in a double"
    )]
    fn visit_u64<E: de::Error>(self, value: u64) -> Result<Timestamp, E> {
        self.visit_f64(value as f64)
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "seconds until the year 9999 are exact in a double"
    )]
    fn visit_i64<E: de::Error>(self, value: i64) -> Result<Timestamp, E> {
        self.visit_f64(value as f64)
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<Timestamp, E> {
        Timestamp::parse(value).ok_or_else(|| E::invalid_value(de::Unexpected::Str(value), &self))
    }
}

/// One request as a line of JSON.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RequestRecord {
    /// The method token.
    pub method: String,
    /// The request target in origin or absolute form, see [`to_bytes`].
    pub uri: String,
    /// The protocol version, such as `HTTP/1.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Names and values in the order received, see [`to_bytes`].
    #[serde(default)]
    pub headers: Vec<(String, String)>,
    /// A body that is UTF-8 text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Any other body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body_base64: Option<String>,
    /// What the request is known to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub label: Option<Label>,
    /// The class of attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack_class: Option<String>,
    /// The client: an address or an opaque token.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When it arrived.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// The status of the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// The size of the response's body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_bytes: Option<u64>,
    /// Keys that Weir does not know, kept.
    #[serde(flatten)]
    pub other: serde_json::Map<String, serde_json::Value>,
}

impl RequestRecord {
    /// Reads one line.
    ///
    /// # Errors
    /// When the line is empty, too long, no JSON object, or lacks `method` or `uri`.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let record: Self = parse("request", line)?;
        if record.method.is_empty() {
            return Err(RecordError::EmptyKey("method"));
        }
        if record.uri.is_empty() {
            return Err(RecordError::EmptyKey("uri"));
        }
        if record.body.is_some() && record.body_base64.is_some() {
            return Err(RecordError::TwoBodies);
        }
        Ok(record)
    }

    /// A record of the bytes of a request.
    #[must_use]
    pub fn from_view(view: &RequestView<'_>) -> Self {
        let (body, body_base64) = match std::str::from_utf8(view.body) {
            Ok("") => (None, None),
            Ok(text) => (Some(text.to_owned()), None),
            Err(_) => (None, Some(STANDARD.encode(view.body))),
        };
        Self {
            method: to_text(view.method),
            uri: to_text(view.target),
            version: None,
            headers: view
                .headers
                .iter()
                .map(|(name, value)| (to_text(name), to_text(value)))
                .collect(),
            body,
            body_base64,
            label: None,
            attack_class: None,
            client: None,
            time: None,
            status: None,
            response_bytes: None,
            other: serde_json::Map::new(),
        }
    }

    /// The bytes of the request.
    ///
    /// # Errors
    /// When `body_base64` does not decode or there are two bodies.
    pub fn to_request(&self) -> Result<OwnedRequest, RecordError> {
        let body = match (&self.body, &self.body_base64) {
            (Some(_), Some(_)) => return Err(RecordError::TwoBodies),
            (Some(text), None) => text.clone().into_bytes(),
            (None, Some(encoded)) => STANDARD.decode(encoded.trim())?,
            (None, None) => Vec::new(),
        };
        Ok(OwnedRequest {
            method: to_bytes(&self.method),
            target: to_bytes(&self.uri),
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (to_bytes(name), to_bytes(value)))
                .collect(),
            body,
        })
    }
}

/// The bytes of one request, owned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OwnedRequest {
    /// The method token.
    pub method: Vec<u8>,
    /// The target in origin or absolute form.
    pub target: Vec<u8>,
    /// Header names and values in the order received.
    pub headers: Vec<(Vec<u8>, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

impl OwnedRequest {
    /// Calls `read` with the request as the extractor wants it.
    pub fn with_view<R>(&self, read: impl FnOnce(&RequestView<'_>) -> R) -> R {
        let headers: Vec<(&[u8], &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_slice(), value.as_slice()))
            .collect();
        read(&RequestView {
            method: &self.method,
            target: &self.target,
            headers: &headers,
            body: &self.body,
            body_truncated: false,
        })
    }

    /// The host asked for: the authority of an absolute target, else the `Host` header (RFC 9112, section 3.2.2).
    #[must_use]
    pub fn host(&self) -> Option<&[u8]> {
        self.authority().or_else(|| self.header("host"))
    }

    /// The first value of the header `name`, compared without case.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| value.as_slice())
    }

    fn authority(&self) -> Option<&[u8]> {
        let scheme_end = self
            .target
            .windows(3)
            .take(9)
            .position(|window| window == b"://")?;
        let (scheme, rest) = self.target.split_at(scheme_end);
        if scheme.is_empty() || !scheme.iter().all(u8::is_ascii_alphabetic) {
            return None;
        }
        rest.get(3..)?
            .split(|byte| matches!(byte, b'/' | b'?' | b'#'))
            .next()
            .filter(|host| !host.is_empty())
    }
}

/// One attack payload as a line of JSON. Keys that Weir does not know are ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PayloadRecord {
    /// The payload before any encoding, see [`to_bytes`].
    pub payload: String,
    /// The class of attack.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attack_class: Option<String>,
    /// The collection it comes from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Where in a request it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub location: Option<String>,
}

impl PayloadRecord {
    /// Reads one line.
    ///
    /// # Errors
    /// When the line is empty, too long, no JSON object, or has no payload.
    pub fn parse(line: &[u8]) -> Result<Self, RecordError> {
        let record: Self = parse("payload", line)?;
        if record.payload.is_empty() {
            Err(RecordError::EmptyKey("payload"))
        } else {
            Ok(record)
        }
    }

    /// The bytes of the payload.
    #[must_use]
    pub fn bytes(&self) -> Vec<u8> {
        to_bytes(&self.payload)
    }
}

fn parse<T: de::DeserializeOwned>(kind: &'static str, line: &[u8]) -> Result<T, RecordError> {
    let line = line
        .strip_prefix(b"\xef\xbb\xbf")
        .unwrap_or(line)
        .trim_ascii();
    if line.is_empty() {
        return Err(RecordError::Empty);
    }
    if line.len() > MAX_LINE {
        return Err(RecordError::TooLong(line.len()));
    }
    serde_json::from_slice(line).map_err(|source| RecordError::Json { kind, source })
}

/// The bytes that record text stands for: U+0080 to U+00FF are single bytes, other characters their UTF-8 bytes.
#[must_use]
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut buffer = [0; 4];
    for character in text.chars() {
        match u8::try_from(u32::from(character)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes()),
        }
    }
    bytes
}

/// The record text of some bytes; [`to_bytes`] gives exactly these bytes back.
///
/// Valid characters from U+0100 on stay legible; the rest beyond ASCII is written byte by byte.
#[must_use]
pub fn to_text(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        let mut buffer = [0; 4];
        for character in chunk.valid().chars() {
            if matches!(character, '\u{80}'..='\u{ff}') {
                text.extend(character.encode_utf8(&mut buffer).bytes().map(char::from));
            } else {
                text.push(character);
            }
        }
        text.extend(chunk.invalid().iter().copied().map(char::from));
    }
    text
}

#[cfg(test)]
mod tests;
