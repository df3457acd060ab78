//! A request's body: which format it is, and the walk through it. Not here: the formats themselves.
//!
//! The sender chooses the content type, so the bytes have a say: what begins like JSON or XML is read as that too.

use crate::binary::{binary, is_file};
use crate::charset;
use crate::compression::{Inflated, inflate};
use crate::decode::Plus;
use crate::field::{Marks, Scratch};
use crate::forms::pairs;
use crate::limits::MAX_NESTING;
use crate::location::Location;
use crate::nested::leaf;
use crate::request::RequestView;
use crate::sink::{Origin, Place};
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
        None => walk_text(scratch, content_type, request.body, Origin::default()),
        Some(Inflated::Unreadable) => {
            scratch.overflow.unparsed = true;
            walk_text(scratch, content_type, request.body, Origin::default());
        }
        Some(result) => {
            let mut origin = Origin::default().deeper(1, 0);
            if matches!(result, Inflated::Prefix) {
                scratch.overflow.inflated = true;
                origin = origin.marked(Marks::OVERFLOW);
            }
            walk_text(scratch, content_type, &inflated, origin);
        }
    }
    scratch.buffers.inflated = inflated;
}

/// Undoes what is no UTF-8. A declared charset is a claim of the sender: the bytes are read as they are as well.
fn walk_text(scratch: &mut Scratch, content_type: &[u8], body: &[u8], origin: Origin) {
    if let Some(charset) = charset::sniffed(body) {
        let text = charset::to_utf8(charset, body);
        walk_plain(scratch, content_type, &text, origin.deeper(1, 0));
        return;
    }
    walk_plain(scratch, content_type, body, origin);
    if let Some(charset) = charset::declared(content_type, body) {
        let text = charset::to_utf8(charset, body);
        let origin = origin.marked(Marks::NESTED).deeper(1, 1);
        walk_plain(scratch, content_type, &text, origin);
    }
}

/// Whether the sender says that the body is text of a kind that applications parse, however many odd bytes it has: they
/// would parse it all the same.
fn says_text(says: &impl Fn(&str) -> bool) -> bool {
    ["urlencoded", "json", "/xml", "+xml", "graphql", "text/"]
        .into_iter()
        .any(says)
}

/// Markup and forms by their first bytes: applications that do not ask for the content type would parse them.
fn begins_like_text(text: &[u8]) -> bool {
    text.first() == Some(&b'<') || begins_like_a_form(text)
}

/// The formats, by what the sender says and by what the bytes look like.
fn walk_plain(scratch: &mut Scratch, content_type: &[u8], body: &[u8], origin: Origin) {
    let says = |name: &str| contains_ignoring_case(content_type, name.as_bytes());
    let body = body.strip_prefix(b"\xef\xbb\xbf").unwrap_or(body);
    let text = body.trim_ascii();
    let is_tree = matches!(text.first(), Some(b'{' | b'['));
    if says("multipart/") || (!says("json") && text.starts_with(b"--") && looks_multipart(text)) {
        multipart_body(scratch, content_type, body, origin);
    } else if !says_text(&says) && !is_tree && !begins_like_text(text) && is_file(body) {
        let place = Place::new(Location::RawBody, b"");
        binary(scratch, place, body, origin);
    } else if says("graphql") && graphql::is_document(text) {
        let place = Place::new(Location::Json, b"query");
        graphql::walk(scratch, place, text, origin, 0);
    } else if text.first() == Some(&b'<') {
        xml::walk(scratch, text, origin);
        if !says("xml") {
            // A page, a script: elements are not how its reader takes it.
            raw(scratch, body, origin.marked(Marks::NESTED));
        }
    } else if is_tree || says("json") && !begins_like_a_form(text) {
        json_body(scratch, says("form-urlencoded"), text, origin);
    } else if says("form-urlencoded") || begins_like_a_form(text) {
        let locations = (Location::BodyKey, Location::BodyValue);
        pairs(scratch, locations, b"", text, origin, 0);
    } else {
        raw(scratch, body, origin);
    }
}

fn multipart_body(scratch: &mut Scratch, content_type: &[u8], body: &[u8], origin: Origin) {
    let mut walked = false;
    for boundary in multipart::boundaries(content_type, body) {
        // Parsers disagree on which of several boundaries counts, so each is tried.
        let origin = if walked {
            origin.marked(Marks::NESTED)
        } else {
            origin
        };
        multipart::walk(scratch, boundary, body, origin, 0);
        walked = true;
    }
    if !walked {
        scratch.overflow.unparsed = true;
        raw(scratch, body, origin.marked(Marks::OVERFLOW));
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

/// A plain name and an equals sign, which does not end the text: base64 ends so.
fn begins_like_a_form(text: &[u8]) -> bool {
    let name = text.iter().take_while(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']' | b'%')
    });
    let length = name.count();
    let rest = text.get(length..).unwrap_or_default();
    length > 0 && rest.first() == Some(&b'=') && !matches!(rest, b"=" | b"==")
}

fn contains_ignoring_case(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window.eq_ignore_ascii_case(needle))
}
