#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;
use crate::runtime::build::Context as BuildContext;
use crate::testing::{self, Behaviour, Fake};

struct Running {
    address: SocketAddr,
    shared: Arc<Shared>,
    _stop: watch::Sender<bool>,
}

async fn start() -> Running {
    let scorer = Fake::new(Behaviour::Scores(1.0));
    let shared = testing::shared(testing::snapshot(
        testing::one_route("mode: enforce"),
        Some(scorer),
    ));
    let context = BuildContext {
        onnxruntime: None,
        metrics: Arc::clone(&shared.metrics),
    };
    let reloader = Reloader::start(Arc::clone(&shared), "/nowhere/weir.yaml".into(), context);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = watch::channel(false);
    tokio::spawn(serve(listener, Arc::clone(&shared), reloader, stopped));
    Running {
        address,
        shared,
        _stop: stop,
    }
}

impl Running {
    async fn ask(&self, head: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let length = body.len();
        let request =
            format!("{head}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        let status = answer.split(' ').nth(1).unwrap().parse().unwrap();
        (status, answer.split_once("\r\n\r\n").unwrap().1.to_owned())
    }
}

#[tokio::test]
async fn status_says_what_runs() {
    let running = start().await;
    let (status, body) = running
        .ask("GET /-/status HTTP/1.1\r\nHost: localhost", "")
        .await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &body["generation"]), (200, &json!(1)));
    assert_eq!(
        body["routes"][0]["budgets"],
        json!({ "flag": "1/200", "block": "1/1000" })
    );
    assert_eq!(body["routes"][0]["mode"], "enforce");
    assert_eq!(body["bundle"]["execution_provider"]["actual"], "cpu");
    assert_eq!(body["bundle"]["forward_pass"], "onnxruntime");
    assert_eq!(body["bundle"]["batch"], serde_json::Value::Null);
    assert_eq!(
        body["bundle"]["id"],
        json!(running.shared.pin().bundle_id())
    );
}

#[tokio::test]
async fn probes_answer_and_readiness_ends_before_the_process() {
    let running = start().await;
    let ask = |path: &'static str| async move {
        format!("GET {path} HTTP/1.1\r\nHost: whatever.example")
    };
    assert_eq!(running.ask(&ask("/-/healthz").await, "").await.0, 200);
    assert_eq!(running.ask(&ask("/-/readyz").await, "").await.0, 200);
    running.shared.drain();
    assert_eq!(running.ask(&ask("/-/readyz").await, "").await.0, 503);
}

#[tokio::test]
async fn thresholds_answer_old_and_new() {
    let running = start().await;
    let head = "PUT /-/thresholds HTTP/1.1\r\nHost: 127.0.0.1";
    let (status, body) = running.ask(head, r#"{"route":"*","block":"1/5000"}"#).await;
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["routes"][0]["old"]["block"], "1/1000");
    assert_eq!(body["routes"][0]["new"]["block"], "1/5000");
    assert_eq!(
        running
            .shared
            .pin()
            .routes
            .by_id("all")
            .unwrap()
            .budgets
            .block
            .to_string(),
        "1/5000"
    );
    for (body, expected) in [
        (r#"{"route":"nope","block":"1/5000"}"#, 404),
        (r#"{"route":"*"}"#, 422),
        (r#"{"route":"*","block":"1/2"}"#, 422),
        (r#"{"route":"*","block":"sometimes"}"#, 400),
        (r#"{"route":"*","blocks":"1/5000"}"#, 400),
        ("nonsense", 400),
    ] {
        let (status, answer) = running.ask(head, body).await;
        assert_eq!(status, expected, "{body}: {answer}");
        assert!(answer.contains("\"error\""), "{answer}");
    }
}

#[tokio::test]
async fn a_refused_reload_says_why() {
    let running = start().await;
    let (status, body) = running
        .ask("POST /-/reload HTTP/1.1\r\nHost: localhost", "")
        .await;
    assert_eq!(status, 422);
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    assert!(
        body["problems"][0]
            .as_str()
            .unwrap()
            .contains("/nowhere/weir.yaml"),
        "{body}"
    );
    assert_eq!(body["generation"], 1);
}

#[tokio::test]
async fn pages_and_rebound_names_are_refused() {
    let running = start().await;
    let reload = "POST /-/reload HTTP/1.1\r\nHost:";
    assert_eq!(
        running.ask(&format!("{reload} evil.example"), "").await.0,
        403
    );
    assert_eq!(
        running
            .ask(
                &format!("{reload} localhost\r\nOrigin: https://evil.example"),
                ""
            )
            .await
            .0,
        403
    );
    assert_eq!(
        running
            .ask("GET /metrics HTTP/1.1\r\nHost: evil.example", "")
            .await
            .0,
        403
    );
    assert_eq!(
        running
            .ask("GET /-/reload HTTP/1.1\r\nHost: localhost", "")
            .await
            .0,
        405
    );
}

#[tokio::test]
async fn metrics_are_rendered() {
    let running = start().await;
    let (status, body) = running
        .ask("GET /metrics HTTP/1.1\r\nHost: localhost", "")
        .await;
    assert_eq!(status, 200);
    assert!(
        body.contains("weir_build_info{version=") && body.ends_with("# EOF\n"),
        "{body}"
    );
}
