//! Values inside values: JSON, queries of URLs, forms, JSON Web Tokens and base64, entered at most
//! [`MAX_NESTING`] deep. Not here: the body's own format, see `body`.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::binary::is_mostly_printable;
use crate::decode::{Plus, Undone, decode_in};
use crate::field::{Marks, Scratch};
use crate::graphql;
use crate::json;
use crate::limits::MAX_NESTING;
use crate::location::Location;
use crate::sink::{Origin, Place, emit};

/// Decodes a value, enters it when it holds a known format, and adds what it finds.
pub(crate) fn leaf(
    scratch: &mut Scratch,
    place: Place<'_>,
    raw: &[u8],
    plus: Plus,
    origin: Origin,
    depth: u8,
) {
    let level = usize::from(depth.min(MAX_NESTING + 1));
    let Some(slot) = scratch.buffers.decode.get_mut(level) else {
        return;
    };
    let mut buffers = std::mem::take(slot);
    let (value, undone) = decode_in(raw, plus, &mut buffers);
    let origin = after(origin, undone);
    if depth >= MAX_NESTING || !enter(scratch, place, value, origin, depth) {
        emit(scratch, place, value, origin);
    }
    if let Some(slot) = scratch.buffers.decode.get_mut(level) {
        *slot = buffers;
    }
}

/// Decodes a name and adds it as a value of its own; names are not entered.
pub(crate) fn name(
    scratch: &mut Scratch,
    location: Location,
    raw: &[u8],
    plus: Plus,
    origin: Origin,
) {
    leaf(
        scratch,
        Place::new(location, b""),
        raw,
        plus,
        origin,
        MAX_NESTING,
    );
}

/// Adds the pairs of a query or form: every name once, every value with its name as key.
pub(crate) fn pairs(
    scratch: &mut Scratch,
    locations: (Location, Location),
    prefix: &[u8],
    text: &[u8],
    origin: Origin,
    depth: u8,
) {
    let (key_location, value_location) = locations;
    for pair in text.split(|&byte| byte == b'&') {
        let (key, value) = match memchr::memchr(b'=', pair) {
            Some(at) => (
                pair.get(..at).unwrap_or_default(),
                pair.get(at + 1..).unwrap_or_default(),
            ),
            None => (pair, &b""[..]),
        };
        name(scratch, key_location, key, Plus::Space, origin);
        with_key(scratch, depth, prefix, key, |scratch, key| {
            leaf(
                scratch,
                Place::new(value_location, key),
                value,
                Plus::Space,
                origin,
                depth,
            );
        });
    }
}

/// Runs `body` with the decoded key, prefixed by the key of the value around it.
pub(crate) fn with_key(
    scratch: &mut Scratch,
    depth: u8,
    prefix: &[u8],
    raw: &[u8],
    body: impl FnOnce(&mut Scratch, &[u8]),
) {
    let level = usize::from(depth.min(MAX_NESTING + 1));
    let Some(slot) = scratch.buffers.keys.get_mut(level) else {
        return;
    };
    let mut joined = std::mem::take(slot);
    joined.clear();
    if !prefix.is_empty() {
        joined.extend_from_slice(prefix);
        joined.push(b'.');
    }
    if let Some(buffers) = scratch.buffers.decode.get_mut(level) {
        let mut buffers = std::mem::take(buffers);
        joined.extend_from_slice(decode_in(raw, Plus::Space, &mut buffers).0);
        if let Some(slot) = scratch.buffers.decode.get_mut(level) {
            *slot = buffers;
        }
    }
    body(scratch, &joined);
    if let Some(slot) = scratch.buffers.keys.get_mut(level) {
        *slot = joined;
    }
}

fn after(origin: Origin, undone: Undone) -> Origin {
    let origin = origin.deeper(undone.layers, undone.obfuscations);
    if undone.limited {
        origin.marked(Marks::LAYER_LIMIT)
    } else {
        origin
    }
}

