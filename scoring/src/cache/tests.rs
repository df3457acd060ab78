#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::hash::Hasher;

use proptest::prelude::*;
use siphasher::sip128::Hasher128;

use super::*;

fn cache(entries: usize) -> ScoreCache {
    ScoreCache::new(entries * size_of::<Entry>()).unwrap()
}

/// The n-th of a sequence of keys that are spread as a hash's.
fn key(n: u64) -> u128 {
    let mut hasher = SipHasher13::new_with_keys(1, 2);
    hasher.write_u64(n);
    hasher.finish128().into()
}

#[test]
fn it_takes_what_it_was_given_and_no_more() {
    for bytes in [0, 1, 63] {
        assert!(ScoreCache::new(bytes).is_none());
    }
    assert_eq!(size_of::<Set>(), 64);
    assert_eq!(ScoreCache::new(64).unwrap().bytes(), 64);
    assert_eq!(ScoreCache::new(100_000).unwrap().bytes(), 99_968);
}

#[test]
fn two_caches_hash_differently() {
    let hash = |cache: &ScoreCache| cache.hasher().finish128().as_u128();
    assert_ne!(hash(&cache(4)), hash(&cache(4)));
}

#[test]
fn an_empty_cache_knows_nothing_and_a_second_value_replaces_the_first() {
    let cache = cache(64);
    assert_eq!(cache.get(key(1)), None);
    assert!(!cache.insert(key(1), 0.5));
    assert!(!cache.insert(key(1), 0.25));
    assert_eq!(cache.get(key(1)), Some(0.25));
}

#[test]
fn keys_that_differ_in_any_compared_bit_are_told_apart() {
    let cache = cache(4);
    cache.insert(key(7), 1.0);
    for bit in (0..128).filter(|bit| *bit != 64 && *bit < 96) {
        assert_eq!(cache.get(key(7) ^ 1 << bit), None, "bit {bit}");
    }
}

/// The halves of two entries in one place belong to neither.
#[test]
fn an_entry_of_two_writers_is_nobodys() {
    let (one, two) = (Parts::of(key(1)), Parts::of(key(2)));
    let (first, second) = (Entry::default(), Entry::default());
    first.set(one, 1.0);
    second.set(two, 2.0);
    let mixed = Entry {
        data: AtomicU64::new(first.data.load(Ordering::Relaxed)),
        guard: AtomicU64::new(second.guard.load(Ordering::Relaxed)),
    };
    assert_eq!((mixed.get(one), mixed.get(two)), (None, None));
    // The same key with two values: neither, or a value would be a mixture.
    let other = Entry::default();
    other.set(one, 1.5);
    let mixed = Entry {
        data: AtomicU64::new(first.data.load(Ordering::Relaxed)),
        guard: AtomicU64::new(other.guard.load(Ordering::Relaxed)),
    };
    assert_eq!(mixed.get(one), None);
}

#[test]
fn what_is_asked_for_outlives_a_flood_of_what_comes_once() {
    let cache = cache(4096);
    let regulars = 1024;
    for n in 0..regulars {
        cache.insert(key(n), 1.0);
    }
    for n in 0..20 * 4096 {
        // Everybody comes by once while the flood brings twice as many values as there is room for.
        cache.get(key(n % regulars));
        cache.insert(key(1_000_000 + n), 2.0);
    }
    let left = (0..regulars)
        .filter(|n| cache.get(key(*n)).is_some())
        .count();
    // Sets that more than three regulars share cannot keep them all.
    assert!(left > 900, "{left} of {regulars}");
}

#[test]
fn a_table_half_full_keeps_nearly_all() {
    let cache = cache(4096);
    let evicted = (0..2048).filter(|n| cache.insert(key(*n), 1.0)).count();
    let left = (0..2048).filter(|n| cache.get(key(*n)).is_some()).count();
    assert_eq!(left + evicted, 2048);
    assert!(left > 1900, "{left}");
}

#[test]
fn threads_never_see_another_keys_value() {
    let cache = cache(256);
    let value = |n: u64| n as f32 * 1.5;
    std::thread::scope(|scope| {
        for thread in 0..4u64 {
            let cache = &cache;
            scope.spawn(move || {
                for step in 0..100_000u64 {
                    let n = (step * (2 * thread + 1)) % 1024;
                    match cache.get(key(n)) {
                        Some(found) => assert_eq!(found.to_bits(), value(n).to_bits()),
                        None => drop(cache.insert(key(n), value(n))),
                    }
                }
            });
        }
    });
}

proptest! {
    #[test]
    fn a_known_value_is_the_last_one_inserted(
        steps in proptest::collection::vec((0u64..200, -1e6f32..1e6, any::<bool>()), 0..600),
    ) {
        let cache = cache(64);
        let mut model = HashMap::new();
        for (n, value, inserts) in steps {
            if inserts {
                cache.insert(key(n), value);
                model.insert(n, value);
                prop_assert_eq!(cache.get(key(n)), Some(value));
            } else if let Some(found) = cache.get(key(n)) {
                prop_assert_eq!(Some(&found), model.get(&n));
            }
        }
    }
}
