//! What came before. A header, a pair of a form or a leaf of JSON is decoded and read in all ways once; when the same bytes
//! come to the same place again, its fields are put down without another look.
//!
//! Not here: reading, and any judgement. What is kept is compared byte for byte, so that an answer is never another value's;
//! and it is kept only where it is all that reading the value did.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher};

use hashbrown::HashTable;

use crate::bytes::same;
use crate::field::{SHORT_FIELD, Scratch, Span, digest};
use crate::location::Location;
use crate::sink::{Logged, Origin, Place, push_known};

/// Longer values are read each time.
const LONGEST: usize = 2048;
/// What one value may come to, in fields and in bytes.
const MOST_YIELDS: usize = 32;
const MOST_BYTES: usize = 8 * 1024;
/// What is kept in all. When it is full, it begins anew.
const ENTRIES: usize = 4096;
const YIELDS: usize = 2 * ENTRIES;
const BYTES: usize = 256 * 1024;

/// What one thread recalls.
#[derive(Default)]
pub(crate) struct Recall {
    hasher: foldhash::quality::RandomState,
    entries: HashTable<Entry>,
    yields: Vec<Yield>,
    /// Keys and values, one behind the other.
    text: Vec<u8>,
}

/// A value that came before.
struct Entry {
    hash: u64,
    location: Location,
    way: u8,
    key: Span,
    raw: Span,
    /// Its fields, in [`Recall::yields`].
    yields: Span,
}

/// A field of such a value.
struct Yield {
    location: Location,
    origin: Origin,
    key: Span,
    value: Span,
    hash: u64,
    /// 0 until it is wanted: most of what comes once does not come again.
    digest: Cell<u128>,
}

/// Whether it is written down what is found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Recording {
    #[default]
    No,
    /// As a whole.
    Whole,
    /// As a whole, and parts of it by themselves.
    Parts,
}

/// Ways of reading bytes. Those of one place that are read in different ways may come to different fields.
pub(crate) mod way {
    use crate::location::Location;

    /// The path of a target.
    pub(crate) const PATH: u8 = 0xff;
    /// A header field that does not depend on others.
    pub(crate) const HEADER: u8 = 0xfe;
    /// A line of cookies.
    pub(crate) const COOKIES: u8 = 0xfd;

    /// A value that stands at `depth`.
    pub(crate) fn of_leaf(depth: u8, plus_is_space: bool) -> u8 {
        depth << 1 | u8::from(plus_is_space)
    }

    /// A pair of which the name goes to `names`.
    pub(crate) fn of_pair(names: Location, depth: u8) -> u8 {
        0x80 | depth << 4 | names as u8
    }
}

/// Does with the raw bytes of a value what `read` does, or what it did before. `way` tells ways of reading apart.
pub(crate) fn recalled(
    scratch: &mut Scratch,
    place: Place<'_>,
    raw: &[u8],
    way: u8,
    read: impl FnOnce(&mut Scratch),
) {
    // A part of what is written down is kept with the whole, and by itself only where the whole often has new parts.
    if raw.len() > LONGEST || scratch.recording == Recording::Whole {
        return read(scratch);
    }
    let recall = scratch.recall.take().unwrap_or_default();
    let hash = recall.hash(place, raw, way);
    let known = recall.find(hash, place, raw, way);
    let found = known.map(|entry| recall.replay(entry, scratch));
    scratch.recall = Some(recall);
    if found.is_some() {
        return;
    }
    let recording = match way {
        way::COOKIES => Recording::Parts,
        _ => Recording::Whole,
    };
    let outer = std::mem::replace(&mut scratch.recording, recording);
    let start = match outer {
        Recording::No => 0,
        Recording::Whole | Recording::Parts => scratch.log.len(),
    };
    scratch.log.truncate(start);
    read(scratch);
    scratch.recording = outer;
    if let Some(mut recall) = scratch.recall.take() {
        recall.keep(hash, place, raw, way, scratch, start);
        scratch.recall = Some(recall);
    }
}

impl Recall {
    fn hash(&self, place: Place<'_>, raw: &[u8], way: u8) -> u64 {
        let mut hasher = self.hasher.build_hasher();
        // The key's length tells where the value begins.
        hasher.write_u64(
            (place.key.len() as u64) << 16 | u64::from(way) << 8 | place.location as u64,
        );
        hasher.write(place.key);
        hasher.write(raw);
        hasher.finish()
    }

    fn find(&self, hash: u64, place: Place<'_>, raw: &[u8], way: u8) -> Option<&Entry> {
        self.entries.find(hash, |entry| {
            entry.hash == hash
                && entry.way == way
                && entry.location == place.location
                && same(entry.raw.of(&self.text), raw)
                && same(entry.key.of(&self.text), place.key)
        })
    }

    fn replay(&self, entry: &Entry, scratch: &mut Scratch) {
        let yields = self
            .yields
            .get(entry.yields.start as usize..entry.yields.end as usize);
        for one in yields.unwrap_or_default() {
            let place = Place {
                location: one.location,
                key: one.key.of(&self.text),
            };
            let value = one.value.of(&self.text);
            if one.digest.get() == 0 && place.key.len() + value.len() > SHORT_FIELD {
                one.digest.set(digest(place.location, place.key, value));
            }
            push_known(
                scratch,
                place,
                value,
                one.origin,
                one.hash,
                one.digest.get(),
            );
        }
    }

    /// Keeps what `scratch` has logged since `start`.
    fn keep(
        &mut self,
        hash: u64,
        place: Place<'_>,
        raw: &[u8],
        way: u8,
        scratch: &Scratch,
        start: usize,
    ) {
        let log = scratch.log.get(start..).unwrap_or_default();
        if log.len() > MOST_YIELDS || log.iter().any(|logged| logged.field.is_none()) {
            return;
        }
        if self.entries.len() >= ENTRIES
            || self.yields.len() + MOST_YIELDS > YIELDS
            || self.text.len() + MOST_BYTES > BYTES
        {
            self.begin_anew();
        }
        let (bytes, yields) = (self.text.len(), self.yields.len());
        let key = self.put(place.key);
        let raw_span = self.put(raw);
        for &Logged { field, origin } in log {
            let Some(field) = field.and_then(|at| scratch.fields.get(at as usize)) else {
                continue;
            };
            let (name, value) = (scratch.bytes(field.key), scratch.bytes(field.value));
            if self.text.len() - bytes + name.len() + value.len() > MOST_BYTES {
                self.text.truncate(bytes);
                self.yields.truncate(yields);
                return;
            }
            let one = Yield {
                location: field.location,
                origin,
                key: if same(name, place.key) {
                    key
                } else {
                    self.put(name)
                },
                value: if same(value, raw) {
                    raw_span
                } else {
                    self.put(value)
                },
                hash: field.hash,
                digest: Cell::new(field.digest),
            };
            self.yields.push(one);
        }
        let entry = Entry {
            hash,
            location: place.location,
            way,
            key,
            raw: raw_span,
            yields: Span::new(yields, self.yields.len()),
        };
        self.entries.insert_unique(hash, entry, |entry| entry.hash);
    }

    pub(crate) fn begin_anew(&mut self) {
        self.entries.clear();
        self.yields.clear();
        self.text.clear();
    }

    fn put(&mut self, bytes: &[u8]) -> Span {
        let start = self.text.len();
        self.text.extend_from_slice(bytes);
        Span::new(start, self.text.len())
    }
}
