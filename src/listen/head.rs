//! Checks the head of an HTTP/1 request byte by byte, more strictly than any parser behind it, and writes the head
//! that stands in for a refused one.
//!
//! Not here: what a request means (`proxy::guard`). hyper parses every head that passes here, so nothing that it
//! would refuse by itself may pass: its own answers have no request id, no record and no metric.

use std::io::Write;

use http::Uri;

use super::violation::Violation;

/// Bytes of a method; the longest registered one has 17.
const METHOD: usize = 32;
/// Bytes of a refused target that are kept for the record.
const KEPT_TARGET: usize = 2_048;

/// Bounds on a request's head.
#[derive(Debug, Clone, Copy)]
pub struct HeadLimits {
    /// Header fields.
    pub fields: usize,
    /// Bytes of the head.
    pub bytes: usize,
    /// Bytes of the target.
    pub target: usize,
}

/// What a head says about the bytes behind it.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// Bytes of the body, if they are counted.
    pub length: Option<u64>,
    /// Whether it comes in chunks.
    pub chunked: bool,
    /// Whether another protocol may follow.
    pub upgrade: bool,
    http_10: bool,
}

/// Checks a whole head: empty lines, request line, fields, and the empty line at its end.
pub fn check(head: &[u8], limits: &HeadLimits) -> Result<Announced, Violation> {
    let mut announced = Announced::default();
    let (mut begun, mut fields) = (false, 0);
    let mut rest = head;
    while let Some((line, after)) = cut_line(rest) {
        rest = after;
        let line = line.strip_suffix(b"\r").ok_or(Violation::BareLineFeed)?;
        if begun {
            if line.is_empty() {
                break;
            }
            fields += 1;
            if fields > limits.fields {
                return Err(Violation::TooManyHeaders);
            }
            field(line, &mut announced)?;
        } else if line.is_empty() {
            continue;
        } else {
            announced.http_10 = request_line(line, limits)?;
            begun = true;
        }
    }
    if announced.chunked && announced.length.is_some() {
        return Err(Violation::LengthAndEncoding);
    }
    Ok(announced)
}

fn cut_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = memchr::memchr(b'\n', bytes)?;
    let (line, rest) = bytes.split_at_checked(end)?;
    Some((line, rest.get(1..)?))
}

/// Returns whether the version is 1.0.
fn request_line(line: &[u8], limits: &HeadLimits) -> Result<bool, Violation> {
    let mut parts = line.split(|byte| *byte == b' ');
    let (Some(method), Some(target), Some(version), None) =
        (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(Violation::RequestLine);
    };
    if !is_method(method) {
        return Err(Violation::RequestLine);
    }
    if target.len() > limits.target {
        return Err(Violation::TargetTooLong);
    }
    let http_10 = match version {
        b"HTTP/1.1" => false,
        b"HTTP/1.0" => true,
        _ if version.starts_with(b"HTTP/") => return Err(Violation::Version),
        _ => return Err(Violation::RequestLine),
    };
    if method == b"CONNECT" {
        return Err(Violation::Connect);
    }
    if !is_target(target) {
        return Err(Violation::Target);
    }
    Ok(http_10)
}

fn is_method(method: &[u8]) -> bool {
    !method.is_empty() && method.len() <= METHOD && all(method, class::TOKEN)
}

fn is_target(target: &[u8]) -> bool {
    if target.first() == Some(&b'/') && all(target, class::TARGET) {
        return true;
    }
    // A fragment would be cut off silently, and then two parsers see two targets.
    let refused = |byte: &u8| *byte <= b' ' || *byte == 0x7f || *byte == b'#';
    !target.iter().any(refused) && Uri::try_from(target).is_ok()
}

fn field(line: &[u8], announced: &mut Announced) -> Result<(), Violation> {
    if matches!(line.first(), Some(b' ' | b'\t')) {
        return Err(Violation::FoldedHeader);
    }
    let (name, value) = parts(line).ok_or(Violation::HeaderLine)?;
    let named = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    match name.len() {
        7 if named("upgrade") => announced.upgrade = true,
        14 if named("content-length") => {
            let length = decimal(value).ok_or(Violation::ContentLength)?;
            if announced.length.replace(length).is_some() {
                return Err(Violation::ContentLength);
            }
        }
        17 if named("transfer-encoding") => {
            let plain = value.eq_ignore_ascii_case(b"chunked");
            if announced.chunked || announced.http_10 || !plain {
                return Err(Violation::TransferEncoding);
            }
            announced.chunked = true;
        }
        _ => {}
    }
    Ok(())
}

/// Name and value of a well-formed field.
pub(super) fn parts(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let colon = memchr::memchr(b':', line)?;
    let (name, value) = line.split_at_checked(colon)?;
    let value = value.get(1..)?;
    let valid = !name.is_empty() && all(name, class::TOKEN) && all(value, class::VALUE);
    valid.then(|| (name, value.trim_ascii()))
}

pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

/// What a byte may stand in.
mod class {
    pub(super) const TOKEN: u8 = 1;
    pub(super) const TARGET: u8 = 2;
    pub(super) const VALUE: u8 = 4;

    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes"
    )]
    pub(super) const OF: [u8; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let letter = (byte as u8).is_ascii_alphanumeric();
            if letter || is_one_of(byte as u8, b"!#$%&'*+-.^_`|~") {
                table[byte] |= TOKEN;
            }
            if letter || is_one_of(byte as u8, b"-._~!$&'()*+,;=:@/%?") {
                table[byte] |= TARGET;
            }
            if byte >= 0x20 && byte != 0x7f || byte == 0x09 {
                table[byte] |= VALUE;
            }
            byte += 1;
        }
        table
    };

    #[expect(clippy::indexing_slicing, reason = "below its length")]
    const fn is_one_of(byte: u8, bytes: &[u8]) -> bool {
        let mut at = 0;
        while at < bytes.len() {
            if bytes[at] == byte {
                return true;
            }
            at += 1;
        }
        false
    }
}

#[expect(
    clippy::indexing_slicing,
    reason = "a table of 256 entries indexed by bytes"
)]
fn is(byte: u8, class: u8) -> bool {
    class::OF[usize::from(byte)] & class != 0
}

/// Whether all bytes are of a class, without a decision at each of them.
fn all(bytes: &[u8], class: u8) -> bool {
    bytes.iter().fold(true, |all, &byte| all & is(byte, class))
}

/// Characters of a token (RFC 9110, 5.6.2).
pub(super) fn is_token(byte: u8) -> bool {
    is(byte, class::TOKEN)
}

/// Characters of a target that every parser reads alike.
fn is_plain(byte: u8) -> bool {
    is(byte, class::TARGET)
}

/// Fields that a stand-in does not take over: they say how to read bytes that will not come.
fn frames(name: &[u8]) -> bool {
    [
        &b"content-length"[..],
        b"transfer-encoding",
        b"connection",
        b"keep-alive",
        b"proxy-connection",
        b"upgrade",
        b"http2-settings",
        b"expect",
        b"te",
        b"trailer",
    ]
    .iter()
    .any(|framing| name.eq_ignore_ascii_case(framing))
}

/// A well-formed head without a body that stands in for a refused one, or for the beginning of one. The proxy refuses
/// it under the violation, so it needs to carry only what page and record tell: the target, the host, what the client
/// accepts and what trusted proxies say about it.
pub fn stand_in(head: &[u8], limits: &HeadLimits) -> Vec<u8> {
    let trimmed = head.trim_ascii_start();
    let (line, mut rest) = cut_line(trimmed).unwrap_or((trimmed, &[]));
    let mut words = line.trim_ascii_end().split(|byte| *byte == b' ');
    let method = words
        .next()
        .filter(|method| is_method(method) && *method != b"CONNECT" && words.clone().count() > 0)
        .unwrap_or(b"GET");
    let kept = limits.target.min(KEPT_TARGET);
    let target = shown_target(words.next().unwrap_or_default(), kept);
    let version: &[u8] = match words.next() {
        Some(b"HTTP/1.0") => b"HTTP/1.0",
        _ => b"HTTP/1.1",
    };
    let mut out = [method, b" ", target.as_bytes(), b" ", version, b"\r\n"].concat();
    let (mut fields, mut host) = (1, false);
    while let Some((line, after)) = cut_line(rest) {
        rest = after;
        let Some((name, value)) = parts(line.trim_ascii_end()) else {
            continue;
        };
        let is_host = name.eq_ignore_ascii_case(b"host");
        let fits = out.len() + line.len() < limits.bytes && fields < limits.fields;
        if fits && !frames(name) && !(is_host && host) {
            host |= is_host;
            fields += 1;
            out.extend([name, b": ", value, b"\r\n"].concat());
        }
    }
    out.extend_from_slice(b"Connection: close\r\n\r\n");
    out
}

/// A refused target as a valid one, for the record.
fn shown_target(target: &[u8], kept: usize) -> String {
    const ESCAPE: usize = 3;
    let mut shown = Vec::new();
    for byte in target {
        if shown.len() + ESCAPE > kept {
            break;
        }
        if is_plain(*byte) {
            shown.push(*byte);
        } else {
            // Writing to memory does not fail.
            let _ = write!(shown, "%{byte:02X}");
        }
    }
    String::from_utf8(shown)
        .ok()
        .filter(|shown| shown.parse::<Uri>().is_ok())
        .unwrap_or_else(|| "/".to_owned())
}
