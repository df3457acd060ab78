//! What a verdict, a rate and a failure do to a request.

use serde_json::Value;

use crate::support::bundle;
use crate::support::client::{Client, empty, full};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::{LENIENT, NO_MODEL, STRICT, Setup};

#[tokio::test]
async fn a_block_is_a_page_or_an_object_with_the_request_id() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).route(STRICT).start().await;
    let mut client = Client::http1(weir.address).await;
    for (accept, kind) in [
        (
            "text/html,application/xhtml+xml,*/*;q=0.8",
            "text/html; charset=utf-8",
        ),
        ("application/json", "application/json"),
    ] {
        let request = client
            .request("GET", "/?q=1")
            .header("accept", accept)
            .body(empty())
            .unwrap();
        let response = client.send(request).await;
        assert_eq!(response.status(), 403);
        assert_eq!(response.headers()["content-type"], kind);
        assert_eq!(response.headers()["cache-control"], "no-store");
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let text = std::str::from_utf8(response.body()).unwrap();
        assert!(text.contains(id), "{text}");
        if kind == "application/json" {
            let object: Value = serde_json::from_str(text).unwrap();
            assert_eq!(
                (&object["error"], &object["request_id"]),
                (&"blocked".into(), &id.into())
            );
        }
        let record = weir.record(id).await;
        assert_eq!(
            (&record["verdict"], &record["action"], &record["status"]),
            (&"block".into(), &"block".into(), &403.into())
        );
        assert!(record["reason"].is_object(), "{record}");
    }
    let head = client.request("HEAD", "/").body(empty()).unwrap();
    let response = client.send(head).await;
    assert_eq!(
        (response.status().as_u16(), response.body().len()),
        (403, 0)
    );
    assert_eq!(origin.connections(), 0);
}

#[tokio::test]
async fn shadow_records_and_lets_pass_and_off_does_not_look() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address).route(&STRICT.replace("enforce", "shadow"));
    setup
        .routes
        .push("{id: static, path: /static, upstream: app, mode: off}".to_owned());
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    let response = client.get("/?q=1").await;
    assert_eq!(response.status(), 200);
    let seen: Seen = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(seen.header("x-weir-verdict"), Some("block"));
    let record = weir.record(seen.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&record["verdict"], &record["action"], &record["mode"]),
        (&"block".into(), &"forward".into(), &"shadow".into())
    );

    let response = client
        .send(client.request("POST", "/static/x").body(full("x")).unwrap())
        .await;
    let seen: Seen = serde_json::from_slice(response.body()).unwrap();
    assert_eq!(
        (seen.header("x-weir-verdict"), seen.header("x-weir-score")),
        (Some("off"), None)
    );
    let record = weir.record(seen.header("x-request-id").unwrap()).await;
    assert_eq!(
        (&record["route"], &record["verdict"], &record["score"]),
        (&"static".into(), &"off".into(), &Value::Null)
    );
}

#[tokio::test]
async fn routes_are_found_by_host_and_path_under_every_spelling() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address).route(LENIENT);
    setup
        .routes
        .push("{id: off, path: /off, upstream: app, mode: off}".to_owned());
    setup
        .routes
        .push("{id: host, host: \"*.other.example\", upstream: app, mode: off}".to_owned());
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    for (host, target, route) in [
        ("shop.example", "/off/x", "off"),
        ("shop.example", "/offer", "all"),
        ("shop.example", "/%6fff/x", "off"),
        ("shop.example", "/off/../admin", "all"),
        ("shop.example", "/off/%2e%2e/admin", "all"),
        ("a.OTHER.example:8080", "/admin", "host"),
        ("other.example", "/admin", "all"),
    ] {
        let request = hyper::Request::builder()
            .uri(target)
            .header("host", host)
            .body(empty())
            .unwrap();
        let response = client.send(request).await;
        let id = response.headers()["x-request-id"].to_str().unwrap();
        assert_eq!(weir.record(id).await["route"], route, "{host} {target}");
    }
}

