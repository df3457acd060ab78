//! Captured requests to request vectors: the capture is replayed in time order through the same client windows that
//! serve.
//!
//! Must not be here: training and scaling of the vectors.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::IpAddr;

use weir_features::{ClientKey, ClientWindows, REQUEST_WIDTH, RequestContext, RequestVector};

use super::held_out::in_time;
use crate::data::LabelledRequest;

/// Clients whose windows are kept while a capture is replayed.
const MAX_CLIENTS: usize = 1_000_000;

/// Share of requests that must carry client, time, status and size before a capture can train the request detector.
const COMPLETE: f64 = 0.8;

/// Requests below which a request detector would learn noise.
pub const LEAST_REQUESTS: usize = 50;

/// True when a capture carries what the request detector needs.
#[must_use]
#[expect(
    clippy::cast_precision_loss,
    reason = "request counts stay far below 2^52"
)]
pub fn complete(requests: &[LabelledRequest]) -> bool {
    let complete = requests.iter().filter(|request| {
        request.client.is_some()
            && request.time.is_some()
            && request.status.is_some()
            && request.response_bytes.is_some()
    });
    requests.len() >= LEAST_REQUESTS && complete.count() as f64 >= COMPLETE * requests.len() as f64
}

/// One vector for each request, in the order of `requests`.
#[must_use]
pub fn replay(requests: &[LabelledRequest]) -> Vec<RequestVector> {
    let windows = ClientWindows::new(MAX_CLIENTS);
    let mut vectors = vec![[f32::NAN; REQUEST_WIDTH]; requests.len()];
    for index in in_time(requests) {
        let (Some(request), Some(vector)) = (requests.get(index), vectors.get_mut(index)) else {
            continue;
        };
        let context = context(request);
        *vector = request
            .request
            .with_view(|view| windows.request(view, &context));
        if let (Some(status), Some(bytes)) = (request.status, request.response_bytes) {
            windows.response(context.client, context.time, status, bytes);
        }
    }
    vectors
}

fn context(request: &LabelledRequest) -> RequestContext {
    let client = request.client.as_deref().unwrap_or_default();
    let address: Option<IpAddr> = client.parse().ok();
    RequestContext {
        client: address.map_or_else(|| token(client), ClientKey::from),
        time: request.time.unwrap_or(0.0),
        private_address: address.is_some_and(|address| is_private(&address)),
        country: None,
    }
}

/// Captures may replace addresses by keyed tokens.
fn token(client: &str) -> ClientKey {
    let mut hasher = DefaultHasher::new();
    client.hash(&mut hasher);
    ClientKey(u128::from(hasher.finish()))
}

fn is_private(address: &IpAddr) -> bool {
    match address {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local(),
    }
}
