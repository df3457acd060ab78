//! What goes wrong around the proxy must not reach its clients: full disks, stuck readers, too much to do.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::admin::metric;
use crate::support::client::{Client, empty};
use crate::support::origin::{self, Origin};
use crate::support::weir::{Setup, Weir, command};
use crate::support::{eventually, within};

/// Sends requests that must all be answered.
async fn answered(client: &mut Client, count: usize) {
    for number in 0..count {
        let response = client.get(&format!("/page?number={number}")).await;
        assert_eq!(response.status(), 200, "{number}");
    }
}

fn lines(weir: &Weir, message: &str) -> usize {
    let log = weir.log();
    log.iter().filter(|line| line.contains(message)).count()
}

#[tokio::test]
async fn a_disk_full_for_records_blocks_nobody_and_is_said_once() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.audit = "/dev/full".to_owned();
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    answered(&mut client, 30).await;
    within("the count of lost records", async {
        while metric(&weir, "weir_audit_dropped_total").await == 0.0 {
            answered(&mut client, 10).await;
        }
    })
    .await;
    assert_eq!(lines(&weir, "decision records cannot be written"), 1);
}

/// No file may grow beyond a few KiB, which looks to the writer as a full disk does; then the limit is lifted.
#[tokio::test]
async fn capture_and_records_go_on_when_the_disk_has_room_again() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address).section("capture: {directory: captured}");
    setup.prelude = "trap '' XFSZ\nulimit -S -f 8\n".to_owned();
    let weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    within("a full disk", async {
        while metric(&weir, "weir_capture_dropped_total").await == 0.0
            || metric(&weir, "weir_audit_dropped_total").await == 0.0
        {
            answered(&mut client, 20).await;
        }
    })
    .await;
    let lifted = Command::new("prlimit")
        .args(["--fsize=unlimited", "--pid", &weir.pid().to_string()])
        .status();
    assert!(lifted.unwrap().success());
    let captured = metric(&weir, "weir_captured_total").await;
    within("captures and records", async {
        while metric(&weir, "weir_captured_total").await <= captured
            || lines(&weir, "decision records are written again") == 0
            || lines(&weir, "requests are captured again") == 0
        {
            answered(&mut client, 5).await;
        }
    })
    .await;
    let response = client.get("/after").await;
    let seen: origin::Seen = serde_json::from_slice(response.body()).unwrap();
    weir.record(seen.header("x-request-id").unwrap()).await;
    // Every line is whole, and so is every file: half a member would end in an error.
    let records = weir.records().len();
    // The last file may just be growing by a member.
    let captured = within("whole files", async {
        loop {
            match captured_lines(&weir.folder().join("captured")) {
                Some(lines) => break lines,
                None => answered(&mut client, 1).await,
            }
        }
    })
    .await;
    println!("{records} decision records, {captured} captured requests around a full disk");
    assert!(records > 0 && captured > 0);
}

/// Records in the files of a capture; none if one of them ends within a member.
fn captured_lines(folder: &Path) -> Option<usize> {
    let mut lines = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let file = file.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "gz") {
            continue;
        }
        let output = Command::new("gzip").arg("-dc").arg(&file).output().unwrap();
        if !output.status.success() {
            return None;
        }
        lines += String::from_utf8(output.stdout).unwrap().lines().count();
    }
    Some(lines)
}

#[tokio::test]
async fn a_reader_of_records_that_stopped_blocks_nobody() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    setup.audit = "stdout".to_owned();
    // A pipe that nobody reads.
    setup.stdout = Stdio::piped;
    let mut weir = setup.start().await;
    let mut client = Client::http1(weir.address).await;
    // The writer's queue holds 4,096 records and the pipe some more.
    let mut requests = 0;
    while metric(&weir, "weir_audit_dropped_total").await == 0.0 {
        answered(&mut client, 500).await;
        requests += 500;
        assert!(requests < 20_000, "no record was dropped");
    }
    drop(client);
    weir.signal("TERM");
    assert!(weir.ended().await.success());
}

