//! Upstreams with several endpoints: who gets a request, what happens when one is away, slow or sick.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::StatusCode;
use hyper::Response;
use serde_json::Value;
use tokio::sync::watch;

use crate::admin;
use crate::support::client::{Client, empty, full};
use crate::support::eventually;
use crate::support::origin::{self, Origin, raw, read_head, write};
use crate::support::weir::{Setup, Weir};

/// Answers its name and counts its requests.
async fn named(name: &'static str) -> (Origin, Arc<AtomicUsize>) {
    let requests = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&requests);
    let origin = Origin::with(move |_| {
        count.fetch_add(1, Ordering::SeqCst);
        async move { Response::new(origin::full(name)) }
    })
    .await;
    (origin, requests)
}

/// A port where nobody listens.
fn nowhere() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

fn setup(endpoints: &[SocketAddr], upstream: &str) -> Setup {
    let mut setup = Setup::new(endpoints[0]);
    setup.others = endpoints[1..].to_vec();
    setup.upstream = upstream.to_owned();
    setup
}

async fn get(weir: &Weir) -> (StatusCode, String) {
    let response = Client::http1(weir.address).await.get("/").await;
    let text = String::from_utf8_lossy(response.body()).into_owned();
    (response.status(), text)
}

async fn error(weir: &Weir) -> (u16, String) {
    let mut client = Client::http1(weir.address).await;
    let request = client
        .request("GET", "/")
        .header("accept", "application/json");
    let response = client.send(request.body(empty()).unwrap()).await;
    let object: Value = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(object["side"], "upstream");
    assert_eq!(
        object["request_id"],
        response.headers()["x-request-id"].to_str().unwrap()
    );
    (
        response.status().as_u16(),
        object["error"].as_str().unwrap().to_owned(),
    )
}

async fn endpoints(weir: &Weir) -> Vec<Value> {
    let status = admin::status(weir).await;
    status["upstreams"][0]["endpoints"]
        .as_array()
        .unwrap()
        .clone()
}

