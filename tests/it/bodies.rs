//! Request and response bodies: held, cut, streamed, refused.

use bytes::Bytes;
use hyper::Response;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, empty, full, piecewise};
use crate::support::origin::{self, Origin, Seen};
use crate::support::weir::Setup;
use crate::support::{noise, sha256, within};

#[tokio::test]
async fn a_large_body_streams_through_unchanged() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let body = noise(16 << 20);
    let expected = sha256(&body);
    for version in [1, 2] {
        let mut client = if version == 1 {
            Client::http1(weir.address).await
        } else {
            Client::http2(weir.address).await
        };
        // Once with a declared length, once in chunks.
        let whole = client
            .request("POST", "/upload")
            .body(full(body.clone()))
            .unwrap();
        let response = client.send(whole).await;
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (seen.length, &seen.sha256),
            (body.len(), &expected),
            "HTTP/{version}, declared"
        );
        let (pieces, stream) = piecewise();
        let copy = body.clone();
        let sending = tokio::spawn(async move {
            for piece in copy.chunks(700_001) {
                if pieces.send(Bytes::copy_from_slice(piece)).await.is_err() {
                    return;
                }
            }
        });
        let response = client
            .send(client.request("PUT", "/upload").body(stream).unwrap())
            .await;
        sending.await.unwrap();
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(
            (seen.length, &seen.sha256),
            (body.len(), &expected),
            "HTTP/{version}, chunked"
        );
    }
    let resident = weir.resident();
    assert!(
        resident < 200 * 1024,
        "{resident} KiB after 64 MiB of uploads"
    );
}

#[tokio::test]
async fn bodies_around_the_limit_arrive_whole() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .route("mode: shadow, inspect: {body: 64KiB}")
        .start()
        .await;
    let mut client = Client::http1(weir.address).await;
    for length in [0, 1, 65_535, 65_536, 65_537, 131_072] {
        let body = noise(length);
        let response = client
            .send(
                client
                    .request("POST", "/")
                    .body(full(body.clone()))
                    .unwrap(),
            )
            .await;
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((seen.length, seen.sha256), (length, sha256(&body)));
    }
    // A GET with a body of unknown length beyond the limit must not lose it.
    let (pieces, stream) = piecewise();
    let body = noise(100_000);
    let copy = Bytes::from(body.clone());
    tokio::spawn(async move { pieces.send(copy).await });
    let request = client
        .request("GET", "/")
        .header("transfer-encoding", "chunked")
        .body(stream)
        .unwrap();
    let response = client.send(request).await;
    let seen: Seen = serde_json::from_slice(response.body()).unwrap();
    assert_eq!((seen.length, seen.sha256), (body.len(), sha256(&body)));
}

#[tokio::test]
async fn a_route_may_reject_what_it_cannot_inspect_whole() {
    let origin = Origin::echo().await;
    let policy = "mode: enforce, inspect: {body: 4KiB, beyond: reject}, budgets: {flag: {score: 98}, block: {score: 99}}";
    let weir = Setup::new(origin.address).route(policy).start().await;
    let mut client = Client::http1(weir.address).await;
    let fits = client
        .send(
            client
                .request("POST", "/")
                .body(full(vec![b'a'; 4096]))
                .unwrap(),
        )
        .await;
    assert_eq!(fits.status(), 200);
    let declared = client
        .send(
            client
                .request("POST", "/")
                .body(full(vec![b'a'; 4097]))
                .unwrap(),
        )
        .await;
    assert_eq!(declared.status(), 413);
    let id = declared.headers()["x-request-id"].to_str().unwrap();
    assert_eq!(weir.record(id).await["verdict"], "body_limit");
    let mut client = Client::http1(weir.address).await;
    let (pieces, stream) = piecewise();
    tokio::spawn(
        async move { while pieces.send(Bytes::from_static(&[b'a'; 1024])).await.is_ok() {} },
    );
    let chunked = client
        .send(client.request("POST", "/").body(stream).unwrap())
        .await;
    assert_eq!(chunked.status(), 413);
    assert_eq!(
        origin.seen().len(),
        1,
        "nothing that was rejected reached the origin"
    );
}

