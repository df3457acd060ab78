//! Keyed hashes of everything that a profile remembers. Not here: what is hashed when.

use std::hash::Hasher;

use siphasher::sip::SipHasher13;

use super::ProfileKey;
use super::symbols;
use crate::location::Location;

/// What a hash is of, so that a host never equals a value.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Domain {
    Host = 1,
    Segment,
    Parameter,
    Name,
    Value,
    Skeleton,
    Method,
    Extension,
}

pub(crate) fn hasher(key: &ProfileKey) -> SipHasher13 {
    SipHasher13::new_with_key(&key.0)
}

/// Hashes at once what is already in one piece.
pub(crate) fn hash(mut hasher: SipHasher13, domain: Domain, bytes: &[u8]) -> u64 {
    hasher.write(bytes);
    hasher.write_u8(domain as u8);
    hasher.finish()
}

/// The hash of a location and a key there, as [`name_hash`] sees it.
pub(crate) fn parameter_hash(mut hasher: SipHasher13, location: Location, key: &[u8]) -> u64 {
    write_name(&mut hasher, key);
    hasher.write_u16(u16::from_be_bytes([
        location.index() as u8,
        Domain::Parameter as u8,
    ]));
    hasher.finish()
}

/// The hash of a parameter's name; numbers and tokens in it all count as the same one: `item[4711]`, `campaign.67396`.
pub(crate) fn name_hash(mut hasher: SipHasher13, name: &[u8]) -> u64 {
    write_name(&mut hasher, name);
    hasher.write_u8(Domain::Name as u8);
    hasher.finish()
}

/// Digits in a run of letters and digits that make it an identifier: `utm2` and `sha256` are names, `67396` is none.
const IDENTIFIER_DIGITS: usize = 4;

fn write_name(hasher: &mut SipHasher13, name: &[u8]) {
    // Pieces hash like the whole, so a name in which no run can be an identifier need not be cut.
    if name.iter().filter(|byte| byte.is_ascii_digit()).count() < IDENTIFIER_DIGITS {
        hasher.write(name);
        return;
    }
    write_runs(hasher, name);
}

fn write_runs(hasher: &mut SipHasher13, name: &[u8]) {
    for run in name.chunk_by(|one, two| one.is_ascii_alphanumeric() == two.is_ascii_alphanumeric())
    {
        let digits = run.iter().filter(|byte| byte.is_ascii_digit()).count();
        hasher.write(if digits >= IDENTIFIER_DIGITS {
            b"*"
        } else {
            run
        });
    }
}

/// The hash of a value without case.
pub(crate) fn folded_hash(mut hasher: SipHasher13, value: &[u8]) -> u64 {
    let mut piece = [0u8; 64];
    for bytes in value.chunks(piece.len()) {
        for (slot, byte) in piece.iter_mut().zip(bytes) {
            *slot = byte.to_ascii_lowercase();
        }
        hasher.write(piece.get(..bytes.len()).unwrap_or_default());
    }
    hasher.write_u8(Domain::Value as u8);
    hasher.finish()
}

/// The hash of a value's skeleton.
pub(crate) fn skeleton_hash(hasher: SipHasher13, value: &[u8]) -> u64 {
    stream(hasher, Domain::Skeleton, symbols::skeleton(value))
}

/// Hashes bytes as they come, in pieces, without a buffer for all of them.
pub(crate) fn stream(
    mut hasher: SipHasher13,
    domain: Domain,
    bytes: impl Iterator<Item = u8>,
) -> u64 {
    let mut piece = [0u8; 64];
    let mut held = 0;
    for byte in bytes {
        if let Some(slot) = piece.get_mut(held) {
            *slot = byte;
        }
        held += 1;
        if held == piece.len() {
            hasher.write(&piece);
            held = 0;
        }
    }
    hasher.write(piece.get(..held).unwrap_or_default());
    hasher.write_u8(domain as u8);
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn values_hash_without_case_as_in_one_piece(value in prop::collection::vec(any::<u8>(), 0..200)) {
            let key = hasher(&ProfileKey::new([3; 16]));
            let whole = hash(key, Domain::Value, &value.to_ascii_lowercase());
            prop_assert_eq!(folded_hash(key, &value), whole);
            prop_assert_eq!(stream(key, Domain::Value, value.to_ascii_lowercase().into_iter()), whole);
        }

        #[test]
        fn names_hash_whole_as_in_runs(name in "[a-z0-9_.\\[\\]]{0,40}|\\PC{0,20}") {
            let key = hasher(&ProfileKey::new([3; 16]));
            let (mut whole, mut runs) = (key, key);
            write_name(&mut whole, name.as_bytes());
            write_runs(&mut runs, name.as_bytes());
            prop_assert_eq!(whole.finish(), runs.finish());
        }
    }
}
