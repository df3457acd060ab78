//! Weir under systemd: what it says of itself, the sockets it takes, and the units that are shipped.

use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::sync::Arc;

use crate::support::PATIENCE;
use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::weir::{Setup, command};

/// The service manager's end of `NOTIFY_SOCKET`.
struct Manager {
    folder: tempfile::TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let socket = UnixDatagram::bind(folder.path().join("notify")).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        Self { folder, socket }
    }

    fn path(&self) -> String {
        self.folder.path().join("notify").display().to_string()
    }

    /// The next message.
    async fn told(&self) -> String {
        let socket = self.socket.try_clone().unwrap();
        let receive = move || {
            let mut message = [0; 4096];
            let length = socket.recv(&mut message).unwrap();
            String::from_utf8(message[..length].to_vec()).unwrap()
        };
        tokio::task::spawn_blocking(receive).await.unwrap()
    }

    /// The next message that is no sign of life.
    async fn news(&self) -> String {
        loop {
            let told = self.told().await;
            if told.trim() != "WATCHDOG=1" {
                return told;
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_manager_is_told_what_happens() {
    for sockets in ["sockets: {}", "sockets: {per_worker: true}"] {
        let origin = Origin::echo().await;
        let manager = Manager::new();
        let mut setup = Setup::new(origin.address).section(sockets);
        setup.environment = vec![
            ("NOTIFY_SOCKET", manager.path()),
            ("WATCHDOG_USEC", "200000".to_owned()),
        ];
        let mut weir = setup.start().await;
        assert!(manager.news().await.contains("READY=1"));
        let mut client = Client::http1(weir.address).await;
        assert_eq!(client.get("/").await.status(), 200);
        drop(client);
        for _ in 0..3 {
            assert_eq!(manager.told().await.trim(), "WATCHDOG=1");
        }
        weir.signal("HUP");
        let reloading = manager.news().await;
        assert!(
            reloading.contains("RELOADING=1") && reloading.contains("MONOTONIC_USEC="),
            "{reloading}"
        );
        assert!(manager.news().await.contains("READY=1"));
        weir.signal("TERM");
        let stopping = manager.news().await;
        assert!(
            stopping.contains("STOPPING=1") && stopping.contains("EXTEND_TIMEOUT_USEC="),
            "{stopping}"
        );
        assert!(weir.ended().await.success());
    }
}

#[tokio::test]
async fn a_passed_socket_that_no_listener_names_is_an_error() {
    let origin = Origin::echo().await;
    let socket = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let mut setup = Setup::new(origin.address);
    setup.socket = Some(Arc::clone(&socket));
    let (status, stderr) = setup.refused();
    assert_eq!(status, 1, "{stderr}");
    let address = socket.local_addr().unwrap().to_string();
    assert!(
        stderr.contains(&address) && stderr.contains("socket unit"),
        "{stderr}"
    );
}

/// The unit with the program of this build, where `systemd-analyze` finds it.
fn units() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for name in ["weir.service", "weir.socket"] {
        let unit = format!("{}/packaging/{name}", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(unit).unwrap();
        let text = text.replace("/opt/weir/bin/weir", env!("CARGO_BIN_EXE_weir"));
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    folder
}

fn systemd_analyze() -> Option<Command> {
    let there = Command::new("systemd-analyze")
        .arg("--version")
        .stdout(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    assert!(
        there || std::env::var_os("WEIR_REAL_PROGRAMS").is_none(),
        "systemd-analyze is not installed"
    );
    if !there {
        println!("skipped: systemd-analyze is not installed");
    }
    there.then(|| Command::new("systemd-analyze"))
}

#[test]
fn the_units_are_valid_and_expose_little() {
    let Some(mut verify) = systemd_analyze() else {
        return;
    };
    let folder = units();
    let [service, socket] = ["weir.service", "weir.socket"].map(|name| folder.path().join(name));
    let output = verify
        .arg("verify")
        .args([&service, &socket])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    // Warnings about other units of this machine are none of ours.
    let ours: Vec<&str> = said.lines().filter(|line| line.contains("weir.")).collect();
    assert!(output.status.success() && ours.is_empty(), "{said}");

    let Some(mut security) = systemd_analyze() else {
        return;
    };
    let output = security
        .args(["security", "--offline=true", "--threshold=20", "--no-pager"])
        .arg(&service)
        .output()
        .unwrap();
    let report = String::from_utf8_lossy(&output.stdout);
    let verdict = report.lines().last().unwrap_or_default();
    println!("{verdict}");
    assert!(output.status.success(), "exposure above 2.0: {report}");
}

#[test]
fn the_units_name_arguments_that_exist() {
    let help = |arguments: &[&str]| {
        let output = command().args(arguments).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(help(&["run", "--help"]).contains("--config"));
    let check = help(&["check", "--help"]);
    assert!(
        check.contains("--config") && check.contains("--reload"),
        "{check}"
    );
}
