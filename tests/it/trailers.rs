//! What follows a body: trailers in both directions and in both versions.

use http_body_util::BodyExt;
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::support::client::{Client, empty, exchange};
use crate::support::origin::{raw, read_head, write};
use crate::support::weir::Setup;
use crate::support::within;

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
    4\r\nbody\r\n0\r\nX-Sum: 42\r\n\r\n";

/// An origin that ends every answer with a trailer.
async fn summing() -> std::net::SocketAddr {
    let (address, _) = raw(|_, mut stream| async move {
        while !read_head(&mut stream).await.is_empty() {
            write(&mut stream, ANSWER).await;
        }
    })
    .await;
    address
}

#[tokio::test]
async fn trailers_of_an_answer_reach_whoever_takes_them() {
    let weir = Setup::new(summing().await).start().await;
    let mut client = Client::http2(weir.address).await;
    for _ in 0..2 {
        let request = client.request("GET", "/").body(empty()).unwrap();
        let response = client.start(request).await.unwrap();
        assert_eq!(response.headers()["trailer"], "X-Sum");
        let body = within("the body", response.into_body().collect())
            .await
            .unwrap();
        assert_eq!(body.trailers().unwrap()["x-sum"], "42");
        assert_eq!(body.to_bytes(), "body");
    }
    let get = |te: &str| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close{te}\r\n\r\n");
    let answer = exchange(weir.address, get(", TE\r\nTE: trailers").as_bytes()).await;
    assert!(answer.ends_with("0\r\nx-sum: 42\r\n\r\n"), "{answer}");
    let answer = exchange(weir.address, get("").as_bytes()).await;
    assert!(answer.ends_with("body\r\n0\r\n\r\n"), "{answer}");
}

#[tokio::test]
async fn an_origin_is_asked_for_trailers_when_the_client_takes_them() {
    let (heads, mut seen) = mpsc::channel(1);
    let (address, _) = raw(move |_, mut stream: TcpStream| {
        let heads = heads.clone();
        async move {
            loop {
                let head = read_head(&mut stream).await;
                if head.is_empty() {
                    return;
                }
                let head = String::from_utf8(head).unwrap().to_ascii_lowercase();
                heads.send(head).await.unwrap();
                write(&mut stream, ANSWER).await;
            }
        }
    })
    .await;
    let weir = Setup::new(address).start().await;
    for (te, asked) in [("trailers", true), ("gzip", false)] {
        let request =
            format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, TE\r\nTE: {te}\r\n\r\n");
        exchange(weir.address, request.as_bytes()).await;
        let head = seen.recv().await.unwrap();
        assert_eq!(head.contains("\r\nte: trailers\r\n"), asked, "{head}");
        assert_eq!(head.contains("\r\nconnection: te\r\n"), asked, "{head}");
    }
}

#[tokio::test]
async fn trailers_of_a_request_reach_the_origin_but_no_forged_ones() {
    let (bodies, mut seen) = mpsc::channel(1);
    let (address, _) = raw(move |_, mut stream: TcpStream| {
        let bodies = bodies.clone();
        async move {
            read_head(&mut stream).await;
            let mut body = Vec::new();
            while !body.windows(5).any(|end| end == b"0\r\nx-") || !body.ends_with(b"\r\n\r\n") {
                let mut more = [0; 1024];
                match stream.read(&mut more).await {
                    Ok(length @ 1..) => body.extend(&more[..length]),
                    _ => break,
                }
            }
            bodies.send(String::from_utf8(body).unwrap()).await.unwrap();
            write(&mut stream, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        }
    })
    .await;
    let weir = Setup::new(address).route("mode: off").start().await;
    let request = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\
        Trailer: X-Sum, X-Weir-Score-Of, X-Original-URL\r\n\r\n4\r\nbody\r\n0\r\nX-Sum: 42\r\nX-Weir-Score-Of: 0\r\n\
        X-Original-URL: /admin\r\n\r\n";
    let answer = exchange(weir.address, request).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let body = within("the body", seen.recv()).await.unwrap();
    assert_eq!(body, "4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n");
}
