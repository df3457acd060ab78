//! Programs of others, as users have them around Weir: found, run to their end, or kept running for a test.
//!
//! Not here: what they are asked to do. They run where `WEIR_REAL_PROGRAMS=1` says that they are installed; then a
//! missing one is a failed test. Elsewhere these tests say that they are skipped.

use std::io::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Once;
use std::time::{Duration, Instant};

use super::{eventually, within};

/// For a program that was asked to end.
const GRACE: Duration = Duration::from_secs(20);

/// Whether the tests with real programs run.
pub fn wanted() -> bool {
    static TOLD: Once = Once::new();
    let wanted = std::env::var("WEIR_REAL_PROGRAMS").is_ok_and(|value| value == "1");
    if !wanted {
        TOLD.call_once(|| {
            // Past the capture of the test runner: a skipped test must not look like a passed one.
            let line = "tests with real programs are SKIPPED: install nginx, curl, nghttp2-client, haproxy and chromium, \
                        then set WEIR_REAL_PROGRAMS=1\n";
            let _ = std::io::stderr().write_all(line.as_bytes());
        });
    }
    wanted
}

/// A command whose input is empty.
pub fn command(name: &str) -> Command {
    let mut command = Command::new(name);
    command.stdin(Stdio::null());
    command
}

/// Runs a program to its end.
pub async fn output(mut command: Command) -> Output {
    let name = command.get_program().to_string_lossy().into_owned();
    let ended = tokio::task::spawn_blocking(move || command.output());
    match within(&name, ended).await.unwrap() {
        Ok(output) => output,
        Err(error) => panic!("{name} cannot be run, install it: {error}"),
    }
}

/// The standard output of a program that must succeed.
pub async fn stdout(command: Command) -> Vec<u8> {
    let shown = format!("{command:?}");
    let output = output(command).await;
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{shown}: {}\n{said}",
        output.status
    );
    output.stdout
}

/// A program that runs until the test ends.
pub struct Running {
    child: Child,
    name: String,
}

impl Drop for Running {
    /// Asks first: a program with processes of its own ends those only then.
    fn drop(&mut self) {
        let id = self.child.id().to_string();
        let asked = Command::new("kill").args(["-TERM", &id]).status();
        let until = Instant::now() + GRACE;
        while asked.as_ref().is_ok_and(ExitStatus::success) && Instant::now() < until {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Running {
    pub fn start(mut command: Command, log: &Path) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let file = std::fs::File::create(log).unwrap();
        let spawned = command
            .stdout(file.try_clone().unwrap())
            .stderr(file)
            .spawn();
        match spawned {
            Ok(child) => Self { child, name },
            Err(error) => panic!("{name} cannot be run, install it: {error}"),
        }
    }

    /// Waits until something accepts connections there.
    pub async fn accepts(&mut self, address: SocketAddr, log: &Path) {
        eventually(&format!("{} to listen", self.name), || {
            if let Ok(Some(status)) = self.child.try_wait() {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                panic!("{} ended with {status}:\n{said}", self.name);
            }
            std::net::TcpStream::connect(address).ok()
        })
        .await;
    }
}

/// An address for a program that cannot tell which port the system gave it.
pub fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

/// A self-signed certificate for `localhost` in a folder of its own.
pub struct Certificate {
    pub folder: tempfile::TempDir,
}

impl Certificate {
    pub fn make() -> Self {
        let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("cert.pem"), made.cert.pem()).unwrap();
        std::fs::write(
            folder.path().join("key.pem"),
            made.signing_key.serialize_pem(),
        )
        .unwrap();
        Self { folder }
    }

    pub fn file(&self) -> String {
        self.folder.path().join("cert.pem").display().to_string()
    }

    /// YAML of a listener besides its address.
    pub fn listener(&self) -> String {
        let folder = self.folder.path().display();
        format!(", tls: {{certificate: \"{folder}/cert.pem\", key: \"{folder}/key.pem\"}}")
    }
}
