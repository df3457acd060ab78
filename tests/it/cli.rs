//! The command line: exit codes, and errors that say what to do.

use std::process::Output;

use crate::support::bundle;
use crate::support::origin::Origin;
use crate::support::weir::{NO_MODEL, Setup, command};

fn run(arguments: &[&str], yaml: Option<&str>) -> (i32, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command();
    command.args(arguments);
    if let Some(yaml) = yaml {
        bundle::publish(&folder.path().join("bundle"));
        let file = folder.path().join("weir.yaml");
        std::fs::write(&file, yaml).unwrap();
        command.arg("--config").arg(file);
    }
    let Output {
        status,
        stdout,
        stderr,
    } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (status.code().unwrap(), text(stdout), text(stderr))
}

fn setup() -> Setup {
    Setup::new("127.0.0.1:9".parse().unwrap())
}

#[test]
fn help_and_version_are_results() {
    let (code, stdout, _) = run(&["--help"], None);
    assert!(
        code == 0 && stdout.contains("run") && stdout.contains("check"),
        "{stdout}"
    );
    let (code, stdout, _) = run(&["version"], None);
    assert!(
        code == 0 && stdout.contains(env!("CARGO_PKG_VERSION")),
        "{stdout}"
    );
}

#[test]
fn bad_usage_and_bad_configuration_exit_with_2() {
    assert_eq!(run(&["fly"], None).0, 2);
    assert_eq!(run(&["run"], None).0, 2);
    for command in ["check", "run"] {
        let (code, _, stderr) = run(
            &[command],
            Some(&setup().yaml().replace("upstream: app", "upstraem: app")),
        );
        assert_eq!(code, 2, "{stderr}");
        assert!(
            stderr.contains("upstraem") && stderr.contains("weir.yaml"),
            "{stderr}"
        );
    }
    let mut alike = setup();
    alike
        .routes
        .push("{id: again, path: /, upstream: app}".to_owned());
    let (code, _, stderr) = run(&["check"], Some(&alike.yaml()));
    assert_eq!(code, 2, "{stderr}");
    assert!(stderr.contains("alike"), "{stderr}");
}

#[test]
fn an_unreadable_certificate_is_named() {
    let mut setup = setup();
    setup.model = Some(NO_MODEL.to_owned());
    setup.listener = ", tls: {certificate: nowhere.pem, key: nowhere.key}".to_owned();
    for command in ["check", "run"] {
        let (code, _, stderr) = run(&[command], Some(&setup.yaml()));
        assert_eq!(code, 2, "{command}: {stderr}");
        assert!(stderr.contains("nowhere.pem"), "{stderr}");
        assert!(stderr.contains("tls.certificate: cannot read"), "{stderr}");
    }
}

#[test]
fn a_good_configuration_passes_the_check() {
    let (code, stdout, stderr) = run(&["check"], Some(&setup().yaml()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("networks run on cpu\n"), "{stdout}");
}

#[test]
fn an_execution_provider_that_is_missing_passes_the_check_with_a_warning() {
    let mut asks = setup();
    asks.model = Some("{bundle: bundle, execution_provider: cuda}".to_owned());
    let (code, stdout, stderr) = run(&["check"], Some(&asks.yaml()));
    assert_eq!(code, 0, "{stderr}");
    let warns = "warning: model.execution_provider: cuda cannot start, cpu takes its place: ";
    // On a machine with a GPU it may well start.
    assert!(
        stdout.contains("networks run on cuda\n")
            || stdout.contains("networks run on cpu\n") && stdout.contains(warns),
        "{stdout}"
    );
}

#[test]
fn a_budget_that_the_model_cannot_promise_passes_the_check_with_a_warning() {
    let both = "block budget 1/2000 (0.050%) is below 1/334 (0.30%)";
    let asks = setup().route("budgets: {flag: 1/200, block: 1/2000}");
    let (code, stdout, stderr) = run(&["check"], Some(&asks.yaml()));
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.contains("warning: route all: the "), "{stdout}");
    assert!(stdout.contains(both), "{stdout}");

    let folder = tempfile::tempdir().unwrap();
    let bundle = folder.path().join("bundle");
    bundle::publish(&bundle);
    let bundle = bundle.to_str().unwrap();
    let (code, _, stderr) = run(&["score", "--bundle", bundle, "--block", "1/2000"], None);
    assert_eq!(code, 0, "{stderr}");
    assert!(stderr.contains(both), "{stderr}");
    let (_, _, stderr) = run(&["score", "--bundle", bundle, "--block", "1/300"], None);
    assert!(!stderr.contains("block budget"), "{stderr}");
}

#[tokio::test]
async fn a_port_in_use_is_named_with_what_to_do() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut setup = setup();
    setup.model = Some(NO_MODEL.to_owned());
    let yaml = setup.yaml().replacen("127.0.0.1:0", &address, 1);
    let (code, _, stderr) = run(&["run"], Some(&yaml));
    assert_eq!(code, 1, "{stderr}");
    assert!(
        stderr.contains(&address) && stderr.contains("another process"),
        "{stderr}"
    );
}

#[tokio::test]
async fn a_signal_drains_and_exits_with_0() {
    let (release, wait) = tokio::sync::watch::channel(false);
    let origin = Origin::with(move |_| {
        let mut wait = wait.clone();
        async move {
            wait.wait_for(|go| *go).await.unwrap();
            hyper::Response::new(crate::support::origin::full("finished"))
        }
    })
    .await;
    let mut weir = Setup::new(origin.address).start().await;
    let mut client = crate::support::client::Client::http1(weir.address).await;
    let answer = tokio::spawn(async move { client.get("/").await });
    crate::support::eventually("the request at the origin", || {
        (origin.connections() == 1).then_some(())
    })
    .await;
    weir.signal("TERM");
    crate::support::eventually("no more connections", || {
        std::net::TcpStream::connect(weir.address).err()
    })
    .await;
    release.send(true).unwrap();
    assert_eq!(answer.await.unwrap().body(), "finished");
    assert!(weir.ended().await.success());
    assert_eq!(weir.records().len(), 1);
}
