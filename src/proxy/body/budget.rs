//! The memory of all held bodies together, shared out fairly.
//!
//! Not here: who holds what for how long (`hold`). Short bodies that are there at once are not counted:
//! `limits.connections` bounds them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::BodyError;
use crate::units::ClientIp;

/// Grain of the budget: finer would not fit the semaphore's counter, coarser would waste on small bodies.
const GRAIN: usize = 1024;
/// Longest wait for room. What is not there by then is not about to come: better an early 503 than a late one.
const PATIENCE: Duration = Duration::from_secs(1);
/// Bodies that wait for room at once; each may have a read buffer full of data already.
const MAX_WAITING: usize = 256;
/// While less than half of the budget is free, no client holds more than this part of all.
const FAIR_PART: u32 = 8;

/// The bytes that all requests together may hold for inspection.
#[derive(Debug, Clone)]
pub struct HeldBudget {
    grains: Arc<Semaphore>,
    total: u32,
    waiting: Arc<Semaphore>,
    clients: Arc<DashMap<u128, u32>>,
}

/// A share of [`HeldBudget`], given back when dropped.
#[derive(Debug, Default)]
pub struct Share {
    permit: Option<OwnedSemaphorePermit>,
    of: Option<(u128, Arc<DashMap<u128, u32>>)>,
}

impl Drop for Share {
    fn drop(&mut self) {
        let (Some(permit), Some((client, clients))) = (&self.permit, &self.of) else {
            return;
        };
        let grains = u32::try_from(permit.num_permits()).unwrap_or(u32::MAX);
        if let Some(mut held) = clients.get_mut(client) {
            *held = held.saturating_sub(grains);
        }
        clients.remove_if(client, |_, held| *held == 0);
    }
}

