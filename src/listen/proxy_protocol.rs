//! The PROXY protocol, versions 1 and 2: a load balancer that passes bytes on says before them whose they are.
//!
//! Not here: `X-Forwarded-For` (`client`), and grammar, which `ppp` knows. Only peers that the listener names are asked
//! for a header, and those must send one: a header that is merely possible lets every client choose its address.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use ipnet::IpNet;
use ppp::{PartialResult, v1, v2};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::proxy::headers::Scheme;

/// The longest line of version 1, with its end.
const LONGEST_LINE: usize = 107;
/// Bytes of a version 2 header: addresses take at most 232, the rest are extensions, of which a client certificate
/// is the largest that senders add.
const LONGEST_HEADER: usize = 16 * 1024;
/// How version 2 begins, up to its length.
const FIXED_PART: usize = 16;
/// Client flags of the TLS extension: the connection to the balancer was over TLS.
const OVER_TLS: u8 = 0x01;

/// Why a connection is closed for its header.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    /// The bytes are no header. The listener expects one from this peer.
    #[error(
        "it sent no PROXY protocol header; let it send one (HAProxy: `send-proxy-v2`, nginx: `proxy_protocol on`) or take its \
         network out of `proxy_protocol`"
    )]
    Missing,
    /// A line of version 1 that says nothing valid.
    #[error("its PROXY protocol line is malformed: {0}")]
    Line(#[from] v1::BinaryParseError),
    /// A header of version 2 that says nothing valid.
    #[error("its PROXY protocol header is malformed: {0}")]
    Binary(#[from] v2::ParseError),
    /// Longer than any sender's.
    #[error("its PROXY protocol header is longer than {LONGEST_HEADER} bytes")]
    TooLong,
    /// It is about another kind of socket.
    #[error("its PROXY protocol header names a client that is not on TCP")]
    NotTcp,
    /// The connection broke before the header was whole.
    #[error("it broke off before its PROXY protocol header: {0}")]
    Broken(#[from] io::Error),
    /// The header did not come in time.
    #[error("it sent no whole PROXY protocol header in time")]
    Late,
}

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source {
    /// Address of the client, or of the peer when it speaks for itself (health checks).
    pub address: SocketAddr,
    /// How the client came to the peer, where the peer says so.
    pub scheme: Option<Scheme>,
}

/// What a header says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Header {
    /// The sender's own connection: its address is the client's.
    Own,
    /// A client's.
    Of(SocketAddr, Option<Scheme>),
}

/// Whose connection `stream` is: the peer's, unless it lies in `announcing`; then what its header says.
pub(super) async fn source(
    stream: &mut TcpStream,
    peer: SocketAddr,
    announcing: &[IpNet],
    patience: Duration,
) -> Result<Source, HeaderError> {
    let own = Source {
        address: peer,
        scheme: None,
    };
    if !announces(peer.ip(), announcing) {
        return Ok(own);
    }
    match timeout(patience, read(stream)).await {
        Err(_) => Err(HeaderError::Late),
        Ok(Err(error)) => Err(error),
        Ok(Ok(Header::Own)) => Ok(own),
        Ok(Ok(Header::Of(address, scheme))) => Ok(Source { address, scheme }),
    }
}

fn announces(peer: IpAddr, announcing: &[IpNet]) -> bool {
    let peer = peer.to_canonical();
    announcing.iter().any(|net| net.contains(&peer))
}

/// Takes the header off the stream and not a byte more: what follows is for TLS or HTTP.
async fn read(stream: &mut TcpStream) -> Result<Header, HeaderError> {
    let mut seen = Vec::with_capacity(FIXED_PART);
    let mut ahead = [0_u8; 512];
    loop {
        let taken = seen.len();
        let there = stream.peek(&mut ahead).await?;
        if there == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        seen.extend_from_slice(ahead.get(..there).unwrap_or_default());
        let parsed = parse(&seen)?;
        let length = parsed.map_or(seen.len(), |(_, length)| length);
        // No more than was there: this does not wait.
        let take = length.saturating_sub(taken).min(there);
        stream
            .read_exact(ahead.get_mut(..take).unwrap_or_default())
            .await?;
        if let Some((header, _)) = parsed {
            return Ok(header);
        }
    }
}

/// Reads a header from the beginning of `bytes`; also its length. `None`: it is not whole yet.
///
/// # Errors
/// When no bytes that follow can make it a header.
pub fn parse(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if starts_alike(bytes, v2::PROTOCOL_PREFIX) {
        binary(bytes)
    } else if starts_alike(bytes, b"PROXY ") {
        line(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

fn starts_alike(bytes: &[u8], prefix: &[u8]) -> bool {
    bytes.iter().zip(prefix).all(|(one, other)| one == other)
}

fn line(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    let Some(end) = bytes
        .iter()
        .take(LONGEST_LINE)
        .position(|byte| *byte == b'\n')
    else {
        return if bytes.len() < LONGEST_LINE {
            Ok(None)
        } else {
            Err(v1::BinaryParseError::Parse(v1::ParseError::HeaderTooLong).into())
        };
    };
    let length = end + 1;
    let line = v1::Header::try_from(bytes.get(..length).unwrap_or_default())?;
    if line.header.len() != length {
        // A carriage return within it: two readers could disagree on where it ends.
        return Err(v1::BinaryParseError::Parse(v1::ParseError::InvalidSuffix).into());
    }
    let header = match line.addresses {
        v1::Addresses::Unknown => Header::Own,
        v1::Addresses::Tcp4(ends) => {
            Header::Of((ends.source_address, ends.source_port).into(), None)
        }
        v1::Addresses::Tcp6(ends) => {
            Header::Of((ends.source_address, ends.source_port).into(), None)
        }
    };
    Ok(Some((header, length)))
}

fn binary(bytes: &[u8]) -> Result<Option<(Header, usize)>, HeaderError> {
    if let Some([high, low]) = bytes.get(FIXED_PART - 2..FIXED_PART)
        && FIXED_PART + usize::from(u16::from_be_bytes([*high, *low])) > LONGEST_HEADER
    {
        return Err(HeaderError::TooLong);
    }
    let parsed = v2::Header::try_from(bytes);
    if parsed.is_incomplete() {
        return Ok(None);
    }
    let parsed = parsed?;
    let length = parsed.len();
    if parsed.command == v2::Command::Local {
        return Ok(Some((Header::Own, length)));
    }
    let address = match parsed.addresses {
        v2::Addresses::Unspecified => return Ok(Some((Header::Own, length))),
        v2::Addresses::Unix(_) => return Err(HeaderError::NotTcp),
        _ if parsed.protocol != v2::Protocol::Stream => return Err(HeaderError::NotTcp),
        v2::Addresses::IPv4(ends) => (ends.source_address, ends.source_port).into(),
        v2::Addresses::IPv6(ends) => (ends.source_address, ends.source_port).into(),
    };
    Ok(Some((Header::Of(address, scheme(&parsed)?), length)))
}

/// What the TLS extension says. Every extension is read, so that a header with a broken one is refused.
fn scheme(header: &v2::Header<'_>) -> Result<Option<Scheme>, HeaderError> {
    let mut found = None;
    for extension in header.tlvs() {
        let extension = extension?;
        if extension.kind == v2::Type::SSL as u8 {
            let flags = extension.value.first().copied().unwrap_or_default();
            found = Some(if flags & OVER_TLS != 0 {
                Scheme::Https
            } else {
                Scheme::Http
            });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    /// Parses `bytes` followed by a request, and requires that every beginning of them asks for more.
    fn whole(bytes: &[u8]) -> Header {
        for cut in 0..bytes.len() {
            assert!(matches!(parse(&bytes[..cut]), Ok(None)), "cut at {cut}");
        }
        let mut stream = bytes.to_vec();
        stream.extend(b"GET / HTTP/1.1\r\n");
        let (header, length) = parse(&stream).unwrap().unwrap();
        assert_eq!(length, bytes.len());
        header
    }

    fn of(address: &str, scheme: Option<Scheme>) -> Header {
        Header::Of(address.parse().unwrap(), scheme)
    }

    /// A version 2 header with the given command, family and payload.
    fn version_2(command: u8, family: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = v2::PROTOCOL_PREFIX.to_vec();
        bytes.extend([0x20 | command, family]);
        bytes.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
        bytes.extend(payload);
        bytes
    }

    const IPV4: [u8; 12] = [192, 0, 2, 1, 10, 0, 0, 1, 0xdc, 0x04, 1, 0xbb];

    #[test]
    fn lines_of_version_1() {
        assert_eq!(
            whole(b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\r\n"),
            of("192.0.2.1:56324", None)
        );
        assert_eq!(
            whole(b"PROXY TCP6 2001:db8::1 ::1 1 2\r\n"),
            of("[2001:db8::1]:1", None)
        );
        assert_eq!(whole(b"PROXY UNKNOWN\r\n"), Header::Own);
        assert_eq!(whole(b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n"), Header::Own);
        for bad in [
            &b"PROXY TCP4 192.0.2.1 10.0.0.1 56324 443\n"[..],
            b"PROXY TCP4 2001:db8::1 ::1 1 2\r\n",
            b"PROXY TCP4 192.0.2.1 10.0.0.1 99999 443\r\n",
            b"PROXY UNKNOWN \r x\r\n",
            b"PROXY UDP4 192.0.2.1 10.0.0.1 1 2\r\n",
            b"PROXY TCP4 \xff\r\n",
        ] {
            assert!(matches!(parse(bad), Err(HeaderError::Line(_))), "{bad:?}");
        }
        let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 100]].concat();
        assert!(matches!(parse(&endless), Err(HeaderError::Line(_))));
    }

    #[test]
    fn headers_of_version_2() {
        assert_eq!(
            whole(&version_2(1, 0x11, &IPV4)),
            of("192.0.2.1:56324", None)
        );
        let mut six = [0_u8; 36];
        six[0] = 0x20;
        six[15] = 1;
        assert_eq!(whole(&version_2(1, 0x21, &six)), of("[2000::1]:0", None));
        assert_eq!(whole(&version_2(0, 0x00, &[])), Header::Own);
        assert_eq!(whole(&version_2(0, 0x11, &IPV4)), Header::Own);
        assert_eq!(whole(&version_2(1, 0x00, &[])), Header::Own);
        let tls = [&IPV4[..], &[0x20, 0, 5, 0x01, 0, 0, 0, 0]].concat();
        assert_eq!(
            whole(&version_2(1, 0x11, &tls)),
            of("192.0.2.1:56324", Some(Scheme::Https))
        );
        let clear = [&IPV4[..], &[0x20, 0, 5, 0x00, 0, 0, 0, 0]].concat();
        assert_eq!(
            whole(&version_2(1, 0x11, &clear)),
            of("192.0.2.1:56324", Some(Scheme::Http))
        );
    }

    #[test]
    fn broken_headers_of_version_2() {
        let cut = [&IPV4[..], &[0x20, 0, 9, 1]].concat();
        for bad in [
            version_2(2, 0x11, &IPV4),
            version_2(1, 0x51, &IPV4),
            version_2(1, 0x11, &IPV4[..11]),
            version_2(1, 0x11, &cut),
        ] {
            assert!(
                matches!(parse(&bad), Err(HeaderError::Binary(_))),
                "{bad:?}"
            );
        }
        for other in [version_2(1, 0x12, &IPV4), version_2(1, 0x31, &[b'a'; 216])] {
            assert!(matches!(parse(&other), Err(HeaderError::NotTcp)));
        }
        let long = version_2(1, 0x11, &[0; LONGEST_HEADER]);
        assert!(matches!(
            parse(&long[..FIXED_PART]),
            Err(HeaderError::TooLong)
        ));
    }

    #[test]
    fn a_request_or_a_handshake_is_no_header() {
        for bytes in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x03\x01",
            b"P\r",
            b"\r\n\r\nX",
        ] {
            assert!(
                matches!(parse(bytes), Err(HeaderError::Missing)),
                "{bytes:?}"
            );
        }
    }

    #[test]
    fn mapped_peers_are_recognised() {
        let announcing = ["10.0.0.0/8".parse().unwrap()];
        assert!(announces("::ffff:10.1.2.3".parse().unwrap(), &announcing));
        assert!(!announces("11.0.0.1".parse().unwrap(), &announcing));
        assert!(!announces("10.0.0.1".parse().unwrap(), &[]));
    }
}
