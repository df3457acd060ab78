//! Who the client is: the peer, or what a trusted proxy says about it.
//!
//! Not here: what is forwarded to the upstream (`proxy::headers`).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::config::TrustedHeader;
use crate::units::ClientIp;

/// Addresses of `X-Forwarded-For` that are looked at: a longer chain is no chain of proxies.
const MAX_HOPS: usize = 32;

/// Whether forwarding headers of the peer are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// In `trusted_proxies`: it continues the chain in this header.
    Trusted(TrustedHeader),
    /// Anyone else: whatever it says about forwarding is replaced.
    Untrusted,
}

/// The two ends of the connection as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The other end of the socket, or whom a PROXY protocol header names.
    pub peer: ClientIp,
    /// The client behind trusted proxies; the peer itself where there are none.
    pub ip: ClientIp,
    /// Whether the peer is believed.
    pub trust: Peer,
}

impl Client {
    /// Reads the header that trusted proxies write from the right past their addresses; the first other address is the
    /// client. An unreadable entry ends the walk: nothing left of it can be vouched for.
    pub fn identify(
        peer: SocketAddr,
        headers: &HeaderMap,
        trusted: &[IpNet],
        header: TrustedHeader,
    ) -> Self {
        let peer = ClientIp::new(peer.ip());
        let believed = |ip: IpAddr| trusted.iter().any(|net| net.contains(&ip));
        if !believed(peer.address()) {
            return Self {
                peer,
                ip: peer,
                trust: Peer::Untrusted,
            };
        }
        let mut ip = peer;
        let hops = headers
            .get_all(header.name())
            .into_iter()
            .rev()
            .flat_map(|line| Elements(Some(line.as_bytes())));
        for hop in hops.take(MAX_HOPS) {
            let address = match header {
                TrustedHeader::XForwardedFor => parse_hop(hop),
                TrustedHeader::Forwarded => forwarded_for(hop).and_then(parse_hop),
            };
            let Some(address) = address else { break };
            ip = ClientIp::new(address);
            if !believed(ip.address()) {
                break;
            }
        }
        Self {
            peer,
            ip,
            trust: Peer::Trusted(header),
        }
    }
}

/// The elements of a list from the last to the first. Read from the end, where trusted proxies have written: a quote
/// that a client left open further left cannot swallow what stands behind it.
struct Elements<'a>(Option<&'a [u8]>);

impl<'a> Iterator for Elements<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let list = self.0.take()?;
        let mut quoted = false;
        let comma = list.iter().rposition(|byte| {
            quoted ^= *byte == b'"';
            *byte == b',' && !quoted
        });
        let Some(comma) = comma else {
            return Some(list);
        };
        self.0 = list.get(..comma);
        list.get(comma + 1..)
    }
}

/// The address in an element of `Forwarded` (RFC 7239): its only `for`, without quotes. Addresses need no escapes, so
/// an element with one is not read.
fn forwarded_for(element: &[u8]) -> Option<&[u8]> {
    if element.contains(&b'\\') {
        return None;
    }
    let mut quoted = false;
    let mut found = None;
    let pairs = element.split(|byte| {
        quoted ^= *byte == b'"';
        *byte == b';' && !quoted
    });
    for pair in pairs {
        let Some(equals) = pair.iter().position(|byte| *byte == b'=') else {
            continue;
        };
        let (name, value) = pair.split_at(equals);
        if name.trim_ascii().eq_ignore_ascii_case(b"for")
            && found.replace(value.get(1..)?.trim_ascii()).is_some()
        {
            return None;
        }
    }
    let value = found?;
    value
        .strip_prefix(b"\"")
        .map_or(Some(value), |open| open.strip_suffix(b"\""))
}

/// `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]:80`.
fn parse_hop(hop: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(hop).ok()?.trim();
    text.parse()
        .ok()
        .or_else(|| text.parse::<SocketAddr>().ok().map(|socket| socket.ip()))
        .or_else(|| text.strip_prefix('[')?.strip_suffix(']')?.parse().ok())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use http::HeaderValue;

    const XFF: TrustedHeader = TrustedHeader::XForwardedFor;

    fn identify(peer: &str, header: TrustedHeader, chains: &[&'static str]) -> (String, bool) {
        let mut headers = HeaderMap::new();
        for chain in chains {
            headers.append(header.name(), HeaderValue::from_static(chain));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let peer = SocketAddr::new(peer.parse().unwrap(), 1);
        let client = Client::identify(peer, &headers, &trusted, header);
        (client.ip.to_string(), client.trust != Peer::Untrusted)
    }

    #[test]
    fn only_trusted_peers_are_believed_and_only_to_the_first_stranger() {
        let of = |ip: &str, trusted| (ip.to_owned(), trusted);
        assert_eq!(
            identify("192.0.2.1", XFF, &["1.1.1.1"]),
            of("192.0.2.1", false)
        );
        for (peer, chains, client) in [
            ("10.0.0.1", &[][..], "10.0.0.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.9.9.9"], "1.1.1.1"),
            (
                "::ffff:10.0.0.1",
                &["6.6.6.6", "[2001:db8::1]:443"],
                "2001:db8::1",
            ),
            ("::1", &["6.6.6.6, ::ffff:10.0.0.9"], "6.6.6.6"),
            ("::1", &["1.1.1.1, garbage"], "::1"),
            ("::1", &["1.1.1.1,"], "::1"),
            ("::1", &["10.0.0.2:99"], "10.0.0.2"),
        ] {
            assert_eq!(identify(peer, XFF, chains), of(client, true), "{chains:?}");
        }
    }

    #[test]
    fn forwarded_is_read_from_the_end_whatever_stands_before() {
        for (chains, client) in [
            (&["for=1.1.1.1"][..], "1.1.1.1"),
            (
                &["for=6.6.6.6, For=\"[2001:db8::1]:4711\";proto=https;by=10.0.0.1"],
                "2001:db8::1",
            ),
            (&["for=1.1.1.1, for=10.0.0.2;host=\"a,b;c\""], "1.1.1.1"),
            (&["for=1.1.1.1", "for=10.0.0.2"], "1.1.1.1"),
            // A client's open quote does not reach into what the proxy has added.
            (&["for=6.6.6.6;x=\", for=1.1.1.1"], "1.1.1.1"),
            (&["x=\", for=\"[2001:db8::1]\""], "2001:db8::1"),
            (&["for=6.6.6.6, for=unknown"], "10.0.0.1"),
            (&["for=6.6.6.6, for=_hidden"], "10.0.0.1"),
            (&["for=6.6.6.6, proto=https"], "10.0.0.1"),
            (&["for=6.6.6.6;for=1.1.1.1"], "10.0.0.1"),
            (&["for=\"1.1.1.1"], "10.0.0.1"),
            (&["for=\"1.1.1.\\1\""], "10.0.0.1"),
        ] {
            let found = identify("10.0.0.1", TrustedHeader::Forwarded, chains);
            assert_eq!(found, (client.to_owned(), true), "{chains:?}");
        }
        // Only the header that the operator has named is believed.
        let mut headers = HeaderMap::new();
        headers.insert("forwarded", HeaderValue::from_static("for=6.6.6.6"));
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let client = Client::identify("10.0.0.1:1".parse().unwrap(), &headers, &trusted, XFF);
        assert_eq!(client.ip.to_string(), "10.0.0.1");
    }
}
