//! Bodies that are longer than what is held, or never held: they pass, and are inspected as they pass.

use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::{Mutex, mpsc};

use crate::support::client::{Body, Client, full, piecewise};
use crate::support::origin::{self, Origin, Seen};
use crate::support::weir::{Setup, Weir};
use crate::support::{sha256, within};

/// Budgets are the bundle's. The deadline does not matter here, and a debug build on a busy machine would miss it.
const ENFORCE: &str = "mode: enforce, inspect: {body: 4KiB, deadline: 60s, idle: 60s}";
const ATTACK: &str = "note=1' UNION SELECT password FROM users-- -";

fn ordinary(length: usize) -> Vec<u8> {
    (0..)
        .flat_map(|number| format!("line {number} of a list of garden chairs\n").into_bytes())
        .take(length)
        .collect()
}

/// A picture by its first bytes, in which nothing reads like text.
fn picture(length: usize) -> Vec<u8> {
    let mut picture = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
    picture.extend((0..length).map(|at| 0x80 | (at % 127) as u8));
    picture
}

/// `ATTACK` somewhere behind what is held.
fn hidden(at: usize, length: usize) -> Vec<u8> {
    let mut body = ordinary(length);
    body.splice(at..at + ATTACK.len(), ATTACK.bytes());
    body
}

async fn client(weir: &Weir, version: u8) -> Client {
    match version {
        1 => Client::http1(weir.address).await,
        _ => Client::http2(weir.address).await,
    }
}

fn post(client: &Client, kind: &str, body: Body) -> Request<Body> {
    let mut request = client.request("POST", "/notes");
    if !kind.is_empty() {
        request = request.header("content-type", kind);
    }
    request.body(body).unwrap()
}

/// Sends a body, declared or in pieces.
async fn send(client: &mut Client, kind: &str, body: Vec<u8>, declared: bool) -> Response<Bytes> {
    if declared {
        return client.send(post(client, kind, full(body))).await;
    }
    let (pieces, stream) = piecewise();
    tokio::spawn(async move {
        for piece in body.chunks(3000) {
            if pieces.send(Bytes::copy_from_slice(piece)).await.is_err() {
                return;
            }
        }
    });
    client.send(post(client, kind, stream)).await
}

#[tokio::test]
async fn an_attack_behind_what_is_held_ends_the_transfer() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).route(ENFORCE).start().await;
    let length = 200_000;
    for (version, declared, at) in [
        (1, true, 100_000),
        (1, false, 100_000),
        (1, true, length - ATTACK.len()),
        (1, false, length - ATTACK.len()),
        (2, true, 100_000),
        (2, false, length - ATTACK.len()),
    ] {
        for kind in ["text/plain", "application/x-own", ""] {
            let mut client = client(&weir, version).await;
            let case = format!("HTTP/{version} {kind} {declared} {at}");
            let response = send(&mut client, kind, hidden(at, length), declared).await;
            assert_eq!(response.status(), 403, "{case}");
            let id = response.headers()["x-request-id"].to_str().unwrap();
            let record = weir.record(id).await;
            assert_eq!(record["verdict"], "block", "{case}: {record}");
            assert!(record["reason"].is_object(), "{case}: {record}");
        }
    }
    assert_eq!(origin.seen().len(), 0, "the origin never had a whole body");
    for declared in [true, false] {
        let mut client = client(&weir, 1).await;
        let body = ordinary(length);
        let expected = sha256(&body);
        let response = send(&mut client, "text/plain", body, declared).await;
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!((seen.length, seen.sha256), (length, expected));
    }
}

#[tokio::test]
async fn shadow_mode_lets_it_pass_and_says_so() {
    let origin = Origin::echo().await;
    let policy = "mode: shadow, inspect: {body: 4KiB, deadline: 60s}";
    let weir = Setup::new(origin.address).route(policy).start().await;
    let mut client = client(&weir, 1).await;
    let body = hidden(100_000, 200_000);
    let expected = sha256(&body);
    for kind in ["text/plain", "application/json"] {
        let response = send(&mut client, kind, body.clone(), true).await;
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.sha256, expected);
        let record = weir.record(seen.header("x-request-id").unwrap()).await;
        assert_eq!(record["verdict"], "block", "{record}");
    }
}

