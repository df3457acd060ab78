//! Request smuggling from the public record: what two parsers could read differently is refused in full (status, page
//! with request id, record, metric, closed connection), and nothing of it reaches the origin.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::admin::metric;
use crate::support::client::{Client, empty, exchange};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::{Setup, Weir};
use crate::support::within;

/// Sends `request` and checks everything that a refusal has.
pub async fn refused(weir: &Weir, request: &[u8], status: u16, cause: &str) {
    let shown = String::from_utf8_lossy(&request[..request.len().min(300)]).into_owned();
    let series = format!("weir_errors_total{{cause=\"{cause}\"}}");
    let before = metric(weir, &series).await;
    let answer = exchange(weir.address, request).await;
    let line = format!(" {status} ");
    let first = answer.lines().next().unwrap_or_default();
    assert!(first.contains(&line), "{shown:?}: {answer}");
    assert_eq!(answer.matches("HTTP/1.").count(), 1, "{shown:?}: {answer}");
    assert!(answer.contains("connection: close"), "{shown:?}: {answer}");
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("x-request-id: "))
        .unwrap_or_else(|| panic!("no request id: {answer}"));
    if !shown.starts_with("HEAD") {
        let page = format!("<code>{id}</code>");
        assert!(answer.contains(&page), "{shown:?}: {answer}");
    }
    let record = weir.record(id).await;
    assert_eq!(record["verdict"], "refused", "{shown:?}: {record}");
    assert_eq!(record["error"], cause, "{shown:?}: {record}");
    assert_eq!(record["status"], status, "{shown:?}: {record}");
    assert_eq!(metric(weir, &series).await, before + 1.0, "{shown:?}");
}

async fn start() -> (Origin, Weir) {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    (origin, weir)
}

const SMUGGLED: &str = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

#[tokio::test]
async fn two_lengths() {
    let (origin, weir) = start().await;
    let length = SMUGGLED.len();
    for headers in [
        // CL.TE and TE.CL
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 5"),
        "Content-Length: 5\r\nContent-Length: 5".to_owned(),
        "Content-Length: 5, 5".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: -5".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Content-Length: 5 5".to_owned(),
        "Content-Length: 5;a".to_owned(),
        "Content-Length: \u{661}".to_owned(),
        "Content-Length: 18446744073709551621".to_owned(),
        "Content-Length:".to_owned(),
        "Content-Length: \r\n 5".to_owned(),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{SMUGGLED}");
        refused(&weir, request.as_bytes(), 400, "framing").await;
    }
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

#[tokio::test]
async fn disguised_transfer_encodings() {
    let (origin, weir) = start().await;
    for (headers, cause) in [
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
            "framing",
        ),
        (
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            "framing",
        ),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",
            "framing",
        ),
        ("Transfer-Encoding: identity, chunked", "framing"),
        ("Transfer-Encoding: chunked, identity", "framing"),
        ("Transfer-Encoding: chunked,", "framing"),
        ("Transfer-Encoding: xchunked", "framing"),
        ("Transfer-Encoding: chunkedx", "framing"),
        ("Transfer-Encoding: \"chunked\"", "framing"),
        ("Transfer-Encoding: chunked;q=1", "framing"),
        ("Transfer-Encoding: identity", "framing"),
        ("Transfer-Encoding:", "framing"),
        ("Transfer-Encoding:\r\n chunked", "framing"),
        ("X: a\r\n Transfer-Encoding: chunked", "framing"),
        ("X: a\r\n\tTransfer-Encoding: chunked", "framing"),
        ("X: a\nTransfer-Encoding: chunked", "framing"),
        ("X: a\rTransfer-Encoding: chunked", "header_line"),
        ("Transfer-Encoding : chunked", "header_line"),
        ("Transfer-Encoding\t: chunked", "header_line"),
        ("Transfer-Encoding: \u{b}chunked", "header_line"),
        ("\u{b}Transfer-Encoding: chunked", "header_line"),
        ("Transfer Encoding: chunked", "header_line"),
        ("X: a\0b", "header_line"),
        ("[Transfer-Encoding]: chunked", "header_line"),
        (": chunked", "header_line"),
        ("Transfer-Encoding", "header_line"),
        ("Transfer_Encoding: chunked", "header_lookalike"),
        ("Content_Length: 5", "header_lookalike"),
        ("Content.Length: 5", "header_lookalike"),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{SMUGGLED}");
        refused(&weir, request.as_bytes(), 400, cause).await;
    }
    let old = format!("POST / HTTP/1.0\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{SMUGGLED}");
    refused(&weir, old.as_bytes(), 400, "framing").await;
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

