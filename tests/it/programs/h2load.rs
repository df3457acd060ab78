//! h2load: many requests on many streams, every one answered.

use crate::support::origin::Origin;
use crate::support::programs::{Certificate, command, stdout, wanted};
use crate::support::weir::Setup;

const REQUESTS: &str = "3000";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_request_of_a_load_is_answered() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let certificate = Certificate::make();
    let mut setup = Setup::new(origin.address);
    setup.listener = certificate.listener();
    let tls = setup.start().await;
    let plain = Setup::new(origin.address).start().await;
    let folder = tempfile::tempdir().unwrap();
    let body = folder.path().join("body");
    std::fs::write(&body, "name=Ada&city=Paris&comment=please+ring+twice").unwrap();
    let secure = format!("https://localhost:{}/articles/7", tls.address.port());
    let open = format!("http://{}/articles/7", plain.address);
    let form = [
        "--header=content-type: application/x-www-form-urlencoded",
        "--data",
    ];
    for (what, arguments) in [
        ("HTTP/2", vec!["--max-concurrent-streams=20", &secure]),
        (
            "HTTP/2 without TLS",
            vec!["--max-concurrent-streams=20", &open],
        ),
        ("HTTP/1.1", vec!["--h1", &secure]),
        ("HTTP/1.1 without TLS", vec!["--h1", &open]),
        (
            "forms",
            vec![
                "--max-concurrent-streams=20",
                form[0],
                form[1],
                body.to_str().unwrap(),
                &secure,
            ],
        ),
    ] {
        let mut load = command("h2load");
        load.args(["--requests", REQUESTS, "--clients=8"])
            .args(arguments);
        let said = String::from_utf8(stdout(load).await).unwrap();
        let all = format!(
            "{REQUESTS} total, {REQUESTS} started, {REQUESTS} done, {REQUESTS} succeeded, 0 failed, 0 errored, 0 timeout"
        );
        assert!(said.contains(&all), "{what}: {said}");
        assert!(
            said.contains(&format!(
                "status codes: {REQUESTS} 2xx, 0 3xx, 0 4xx, 0 5xx"
            )),
            "{what}: {said}"
        );
    }
}
