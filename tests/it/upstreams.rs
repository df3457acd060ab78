//! Origins that are away, slow, broken or busy.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http_body_util::BodyExt;
use serde_json::Value;

use crate::support::client::{Client, empty, full};
use crate::support::origin::{Origin, raw, read_head, write};
use crate::support::weir::{NO_MODEL, Setup, Weir};
use crate::support::{eventually, within};

/// Asks for JSON; returns status, error and side.
async fn failure(weir: &Weir, method: &str, target: &str) -> (u16, String, String) {
    let mut client = Client::http1(weir.address).await;
    let request = client
        .request(method, target)
        .header("accept", "application/json");
    let body = if method == "POST" {
        full("body")
    } else {
        empty()
    };
    let response = client.send(request.body(body).unwrap()).await;
    let object: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        object["request_id"],
        response.headers()["x-request-id"].to_str().unwrap()
    );
    let text = |name: &str| object[name].as_str().unwrap().to_owned();
    (response.status().as_u16(), text("error"), text("side"))
}

fn of(status: u16, error: &str, side: &str) -> (u16, String, String) {
    (status, error.to_owned(), side.to_owned())
}

#[tokio::test]
async fn nothing_is_served_where_no_route_leads() {
    let origin = Origin::echo().await;
    let setup = Setup::new(origin.address);
    let yaml = setup.yaml().replace("path: /,", "path: /app,");
    let weir = setup.start().await;
    weir.rewrite(&yaml);
    crate::admin::post(&weir, "/-/reload", "").await;
    assert_eq!(
        failure(&weir, "GET", "/other").await,
        of(404, "no_route", "client")
    );
    assert_eq!(
        Client::http1(weir.address)
            .await
            .get("/app/x")
            .await
            .status(),
        200
    );
    let response = Client::http1(weir.address).await.get("/other").await;
    assert!(
        std::str::from_utf8(response.body())
            .unwrap()
            .contains("<h1>404")
    );
}

#[tokio::test]
async fn an_origin_that_is_away_is_a_bad_gateway() {
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let weir = Setup::new(free).start().await;
    assert_eq!(
        failure(&weir, "GET", "/").await,
        of(502, "upstream_unreachable", "upstream")
    );
    let metric = "weir_errors_total{cause=\"upstream_unreachable\"}";
    assert!(crate::admin::metric(&weir, metric).await >= 1.0);
}

#[tokio::test]
async fn an_origin_that_answers_nonsense_is_a_bad_gateway() {
    for nonsense in [
        &b"nonsense\r\n\r\n"[..],
        b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
        b"",
    ] {
        let (address, _origin) = raw(move |_, mut stream| async move {
            read_head(&mut stream).await;
            write(&mut stream, nonsense).await;
        })
        .await;
        let weir = Setup::new(address).start().await;
        assert_eq!(
            failure(&weir, "GET", "/").await,
            of(502, "upstream_broken", "upstream")
        );
    }
}

