//! Answers that the proxy gives itself: what happened, on which side, and the request id to ask about it.
//!
//! Not here: why a request was blocked in detail. The reason is for the operator (audit, `score --explain`); telling
//! an attacker which field gave them away would teach them.

use std::fmt;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{HeaderMap, Response, StatusCode};

use super::body::BodyError;
use super::grpc;
use super::guard::Refusal;
use super::headers::REQUEST_ID;
use super::upstream::UpstreamError;
use crate::runtime::RetryAfter;
use crate::units::RequestId;

/// `Retry-After` where no better figure is known.
const RETRY_SECONDS: u64 = 2;

/// Why the proxy answers instead of the upstream: one variant for each thing a client can meet.
#[derive(Debug)]
pub enum Interruption {
    /// The head is ambiguous or too large.
    Refused(Refusal),
    /// There are as many connections as `limits.connections` allows.
    Crowded,
    /// The client has as many as `limits.connections_per_client` allows.
    ClientCrowded,
    /// No route matches host and path.
    NoRoute,
    /// The detector blocks it.
    Blocked,
    /// The inspection failed and the route fails closed.
    NotInspected,
    /// The client is over its rate.
    RateLimited(RetryAfter),
    /// The body could not be read or is too long.
    Body(BodyError),
    /// The upstream did not answer.
    Upstream(UpstreamError),
    /// There are as many requests in flight as `limits.requests` allows.
    Overloaded,
    /// A panic, or a state that should not be.
    Internal,
}

/// Who has to do something about an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Client,
    Proxy,
    Upstream,
}

impl fmt::Display for Side {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Client => "client",
            Self::Proxy => "proxy",
            Self::Upstream => "upstream",
        })
    }
}

/// One row of the table below.
struct Text {
    status: StatusCode,
    /// Stable, for JSON, metrics and records.
    error: &'static str,
    side: Side,
    message: &'static str,
}

impl Interruption {
    /// The one place that maps a cause to an answer.
    fn text(&self) -> Text {
        use StatusCode as S;
        let of = |status, error, side, message| Text {
            status,
            error,
            side,
            message,
        };
        match self {
            Self::Refused(refusal) if refusal.status() == S::REQUEST_TIMEOUT => of(
                S::REQUEST_TIMEOUT,
                refusal.name(),
                Side::Client,
                "This request did not arrive in time.",
            ),
            Self::Crowded => of(
                S::SERVICE_UNAVAILABLE,
                "too_many_connections",
                Side::Proxy,
                "This server has too many connections. Please try again.",
            ),
            Self::ClientCrowded => of(
                S::TOO_MANY_REQUESTS,
                "too_many_connections",
                Side::Client,
                "Too many connections from your address. Please close some.",
            ),
            Self::Refused(refusal) => of(
                refusal.status(),
                refusal.name(),
                Side::Client,
                "This request is malformed or too large.",
            ),
            Self::NoRoute => of(
                S::NOT_FOUND,
                "no_route",
                Side::Client,
                "Nothing is served at this address.",
            ),
            Self::Blocked => of(
                S::FORBIDDEN,
                "blocked",
                Side::Client,
                "This request was blocked because it does \
                not look like an ordinary request to this site. If it was one, tell the site's operator the request id.",
            ),
            Self::NotInspected => of(
                S::SERVICE_UNAVAILABLE,
                "not_inspected",
                Side::Proxy,
                "This request could not be inspected. Please try again.",
            ),
            Self::RateLimited(_) => of(
                S::TOO_MANY_REQUESTS,
                "rate_limited",
                Side::Client,
                "Too many requests. Please wait before the next one.",
            ),
            Self::Body(BodyError::TooLarge) => of(
                S::PAYLOAD_TOO_LARGE,
                "body_too_large",
                Side::Client,
                "The body of this request is larger than accepted here.",
            ),
            Self::Body(BodyError::Timeout)
            | Self::Upstream(UpstreamError::Client(BodyError::Timeout)) => of(
                S::REQUEST_TIMEOUT,
                "body_timeout",
                Side::Client,
                "The body of this request did not arrive in time.",
            ),
            Self::Body(BodyError::Busy) => of(
                S::SERVICE_UNAVAILABLE,
                "overloaded",
                Side::Proxy,
                "Too many large requests are being inspected. Please try again.",
            ),
            Self::Body(BodyError::Blocked) => Self::Blocked.text(),
            Self::Body(BodyError::NotInspected) => Self::NotInspected.text(),
            Self::Body(BodyError::Broken) | Self::Upstream(UpstreamError::Client(_)) => of(
                S::BAD_REQUEST,
                "body_broken",
                Side::Client,
                "The body of this request broke off or is malformed.",
            ),
            Self::Upstream(UpstreamError::Busy { .. }) => of(
                S::SERVICE_UNAVAILABLE,
                "upstream_busy",
                Side::Upstream,
                "The application is busy. Please try again.",
            ),
            Self::Upstream(UpstreamError::Down) => of(
                S::SERVICE_UNAVAILABLE,
                "upstream_down",
                Side::Upstream,
                "The application is down. Please try again later.",
            ),
            Self::Upstream(UpstreamError::Unresolved(_)) => of(
                S::BAD_GATEWAY,
                "upstream_unresolved",
                Side::Upstream,
                "The application cannot be found.",
            ),
            Self::Upstream(UpstreamError::Connect(_)) => of(
                S::BAD_GATEWAY,
                "upstream_unreachable",
                Side::Upstream,
                "The application cannot be reached.",
            ),
            Self::Upstream(UpstreamError::Broken(_) | UpstreamError::UnwantedSwitch) => of(
                S::BAD_GATEWAY,
                "upstream_broken",
                Side::Upstream,
                "The application gave no valid answer.",
            ),
            Self::Upstream(UpstreamError::ConnectTimeout) => of(
                S::GATEWAY_TIMEOUT,
                "upstream_connect_timeout",
                Side::Upstream,
                "The application cannot be reached in time.",
            ),
            Self::Upstream(UpstreamError::ResponseTimeout) => of(
                S::GATEWAY_TIMEOUT,
                "upstream_response_timeout",
                Side::Upstream,
                "The application did not answer in time.",
            ),
            Self::Overloaded => of(
                S::SERVICE_UNAVAILABLE,
                "busy",
                Side::Proxy,
                "This server has too much to do. Please try again.",
            ),
            Self::Internal => of(
                S::INTERNAL_SERVER_ERROR,
                "internal",
                Side::Proxy,
                "This proxy failed on the request.",
            ),
        }
    }

