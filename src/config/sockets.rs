//! The keys of `sockets`: how all listening sockets are made.
//!
//! Not here: addresses, which each listener has of its own, and the sockets.

use super::reader::Item;
use super::types::Config;

/// How listening sockets are made, those of the admin listener included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sockets {
    /// Whether another process of the same user may listen on the same addresses, as a new version does that takes
    /// over from this one.
    pub reuse_port: bool,
    /// Whether each worker is a thread with a listening socket and connections of its own. `None`: only a single one,
    /// which has nobody to share with.
    pub per_worker: Option<bool>,
    /// Connections that wait to be accepted, for each socket.
    pub backlog: u32,
}

impl Config {
    /// Whether workers share nothing but the proxy.
    pub fn per_worker(&self) -> bool {
        self.sockets.per_worker.unwrap_or(self.workers == 1)
    }
}

const BACKLOG: usize = 1024;

pub(super) fn sockets(item: Option<&Item<'_>>) -> Sockets {
    let section = item.map(Item::section);
    let get = |name| section.as_ref().and_then(|section| section.get(name));
    let flag = |name| get(name).and_then(|item| item.flag());
    let backlog = get("backlog").and_then(|item| item.count(16..=65_535));
    Sockets {
        reuse_port: flag("reuse_port").unwrap_or(false),
        per_worker: flag("per_worker"),
        backlog: u32::try_from(backlog.unwrap_or(BACKLOG)).unwrap_or(u32::MAX),
    }
}
