//! One request into its fields, in the order of the request: path, query, headers, body.
//!
//! Not here: what a value's format is (`nested`, `body`) and what its bytes look like (`row`).

use std::sync::LazyLock;

use crate::body;
use crate::decode::{Plus, decode_in};
use crate::field::{Field, Fields, Marks, Scratch};
use crate::forms::pairs;
use crate::graphql::closing_quote;
use crate::lexicon::{Evidence, Lexicon};
use crate::limits::MAX_KEY;
use crate::location::Location;
use crate::nested::{encoded_text, is_plain_name, leaf, name};
use crate::readings::{self, simplified};
use crate::recall::{recalled, way};
use crate::request::{RequestView, split_target};
use crate::row;
use crate::sink::{Origin, Place, emit, finish};

/// Turns requests into fields and fields into rows. Immutable: share one among all workers.
pub struct Extractor {
    lexicon: Lexicon,
}

const PATH: Place<'_> = Place {
    location: Location::Path,
    key: b"",
};

impl std::fmt::Debug for Extractor {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Extractor").finish_non_exhaustive()
    }
}

static SHARED: LazyLock<Extractor> = LazyLock::new(|| Extractor {
    lexicon: Lexicon::new(),
});

impl Extractor {
    /// The extractor of this process; its automaton is built at the first call.
    #[must_use]
    pub fn shared() -> &'static Self {
        &SHARED
    }

    /// Finds the distinct fields of a request. They live in `scratch` until the next call with it.
    pub fn extract<'s>(&self, request: &RequestView<'_>, scratch: &'s mut Scratch) -> Fields<'s> {
        scratch.clear();
        let (authority, path, query) = split_target(request.target);
        recalled(scratch, PATH, path, way::PATH, |scratch| {
            add_path(scratch, path);
        });
        if let Some(query) = query {
            pairs(
                scratch,
                (Location::QueryKey, Location::QueryValue),
                b"",
                query,
                Origin::default(),
                0,
            );
        }
        if let Some(authority) = authority {
            plain(scratch, Location::Header, b":authority", authority);
        }
        add_headers(scratch, request);
        body::walk(scratch, request);
        finish(scratch);
        Fields::new(scratch)
    }

    /// Writes the row of `field`, exactly [`crate::FIELD_WIDTH`] numbers named by [`crate::schema::feature_name`].
    ///
    /// # Panics
    /// When `out` has another length: the caller owns the matrix and its shape.
    pub fn row(&self, field: &Field<'_>, out: &mut [f32]) {
        assert_eq!(
            out.len(),
            crate::FIELD_WIDTH,
            "a field row has FIELD_WIDTH columns"
        );
        row::write(&self.lexicon, field, out);
    }

    /// Finds what in a decoded value reads like code, for explanations; the ranges are into `value`.
    #[must_use]
    pub fn evidence(&self, value: &[u8]) -> Vec<Evidence> {
        self.lexicon.evidence(value)
    }
}

fn plain(scratch: &mut Scratch, location: Location, key: &[u8], value: &[u8]) {
    leaf(
        scratch,
        Place::new(location, key),
        value,
        Plus::Literal,
        Origin::default(),
        0,
    );
}

/// The path as applications resolve it: decoded, `\` as `/`, without `//` and `/./`. `..` stays: it is what to see.
fn add_path(scratch: &mut Scratch, raw: &[u8]) {
    let mut buffers = std::mem::take(&mut scratch.buffers.decode[0]);
    let mut normal = std::mem::take(&mut scratch.buffers.text[0]);
    let (decoded, undone) = decode_in(raw, Plus::Literal, &mut buffers);
    normal.clear();
    let mut at = 0;
    while let Some(&byte) = decoded.get(at) {
        let byte = if byte == b'\\' { b'/' } else { byte };
        let rest = decoded.get(at + 1..).unwrap_or_default();
        let doubled = byte == b'/' && matches!(normal.last(), Some(b'/'));
        let dot = byte == b'.'
            && matches!(normal.last(), Some(b'/'))
            && matches!(rest.first(), Some(b'/' | b'\\') | None);
        if !doubled && !dot {
            normal.push(byte);
        }
        at += 1;
    }
    let folded = u8::from(memchr::memchr(b'\\', decoded).is_some());
    let origin = Origin::default().deeper(undone.layers, undone.obfuscations + folded);
    let origin = if undone.limited {
        origin.marked(Marks::LAYER_LIMIT)
    } else {
        origin
    };
    let place = PATH;
    emit(scratch, place, &normal, origin);
    if !is_ordinary_path(&normal) {
        unusual_path(scratch, place, decoded, &normal, origin);
    }
    for segment in normal.split(|&byte| byte == b'/') {
        encoded_text(scratch, place, segment, origin, 0);
    }
    scratch.buffers.text[0] = normal;
    scratch.buffers.decode[0] = buffers;
    // Encoded slashes belong to a segment until it is decoded.
    if memchr::memchr2(b'%', b'+', raw).is_some() {
        for segment in raw
            .split(|&byte| byte == b'/')
            .filter(|segment| segment.len() >= 12)
        {
            let mut buffers = std::mem::take(&mut scratch.buffers.decode[0]);
            let (text, _) = decode_in(segment, Plus::Literal, &mut buffers);
            if !encoded_text(scratch, place, text, Origin::default(), 0) && !is_ordinary_path(text)
            {
                readings::add(scratch, place, text, Origin::default(), 0);
            }
            scratch.buffers.decode[0] = buffers;
        }
    }
}

