//! What HTTP means has to survive the proxy: ranges, codings, versions of either side, early and interim answers.

use std::io::{Read, Write};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::support::client::{Client, empty, exchange, full, piecewise};
use crate::support::origin::{self, Origin, raw, read_head, write};
use crate::support::weir::{Setup, Weir};
use crate::support::{noise, within};

async fn both(weir: &Weir) -> [Client; 2] {
    [
        Client::http1(weir.address).await,
        Client::http2(weir.address).await,
    ]
}

#[tokio::test]
async fn answers_without_body_stay_so_in_both_versions() {
    let origin = Origin::with(|request| async move {
        let builder = Response::builder();
        match (request.method().as_str(), request.uri().path()) {
            ("HEAD", _) => builder
                .header("content-length", "1234")
                .header("content-type", "text/css")
                .body(origin::full("")),
            (_, "/204") => builder.status(204).body(origin::full("")),
            (_, "/304") => builder
                .status(304)
                .header("etag", "\"x\"")
                .body(origin::full("")),
            _ => builder.body(origin::full("body")),
        }
        .unwrap()
    })
    .await;
    let weir = Setup::new(origin.address).start().await;
    for mut client in both(&weir).await {
        let request = client.request("HEAD", "/").body(empty()).unwrap();
        let head = client.send(request).await;
        assert_eq!((head.status(), head.body().len()), (StatusCode::OK, 0));
        assert_eq!(head.headers()["content-length"], "1234");
        for status in [204, 304] {
            let response = client.get(&format!("/{status}")).await;
            assert_eq!(response.status(), status);
            assert!(response.body().is_empty());
            assert!(!response.headers().contains_key("transfer-encoding"));
            assert!(!response.headers().contains_key("content-type"));
        }
        assert_eq!(client.get("/").await.body(), "body");
    }
}

#[tokio::test]
async fn our_own_answer_to_head_has_no_body() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .route(crate::support::weir::STRICT)
        .start()
        .await;
    for mut client in both(&weir).await {
        let request = client.request("HEAD", "/").body(empty()).unwrap();
        let head = client.send(request).await;
        assert_eq!(
            (head.status(), head.body().len()),
            (StatusCode::FORBIDDEN, 0)
        );
        // The connection is in step.
        assert_eq!(client.get("/").await.status(), 403);
    }
}

#[tokio::test]
async fn a_range_is_answered_by_the_origin() {
    let origin = Origin::with(|request| async move {
        let range = request.headers().get("range").cloned();
        let (status, content_range, body) = match range.as_ref().map(|range| range.as_bytes()) {
            Some(b"bytes=2-4") => (206, "bytes 2-4/10", "cde"),
            Some(b"bytes=0-0,9-9") => (206, "", "--b\r\nparts\r\n--b--\r\n"),
            Some(b"bytes=99-") => (416, "bytes */10", ""),
            _ => (200, "", "abcdefghij"),
        };
        let mut builder = Response::builder()
            .status(status)
            .header("accept-ranges", "bytes")
            .header(
                "x-if-range",
                request
                    .headers()
                    .get("if-range")
                    .cloned()
                    .unwrap_or("none".parse().unwrap()),
            );
        if !content_range.is_empty() {
            builder = builder.header("content-range", content_range);
        }
        builder.body(origin::full(body)).unwrap()
    })
    .await;
    let weir = Setup::new(origin.address).start().await;
    for mut client in both(&weir).await {
        for (range, status, content_range, body) in [
            ("bytes=2-4", 206, Some("bytes 2-4/10"), "cde"),
            ("bytes=0-0,9-9", 206, None, "--b\r\nparts\r\n--b--\r\n"),
            ("bytes=99-", 416, Some("bytes */10"), ""),
            ("lines=1-2", 200, None, "abcdefghij"),
        ] {
            let request = client
                .request("GET", "/file")
                .header("range", range)
                .header("if-range", "\"v1\"");
            let response = client.send(request.body(empty()).unwrap()).await;
            assert_eq!(response.status(), status, "{range}");
            let seen = response.headers().get("content-range");
            assert_eq!(seen.map(|value| value.to_str().unwrap()), content_range);
            assert_eq!(response.headers()["x-if-range"], "\"v1\"");
            assert_eq!(response.headers()["accept-ranges"], "bytes");
            assert_eq!(response.body(), body);
        }
    }
}

fn gzip(bytes: &[u8]) -> Bytes {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap().into()
}

#[tokio::test]
async fn a_compressed_answer_arrives_as_it_was_sent() {
    let plain = noise(100_000);
    let sent = gzip(&plain);
    let answer = sent.clone();
    let origin = Origin::with(move |request| {
        let answer = answer.clone();
        async move {
            assert_eq!(request.headers()["accept-encoding"], "gzip, br;q=0.5");
            Response::builder()
                .header("content-encoding", "gzip")
                .header("etag", "\"strong\"")
                .header("vary", "accept-encoding")
                .body(origin::full(answer))
                .unwrap()
        }
    })
    .await;
    let weir = Setup::new(origin.address).start().await;
    for mut client in both(&weir).await {
        let request = client
            .request("GET", "/")
            .header("accept-encoding", "gzip, br;q=0.5");
        let response = client.send(request.body(empty()).unwrap()).await;
        assert_eq!(response.body(), &sent);
        for (name, value) in [
            ("content-encoding", "gzip"),
            ("etag", "\"strong\""),
            ("vary", "accept-encoding"),
        ] {
            assert_eq!(response.headers()[name], value);
        }
        let length = response.headers()["content-length"].to_str().unwrap();
        assert_eq!(length, sent.len().to_string());
        let mut back = Vec::new();
        flate2::read::GzDecoder::new(&response.body()[..])
            .read_to_end(&mut back)
            .unwrap();
        assert!(back == plain);
    }
}

