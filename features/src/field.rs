//! Fields, and the arena that holds them. Not here: how they are found.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::LazyLock;

use hashbrown::HashTable;
use siphasher::sip128::{Hasher128, SipHasher13};

use crate::location::Location;
use crate::recall::{Recall, Recording};
use crate::sink::{Buffers, Logged};

/// What happened to a field on its way, as bit flags.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks(u8);

impl Marks {
    /// One window of a longer value.
    pub const WINDOW: Self = Self(1);
    /// Text beyond a limit: fields beyond the 1,024th, JSON beyond its depth, bytes that do not parse.
    pub const OVERFLOW: Self = Self(2);
    /// Bytes that are not text and were not decoded.
    pub const BINARY: Self = Self(4);
    /// More encodings are stacked on the value than the decoder undoes.
    pub const LAYER_LIMIT: Self = Self(8);
    /// Found inside another value: nested JSON, a URL's query, base64.
    pub const NESTED: Self = Self(16);

    /// True when every flag of `other` is set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The flags as a number, for hashing.
    #[must_use]
    pub const fn bits(self) -> u8 {
        self.0
    }

    /// Both sets of flags together.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

/// One value of a request: where it stood, its name there, and its bytes after decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'s> {
    /// The part of the request.
    pub location: Location,
    /// The parameter, header or cookie name, or the JSON path; empty where the location has no names.
    pub key: &'s [u8],
    /// The decoded bytes.
    pub value: &'s [u8],
    /// How many layers of encoding were removed.
    pub layers: u8,
    /// How many of them nobody needs but to hide: overlong UTF-8, `%u`, full-width letters, textual `0x2f`.
    pub obfuscations: u8,
    /// What else happened to it.
    pub marks: Marks,
}

/// Which limits a request passed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overflow {
    /// More than [`crate::MAX_FIELDS`] distinct fields.
    pub fields: bool,
    /// A format that broke off: malformed, truncated or nested too deeply.
    pub unparsed: bool,
    /// A compressed body larger than the decompression limit.
    pub inflated: bool,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Span {
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Span {
    /// Of what is kept in bounds far below 4 GiB.
    pub(crate) fn new(start: usize, end: usize) -> Self {
        Self {
            start: start as u32,
            end: end as u32,
        }
    }

    pub(crate) fn of(self, text: &[u8]) -> &[u8] {
        text.get(self.start as usize..self.end as usize)
            .unwrap_or_default()
    }
}

/// Of a key and a value of more bytes together than this the digest is kept, since it takes longer than to hash them anew.
pub const SHORT_FIELD: usize = 20;

/// Drawn for each process.
static SECRET: LazyLock<SipHasher13> = LazyLock::new(|| {
    let source = RandomState::new();
    SipHasher13::new_with_keys(source.hash_one(0), source.hash_one(1))
});

pub(crate) fn digest(location: Location, key: &[u8], value: &[u8]) -> u128 {
    let mut hasher = *SECRET;
    // The key's length tells where the value begins.
    hasher.write_u64((key.len() as u64) << 8 | location as u64);
    hasher.write(key);
    hasher.write(value);
    hasher.finish128().as_u128()
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct StoredField {
    pub(crate) location: Location,
    pub(crate) key: Span,
    pub(crate) value: Span,
    pub(crate) layers: u8,
    pub(crate) obfuscations: u8,
    pub(crate) marks: Marks,
    /// Of location, key and value, as the table of what was seen wants it.
    pub(crate) hash: u64,
    /// As [`Fields::digest`] gives it; 0 where nobody has computed it.
    pub(crate) digest: u128,
}

impl StoredField {
    pub(crate) fn digest(&self, key: &[u8], value: &[u8]) -> u128 {
        match self.digest {
            0 => digest(self.location, key, value),
            known => known,
        }
    }
}

/// The reusable memory of extraction; keep one for each worker.
#[derive(Default)]
pub struct Scratch {
    pub(crate) arena: Vec<u8>,
    pub(crate) fields: Vec<StoredField>,
    pub(crate) seen: HashTable<u32>,
    pub(crate) hasher: foldhash::quality::RandomState,
    pub(crate) beyond: Vec<u8>,
    pub(crate) overflow: Overflow,
    pub(crate) buffers: Buffers,
    /// What came before. Empty until something has come.
    pub(crate) recall: Option<Box<Recall>>,
    /// What the value that is being read has come to so far, while that is written down.
    pub(crate) log: Vec<Logged>,
    pub(crate) recording: Recording,
}

impl std::fmt::Debug for Scratch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Scratch")
            .field("fields", &self.fields.len())
            .field("arena_bytes", &self.arena.len())
            .finish_non_exhaustive()
    }
}

/// Memory above this many bytes is given back after a request, so that one huge body does not stay resident.
const KEEP_BYTES: usize = 256 * 1024;

impl Scratch {
    /// Forgets what values came to, so that the next request is read as if it were the first. For measurements and tests: what is
    /// recalled is what reading would find.
    pub fn forget(&mut self) {
        if let Some(recall) = &mut self.recall {
            recall.begin_anew();
        }
    }

    /// Forgets the last request and gives back memory that only an unusually large one needed.
    pub(crate) fn clear(&mut self) {
        self.arena.clear();
        self.arena.shrink_to(KEEP_BYTES);
        self.fields.clear();
        self.seen.clear();
        self.beyond.clear();
        self.beyond.shrink_to(KEEP_BYTES);
        self.overflow = Overflow::default();
        self.recording = Recording::No;
        self.buffers.shrink_to(KEEP_BYTES);
    }

    pub(crate) fn bytes(&self, span: Span) -> &[u8] {
        span.of(&self.arena)
    }
}

/// The distinct fields of one request, in the order found.
#[derive(Clone, Copy, Debug)]
pub struct Fields<'s> {
    scratch: &'s Scratch,
}

impl<'s> Fields<'s> {
    pub(crate) fn new(scratch: &'s Scratch) -> Self {
        Self { scratch }
    }

    /// How many fields there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.scratch.fields.len()
    }

    /// True when the request has no field at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.scratch.fields.is_empty()
    }

    /// The field at `index`.
    #[must_use]
    pub fn get(&self, index: usize) -> Option<Field<'s>> {
        self.scratch
            .fields
            .get(index)
            .map(|stored| self.resolve(*stored))
    }

    /// A hash of the location, key and value of the field at `index`, keyed with a secret of this process: equal fields have
    /// equal ones, whichever request they come from, and nobody outside can make two fields meet.
    #[must_use]
    pub fn digest(&self, index: usize) -> u128 {
        self.scratch.fields.get(index).map_or(0, |stored| {
            let (key, value) = (
                self.scratch.bytes(stored.key),
                self.scratch.bytes(stored.value),
            );
            stored.digest(key, value)
        })
    }

    /// The fields in the order found.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Field<'s>> + use<'s> {
        let this = *self;
        self.scratch
            .fields
            .iter()
            .map(move |stored| this.resolve(*stored))
    }

    /// Which limits the request passed.
    #[must_use]
    pub fn overflow(&self) -> Overflow {
        self.scratch.overflow
    }

    fn resolve(&self, stored: StoredField) -> Field<'s> {
        Field {
            location: stored.location,
            key: self.scratch.bytes(stored.key),
            value: self.scratch.bytes(stored.value),
            layers: stored.layers,
            obfuscations: stored.obfuscations,
            marks: stored.marks,
        }
    }
}