/// Held bytes with their share: it is given back when the last reference to them goes, wherever that is (the
/// inspection, the upstream's write queue).
struct Counted {
    bytes: Bytes,
    _share: Share,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Share {
    /// Ties the share to the bytes that it was for.
    pub fn attach(self, bytes: Bytes) -> Bytes {
        if self.permit.is_none() {
            return bytes;
        }
        Bytes::from_owner(Counted {
            bytes,
            _share: self,
        })
    }
}

impl HeldBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        let total =
            u32::try_from((bytes / GRAIN).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX);
        Self {
            grains: Arc::new(Semaphore::new(total as usize)),
            total,
            waiting: Arc::new(Semaphore::new(MAX_WAITING)),
            clients: Arc::default(),
        }
    }

    /// Waits for room for `bytes` more, but not for long. One body never asks for more than all there is.
    ///
    /// # Errors
    /// [`BodyError::Busy`] when there is none, or when the client has its fair part already and room is scarce.
    pub async fn grow(
        &self,
        share: &mut Share,
        client: ClientIp,
        bytes: usize,
    ) -> Result<(), BodyError> {
        let held = share
            .permit
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let left = self
            .total
            .saturating_sub(u32::try_from(held).unwrap_or(u32::MAX));
        let grains = u32::try_from(bytes.div_ceil(GRAIN))
            .unwrap_or(u32::MAX)
            .min(left);
        if grains == 0 {
            return Ok(());
        }
        let more = match Arc::clone(&self.grains).try_acquire_many_owned(grains) {
            Ok(more) if self.is_fair(client, grains, more.num_permits()) => more,
            Ok(_unfair) => return Err(BodyError::Busy),
            Err(_) => self.wait(client, grains).await?,
        };
        *self.clients.entry(client.limit_key()).or_default() += grains;
        match &mut share.permit {
            Some(permit) => permit.merge(more),
            none => *none = Some(more),
        }
        share.of = Some((client.limit_key(), Arc::clone(&self.clients)));
        Ok(())
    }

    async fn wait(&self, client: ClientIp, grains: u32) -> Result<OwnedSemaphorePermit, BodyError> {
        if !self.is_fair(client, grains, 0) {
            return Err(BodyError::Busy);
        }
        let _place = self.waiting.try_acquire().map_err(|_| BodyError::Busy)?;
        let more = Arc::clone(&self.grains).acquire_many_owned(grains);
        // The semaphore is never closed, so an error can only be the deadline.
        match timeout_at(Instant::now() + PATIENCE, more).await {
            Ok(Ok(more)) => Ok(more),
            _ => Err(BodyError::Busy),
        }
    }

    /// Whether a client may have `grains` more; `taken` of them are no longer among the free ones. Slow senders of one
    /// client do not shut out all others, and one body is always allowed.
    fn is_fair(&self, client: ClientIp, grains: u32, taken: usize) -> bool {
        let free = self.grains.available_permits() + taken;
        let held = self
            .clients
            .get(&client.limit_key())
            .map_or(0, |held| *held);
        held == 0
            || free * 2 >= self.total as usize
            || held.saturating_add(grains) <= self.total / FAIR_PART
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use futures_util::FutureExt;

    use super::*;

    fn client(last: u8) -> ClientIp {
        ClientIp::new(std::net::IpAddr::from([192, 0, 2, last]))
    }

    #[tokio::test]
    async fn the_budget_is_shared_waited_for_and_given_back_with_the_last_reference() {
        let budget = HeldBudget::new(4 * GRAIN);
        let mut first = Share::default();
        budget.grow(&mut first, client(1), 3 * GRAIN).await.unwrap();
        let bytes = first.attach(Bytes::from_static(b"held"));
        let copy = bytes.clone();
        drop(bytes);
        let mut second = Share::default();
        let refused = budget.grow(&mut second, client(2), 2 * GRAIN).await;
        assert_eq!(refused, Err(BodyError::Busy));
        drop(copy);
        // More than there is: all of it, or one large body could never be inspected.
        budget
            .grow(&mut second, client(2), 99 * GRAIN)
            .await
            .unwrap();
        assert_eq!(budget.grains.available_permits(), 0);
        drop(second);
        assert_eq!(budget.grains.available_permits(), 4);
        assert!(budget.clients.is_empty());
    }

    #[tokio::test]
    async fn one_client_does_not_crowd_out_all_others() {
        let budget = HeldBudget::new(64 * GRAIN);
        let mut shares = Vec::new();
        let refused = loop {
            let mut share = Share::default();
            match budget.grow(&mut share, client(1), 4 * GRAIN).await {
                Ok(()) => shares.push(share),
                Err(error) => break error,
            }
        };
        assert_eq!(refused, BodyError::Busy);
        assert_eq!(shares.len(), 9, "half of it, and the one that reached it");
        for last in 2..5 {
            let mut share = Share::default();
            budget
                .grow(&mut share, client(last), 4 * GRAIN)
                .await
                .unwrap();
            shares.push(share);
        }
        drop(shares);
        assert_eq!(budget.grains.available_permits(), 64);
        assert!(budget.clients.is_empty());
    }

    #[tokio::test]
    async fn only_so_many_wait_for_room() {
        let budget = HeldBudget::new(GRAIN);
        let mut all = Share::default();
        budget.grow(&mut all, client(1), GRAIN).await.unwrap();
        let waiting: Vec<_> = (0..MAX_WAITING)
            .map(|_| {
                let budget = budget.clone();
                tokio::spawn(async move {
                    let mut share = Share::default();
                    budget.grow(&mut share, client(2), GRAIN).await
                })
            })
            .collect();
        while budget.waiting.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
        let mut share = Share::default();
        let refused = budget.grow(&mut share, client(3), GRAIN).now_or_never();
        assert_eq!(refused, Some(Err(BodyError::Busy)), "not even a wait");
        drop(all);
        let mut served = 0;
        for waiter in waiting {
            served += usize::from(waiter.await.unwrap().is_ok());
        }
        assert_eq!(served, MAX_WAITING, "each had its turn");
    }
}