/// Waits until the endpoint at `index` is in `state`.
async fn until(weir: &Weir, index: usize, state: &str) {
    for _ in 0..600 {
        if endpoints(weir).await[index]["state"] == state {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    panic!(
        "endpoint {index} is not {state}: {:?}",
        endpoints(weir).await
    );
}

#[tokio::test]
async fn endpoints_take_turns() {
    let ((one, first), (two, second), (three, third)) =
        (named("1").await, named("2").await, named("3").await);
    let weir = setup(&[one.address, two.address, three.address], "")
        .start()
        .await;
    for _ in 0..9 {
        assert_eq!(get(&weir).await.0, 200);
    }
    for requests in [first, second, third] {
        assert_eq!(requests.load(Ordering::SeqCst), 3);
    }
    let metric = format!(
        "weir_upstream_requests_total{{upstream=\"app\",endpoint=\"{}\"}}",
        one.address
    );
    assert_eq!(admin::metric(&weir, &metric).await, 3.0);
}

#[tokio::test]
async fn the_least_busy_endpoint_gets_the_request() {
    let (release, wait) = watch::channel(false);
    let waiting = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&waiting);
    let slow = Origin::with(move |_| {
        let (mut wait, count) = (wait.clone(), Arc::clone(&count));
        async move {
            count.fetch_add(1, Ordering::SeqCst);
            wait.wait_for(|go| *go).await.unwrap();
            Response::new(origin::full("slow"))
        }
    })
    .await;
    let (fast, _) = named("fast").await;
    let weir = setup(&[slow.address, fast.address], ", balance: least_request")
        .start()
        .await;
    // Whoever hangs stays at the slow one; nobody follows.
    let mut hanging = Vec::new();
    while waiting.load(Ordering::SeqCst) == 0 {
        let address = weir.address;
        hanging.push(tokio::spawn(async move {
            Client::http1(address).await.get("/").await.status()
        }));
        let done = || hanging.last().is_some_and(|task| task.is_finished());
        eventually("an answer or a wait", || {
            (done() || waiting.load(Ordering::SeqCst) > 0).then_some(())
        })
        .await;
    }
    for _ in 0..20 {
        assert_eq!(get(&weir).await, (StatusCode::OK, "fast".to_owned()));
    }
    release.send(true).unwrap();
    for task in hanging {
        assert_eq!(task.await.unwrap(), 200);
    }
}

#[tokio::test]
async fn an_endpoint_that_is_away_costs_no_request_and_is_ejected() {
    let (origin, requests) = named("ok").await;
    let away = nowhere();
    let weir = setup(
        &[away, origin.address],
        ", ejection: {failures: 3, time: 1h, longest: 1h}",
    )
    .start()
    .await;
    for _ in 0..12 {
        let mut client = Client::http1(weir.address).await;
        let request = client.request("POST", "/").body(full("body")).unwrap();
        assert_eq!(client.send(request).await.status(), 200);
    }
    assert_eq!(requests.load(Ordering::SeqCst), 12);
    let states = endpoints(&weir).await;
    assert_eq!(
        (&states[0]["state"], &states[1]["state"]),
        (&"ejected".into(), &"up".into())
    );
    let of = |name: &str, cause: &str| {
        format!("weir_upstream_{name}{{upstream=\"app\",endpoint=\"{away}\"{cause}}}")
    };
    let failures = of("failures_total", ",cause=\"connect\"");
    assert_eq!(admin::metric(&weir, &failures).await, 3.0);
    assert_eq!(admin::metric(&weir, &of("ejections_total", "")).await, 1.0);
    assert_eq!(admin::metric(&weir, &of("up", "")).await, 0.0);
    let retries = "weir_upstream_retries_total{upstream=\"app\"}";
    assert_eq!(admin::metric(&weir, retries).await, 3.0);
}

#[tokio::test]
async fn an_ejected_endpoint_comes_back_when_it_answers() {
    let (origin, _) = named("stays").await;
    let reserved = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = reserved.local_addr().unwrap();
    drop(reserved);
    let weir = setup(
        &[address, origin.address],
        ", ejection: {failures: 1, time: 100ms, longest: 100ms}",
    )
    .start()
    .await;
    assert_eq!(get(&weir).await.1, "stays");
    let back = tokio::net::TcpListener::bind(address).await.unwrap();
    let serving = tokio::spawn(async move {
        loop {
            let (mut stream, _) = back.accept().await.unwrap();
            read_head(&mut stream).await;
            write(
                &mut stream,
                b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\nback",
            )
            .await;
        }
    });
    for _ in 0..600 {
        if get(&weir).await.1 == "back" {
            serving.abort();
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    panic!("it never came back");
}

/// Closes after it has read a request, on a fresh connection: the request may have had its effect.
#[tokio::test]
async fn only_what_can_be_repeated_is_sent_to_another_endpoint() {
    let (address, _broken) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let (origin, requests) = named("ok").await;
    let weir = setup(&[address, origin.address], ", ejection: {failures: 0}")
        .start()
        .await;
    for _ in 0..4 {
        assert_eq!(get(&weir).await, (StatusCode::OK, "ok".to_owned()));
    }
    let before = requests.load(Ordering::SeqCst);
    let mut statuses = Vec::new();
    for _ in 0..4 {
        let mut client = Client::http1(weir.address).await;
        let request = client.request("POST", "/").body(full("once")).unwrap();
        statuses.push(client.send(request).await.status().as_u16());
    }
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 200, 502, 502]);
    assert_eq!(requests.load(Ordering::SeqCst) - before, 2);
}

#[tokio::test]
async fn retries_end_with_their_budget() {
    let (address, _broken) = raw(|_, mut stream| async move {
        read_head(&mut stream).await;
    })
    .await;
    let (origin, _) = named("ok").await;
    for (retries, failed) in [
        ("{attempts: 0}", 15),
        ("{budget: 0}", 15),
        // The reserve of ten.
        ("{budget: 1}", 5),
        ("{budget: 100}", 0),
    ] {
        let upstream = format!(", ejection: {{failures: 0}}, retries: {retries}");
        let weir = setup(&[address, origin.address], &upstream).start().await;
        let mut found = 0;
        for _ in 0..30 {
            found += usize::from(get(&weir).await.0 == 502);
        }
        assert_eq!(found, failed, "{retries}");
    }
}

#[tokio::test]
async fn checks_take_endpoints_down_and_bring_them_back() {
    let sick = Arc::new(AtomicBool::new(false));
    let healthy = |name: &'static str, sick: Option<Arc<AtomicBool>>| {
        Origin::with(move |request| {
            let is_sick = sick
                .as_ref()
                .is_some_and(|sick| sick.load(Ordering::SeqCst));
            let is_check = request.uri().path() == "/healthz";
            if is_check {
                let host = request
                    .headers()
                    .get("host")
                    .map(|host| host.to_str().unwrap());
                let host = host.or_else(|| request.uri().authority().map(|host| host.as_str()));
                assert_eq!(host, Some("app.internal"));
                assert_eq!(request.headers()["user-agent"], "weir-health");
            }
            async move {
                let mut response = Response::new(origin::full(name));
                if is_check && is_sick {
                    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
                }
                response
            }
        })
    };
    let one = healthy("1", Some(Arc::clone(&sick))).await;
    let two = healthy("2", None).await;
    for protocol in ["http1", "http2"] {
        sick.store(false, Ordering::SeqCst);
        let upstream = format!(
            ", protocol: {protocol}, health: {{path: /healthz, host: app.internal, interval: 100ms, healthy: 1, unhealthy: 2}}"
        );
        let weir = setup(&[one.address, two.address], &upstream).start().await;
        let both = [get(&weir).await.1, get(&weir).await.1];
        assert!(both.contains(&"1".to_owned()) && both.contains(&"2".to_owned()));
        sick.store(true, Ordering::SeqCst);
        until(&weir, 0, "down").await;
        for _ in 0..6 {
            assert_eq!(get(&weir).await.1, "2");
        }
        sick.store(false, Ordering::SeqCst);
        until(&weir, 0, "up").await;
        let both = [get(&weir).await.1, get(&weir).await.1];
        assert!(both.contains(&"1".to_owned()) && both.contains(&"2".to_owned()));
    }
}

