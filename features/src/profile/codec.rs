//! A builder as bytes and back (`profile.bin`). Not here: files, and what the numbers mean.
//!
//! Magic, version, key, counts and tables, then the first 16 bytes of the SHA-256 of all before. Numbers are LEB128,
//! hashes little-endian. Every length is checked against its bound and against the bytes that are left before memory is
//! taken for it, and what is read is what a builder could have written: keys ascend, tables keep to their limits.

mod reader;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest, Sha256};

use super::ProfileKey;
use super::builder::{MAX_HOSTS, ProfileBuilder, ProfileError};
use super::crowd::Crowd;
use super::host::{
    EndpointStats, HostStats, Keys, MAX_CHILDREN, MAX_DEPTH, MAX_DUPLICATES, MAX_KEYS, MAX_NAMES,
    MAX_PATHS, Node,
};
use super::key_stats::{KeyStats, MAX_SKELETONS, MAX_TEXT, MAX_TRIGRAMS, MAX_VALUES, traits};
use super::table::{Entry, Sources, Table};
use reader::{Reader, number};

const MAGIC: &[u8; 8] = b"WEIRPROF";
const VERSION: u8 = 2;
const CHECKSUM: usize = 16;
/// A profile is no larger: 100,000 parameters of six values each took 48 MiB, and five to ten times as much in memory.
const MAX_BYTES: usize = 64 << 20;
/// Segments of paths and parameters that a profile may have: empty ones are few bytes here and hundreds in memory.
const MAX_PLACES: usize = 250_000;

impl ProfileBuilder {
    /// Everything learned so far, versioned and checksummed; the same for every order of observation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::new();
        out.extend_from_slice(MAGIC);
        out.push(VERSION);
        out.extend_from_slice(&self.key.0);
        number(&mut out, self.requests);
        number(&mut out, self.hosts.len() as u64);
        for (hash, host) in &self.hosts {
            out.extend_from_slice(&hash.to_le_bytes());
            host.write(&mut out);
        }
        let checksum = Sha256::digest(&out);
        out.extend_from_slice(checksum.get(..CHECKSUM).unwrap_or_default());
        out
    }

    /// Reads what [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// When the bytes are no profile, one of another version, or damaged. Hostile bytes take no more memory than a
    /// small multiple of their length.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, ProfileError> {
        if bytes.len() > MAX_BYTES {
            return Err(ProfileError::TooLarge);
        }
        if !bytes.starts_with(MAGIC) {
            return Err(ProfileError::NoProfile);
        }
        match bytes.get(MAGIC.len()) {
            Some(&VERSION) => {}
            Some(&found) => return Err(ProfileError::Version { found }),
            None => return Err(ProfileError::Damaged),
        }
        let (content, checksum) = bytes
            .len()
            .checked_sub(CHECKSUM)
            .and_then(|at| bytes.split_at_checked(at))
            .ok_or(ProfileError::Damaged)?;
        if Sha256::digest(content).get(..CHECKSUM) != Some(checksum) {
            return Err(ProfileError::Damaged);
        }
        let content = content.get(MAGIC.len() + 1..).unwrap_or_default();
        let mut reader = Reader(content, MAX_PLACES);
        match read(&mut reader) {
            Some(builder) if reader.0.is_empty() => Ok(builder),
            None if reader.1 == 0 => Err(ProfileError::TooLarge),
            _ => Err(ProfileError::Damaged),
        }
    }
}

fn read(reader: &mut Reader<'_>) -> Option<ProfileBuilder> {
    let key = ProfileKey(reader.array()?);
    let requests = reader.number()?;
    let hosts = reader.map(MAX_HOSTS, HostStats::read)?;
    Some(ProfileBuilder {
        key,
        requests,
        hosts,
    })
}