#[tokio::test]
async fn an_origin_that_is_silent_is_a_timeout() {
    let (address, _origin) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        std::future::pending::<()>().await;
    })
    .await;
    let weir = Setup::new(address)
        .section("timeouts: {response: 1s}")
        .start()
        .await;
    assert_eq!(
        failure(&weir, "GET", "/").await,
        of(504, "upstream_response_timeout", "upstream")
    );
    assert_eq!(
        failure(&weir, "POST", "/").await,
        of(504, "upstream_response_timeout", "upstream")
    );
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_passed_off_as_whole() {
    let (address, _origin) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        write(
            &mut stream,
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        )
        .await;
    })
    .await;
    let weir = Setup::new(address).start().await;
    let mut client = Client::http1(weir.address).await;
    let request = client.request("GET", "/").body(empty()).unwrap();
    let response = client.start(request).await.unwrap();
    assert!(
        within("the end", response.into_body().collect())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn an_origin_that_stalls_within_its_answer_is_cut_off() {
    let (address, _origin) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        write(
            &mut stream,
            b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nonly this",
        )
        .await;
        std::future::pending::<()>().await;
    })
    .await;
    let weir = Setup::new(address)
        .section("timeouts: {response: 1s}")
        .start()
        .await;
    let mut client = Client::http1(weir.address).await;
    let request = client.request("GET", "/").body(empty()).unwrap();
    let response = client.start(request).await.unwrap();
    assert!(
        within("the end", response.into_body().collect())
            .await
            .is_err()
    );
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// The origin answers once on each connection and closes when the second request arrives: the worst moment.
#[tokio::test]
async fn a_stale_connection_is_replaced_when_nothing_can_be_repeated_twice() {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let (address, _origin) = raw(move |_, mut stream| {
        let count = Arc::clone(&count);
        async move {
            read_head(&mut stream).await;
            count.fetch_add(1, Ordering::SeqCst);
            write(&mut stream, OK).await;
            if !read_head(&mut stream).await.is_empty() {
                count.fetch_add(1, Ordering::SeqCst);
            }
        }
    })
    .await;
    let mut setup = Setup::new(address).route("mode: enforce");
    setup.model = Some(NO_MODEL.to_owned());
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    assert_eq!(client.get("/1").await.status(), 200);
    assert_eq!(client.get("/2").await.status(), 200);
    assert_eq!(
        requests.load(Ordering::SeqCst),
        3,
        "the second went out twice"
    );
    // A POST that may have had its effect is not repeated.
    let response = client
        .send(client.request("POST", "/3").body(full("x")).unwrap())
        .await;
    assert_eq!(response.status(), 502);
}

#[tokio::test]
async fn an_origin_that_closes_between_requests_costs_nobody_anything() {
    let (address, _origin) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
        write(&mut stream, OK).await;
    })
    .await;
    let weir = Setup::new(address).start().await;
    let mut client = Client::http1(weir.address).await;
    for _ in 0..20 {
        assert_eq!(client.get("/").await.status(), 200);
    }
}

#[tokio::test]
async fn connections_to_an_origin_are_bounded_and_waiting_is_too() {
    let (release, origin) = Origin::held().await;
    let mut setup = Setup::new(origin.address).section("timeouts: {connect: 1s}");
    setup.upstream = ", max_connections: 2".to_owned();
    let weir = setup.start().await;
    let get = || async { Client::http1(weir.address).await.get("/").await };
    let (first, second) = (
        tokio::spawn(get_owned(weir.address)),
        tokio::spawn(get_owned(weir.address)),
    );
    eventually("both at the origin", || {
        (origin.connections() == 2).then_some(())
    })
    .await;
    let refused = get().await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    release.send(true).unwrap();
    assert_eq!((first.await.unwrap(), second.await.unwrap()), (200, 200));
    for _ in 0..10 {
        assert_eq!(get().await.status(), 200);
    }
    assert_eq!(origin.connections(), 2);
}

async fn get_owned(address: std::net::SocketAddr) -> u16 {
    Client::http1(address)
        .await
        .get("/")
        .await
        .status()
        .as_u16()
}

#[tokio::test]
async fn a_client_that_leaves_frees_its_connection_and_is_recorded() {
    let origin = Origin::with(|_| std::future::pending()).await;
    let mut setup = Setup::new(origin.address).section("timeouts: {connect: 60s}");
    setup.upstream = ", max_connections: 1".to_owned();
    let weir = setup.start().await;
    for round in 1..=3 {
        let mut client = Client::http1(weir.address).await;
        let request = client.request("GET", "/").body(empty()).unwrap();
        let task = tokio::spawn(async move { client.start(request).await.map(drop) });
        eventually("the request at the origin", || {
            (origin.connections() == round).then_some(())
        })
        .await;
        task.abort();
        let gone = task.await;
        assert!(gone.is_err());
        let records = eventually("the record", || {
            let records = weir.records();
            (records.len() == round).then_some(records)
        })
        .await;
        assert_eq!(records[round - 1]["status"], 499);
    }
}
