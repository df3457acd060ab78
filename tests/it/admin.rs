//! The admin listener, as operators and probes use it.

use serde_json::Value;

use crate::support::client::{Client, empty, full};
use crate::support::origin::Origin;
use crate::support::weir::{Setup, Weir};

/// A request to the admin listener; its status and text.
pub async fn call(weir: &Weir, method: &str, target: &str, body: &str) -> (u16, String) {
    let mut client = Client::http1(weir.admin).await;
    let request = hyper::Request::builder()
        .method(method)
        .uri(target)
        .header("host", weir.admin.to_string())
        .header("content-type", "application/json");
    let body = if body.is_empty() {
        empty()
    } else {
        full(body.to_owned())
    };
    let response = client.send(request.body(body).unwrap()).await;
    (
        response.status().as_u16(),
        String::from_utf8(response.body().to_vec()).unwrap(),
    )
}

pub async fn post(weir: &Weir, target: &str, body: &str) -> (u16, String) {
    call(weir, "POST", target, body).await
}

pub async fn status(weir: &Weir) -> Value {
    let (status, text) = call(weir, "GET", "/-/status", "").await;
    assert_eq!(status, 200, "{text}");
    serde_json::from_str(&text).unwrap()
}

/// The value of a metric's series, or 0.
pub async fn metric(weir: &Weir, series: &str) -> f64 {
    let (_, text) = call(weir, "GET", "/metrics", "").await;
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.trim().parse().ok())
        .unwrap_or(0.0)
}

#[tokio::test]
async fn health_status_and_metrics() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    assert_eq!(
        call(&weir, "GET", "/-/healthz", "").await,
        (200, "ok\n".to_owned())
    );
    assert_eq!(call(&weir, "GET", "/-/readyz", "").await.0, 200);
    Client::http1(weir.address).await.get("/").await;
    let status = status(&weir).await;
    assert_eq!(status["generation"], 1);
    crate::support::eventually("the request's record", || weir.records().pop()).await;
    assert!(metric(&weir, "weir_requests_total{route=\"all\",verdict=\"pass\"}").await >= 1.0);
    assert_eq!(call(&weir, "GET", "/-/reload", "").await.0, 405);
    assert_eq!(call(&weir, "GET", "/elsewhere", "").await.0, 404);
}

#[tokio::test]
async fn thresholds_change_at_once_and_a_reload_takes_them_back() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http1(weir.address).await;
    assert_eq!(client.get("/").await.status(), 200);
    let strict = "{\"route\":\"*\",\"flag\":\"1\",\"block\":\"1\"}";
    let (code, text) = call(&weir, "PUT", "/-/thresholds", strict).await;
    assert_eq!(code, 200, "{text}");
    assert_eq!(client.get("/").await.status(), 403);
    assert_eq!(
        call(
            &weir,
            "PUT",
            "/-/thresholds",
            "{\"route\":\"none\",\"block\":\"1\"}"
        )
        .await
        .0,
        404
    );
    assert_eq!(
        call(
            &weir,
            "PUT",
            "/-/thresholds",
            "{\"route\":\"*\",\"block\":\"soon\"}"
        )
        .await
        .0,
        400
    );
    assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
    assert_eq!(client.get("/").await.status(), 200);
    assert_eq!(status(&weir).await["generation"], 3);
}

#[tokio::test]
async fn a_budget_that_the_model_cannot_promise_applies_and_is_named_everywhere() {
    // The tiny bundle's calibration rests on 1,000 requests, which promise 1/334.
    let both = "block budget 1/2000 (0.050%) is below 1/334 (0.30%)";
    let origin = Origin::echo().await;
    let setup =
        Setup::new(origin.address).route("mode: enforce, budgets: {flag: 1/200, block: 1/2000}");
    let weir = setup.start().await;
    let told = |weir: &Weir| {
        let log = weir.log();
        log.iter().filter(|line| line.contains(both)).count()
    };
    assert_eq!(told(&weir), 1, "{:?}", weir.log());
    assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
    crate::support::eventually("the warning again", || (told(&weir) == 2).then_some(())).await;

    let put = |body: &'static str| call(&weir, "PUT", "/-/thresholds", body);
    let (code, text) = put("{\"route\":\"*\",\"flag\":\"1/300\",\"block\":\"1/300\"}").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(code, 200, "{text}");
    assert!(answer["routes"][0]["warnings"].is_null(), "{text}");
    let (code, text) = put("{\"route\":\"*\",\"block\":\"1/2000\"}").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    let warnings = &answer["routes"][0]["warnings"];
    assert_eq!(code, 200, "{text}");
    assert_eq!(answer["routes"][0]["new"]["block"], "1/2000");
    assert!(
        warnings[0]
            .as_str()
            .is_some_and(|warning| warning.contains(both)),
        "{text}"
    );
    assert!(warnings[1].is_null(), "{text}");
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_old_one_serving_and_says_why() {
    let origin = Origin::echo().await;
    let setup = Setup::new(origin.address);
    let weir = setup.start().await;
    for (yaml, why) in [
        (setup.yaml().replace("workers:", "wrokers:"), "wrokers"),
        (
            setup.yaml().replace("bundle: bundle", "bundle: nowhere"),
            "nowhere",
        ),
        (
            setup.yaml().replace("upstream: app,", "upstream: gone,"),
            "gone",
        ),
    ] {
        weir.rewrite(&yaml);
        let (code, text) = post(&weir, "/-/reload", "").await;
        assert_eq!(code, 422, "{text}");
        assert!(text.contains(why), "{text}");
        assert_eq!(
            Client::http1(weir.address).await.get("/").await.status(),
            200
        );
    }
    let manifest = weir.folder().join("bundle/field.onnx");
    let mut bytes = std::fs::read(&manifest).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&manifest, bytes).unwrap();
    weir.rewrite(&setup.yaml());
    let (code, text) = post(&weir, "/-/reload", "").await;
    assert_eq!(code, 422, "{text}");
    assert_eq!(
        Client::http1(weir.address).await.get("/").await.status(),
        200
    );
    assert_eq!(status(&weir).await["generation"], 1);
}
