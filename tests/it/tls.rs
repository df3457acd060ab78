//! TLS on both sides, with real certificates over real sockets.

use std::os::unix::fs::symlink;
use std::path::Path;

use rustls::version::{TLS12, TLS13};
use rustls::{DEFAULT_VERSIONS, ProtocolVersion};
use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use crate::admin::{metric, post};
use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::tls::{Authority, Caller, Issued, acceptor, http2_acceptor};
use crate::support::weir::{NO_MODEL, Setup, Weir};
use crate::support::within;

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

/// Weir with a listener that has a certificate for `localhost` and further settings.
async fn listening(origin: &Origin, folder: &Path, authority: &Authority, more: &str) -> Weir {
    authority.server(&["localhost"]).write(folder, "main");
    setup_with(origin, folder, more).start().await
}

fn setup_with(origin: &Origin, folder: &Path, more: &str) -> Setup {
    let mut setup = Setup::new(origin.address);
    let (certificate, key) = (yaml(folder, "main.pem"), yaml(folder, "main.key"));
    setup.listener = format!(", tls: {{certificate: {certificate}, key: {key}{more}}}");
    setup
}

#[tokio::test]
async fn clients_see_the_certificate_of_the_name_they_ask_for() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let named = |names: &[&str], file: &str| {
        let issued = authority.server(names);
        issued.write(folder.path(), file);
        issued.certificate.to_vec()
    };
    let exact = named(&["shop.test", "a.wild.test"], "exact");
    let wild = named(&["*.wild.test"], "wild");
    let listed = named(&["listed.test", "unlisted.test"], "listed");
    let entry = |name: &str, more: &str| {
        let (pem, key) = (format!("{name}.pem"), format!("{name}.key"));
        let file = |name: &str| yaml(folder.path(), name);
        format!("{{certificate: {}, key: {}{more}}}", file(&pem), file(&key))
    };
    let certificates = format!(
        ", certificates: [{}, {}, {}]",
        entry("exact", ""),
        entry("wild", ""),
        entry("listed", ", names: [Listed.test]")
    );
    let origin = Origin::echo().await;
    let weir = listening(&origin, folder.path(), &authority, &certificates).await;
    let main = std::fs::read_to_string(folder.path().join("main.pem")).unwrap();
    let caller = Caller::new(&authority);
    for (name, expected) in [
        ("shop.test", &exact),
        ("SHOP.test", &exact),
        ("a.wild.test", &exact),
        ("b.wild.test", &wild),
        ("listed.test", &listed),
    ] {
        let answer = caller.get(weir.address, name).await.unwrap();
        assert_eq!(&answer.shown, expected, "{name}");
    }
    assert!(main.contains("BEGIN CERTIFICATE"));
    assert!(caller.get(weir.address, "localhost").await.is_ok());
    for name in ["wild.test", "a.b.wild.test", "unlisted.test"] {
        let error = caller.get(weir.address, name).await.unwrap_err();
        let shown_the_default = error.to_string().contains("not valid for name");
        assert!(shown_the_default, "{name}: {error}");
    }

    let refusing = format!("{certificates}, unknown_names: refuse");
    let weir = setup_with(&origin, folder.path(), &refusing).start().await;
    assert!(caller.get(weir.address, "localhost").await.is_ok());
    let fresh = Caller::new(&authority);
    for name in ["stranger.test", "127.0.0.1"] {
        let error = fresh.get(weir.address, name).await.unwrap_err();
        assert!(error.to_string().contains("alert"), "{name}: {error}");
    }
}

#[tokio::test]
async fn old_versions_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let origin = Origin::echo().await;
    let old = Caller::with(&authority, None, &[&TLS12]);
    let new = Caller::with(&authority, None, &[&TLS13]);
    let weir = listening(&origin, folder.path(), &authority, "").await;
    let answer = old.get(weir.address, "localhost").await.unwrap();
    assert_eq!(answer.version, ProtocolVersion::TLSv1_2);
    let weir = setup_with(&origin, folder.path(), ", min_version: 1.3")
        .start()
        .await;
    let error = old.get(weir.address, "localhost").await.unwrap_err();
    assert!(error.to_string().contains("ProtocolVersion"), "{error}");
    let answer = new.get(weir.address, "localhost").await.unwrap();
    assert_eq!(answer.version, ProtocolVersion::TLSv1_3);
}

const SUBJECT: &str = "x-weir-client-subject";

#[tokio::test]
async fn client_certificates_are_asked_for_as_configured() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    authority.write(folder.path(), "ours.pem");
    let (alice, revoked) = (authority.client("alice"), authority.client("mallory"));
    std::fs::write(folder.path().join("crl.pem"), authority.revoke(&[&revoked])).unwrap();
    let stranger = Authority::new("other").client("alice");
    let caller = |identity| Caller::with(&authority, identity, DEFAULT_VERSIONS);
    let clients = |mode: &str, more: &str| {
        let roots = yaml(folder.path(), "ours.pem");
        format!(", client_certificates: {{mode: {mode}, roots: {roots}{more}}}")
    };
    let origin = Origin::echo().await;
    let forged = "x-weir-client-subject: CN=admin\r\n";

    let crl = format!(
        ", pass_subject: true, revoked: {}",
        yaml(folder.path(), "crl.pem")
    );
    let weir = listening(
        &origin,
        folder.path(),
        &authority,
        &clients("required", &crl),
    )
    .await;
    let proven = caller(Some(&alice))
        .request(weir.address, "localhost", forged)
        .await;
    assert_eq!(
        proven.unwrap().seen().header(SUBJECT),
        Some("O=Weir & Sons\\, Ltd.,CN=alice")
    );
    for refused in [None, Some(&stranger), Some(&revoked)] {
        assert!(
            caller(refused)
                .get(weir.address, "localhost")
                .await
                .is_err()
        );
    }
    assert_eq!(origin.seen().len(), 1);

    let weir = setup_with(
        &origin,
        folder.path(),
        &clients("optional", ", pass_subject: true"),
    )
    .start()
    .await;
    let anonymous = caller(None)
        .request(weir.address, "localhost", forged)
        .await;
    assert_eq!(anonymous.unwrap().seen().header(SUBJECT), None);
    let proven = caller(Some(&alice))
        .get(weir.address, "localhost")
        .await
        .unwrap();
    assert!(proven.seen().header(SUBJECT).is_some());
    assert!(
        caller(Some(&stranger))
            .get(weir.address, "localhost")
            .await
            .is_err()
    );

    let weir = setup_with(&origin, folder.path(), &clients("required", ""))
        .start()
        .await;
    let silent = caller(Some(&alice))
        .request(weir.address, "localhost", forged)
        .await;
    assert_eq!(silent.unwrap().seen().header(SUBJECT), None);
}

