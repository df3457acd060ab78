//! What travels on, what does not, and what nobody can forge.

use crate::support::client::{Client, empty};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::{Setup, Weir};

async fn forwarded(weir: &Weir, headers: &[(&str, &str)]) -> Seen {
    let mut client = Client::http1(weir.address).await;
    let mut request = client.request("GET", "/");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = client.send(request.body(empty()).unwrap()).await;
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn hop_by_hop_headers_end_here() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let seen = forwarded(
        &weir,
        &[
            ("connection", "keep-alive, x-hop"),
            ("x-hop", "1"),
            ("keep-alive", "timeout=9"),
            ("te", "gzip"),
            ("proxy-authorization", "Basic eA=="),
            ("upgrade", "h2c"),
            ("accept-language", "de"),
        ],
    )
    .await;
    for name in [
        "connection",
        "x-hop",
        "keep-alive",
        "te",
        "proxy-authorization",
        "upgrade",
    ] {
        assert_eq!(seen.header(name), None, "{name}");
    }
    assert_eq!(seen.header("accept-language"), Some("de"));
}

#[tokio::test]
async fn verdict_headers_come_from_weir_alone() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let forged = [
        ("X-Weir-Verdict", "forged"),
        ("x_weir_verdict", "forged"),
        ("X-WEIR-Score", "99"),
        ("x-weir_score", "99"),
    ];
    let seen = forwarded(&weir, &forged).await;
    assert_eq!(seen.header("x-weir-verdict"), Some("pass"));
    let score: f32 = seen.header("x-weir-score").unwrap().parse().unwrap();
    assert!((0.0..98.0).contains(&score), "{score}");
    assert!(
        seen.headers
            .iter()
            .all(|(name, value)| !name.contains('_') && value != "forged"),
        "{:?}",
        seen.headers
    );
}

#[tokio::test]
async fn strangers_cannot_say_who_they_are() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let claims = [
        ("x-forwarded-for", "6.6.6.6"),
        ("x_forwarded_for", "6.6.6.6"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "evil.example"),
        ("forwarded", "for=6.6.6.6"),
        ("x-request-id", "chosen-by-client"),
    ];
    let seen = forwarded(&weir, &claims).await;
    assert_eq!(seen.header("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(seen.header("x_forwarded_for"), None);
    assert_eq!(seen.header("x-forwarded-proto"), Some("http"));
    assert_eq!(seen.header("x-forwarded-host"), Some("shop.example"));
    assert_eq!(
        seen.header("forwarded"),
        Some("for=127.0.0.1;host=\"shop.example\";proto=http")
    );
    let id = seen.header("x-request-id").unwrap();
    assert_ne!(id, "chosen-by-client");
    assert_eq!(weir.record(id).await["client"], "127.0.0.1");
}

#[tokio::test]
async fn a_trusted_proxy_is_believed() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address)
        .section("trusted_proxies: [127.0.0.0/8, 10.0.0.0/8]")
        .start()
        .await;
    let claims = [
        ("x-forwarded-for", "6.6.6.6, 203.0.113.7, 10.1.1.1"),
        ("x-forwarded-proto", "https"),
        ("forwarded", "for=203.0.113.7"),
        ("x-request-id", "from-the-balancer"),
        ("via", "1.1 balancer"),
    ];
    let seen = forwarded(&weir, &claims).await;
    assert_eq!(
        seen.header("x-forwarded-for"),
        Some("6.6.6.6, 203.0.113.7, 10.1.1.1, 127.0.0.1")
    );
    assert_eq!(seen.header("x-forwarded-proto"), Some("https"));
    assert_eq!(
        seen.header("forwarded"),
        Some("for=203.0.113.7, for=127.0.0.1;host=\"shop.example\";proto=http")
    );
    let vias: Vec<_> = seen
        .headers
        .iter()
        .filter(|(name, _)| name == "via")
        .map(|(_, value)| value.as_str())
        .collect();
    assert_eq!(vias, ["1.1 balancer", "1.1 weir"]);
    assert_eq!(
        weir.record("from-the-balancer").await["client"],
        "203.0.113.7"
    );
}
