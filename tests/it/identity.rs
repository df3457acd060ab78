//! Who the client is: PROXY protocol, forwarding headers of trusted peers, and what counts as one client.

use std::net::SocketAddr;

use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::exchange;
use crate::support::origin::{Origin, Seen};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, within};

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";

/// A version 2 header for `source`, with `command` 1 (a client's) or 0 (its sender's), and extensions.
fn version_2(command: u8, source: SocketAddr, extensions: &[u8]) -> Vec<u8> {
    let mut payload = Vec::new();
    let family = match source {
        SocketAddr::V4(source) => {
            payload.extend(source.ip().octets());
            payload.extend([127, 0, 0, 1]);
            0x11
        }
        SocketAddr::V6(source) => {
            payload.extend(source.ip().octets());
            payload.extend([0; 16]);
            0x21
        }
    };
    payload.extend(source.port().to_be_bytes());
    payload.extend(443_u16.to_be_bytes());
    payload.extend(extensions);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n".to_vec();
    header.extend([0x20 | command, family]);
    header.extend(u16::try_from(payload.len()).unwrap().to_be_bytes());
    header.extend(payload);
    header
}

async fn behind_balancer(announcing: &str) -> (Origin, Weir) {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.listener = format!(", proxy_protocol: [{announcing}]");
    let weir = setup.start().await;
    (origin, weir)
}

/// The client of the only record so far that has not been looked at.
async fn client_of_record(weir: &Weir, ordinal: usize) -> Value {
    let record = eventually("a record", || weir.records().get(ordinal).cloned()).await;
    record["client"].clone()
}