/// A path of plain names, as nearly all are.
fn is_ordinary_path(path: &[u8]) -> bool {
    let plain =
        |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'.');
    path.len() < 16 && path.iter().all(plain)
        || path.iter().all(plain) && memchr::memmem::find(path, b"..").is_none()
}

/// Other readings of a path, and the parameters of its segments (`/a;b=c/d`) as values of their own.
fn unusual_path(
    scratch: &mut Scratch,
    place: Place<'_>,
    decoded: &[u8],
    normal: &[u8],
    origin: Origin,
) {
    let nested = origin.marked(Marks::NESTED);
    let simple = simplified(normal);
    if simple.as_slice() != normal {
        emit(scratch, place, &simple, nested.deeper(0, 0));
    }
    for piece in normal.split(|&byte| byte == b'/') {
        for parameter in piece.split(|&byte| byte == b';').skip(1) {
            let at = memchr::memchr(b'=', parameter).unwrap_or(parameter.len());
            let (key, value) = parameter.split_at(at);
            let place = Place::new(Location::QueryValue, key);
            let value = value.get(1..).unwrap_or_default();
            leaf(scratch, place, value, Plus::Literal, nested, 0);
        }
    }
    readings::add(scratch, place, decoded, origin, 0);
}

fn add_headers(scratch: &mut Scratch, request: &RequestView<'_>) {
    let host = request.header("host").unwrap_or_default();
    for &(header, value) in request.headers {
        if header.eq_ignore_ascii_case(b"referer") {
            add_referer(scratch, value, host);
        } else if header.eq_ignore_ascii_case(b"origin") {
            let value = after_own_origin(value, host);
            plain(scratch, Location::Header, b"origin", value);
        } else if header.len() <= MAX_KEY {
            let place = Place::new(Location::Header, header);
            let way = if header.eq_ignore_ascii_case(b"cookie") {
                way::COOKIES
            } else {
                way::HEADER
            };
            recalled(scratch, place, value, way, |scratch| {
                add_header(scratch, header, value);
            });
        } else {
            add_header(scratch, header, value);
        }
    }
}

/// A header field that is read by itself.
fn add_header(scratch: &mut Scratch, header: &[u8], value: &[u8]) {
    let mut lower = std::mem::take(&mut scratch.buffers.name);
    lower.clear();
    lower.extend(header.iter().map(u8::to_ascii_lowercase));
    match lower.as_slice() {
        b"cookie" => add_cookies(scratch, value),
        b"user-agent" => plain(scratch, Location::UserAgent, b"", value),
        other => plain(scratch, Location::Header, other, value),
    }
    if !is_plain_name(header) {
        name(
            scratch,
            Location::Header,
            header,
            Plus::Literal,
            Origin::default(),
            0,
        );
    }
    scratch.buffers.name = lower;
}

fn add_cookies(scratch: &mut Scratch, header: &[u8]) {
    for pair in header.split(|&byte| byte == b';').map(<[u8]>::trim_ascii) {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (
                pair.get(..at).unwrap_or_default(),
                pair.get(at + 1..).unwrap_or_default(),
            ),
            None => (&b""[..], pair),
        };
        let bare = value
            .strip_prefix(b"\"")
            .and_then(|rest| rest.strip_suffix(b"\""));
        plain(scratch, Location::Cookie, key, bare.unwrap_or(value));
        if !is_plain_name(key) {
            name(
                scratch,
                Location::Cookie,
                key,
                Plus::Literal,
                Origin::default(),
                0,
            );
        }
    }
    quoted_cookies(scratch, header);
}

/// Cookies whose quoted value holds semicolons, which some servers read as one (RFC 2109).
fn quoted_cookies(scratch: &mut Scratch, header: &[u8]) {
    let origin = Origin::default().marked(Marks::NESTED);
    let mut rest = header;
    while let Some(at) = memchr::memmem::find(rest, b"=\"") {
        let (before, value) = rest.split_at(at);
        let value = value.get(2..).unwrap_or_default();
        let Some(end) = closing_quote(value) else {
            return;
        };
        let (value, after) = value.split_at(end);
        rest = after.get(1..).unwrap_or_default();
        if memchr::memchr(b';', value).is_none() {
            continue;
        }
        let start = memchr::memrchr2(b';', b',', before).map_or(0, |at| at + 1);
        let key = before.get(start..).unwrap_or_default().trim_ascii();
        let place = Place::new(Location::Cookie, key);
        leaf(scratch, place, value, Plus::Literal, origin, 0);
    }
}

fn add_referer(scratch: &mut Scratch, value: &[u8], host: &[u8]) {
    let at = memchr::memchr(b'?', value).unwrap_or(value.len());
    let (address, query) = value.split_at(at);
    plain(
        scratch,
        Location::Referer,
        b"",
        after_own_origin(address, host),
    );
    if let Some(query) = query.get(1..) {
        let locations = (Location::QueryKey, Location::Referer);
        pairs(scratch, locations, b"", query, Origin::default(), 0);
    }
}

/// What follows the request's own origin in an address, or the whole address when it is another's.
///
/// A site's own origin says nothing (`Host` is judged by itself), and without this a site on `localhost` or a private
/// address would look like an attempt to reach one.
fn after_own_origin<'a>(address: &'a [u8], host: &[u8]) -> &'a [u8] {
    let rest = [&b"http://"[..], b"https://"]
        .into_iter()
        .find_map(|scheme| address.strip_prefix(scheme));
    let Some((authority, path)) = rest.and_then(|rest| rest.split_at_checked(host.len())) else {
        return address;
    };
    let own = !host.is_empty() && authority.eq_ignore_ascii_case(host);
    match path.first() {
        None | Some(b'/' | b'#') if own => path,
        _ => address,
    }
}
