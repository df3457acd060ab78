//! Who the client is: the peer, or what a trusted proxy says about it.
//!
//! Not here: what is forwarded to the upstream (`proxy::headers`).

use std::net::{IpAddr, SocketAddr};

use http::HeaderMap;
use ipnet::IpNet;

use crate::units::ClientIp;

/// Addresses of `X-Forwarded-For` that are looked at: a longer chain is no chain of proxies.
const MAX_HOPS: usize = 32;

/// Whether forwarding headers of the peer are believed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Peer {
    /// In `trusted_proxies`.
    Trusted,
    /// Anyone else: whatever it says about forwarding is replaced.
    Untrusted,
}

/// The two ends of the connection as far as they are known.
#[derive(Debug, Clone, Copy)]
pub struct Client {
    /// The other end of the socket.
    pub peer: ClientIp,
    /// The client behind trusted proxies; the peer itself where there are none.
    pub ip: ClientIp,
    /// Whether the peer is believed.
    pub trust: Peer,
}

impl Client {
    /// Reads `X-Forwarded-For` from the right past trusted proxies; the first other address is the client. An
    /// unreadable entry ends the walk: nothing left of it can be vouched for.
    pub fn identify(peer: SocketAddr, headers: &HeaderMap, trusted: &[IpNet]) -> Self {
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
            .get_all("x-forwarded-for")
            .into_iter()
            .rev()
            .flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        for hop in hops.take(MAX_HOPS) {
            let Some(address) = parse_hop(hop) else { break };
            ip = ClientIp::new(address);
            if !believed(ip.address()) {
                break;
            }
        }
        Self {
            peer,
            ip,
            trust: Peer::Trusted,
        }
    }
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

    fn identify(peer: &str, chains: &[&'static str]) -> (String, Peer) {
        let mut headers = HeaderMap::new();
        for chain in chains {
            headers.append("x-forwarded-for", HeaderValue::from_static(chain));
        }
        let trusted = ["10.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()];
        let client = Client::identify(
            SocketAddr::new(peer.parse().unwrap(), 1),
            &headers,
            &trusted,
        );
        (client.ip.to_string(), client.trust)
    }

    #[test]
    fn only_trusted_peers_are_believed_and_only_to_the_first_stranger() {
        use Peer::{Trusted, Untrusted};
        let of = |ip: &str, trust| (ip.to_owned(), trust);
        assert_eq!(
            identify("192.0.2.1", &["1.1.1.1"]),
            of("192.0.2.1", Untrusted)
        );
        assert_eq!(identify("10.0.0.1", &[]), of("10.0.0.1", Trusted));
        assert_eq!(
            identify("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.9.9.9"]),
            of("1.1.1.1", Trusted)
        );
        assert_eq!(
            identify("::ffff:10.0.0.1", &["6.6.6.6", "[2001:db8::1]:443"]),
            of("2001:db8::1", Trusted)
        );
        assert_eq!(identify("::1", &["1.1.1.1, garbage"]), of("::1", Trusted));
        assert_eq!(identify("::1", &["10.0.0.2:99"]), of("10.0.0.2", Trusted));
    }
}