#[tokio::test]
async fn request_lines_of_another_mind() {
    let (origin, weir) = start().await;
    for (line, status, cause) in [
        ("GET / HTTP/1.1 ", 400, "request_line"),
        ("GET  / HTTP/1.1", 400, "request_line"),
        ("GET\t/\tHTTP/1.1", 400, "request_line"),
        ("GET / x HTTP/1.1", 400, "request_line"),
        (" GET / HTTP/1.1", 400, "request_line"),
        ("GET /", 400, "request_line"),
        ("GET / HTTP/1.1\u{b}", 505, "version"),
        ("GET / HTTP/1.2", 505, "version"),
        ("GET / HTTP/2.0", 505, "version"),
        ("GET / HTTP/01.1", 505, "version"),
        ("GET / ICY/1.1", 400, "request_line"),
        ("\u{16}\u{3}\u{1}\u{2}\0", 400, "request_line"),
        ("GET /a#b HTTP/1.1", 400, "target"),
        ("GET /\u{1} HTTP/1.1", 400, "target"),
        ("GET * HTTP/1.1", 400, "target"),
        ("GET a HTTP/1.1", 400, "target"),
        ("GET \\ HTTP/1.1", 400, "target"),
        ("CONNECT a:443 HTTP/1.1", 405, "method"),
        ("CONNECT / HTTP/1.1", 405, "method"),
        ("\nGET / HTTP/1.1", 400, "framing"),
        ("GET / HTTP/1.1\nX: y", 400, "framing"),
    ] {
        let request = format!("{line}\r\nHost: a\r\n\r\n");
        refused(&weir, request.as_bytes(), status, cause).await;
    }
    refused(
        &weir,
        b"GET /\xff\xfe HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "target",
    )
    .await;
    refused(
        &weir,
        b"G\xffT / HTTP/1.1\r\nHost: a\r\n\r\n",
        400,
        "request_line",
    )
    .await;
    refused(&weir, b"PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n", 505, "version").await;
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

#[tokio::test]
async fn a_refused_method_hides_no_request_behind_it() {
    let (origin, weir) = start().await;
    let hidden = format!(
        "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\
         Transfer-Encoding: chunked\r\n\r\n{SMUGGLED}"
    );
    refused(&weir, hidden.as_bytes(), 405, "method").await;
    assert_eq!(origin.seen().len(), 0);
}

#[tokio::test]
async fn chunks_of_another_mind() {
    let (origin, weir) = start().await;
    for (body, cause) in [
        ("5 \r\nhello\r\n0\r\n\r\n".to_owned(), "chunk"),
        ("0x5\r\nhello\r\n0\r\n\r\n".to_owned(), "chunk"),
        ("+5\r\nhello\r\n0\r\n\r\n".to_owned(), "chunk"),
        ("5\nhello\r\n0\r\n\r\n".to_owned(), "chunk"),
        // A line feed within an extension (TERM.EXT and EXT.TERM).
        ("5;\nxx\r\n4c\r\n".to_owned(), "chunk"),
        ("5;a\rb\r\nhello\r\n0\r\n\r\n".to_owned(), "chunk"),
        (
            format!("5;{}\r\nhello\r\n0\r\n\r\n", "a".repeat(200)),
            "chunk",
        ),
        (
            format!("{}5\r\nhello\r\n0\r\n\r\n", "0".repeat(200)),
            "chunk",
        ),
        ("ffffffffffffffff\r\nhello\r\n".to_owned(), "chunk"),
        ("fffffffffffffffff\r\nhello\r\n".to_owned(), "chunk"),
        ("\r\n".to_owned(), "chunk"),
        (
            "5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n".to_owned(),
            "trailer",
        ),
        (
            "0\r\nTransfer-Encoding: chunked\r\n\r\n".to_owned(),
            "trailer",
        ),
        ("0\r\nHost: b\r\n\r\n".to_owned(), "trailer"),
        ("0\r\nX : b\r\n\r\n".to_owned(), "trailer"),
        ("0\r\nX: b\n\r\n".to_owned(), "trailer"),
        (format!("0\r\n{}\r\n", "X: b\r\n".repeat(5_000)), "trailer"),
        // More or less data than the size says.
        ("5\r\nhelloo\r\n0\r\n\r\n".to_owned(), "chunk"),
        ("5\r\nhell\r\n0\r\n\r\n".to_owned(), "chunk"),
        ("5\r\nhello\n0\r\n\r\n".to_owned(), "chunk"),
    ] {
        let request =
            format!("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n{body}");
        refused(&weir, request.as_bytes(), 400, cause).await;
    }
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
    let fine = "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        5;name=\"value\"\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n";
    let answer = exchange(weir.address, fine.as_bytes()).await;
    assert!(answer.contains("\"length\":5"), "{answer}");
}

#[tokio::test]
async fn a_body_that_breaks_while_it_streams_is_cut_off() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).route("mode: off").start().await;
    let request =
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n5;\nxx\r\n";
    refused(&weir, request.as_bytes(), 400, "chunk").await;
    // The origin never learns of a complete body.
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

