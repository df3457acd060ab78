//! Answers that are not a file: event streams and upgrades.

use bytes::Bytes;
use http_body_util::{BodyExt, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::client::{Client, SyncStream, empty};
use crate::support::origin::{self, Origin};
use crate::support::weir::{STRICT, Setup};
use crate::support::within;

/// An origin with one stream of events.
async fn events(receiver: mpsc::Receiver<Bytes>) -> Origin {
    let receiver = std::sync::Mutex::new(Some(receiver));
    Origin::with(move |_| {
        let receiver = receiver.lock().unwrap().take().unwrap();
        let frames = futures_util::stream::unfold(receiver, |mut events| async move {
            Some((Ok(Frame::data(events.recv().await?)), events))
        });
        let body = BodyExt::boxed(StreamBody::new(SyncStream::new(frames)));
        let response = Response::builder()
            .header("content-type", "text/event-stream")
            .body(body)
            .unwrap();
        std::future::ready(response)
    })
    .await
}

#[tokio::test]
async fn an_event_arrives_before_the_stream_ends() {
    for version in [1, 2] {
        let (sender, receiver) = mpsc::channel(1);
        let origin = events(receiver).await;
        let weir = Setup::new(origin.address).start().await;
        let mut client = match version {
            1 => Client::http1(weir.address).await,
            _ => Client::http2(weir.address).await,
        };
        let request = client.request("GET", "/events").body(empty()).unwrap();
        // The head comes before the first event.
        let mut body = client.start(request).await.unwrap().into_body();
        for number in 0..3 {
            let event = Bytes::from(format!("data: {number}\n\n"));
            sender.send(event.clone()).await.unwrap();
            // The next event is sent only when this one is here: buffering would end in the timeout.
            let frame = within("an event", body.frame()).await.unwrap().unwrap();
            assert_eq!(frame.into_data().unwrap(), event);
        }
    }
}

async fn echo_after_switch(mut request: Request<Incoming>) -> Response<origin::Body> {
    assert_eq!(request.headers()["connection"], "upgrade");
    let wanted = request.headers()["upgrade"].clone();
    let upgrade = hyper::upgrade::on(&mut request);
    tokio::spawn(async move {
        let mut stream = TokioIo::new(upgrade.await.unwrap());
        let mut buffer = [0; 1024];
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            stream.write_all(&buffer[..length]).await.unwrap();
            stream.flush().await.unwrap();
        }
    });
    let answer = Response::builder()
        .status(101)
        .header("connection", "upgrade")
        .header("upgrade", wanted);
    answer
        .header("sec-websocket-accept", "x")
        .body(origin::full(""))
        .unwrap()
}

const HANDSHAKE: &[u8] = b"GET /chat HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\n\
    Upgrade: websocket\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";

#[tokio::test]
async fn a_websocket_passes_after_its_handshake() {
    let origin = Origin::with(echo_after_switch).await;
    let weir = Setup::new(origin.address).start().await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(HANDSHAKE).await.unwrap();
    let head = within("101", async { origin::read_head(&mut stream).await }).await;
    let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101"), "{head}");
    assert!(
        head.contains("upgrade: websocket") && head.contains("sec-websocket-accept: x"),
        "{head}"
    );
    // Bytes that look like broken HTTP must pass untouched.
    for message in [
        &b"\x81\x05hello"[..],
        b"\nContent-Length: x\n\n\x00\xff",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        stream.write_all(message).await.unwrap();
        let mut back = vec![0; message.len()];
        within("the echo", stream.read_exact(&mut back))
            .await
            .unwrap();
        assert_eq!(back, message);
    }
    stream.shutdown().await.unwrap();
    let mut rest = Vec::new();
    within("the end", stream.read_to_end(&mut rest))
        .await
        .unwrap();
    assert_eq!(rest, b"");
    let record = crate::support::eventually("the record", || weir.records().pop()).await;
    assert_eq!(record["status"], 101);
    assert_eq!(record["response_bytes"], 7 + 22 + 18);
}

#[tokio::test]
async fn a_handshake_is_inspected() {
    let origin = Origin::with(echo_after_switch).await;
    let weir = Setup::new(origin.address).route(STRICT).start().await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream.write_all(HANDSHAKE).await.unwrap();
    let head = within("403", async { origin::read_head(&mut stream).await }).await;
    assert!(
        head.starts_with(b"HTTP/1.1 403"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn a_tunnel_of_http_is_not_offered_to_the_origin() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let head = within("200", async { origin::read_head(&mut stream).await }).await;
    assert!(
        head.starts_with(b"HTTP/1.1 200"),
        "{}",
        String::from_utf8_lossy(&head)
    );
    let seen = &origin.seen()[0];
    assert_eq!(
        (seen.header("upgrade"), seen.header("http2-settings")),
        (None, None)
    );
}

#[tokio::test]
async fn a_switch_that_nobody_asked_for_is_a_bad_gateway() {
    let (address, _origin) = origin::raw(|_, mut stream| async move {
        origin::read_head(&mut stream).await;
        origin::write(
            &mut stream,
            b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        )
        .await;
    })
    .await;
    let weir = Setup::new(address).start().await;
    assert_eq!(
        Client::http1(weir.address).await.get("/").await.status(),
        502
    );
}
