//! What a client of gRPC understands of our own answers: a status in the head and no body (a "Trailers-Only" response).
//!
//! Not here: calls that the upstream answers, which pass like everything else. The HTTP status stays what it is for
//! everyone else, so that records and balancers see it too.

use std::fmt::Write;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, StatusCode};

use crate::units::RequestId;

pub(super) const CONTENT_TYPE: &str = "application/grpc";
const STATUS: HeaderName = HeaderName::from_static("grpc-status");
const MESSAGE: HeaderName = HeaderName::from_static("grpc-message");

/// Whether a request is a call. Calls of gRPC-Web come from browsers, which read pages.
pub(super) fn is_call(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.as_bytes().strip_prefix(CONTENT_TYPE.as_bytes()))
        .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';')))
}

/// Says in the head of an answer what its page would say.
pub(super) fn stamp(headers: &mut HeaderMap, status: StatusCode, message: &str, id: &RequestId) {
    headers.insert(STATUS, HeaderValue::from(code(status)));
    let mut text = String::new();
    for byte in message.bytes() {
        // The protocol's percent-encoding: everything but printable ASCII, and `%` itself.
        if matches!(byte, b' '..=b'~') && byte != b'%' {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    let _ = write!(text, " Request id: {id}");
    if let Ok(text) = HeaderValue::from_str(&text) {
        headers.insert(MESSAGE, text);
    }
}

/// gRPC's own table (doc/http-grpc-status-mapping.md), and what it leaves to "unknown" where there is a better word.
fn code(status: StatusCode) -> u16 {
    match status {
        StatusCode::BAD_REQUEST => 13,
        StatusCode::UNAUTHORIZED => 16,
        StatusCode::FORBIDDEN => 7,
        StatusCode::NOT_FOUND => 12,
        StatusCode::REQUEST_TIMEOUT => 4,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE => 8,
        StatusCode::TOO_MANY_REQUESTS
        | StatusCode::BAD_GATEWAY
        | StatusCode::SERVICE_UNAVAILABLE
        | StatusCode::GATEWAY_TIMEOUT => 14,
        _ => 2,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;
    use std::time::UNIX_EPOCH;

    #[test]
    fn calls_are_told_from_look_alikes() {
        let of = |kind: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
            is_call(&headers)
        };
        assert!(of("application/grpc") && of("application/grpc+proto") && of("application/grpc;x"));
        assert!(
            !of("application/grpc-web+proto") && !of("application/grpcish") && !of("text/html")
        );
        assert!(!is_call(&HeaderMap::new()));
    }

    #[test]
    fn a_status_is_said_in_the_head() {
        let mut headers = HeaderMap::new();
        let id = RequestId::fresh(UNIX_EPOCH);
        stamp(
            &mut headers,
            StatusCode::FORBIDDEN,
            "not 100 % \u{e9}.",
            &id,
        );
        assert_eq!(headers["grpc-status"], "7");
        assert_eq!(
            headers["grpc-message"],
            format!("not 100 %25 %C3%A9. Request id: {id}")
        );
    }
}
