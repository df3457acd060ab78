//! Request bodies, held up to a limit for inspection.
//!
//! Not here: judging a body, and its way to the upstream (`outgoing`). Bytes held by all requests together are
//! bounded by [`HeldBudget`], but for short bodies that are there at once, which `limits.connections` bounds; of a body
//! beyond its own limit only the beginning is collected.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Beyond;

/// Grain of the budget: finer would not fit the semaphore's counter, coarser would waste on small bodies.
const GRAIN: usize = 1024;
/// A body of unknown length reserves this much at a time.
const STEP: usize = 16 * 1024;
/// A held body must be complete within this many times the timeout between two pieces, so that one byte a minute
/// does not hold memory for ever.
const PATIENCE: u32 = 10;

/// Why a request body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum BodyError {
    /// The client stopped sending.
    #[error("the request body did not arrive in time")]
    Timeout = 1,
    /// The client went away or broke the framing.
    #[error("the request body broke off or is malformed")]
    Broken = 2,
    /// The policy is `reject` and the body is longer than `inspect.body`.
    #[error("the request body is longer than this server inspects")]
    TooLarge = 3,
    /// No memory for held bodies became free in time.
    #[error("too many request bodies are waiting for inspection")]
    Busy = 4,
}

/// The bytes that all requests together may hold for inspection.
#[derive(Debug, Clone)]
pub struct HeldBudget {
    grains: Arc<Semaphore>,
    total: u32,
}

/// A share of [`HeldBudget`], given back when dropped.
#[derive(Debug, Default)]
struct Share(Option<OwnedSemaphorePermit>);

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
    fn attach(self, bytes: Bytes) -> Bytes {
        if self.0.is_none() {
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
        }
    }

    /// Waits for room for `bytes` more. One body never asks for more than all there is.
    async fn grow(
        &self,
        share: &mut Share,
        bytes: usize,
        deadline: Instant,
    ) -> Result<(), BodyError> {
        let held = share
            .0
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
        let more = timeout_at(
            deadline,
            Arc::clone(&self.grains).acquire_many_owned(grains),
        );
        // The semaphore is never closed, so an error can only be the deadline.
        let Ok(Ok(more)) = more.await else {
            return Err(BodyError::Busy);
        };
        match &mut share.0 {
            Some(share) => share.merge(more),
            none => *none = Some(more),
        }
        Ok(())
    }
}

/// How bodies of a route are held.
#[derive(Debug, Clone, Copy)]
pub struct HoldPolicy {
    /// Bytes held at most.
    pub limit: usize,
    /// What a longer body meets.
    pub beyond: Beyond,
    /// Longest time between two pieces, and longest wait for room.
    pub idle: Duration,
    /// What happens when there is no room.
    pub crowded: Crowded,
}

/// What a body meets for which no room becomes free.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crowded {
    /// 503: nothing passes uninspected.
    Shed,
    /// Only what is held already is inspected: shadow mode must not refuse.
    Cut,
}

/// A request body as far as it is inspected, and where its rest comes from.
#[derive(Debug)]
pub struct Held {
    /// The whole body, or its first `limit` bytes.
    pub bytes: Bytes,
    /// The piece that crossed the limit, and the stream behind it; `None` when `bytes` is everything.
    pub(super) rest: Option<(Bytes, Incoming)>,
    /// The length that the client declared.
    pub(super) declared: Option<u64>,
}

impl Held {
    /// Whether there is more than `bytes`.
    pub fn truncated(&self) -> bool {
        self.rest.is_some()
    }

    /// Takes a body unread, to be streamed as it comes.
    pub fn unread(incoming: Incoming) -> Self {
        let declared = incoming.size_hint().exact();
        let rest = (!incoming.is_end_stream()).then(|| (Bytes::new(), incoming));
        Self {
            bytes: Bytes::new(),
            rest,
            declared,
        }
    }

