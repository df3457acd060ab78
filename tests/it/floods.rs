//! Floods: clients that pay little for what costs us much. Each ends with the connection, a record and a metric, while
//! others are served.

use std::io::Write;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::metric;
use crate::smuggling::refused;
use crate::support::client::{Client, empty, exchange, room_again};
use crate::support::frames::*;
use crate::support::origin::Origin;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, within};

/// GOAWAY with ENHANCE_YOUR_CALM.
const CALM: u32 = 11;

async fn start(section: &str) -> (Origin, Weir) {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).section(section).start().await;
    (origin, weir)
}

/// The connection of a flood ends, and that is told, counted and recorded under `cause`.
async fn ends(weir: &Weir, bytes: Vec<u8>, cause: &str) -> Vec<Frame> {
    let came = flood(weir.address, bytes).await;
    told(weir, cause).await;
    let mut client = Client::http2(weir.address).await;
    assert_eq!(client.get("/").await.status(), 200);
    came
}

async fn told(weir: &Weir, cause: &str) {
    let series = format!("weir_errors_total{{cause=\"{cause}\"}}");
    within("the metric", async {
        while metric(weir, &series).await < 1.0 {}
    })
    .await;
    eventually("the record", || {
        let found = |record: &serde_json::Value| {
            record["error"] == cause && record["verdict"] == "refused" && record["method"] == "PRI"
        };
        weir.records().iter().any(found).then_some(())
    })
    .await;
}

fn calmed(came: &[Frame]) -> bool {
    came.iter()
        .any(|frame| frame.kind == GO_AWAY && frame.code() == CALM)
}

/// CVE-2023-44487.
#[tokio::test]
async fn rapid_reset() {
    let (origin, weir) = start("").await;
    let mut bytes = Vec::new();
    for stream in (1..20_000).step_by(2) {
        bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
        bytes.extend(frame(RST_STREAM, 0, stream, &[0, 0, 0, 8]));
    }
    let came = ends(&weir, bytes, "http2_resets").await;
    assert!(calmed(&came), "{came:?}");
    assert!(origin.seen().len() < 1_000, "{}", origin.seen().len());
}

/// CVE-2025-8671: the client makes the server reset.
#[tokio::test]
async fn made_you_reset() {
    let (origin, weir) = start("").await;
    type Offence = fn(u32) -> Vec<u8>;
    let offences: [(Offence, &str); 2] = [
        // An increment that overflows the window.
        (
            |stream| frame(WINDOW_UPDATE, 0, stream, &[0x7f, 0xff, 0xff, 0xff]),
            "http2_resets",
        ),
        // No increment: h2 ends the connection at the first.
        (
            |stream| frame(WINDOW_UPDATE, 0, stream, &[0; 4]),
            "http2_connection",
        ),
    ];
    for (offence, cause) in offences {
        let mut bytes = Vec::new();
        for stream in (1..20_000).step_by(2) {
            bytes.extend(frame(HEADERS, END_STREAM | END_HEADERS, stream, GET));
            bytes.extend(offence(stream));
        }
        ends(&weir, bytes, cause).await;
    }
    assert!(origin.seen().len() < 3_000, "{}", origin.seen().len());
}

/// CVE-2024-27316 and its family.
#[tokio::test]
async fn continuations_without_end() {
    let (origin, weir) = start("").await;
    let large = [&b"\x00\x01a\x7f\x80\x7c"[..], &[b'a'; 15_999]].concat();
    for piece in [&b""[..], b"\x00\x01a\x01b", &large] {
        let mut bytes = frame(HEADERS, END_STREAM, 1, GET);
        bytes.extend(frame(CONTINUATION, 0, 1, piece).repeat(100));
        let came = ends(&weir, bytes, "http2_header_block").await;
        assert!(calmed(&came), "{came:?}");
    }
    // Those of `ends`.
    assert_eq!(origin.seen().len(), 3);
}

/// CVE-2019-9512, 9515, 9513, 9518 and the like.
#[tokio::test]
async fn frames_that_carry_nothing() {
    let (_origin, weir) = start("").await;
    let open = frame(HEADERS, END_HEADERS, 1, GET);
    for empty in [
        frame(PING, 0, 0, &[0; 8]),
        frame(PING, 1, 0, &[0; 8]),
        frame(SETTINGS, 0, 0, &[]),
        frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 255, 255]),
        frame(PRIORITY, 0, 3, &[0, 0, 0, 0, 1]),
        frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]),
        frame(DATA, 0, 1, &[]),
        frame(0xfa, 0, 0, b"unknown"),
    ] {
        let bytes = [open.clone(), empty.repeat(20_000)].concat();
        let came = ends(&weir, bytes, "http2_control").await;
        assert!(calmed(&came), "{empty:?}: {came:?}");
    }
}

