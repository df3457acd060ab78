//! What is said about a client on its way: claims of strangers are removed, chains of trusted proxies continued.
//!
//! Not here: who the client is (`listen::client`). A claim is any header that a proxy in front sets and an application
//! believes: an address, a scheme, the host or the path that were asked for.

use std::borrow::Cow;

use bytes::Bytes;
use http::header::{self, HeaderName, HeaderValue};
use http::{HeaderMap, Version};

use super::headers::{Scheme, via};
use crate::config::TrustedHeader;
use crate::listen::client::{Client, Peer};
use crate::units::ClientIp;

/// The chain of clients before the upstream.
const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
/// `http` or `https`, as the client came in.
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
/// The host that the client asked for.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// Claims beside `x-forwarded-*`: what nginx, Envoy, IIS, the large clouds and content networks send to origins.
const CLAIMS: [&str; 34] = [
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "fastly-client-ip",
    "forwarded",
    "forwarded-for",
    "front-end-https",
    "incap-client-ip",
    "proxy-client-ip",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-remote-addr",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-envoy-original-path",
    "x-forwarded",
    "x-host",
    "x-http-host-override",
    "x-original-forwarded-for",
    "x-original-host",
    "x-original-uri",
    "x-original-url",
    "x-originating-ip",
    "x-real-ip",
    "x-remote-addr",
    "x-remote-ip",
    "x-request-id",
    "x-rewrite-url",
    "x-scheme",
];

/// Whether a header, in lower case with hyphens, is a claim.
pub(super) fn is_claim(name: &str) -> bool {
    name.starts_with("x-forwarded-") || CLAIMS.contains(&name)
}

