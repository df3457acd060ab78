//! Buffers for texts that are rewritten, decoded or joined, lent from a thread's stock: once it is warm, extraction allocates
//! nothing.
//!
//! Not here: what lives as long as a request, see `field`.

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};

/// Buffers that a thread keeps; extraction needs about two for each level of nesting.
const MOST: usize = 12;
/// A larger buffer is given back to the system, so that one huge body does not stay resident.
const KEEP_BYTES: usize = 256 * 1024;

thread_local! {
    static STOCK: RefCell<Vec<Vec<u8>>> = const { RefCell::new(Vec::new()) };
}

/// An empty buffer that goes back to the stock when it is dropped.
#[derive(Debug)]
pub(crate) struct Lent(Vec<u8>);

impl Lent {
    pub(crate) fn new() -> Self {
        Self(STOCK.with_borrow_mut(Vec::pop).unwrap_or_default())
    }

    pub(crate) fn copy_of(bytes: &[u8]) -> Self {
        let mut copy = Self::new();
        copy.extend_from_slice(bytes);
        copy
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        let mut buffer = std::mem::take(&mut self.0);
        if !(1..=KEEP_BYTES).contains(&buffer.capacity()) {
            return;
        }
        buffer.clear();
        // A thread that ends has no stock any more.
        let _ = STOCK.try_with(|stock| {
            if let Ok(mut stock) = stock.try_borrow_mut()
                && stock.len() < MOST
            {
                stock.push(buffer);
            }
        });
    }
}

impl Deref for Lent {
    type Target = Vec<u8>;

    fn deref(&self) -> &Vec<u8> {
        &self.0
    }
}

impl DerefMut for Lent {
    fn deref_mut(&mut self) -> &mut Vec<u8> {
        &mut self.0
    }
}
