//! Values inside values: JSON, queries of URLs, forms, JSON Web Tokens and base64, entered at most
//! [`MAX_NESTING`] deep. Not here: the body's own format, see `body`.

use crate::blob::{SHORTEST_BASE64, base64_bytes, base64_text, hex_text};
use crate::decode::{Plus, Undone, decode_in};
use crate::field::{Marks, Scratch};
use crate::forms::{is_form, pairs};
use crate::graphql;
use crate::json;
use crate::limits::MAX_NESTING;
use crate::location::Location;
use crate::readings;
use crate::recall::{recalled, way};
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
    if is_bare(raw) {
        emit(scratch, place, raw, origin);
    } else if origin == Origin::default() {
        // What an application is sent; what is found within it is a part of that.
        let way = way::of_leaf(depth, plus == Plus::Space);
        recalled(scratch, place, raw, way, |scratch| {
            whole_leaf(scratch, place, raw, plus, origin, depth);
        });
    } else {
        whole_leaf(scratch, place, raw, plus, origin, depth);
    }
}

/// Short words and numbers, as most values are. Of these bytes alone nothing so short is an encoding, a nested format or
/// anything that reads in another way: `x` may belong to a hexadecimal number, and base64 is longer.
fn is_bare(raw: &[u8]) -> bool {
    let bare = |byte: &u8| {
        byte.is_ascii_alphanumeric() && byte | 0x20 != b'x'
            || matches!(byte, b'-' | b'_' | b'.' | b' ')
    };
    raw.len() < SHORTEST_BASE64
        && raw.iter().all(bare)
        && !raw.trim_ascii_start().starts_with(b"eyJ")
}

fn whole_leaf(
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
    if depth >= MAX_NESTING {
        emit(scratch, place, value, origin);
    } else if !enter(scratch, place, value, origin, depth) {
        emit(scratch, place, value, origin);
        readings::add(scratch, place, value, origin, depth);
    }
    if let Some(slot) = scratch.buffers.decode.get_mut(level) {
        *slot = buffers;
    }
}

/// Decodes a name that stands at `depth` and adds it as a value of its own. Ordinary names are not entered, others one
/// level deep.
pub(crate) fn name(
    scratch: &mut Scratch,
    location: Location,
    raw: &[u8],
    plus: Plus,
    origin: Origin,
    depth: u8,
) {
    let place = Place::new(location, b"");
    if !is_plain_name(raw) {
        let depth = (depth + 1).clamp(MAX_NESTING - 1, MAX_NESTING);
        leaf(scratch, place, raw, plus, origin, depth);
    } else if memchr::memchr2(b'x', b'X', raw).is_some() {
        leaf(scratch, place, raw, plus, origin, MAX_NESTING);
    } else {
        // Nothing in it could be undone.
        emit(scratch, place, raw, origin);
    }
}

/// Names that say nothing about an attack: the token characters that real software uses, at a usual length.
pub(crate) fn is_plain_name(name: &[u8]) -> bool {
    name.len() <= 64
        && name
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
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
        _ => match after_scheme(text) {
            // What a scheme announces is judged like a value; the whole stands for itself all the same.
            Some(credentials) => {
                leaf(
                    scratch,
                    place,
                    credentials,
                    Plus::Literal,
                    nested,
                    depth + 1,
                );
                false
            }
            None => encoded_text(scratch, place, text, nested, depth),
        },
    }
}

/// The credentials after `Basic` or `Bearer` (RFC 9110, 11.6.2).
fn after_scheme(text: &[u8]) -> Option<&[u8]> {
    [&b"basic "[..], b"bearer ", b"token ", b"jwt "]
        .into_iter()
        .find(|scheme| {
            text.get(..scheme.len())
                .is_some_and(|head| head.eq_ignore_ascii_case(scheme))
        })
        .and_then(|scheme| text.get(scheme.len()..))
        .filter(|rest| rest.len() >= 8 && !rest.iter().any(u8::is_ascii_whitespace))
}

/// Adds the text that base64 or hexadecimal hides; true when `text` is nothing else, and need not be judged as well.
pub(crate) fn encoded_text(
    scratch: &mut Scratch,
    place: Place<'_>,
    text: &[u8],
    origin: Origin,
    depth: u8,
) -> bool {
    let (decoded, is_all) = match base64_text(text) {
        // With blanks in it, the text may also be prose that happens to decode.
        Some(decoded) => (decoded, !text.contains(&b' ')),
        // Long numbers are hexadecimal too.
        None => match hex_text(text) {
            Some(decoded) => (decoded, false),
            None => return false,
        },
    };
    let origin = origin.marked(Marks::NESTED).deeper(1, 0);
    leaf(scratch, place, &decoded, Plus::Literal, origin, depth + 1);
    is_all
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

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::field::{Field, Fields};

    type Leaf = fn(&mut Scratch, Place<'_>, &[u8], Plus, Origin, u8);

    fn fields<'s>(
        leaf: Leaf,
        raw: &[u8],
        plus: Plus,
        depth: u8,
        scratch: &'s mut Scratch,
    ) -> Vec<Field<'s>> {
        scratch.clear();
        leaf(
            scratch,
            Place::new(Location::Json, b"k"),
            raw,
            plus,
            Origin::default(),
            depth,
        );
        Fields::new(scratch).iter().collect()
    }

    proptest! {
        #[test]
        fn the_short_way_finds_what_the_long_one_does(
            raw in "[a-zA-Z0-9 ._-]{0,13}|[ 0xX2fe+eyJ.]{0,13}|eyJ[a-zA-Z0-9.]{0,10}|\\PC{0,12}",
            plus in prop_oneof![Just(Plus::Literal), Just(Plus::Space)],
            depth in 0..=MAX_NESTING,
        ) {
            let (mut short, mut long) = (Scratch::default(), Scratch::default());
            prop_assert_eq!(
                fields(leaf, raw.as_bytes(), plus, depth, &mut short),
                fields(whole_leaf, raw.as_bytes(), plus, depth, &mut long)
            );
        }

        #[test]
        fn a_plain_name_is_decoded_like_any_other(raw in "[a-zA-Z0-9._-]{0,70}|[a-z]{0,3}0[xX][0-9a-f]{0,6}") {
            let (mut short, mut long) = (Scratch::default(), Scratch::default());
            name(&mut short, Location::QueryKey, raw.as_bytes(), Plus::Space, Origin::default(), 0);
            if is_plain_name(raw.as_bytes()) {
                let place = Place::new(Location::QueryKey, b"");
                whole_leaf(&mut long, place, raw.as_bytes(), Plus::Space, Origin::default(), MAX_NESTING);
                let (short, long): (Vec<_>, Vec<_>) =
                    (Fields::new(&short).iter().collect(), Fields::new(&long).iter().collect());
                prop_assert_eq!(short, long);
            }
        }
    }
}
