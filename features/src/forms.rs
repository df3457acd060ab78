//! Pairs of queries and forms, and what a repeated name adds up to. Not here: what a value holds, see `nested`.

use crate::blob::base64_text;
use crate::decode::{DecodeBuffers, Plus, decode_in};
use crate::field::{Marks, Scratch};
use crate::lent::Lent;
use crate::limits::{MAX_KEY, MAX_NESTING};
use crate::location::Location;
use crate::nested::{is_plain_name, leaf, name, with_key};
use crate::readings::utf7;
use crate::recall::{recalled, way};
use crate::sink::{Origin, Place};

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
    let mut names = NameFilter::default();
    for pair in text.split(|&byte| byte == b'&') {
        let Some(at) = memchr::memchr(b'=', pair).filter(|at| !is_padded(pair, *at)) else {
            // A query without names may be the value itself: `/?eyJ...`.
            leaf(
                scratch,
                Place::new(key_location, b""),
                pair,
                Plus::Space,
                origin,
                depth,
            );
            continue;
        };
        let key = pair.get(..at).unwrap_or_default();
        let value = pair.get(at + 1..).unwrap_or_default();
        names.add(key);
        if origin == Origin::default() && prefix.len() <= MAX_KEY {
            let place = Place::new(value_location, prefix);
            let way = way::of_pair(key_location, depth);
            recalled(scratch, place, pair, way, |scratch| {
                named_value(scratch, locations, prefix, (key, value), origin, depth);
            });
        } else {
            named_value(scratch, locations, prefix, (key, value), origin, depth);
        }
    }
    if names.repeated {
        pollution(scratch, value_location, prefix, text, origin, depth);
    }
}

/// A name, and its value.
fn named_value(
    scratch: &mut Scratch,
    locations: (Location, Location),
    prefix: &[u8],
    (key, value): (&[u8], &[u8]),
    origin: Origin,
    depth: u8,
) {
    name(scratch, locations.0, key, Plus::Space, origin, depth);
    with_key(scratch, depth, prefix, key, |scratch, key| {
        let place = Place::new(locations.1, key);
        leaf(scratch, place, value, Plus::Space, origin, depth);
        // UTF-7 loses its plus signs where they are read as spaces; not everybody does.
        if memchr::memchr(b'+', value).is_some()
            && let Some(text) = utf7(value)
        {
            let origin = origin.marked(Marks::NESTED).deeper(1, 1);
            leaf(scratch, place, &text, Plus::Literal, origin, depth);
        }
    });
    if memchr::memchr(b';', value).is_some() {
        after_semicolons(scratch, locations, prefix, value, origin, depth);
    }
}

/// Base64 in the place of a pair, whose equals sign at `at` is padding.
fn is_padded(pair: &[u8], at: usize) -> bool {
    let rest = pair.get(at..).unwrap_or_default();
    matches!(rest, b"=" | b"==") && pair.len().is_multiple_of(4) && base64_text(pair).is_some()
}

/// Servers that take `;` for `&` see `b` of `a=1;b=2` as a name (HTML 4.01, B.2.2).
fn after_semicolons(
    scratch: &mut Scratch,
    locations: (Location, Location),
    prefix: &[u8],
    value: &[u8],
    origin: Origin,
    depth: u8,
) {
    let origin = origin.marked(Marks::NESTED);
    for piece in value.split(|&byte| byte == b';').skip(1) {
        let Some(at) = memchr::memchr(b'=', piece) else {
            continue;
        };
        let (key, value) = piece.split_at(at);
        if key.is_empty() || !is_plain_name(key) {
            continue;
        }
        let value = value.get(1..).unwrap_or_default();
        with_key(scratch, depth, prefix, key, |scratch, key| {
            let place = Place::new(locations.1, key);
            leaf(scratch, place, value, Plus::Space, origin, depth);
        });
    }
}

/// Says whether any name may have come twice, in one pass and without memory: a name that shares its slot with another
/// costs a look at all of them, nothing else.
#[derive(Default)]
struct NameFilter {
    slots: [u64; 16],
    repeated: bool,
}

impl NameFilter {
    fn add(&mut self, key: &[u8]) {
        let base = base_name(key);
        let hash = base.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
        });
        let bit = 1 << (hash >> 58);
        if let Some(slot) = self.slots.get_mut((hash >> 54 & 15) as usize) {
            // Encoded names are compared only where they are decoded.
            self.repeated |= *slot & bit != 0 || memchr::memchr(b'%', base).is_some();
            *slot |= bit;
        }
    }
}

/// The name of `a`, `a[]` and `a[3]`, which applications put together.
fn base_name(key: &[u8]) -> &[u8] {
    let open = memchr::memchr(b'[', key).unwrap_or(key.len());
    let (base, index) = key.split_at(open);
    let numbered = index
        .iter()
        .all(|byte| byte.is_ascii_digit() || matches!(byte, b'[' | b']'));
    if numbered { base } else { key }
}

