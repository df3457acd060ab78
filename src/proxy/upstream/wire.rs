//! A request's head in the form that the version of its connection wants.
//!
//! Not here: what an upstream may learn (`headers`). The target and every field stay what was inspected; only where
//! the host is written changes, and what frames the body.

use http::header::{self, HeaderMap, HeaderValue};
use http::uri::{Authority, Parts, PathAndQuery, Scheme};
use http::{Request, Uri, Version};

use crate::proxy::outgoing::UpstreamBody;

/// Rewrites the head for an HTTP/2 connection: the host is part of the target and nothing speaks of connections.
/// `authority` stands in for a host that the client did not name.
pub(super) fn to_http2(
    request: &mut Request<UpstreamBody>,
    scheme: &Scheme,
    authority: &Authority,
) {
    if request.version() == Version::HTTP_2 {
        return;
    }
    *request.version_mut() = Version::HTTP_2;
    let headers = request.headers_mut();
    for name in [
        header::CONNECTION,
        header::UPGRADE,
        header::TRANSFER_ENCODING,
    ] {
        headers.remove(name);
    }
    // Trailers are taken from every upstream; gRPC servers insist on being told.
    headers.insert(header::TE, HeaderValue::from_static("trailers"));
    let named = headers
        .remove(header::HOST)
        .and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = Parts::default();
    parts.scheme = Some(scheme.clone());
    parts.authority = Some(named.unwrap_or_else(|| authority.clone()));
    parts.path_and_query = Some(target(request.uri()));
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The way back, for a request that could not be sent over HTTP/2 and goes to another endpoint.
pub(super) fn to_http1(request: &mut Request<UpstreamBody>) {
    if request.version() != Version::HTTP_2 {
        return;
    }
    *request.version_mut() = Version::HTTP_11;
    let host = request
        .uri()
        .authority()
        .and_then(|authority| HeaderValue::from_str(authority.as_str()).ok());
    *request.uri_mut() = Uri::from(target(request.uri()));
    let unknown = http_body::Body::size_hint(request.body()).exact().is_none();
    let headers = request.headers_mut();
    headers.remove(header::TE);
    if let Some(host) = host {
        headers.insert(header::HOST, host);
    }
    if unknown {
        chunked(headers);
    }
}

/// Frames a body of unknown length. hyper assumes that a GET or HEAD of unknown length has no body, and would drop what
/// was inspected.
pub(in crate::proxy) fn chunked(headers: &mut HeaderMap) {
    headers.remove(header::CONTENT_LENGTH);
    headers.insert(
        header::TRANSFER_ENCODING,
        HeaderValue::from_static("chunked"),
    );
}

fn target(uri: &Uri) -> PathAndQuery {
    uri.path_and_query()
        .cloned()
        .unwrap_or_else(|| PathAndQuery::from_static("/"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn request(target: &str, fields: &[(&'static str, &'static str)]) -> Request<UpstreamBody> {
        let mut request = Request::new(UpstreamBody::empty());
        *request.uri_mut() = target.parse().unwrap();
        for (name, value) in fields {
            request
                .headers_mut()
                .append(*name, HeaderValue::from_static(value));
        }
        request
    }

    #[test]
    fn the_host_moves_into_the_target_and_back() {
        let fallback = Authority::from_static("10.0.0.1:80");
        let mut moved = request(
            "/a?b=1",
            &[
                ("host", "shop.example:8443"),
                ("connection", "upgrade"),
                ("upgrade", "websocket"),
                ("x-kept", "1"),
            ],
        );
        to_http2(&mut moved, &Scheme::HTTP, &fallback);
        assert_eq!(moved.uri(), "http://shop.example:8443/a?b=1");
        assert_eq!(moved.version(), Version::HTTP_2);
        let mut names: Vec<_> = moved.headers().keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        assert_eq!(names, ["te", "x-kept"]);
        to_http1(&mut moved);
        assert_eq!(moved.uri(), "/a?b=1");
        assert_eq!(moved.headers()["host"], "shop.example:8443");
        assert!(!moved.headers().contains_key("te"));
    }

    #[test]
    fn a_request_without_a_host_is_for_the_endpoint_itself() {
        let mut nameless = request("*", &[]);
        *nameless.method_mut() = http::Method::OPTIONS;
        to_http2(
            &mut nameless,
            &Scheme::HTTP,
            &Authority::from_static("10.0.0.1:80"),
        );
        assert_eq!(nameless.uri().authority().unwrap(), "10.0.0.1:80");
        assert_eq!(nameless.uri().path_and_query().unwrap(), "*");
    }
}
