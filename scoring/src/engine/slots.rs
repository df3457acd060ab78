//! Sessions of workers, and how a request gets one. Not here: what it runs.

use std::sync::{MutexGuard, TryLockError};

use super::Engine;
use crate::ort::Session;

#[derive(Debug)]
pub(super) struct Slot {
    pub(super) field: Session,
    pub(super) request: Option<Session>,
}

impl Engine {
    /// A free session: the worker's own, else a spare, else wait for the worker's own.
    pub(super) fn slot(&self, worker: usize) -> MutexGuard<'_, Slot> {
        let (before, from) = self.slots.split_at(worker % self.slots.len().max(1));
        for slot in from.iter().chain(before) {
            match slot.try_lock() {
                Ok(slot) => return slot,
                // A panic elsewhere in a request leaves the session as it was: between runs it holds no state.
                Err(TryLockError::Poisoned(poisoned)) => return poisoned.into_inner(),
                Err(TryLockError::WouldBlock) => {}
            }
        }
        #[expect(
            clippy::expect_used,
            reason = "an engine is built with at least one slot"
        )]
        let own = from
            .first()
            .or(before.first())
            .expect("an engine has a slot");
        own.lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// A session that is taken when the first row needs it: what is known needs none.
pub(super) struct LazySlot<'e> {
    engine: &'e Engine,
    worker: usize,
    taken: Option<MutexGuard<'e, Slot>>,
}

impl<'e> LazySlot<'e> {
    pub(super) fn new(engine: &'e Engine, worker: usize) -> Self {
        Self {
            engine,
            worker,
            taken: None,
        }
    }

    pub(super) fn get(&mut self) -> &mut Slot {
        let Self {
            engine,
            worker,
            taken,
        } = self;
        taken.get_or_insert_with(|| engine.slot(*worker))
    }
}
