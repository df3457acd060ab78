//! What fields scored before: a bounded table from a keyed hash of a field to its scaled error.
//!
//! Not here: what goes into the hash (`engine::memory`), and when a score may be taken from here.
//!
//! Sets of four entries, each set one cache line. An entry is two words, the second of which guards the first (Hyatt
//! and Mann, "A lockless transposition-table implementation for parallel search", ICGA Journal 25(1), 2002): no look-up
//! and no insertion waits for another, and an entry of which two threads wrote a half each belongs to no key. Replaced
//! is what nobody asked for since it was put in or since all four of its set had been asked for (NRU, "not recently used"),
//! so that values that come once, as a flood brings them, push out one another and not what visitors send all day.

use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use siphasher::sip128::SipHasher13;

/// Entries of a set: one cache line.
const WAYS: usize = 4;
/// The bit of an entry that says whether it was asked for lately.
const ASKED: u64 = 1;

/// Scaled errors by the keyed hashes of fields. Shared by all workers, and by the engines that follow one another.
pub struct ScoreCache {
    sets: Box<[Set]>,
    /// Drawn for each cache, so that nobody outside the process can make two fields meet.
    secret: [u64; 2],
}

#[derive(Default)]
#[repr(align(64))]
struct Set([Entry; WAYS]);

/// The value in the upper half of `data`; below it 31 bits of the key and [`ASKED`]. `guard` holds 64 more bits of the
/// key, XORed with `data` without [`ASKED`].
#[derive(Default)]
struct Entry {
    data: AtomicU64,
    guard: AtomicU64,
}

impl fmt::Debug for ScoreCache {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("ScoreCache")
            .field("bytes", &self.bytes())
            .finish_non_exhaustive()
    }
}

/// A 128-bit hash, taken apart: 32 bits choose the set, 95 are compared.
#[derive(Clone, Copy)]
struct Parts {
    set: u64,
    tag: u64,
    low: u64,
}

impl Parts {
    #[expect(clippy::cast_possible_truncation, reason = "takes the hash apart")]
    fn of(key: u128) -> Self {
        Self {
            set: (key >> 96) as u64,
            tag: u64::from((key >> 64) as u32) & !ASKED,
            low: key as u64,
        }
    }
}

impl Entry {
    /// The value, if this is the key's entry.
    fn get(&self, parts: Parts) -> Option<f32> {
        let data = self.data.load(Ordering::Relaxed);
        let held = data & !ASKED;
        let is_own = held & u64::from(u32::MAX) == parts.tag
            && self.guard.load(Ordering::Relaxed) ^ held == parts.low;
        if !is_own {
            return None;
        }
        if data & ASKED == 0 {
            self.data.fetch_or(ASKED, Ordering::Relaxed);
        }
        Some(f32::from_bits((data >> 32) as u32))
    }

    fn is_empty(&self) -> bool {
        self.data.load(Ordering::Relaxed) == 0 && self.guard.load(Ordering::Relaxed) == 0
    }

    fn set(&self, parts: Parts, value: f32) {
        let data = u64::from(value.to_bits()) << 32 | parts.tag;
        self.data.store(data, Ordering::Relaxed);
        self.guard.store(parts.low ^ data, Ordering::Relaxed);
    }

    fn was_asked_for(&self) -> bool {
        self.data.load(Ordering::Relaxed) & ASKED != 0
    }
}

impl ScoreCache {
    /// A cache of at most so many bytes, 16 for each entry; none below one set.
    #[must_use]
    pub fn new(bytes: usize) -> Option<Self> {
        let sets = Self::bytes_of(bytes) / size_of::<Set>();
        // The hasher's keys come from the operating system; what it makes of two numbers shows neither.
        let source = RandomState::new();
        (sets > 0).then(|| Self {
            sets: std::iter::repeat_with(Set::default).take(sets).collect(),
            secret: [source.hash_one(0), source.hash_one(1)],
        })
    }

    /// What a cache of at most so many bytes takes.
    #[must_use]
    pub fn bytes_of(bytes: usize) -> usize {
        (bytes / size_of::<Set>()).min(u32::MAX as usize) * size_of::<Set>()
    }

    /// What it takes in memory.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.sets)
    }

    /// A hasher that is keyed with this cache's secret.
    pub(crate) fn hasher(&self) -> SipHasher13 {
        let [one, two] = self.secret;
        SipHasher13::new_with_keys(one, two)
    }

    /// The value of a key, if it is known.
    pub(crate) fn get(&self, key: u128) -> Option<f32> {
        let parts = Parts::of(key);
        let Set(entries) = self.set(parts)?;
        entries.iter().find_map(|entry| entry.get(parts))
    }

    /// Keeps a value; true when another had to go for it.
    pub(crate) fn insert(&self, key: u128, value: f32) -> bool {
        let parts = Parts::of(key);
        let Some(Set(entries)) = self.set(parts) else {
            return false;
        };
        // Another thread may have scored the same field meanwhile.
        let own = entries.iter().find(|entry| entry.get(parts).is_some());
        if let Some(free) = own.or_else(|| entries.iter().find(|entry| entry.is_empty())) {
            free.set(parts, value);
            return false;
        }
        // Equals are replaced in an order that nobody outside knows.
        let start = usize::try_from(parts.low % WAYS as u64).unwrap_or_default();
        let mut candidates = entries.iter().cycle().skip(start).take(WAYS);
        let replaced = candidates.find(|entry| !entry.was_asked_for()).or_else(|| {
            for entry in entries {
                entry.data.fetch_and(!ASKED, Ordering::Relaxed);
            }
            entries.get(start)
        });
        if let Some(entry) = replaced {
            entry.set(parts, value);
        }
        true
    }

    fn set(&self, parts: Parts) -> Option<&Set> {
        // Scales 32 bits to the number of sets without a division (Lemire, "Fast random integer generation", 2019).
        let at = (parts.set * self.sets.len() as u64) >> 32;
        self.sets.get(usize::try_from(at).ok()?)
    }
}

#[cfg(test)]
mod tests;
