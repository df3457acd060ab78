//! TLS on both sides, with real certificates over real sockets.

use std::path::Path;

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::tls::{Authority, Issued, acceptor, http2_acceptor};
use crate::support::weir::Setup;

/// Status of a request through Weir to an origin with TLS.
async fn status_with(origin: &Origin, tls: &str) -> u16 {
    let mut setup = Setup::new(origin.address);
    setup.upstream = format!(", tls: {tls}");
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    client.get("/").await.status().as_u16()
}

fn yaml(folder: &Path, name: &str) -> String {
    format!("\"{}/{name}\"", folder.display())
}

#[tokio::test]
async fn an_upstream_is_verified_against_its_roots_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| yaml(folder.path(), name);
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    ours.write(folder.path(), "ours.pem");
    other.write(folder.path(), "other.pem");
    let origin = Origin::echo_tls(acceptor(
        &ours.server(&["internal.test"]),
        "internal.test",
        None,
    ))
    .await;
    let good = format!(
        "{{roots: {}, server_name: internal.test}}",
        file("ours.pem")
    );
    assert_eq!(status_with(&origin, &good).await, 200);
    let stranger = format!(
        "{{roots: {}, server_name: internal.test}}",
        file("other.pem")
    );
    assert_eq!(status_with(&origin, &stranger).await, 502);
    let wrong_name = format!("{{roots: {}, server_name: other.test}}", file("ours.pem"));
    assert_eq!(status_with(&origin, &wrong_name).await, 502);
    let address = format!("{{roots: {}}}", file("ours.pem"));
    assert_eq!(status_with(&origin, &address).await, 502);
    assert_eq!(
        status_with(&origin, "{server_name: internal.test}").await,
        502,
        "the system does not know our authority"
    );
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn an_upstream_that_signs_itself_is_believed_only_by_name_and_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let (own, lookalike) = (
        Issued::self_signed("internal.test"),
        Issued::self_signed("internal.test"),
    );
    own.write(folder.path(), "own");
    lookalike.write(folder.path(), "lookalike");
    let origin = Origin::echo_tls(acceptor(&own, "internal.test", None)).await;
    for (roots, name, expected) in [
        ("own.pem", "internal.test", 200),
        ("lookalike.pem", "internal.test", 502),
        ("own.pem", "other.test", 502),
    ] {
        let tls = format!(
            "{{roots: {}, server_name: {name}}}",
            yaml(folder.path(), roots)
        );
        assert_eq!(status_with(&origin, &tls).await, expected, "{tls}");
    }
}

#[tokio::test]
async fn an_upstream_that_asks_is_shown_the_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str| yaml(folder.path(), name);
    let authority = Authority::new("ours");
    authority.write(folder.path(), "ours.pem");
    authority.client("weir").write(folder.path(), "weir");
    Authority::new("other")
        .client("weir")
        .write(folder.path(), "stranger");
    let server = authority.server(&["internal.test"]);
    let origin = Origin::echo_tls(acceptor(&server, "internal.test", Some(&authority))).await;
    let base = format!("roots: {}, server_name: internal.test", file("ours.pem"));
    for (identity, expected) in [("weir", 200), ("stranger", 502)] {
        let tls = format!(
            "{{{base}, certificate: {}, key: {}}}",
            file(&format!("{identity}.pem")),
            file(&format!("{identity}.key"))
        );
        assert_eq!(status_with(&origin, &tls).await, expected, "{identity}");
    }
    assert_eq!(status_with(&origin, &format!("{{{base}}}")).await, 502);
}

#[tokio::test]
async fn an_upstream_with_tls_is_spoken_to_in_the_version_it_chooses() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    authority.write(folder.path(), "ours.pem");
    let server = authority.server(&["internal.test"]);
    let tls = format!(
        "{{roots: {}, server_name: internal.test}}",
        yaml(folder.path(), "ours.pem")
    );
    // The origin knows HTTP/1.1 alone.
    let origin = Origin::echo_tls(acceptor(&server, "internal.test", None)).await;
    let mut setup = Setup::new(origin.address);
    for (protocol, expected) in [("http1", 200), ("auto", 200), ("http2", 502)] {
        setup.upstream = format!(", protocol: {protocol}, tls: {tls}");
        let weir = setup.start().await;
        let mut client = Client::http1(weir.address).await;
        for _ in 0..3 {
            assert_eq!(client.get("/").await.status(), expected, "{protocol}");
        }
    }
    assert!(origin.seen().iter().all(|seen| seen.version == "HTTP/1.1"));
    // Both on one connection each: with HTTP/2 it is shared.
    let origin = Origin::echo_tls(http2_acceptor(&server, "internal.test")).await;
    for protocol in ["http2", "auto"] {
        setup = Setup::new(origin.address);
        setup.upstream = format!(", protocol: {protocol}, tls: {tls}");
        let weir = setup.start().await;
        let before = origin.connections();
        for _ in 0..3 {
            let mut client = Client::http2(weir.address).await;
            assert_eq!(client.get("/").await.status(), 200, "{protocol}");
        }
        assert_eq!(origin.connections() - before, 1);
    }
    let seen = origin.seen();
    assert_eq!(seen.len(), 6);
    assert!(seen.iter().all(|seen| seen.version == "HTTP/2.0"));
    assert!(
        seen.iter()
            .all(|seen| seen.target == "https://shop.example/")
    );
}