/// Pairs that are compared with each other, and how long their joined values may become.
const MAX_POLLUTED: usize = 256;
const MAX_JOINED: usize = 1024;

/// A pair, its decoded name being a piece of the text of all names.
#[derive(Clone, Copy, Default)]
struct Named<'t> {
    number: u16,
    start: u32,
    end: u32,
    value: &'t [u8],
}

impl Named<'_> {
    fn name<'n>(&self, names: &'n [u8]) -> &'n [u8] {
        names
            .get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Adds the values of a repeated name joined as servers join them: by commas (ASP.NET) and, where an application
/// glues them together, by nothing. An attack cut in two by its sender is whole only there.
fn pollution(
    scratch: &mut Scratch,
    location: Location,
    prefix: &[u8],
    text: &[u8],
    origin: Origin,
    depth: u8,
) {
    let mut names = Lent::new();
    let mut pairs = [Named::default(); MAX_POLLUTED];
    let found = named_pairs(scratch, text, depth, &mut names, &mut pairs);
    // Those of one name stay in their order.
    found.sort_unstable_by_key(|pair| (pair.name(&names), pair.number));
    let origin = origin.marked(Marks::NESTED);
    let mut joined = Lent::new();
    for group in found.chunk_by(|first, second| first.name(&names) == second.name(&names)) {
        let total: usize = group.iter().map(|pair| pair.value.len() + 1).sum();
        let Some(first) = group.first() else {
            continue;
        };
        let all_equal = group.iter().all(|pair| pair.value == first.value);
        if group.len() < 2 || total > MAX_JOINED || all_equal {
            continue;
        }
        let glue: &[&[u8]] = if may_be_glued(group) {
            &[b",", b""]
        } else {
            &[b","]
        };
        for glue in glue {
            joined.clear();
            for (at, pair) in group.iter().enumerate() {
                if at > 0 {
                    joined.extend_from_slice(glue);
                }
                joined.extend_from_slice(pair.value);
            }
            with_key(
                scratch,
                depth,
                prefix,
                first.name(&names),
                |scratch, key| {
                    let place = Place::new(location, key);
                    leaf(scratch, place, &joined, Plus::Space, origin, depth);
                },
            );
        }
    }
}

/// The first pairs of a form with their names as applications put them together.
fn named_pairs<'t, 'p>(
    scratch: &mut Scratch,
    text: &'t [u8],
    depth: u8,
    names: &mut Vec<u8>,
    pairs: &'p mut [Named<'t>; MAX_POLLUTED],
) -> &'p mut [Named<'t>] {
    let level = usize::from(depth.min(MAX_NESTING + 1));
    let mut buffers = DecodeBuffers::default();
    if let Some(slot) = scratch.buffers.decode.get_mut(level) {
        std::mem::swap(slot, &mut buffers);
    }
    let mut count = 0;
    let written = text
        .split(|&byte| byte == b'&')
        .filter_map(|pair| memchr::memchr(b'=', pair).map(|at| pair.split_at(at)));
    for ((number, slot), (key, value)) in (0..).zip(pairs.iter_mut()).zip(written) {
        let start = names.len();
        let (key, _) = decode_in(key, Plus::Space, &mut buffers);
        names.extend_from_slice(base_name(key));
        *slot = Named {
            number,
            start: start as u32,
            end: names.len() as u32,
            value: value.get(1..).unwrap_or_default(),
        };
        count += 1;
    }
    if let Some(slot) = scratch.buffers.decode.get_mut(level) {
        *slot = buffers;
    }
    pairs.get_mut(..count).unwrap_or_default()
}

/// Lists of identifiers are common, and glued together they say nothing.
fn may_be_glued(group: &[Named<'_>]) -> bool {
    let is_word =
        |pair: &Named<'_>| pair.value.len() <= 32 && pair.value.iter().all(u8::is_ascii_alphabetic);
    let has_marks = |pair: &Named<'_>| {
        let plain = |byte: &u8| byte.is_ascii_alphanumeric() || b"_-.,:|~+".contains(byte);
        !pair.value.iter().all(plain)
    };
    group.iter().any(has_marks) || group.iter().all(is_word)
}

/// Shorter texts with `=` and `&` in them are as likely prose or code as a form.
const SHORTEST_FORM: usize = 25;

/// `a=b&c=d`: at least two pairs with plain names and no white space.
pub(crate) fn is_form(text: &[u8]) -> bool {
    if text.len() < SHORTEST_FORM || memchr::memchr(b'&', text).is_none() {
        return false;
    }
    text.split(|&byte| byte == b'&').all(|pair| {
        let Some(at) = memchr::memchr(b'=', pair).filter(|at| !is_padded(pair, *at)) else {
            return false;
        };
        at > 0
            && pair.iter().take(at).all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-' | b'[' | b']')
            })
            && !pair.iter().any(u8::is_ascii_whitespace)
    })
}