#[tokio::test]
async fn a_balancer_says_whose_connection_it_is() {
    let (origin, weir) = behind_balancer("127.0.0.0/8").await;
    let tls = [0x20, 0, 5, 1, 0, 0, 0, 0];
    let headers: [(Vec<u8>, &str, &str); 5] = [
        (
            b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n".to_vec(),
            "192.0.2.7",
            "http",
        ),
        (
            version_2(1, "203.0.113.9:1".parse().unwrap(), &[]),
            "203.0.113.9",
            "http",
        ),
        (
            version_2(1, "[2001:db8::5]:1".parse().unwrap(), &tls),
            "2001:db8::5",
            "https",
        ),
        (
            version_2(1, "[::ffff:198.51.100.3]:1".parse().unwrap(), &[]),
            "198.51.100.3",
            "http",
        ),
        (
            version_2(0, "203.0.113.9:1".parse().unwrap(), &[]),
            "127.0.0.1",
            "http",
        ),
    ];
    for (ordinal, (header, client, scheme)) in headers.into_iter().enumerate() {
        let answer = exchange(weir.address, &[&header, REQUEST].concat()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        let seen: Vec<Seen> = origin.seen();
        assert_eq!(seen[ordinal].header("x-forwarded-for"), Some(client));
        assert_eq!(seen[ordinal].header("x-forwarded-proto"), Some(scheme));
        assert_eq!(client_of_record(&weir, ordinal).await, client);
    }
}

#[tokio::test]
async fn a_header_may_come_byte_by_byte() {
    let (origin, weir) = behind_balancer("127.0.0.1").await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let header = version_2(1, "203.0.113.9:1".parse().unwrap(), &[4, 0, 2, 0, 0]);
    for byte in header.iter().chain(REQUEST) {
        stream.write_all(&[*byte]).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        origin.seen()[0].header("x-forwarded-for"),
        Some("203.0.113.9")
    );
}

#[tokio::test]
async fn a_balancer_without_a_valid_header_is_refused() {
    let (origin, weir) = behind_balancer("127.0.0.0/8").await;
    let broken = [
        &b""[..],
        b"PROXY TCP4 192.0.2.7 127.0.0.1 99999 443\r\n",
        b"PROXY TCP4 2001:db8::1 127.0.0.1 1 443\r\n",
        b"\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c\x7f\0\0\x01\x7f\0\0\x01\0\x01\0\x02",
    ];
    for header in broken {
        let answer = exchange(weir.address, &[header, REQUEST].concat()).await;
        assert_eq!(answer, "", "{header:?}");
    }
    assert_eq!(origin.connections(), 0);
    eventually("a warning for each", || {
        let log = weir.log();
        let refused = log
            .iter()
            .filter(|line| line.contains("connection refused"));
        (refused.count() == broken.len()).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_stranger_cannot_announce_itself() {
    let (origin, weir) = behind_balancer("192.0.2.0/24").await;
    let header = b"PROXY TCP4 192.0.2.7 127.0.0.1 4711 443\r\n";
    let answer = exchange(weir.address, &[header, REQUEST].concat()).await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_eq!(origin.connections(), 0);
    let answer = exchange(weir.address, REQUEST).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(
        origin.seen()[0].header("x-forwarded-for"),
        Some("127.0.0.1")
    );
}

#[tokio::test]
async fn limits_count_a_network_of_ipv6_and_a_mapped_address_once() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address)
        .route("mode: shadow, rate_limit: {requests: 1, per: 1h, burst: 1}");
    setup.listener = ", proxy_protocol: [127.0.0.1]".to_owned();
    let weir = setup.start().await;
    for (client, status) in [
        ("[2001:db8:1:2::1]:1", "200"),
        ("[2001:db8:1:2:ffff::9]:1", "429"),
        ("[2001:db8:1:3::1]:1", "200"),
        ("192.0.2.1:1", "200"),
        ("[::ffff:192.0.2.1]:1", "429"),
        ("192.0.2.2:1", "200"),
    ] {
        let header = version_2(1, client.parse().unwrap(), &[]);
        let answer = exchange(weir.address, &[&header, REQUEST].concat()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{client}: {answer}"
        );
    }
}

/// The origin's view of a request with `headers`.
async fn seen(weir: &Weir, origin: &Origin, headers: &str) -> Seen {
    let request =
        format!("GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n{headers}\r\n");
    let answer = exchange(weir.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    origin.seen().pop().unwrap()
}

#[tokio::test]
async fn the_chain_that_is_believed_is_the_one_that_is_named() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("trusted_proxies: [127.0.0.1]\ntrusted_header: forwarded")
        .start()
        .await;
    let claims = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=7.7.7.7;x=\", For=\"[2001:db8::7]:1\"\r\nX-Real-IP: 2001:db8::7\r\n";
    let request = seen(&weir, &origin, claims).await;
    assert_eq!(
        request.header("x-forwarded-for"),
        Some("2001:db8::7, 127.0.0.1")
    );
    assert_eq!(request.header("x-real-ip"), Some("2001:db8::7"));
    assert_eq!(client_of_record(&weir, 0).await, "2001:db8::7");
}

#[tokio::test]
async fn nobody_strips_the_chain_by_calling_it_hop_by_hop() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("trusted_proxies: [127.0.0.1]")
        .start()
        .await;
    let claims = "X-Forwarded-For: 7.7.7.7\r\nX-Real-IP: 7.7.7.7\r\nConnection: x-forwarded-for, x-real-ip\r\n";
    let request = seen(&weir, &origin, claims).await;
    assert_eq!(
        request.header("x-forwarded-for"),
        Some("7.7.7.7, 127.0.0.1")
    );
    assert_eq!(request.header("x-real-ip"), Some("7.7.7.7"));
}

#[tokio::test]
async fn what_applications_take_for_the_word_of_a_proxy_is_no_clients_to_say() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let names = [
        "X-Real-IP",
        "X_Real_IP",
        "True-Client-IP",
        "CF-Connecting-IP",
        "X-Client-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
    ];
    let claims: String = names
        .iter()
        .map(|name| format!("{name}: 6.6.6.6\r\n"))
        .collect();
    let request = seen(&weir, &origin, &claims).await;
    let left: Vec<_> = request
        .headers
        .iter()
        .filter(|(_, value)| value == "6.6.6.6")
        .collect();
    assert!(left.is_empty(), "{left:?}");
}
