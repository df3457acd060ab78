//! What is counted of one endpoint.
//!
//! Not here: showing it (`series`).

use std::sync::atomic::{AtomicU64, Ordering};

use super::UpstreamError;

/// Counts of one configured address: of all endpoints that its name resolves to, over every reload.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) requests: AtomicU64,
    pub(super) connections: AtomicU64,
    pub(super) ejections: AtomicU64,
    connect: AtomicU64,
    broken: AtomicU64,
    timeout: AtomicU64,
}

impl Counts {
    /// Counts a failed request.
    pub(super) fn failed(&self, error: &UpstreamError) {
        let counter = match error {
            UpstreamError::Connect(_) | UpstreamError::ConnectTimeout => &self.connect,
            UpstreamError::ResponseTimeout => &self.timeout,
            _ => &self.broken,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Failed requests by cause.
    pub(super) fn failures(&self) -> [(&'static str, u64); 3] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [
            ("connect", of(&self.connect)),
            ("broken", of(&self.broken)),
            ("timeout", of(&self.timeout)),
        ]
    }
}