#[tokio::test]
async fn a_reader_of_the_log_that_stopped_blocks_nobody() {
    let origin = Origin::echo().await;
    let socket = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let mut setup = Setup::new(origin.address);
    setup.address = socket.local_addr().unwrap();
    setup.socket = Some(Arc::clone(&socket));
    setup.log = "trace".to_owned();
    let folder = tempfile::tempdir().unwrap();
    let mut child = setup.spawn(folder.path());
    let mut client = Client::http1(setup.address).await;
    // Some KiB of log for each, into a pipe of 64 KiB.
    answered(&mut client, 500).await;
    drop(client);
    let sent = Command::new("kill").arg(child.id().to_string()).status();
    assert!(sent.unwrap().success());
    let ended = eventually("weir to end", || child.try_wait().unwrap()).await;
    assert!(ended.success());
}

#[tokio::test]
async fn requests_beyond_the_limit_are_told_to_come_back() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::with(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(origin::full("done"))
        }
    })
    .await;
    let weir = Setup::new(origin.address)
        .section("limits: {requests: 2}")
        .start()
        .await;
    let mut waiting = Vec::new();
    for _ in 0..2 {
        let mut client = Client::http1(weir.address).await;
        waiting.push(tokio::spawn(async move { client.get("/").await }));
    }
    eventually("two requests at the origin", || {
        (origin.connections() == 2).then_some(())
    })
    .await;
    let mut third = Client::http2(weir.address).await;
    let refused = third.get("/").await;
    assert_eq!(refused.status(), 503);
    assert!(refused.headers().contains_key("retry-after"));
    assert_eq!(
        metric(&weir, "weir_errors_total{cause=\"busy\"}").await,
        1.0
    );
    release.send(true).unwrap();
    for answer in waiting {
        assert_eq!(answer.await.unwrap().body(), "done");
    }
    let request = third.request("GET", "/").body(empty()).unwrap();
    assert_eq!(third.send(request).await.status(), 200);
}

/// As seen from outside: an error has one place in the configuration, whoever meets it.
#[test]
fn check_and_run_find_the_same_and_say_where() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("weir.yaml");
    let yaml = format!(
        "listen:\n  - address: {address}\nadmin: {{address: \"127.0.0.1:0\"}}\nmodel:\n  bundle: nowhere\nupstreams:\n  \
         - name: app\n    address: nowhere.invalid:80\nroutes: [{{id: all, upstream: app}}]\naudit:\n  output: \
         missing/audit.jsonl\ncapture:\n  directory: weir.yaml/captured\n"
    );
    std::fs::write(&file, &yaml).unwrap();
    let run = |arguments: &[&str]| {
        let output = command()
            .args(arguments)
            .arg("--config")
            .arg(&file)
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, stderr) = run(&["check"]);
    assert_eq!(code, 2, "{stderr}");
    let expected = [
        ("2:14", "listen[0].address: cannot listen"),
        ("5:11", "model.bundle: "),
        ("8:14", "upstreams[0].address: `nowhere.invalid`"),
        ("11:11", "audit.output: "),
        ("13:14", "capture.directory: "),
    ];
    let lines: Vec<&str> = stderr.lines().collect();
    assert_eq!(lines.len(), expected.len(), "{stderr}");
    for (line, (place, message)) in lines.iter().zip(expected) {
        assert!(
            line.contains(&format!("weir.yaml:{place}: {message}")),
            "{place} {message}: {line}"
        );
    }
    let (code, stderr) = run(&["check", "--reload"]);
    assert_eq!(code, 2);
    assert!(!stderr.contains("listen[0]"), "{stderr}");
    let (code, stderr) = run(&["run"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains("weir.yaml:2:14: listen[0].address: cannot listen"),
        "{stderr}"
    );
}
