//! Versions and reuse of connections.

use bytes::Bytes;
use hyper::Response;

use crate::support::client::{Client, exchange, full};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::Setup;

fn seen(response: &Response<Bytes>) -> Seen {
    assert_eq!(response.status(), 200, "{response:?}");
    serde_json::from_slice(response.body()).unwrap()
}

#[tokio::test]
async fn a_request_reaches_the_origin_and_its_answer_comes_back() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http1(weir.address).await;
    let request = client
        .request("POST", "/cart?x=1&x=2")
        .header("content-type", "text/plain");
    let response = client
        .send(request.body(full("three apples")).unwrap())
        .await;
    let seen = seen(&response);
    assert_eq!(
        (seen.method.as_str(), seen.target.as_str(), seen.length),
        ("POST", "/cart?x=1&x=2", 12)
    );
    assert_eq!(seen.header("content-length"), Some("12"));
    assert_eq!(seen.header("host"), Some("shop.example"));
    assert_eq!(response.headers()["server"], "origin/1");
    assert_eq!(response.headers()["via"], "1.1 weir");
    let id = response.headers()["x-request-id"].to_str().unwrap();
    assert_eq!(seen.header("x-request-id"), Some(id));
    let record = weir.record(id).await;
    assert_eq!(record["status"], 200);
    assert_eq!(record["path"], "/cart?x=1&x=2");
    assert_eq!(record["response_bytes"], response.body().len());
}

#[tokio::test]
async fn both_sides_keep_their_connections() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http1(weir.address).await;
    for round in 0..50 {
        let response = client.get(&format!("/{round}")).await;
        assert_eq!(seen(&response).target, format!("/{round}"));
    }
    assert_eq!(origin.connections(), 1);
}

#[tokio::test]
async fn http2_with_prior_knowledge_becomes_http1_for_the_origin() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http2(weir.address).await;
    let request = client
        .request("POST", "/x")
        .header("cookie", "a=1")
        .header("cookie", "b=2");
    let response = client.send(request.body(full("body")).unwrap()).await;
    let seen = seen(&response);
    assert_eq!(seen.header("host"), Some("shop.example"));
    assert_eq!(seen.header("cookie"), Some("a=1; b=2"));
    assert_eq!(seen.header("via"), Some("2 weir"));
    assert_eq!((seen.target.as_str(), seen.length), ("/x", 4));
}

#[tokio::test]
async fn streams_of_one_http2_connection_are_served_side_by_side() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let Client::Two(sender) = Client::http2(weir.address).await else {
        unreachable!()
    };
    let requests = (0..40).map(|number| {
        let mut client = Client::Two(sender.clone());
        async move { client.get(&format!("/{number}")).await.status() }
    });
    let answers = futures_util::future::join_all(requests).await;
    assert!(answers.iter().all(|status| *status == 200), "{answers:?}");
}

struct Certificate {
    root: rustls::pki_types::CertificateDer<'static>,
    certificate: String,
    key: String,
}

fn certificate() -> Certificate {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    Certificate {
        root: made.cert.der().clone(),
        certificate: made.cert.pem(),
        key: made.signing_key.serialize_pem(),
    }
}

impl Certificate {
    fn write(&self, folder: &std::path::Path) {
        std::fs::write(folder.join("cert.pem"), &self.certificate).unwrap();
        std::fs::write(folder.join("key.pem"), &self.key).unwrap();
    }
}

#[tokio::test]
async fn tls_negotiates_the_version_and_takes_a_new_certificate_without_restart() {
    let origin = Origin::echo().await;
    let files = tempfile::tempdir().unwrap();
    let first = certificate();
    first.write(files.path());
    let mut setup = Setup::new(origin.address);
    let at = files.path().display();
    setup.listener = format!(", tls: {{certificate: \"{at}/cert.pem\", key: \"{at}/key.pem\"}}");
    let weir = setup.start().await;

    let (mut two, shown) = Client::tls(weir.address, &first.root, &["h2", "http/1.1"]).await;
    assert!(two.is_http2());
    assert_eq!(shown, first.root.to_vec());
    let response = two.get("/").await;
    assert_eq!(seen(&response).header("x-forwarded-proto"), Some("https"));
    let (mut one, _) = Client::tls(weir.address, &first.root, &["http/1.1"]).await;
    assert!(!one.is_http2());
    assert_eq!(one.get("/").await.status(), 200);

    let second = certificate();
    second.write(files.path());
    crate::admin::post(&weir, "/-/reload", "").await;
    let (mut fresh, shown) = Client::tls(weir.address, &second.root, &["h2"]).await;
    assert_eq!(shown, second.root.to_vec());
    assert_eq!(fresh.get("/").await.status(), 200);
    assert_eq!(
        one.get("/").await.status(),
        200,
        "a connection outlives its certificate"
    );

    std::fs::write(files.path().join("key.pem"), "no key").unwrap();
    let (status, answer) = crate::admin::post(&weir, "/-/reload", "").await;
    assert_ne!(status, 200, "{answer}");
    let (mut still, _) = Client::tls(weir.address, &second.root, &["h2"]).await;
    assert_eq!(still.get("/").await.status(), 200);
}

#[tokio::test]
async fn a_listener_without_http2_speaks_http1_only() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.listener = ", http2: false".to_owned();
    let weir = setup.start().await;
    assert_eq!(
        Client::http1(weir.address).await.get("/").await.status(),
        200
    );
    let answer = exchange(weir.address, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 505"), "{answer}");
}

#[tokio::test]
async fn http10_and_absolute_targets_are_understood() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let answer = exchange(weir.address, b"GET /old HTTP/1.0\r\n\r\n").await;
    assert!(
        answer.starts_with("HTTP/1.0 200") && answer.contains("\"target\":\"/old\""),
        "{answer}"
    );
    let absolute =
        b"GET http://shop.example/a?b HTTP/1.1\r\nHost: shop.example\r\nConnection: close\r\n\r\n";
    let answer = exchange(weir.address, absolute).await;
    assert!(answer.contains("\"target\":\"/a?b\""), "{answer}");
}