#[tokio::test]
async fn forms_and_json_are_rejected_where_they_cannot_be_read_whole() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address).route(ENFORCE);
    setup.routes.push(
        "{id: bulk, path: /bulk, upstream: app, mode: enforce, inspect: {body: 4KiB, deadline: 60s, \
         types: [{type: application/json, body: 64KiB}]}}"
            .to_owned(),
    );
    let weir = setup.start().await;
    for kind in ["application/json", "application/x-www-form-urlencoded"] {
        for declared in [true, false] {
            let mut client = client(&weir, 1).await;
            let response = send(&mut client, kind, ordinary(5000), declared).await;
            assert_eq!(response.status(), 413, "{kind} {declared}");
        }
    }
    let mut client = client(&weir, 1).await;
    let json = format!("\"{}\"", "garden chairs ".repeat(1000));
    let request = client
        .request("POST", "/bulk")
        .header("content-type", "application/json")
        .body(full(json))
        .unwrap();
    assert_eq!(client.send(request).await.status(), 200);
    assert_eq!(origin.seen().len(), 1);
}

/// An origin that tells of every piece that arrives, and answers at the end.
async fn telling() -> (Origin, mpsc::Receiver<Option<Bytes>>) {
    let (tell, heard) = mpsc::channel(64);
    let tell = Arc::new(Mutex::new(tell));
    let origin = Origin::with(move |request: Request<Incoming>| {
        let tell = Arc::clone(&tell);
        async move {
            let tell = tell.lock().await.clone();
            let mut body = request.into_body();
            while let Some(frame) = body.frame().await {
                let Ok(frame) = frame else {
                    let _ = tell.send(None).await;
                    break;
                };
                if let Ok(data) = frame.into_data() {
                    let _ = tell.send(Some(data)).await;
                }
            }
            Response::new(origin::full("done"))
        }
    })
    .await;
    (origin, heard)
}

#[tokio::test]
async fn live_and_unknown_types_are_never_held_and_inspected_all_the_same() {
    let (origin, mut heard) = telling().await;
    let weir = Setup::new(origin.address).route(ENFORCE).start().await;
    for kind in [
        "application/grpc",
        "text/event-stream",
        "application/x-own",
        "",
    ] {
        for attack in [false, true] {
            let mut client = client(&weir, 2).await;
            let (pieces, stream) = piecewise();
            let request = post(&client, kind, stream);
            let answer = tokio::spawn(async move { client.send(request).await });
            for piece in ["one", "two", "three"] {
                pieces.send(Bytes::from(piece)).await.unwrap();
                // Each arrives although the next has not been sent.
                let arrived = within("a piece", heard.recv()).await.unwrap();
                assert_eq!(arrived.as_deref(), Some(piece.as_bytes()), "{kind}");
            }
            if attack {
                pieces.send(Bytes::from(ATTACK)).await.unwrap();
                let answer = within("an answer", answer).await.unwrap();
                assert_eq!(answer.status(), 403, "{kind}");
                while within("the end", heard.recv()).await.unwrap().is_some() {}
            } else {
                drop(pieces);
                let answer = within("an answer", answer).await.unwrap();
                assert_eq!(answer.status(), 200, "{kind}");
            }
        }
    }
}

#[tokio::test]
async fn a_picture_streams_as_soon_as_its_first_bytes_are_a_picture() {
    let (origin, mut heard) = telling().await;
    let weir = Setup::new(origin.address)
        .route("mode: enforce")
        .start()
        .await;
    let mut client = client(&weir, 1).await;
    let picture = picture(2 << 20);
    let (pieces, stream) = piecewise();
    let request = client
        .request("POST", "/pictures")
        .header("content-type", "image/png")
        .header("content-length", picture.len())
        .body(stream)
        .unwrap();
    let answer = tokio::spawn(async move { client.send(request).await });
    let (first, rest) = picture.split_at(20_000);
    pieces.send(Bytes::copy_from_slice(first)).await.unwrap();
    let mut arrived = Vec::new();
    while arrived.len() < first.len() {
        let piece = within("the first bytes", heard.recv()).await.unwrap();
        arrived.extend_from_slice(&piece.unwrap());
    }
    pieces.send(Bytes::copy_from_slice(rest)).await.unwrap();
    while arrived.len() < picture.len() {
        let piece = within("the rest", heard.recv()).await.unwrap();
        arrived.extend_from_slice(&piece.unwrap());
    }
    assert_eq!(sha256(&arrived), sha256(&picture));
    assert_eq!(within("an answer", answer).await.unwrap().status(), 200);
    let name = "weir_uninspected_bytes_total{route=\"all\"}";
    assert!(crate::admin::metric(&weir, name).await > 1e6);
}