#[tokio::test]
async fn sessions_resume_over_reloads_but_not_over_a_change_of_trust() {
    let folder = tempfile::tempdir().unwrap();
    let (ours, other) = (Authority::new("ours"), Authority::new("other"));
    ours.write(folder.path(), "roots.pem");
    let roots = yaml(folder.path(), "roots.pem");
    let more =
        format!(", client_certificates: {{mode: optional, roots: {roots}, pass_subject: true}}");
    let origin = Origin::echo().await;
    let weir = listening(&origin, folder.path(), &ours, &more).await;
    for versions in [&[&TLS12], &[&TLS13]] {
        let alice = Caller::with(&ours, Some(&ours.client("alice")), versions);
        let first = alice.get(weir.address, "localhost").await.unwrap();
        assert!(!first.resumed());
        let second = alice.get(weir.address, "localhost").await.unwrap();
        assert!(second.resumed(), "{versions:?}");
        assert!(second.seen().header(SUBJECT).is_some(), "still alice");

        assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
        let third = alice.get(weir.address, "localhost").await.unwrap();
        assert!(third.resumed(), "{versions:?}: after a reload");

        std::fs::write(
            folder.path().join("roots.pem"),
            format!("{}{}", ours.pem(), other.pem()),
        )
        .unwrap();
        assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
        let fourth = alice.get(weir.address, "localhost").await.unwrap();
        assert!(!fourth.resumed(), "{versions:?}: others are believed now");
        ours.write(folder.path(), "roots.pem");
        assert_eq!(post(&weir, "/-/reload", "").await.0, 200);
    }
    let series = "weir_tls_handshakes_total{outcome=\"resumed\"}";
    assert!(metric(&weir, series).await >= 4.0);
}

#[tokio::test]
async fn a_certificate_behind_replaced_links_is_taken_up_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let at = |name: &str| folder.path().join(name);
    let version = |name: &str| {
        std::fs::create_dir(at(name)).unwrap();
        let issued = authority.server(&["localhost"]);
        issued.write(&at(name), "main");
        issued.certificate.to_vec()
    };
    let (first, second) = (version("..v1"), version("..v2"));
    // As Kubernetes mounts secrets.
    symlink("..v1", at("..data")).unwrap();
    symlink("..data/main.pem", at("main.pem")).unwrap();
    symlink("..data/main.key", at("main.key")).unwrap();
    let origin = Origin::echo().await;
    let mut setup = setup_with(&origin, folder.path(), "");
    setup.model = Some(NO_MODEL.to_owned());
    let weir = setup.start().await;
    let shown = async || {
        let answer = Caller::new(&authority).get(weir.address, "localhost").await;
        answer.unwrap().shown
    };
    assert_eq!(shown().await, first);
    symlink("..v2", at("..next")).unwrap();
    std::fs::rename(at("..next"), at("..data")).unwrap();
    within("the new certificate", async {
        while shown().await != second {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn silent_clients_do_not_keep_others_from_their_handshake() {
    const LIMIT: usize = 8;
    const SILENT: usize = 20;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let origin = Origin::echo().await;
    authority
        .server(&["localhost"])
        .write(folder.path(), "main");
    let weir = setup_with(&origin, folder.path(), "")
        .section(&format!(
            "limits: {{handshakes: {LIMIT}}}\ntimeouts: {{handshake: 1h}}"
        ))
        .start()
        .await;
    let mut silent = Vec::new();
    for _ in 0..SILENT {
        silent.push(TcpStream::connect(weir.address).await.unwrap());
    }
    let displaced = "weir_tls_handshakes_total{outcome=\"displaced\"}";
    within("the oldest to give way", async {
        while metric(&weir, displaced).await < (SILENT - LIMIT) as f64 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
    let caller = Caller::new(&authority);
    assert!(caller.get(weir.address, "localhost").await.is_ok());
    drop(silent);
}

#[tokio::test]
async fn a_handshake_has_a_deadline() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new("ours");
    let origin = Origin::echo().await;
    authority
        .server(&["localhost"])
        .write(folder.path(), "main");
    let weir = setup_with(&origin, folder.path(), "")
        .section("timeouts: {handshake: 50ms}")
        .start()
        .await;
    let mut silent = TcpStream::connect(weir.address).await.unwrap();
    let mut byte = [0];
    let closed = within("the connection to close", silent.read(&mut byte)).await;
    assert!(matches!(closed, Ok(0) | Err(_)), "{closed:?}");
    let series = "weir_tls_handshakes_total{outcome=\"timeout\"}";
    within("the count", async {
        while metric(&weir, series).await < 1.0 {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    })
    .await;
}