#[tokio::test]
async fn an_upstream_whose_endpoints_are_all_down_is_unavailable_at_once() {
    let weir = setup(
        &[nowhere(), nowhere()],
        ", health: {interval: 100ms, unhealthy: 1}",
    )
    .start()
    .await;
    until(&weir, 0, "down").await;
    until(&weir, 1, "down").await;
    assert_eq!(error(&weir).await, (503, "upstream_down".to_owned()));
    let up = "weir_errors_total{cause=\"upstream_down\"}";
    assert!(admin::metric(&weir, up).await >= 1.0);
}

#[tokio::test]
async fn names_are_looked_up_and_one_without_an_address_is_named() {
    let (origin, _) = named("ok").await;
    let setup = Setup::new(origin.address);
    let name = format!("localhost:{}", origin.address.port());
    let weir = setup.start().await;
    let yaml = setup.yaml();
    let address = origin.address.to_string();
    weir.rewrite(&yaml.replace(&address, &name));
    admin::post(&weir, "/-/reload", "").await;
    // It may resolve to ::1 as well, where nobody listens.
    for _ in 0..6 {
        assert_eq!(get(&weir).await, (StatusCode::OK, "ok".to_owned()));
    }
    assert_eq!(endpoints(&weir).await[0]["address"], name.as_str());
    weir.rewrite(&yaml.replace(&address, "nowhere.invalid:80"));
    admin::post(&weir, "/-/reload", "").await;
    assert_eq!(error(&weir).await, (502, "upstream_unresolved".to_owned()));
}

#[tokio::test]
async fn those_who_find_the_queue_full_are_told_at_once() {
    let (release, origin) = Origin::held().await;
    let weir = setup(
        &[origin.address],
        ", max_connections: 1, max_pending: 0, timeouts: {connect: 1h}",
    )
    .start()
    .await;
    let address = weir.address;
    let first = tokio::spawn(async move { Client::http1(address).await.get("/").await.status() });
    eventually("the first at the origin", || {
        (origin.connections() == 1).then_some(())
    })
    .await;
    assert_eq!(error(&weir).await, (503, "upstream_busy".to_owned()));
    release.send(true).unwrap();
    assert_eq!(first.await.unwrap(), 200);
}

#[tokio::test]
async fn an_upstream_has_timeouts_of_its_own() {
    let origin = Origin::with(|_| std::future::pending()).await;
    let weir = setup(&[origin.address], ", timeouts: {response: 500ms}")
        .section("timeouts: {response: 1h}")
        .start()
        .await;
    assert_eq!(
        error(&weir).await,
        (504, "upstream_response_timeout".to_owned())
    );
}

#[tokio::test]
async fn a_reload_keeps_the_connections_of_endpoints_that_stay() {
    let ((one, _), (two, _)) = (named("1").await, named("2").await);
    let mut setup = setup(&[one.address], "");
    let weir = setup.start().await;
    assert_eq!(get(&weir).await.1, "1");
    setup.others = vec![two.address];
    weir.rewrite(&setup.yaml());
    admin::post(&weir, "/-/reload", "").await;
    for _ in 0..6 {
        get(&weir).await;
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let metric = format!(
        "weir_upstream_requests_total{{upstream=\"app\",endpoint=\"{}\"}}",
        one.address
    );
    assert_eq!(admin::metric(&weir, &metric).await, 4.0);
}

#[tokio::test]
async fn whoever_reads_plain_text_gets_plain_text() {
    let weir = Setup::new(nowhere()).start().await;
    let mut client = Client::http1(weir.address).await;
    let request = client.request("GET", "/").header("accept", "text/plain");
    let response = client.send(request.body(empty()).unwrap()).await;
    assert_eq!(response.status(), 502);
    assert_eq!(
        response.headers()["content-type"],
        "text/plain; charset=utf-8"
    );
    let text = String::from_utf8_lossy(response.body()).into_owned();
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert!(text.contains(id) && text.contains("upstream"), "{text}");
    assert!(!text.contains('<'), "{text}");
}