/// Removes headers that only this proxy, or only a trusted peer, may set: also under names that an origin which
/// maps headers to variables (CGI, WSGI) cannot tell apart, such as `X_Weir_Verdict`.
pub(super) fn remove_claims(headers: &mut HeaderMap, trust: Peer) {
    let forged: Vec<HeaderName> = headers
        .keys()
        .filter(|name| is_forged(name.as_str(), trust))
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

fn is_forged(name: &str, trust: Peer) -> bool {
    if !name.starts_with(['x', 'f', 'c', 'i', 'p', 't', 'w']) {
        return false;
    }
    let spelled = if name.contains(['_', '.']) {
        Cow::Owned(name.replace(['_', '.'], "-"))
    } else {
        Cow::Borrowed(name)
    };
    if spelled.starts_with("x-weir-") {
        return true;
    }
    is_claim(&spelled)
        && match trust {
            Peer::Untrusted => true,
            // A proxy that writes one chain passes on what a client has put into the other.
            Peer::Trusted(header) => spelled != name || name == other(header).as_str(),
        }
}

fn other(header: TrustedHeader) -> HeaderName {
    match header {
        TrustedHeader::XForwardedFor => header::FORWARDED,
        TrustedHeader::Forwarded => FORWARDED_FOR,
    }
}

/// Adds the forwarding headers. The chain that a trusted peer writes is continued. The other one begins anew with the
/// client that we have found, and so do both for anybody else.
pub(super) fn stamp(
    headers: &mut HeaderMap,
    client: &Client,
    peer: &Peered,
    scheme: Scheme,
    version: Version,
) {
    let behind = matches!(client.trust, Peer::Trusted(_)) && client.ip != client.peer;
    let found = |name: &HeaderName| match client.trust {
        Peer::Trusted(header) if behind && *name == other(header) => Some(client.ip),
        _ => None,
    };
    if let Some(ip) = found(&FORWARDED_FOR) {
        append_to_list(headers, FORWARDED_FOR, Peered::new(ip).address);
    }
    append_to_list(headers, FORWARDED_FOR, peer.address.clone());
    if !headers.contains_key(FORWARDED_PROTO) {
        headers.insert(FORWARDED_PROTO, HeaderValue::from_static(scheme.name()));
    }
    let host = headers.get(header::HOST).cloned();
    let of_host = host.as_ref().map_or(0, HeaderValue::len);
    let mut element = Vec::with_capacity(peer.node.len() + of_host + OF_ELEMENT);
    element.extend_from_slice(peer.node.as_bytes());
    if let Some(host) = host {
        // The guard has let through no quote or backslash in it.
        if host.to_str().is_ok() {
            element.extend_from_slice(b";host=\"");
            element.extend_from_slice(host.as_bytes());
            element.push(b'"');
        }
        if !headers.contains_key(FORWARDED_HOST) {
            headers.insert(FORWARDED_HOST, host);
        }
    }
    element.extend_from_slice(b";proto=");
    element.extend_from_slice(scheme.name().as_bytes());
    if let Some(ip) = found(&header::FORWARDED)
        && let Ok(node) = HeaderValue::from_str(&node(ip))
    {
        append_to_list(headers, header::FORWARDED, node);
    }
    if let Ok(element) = HeaderValue::from_maybe_shared(Bytes::from(element)) {
        append_to_list(headers, header::FORWARDED, element);
    }
    headers.append(header::VIA, via(version));
}

/// `;host="";proto=https`.
const OF_ELEMENT: usize = 21;

/// The other end of a connection in the words of both chains, found once for all its requests.
#[derive(Debug)]
pub(super) struct Peered {
    address: HeaderValue,
    node: String,
}

impl Peered {
    pub(super) fn new(ip: ClientIp) -> Self {
        // Addresses are plain ASCII.
        let address = HeaderValue::from_str(&ip.to_string());
        Self {
            address: address.unwrap_or_else(|_| HeaderValue::from_static("unknown")),
            node: node(ip),
        }
    }
}

/// An address as RFC 7239 writes it.
fn node(ip: ClientIp) -> String {
    if ip.address().is_ipv6() {
        format!("for=\"[{ip}]\"")
    } else {
        format!("for={ip}")
    }
}

fn append_to_list(headers: &mut HeaderMap, name: HeaderName, element: HeaderValue) {
    let mut list = Vec::new();
    for line in headers.get_all(&name) {
        list.extend_from_slice(line.as_bytes());
        list.extend_from_slice(b", ");
    }
    if list.is_empty() {
        headers.insert(name, element);
        return;
    }
    list.extend_from_slice(element.as_bytes());
    if let Ok(value) = HeaderValue::from_bytes(&list) {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    const XFF: TrustedHeader = TrustedHeader::XForwardedFor;

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

    /// What the upstream gets of `pairs` from `peer` when 10.0.0.0/8 is trusted.
    fn forwarded(peer: &str, header: TrustedHeader, pairs: &[(&str, &str)]) -> HeaderMap {
        let mut headers = map(pairs);
        let peer = format!("{peer}:9").parse().unwrap();
        let client = Client::identify(peer, &headers, &["10.0.0.0/8".parse().unwrap()], header);
        remove_claims(&mut headers, client.trust);
        let peer = Peered::new(client.peer);
        stamp(&mut headers, &client, &peer, Scheme::Http, Version::HTTP_2);
        headers
    }

    #[test]
    fn nobody_forges_our_headers_under_any_spelling() {
        let forged = [
            ("x-weir-verdict", "pass"),
            ("x_weir_score", "0"),
            ("X-Weir-Anything", "1"),
            ("x_forwarded_for", "1.1.1.1"),
            ("x-forwarded_host", "evil"),
            ("x_real_ip", "1.1.1.1"),
            ("client_ip", "1.1.1.1"),
        ];
        let mut headers = map(&forged);
        remove_claims(&mut headers, Peer::Trusted(XFF));
        assert!(headers.is_empty(), "{headers:?}");
    }

    #[test]
    fn only_trusted_peers_make_claims() {
        let mut headers = map(&[("x-forwarded-for", "1.1.1.1"), ("x-forwarded-port", "1")]);
        for claim in CLAIMS {
            headers.insert(claim, HeaderValue::from_static("1.1.1.1"));
        }
        let honest = map(&[
            ("x-api-key", "1"),
            ("cookie", "1"),
            ("te", "1"),
            ("x-weirdo", "1"),
        ]);
        headers.extend(honest.clone());
        let mut trusted = headers.clone();
        remove_claims(&mut trusted, Peer::Trusted(XFF));
        assert_eq!(trusted.len(), headers.len() - 1);
        assert!(!trusted.contains_key("forwarded"));
        remove_claims(&mut headers, Peer::Untrusted);
        assert_eq!(headers, honest);
    }

    #[test]
    fn a_trusted_chain_is_continued_and_another_replaced() {
        let start = [
            ("host", "shop.example:8443"),
            ("x-forwarded-for", "6.6.6.6, 1.2.3.4"),
            ("forwarded", "for=7.7.7.7"),
            ("x-forwarded-proto", "https"),
        ];
        let headers = forwarded("10.0.0.1", XFF, &start);
        assert_eq!(headers["x-forwarded-for"], "6.6.6.6, 1.2.3.4, 10.0.0.1");
        assert_eq!(headers["x-forwarded-proto"], "https");
        assert_eq!(
            headers["forwarded"],
            "for=1.2.3.4, for=10.0.0.1;host=\"shop.example:8443\";proto=http"
        );

        let headers = forwarded("10.0.0.1", TrustedHeader::Forwarded, &start);
        assert_eq!(headers["x-forwarded-for"], "7.7.7.7, 10.0.0.1");
        assert_eq!(
            headers["forwarded"],
            "for=7.7.7.7, for=10.0.0.1;host=\"shop.example:8443\";proto=http"
        );

        let headers = forwarded("[2001:db8::1]", XFF, &start);
        assert_eq!(headers["x-forwarded-for"], "2001:db8::1");
        assert_eq!(headers["x-forwarded-proto"], "http");
        assert_eq!(headers["x-forwarded-host"], "shop.example:8443");
        assert_eq!(
            headers["forwarded"],
            "for=\"[2001:db8::1]\";host=\"shop.example:8443\";proto=http"
        );
        assert_eq!(headers["via"], "2 weir");
    }
}