#[tokio::test]
async fn an_http10_client_gets_what_it_can_read() {
    let origin = Origin::with(|request| async move {
        // Without a length: chunked from an HTTP/1.1 origin.
        let (sender, body) = piecewise();
        let target = request.uri().to_string();
        tokio::spawn(async move {
            sender.send(Bytes::from(target)).await.unwrap();
            sender.send(Bytes::from_static(b" and more")).await.unwrap();
        });
        Response::new(body)
    })
    .await;
    let weir = Setup::new(origin.address).start().await;
    let answer = exchange(
        weir.address,
        b"GET /old HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n",
    )
    .await;
    let lower = answer.to_ascii_lowercase();
    assert!(lower.starts_with("http/1.0 200"), "{answer}");
    assert!(!lower.contains("transfer-encoding"), "{answer}");
    assert!(answer.ends_with("\r\n\r\n/old and more"), "{answer}");
}

#[tokio::test]
async fn an_http10_client_may_keep_its_connection() {
    let origin = Origin::with(|_| async { Response::new(origin::full("known length")) }).await;
    let weir = Setup::new(origin.address).start().await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    for _ in 0..2 {
        stream
            .write_all(b"GET / HTTP/1.0\r\nHost: shop.example\r\nConnection: keep-alive\r\n\r\n")
            .await
            .unwrap();
        let head = within("the head", read_head(&mut stream)).await;
        let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
        assert!(head.starts_with("http/1.0 200"), "{head}");
        assert!(head.contains("connection: keep-alive"), "{head}");
        let mut body = [0; 12];
        within("the body", stream.read_exact(&mut body))
            .await
            .unwrap();
        assert_eq!(&body, b"known length");
    }
}

#[tokio::test]
async fn an_http10_origin_ends_its_answer_by_closing() {
    let (address, _origin) = raw(|_, mut stream| async move {
        let head = read_head(&mut stream).await;
        assert!(head.starts_with(b"GET / HTTP/1.1\r\n"));
        write(
            &mut stream,
            b"HTTP/1.0 200 OK\r\nX-Old: yes\r\n\r\nall that ",
        )
        .await;
        write(&mut stream, b"there is").await;
    })
    .await;
    let weir = Setup::new(address).start().await;
    for mut client in both(&weir).await {
        for _ in 0..2 {
            let response = client.get("/").await;
            assert_eq!(response.headers()["x-old"], "yes");
            assert_eq!(response.body(), "all that there is");
        }
    }
}

/// Interim answers of the origin are not taken for the answer.
#[tokio::test]
async fn interim_answers_come_before_the_answer() {
    let (address, _origin) = raw(|_, mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            write(
                &mut stream,
                b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nbody",
            )
            .await;
        }
    })
    .await;
    let weir = Setup::new(address).start().await;
    for mut client in both(&weir).await {
        let response = client.get("/").await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.body(), "body");
        assert!(!response.headers().contains_key("link"));
    }
}

/// The origin has made up its mind before the body is there: the client hears it while it still sends.
#[tokio::test]
async fn an_early_answer_does_not_wait_for_the_body() {
    let origin = Origin::with(|_| async {
        Response::builder()
            .status(413)
            .body(origin::full("too much"))
            .unwrap()
    })
    .await;
    let weir = Setup::new(origin.address).route("mode: off").start().await;
    for mut client in both(&weir).await {
        let (sender, body) = piecewise();
        sender.send(Bytes::from(vec![b'x'; 1024])).await.unwrap();
        let request = client
            .request("POST", "/upload")
            .header("content-length", "1000000")
            .body(body)
            .unwrap();
        let response = client.start(request).await.unwrap();
        assert_eq!(response.status(), 413);
        let body = within(
            "the answer",
            http_body_util::BodyExt::collect(response.into_body()),
        )
        .await
        .unwrap();
        assert_eq!(body.to_bytes(), "too much");
        drop(sender);
    }
    // Whoever comes next meets no leftovers.
    for mut client in both(&weir).await {
        let request = client.request("POST", "/").body(full("small")).unwrap();
        assert_eq!(client.send(request).await.status(), 413);
    }
}

#[tokio::test]
async fn a_long_poll_is_answered_when_the_origin_answers() {
    let (arrived, mut arrivals) = mpsc::unbounded_channel();
    let (release, wait) = watch::channel(0);
    let origin = Origin::with(move |_| {
        let (arrived, mut wait) = (arrived.clone(), wait.clone());
        async move {
            wait.mark_unchanged();
            arrived.send(()).unwrap();
            wait.changed().await.unwrap();
            Response::new(origin::full("news"))
        }
    })
    .await;
    let weir = Setup::new(origin.address)
        .section("timeouts: {idle: 3s, header: 3s}")
        .start()
        .await;
    for version in [1, 2] {
        let mut client = match version {
            1 => Client::http1(weir.address).await,
            _ => Client::http2(weir.address).await,
        };
        let answer = tokio::spawn(async move { client.get("/poll").await });
        within("the request at the origin", arrivals.recv()).await;
        // Another connection dies of idleness meanwhile: the timeouts have passed.
        let mut idle = TcpStream::connect(weir.address).await.unwrap();
        let _ = within("the idle close", idle.read_to_end(&mut Vec::new())).await;
        release.send(version).unwrap();
        assert_eq!(answer.await.unwrap().body(), "news");
    }
}