    /// Reads a body up to the limit of `policy`.
    pub async fn read(
        mut incoming: Incoming,
        policy: HoldPolicy,
        budget: &HeldBudget,
    ) -> Result<Self, BodyError> {
        if incoming.is_end_stream() {
            return Ok(Self::unread(incoming));
        }
        let declared = incoming.size_hint().exact();
        let too_long =
            |length: u64| policy.beyond == Beyond::Reject && length > policy.limit as u64;
        if declared.is_some_and(too_long) {
            return Err(BodyError::TooLarge);
        }
        let mut share = Share::default();
        let deadline = Instant::now() + policy.idle.saturating_mul(PATIENCE);
        let mut first = next_piece(&mut incoming, policy.idle, deadline).await?;
        if let Some(whole) = &first
            && whole.len() <= STEP.min(policy.limit)
            && incoming.is_end_stream()
        {
            // Short bodies come with their head and are in memory already: they must not wait behind long ones whose
            // senders take their time.
            return Ok(Self {
                bytes: whole.clone(),
                rest: None,
                declared,
            });
        }
        // A declared length is reserved at once: bodies that all wait for their second half would wait for ever.
        let expected = declared.map(|length| {
            policy
                .limit
                .min(usize::try_from(length).unwrap_or(usize::MAX))
        });
        if let Some(expected) = expected {
            let wait = Instant::now() + policy.idle;
            match budget.grow(&mut share, expected, wait).await {
                Ok(()) => {}
                Err(_) if policy.crowded == Crowded::Cut => {
                    return Ok(Self {
                        bytes: Bytes::new(),
                        rest: Some((first.unwrap_or_default(), incoming)),
                        declared,
                    });
                }
                Err(error) => return Err(error),
            }
        }
        let mut held = Collected::new(expected, policy.limit);
        let mut reserved = expected.unwrap_or(0);
        loop {
            let next = match first.take() {
                Some(first) => Some(first),
                None => next_piece(&mut incoming, policy.idle, deadline).await?,
            };
            let Some(piece) = next else { break };
            let room = policy.limit - held.len();
            if piece.len() > room {
                if policy.beyond == Beyond::Reject {
                    return Err(BodyError::TooLarge);
                }
                let mut piece = piece;
                let rest = piece.split_off(room);
                held.push(piece);
                let bytes = share.attach(held.finish());
                return Ok(Self {
                    bytes,
                    rest: Some((rest, incoming)),
                    declared,
                });
            }
            if held.len() + piece.len() > reserved {
                let more = piece.len().max(STEP).min(policy.limit - reserved);
                let wait = Instant::now() + policy.idle;
                match budget.grow(&mut share, more, wait).await {
                    Ok(()) => reserved += more,
                    Err(_) if policy.crowded == Crowded::Cut => {
                        let bytes = share.attach(held.finish());
                        let rest = Some((piece, incoming));
                        return Ok(Self {
                            bytes,
                            rest,
                            declared,
                        });
                    }
                    Err(error) => return Err(error),
                }
            }
            held.push(piece);
        }
        Ok(Self {
            bytes: share.attach(held.finish()),
            rest: None,
            declared,
        })
    }
}

/// Collects pieces; one piece alone is kept without a copy.
struct Collected {
    single: Bytes,
    many: Vec<u8>,
    /// No more than this will come.
    most: usize,
    /// Whether exactly `most` will come, as declared.
    declared: bool,
}

impl Collected {
    fn new(expected: Option<usize>, limit: usize) -> Self {
        Self {
            single: Bytes::new(),
            many: Vec::new(),
            most: expected.unwrap_or(limit),
            declared: expected.is_some(),
        }
    }

    fn len(&self) -> usize {
        self.single.len() + self.many.len()
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.single = piece;
            return;
        }
        let length = self.len() + piece.len();
        if length > self.many.capacity() {
            // Never beyond what can come, because the budget counts bytes and not capacity. A declared length has its
            // share already and pages that nothing is written to cost nothing; blocks of many sizes, grown and
            // freed, would cost the allocator half as much again.
            let doubled = if self.declared {
                self.most
            } else {
                (2 * length).min(self.most)
            };
            let capacity = length.max(doubled);
            self.many.reserve_exact(capacity - self.many.len());
        }
        if self.many.is_empty() {
            self.many
                .extend_from_slice(&std::mem::take(&mut self.single));
        }
        self.many.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.many.is_empty() {
            self.single
        } else {
            self.many.into()
        }
    }
}

/// The next data; trailers are dropped, for nobody would inspect them.
async fn next_piece(
    incoming: &mut Incoming,
    idle: Duration,
    deadline: Instant,
) -> Result<Option<Bytes>, BodyError> {
    loop {
        let frame = timeout_at(deadline, timeout(idle, incoming.frame()));
        match frame.await {
            Err(_) | Ok(Err(_)) => return Err(BodyError::Timeout),
            Ok(Ok(None)) => return Ok(None),
            Ok(Ok(Some(Err(_)))) => return Err(BodyError::Broken),
            Ok(Ok(Some(Ok(frame)))) => {
                if let Ok(data) = frame.into_data()
                    && !data.is_empty()
                {
                    return Ok(Some(data));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn pieces_are_collected_without_more_room_than_can_be_needed() {
        let mut held = Collected::new(None, 100_000);
        for _ in 0..6 {
            held.push(Bytes::from(vec![7; 16_383]));
        }
        assert!(held.many.capacity() <= 100_000);
        assert_eq!(held.finish(), vec![7; 6 * 16_383]);
        let mut held = Collected::new(None, 10);
        let piece = Bytes::from_static(b"alone");
        held.push(piece.clone());
        assert_eq!(held.finish().as_ptr(), piece.as_ptr());
    }

    #[tokio::test]
    async fn the_budget_is_shared_waited_for_and_given_back_with_the_last_reference() {
        let budget = HeldBudget::new(4 * GRAIN);
        let now = Instant::now();
        let mut first = Share::default();
        budget.grow(&mut first, 3 * GRAIN, now).await.unwrap();
        let bytes = first.attach(Bytes::from_static(b"held"));
        let copy = bytes.clone();
        drop(bytes);
        let mut second = Share::default();
        let refused = budget.grow(&mut second, 2 * GRAIN, now).await;
        assert_eq!(refused, Err(BodyError::Busy));
        drop(copy);
        // More than there is: all of it, or one large body could never be inspected.
        budget.grow(&mut second, 99 * GRAIN, now).await.unwrap();
        assert_eq!(budget.grains.available_permits(), 0);
        drop(second);
        assert_eq!(budget.grains.available_permits(), 4);
    }
}
