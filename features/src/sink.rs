//! Where parsers put what they find: de-duplication, windows of long values, and what lies beyond the limits.
//!
//! Not here: any parsing or decoding.

use std::hash::BuildHasher;

use crate::bytes::same;
use crate::decode::DecodeBuffers;
use crate::field::{Marks, Scratch, Span, StoredField};
use crate::limits::{MAX_FIELDS, MAX_KEY, MAX_NESTING, MAX_VALUE, WINDOW, WINDOW_STRIDE};
use crate::location::Location;
use crate::recall::Recording;

/// Buffers that parsers borrow while the arena grows: one decoder and one key for each level of nesting.
#[derive(Default)]
pub(crate) struct Buffers {
    pub(crate) decode: [DecodeBuffers; MAX_NESTING as usize + 2],
    pub(crate) keys: [Vec<u8>; MAX_NESTING as usize + 2],
    pub(crate) text: [Vec<u8>; MAX_NESTING as usize + 2],
    pub(crate) inflated: Vec<u8>,
    pub(crate) name: Vec<u8>,
}

impl Buffers {
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        for decode in &mut self.decode {
            decode.shrink_to(bytes);
        }
        for buffer in self.keys.iter_mut().chain(&mut self.text) {
            buffer.shrink_to(bytes);
        }
        self.inflated.shrink_to(bytes);
        self.name.shrink_to(bytes);
    }
}

/// How a value came to be, carried from parser to parser.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) layers: u8,
    pub(crate) obfuscations: u8,
    pub(crate) marks: Marks,
}

impl Origin {
    pub(crate) fn marked(self, marks: Marks) -> Self {
        Self {
            marks: self.marks.with(marks),
            ..self
        }
    }

    pub(crate) fn deeper(self, layers: u8, obfuscations: u8) -> Self {
        Self {
            layers: self.layers.saturating_add(layers),
            obfuscations: self.obfuscations.saturating_add(obfuscations),
            marks: self.marks,
        }
    }
}

/// Where a value stands: location and key, with the key cut to a bounded length.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'k> {
    pub(crate) location: Location,
    pub(crate) key: &'k [u8],
}

impl<'k> Place<'k> {
    pub(crate) fn new(location: Location, key: &'k [u8]) -> Self {
        Self {
            location,
            key: key.get(..MAX_KEY).unwrap_or(key),
        }
    }
}

/// Adds one decoded value: whole, or as overlapping windows when it is long.
pub(crate) fn emit(scratch: &mut Scratch, place: Place<'_>, value: &[u8], origin: Origin) {
    if value.len() <= MAX_VALUE {
        push(scratch, place, value, origin);
        return;
    }
    let origin = origin.marked(Marks::WINDOW);
    let mut start = 0;
    loop {
        let end = (start + WINDOW).min(value.len());
        push(
            scratch,
            place,
            value.get(start..end).unwrap_or_default(),
            origin,
        );
        if end == value.len() {
            return;
        }
        start += WINDOW_STRIDE;
    }
}

/// What a value came to, as it is written down for [`crate::recall`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Logged {
    /// The number of its field, which may be one that was there before; none where it became something else than a field.
    pub(crate) field: Option<u32>,
    pub(crate) origin: Origin,
}

fn log(scratch: &mut Scratch, field: Option<u32>, origin: Origin) {
    if scratch.recording != Recording::No {
        scratch.log.push(Logged { field, origin });
    }
}

/// Adds text that no parser understood.
pub(crate) fn emit_unparsed(scratch: &mut Scratch, place: Place<'_>, rest: &[u8], origin: Origin) {
    scratch.overflow.unparsed = true;
    emit(scratch, place, rest, origin.marked(Marks::OVERFLOW));
}

/// Turns what lay beyond the field limit into windows.
pub(crate) fn finish(scratch: &mut Scratch) {
    if scratch.beyond.is_empty() {
        return;
    }
    let beyond = std::mem::take(&mut scratch.beyond);
    let origin = Origin::default()
        .marked(Marks::OVERFLOW)
        .marked(Marks::WINDOW);
    let place = Place::new(Location::RawBody, b"");
    for start in (0..beyond.len()).step_by(WINDOW_STRIDE) {
        let end = (start + WINDOW).min(beyond.len());
        push(
            scratch,
            place,
            beyond.get(start..end).unwrap_or_default(),
            origin,
        );
    }
    scratch.beyond = beyond;
}

fn push(scratch: &mut Scratch, place: Place<'_>, value: &[u8], origin: Origin) {
    if value.is_empty() {
        return;
    }
    let hash = scratch.hasher.hash_one((place.location, place.key, value));
    push_known(scratch, place, value, origin, hash, 0);
}

/// Adds a field whose hash is known, and maybe its digest.
pub(crate) fn push_known(
    scratch: &mut Scratch,
    place: Place<'_>,
    value: &[u8],
    origin: Origin,
    hash: u64,
    digest: u128,
) {
    // Windows are bounded by the size of the input, so only parsed fields count against the limit.
    if scratch.fields.len() >= MAX_FIELDS && !origin.marks.contains(Marks::WINDOW) {
        scratch.overflow.fields = true;
        scratch.beyond.extend_from_slice(place.key);
        scratch.beyond.push(b'=');
        scratch.beyond.extend_from_slice(value);
        scratch.beyond.push(b'\n');
        return log(scratch, None, origin);
    }
    let Scratch {
        arena,
        fields,
        seen,
        ..
    } = scratch;
    let known = seen.find(hash, |&index| {
        fields.get(index as usize).is_some_and(|field| {
            field.hash == hash
                && field.location == place.location
                && same(field.value.of(arena), value)
                && same(field.key.of(arena), place.key)
        })
    });
    if let Some(&known) = known {
        return log(scratch, Some(known), origin);
    }
    // The arena holds at most a few times the request, which the caller bounds far below 4 GiB.
    let (Ok(start), Ok(index)) = (u32::try_from(arena.len()), u32::try_from(fields.len())) else {
        return log(scratch, None, origin);
    };
    let key_end = start.saturating_add(place.key.len() as u32);
    let value_end = key_end.saturating_add(value.len() as u32);
    arena.extend_from_slice(place.key);
    arena.extend_from_slice(value);
    fields.push(StoredField {
        location: place.location,
        key: Span {
            start,
            end: key_end,
        },
        value: Span {
            start: key_end,
            end: value_end,
        },
        layers: origin.layers,
        obfuscations: origin.obfuscations,
        marks: origin.marks,
        hash,
        digest,
    });
    seen.insert_unique(hash, index, |&other| {
        fields.get(other as usize).map_or(0, |field| field.hash)
    });
    log(scratch, Some(index), origin);
}