#[tokio::test]
async fn hosts_and_authorities() {
    let (origin, weir) = start().await;
    for (line, headers, cause) in [
        ("GET / HTTP/1.1", "X: y", "host"),
        ("GET / HTTP/1.1", "Host: a\r\nHost: a", "host"),
        ("GET / HTTP/1.1", "Host: a\r\nhost: b", "host"),
        ("GET / HTTP/1.1", "Host: a b", "host"),
        ("GET / HTTP/1.1", "Host: a/b", "host"),
        ("GET / HTTP/1.1", "Host: u@a", "host"),
        ("GET / HTTP/1.1", "Host: a,b", "host"),
        ("GET / HTTP/1.1", "Host:", "host"),
        ("GET / HTTP/1.1", "Host: a:x", "host"),
        ("GET http://b/ HTTP/1.1", "Host: a", "host"),
        ("GET http://a:81/ HTTP/1.1", "Host: a", "host"),
        ("GET http://u@a/ HTTP/1.1", "Host: a", "host"),
        ("GET http:///x HTTP/1.1", "Host: a", "target"),
        ("GET / HTTP/1.1", "Host : a", "header_line"),
        ("GET / HTTP/1.1", "X: y\r\n Host: a", "framing"),
        (
            "GET / HTTP/1.1",
            "Host: a\r\nx_user: admin\r\nX-User: me",
            "header_lookalike",
        ),
        (
            "POST / HTTP/1.1",
            "Host: a\r\nExpect: y 100-continue\r\nContent-Length: 5",
            "expectation",
        ),
    ] {
        let request = format!("{line}\r\n{headers}\r\n\r\n");
        let status = if cause == "expectation" { 417 } else { 400 };
        refused(&weir, request.as_bytes(), status, cause).await;
    }
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
    for fine in [
        "GET http://A/ HTTP/1.1\r\nHost: a",
        "OPTIONS * HTTP/1.1\r\nHost: a",
        "\r\nGET / HTTP/1.1\r\nHost: [::1]:80",
    ] {
        let request = format!("{fine}\r\nConnection: close\r\n\r\n");
        let answer = exchange(weir.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{fine}: {answer}");
    }
}

#[tokio::test]
async fn the_offender_in_a_pipeline_is_refused_and_ends_it() {
    let (origin, weir) = start().await;
    let good =
        "POST /good HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let bad = "POST /bad?x=1 HTTP/1.1\r\nHost: a\r\nAccept: application/json\r\nContent-Length: 5\r\n\
        Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(weir.address, format!("{good}{bad}{good}").as_bytes()).await;
    let statuses: Vec<&str> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|part| &part[..3])
        .collect();
    assert_eq!(statuses, ["200", "400"]);
    assert_eq!(origin.seen().len(), 1);
    // In the form that the client asked for.
    assert!(answer.contains("\"error\":\"framing\""), "{answer}");
    let records = crate::support::eventually("both records", || {
        Some(weir.records()).filter(|records| records.len() == 2)
    })
    .await;
    assert_eq!(records[1]["verdict"], "refused");
    assert_eq!(records[1]["path"], "/bad?x=1");
    assert_eq!(records[1]["method"], "POST");
    assert_eq!(records[1]["host"], "a");
}