fn form(file: &[u8], note: &str) -> Vec<u8> {
    let mut body =
        b"--b0undary\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\n\
        Content-Type: image/png\r\n\r\n"
            .to_vec();
    body.extend_from_slice(file);
    body.extend_from_slice(
        b"\r\n--b0undary\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n",
    );
    body.extend_from_slice(note.as_bytes());
    body.extend_from_slice(b"\r\n--b0undary--\r\n");
    body
}

#[tokio::test]
async fn multipart_is_inspected_part_by_part() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).route(ENFORCE).start().await;
    let kind = "multipart/form-data; boundary=b0undary";
    let picture = picture(3 << 20);
    for declared in [true, false] {
        let mut one = client(&weir, 1).await;
        let body = form(&picture, "garden chairs");
        let expected = sha256(&body);
        let response = send(&mut one, kind, body, declared).await;
        assert_eq!(response.status(), 200);
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.sha256, expected);
        let mut two = client(&weir, 1).await;
        let note = "1' UNION SELECT password FROM users-- -";
        let response = send(&mut two, kind, form(&picture, note), declared).await;
        assert_eq!(response.status(), 403);
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let record = weir.record(id).await;
        assert_eq!(record["reason"]["fields"][0]["key"], "note", "{record}");
    }
    assert_eq!(origin.seen().len(), 2);
}

#[tokio::test]
async fn a_sender_that_trickles_meets_the_fail_mode() {
    let origin = Origin::echo().await;
    let policy = |fail| {
        format!("mode: enforce, fail: {fail}, inspect: {{body: 64KiB, idle: 50ms, deadline: 60s}}")
    };
    let closed = Setup::new(origin.address)
        .route(&policy("closed"))
        .start()
        .await;
    let mut one = client(&closed, 1).await;
    let (pieces, stream) = piecewise();
    pieces.send(Bytes::from("begun")).await.unwrap();
    let response = one.send(post(&one, "text/plain", stream)).await;
    assert_eq!(response.status(), 408);
    let id = response.headers()["x-request-id"].to_str().unwrap();
    let record = closed.record(id).await;
    assert_eq!(record["verdict"], "failed_closed", "{record}");
    assert_eq!(record["failure"], "slow_body", "{record}");
    drop(pieces);

    let open = Setup::new(origin.address)
        .route(&policy("open"))
        .start()
        .await;
    for (end, status) in [("ordinary", 200), (ATTACK, 403)] {
        let mut two = client(&open, 1).await;
        let (pieces, stream) = piecewise();
        pieces.send(Bytes::from("begun ")).await.unwrap();
        let request = post(&two, "text/plain", stream);
        let answer = tokio::spawn(async move { two.send(request).await });
        let name = "weir_inspection_failures_total{route=\"all\",cause=\"slow_body\"}";
        let before = crate::admin::metric(&open, name).await;
        within("the deadline", async {
            while crate::admin::metric(&open, name).await <= before {
                tokio::task::yield_now().await;
            }
        })
        .await;
        pieces.send(Bytes::from(end)).await.unwrap();
        drop(pieces);
        let answer = within("an answer", answer).await.unwrap();
        assert_eq!(answer.status(), status, "{end}");
    }
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn what_passes_unscored_follows_the_fail_mode() {
    for (fail, status) in [("open", 200), ("closed", 503)] {
        let origin = Origin::echo().await;
        let policy = format!("mode: enforce, fail: {fail}, inspect: {{body: 0B}}");
        let mut setup = Setup::new(origin.address).route(&policy);
        setup.model = Some(crate::support::weir::NO_MODEL.to_owned());
        let weir = setup.start().await;
        let mut client = client(&weir, 1).await;
        let response = send(&mut client, "text/plain", ordinary(50_000), true).await;
        assert_eq!(response.status(), status, "{fail}");
        if fail == "open" {
            let name = "weir_uninspected_bytes_total{route=\"all\"}";
            assert!(crate::admin::metric(&weir, name).await >= 50_000.0);
        }
    }
}
