//! HAProxy in front, which tells the client's address by the PROXY protocol.

use crate::support::origin::{Origin, Seen};
use crate::support::programs::{Running, command, free_address, output, stdout, wanted};
use crate::support::weir::Setup;

#[tokio::test]
async fn the_client_is_who_haproxy_says() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.listener = ", proxy_protocol: [127.0.0.1]".to_owned();
    let weir = setup.start().await;
    let folder = tempfile::tempdir().unwrap();
    for version in ["send-proxy", "send-proxy-v2"] {
        let front = free_address();
        let file = folder.path().join("haproxy.cfg");
        let config = format!(
            "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 10s\n  timeout client 60s\n  timeout server 60s\n\
             listen front\n  bind {front}\n  server weir {} {version}\n",
            weir.address
        );
        std::fs::write(&file, config).unwrap();
        let log = folder.path().join(version);
        let mut haproxy = command("haproxy");
        haproxy.arg("-db").arg("-f").arg(&file);
        let mut running = Running::start(haproxy, &log);
        running.accepts(front, &log).await;
        for http in ["--http1.1", "--http2-prior-knowledge"] {
            let mut curl = command("curl");
            // Every address of 127.0.0.0/8 is this machine.
            curl.args([
                "--silent",
                "--show-error",
                "--max-time",
                "30",
                http,
                "--interface",
                "127.0.0.77",
            ]);
            curl.args(["--header", "X-Forwarded-For: 203.0.113.9"]);
            curl.arg(format!("http://{front}/cart"));
            let seen: Seen = serde_json::from_slice(&stdout(curl).await).unwrap();
            assert_eq!(
                seen.header("x-forwarded-for"),
                Some("127.0.0.77"),
                "{version} {http}"
            );
            let record = weir.record(seen.header("x-request-id").unwrap()).await;
            assert_eq!(record["client"], "127.0.0.77", "{version} {http}");
        }
    }
}

#[tokio::test]
async fn who_should_announce_and_does_not_is_not_served() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.listener = ", proxy_protocol: [127.0.0.1]".to_owned();
    let weir = setup.start().await;
    let mut curl = command("curl");
    curl.args(["--silent", "--max-time", "30"]);
    curl.arg(format!("http://{}/", weir.address));
    assert!(!output(curl).await.status.success());
    assert_eq!(origin.connections(), 0);
}
