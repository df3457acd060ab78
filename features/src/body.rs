//! A request's body: which format it is, and the walk through it. Not here: the formats themselves.
//!
//! The sender chooses the content type, so the bytes have a say: what begins like JSON or XML is read as that too.

use crate::binary::is_binary;
use crate::compression::{Inflated, inflate};
use crate::decode::Plus;
use crate::field::{Marks, Scratch};
use crate::limits::MAX_NESTING;
use crate::location::Location;
use crate::nested::{leaf, pairs};
use crate::request::RequestView;
use crate::sink::{Origin, Place, emit};
use crate::{graphql, json, multipart, xml};

/// Adds the fields of the body.
pub(crate) fn walk(scratch: &mut Scratch, request: &RequestView<'_>) {
    if request.body.is_empty() {
        return;
    }
    let content_type = request.header("content-type").unwrap_or_default();
    let mut inflated = std::mem::take(&mut scratch.buffers.inflated);
    let encoding = request.header("content-encoding").unwrap_or_default();
    match inflate(encoding, request.body, &mut inflated) {
        None => walk_plain(scratch, content_type, request.body, Origin::default()),
        Some(Inflated::Unreadable) => {
            scratch.overflow.unparsed = true;
            walk_plain(scratch, content_type, request.body, Origin::default());
        }
        Some(result) => {
            scratch.overflow.inflated |= matches!(result, Inflated::Prefix);
            let origin = Origin {
                layers: 1,
                ..Origin::default()
            };
            walk_plain(scratch, content_type, &inflated, origin);
        }
    }
    scratch.buffers.inflated = inflated;
}

fn walk_plain(scratch: &mut Scratch, content_type: &[u8], body: &[u8], origin: Origin) {
    let says = |name: &str| contains_ignoring_case(content_type, name.as_bytes());
    let text = body.trim_ascii();
    if says("multipart/") || (!says("json") && text.starts_with(b"--") && looks_multipart(text)) {
        match multipart::boundary(content_type, body) {
            Some(boundary) => multipart::walk(scratch, boundary, body, origin),
            None => raw(scratch, body, origin),
        }
    } else if is_binary(body) {
        let place = Place::new(Location::RawBody, b"");
        emit(scratch, place, body, origin.marked(Marks::BINARY));
    } else if says("graphql") && graphql::is_document(text) {
        graphql::walk(
            scratch,
            Place::new(Location::Json, b"query"),
            text,
            origin,
            0,
        );
    } else if says("json") || matches!(text.first(), Some(b'{' | b'[')) {
        json_body(scratch, says("form-urlencoded"), text, origin);
    } else if says("xml") || text.first() == Some(&b'<') {
        xml::walk(scratch, text, origin);
    } else if says("form-urlencoded") || begins_like_a_form(text) {
        pairs(
            scratch,
            (Location::BodyKey, Location::BodyValue),
            b"",
            text,
            origin,
            0,
        );
    } else {
        raw(scratch, body, origin);
    }
}

fn raw(scratch: &mut Scratch, body: &[u8], origin: Origin) {
    leaf(
        scratch,
        Place::new(Location::RawBody, b""),
        body,
        Plus::Literal,
        origin,
        0,
    );
}

/// JSON, and from where it breaks off raw text, or a form where the content type says so.
fn json_body(scratch: &mut Scratch, is_form: bool, text: &[u8], origin: Origin) {
    let place = Place::new(Location::Json, b"");
    let Err(broken) = json::walk(scratch, place, Location::BodyKey, text, origin, 0) else {
        return;
    };
    scratch.overflow.unparsed = true;
    if is_form {
        pairs(
            scratch,
            (Location::BodyKey, Location::BodyValue),
            b"",
            text,
            origin,
            0,
        );
        return;
    }
    let rest = text.get(broken.at..).unwrap_or_default();
    let place = Place::new(Location::RawBody, b"");
    leaf(
        scratch,
        place,
        rest,
        Plus::Literal,
        origin.marked(Marks::OVERFLOW),
        MAX_NESTING,
    );
}

/// `--boundary`, a line break, and a header of a part.
fn looks_multipart(text: &[u8]) -> bool {
    let head = text.get(..512).unwrap_or(text);
    contains_ignoring_case(head, b"content-disposition")
}

/// A plain name and an equals sign.
fn begins_like_a_form(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b'%')
    });
    let length = name.count();
    length > 0 && text.get(length) == Some(&b'=')
}

fn contains_ignoring_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}