#[tokio::test]
async fn header_bombs() {
    let (origin, weir) = start("").await;
    let before = weir.resident();
    // One field of 4000 bytes into the table, then references to it: up to 48 MB of fields.
    for references in [12_000, 40] {
        let mut block = GET.to_vec();
        block.extend(b"\x40\x01x\x7f\xa1\x1e");
        block.extend([b'a'; 4_000]);
        block.extend(vec![0xbe; references]);
        let bytes = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        ends(&weir, bytes, "http2_header_bomb").await;
    }
    assert!(
        weir.resident() < before + 32 * 1024,
        "{before} {}",
        weir.resident()
    );
    assert!(origin.seen().iter().all(|seen| seen.header("x").is_none()));
}

#[tokio::test]
async fn large_heads_over_http2_get_our_answer() {
    let (origin, weir) = start("").await;
    let mut client = Client::http2(weir.address).await;
    let large = client
        .request("GET", "/")
        .header("x-large", "a".repeat(80_000));
    let mut many = client.request("GET", "/");
    for number in 0..200 {
        many = many.header(format!("x-{number}"), "1");
    }
    let target = format!("/{}", "a".repeat(20_000));
    let long = client.request("GET", &target);
    for (request, status, cause) in [
        (large, 431, "headers_too_large"),
        (many, 431, "headers_too_large"),
        (long, 414, "target_too_long"),
    ] {
        let response = client.send(request.body(empty()).unwrap()).await;
        assert_eq!(response.status(), status);
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(weir.record(id).await["error"], cause);
    }
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn a_header_block_without_end_is_not_waited_for() {
    let (_origin, weir) = start("timeouts: {header: 500ms}").await;
    ends(
        &weir,
        frame(HEADERS, END_STREAM, 1, GET),
        "http2_header_block",
    )
    .await;
}

#[tokio::test]
async fn pings_do_not_keep_a_connection_without_streams() {
    let (_origin, weir) = start("timeouts: {idle: 500ms}").await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(&opening()).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let pings = tokio::spawn(async move {
        let mut pace = tokio::time::interval(std::time::Duration::from_millis(20));
        while write.write_all(&frame(PING, 0, 0, &[0; 8])).await.is_ok() {
            pace.tick().await;
        }
    });
    let mut came = Vec::new();
    let _ = within("the idle close", read.read_to_end(&mut came)).await;
    pings.abort();
    assert!(!calmed(&frames(&came)));
}

#[tokio::test]
async fn broken_streams_are_counted() {
    let (origin, weir) = start("").await;
    // Fields that HTTP/2 does not know, a target with a control character, a method with a space.
    for block in [
        [GET, b"\x00\x11transfer-encoding\x07chunked"].concat(),
        [GET, b"\x00\x0aconnection\x05close"].concat(),
        [GET, b"\x00\x01X\x01y"].concat(),
        [GET, b"\x00\x01x\x03a\r\n"].concat(),
        b"\x82\x86\x04\x03/\x01a\x41\x01a".to_vec(),
        b"\x02\x05GET /\x86\x84\x41\x01a".to_vec(),
        b"\x82\x86\x41\x01a".to_vec(),
    ] {
        let mut bytes = frame(HEADERS, END_STREAM | END_HEADERS, 1, &block);
        // So that the connection ends.
        bytes.extend(frame(GO_AWAY, 0, 0, &[0; 8]));
        let came = flood(weir.address, bytes).await;
        assert!(
            came.iter()
                .any(|frame| matches!(frame.kind, RST_STREAM | GO_AWAY) && frame.code() == 1),
            "{block:?}: {came:?}"
        );
    }
    told(&weir, "http2_stream").await;
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused_and_others_go_on() {
    let (_origin, weir) = start("limits: {http2_streams: 2}").await;
    let mut bytes = Vec::new();
    for stream in [1, 3, 5] {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, GET));
    }
    for stream in [1, 3] {
        bytes.extend(frame(DATA, END_STREAM, stream, b"x"));
    }
    bytes.extend(frame(GO_AWAY, 0, 0, &[0; 8]));
    let came = flood(weir.address, bytes).await;
    let of = |kind: u8, stream: u32| {
        came.iter()
            .filter(|frame| frame.kind == kind && frame.stream == stream)
            .count()
    };
    assert_eq!((of(RST_STREAM, 5), of(RST_STREAM, 1)), (1, 0), "{came:?}");
    assert!(of(HEADERS, 1) == 1 && of(HEADERS, 3) == 1, "{came:?}");
}