    /// A short stable name for metrics and records.
    pub fn name(&self) -> &'static str {
        self.text().error
    }

    /// Whether it is that a request body broke off.
    pub fn is_broken_body(&self) -> bool {
        matches!(
            self,
            Self::Body(BodyError::Broken)
                | Self::Upstream(UpstreamError::Client(BodyError::Broken))
        )
    }

    /// The status that the client sees.
    pub fn status(&self) -> StatusCode {
        self.text().status
    }

    fn retry_after(&self) -> Option<u64> {
        match self {
            Self::RateLimited(RetryAfter(seconds)) => Some(*seconds),
            Self::ClientCrowded => Some(RETRY_SECONDS),
            _ if self.status() == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_SECONDS),
            _ => None,
        }
    }

    /// Whether what follows on the connection may be anything.
    fn closes(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.closes(),
            Self::Crowded | Self::ClientCrowded | Self::Body(BodyError::Timeout) => true,
            _ => self.is_broken_body(),
        }
    }
}

/// What a client can read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// A page.
    Html,
    /// An object.
    Json,
    /// Lines.
    Text,
    /// A status of gRPC.
    Grpc,
}

impl Format {
    /// A status for calls of gRPC; JSON, or else plain text, for clients that ask for it and not for HTML, as scripts and applications do; pages for
    /// all others.
    pub fn accepted(headers: &HeaderMap) -> Self {
        if grpc::is_call(headers) {
            return Self::Grpc;
        }
        let (mut json, mut text) = (false, false);
        for line in headers.get_all(header::ACCEPT) {
            for kind in line.as_bytes().split(|byte| *byte == b',') {
                let kind = kind
                    .split(|byte| *byte == b';')
                    .next()
                    .unwrap_or_default()
                    .trim_ascii();
                let is = |name: &[u8]| kind.eq_ignore_ascii_case(name);
                if is(b"text/html") || is(b"application/xhtml+xml") {
                    return Self::Html;
                }
                let suffix = kind.len().checked_sub(b"+json".len());
                let suffix = suffix.and_then(|at| kind.get(at..)).unwrap_or_default();
                json |= is(b"application/json") || suffix.eq_ignore_ascii_case(b"+json");
                text |= is(b"text/plain");
            }
        }
        match (json, text) {
            (true, _) => Self::Json,
            (false, true) => Self::Text,
            (false, false) => Self::Html,
        }
    }
}

