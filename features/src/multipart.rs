//! Multipart bodies (RFC 7578): names, filenames, part headers and contents. Not here: what a part's text holds.

use crate::binary::is_binary;
use crate::decode::Plus;
use crate::field::{Marks, Scratch};
use crate::location::Location;
use crate::nested::{leaf, name};
use crate::sink::{Origin, Place, emit, emit_unparsed};

/// The boundary that a content type names, or else the one that the body itself begins with.
pub(crate) fn boundary<'a>(content_type: &'a [u8], body: &'a [u8]) -> Option<&'a [u8]> {
    parameter(content_type, b"boundary")
        .filter(|boundary| !boundary.is_empty())
        .or_else(|| {
            let line = body.split(|&byte| byte == b'\n').next()?.trim_ascii_end();
            line.strip_prefix(b"--")
                .filter(|rest| !rest.is_empty() && rest.len() <= 70)
        })
}

/// Walks the parts. Text before the first boundary, after the last and between broken parts is scored as raw text.
pub(crate) fn walk(scratch: &mut Scratch, boundary: &[u8], body: &[u8], origin: Origin) {
    let mut delimiter = Vec::with_capacity(boundary.len() + 2);
    delimiter.extend_from_slice(b"--");
    delimiter.extend_from_slice(boundary);
    let finder = memchr::memmem::Finder::new(&delimiter);
    let raw = Place::new(Location::RawBody, b"");
    let Some(first) = finder.find(body) else {
        emit_unparsed(scratch, raw, body, origin);
        return;
    };
    let preamble = body.get(..first).unwrap_or_default().trim_ascii();
    emit(scratch, raw, preamble, origin);
    let mut rest = body.get(first + delimiter.len()..).unwrap_or_default();
    loop {
        if let Some(epilogue) = rest.strip_prefix(b"--") {
            emit(scratch, raw, epilogue.trim_ascii(), origin);
            return;
        }
        let end = finder.find(rest);
        let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        walk_part(scratch, part, origin);
        match end {
            Some(end) => rest = rest.get(end + delimiter.len()..).unwrap_or_default(),
            None => return,
        }
    }
}

fn walk_part(scratch: &mut Scratch, part: &[u8], origin: Origin) {
    let part = strip_line_end(part);
    let (head, content) = match (
        memchr::memmem::find(part, b"\r\n\r\n"),
        memchr::memmem::find(part, b"\n\n"),
    ) {
        (Some(at), None) => (part.get(..at), part.get(at + 4..)),
        (Some(at), Some(bare)) if at < bare => (part.get(..at), part.get(at + 4..)),
        (_, Some(bare)) => (part.get(..bare), part.get(bare + 2..)),
        (None, None) => {
            emit_unparsed(scratch, Place::new(Location::RawBody, b""), part, origin);
            return;
        }
    };
    let (head, content) = (head.unwrap_or_default(), content.unwrap_or_default());
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    let mut part_name: &[u8] = b"";
    let mut is_file = false;
    for line in head
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
    {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (header, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if header.eq_ignore_ascii_case(b"content-disposition") {
            part_name = parameter(value, b"name").unwrap_or_default();
            name(scratch, Location::BodyKey, part_name, Plus::Literal, origin);
            for key in [&b"filename"[..], b"filename*"] {
                if let Some(filename) = parameter(value, key) {
                    is_file = true;
                    let place = Place::new(Location::BodyValue, key);
                    leaf(scratch, place, filename, Plus::Literal, origin, 0);
                }
            }
            let unusual = unusual_disposition(value);
            if unusual {
                leaf(
                    scratch,
                    Place::new(Location::BodyValue, header),
                    value,
                    Plus::Literal,
                    origin,
                    0,
                );
            }
        } else {
            leaf(
                scratch,
                Place::new(Location::BodyValue, header),
                value,
                Plus::Literal,
                origin,
                0,
            );
        }
    }
    if is_binary(content) {
        let place = Place::new(Location::RawBody, part_name);
        emit(scratch, place, content, origin.marked(Marks::BINARY));
    } else {
        let location = if is_file {
            Location::RawBody
        } else {
            Location::BodyValue
        };
        leaf(
            scratch,
            Place::new(location, part_name),
            content,
            Plus::Literal,
            origin,
            0,
        );
    }
}

/// A disposition in which more stands than `form-data` with `name` and `filename`, each once and quoted.
fn unusual_disposition(value: &[u8]) -> bool {
    let mut names = 0;
    for (index, parameter) in value
        .split(|&byte| byte == b';')
        .map(<[u8]>::trim_ascii)
        .enumerate()
    {
        let known = match index {
            0 => parameter.eq_ignore_ascii_case(b"form-data"),
            _ => parameter.starts_with(b"name=\"") || parameter.starts_with(b"filename=\""),
        };
        names += usize::from(parameter.starts_with(b"name="));
        if !known {
            return true;
        }
    }
    names > 1
}

fn strip_line_end(part: &[u8]) -> &[u8] {
    let part = part.strip_prefix(b"\r").unwrap_or(part);
    part.strip_prefix(b"\n").unwrap_or(part)
}

/// The value of `name=` in a header's parameters, without its quotes.
fn parameter<'a>(header: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut rest = header;
    while let Some(at) = memchr::memchr(b';', rest) {
        rest = rest.get(at + 1..)?.trim_ascii_start();
        let Some(head) = rest.get(..name.len()) else {
            continue;
        };
        let Some(value) = rest
            .get(name.len()..)
            .and_then(|tail| tail.trim_ascii_start().strip_prefix(b"="))
        else {
            continue;
        };
        if !head.eq_ignore_ascii_case(name) {
            continue;
        }
        let value = value.trim_ascii_start();
        return Some(match value.strip_prefix(b"\"") {
            Some(quoted) => quoted.get(..closing_quote(quoted)).unwrap_or(quoted),
            None => value
                .split(|&byte| byte == b';')
                .next()
                .unwrap_or_default()
                .trim_ascii_end(),
        });
    }
    None
}

fn closing_quote(quoted: &[u8]) -> usize {
    let mut at = 0;
    while let Some(step) = memchr::memchr2(b'"', b'\\', quoted.get(at..).unwrap_or_default()) {
        at += step;
        if quoted.get(at) == Some(&b'"') {
            return at;
        }
        at += 2;
    }
    quoted.len()
}
