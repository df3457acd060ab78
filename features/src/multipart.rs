//! Multipart bodies (RFC 7578): names, filenames, part headers and contents. Not here: what a part's text holds.

mod transfer;

use crate::binary::{binary, is_binary, is_file};
use crate::charset;
use crate::decode::Plus;
use crate::field::{Marks, Scratch};
use crate::graphql::closing_quote;
use crate::lent::Lent;
use crate::location::Location;
use crate::nested::{leaf, name};
use crate::readings;
use crate::sink::{Origin, Place, emit_unparsed};

/// Boundaries that are tried on one body.
const MAX_BOUNDARIES: usize = 3;
/// Multiparts inside each other that are entered.
const MAX_DEPTH: u8 = 3;
/// Names or file names of one part that are looked at.
const MAX_PARAMETERS: usize = 8;

/// The boundaries that occur in a body: those that a content type names, and the one that the body itself begins with.
pub(crate) fn boundaries<'a>(
    content_type: &'a [u8],
    body: &'a [u8],
) -> impl Iterator<Item = &'a [u8]> {
    let own = body
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .find(|line| !line.is_empty())
        .and_then(|line| line.strip_prefix(b"--"))
        .filter(|rest| !rest.is_empty() && rest.len() <= 200);
    let mut found: [Option<&[u8]>; MAX_BOUNDARIES] = [None; MAX_BOUNDARIES];
    for boundary in parameters(content_type, b"boundary").chain(own) {
        let boundary = boundary.trim_ascii();
        let new = !boundary.is_empty() && !found.contains(&Some(boundary));
        if new
            && let Some(free) = found.iter_mut().find(|known| known.is_none())
            && Delimiter::new(boundary).find(body, true).is_some()
        {
            *free = Some(boundary);
        }
    }
    found.into_iter().flatten()
}

/// Finds `--boundary` at the beginning of a line, as every parser wants it.
struct Delimiter {
    text: Lent,
}

impl Delimiter {
    fn new(boundary: &[u8]) -> Self {
        let mut text = Lent::copy_of(b"--");
        text.extend_from_slice(boundary);
        Self { text }
    }

    /// Where the next delimiter stands; `at_start` when `text` itself begins a line.
    fn find(&self, text: &[u8], at_start: bool) -> Option<usize> {
        memchr::memmem::find_iter(text, self.text.as_slice()).find(|&at| match at.checked_sub(1) {
            Some(before) => matches!(text.get(before), Some(b'\n' | b'\r')),
            None => at_start,
        })
    }
}

/// Walks the parts. Text before the first boundary, after the last and between broken parts is scored as raw text.
pub(crate) fn walk(scratch: &mut Scratch, boundary: &[u8], body: &[u8], origin: Origin, depth: u8) {
    let delimiter = Delimiter::new(boundary);
    let raw = Place::new(Location::RawBody, b"");
    let outside = |scratch: &mut Scratch, text: &[u8]| {
        leaf(scratch, raw, text.trim_ascii(), Plus::Literal, origin, 0);
    };
    let Some(first) = delimiter.find(body, true) else {
        emit_unparsed(scratch, raw, body, origin);
        return;
    };
    outside(scratch, body.get(..first).unwrap_or_default());
    let mut rest = body.get(first + delimiter.text.len()..).unwrap_or_default();
    loop {
        if let Some(epilogue) = rest.strip_prefix(b"--") {
            outside(scratch, epilogue);
            return;
        }
        let end = delimiter.find(rest, false);
        let part = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        walk_part(scratch, part, origin, depth);
        match end {
            Some(end) => {
                rest = rest.get(end + delimiter.text.len()..).unwrap_or_default();
            }
            None => return,
        }
    }
}

/// What the headers of a part say.
#[derive(Default)]
struct Head<'p> {
    name: &'p [u8],
    is_file: bool,
    content_type: &'p [u8],
    encoding: &'p [u8],
}

