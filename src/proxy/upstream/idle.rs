//! HTTP/1.1 connections that wait for their next request.
//!
//! Not here: opening them (`connection`). Threads keep to shards of their own, so that requests of one upstream do not
//! queue for one lock.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::connection::One;

/// More threads than this share shards.
const MOST_SHARDS: usize = 32;

/// The shard of the next thread that asks for the first time.
static NEXT: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    static HOME: usize = NEXT.fetch_add(1, Ordering::Relaxed);
}

/// Idle connections to one endpoint.
#[derive(Debug)]
pub(super) struct IdlePool {
    shards: Box<[Shard]>,
    /// Connections in all shards.
    count: AtomicUsize,
    max: usize,
    timeout: Duration,
}

/// On a cache line of its own.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Shard(Mutex<VecDeque<Idle>>);

#[derive(Debug)]
struct Idle {
    connection: One,
    since: Instant,
}

impl Shard {
    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl IdlePool {
    /// Keeps `max` connections for `timeout` each.
    pub(super) fn new(max: usize, timeout: Duration) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let shards = cores.clamp(1, MOST_SHARDS);
        Self {
            shards: (0..shards).map(|_| Shard::default()).collect(),
            count: AtomicUsize::new(0),
            max,
            timeout,
        }
    }

    /// The shards, this thread's first.
    fn shards(&self) -> impl Iterator<Item = &Shard> {
        let home = HOME.with(|home| *home) % self.shards.len().max(1);
        self.shards
            .iter()
            .cycle()
            .skip(home)
            .take(self.shards.len())
    }

    /// The connection that this thread used last, else another's.
    pub(super) fn take(&self) -> Option<One> {
        for shard in self.shards() {
            if self.count.load(Ordering::Acquire) == 0 {
                return None;
            }
            let mut idle = shard.lock();
            while let Some(last) = idle.pop_back() {
                self.count.fetch_sub(1, Ordering::AcqRel);
                if last.since.elapsed() >= self.timeout {
                    // The others are older.
                    self.count.fetch_sub(idle.len(), Ordering::AcqRel);
                    idle.clear();
                } else if !last.connection.is_closed() {
                    return Some(last.connection);
                }
            }
        }
        None
    }

    /// Keeps a connection; the oldest of this thread goes when there are too many.
    pub(super) fn put(&self, connection: One) {
        let idle = Idle {
            connection,
            since: Instant::now(),
        };
        let Some(shard) = self.shards().next() else {
            return;
        };
        let mut shard = shard.lock();
        shard.push_back(idle);
        if self.count.fetch_add(1, Ordering::AcqRel) >= self.max {
            shard.pop_front();
            self.count.fetch_sub(1, Ordering::AcqRel);
        }
    }

    /// How many there are.
    pub(super) fn len(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// Closes all of them.
    pub(super) fn clear(&self) {
        self.retain(|_| false);
    }

    /// Closes those that nobody will use any more.
    pub(super) fn sweep(&self) {
        self.retain(|idle| idle.since.elapsed() < self.timeout && !idle.connection.is_closed());
    }

    fn retain(&self, keep: impl Fn(&Idle) -> bool) {
        for shard in &self.shards {
            let mut idle = shard.lock();
            let before = idle.len();
            idle.retain(|idle| keep(idle));
            self.count.fetch_sub(before - idle.len(), Ordering::AcqRel);
        }
    }
}