#[tokio::test]
async fn heads_in_pieces_are_put_together() {
    let (origin, weir) = start().await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    let request = "POST /pieces HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /last HTTP/1.1\r\nHost: a\r\n\
        Connection: close\r\n\r\n";
    for piece in request.as_bytes().chunks(7) {
        stream.write_all(piece).await.unwrap();
        tokio::task::yield_now().await;
    }
    let mut answer = String::new();
    within("both answers", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert_eq!(answer.matches("HTTP/1.1 200").count(), 2, "{answer}");
    let targets: Vec<String> = origin
        .seen()
        .iter()
        .map(|seen| seen.target.clone())
        .collect();
    assert_eq!(targets, ["/pieces", "/last"]);
}

/// An origin may refuse an upgrade that its proxy believes in (h2c smuggling, WebSocket smuggling by a wrong version).
#[tokio::test]
async fn an_upgrade_that_did_not_happen_opens_no_tunnel() {
    let (origin, weir) = start().await;
    for protocol in ["websocket", "h2c", "TLS/1.0", "websocket, h2c"] {
        let request = format!(
            "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Version: 777\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n\
             GET /next HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
        );
        let answer = exchange(weir.address, request.as_bytes()).await;
        assert_eq!(
            answer.matches("HTTP/1.1 200").count(),
            2,
            "{protocol}: {answer}"
        );
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 8);
    // The second was read as a request, with everything that happens to one.
    for request in seen.iter().filter(|seen| seen.target == "/next") {
        assert!(request.header("x-request-id").is_some(), "{request:?}");
    }
    for request in &seen {
        assert_eq!(request.header("http2-settings"), None, "{request:?}");
    }
    // Bytes of the other protocol that came too early are no request.
    let early = b"GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n\x81\x85\0\0\0\0hello";
    let answer = exchange(weir.address, early).await;
    let statuses: Vec<&str> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|part| &part[..3])
        .collect();
    assert_eq!(statuses, ["200", "400"], "{answer}");
}

#[tokio::test]
async fn every_byte_of_a_target_is_forwarded_as_it_came() {
    let (_origin, weir) = start().await;
    for target in [
        "/a//b/./../c;d=1?e=f&&e=%20+%2B",
        "/%ff%fe%80?q=%c0%af",
        "/%2e%2e%2fetc%2fpasswd?x=%00",
        "/?",
        "/%",
        "/%zz?%",
        "//a",
        "/~!$&'()*+,;=:@|[]^{}\"",
        "/gr\u{fc}\u{df}e?\u{2713}",
    ] {
        let request = format!("GET {target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        let answer = exchange(weir.address, request.as_bytes()).await;
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let seen: Seen =
            serde_json::from_str(body).unwrap_or_else(|_| panic!("{target}: {answer}"));
        assert_eq!(seen.target, target);
    }
}

#[tokio::test]
async fn http2_says_one_thing_about_its_host() {
    let (origin, weir) = start().await;
    let mut client = Client::http2(weir.address).await;
    for (name, value, status) in [
        ("host", "other.example", 400),
        ("host", "shop.example", 200),
        ("x_user", "1", 200),
        ("content_length", "1", 400),
        ("expect", "something", 417),
    ] {
        let request = client.request("GET", "/").header(name, value);
        let response = client.send(request.body(empty()).unwrap()).await;
        assert_eq!(response.status(), status, "{name}: {value}");
        let id = response.headers()["x-request-id"].to_str().unwrap();
        if status != 200 {
            assert_eq!(weir.record(id).await["verdict"], "refused");
        }
    }
    assert_eq!(origin.seen().len(), 2);
}