impl Sources {
    fn write(self, out: &mut Vec<u8>) {
        out.push(self.count() as u8);
        if let Self::One(source) = self {
            out.extend_from_slice(&source.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        match reader.byte()? {
            0 => Some(Self::None),
            1 => Some(Self::One(u32::from_le_bytes(reader.array()?))),
            2 => Some(Self::Several),
            _ => None,
        }
    }
}

/// A table's keys as bytes.
pub(crate) trait Coded: Copy + Ord {
    fn write(self, out: &mut Vec<u8>);
    fn read(reader: &mut Reader<'_>) -> Option<Self>;
}

impl Coded for u16 {
    fn write(self, out: &mut Vec<u8>) {
        number(out, u64::from(self));
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Self::try_from(reader.number()?).ok()
    }
}

impl Coded for u32 {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.array().map(Self::from_le_bytes)
    }
}

impl Coded for u64 {
    fn write(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.to_le_bytes());
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.array().map(Self::from_le_bytes)
    }
}

impl<K: Coded> Table<K> {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.cut));
        number(out, self.entries.len() as u64);
        for entry in &self.entries {
            entry.key.write(out);
            // Most entries have several sources: one bit says so.
            match entry.sources {
                Sources::One(source) => {
                    number(out, u64::from(entry.count) << 1 | 1);
                    out.extend_from_slice(&source.to_le_bytes());
                }
                _ => number(out, u64::from(entry.count) << 1),
            }
        }
    }

    fn read(reader: &mut Reader<'_>, limit: usize) -> Option<Self> {
        let cut = reader.flag()?;
        let length = reader.length(limit, 2)?;
        let mut entries: Vec<Entry<K>> = Vec::with_capacity(length);
        for _ in 0..length {
            let key = K::read(reader)?;
            if entries.last().is_some_and(|last| last.key >= key) {
                return None;
            }
            let number = reader.number()?;
            entries.push(Entry {
                key,
                count: u32::try_from(number >> 1).ok()?,
                sources: if number & 1 == 1 {
                    Sources::One(u32::from_le_bytes(reader.array()?))
                } else {
                    Sources::Several
                },
            });
        }
        (!cut || length == limit).then_some(Self { entries, cut })
    }
}

impl KeyStats {
    fn write(&self, out: &mut Vec<u8>) {
        number(out, self.observations);
        number(out, self.requests);
        out.push(u8::from(self.is_parameter));
        self.sources.write(out);
        self.values.write(out);
        self.skeletons.write(out);
        // One text for each entry of the table, in its order.
        for text in self.texts.values() {
            out.push(text.len() as u8);
            out.extend_from_slice(text);
        }
        self.trigrams.write(out);
        self.traits.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        reader.place()?;
        let observations = reader.number()?;
        let requests = reader.number()?;
        let is_parameter = reader.flag()?;
        let sources = Sources::read(reader)?;
        let values = Table::read(reader, MAX_VALUES)?;
        let skeletons: Table<u64> = Table::read(reader, MAX_SKELETONS)?;
        let mut texts = BTreeMap::new();
        for entry in &skeletons.entries {
            let length = usize::from(reader.byte()?);
            let (text, rest) = reader.0.split_at_checked(length)?;
            reader.0 = rest;
            if length > MAX_TEXT || !text.iter().all(is_skeleton_symbol) {
                return None;
            }
            texts.insert(entry.key, text.into());
        }
        let trigrams = Table::read(reader, MAX_TRIGRAMS)?;
        let traits: Table<u16> = Table::read(reader, traits::END)?;
        let known = traits.entries.last().map_or(0, |entry| entry.key);
        (usize::from(known) < traits::END).then_some(Self {
            observations,
            requests,
            is_parameter,
            sources,
            values,
            skeletons,
            texts,
            trigrams,
            traits,
        })
    }
}

impl Crowd {
    fn write(&self, out: &mut Vec<u8>) {
        out.push(u8::from(self.crowded));
        number(out, self.sample.len() as u64);
        for hash in &self.sample {
            out.extend_from_slice(&hash.to_le_bytes());
        }
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let crowded = reader.flag()?;
        let length = reader.length(usize::MAX, 8)?;
        let mut sample = BTreeSet::new();
        for _ in 0..length {
            let hash = u64::from_le_bytes(reader.array()?);
            if sample.last().is_some_and(|last| *last >= hash) {
                return None;
            }
            sample.insert(hash);
        }
        let crowd = Self { sample, crowded };
        crowd.is_valid(MAX_PATHS).then_some(crowd)
    }
}

