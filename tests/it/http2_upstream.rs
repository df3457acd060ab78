//! Origins that speak HTTP/2 in cleartext.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use serde_json::Value;
use tokio::sync::{mpsc, watch};

use crate::support::client::{Client, SyncStream, empty, full, piecewise};
use crate::support::origin::{self, Origin, Seen, raw, write};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, within};

fn over_http2(origin: &Origin) -> Setup {
    let mut setup = Setup::new(origin.address);
    setup.upstream = ", protocol: http2".to_owned();
    setup
}

async fn both(weir: &Weir) -> [Client; 2] {
    [
        Client::http1(weir.address).await,
        Client::http2(weir.address).await,
    ]
}

#[tokio::test]
async fn requests_reach_an_http2_origin_whole() {
    let origin = Origin::echo().await;
    let weir = over_http2(&origin).start().await;
    for mut client in both(&weir).await {
        let response = client.get("/a?b=1").await;
        assert_eq!(response.status(), 200);
        assert!(!response.headers().contains_key("connection"));
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.version, "HTTP/2.0");
        assert_eq!(seen.target, "http://shop.example/a?b=1");
        assert_eq!(seen.header("te"), Some("trailers"));
        assert_eq!(seen.header("x-forwarded-host"), Some("shop.example"));
        assert_eq!(seen.header("transfer-encoding"), None);

        let request = client.request("POST", "/form").body(full("a=1")).unwrap();
        let seen: Seen = serde_json::from_slice(client.send(request).await.body()).unwrap();
        assert_eq!((seen.length, seen.header("content-length")), (3, Some("3")));
    }
    assert_eq!(origin.connections(), 1, "all of them share one connection");
}

/// Longer than what is held, so that it streams; its length is not declared.
#[tokio::test]
async fn a_long_body_of_unknown_length_streams_to_an_http2_origin() {
    let origin = Origin::echo().await;
    let weir = over_http2(&origin).start().await;
    for mut client in both(&weir).await {
        let (sender, body) = piecewise();
        let request = client.request("POST", "/upload").body(body).unwrap();
        let sending = tokio::spawn(async move {
            for _ in 0..64 {
                sender
                    .send(Bytes::from(vec![b'x'; 16 * 1024]))
                    .await
                    .unwrap();
            }
        });
        let response = client.send(request).await;
        sending.await.unwrap();
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.length, 64 * 16 * 1024);
    }
}

fn trailers(name: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert(name, HeaderValue::from_static("yes"));
    trailers.insert("x-weir-verdict", HeaderValue::from_static("pass"));
    trailers
}

/// A call in both directions at once, as gRPC makes them: the origin answers while the client still sends.
#[tokio::test]
async fn a_call_streams_both_ways_with_trailers_at_both_ends() {
    let (told, mut tell) = mpsc::channel::<HeaderMap>(1);
    let origin = Origin::with(move |request| {
        let told = told.clone();
        async move {
            let mut body = request.into_body();
            let (answer, answers) = mpsc::channel::<Frame<Bytes>>(1);
            tokio::spawn(async move {
                while let Some(Ok(frame)) = body.frame().await {
                    match frame.into_data() {
                        Ok(data) => answer.send(Frame::data(data)).await.unwrap(),
                        Err(frame) => told.send(frame.into_trailers().unwrap()).await.unwrap(),
                    }
                }
                answer
                    .send(Frame::trailers(trailers("grpc-status")))
                    .await
                    .unwrap();
            });
            let frames = futures_util::stream::unfold(answers, |mut answers| async move {
                Some((Ok(answers.recv().await?), answers))
            });
            Response::new(BodyExt::boxed(StreamBody::new(SyncStream::new(frames))))
        }
    })
    .await;
    let weir = over_http2(&origin).route("mode: off").start().await;
    let mut client = Client::http2(weir.address).await;
    let (sender, frames) = mpsc::channel::<Frame<Bytes>>(1);
    let frames = futures_util::stream::unfold(frames, |mut frames| async move {
        Some((Ok(frames.recv().await?), frames))
    });
    let body = BodyExt::boxed(StreamBody::new(SyncStream::new(frames)));
    let request = client.request("POST", "/call").body(body).unwrap();
    let mut answer = client.start(request).await.unwrap().into_body();
    for round in 0..3 {
        let message = Bytes::from(format!("message {round}"));
        sender.send(Frame::data(message.clone())).await.unwrap();
        let echoed = within("an answer", answer.frame()).await.unwrap().unwrap();
        assert_eq!(echoed.into_data().unwrap(), message);
    }
    sender
        .send(Frame::trailers(trailers("x-checksum")))
        .await
        .unwrap();
    drop(sender);
    let last = within("the trailers", answer.frame())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(last.into_trailers().unwrap()["grpc-status"], "yes");
    let received = within("the origin's trailers", tell.recv()).await.unwrap();
    assert_eq!(received["x-checksum"], "yes");
    assert!(!received.contains_key("x-weir-verdict"), "{received:?}");
}

