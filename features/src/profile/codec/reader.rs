//! Numbers, hashes and bounded lengths out of bytes. Not here: what a profile consists of.

use std::collections::BTreeMap;

/// Writes a number, seven bits a byte.
pub(super) fn number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// What is left to read, and how many nodes and parameters may still come.
#[derive(Debug)]
pub(crate) struct Reader<'b>(pub(super) &'b [u8], pub(super) usize);

impl Reader<'_> {
    /// One more of what takes hundreds of bytes in memory and few here.
    pub(super) fn place(&mut self) -> Option<()> {
        match self.1.checked_sub(1) {
            Some(left) => {
                self.1 = left;
                Some(())
            }
            None => None,
        }
    }

    pub(super) fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (head, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(*head)
    }

    pub(super) fn byte(&mut self) -> Option<u8> {
        self.array::<1>().map(|[byte]| byte)
    }

    /// Only the shortest spelling is accepted.
    pub(super) fn number(&mut self) -> Option<u64> {
        let mut number = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let part = u64::from(byte & 0x7f);
            if shift == 63 && part > 1 {
                return None;
            }
            number |= part << shift;
            if byte & 0x80 == 0 {
                return (byte != 0 || shift == 0).then_some(number);
            }
        }
        None
    }

    /// A length that the bound and the bytes left allow, each item taking at least `least` bytes.
    pub(super) fn length(&mut self, most: usize, least: usize) -> Option<usize> {
        let length = usize::try_from(self.number()?).ok()?;
        (length <= most && length <= self.0.len() / least.max(1)).then_some(length)
    }

    pub(super) fn flag(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    pub(super) fn map<V>(
        &mut self,
        most: usize,
        read: impl Fn(&mut Self) -> Option<V>,
    ) -> Option<BTreeMap<u64, V>> {
        let length = self.length(most, 9)?;
        let mut map = BTreeMap::new();
        for _ in 0..length {
            let key = u64::from_le_bytes(self.array()?);
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return None;
            }
            map.insert(key, read(self)?);
        }
        Some(map)
    }
}
