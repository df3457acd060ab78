//! Errors of rows that a worker met before: other values at other places often look the same.
//!
//! Not here: fields that scored before (`cache`), which are found without making their row.

use std::hash::{BuildHasher, Hasher, RandomState};

use siphasher::sip128::{Hasher128, SipHasher13};

use super::columns::Difference;

/// Entries; a row finds its place by its hash, and takes it from whichever row is there.
const ENTRIES: usize = 65_536;

/// Hashes rows with a secret of one network: nobody outside can make two rows meet, and a row of another network is
/// another row.
pub(super) struct Keys(SipHasher13);

impl Keys {
    pub(super) fn new() -> Self {
        let source = RandomState::new();
        Self(SipHasher13::new_with_keys(
            source.hash_one(0),
            source.hash_one(1),
        ))
    }

    /// The key of a row, of which `differences` is all that counts. `bytes` is room to put them together in: for so few
    /// bytes, hashing them as they come takes longer.
    #[inline]
    pub(super) fn of(&self, differences: &[Difference], bytes: &mut Vec<u8>) -> Key {
        bytes.clear();
        for difference in differences {
            let value = u64::from(difference.value.to_bits());
            let one = u64::from(difference.column) << 32 | value;
            bytes.extend_from_slice(&one.to_ne_bytes());
        }
        let mut hasher = self.0;
        hasher.write(bytes);
        let hash = hasher.finish128();
        Key {
            place: hash.h1,
            // An entry that was never written holds zero.
            tag: hash.h2 | 1,
        }
    }
}

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Key {
    place: u64,
    tag: u64,
}

/// The table of one worker.
#[derive(Debug, Default)]
pub(super) struct Memo {
    entries: Vec<(u64, f32)>,
}

impl Memo {
    /// Without entries it knows nothing, and nobody need ask.
    pub(super) fn turn(&mut self, on: bool) {
        match (on, self.is_on()) {
            (true, false) => self.entries.resize(ENTRIES, (0, 0.0)),
            (false, true) => self.entries = Vec::new(),
            _ => {}
        }
    }

    pub(super) fn is_on(&self) -> bool {
        !self.entries.is_empty()
    }

    #[inline]
    pub(super) fn get(&self, key: Key) -> Option<f32> {
        let (tag, error) = self.entries.get(place(key))?;
        (*tag == key.tag).then_some(*error)
    }

    #[inline]
    pub(super) fn insert(&mut self, key: Key, error: f32) {
        if let Some(entry) = self.entries.get_mut(place(key)) {
            *entry = (key.tag, error);
        }
    }
}

#[expect(clippy::cast_possible_truncation, reason = "a few bits of a hash")]
fn place(key: Key) -> usize {
    key.place as usize % ENTRIES
}