#[tokio::test]
async fn a_client_over_its_rate_is_told_when_to_come_back() {
    let origin = Origin::echo().await;
    let limited = format!("{LENIENT}, rate_limit: {{requests: 3, per: 1h}}");
    let weir = Setup::new(origin.address).route(&limited).start().await;
    let mut client = Client::http1(weir.address).await;
    for _ in 0..3 {
        assert_eq!(client.get("/").await.status(), 200);
    }
    let response = client.get("/").await;
    assert_eq!(response.status(), 429);
    let seconds: u64 = response.headers()["retry-after"]
        .to_str()
        .unwrap()
        .parse()
        .unwrap();
    assert!((1..=1200).contains(&seconds), "{seconds}");
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert_eq!(weir.record(id).await["verdict"], "rate_limited");
    assert_eq!(origin.seen().len(), 3);
}

#[tokio::test]
async fn without_a_model_the_fail_mode_decides() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address).route("mode: enforce, fail: open");
    setup.model = Some(NO_MODEL.to_owned());
    setup
        .routes
        .push("{id: closed, path: /closed, upstream: app, mode: enforce, fail: closed}".to_owned());
    setup
        .routes
        .push("{id: shadow, path: /shadow, upstream: app, mode: shadow, fail: closed}".to_owned());
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    for (target, status, verdict) in [
        ("/", 200, "failed_open"),
        ("/closed", 503, "failed_closed"),
        ("/shadow", 200, "failed_closed"),
    ] {
        let response = client.get(target).await;
        assert_eq!(response.status(), status, "{target}");
        let id = response.headers()["x-request-id"].to_str().unwrap();
        let record = weir.record(id).await;
        assert_eq!(
            (&record["verdict"], &record["failure"]),
            (&verdict.into(), &"no_model".into()),
            "{record}"
        );
    }
    assert_eq!(client.get("/closed").await.headers()["retry-after"], "2");
}

#[tokio::test]
async fn passed_requests_are_captured_redacted_with_their_response() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("capture: {directory: captured}")
        .start()
        .await;
    let mut client = Client::http1(weir.address).await;
    let request = client
        .request("POST", "/login")
        .header("content-type", "application/x-www-form-urlencoded");
    let response = client
        .send(request.body(full("user=ann&password=hunter2")).unwrap())
        .await;
    assert_eq!(response.status(), 200);
    weir.record(response.headers()["x-request-id"].to_str().unwrap())
        .await;
    let folder = weir.folder();
    let mut weir = weir;
    weir.signal("TERM");
    assert!(weir.ended().await.success());
    let mut text = String::new();
    for file in std::fs::read_dir(folder.join("captured")).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_some_and(|kind| kind == "gz") {
            let mut decoder = flate2::read::MultiGzDecoder::new(std::fs::File::open(path).unwrap());
            std::io::Read::read_to_string(&mut decoder, &mut text).unwrap();
        }
    }
    let record: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
    assert_eq!(
        (&record["method"], &record["uri"], &record["status"]),
        (&"POST".into(), &"/login".into(), &200.into())
    );
    assert_eq!(record["response_bytes"], response.body().len());
    assert!(
        record["body"]
            .as_str()
            .unwrap()
            .starts_with("user=ann&password="),
        "{record}"
    );
    assert!(!text.contains("hunter2"), "{text}");
}

#[tokio::test]
async fn an_attack_is_blocked_and_ordinary_requests_pass_in_every_version() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .route("mode: enforce")
        .start()
        .await;
    for mut client in [
        Client::http1(weir.address).await,
        Client::http2(weir.address).await,
    ] {
        assert_eq!(client.get(bundle::ORDINARY).await.status(), 200);
        assert_eq!(client.get(bundle::ATTACK).await.status(), 403);
        let (_, query) = bundle::ATTACK.split_once('?').unwrap();
        let form = client
            .request("POST", "/login")
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            client.send(form.body(full(query)).unwrap()).await.status(),
            403
        );
        // Behind padding that leaves the async threads.
        let padded = format!("padding={}&{query}", "lorem ".repeat(8_000));
        let form = client
            .request("POST", "/login")
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(
            client.send(form.body(full(padded)).unwrap()).await.status(),
            403
        );
        assert_eq!(client.get(bundle::ORDINARY).await.status(), 200);
    }
}
