//! Sets of bytes, pairs and comparisons. Not here: what they mean.

/// ASCII's letters and digits, and what a set may have beside them.
macro_rules! alphanumeric_and {
    ($more:literal) => {
        concat!(
            "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ",
            $more
        )
        .as_bytes()
    };
}
pub(crate) use alphanumeric_and;

/// A set that is asked for one byte after another. Where a value as a whole is asked, see `tokens::Present`.
pub(crate) struct Bytes([bool; 256]);

impl Bytes {
    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes, when this is compiled"
    )]
    pub(crate) const fn of(bytes: &[u8]) -> Self {
        let mut set = [false; 256];
        let mut at = 0;
        while at < bytes.len() {
            set[bytes[at] as usize] = true;
            at += 1;
        }
        Self(set)
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries, when this is compiled"
    )]
    pub(crate) const fn and_all_beyond_ascii(mut self) -> Self {
        let mut byte = 128;
        while byte < 256 {
            self.0[byte] = true;
            byte += 1;
        }
        self
    }

    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes"
    )]
    pub(crate) fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte)]
    }
}

/// Where `first` stands right before `second`. For what is near or rare: it begins at once, where a search for longer texts
/// has to be prepared.
pub(crate) fn find_pair(value: &[u8], first: u8, second: u8) -> Option<usize> {
    memchr::memchr_iter(first, value).find(|at| value.get(at + 1) == Some(&second))
}

/// Whether two texts are the same. An empty one may lie nowhere, and the C library's comparison for AVX-512 looks even there,
/// with a mask that lets nothing through: a look that takes fifty times as long as a comparison.
pub(crate) fn same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && (one.is_empty() || one == other)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use proptest::prelude::*;

    use super::{Bytes, find_pair, same};

    proptest! {
        #[test]
        fn a_pair_is_found_where_a_search_for_text_finds_it(value in "[*/a]{0,40}") {
            prop_assert_eq!(find_pair(value.as_bytes(), b'*', b'/'), value.find("*/"));
            prop_assert_eq!(find_pair(value.as_bytes(), b'a', b'a'), value.find("aa"));
        }

        #[test]
        fn texts_are_the_same_or_not(one in "[ab]{0,3}", other in "[ab]{0,3}") {
            prop_assert_eq!(same(one.as_bytes(), other.as_bytes()), one == other);
        }

        #[test]
        fn a_set_has_what_it_was_made_of(bytes in proptest::collection::vec(any::<u8>(), 0..20)) {
            let set = Bytes::of(&bytes);
            let more = Bytes::of(&bytes).and_all_beyond_ascii();
            for byte in 0..=u8::MAX {
                prop_assert_eq!(set.has(byte), bytes.contains(&byte));
                prop_assert_eq!(more.has(byte), bytes.contains(&byte) || !byte.is_ascii());
            }
        }
    }
}