fn walk_part(scratch: &mut Scratch, part: &[u8], origin: Origin, depth: u8) {
    let part = strip_line_end(part);
    let Some((head, content)) = split_head(part) else {
        if !part.trim_ascii().is_empty() {
            emit_unparsed(scratch, Place::new(Location::RawBody, b""), part, origin);
        }
        return;
    };
    let unfolded = transfer::unfold(head);
    let mut about = Head::default();
    for line in unfolded
        .split(|&byte| byte == b'\n')
        .map(<[u8]>::trim_ascii)
        .filter(|line| !line.is_empty())
    {
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let (header, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        add_header(scratch, header.trim_ascii(), value, &mut about, origin);
    }
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    let content = content.strip_suffix(b"\r").unwrap_or(content);
    if depth < MAX_DEPTH
        && about
            .content_type
            .get(..10)
            .is_some_and(|kind| kind.eq_ignore_ascii_case(b"multipart/"))
        && let Some(boundary) = boundaries(about.content_type, content).next()
    {
        walk(scratch, boundary, content, origin, depth + 1);
        return;
    }
    add_content(scratch, &about, content, origin);
    // Form parsers ignore a transfer encoding, mail parsers undo it.
    if let Some(decoded) = transfer::decode(about.encoding, content) {
        let origin = origin.marked(Marks::NESTED).deeper(1, 0);
        add_content(scratch, &about, &decoded, origin);
    }
}

/// Head and content of a part, by the first empty line.
fn split_head(part: &[u8]) -> Option<(&[u8], &[u8])> {
    let whole = memchr::memmem::find(part, b"\r\n\r\n").map(|at| (at, 4));
    let bare = memchr::memmem::find(part, b"\n\n").map(|at| (at, 2));
    let mixed = memchr::memmem::find(part, b"\n\r\n").map(|at| (at, 3));
    let (at, length) = [whole, bare, mixed]
        .into_iter()
        .flatten()
        .min_by_key(|(at, length)| (at + length, *length))?;
    Some((part.get(..at)?, part.get(at + length..)?))
}

fn add_header<'p>(
    scratch: &mut Scratch,
    header: &[u8],
    value: &'p [u8],
    about: &mut Head<'p>,
    origin: Origin,
) {
    let place = Place::new(Location::BodyValue, header);
    if !header.eq_ignore_ascii_case(b"content-disposition") {
        if header.eq_ignore_ascii_case(b"content-type") {
            about.content_type = value;
        } else if header.eq_ignore_ascii_case(b"content-transfer-encoding") {
            about.encoding = value;
        }
        leaf(scratch, place, value, Plus::Literal, origin, 0);
        return;
    }
    for found in parameters(value, b"name").take(MAX_PARAMETERS) {
        about.name = found;
        name(scratch, Location::BodyKey, found, Plus::Literal, origin, 0);
    }
    for key in [&b"filename"[..], b"filename*", b"name*"] {
        for found in parameters(value, key).take(MAX_PARAMETERS) {
            about.is_file |= key != b"name*";
            let place = Place::new(Location::BodyValue, key);
            let found = if key.ends_with(b"*") {
                transfer::extended(found)
            } else {
                found
            };
            leaf(scratch, place, found, Plus::Literal, origin, 0);
            readings::name_of_file(scratch, place, found, origin);
        }
    }
    if unusual_disposition(value) {
        leaf(scratch, place, value, Plus::Literal, origin, 0);
    }
}

fn add_content(scratch: &mut Scratch, about: &Head<'_>, content: &[u8], origin: Origin) {
    let location = if about.is_file {
        Location::RawBody
    } else {
        Location::BodyValue
    };
    let place = Place::new(location, about.name);
    if let Some(charset) = charset::sniffed(content) {
        let text = charset::to_utf8(charset, content);
        if !is_binary(&text) {
            leaf(scratch, place, &text, Plus::Literal, origin.deeper(1, 0), 0);
            return;
        }
    }
    // What has no file name is a field to the application, whatever its bytes are.
    if location == Location::RawBody && is_file(content) {
        binary(
            scratch,
            Place::new(Location::RawBody, about.name),
            content,
            origin,
        );
        return;
    }
    leaf(scratch, place, content, Plus::Literal, origin, 0);
    if let Some(charset) = charset::declared(about.content_type, content) {
        let text = charset::to_utf8(charset, content);
        let origin = origin.marked(Marks::NESTED).deeper(1, 1);
        leaf(scratch, place, &text, Plus::Literal, origin, 0);
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

/// The values of every `name=` in a header's parameters, without their quotes.
fn parameters<'a>(header: &'a [u8], name: &'a [u8]) -> impl Iterator<Item = &'a [u8]> {
    let mut rest = header;
    std::iter::from_fn(move || {
        loop {
            let at = memchr::memchr(b';', rest)?;
            rest = rest.get(at + 1..)?.trim_ascii_start();
            let equals = memchr::memchr2(b'=', b';', rest)?;
            let (key, value) = rest.split_at(equals);
            if !value.starts_with(b"=") || !key.trim_ascii().eq_ignore_ascii_case(name) {
                continue;
            }
            let value = value.get(1..)?.trim_ascii_start();
            let (value, length) = match value.strip_prefix(b"\"") {
                Some(quoted) => {
                    let end = closing_quote(quoted).unwrap_or(quoted.len());
                    (quoted.get(..end)?, end)
                }
                None => {
                    let end = memchr::memchr(b';', value).unwrap_or(value.len());
                    (value.get(..end)?.trim_ascii_end(), 0)
                }
            };
            // Semicolons inside quotes end nothing.
            if length > 0 {
                let from = memchr::memchr(b'"', rest).map_or(0, |at| at + 1 + length);
                rest = rest.get(from..).unwrap_or_default();
            }
            return Some(value);
        }
    })
}