/// The answer to an interrupted request.
pub fn respond(why: &Interruption, format: Format, id: &RequestId) -> Response<Bytes> {
    let text = why.text();
    let (content_type, body) = match format {
        Format::Html => ("text/html; charset=utf-8", html(&text, id)),
        Format::Json => ("application/json", json(&text, id)),
        Format::Text => ("text/plain; charset=utf-8", plain(&text, id)),
        Format::Grpc => (grpc::CONTENT_TYPE, String::new()),
    };
    let mut response = Response::new(Bytes::from(body));
    *response.status_mut() = text.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(REQUEST_ID, id_value(id));
    if format == Format::Grpc {
        grpc::stamp(headers, text.status, text.message, id);
    }
    if let Some(seconds) = why.retry_after() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
    if text.status == StatusCode::METHOD_NOT_ALLOWED {
        headers.insert(
            header::ALLOW,
            HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"),
        );
    }
    if why.closes() {
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// The answer to a connection that is turned away before it has sent a request.
pub(crate) fn raw(why: &Interruption) -> Vec<u8> {
    let id = RequestId::fresh(SystemTime::now());
    let response = respond(why, Format::Html, &id);
    let mut out = format!("HTTP/1.1 {}\r\n", response.status()).into_bytes();
    for (name, value) in response.headers() {
        out.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    let length = response.body().len();
    out.extend(format!("content-length: {length}\r\n\r\n").bytes());
    out.extend_from_slice(response.body());
    out
}

/// The id as a header value.
pub fn id_value(id: &RequestId) -> HeaderValue {
    // Its characters are plain ASCII by construction; an empty value would only lose the id.
    HeaderValue::from_str(id.as_str()).unwrap_or_else(|_| HeaderValue::from_static(""))
}

fn html(text: &Text, id: &RequestId) -> String {
    let title = text.status.canonical_reason().unwrap_or("Error");
    let code = text.status.as_u16();
    let side = text.side;
    let message = text.message;
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"robots\" content=\"noindex\">\
         <meta name=\"viewport\" content=\"width=device-width\"><title>{code} {title}</title></head>\n\
         <body style=\"font:1rem/1.5 system-ui,sans-serif;max-width:40rem;margin:10vh auto;padding:0 1rem\">\n\
         <h1>{code} {title}</h1>\n<p>{message}</p>\n\
         <p>Request id: <code>{id}</code><br><small>Side: {side}</small></p>\n</body></html>\n"
    )
}

fn plain(text: &Text, id: &RequestId) -> String {
    let title = text.status.canonical_reason().unwrap_or("Error");
    let code = text.status.as_u16();
    format!(
        "{code} {title}\n{}\nRequest id: {id}\nSide: {}\n",
        text.message, text.side
    )
}

fn json(text: &Text, id: &RequestId) -> String {
    let object = serde_json::json!({
        "status": text.status.as_u16(),
        "error": text.error,
        "side": text.side.to_string(),
        "message": text.message,
        "request_id": id.as_str(),
    });
    format!("{object}\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn accepted(value: &'static str) -> Format {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static(value));
        Format::accepted(&headers)
    }

    #[test]
    fn json_only_for_those_who_do_not_read_html() {
        assert_eq!(accepted("application/json, text/plain, */*"), Format::Json);
        assert_eq!(accepted("application/problem+json"), Format::Json);
        assert_eq!(accepted("text/html,application/json;q=0.9"), Format::Html);
        assert_eq!(accepted("text/plain, */*"), Format::Text);
        assert_eq!(accepted("text/plain, text/html"), Format::Html);
        assert_eq!(accepted("*/*"), Format::Html);
        assert_eq!(Format::accepted(&HeaderMap::new()), Format::Html);
    }

    #[test]
    fn answers_carry_the_id_and_say_which_side_failed() {
        let id = RequestId::received(b"abc-1").unwrap();
        let timeout = Interruption::Upstream(UpstreamError::ResponseTimeout);
        let response = respond(&timeout, Format::Json, &id);
        assert_eq!(response.status(), 504);
        assert_eq!(response.headers()["x-request-id"], "abc-1");
        let body: serde_json::Value = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(body["side"], "upstream");
        assert_eq!(body["request_id"], "abc-1");
        let limited = respond(&Interruption::RateLimited(RetryAfter(7)), Format::Html, &id);
        assert_eq!(limited.headers()["retry-after"], "7");
        assert!(
            std::str::from_utf8(limited.body())
                .unwrap()
                .contains("abc-1")
        );
    }
}