/// A letter stands for all letters, a digit for all digits: nothing of a value.
fn is_skeleton_symbol(symbol: &u8) -> bool {
    matches!(symbol, b'a' | b'0' | b' ' | 1 | 2) || symbol.is_ascii_punctuation()
}

fn write_keys(keys: &Keys, out: &mut Vec<u8>) {
    number(out, keys.len() as u64);
    for (hash, stats) in keys {
        out.extend_from_slice(&hash.to_le_bytes());
        stats.write(out);
    }
}

impl EndpointStats {
    fn write(&self, out: &mut Vec<u8>) {
        number(out, self.requests);
        self.sources.write(out);
        self.methods.write(out);
        self.names.write(out);
        self.name_sets.write(out);
        self.duplicates.write(out);
        write_keys(&self.keys, out);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        Some(Self {
            requests: reader.number()?,
            sources: Sources::read(reader)?,
            methods: Table::read(reader, MAX_NAMES)?,
            names: Table::read(reader, MAX_NAMES)?,
            name_sets: Table::read(reader, MAX_NAMES)?,
            duplicates: Table::read(reader, usize::from(MAX_DUPLICATES) + 1)?,
            keys: reader.map(MAX_KEYS, KeyStats::read)?,
        })
    }
}

const FOLDED: u8 = 1;
const HAS_ANY: u8 = 2;
const HAS_ENDPOINT: u8 = 4;

impl Node {
    fn write(&self, out: &mut Vec<u8>) {
        let flag = |holds: bool, flag: u8| if holds { flag } else { 0 };
        out.push(
            flag(self.folded, FOLDED)
                | flag(self.any.is_some(), HAS_ANY)
                | flag(self.endpoint.is_some(), HAS_ENDPOINT),
        );
        if let Some(endpoint) = &self.endpoint {
            endpoint.write(out);
        }
        number(out, self.children.len() as u64);
        for (segment, child) in &self.children {
            out.extend_from_slice(&segment.to_le_bytes());
            child.write(out);
        }
        if let Some(any) = &self.any {
            any.write(out);
        }
    }

    /// `depth`: how many segments may still follow.
    fn read(reader: &mut Reader<'_>, depth: usize) -> Option<Self> {
        reader.place()?;
        let flags = reader.byte()?;
        let has = |flag: u8| flags & flag != 0;
        let endpoint = match has(HAS_ENDPOINT) {
            true => Some(Box::new(EndpointStats::read(reader)?)),
            false => None,
        };
        let most = if has(FOLDED) { 0 } else { MAX_CHILDREN };
        let below = depth.checked_sub(1);
        let children = reader.map(most, |reader| Self::read(reader, below?))?;
        let any = match has(HAS_ANY) {
            true => Some(Box::new(Self::read(reader, below?)?)),
            false => None,
        };
        (flags <= FOLDED | HAS_ANY | HAS_ENDPOINT).then_some(Self {
            children,
            any,
            folded: has(FOLDED),
            endpoint,
        })
    }
}

impl HostStats {
    fn write(&self, out: &mut Vec<u8>) {
        number(out, self.requests);
        self.sources.write(out);
        self.extensions.write(out);
        for paths in &self.paths {
            paths.write(out);
        }
        write_keys(&self.keys, out);
        self.root.write(out);
    }

    fn read(reader: &mut Reader<'_>) -> Option<Self> {
        let requests = reader.number()?;
        let sources = Sources::read(reader)?;
        let extensions = Table::read(reader, MAX_NAMES)?;
        let mut paths: [Crowd; MAX_DEPTH] = Default::default();
        for crowd in &mut paths {
            *crowd = Crowd::read(reader)?;
        }
        Some(Self {
            requests,
            sources,
            extensions,
            paths,
            keys: reader.map(MAX_KEYS, KeyStats::read)?,
            root: Node::read(reader, MAX_DEPTH)?,
        })
    }
}
