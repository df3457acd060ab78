//! What bodies and answers consist of: bytes that both ends can compute from the number of a request.
//!
//! Not here: who sends them and who compares.

use bytes::Bytes;
use sha2::Digest as _;

use crate::random::Random;

/// The longest body.
pub(crate) const LONGEST: usize = 8 * 1024 * 1024;
/// Beginnings of bodies differ by where in the supply they lie.
const SUPPLY: usize = 2 * LONGEST;

/// The beginning of a SHA-256, enough to tell any two bodies of one run apart.
pub(crate) type Digest = [u8; 16];

/// A supply of incompressible bytes that bodies are cut from without copying.
#[derive(Debug, Clone)]
pub(crate) struct Content(Bytes);

impl Content {
    pub(crate) fn new() -> Self {
        let mut random = Random::new(4);
        let mut bytes = Vec::with_capacity(SUPPLY);
        while bytes.len() < SUPPLY {
            bytes.extend_from_slice(&random.next().to_le_bytes());
        }
        Self(bytes.into())
    }

    /// The body of that number and length, at most `LONGEST`.
    pub(crate) fn body(&self, number: u64, length: usize) -> Bytes {
        let length = length.min(LONGEST);
        let room = (SUPPLY - length) as u64;
        let from = (Random::new(number).next() % room.max(1)) as usize;
        self.0.slice(from..from + length)
    }
}

pub(crate) fn digest(bytes: &[u8]) -> Digest {
    shorten(sha2::Sha256::digest(bytes).as_slice())
}

pub(crate) fn shorten(whole: &[u8]) -> Digest {
    whole
        .first_chunk()
        .copied()
        .unwrap_or_else(|| unreachable!("a SHA-256 has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_depend_on_their_number_and_length_alone() {
        let content = Content::new();
        assert_eq!(content.body(7, 1000), Content::new().body(7, 1000));
        assert_ne!(content.body(7, 1000), content.body(8, 1000));
        assert_eq!(content.body(9, LONGEST).len(), LONGEST);
        assert_ne!(digest(b"a"), digest(b"b"));
    }
}