/// Tries the nested formats; false when the value is none of them and stands for itself.
fn enter(scratch: &mut Scratch, place: Place<'_>, value: &[u8], origin: Origin, depth: u8) -> bool {
    let nested = origin.marked(Marks::NESTED);
    let text = value.trim_ascii();
    match text {
        [b'{', .., b'}'] | [b'[', .., b']'] => {
            // What breaks off is no JSON, so it is also judged as the plain value it may be.
            json::walk(scratch, place, Location::QueryKey, text, nested, depth + 1).is_ok()
        }
        _ if text.starts_with(b"eyJ") && text.contains(&b'.') => {
            token(scratch, place, text, nested, depth)
        }
        _ if is_url_with_query(text) => {
            let at = memchr::memchr(b'?', text).unwrap_or(text.len());
            let (base, query) = text.split_at(at);
            emit(scratch, place, base, origin);
            let query = query.get(1..).unwrap_or_default();
            pairs(
                scratch,
                (Location::QueryKey, place.location),
                place.key,
                query,
                nested,
                depth + 1,
            );
            true
        }
        _ if is_form(text) => {
            pairs(
                scratch,
                (Location::QueryKey, place.location),
                place.key,
                text,
                nested,
                depth + 1,
            );
            true
        }
        _ if graphql::is_document(text) => {
            graphql::walk(scratch, place, text, nested, depth + 1);
            true
        }
        _ => encoded_text(scratch, place, text, nested, depth),
    }
}

/// Adds the text that base64 hides, if that is what `text` is.
pub(crate) fn encoded_text(
    scratch: &mut Scratch,
    place: Place<'_>,
    text: &[u8],
    origin: Origin,
    depth: u8,
) -> bool {
    let Some(decoded) = base64_text(text) else {
        return false;
    };
    let origin = origin.marked(Marks::NESTED).deeper(1, 0);
    leaf(scratch, place, &decoded, Plus::Literal, origin, depth + 1);
    true
}

/// `scheme://...?...` whose address has no white space, quotes or angle brackets; its query may hold anything.
fn is_url_with_query(text: &[u8]) -> bool {
    let Some(at) = memchr::memmem::find(text.get(..text.len().min(16)).unwrap_or_default(), b"://")
    else {
        return false;
    };
    let Some(end) = memchr::memchr(b'?', text) else {
        return false;
    };
    let plain =
        |byte: &u8| !(byte.is_ascii_whitespace() || matches!(byte, b'<' | b'>' | b'"' | b'\''));
    (2..=8).contains(&at)
        && text.iter().take(at).all(u8::is_ascii_alphabetic)
        && text.iter().take(end).all(plain)
}

/// Shorter texts with `=` and `&` in them are as likely prose or code as a form.
const SHORTEST_FORM: usize = 25;

/// `a=b&c=d`: at least two pairs with plain names and no white space.
fn is_form(text: &[u8]) -> bool {
    if text.len() < SHORTEST_FORM || memchr::memchr(b'&', text).is_none() {
        return false;
    }
    text.split(|&byte| byte == b'&').all(|pair| {
        let Some(at) = memchr::memchr(b'=', pair) else {
            return false;
        };
        at > 0
            && pair.iter().take(at).all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']')
            })
            && !pair.iter().any(u8::is_ascii_whitespace)
    })
}

const LENIENT: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::Indifferent)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, LENIENT);
const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT);

fn base64_bytes(text: &[u8]) -> Option<Vec<u8>> {
    let url_safe = text.iter().any(|byte| matches!(byte, b'-' | b'_'));
    let engine = if url_safe { URL_SAFE } else { STANDARD };
    engine.decode(text).ok()
}

/// Shorter texts over the base64 alphabet are words and numbers.
const SHORTEST_BASE64: usize = 12;

/// The text that base64 or base64url hides, if that is what this is.
fn base64_text(text: &[u8]) -> Option<Vec<u8>> {
    let body = text
        .strip_suffix(b"==")
        .or_else(|| text.strip_suffix(b"="))
        .unwrap_or(text);
    let plausible = text.len() >= SHORTEST_BASE64
        && body.len() % 4 != 1
        && body
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_'));
    if !plausible {
        return None;
    }
    base64_bytes(text).filter(|decoded| is_mostly_printable(decoded))
}

/// A JSON Web Token (RFC 7519): header and payload are entered, the signature carries no text.
fn token(scratch: &mut Scratch, place: Place<'_>, text: &[u8], origin: Origin, depth: u8) -> bool {
    let mut parts = text.split(|&byte| byte == b'.');
    let (Some(header), Some(payload)) = (parts.next(), parts.next()) else {
        return false;
    };
    let (Some(header), Some(payload)) = (base64_bytes(header), base64_bytes(payload)) else {
        return false;
    };
    let rest_is_opaque = parts.all(|part| {
        part.iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'='))
    });
    if !rest_is_opaque {
        return false;
    }
    let origin = origin.deeper(1, 0);
    let mut whole = true;
    for part in [&header, &payload] {
        whole &= json::walk(scratch, place, Location::QueryKey, part, origin, depth + 1).is_ok();
    }
    whole
}