#[tokio::test]
async fn the_client_is_told_to_continue_only_when_its_body_is_wanted() {
    let origin = Origin::echo().await;
    let policy = "mode: enforce, inspect: {body: 4KiB, beyond: reject}, budgets: {flag: {score: 98}, block: {score: 99}}";
    let weir = Setup::new(origin.address).route(policy).start().await;
    let head = |length: usize| {
        format!(
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\nExpect: 100-continue\r\nConnection: close\r\n\r\n"
        )
    };
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(head(5).as_bytes()).await.unwrap();
    let first =
        String::from_utf8(within("100", async { origin::read_head(&mut stream).await }).await)
            .unwrap();
    assert!(first.starts_with("HTTP/1.1 100"), "{first}");
    stream.write_all(b"hello").await.unwrap();
    let mut answer = String::new();
    within("200", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert_eq!(origin.seen()[0].header("expect"), None);

    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(head(5000).as_bytes()).await.unwrap();
    let first =
        String::from_utf8(within("413", async { origin::read_head(&mut stream).await }).await)
            .unwrap();
    assert!(first.starts_with("HTTP/1.1 413"), "{first}");
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_with_408_and_one_that_breaks_off_is_forgotten() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("timeouts: {body: 200ms}")
        .start()
        .await;
    let head = b"POST /stalled HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf";
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    let answer =
        String::from_utf8(within("408", async { origin::read_head(&mut stream).await }).await)
            .unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");

    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(head).await.unwrap();
    drop(stream);
    let mut client = Client::http1(weir.address).await;
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn a_large_answer_arrives_whole_and_a_slow_client_slows_the_origin() {
    let body = Bytes::from(noise(64 << 20));
    let expected = sha256(&body);
    let served = body.clone();
    let origin = Origin::with(move |_| {
        let body = served.clone();
        async move { Response::new(origin::full(body)) }
    })
    .await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http1(weir.address).await;
    let before = weir.resident();
    let request = client.request("GET", "/").body(empty()).unwrap();
    let response = client.start(request).await.unwrap();
    // Nothing is read yet: the pipe fills, and what is in it must not be the whole answer.
    let mut body = response.into_body();
    let mut hash = Vec::new();
    use http_body_util::BodyExt;
    while let Some(frame) = within("a piece", body.frame()).await {
        if let Ok(data) = frame.unwrap().into_data() {
            hash.extend_from_slice(&data);
        }
        assert!(weir.resident() < before + 48 * 1024);
    }
    assert_eq!(sha256(&hash), expected);
}

#[tokio::test]
async fn without_room_for_bodies_enforce_sheds_and_shadow_lets_pass() {
    let origin = Origin::echo().await;
    let policy =
        "mode: enforce, inspect: {body: 1MiB}, budgets: {flag: {score: 98}, block: {score: 99}}";
    let mut setup = Setup::new(origin.address)
        .route(policy)
        .section("limits: {inspect_memory: 1MiB}")
        .section("timeouts: {body: 1s}");
    setup
        .routes
        .push("{id: shadow, path: /shadow, upstream: app, mode: shadow}".to_owned());
    let weir = setup.start().await;
    // Somebody holds all there is, a byte at a time.
    let mut hog = TcpStream::connect(weir.address).await.unwrap();
    let head = b"POST /hog HTTP/1.1\r\nHost: a\r\nContent-Length: 1048576\r\n\r\n";
    hog.write_all(head).await.unwrap();
    let hogging = tokio::spawn(async move {
        while hog.write_all(b"a").await.is_ok() {
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    });
    let large = vec![b'a'; 64 << 10];
    let mut client = Client::http1(weir.address).await;
    within("the hog's share", async {
        loop {
            let body = full(large.clone());
            let request = client.request("POST", "/").body(body).unwrap();
            let response = client.send(request).await;
            if response.status() == 503 {
                assert!(response.headers().contains_key("retry-after"));
                break;
            }
        }
    })
    .await;
    // The refused body was not read to its end, so that connection is done.
    let mut client = Client::http1(weir.address).await;
    for body in ["", "short"] {
        let request = client.request("POST", "/").body(full(body)).unwrap();
        let status = client.send(request).await.status();
        assert_eq!(status, 200, "what is there already needs no room");
    }
    let request = client
        .request("POST", "/shadow")
        .body(full(large.clone()))
        .unwrap();
    let response = client.send(request).await;
    let seen: Seen = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        (response.status().as_u16(), seen.length, seen.sha256),
        (200, large.len(), sha256(&large))
    );
    hogging.abort();
}
