//! Clients that send too much, too slowly, or too deep.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::{Client, empty, exchange, full, room_again};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::Setup;
use crate::support::{eventually, within};

#[tokio::test]
async fn headers_that_never_end_end_the_connection() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("timeouts: {header: 1s, idle: 1s}")
        .start()
        .await;
    // Who has sent nothing is told nothing.
    for (bytes, status) in [
        (&b""[..], ""),
        (b"GET / HT", "HTTP/1.1 408"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX-Slow: ", "HTTP/1.1 408"),
    ] {
        let mut stream = TcpStream::connect(weir.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = String::new();
        let _ = within("the close", stream.read_to_string(&mut answer)).await;
        assert_eq!(answer.get(..12).unwrap_or_default(), status, "{answer}");
    }
    // An idle keep-alive connection ends too.
    let mut stream = TcpStream::connect(weir.address).await.unwrap();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let mut answer = String::new();
    within("the close", stream.read_to_string(&mut answer))
        .await
        .unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn an_answer_may_take_longer_than_the_idle_timeout() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::with(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(crate::support::origin::full("late"))
        }
    })
    .await;
    let weir = Setup::new(origin.address)
        .section("timeouts: {header: 1s, idle: 200ms}")
        .start()
        .await;
    let mut slow = Client::http1(weir.address).await;
    let request = slow.request("GET", "/").body(empty()).unwrap();
    let answer = tokio::spawn(async move { slow.send(request).await });
    eventually("the request at the origin", || {
        (origin.connections() == 1).then_some(())
    })
    .await;
    // Another connection lives and dies of idleness meanwhile: the timeout has passed.
    let mut idle = TcpStream::connect(weir.address).await.unwrap();
    let _ = within("the idle close", idle.read_to_end(&mut Vec::new())).await;
    release.send(true).unwrap();
    assert_eq!(answer.await.unwrap().body(), "late");
}

#[tokio::test]
async fn a_hundred_thousand_fields_and_deep_nesting_are_inspected_and_pass() {
    let origin = Origin::echo().await;
    let policy = "mode: shadow, inspect: {body: 4MiB, deadline: 60s}, fail: closed";
    let weir = Setup::new(origin.address).route(policy).start().await;
    let mut client = Client::http1(weir.address).await;
    let fields: Vec<String> = (0..100_000)
        .map(|number| format!("\"k{number}\":{number}"))
        .collect();
    let wide = format!("{{{}}}", fields.join(","));
    let deep = format!("{}1{}", "{\"a\":[".repeat(32), "]}".repeat(32));
    let deeper = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for body in [wide, deep, deeper] {
        let length = body.len();
        let request = client
            .request("POST", "/api")
            .header("content-type", "application/json");
        let response = client.send(request.body(full(body)).unwrap()).await;
        assert_eq!(response.status(), 200);
        let seen: Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.length, length);
        let record = weir.record(seen.header("x-request-id").unwrap()).await;
        assert!(record["score"].is_number(), "{record}");
        assert!(record.get("failure").is_none(), "{record}");
    }
}

#[tokio::test]
async fn connections_beyond_the_limit_are_turned_away_and_come_back_later() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("limits: {connections: 2, connections_per_client: 2}")
        .start()
        .await;
    let mut one = Client::http1(weir.address).await;
    let mut two = Client::http1(weir.address).await;
    assert_eq!(one.get("/").await.status(), 200);
    assert_eq!(two.get("/").await.status(), 200);
    let answer = exchange(weir.address, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert!(answer.contains("retry-after"), "{answer}");
    let series = "weir_connections_refused_total{cause=\"total\"}";
    assert!(crate::admin::metric(&weir, series).await >= 1.0);
    drop(one);
    room_again(weir.address).await;
}

#[tokio::test]
async fn running_out_of_descriptors_passes() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.descriptors = Some(64);
    let weir = setup.start().await;
    let mut flood = Vec::new();
    for _ in 0..100 {
        flood.push(TcpStream::connect(weir.address).await.unwrap());
    }
    eventually("the log to say so", || {
        weir.log()
            .iter()
            .any(|line| line.contains("open files"))
            .then_some(())
    })
    .await;
    drop(flood);
    within("service again", async {
        while !exchange(weir.address, b"GET / HTTP/1.0\r\n\r\n")
            .await
            .contains("200")
        {}
    })
    .await;
}