#[tokio::test]
async fn a_connection_carries_so_many_requests() {
    let (_origin, weir) = start("limits: {requests_per_connection: 3}").await;
    let request = "GET / HTTP/1.1\r\nHost: a\r\n\r\n".repeat(5);
    let answer = exchange(weir.address, request.as_bytes()).await;
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 3, "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    let mut client = Client::http2(weir.address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    let request = client.request("GET", "/");
    within("the end of the connection", async {
        let mut next = request.body(empty()).unwrap();
        while client.start(next).await.is_ok() {
            next = client.request("GET", "/").body(empty()).unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn one_client_has_so_many_connections() {
    let (_origin, weir) = start("limits: {connections: 10, connections_per_client: 2}").await;
    let mut one = Client::http1(weir.address).await;
    let mut two = Client::http1(weir.address).await;
    assert_eq!(one.get("/").await.status(), 200);
    assert_eq!(two.get("/").await.status(), 200);
    let answer = exchange(weir.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 429"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    assert!(answer.contains("x-request-id"), "{answer}");
    let series = "weir_connections_refused_total{cause=\"client\"}";
    assert!(metric(&weir, series).await >= 1.0);
    drop(one);
    room_again(weir.address).await;
}

#[tokio::test]
async fn trusted_proxies_bring_many_clients() {
    let (_origin, weir) =
        start("limits: {connections_per_client: 1}\ntrusted_proxies: [127.0.0.1]").await;
    let mut one = Client::http1(weir.address).await;
    let mut two = Client::http1(weir.address).await;
    assert_eq!(one.get("/").await.status(), 200);
    assert_eq!(two.get("/").await.status(), 200);
}

#[tokio::test]
async fn slow_heads_and_bodies_are_answered() {
    let (origin, weir) = start("timeouts: {header: 500ms, body: 500ms}").await;
    refused(
        &weir,
        b"GET /slow HTTP/1.1\r\nHost: a\r\nX-Slow: ",
        408,
        "header_timeout",
    )
    .await;
    refused(&weir, b"GET / HT", 408, "header_timeout").await;
    refused(&weir, b"P", 408, "header_timeout").await;
    let record = &weir.records()[0];
    assert_eq!(
        (&record["path"], &record["host"]),
        (&"/slow".into(), &"a".into())
    );
    // One byte and no more.
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nx";
    let answer = exchange(weir.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(metric(&weir, "weir_errors_total{cause=\"body_timeout\"}").await >= 1.0);
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn many_tiny_chunks() {
    let (origin, weir) = start("").await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let request = format!("{head}{}0\r\n\r\n", "1\r\na\r\n".repeat(100_000));
    refused(&weir, request.as_bytes(), 400, "tiny_chunks").await;
    // The same in extensions.
    let chunk = format!("5;{}\r\nhello\r\n", "a".repeat(100));
    let request = format!("{head}{}0\r\n\r\n", chunk.repeat(10_000));
    refused(&weir, request.as_bytes(), 400, "chunk").await;
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn decompression_bombs_stay_small() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .route("mode: enforce, fail: closed, inspect: {deadline: 60s}")
        .start()
        .await;
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let zeros = vec![b'0'; 1 << 20];
    for _ in 0..200 {
        bomb.write_all(&zeros).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    let mut client = Client::http1(weir.address).await;
    assert_eq!(client.get("/").await.status(), 200);
    let before = weir.resident();
    let request = client
        .request("POST", "/")
        .header("content-type", "application/x-www-form-urlencoded")
        .header("content-encoding", "gzip");
    let body = crate::support::client::full(bomb);
    let response = client.send(request.body(body).unwrap()).await;
    assert!(
        weir.resident() < before + 48 * 1024,
        "{before} {}",
        weir.resident()
    );
    let id = response.headers()["x-request-id"].to_str().unwrap();
    let record = weir.record(id).await;
    assert!(record["score"].is_number(), "{record}");
}

#[tokio::test]
async fn large_heads_get_our_answer_while_they_come() {
    let (origin, weir) = start("").await;
    let endless = |start: &str, more: &str, count: usize| format!("{start}{}", more.repeat(count));
    for (request, status, cause) in [
        (
            endless("GET / HTTP/1.1\r\nHost: a\r\nX: ", "a", 1 << 20),
            431,
            "headers_too_large",
        ),
        (
            endless("GET / HTTP/1.1\r\nHost: a\r\n", "X: 1\r\n", 50_000),
            431,
            "headers_too_large",
        ),
        (
            format!(
                "GET / HTTP/1.1\r\nHost: a\r\n{}\r\n",
                "X: 1\r\n".repeat(200)
            ),
            431,
            "headers_too_large",
        ),
        (endless("GET /", "a", 1 << 20), 414, "target_too_long"),
        (
            format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "a".repeat(20_000)),
            414,
            "target_too_long",
        ),
        (endless("A", "A", 1 << 20), 414, "target_too_long"),
        (endless("\r\n", "\r\n", 50), 400, "request_line"),
    ] {
        refused(&weir, request.as_bytes(), status, cause).await;
    }
    assert_eq!(origin.seen().len(), 0);
}