/// Both when the body is held and when it passes: what is in trailers is scored like headers.
#[tokio::test]
async fn trailers_of_inspected_bodies_travel_on_and_are_inspected() {
    let (told, mut tell) = mpsc::channel::<Option<HeaderMap>>(8);
    let origin = Origin::with(move |request| {
        let told = told.clone();
        async move {
            if let Ok(body) = request.into_body().collect().await {
                told.send(body.trailers().cloned()).await.unwrap();
            }
            Response::new(origin::full("done"))
        }
    })
    .await;
    let policy = "mode: enforce, inspect: {body: 4KiB, deadline: 60s, idle: 60s}";
    let weir = over_http2(&origin).route(policy).start().await;
    for length in [100, 50_000] {
        for (value, status) in [
            ("42", 200),
            ("1' UNION SELECT password FROM users-- -", 403),
        ] {
            let mut last = trailers("x-checksum");
            last.insert("x-checksum", HeaderValue::from_static(value));
            let frames = [
                Ok(Frame::data(Bytes::from(vec![b'x'; length]))),
                Ok(Frame::trailers(last)),
            ];
            let stream = SyncStream::new(futures_util::stream::iter(frames));
            let mut client = Client::http2(weir.address).await;
            let request = client
                .request("POST", "/sum")
                .header("content-type", "text/plain")
                .body(BodyExt::boxed(StreamBody::new(stream)))
                .unwrap();
            let response = client.send(request).await;
            assert_eq!(response.status(), status, "{length} {value}");
            if status == 200 {
                let received = within("the body", tell.recv()).await.unwrap().unwrap();
                assert_eq!(received["x-checksum"], value);
                assert!(!received.contains_key("x-weir-verdict"), "{received:?}");
            }
        }
    }
    assert!(tell.try_recv().is_err(), "no blocked body arrived whole");
}

/// More requests at once than one connection may carry.
#[tokio::test]
async fn more_requests_than_streams_open_another_connection() {
    let (release, wait) = watch::channel(false);
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let origin = Origin::with(move |_| {
        let (mut wait, count) = (wait.clone(), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wait.wait_for(|go| *go).await.unwrap();
            Response::new(origin::full("ok"))
        }
    })
    .await;
    let weir = over_http2(&origin)
        .section("limits: {http2_streams: 200}")
        .start()
        .await;
    let mut clients = Vec::new();
    for _ in 0..120 {
        let address = weir.address;
        clients.push(tokio::spawn(async move {
            Client::http1(address).await.get("/").await.status()
        }));
    }
    eventually("all at the origin", || {
        (waiting.load(Ordering::SeqCst) == 120).then_some(())
    })
    .await;
    assert_eq!(origin.connections(), 2);
    release.send(true).unwrap();
    for client in clients {
        assert_eq!(client.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn an_origin_that_speaks_no_http2_is_a_bad_gateway() {
    let (address, _origin) = raw(|_, mut stream| async move {
        write(
            &mut stream,
            b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
        )
        .await;
    })
    .await;
    let mut setup = Setup::new(address);
    setup.upstream = ", protocol: http2".to_owned();
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    let request = client
        .request("GET", "/")
        .header("accept", "application/json");
    let response = client.send(request.body(empty()).unwrap()).await;
    assert_eq!(response.status(), 502);
    let object: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        (&object["error"], &object["side"]),
        (&"upstream_broken".into(), &"upstream".into())
    );
}

/// A stream that the origin resets says nothing about the connection, which others share.
#[tokio::test]
async fn a_reset_stream_ends_one_request_and_not_the_connection() {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&connections);
    let (address, _origin) = raw(move |_, stream| {
        count.fetch_add(1, Ordering::SeqCst);
        async move {
            let mut connection = h2::server::handshake(stream).await.unwrap();
            while let Some(Ok((request, mut respond))) = connection.accept().await {
                if request.uri().path() == "/reset" {
                    respond.send_reset(h2::Reason::INTERNAL_ERROR);
                } else {
                    respond.send_response(Response::new(()), true).unwrap();
                }
            }
        }
    })
    .await;
    let mut setup = Setup::new(address);
    setup.upstream = ", protocol: http2".to_owned();
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/reset").await.status(), 502);
        assert_eq!(client.get("/").await.status(), 200);
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}
