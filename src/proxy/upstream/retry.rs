//! Which requests may be sent again, and how many.
//!
//! Not here: when (`Upstream::send`).

use std::sync::atomic::{AtomicU32, Ordering};

use http::{Method, Request};
use http_body::Body;

use crate::proxy::outgoing::UpstreamBody;

/// A retry costs this much; a request earns the configured share of it.
const RETRY: u32 = 100;
/// Retries saved up at most: enough for an endpoint that goes away, too few to double the load of an upstream in need.
const SAVED: u32 = 10 * RETRY;

/// Bounds retries to a share of the requests.
#[derive(Debug)]
pub(super) struct Budget {
    saved: AtomicU32,
    percent: u32,
}

impl Budget {
    pub(super) fn new(percent: u32) -> Self {
        Self {
            saved: AtomicU32::new(if percent == 0 { 0 } else { SAVED }),
            percent,
        }
    }

    /// A request begins.
    pub(super) fn earn(&self) {
        // Full in ordinary times: nothing is written.
        if self.saved.load(Ordering::Relaxed) < SAVED {
            self.saved.fetch_add(self.percent, Ordering::Relaxed);
        }
    }

    /// Whether there may be a retry.
    pub(super) fn spend(&self) -> bool {
        self.saved
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |saved| {
                saved.checked_sub(RETRY)
            })
            .is_ok()
    }
}

/// A request that may be sent twice: its method is safe and it has no body.
pub(super) struct Spare(http::request::Parts);

impl Spare {
    pub(super) fn of(request: &Request<UpstreamBody>) -> Option<Self> {
        let safe = matches!(
            *request.method(),
            Method::GET | Method::HEAD | Method::OPTIONS
        );
        (safe && request.body().is_end_stream()).then(|| {
            let (mut parts, ()) = Request::new(()).into_parts();
            parts.method = request.method().clone();
            parts.uri = request.uri().clone();
            parts.version = request.version();
            parts.headers = request.headers().clone();
            Self(parts)
        })
    }

    pub(super) fn request(self) -> Request<UpstreamBody> {
        Request::from_parts(self.0, UpstreamBody::empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retries_are_a_share_of_the_requests_beyond_what_was_saved() {
        let budget = Budget::new(20);
        let spent = |budget: &Budget| (0..1_000).filter(|_| budget.spend()).count();
        assert_eq!(spent(&budget), 10);
        for _ in 0..25 {
            budget.earn();
        }
        assert_eq!(spent(&budget), 5);
        for _ in 0..10_000 {
            budget.earn();
        }
        assert_eq!(spent(&budget), 10, "no more is saved");
        let none = Budget::new(0);
        none.earn();
        assert_eq!(spent(&none), 0);
    }
}
