//! How many requests of one upstream may be under way, and how many may wait for their turn.
//!
//! Not here: connections. As long as there is room this is two atomic operations; only those who wait meet a lock.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

/// Bounds on one upstream's requests.
#[derive(Debug)]
pub(super) struct Gate {
    most_active: usize,
    most_waiting: usize,
    active: AtomicUsize,
    waiting: AtomicUsize,
    /// Told of each request that ends while others wait; they go in the order they came.
    freed: Notify,
}

/// Leave for one request, given back when dropped.
#[derive(Debug)]
pub(super) struct Permit(Arc<Gate>);

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.active.fetch_sub(1, Ordering::SeqCst);
        // A request that begins to wait counts itself before it looks for room a last time: either it finds this one's
        // place or it is seen here.
        if self.0.waiting.load(Ordering::SeqCst) > 0 {
            self.0.freed.notify_one();
        }
    }
}

/// One that waits, until dropped.
struct Waiting<'a>(&'a Gate);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Gate {
    /// Lets `most_active` requests pass at once and `most_waiting` wait.
    pub(super) fn new(most_active: usize, most_waiting: usize) -> Arc<Self> {
        Arc::new(Self {
            most_active,
            most_waiting,
            active: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            freed: Notify::new(),
        })
    }

    /// Whether it has these bounds.
    pub(super) fn is(&self, most_active: usize, most_waiting: usize) -> bool {
        (self.most_active, self.most_waiting) == (most_active, most_waiting)
    }

    /// Requests under way.
    pub(super) fn active(&self) -> usize {
        self.active.load(Ordering::Relaxed)
    }

    /// Requests that wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Waits for leave; `None` when too many wait already or the deadline passes.
    pub(super) async fn enter(self: &Arc<Self>, deadline: Instant) -> Option<Permit> {
        // Nobody overtakes those who wait.
        if self.waiting.load(Ordering::SeqCst) == 0 && self.has_room() {
            return Some(Permit(Arc::clone(self)));
        }
        let _waiting = self.queue()?;
        let turn = async {
            loop {
                let mut freed = pin!(self.freed.notified());
                freed.as_mut().enable();
                if self.has_room() {
                    return;
                }
                freed.await;
            }
        };
        timeout_at(deadline, turn).await.ok()?;
        Some(Permit(Arc::clone(self)))
    }

    fn has_room(&self) -> bool {
        let next = |active| (active < self.most_active).then_some(active + 1);
        self.active
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
            .is_ok()
    }

    fn queue(&self) -> Option<Waiting<'_>> {
        let next = |waiting| (waiting < self.most_waiting).then_some(waiting + 1);
        self.waiting
            .fetch_update(Ordering::SeqCst, Ordering::SeqCst, next)
            .ok()
            .map(|_| Waiting(self))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test]
    async fn room_and_queue_are_bounded_and_those_who_wait_are_served_in_order() {
        let gate = Gate::new(1, 2);
        let first = gate.enter(soon()).await.unwrap();
        let wait = |name| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move { gate.enter(soon()).await.map(|permit| (name, permit)) })
        };
        let (second, third) = (wait(2), wait(3));
        while gate.waiting() < 2 {
            tokio::task::yield_now().await;
        }
        assert!(gate.enter(soon()).await.is_none(), "the queue is full");
        drop(first);
        let (name, permit) = second.await.unwrap().unwrap();
        assert_eq!((name, gate.active(), gate.waiting()), (2, 1, 1));
        drop(permit);
        assert_eq!(third.await.unwrap().unwrap().0, 3);
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }

    #[tokio::test]
    async fn nobody_waits_beyond_the_deadline_and_one_who_leaves_takes_no_turn() {
        let gate = Gate::new(1, 8);
        let first = gate.enter(soon()).await.unwrap();
        assert!(gate.enter(Instant::now()).await.is_none());
        let leaver = tokio::spawn({
            let gate = Arc::clone(&gate);
            async move { gate.enter(soon()).await.is_some() }
        });
        while gate.waiting() == 0 {
            tokio::task::yield_now().await;
        }
        leaver.abort();
        let _ = leaver.await;
        drop(first);
        assert!(gate.enter(soon()).await.is_some());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn no_turn_is_lost_under_contention() {
        let gate = Gate::new(2, 1_000);
        let rounds = (0..200).map(|_| {
            let gate = Arc::clone(&gate);
            tokio::spawn(async move {
                for _ in 0..20 {
                    let permit = gate.enter(soon()).await.unwrap();
                    assert!(gate.active() <= 2);
                    tokio::task::yield_now().await;
                    drop(permit);
                }
            })
        });
        for round in rounds.collect::<Vec<_>>() {
            round.await.unwrap();
        }
        assert_eq!((gate.active(), gate.waiting()), (0, 0));
    }
}
