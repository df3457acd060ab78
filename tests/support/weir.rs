//! The binary under test, as a process on free ports with its own folder.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};

use serde_json::Value;

use super::{bundle, eventually};

/// A configuration in the making.
#[derive(Debug, Clone)]
pub struct Setup {
    origin: SocketAddr,
    /// Where clients connect; port 0 by default.
    pub address: SocketAddr,
    /// The admin listener; port 0 by default.
    pub admin: SocketAddr,
    /// YAML of the listener besides its address, such as `, http2: false`.
    pub listener: String,
    /// Its other endpoints.
    pub others: Vec<SocketAddr>,
    /// YAML after the upstream's address.
    pub upstream: String,
    /// YAML of the `model` section, or `None` for the tiny bundle.
    pub model: Option<String>,
    /// Policy of the route `all`: keys in flow style.
    pub route: String,
    /// Further routes, before `all`, each a YAML flow mapping.
    pub routes: Vec<String>,
    /// Further top-level sections.
    pub sections: String,
    pub workers: usize,
    /// Open files that the process may have; `None` for as many as the test itself.
    pub descriptors: Option<u32>,
    /// A listening socket that the process is passed as systemd does it.
    pub socket: Option<Arc<TcpListener>>,
    /// Further variables of its environment.
    pub environment: Vec<(&'static str, String)>,
    /// Shell commands before it starts, such as limits.
    pub prelude: String,
    /// Where its standard output goes; nowhere by default.
    pub stdout: fn() -> Stdio,
    /// `audit.output`.
    pub audit: String,
    /// `log.level`.
    pub log: String,
}

/// Scores and records, never blocks: no score reaches 99.
pub const LENIENT: &str = "mode: enforce, budgets: {flag: {score: 98}, block: {score: 99}}";
/// Blocks every request that is scored: every score reaches 0.
pub const STRICT: &str = "mode: enforce, budgets: {flag: {score: 0}, block: {score: 0}}";
/// Without a model, and able to start without one.
pub const NO_MODEL: &str = "{required: false}";

impl Setup {
    pub fn new(origin: SocketAddr) -> Self {
        Self {
            origin,
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            admin: SocketAddr::from(([127, 0, 0, 2], 0)),
            listener: String::new(),
            others: Vec::new(),
            upstream: String::new(),
            model: None,
            route: LENIENT.to_owned(),
            routes: Vec::new(),
            sections: String::new(),
            workers: 2,
            descriptors: None,
            socket: None,
            environment: Vec::new(),
            prelude: String::new(),
            stdout: Stdio::null,
            audit: "audit.jsonl".to_owned(),
            log: "info".to_owned(),
        }
    }

    pub fn route(mut self, policy: &str) -> Self {
        self.route = policy.to_owned();
        self
    }

    pub fn section(mut self, yaml: &str) -> Self {
        self.sections.push_str(yaml);
        self.sections.push('\n');
        self
    }

    /// The file's text, for a folder that holds the bundle in `bundle/`.
    pub fn yaml(&self) -> String {
        let mut yaml = String::new();
        let model = self
            .model
            .as_deref()
            .unwrap_or("{bundle: bundle, watch: false}");
        let _ = writeln!(
            yaml,
            "listen: [{{address: \"{}\"{}}}]",
            self.address, self.listener
        );
        let _ = writeln!(yaml, "admin: {{address: \"{}\"}}", self.admin);
        let _ = writeln!(yaml, "workers: {}", self.workers);
        let _ = writeln!(yaml, "model: {model}");
        let mut address = format!("address: \"{}\"", self.origin);
        if !self.others.is_empty() {
            let all = std::iter::once(&self.origin).chain(&self.others);
            let all: Vec<String> = all.map(|address| format!("\"{address}\"")).collect();
            address = format!("addresses: [{}]", all.join(", "));
        }
        let _ = writeln!(
            yaml,
            "upstreams: [{{name: app, {address}{}}}]",
            self.upstream
        );
        let _ = writeln!(yaml, "routes:");
        for route in &self.routes {
            let _ = writeln!(yaml, "  - {route}");
        }
        let _ = writeln!(
            yaml,
            "  - {{id: all, path: /, upstream: app, {}}}",
            self.route
        );
        let _ = writeln!(yaml, "audit: {{output: {}, verdicts: all}}", self.audit);
        let _ = writeln!(yaml, "log: {{level: {}, format: json}}", self.log);
        yaml.push_str(&self.sections);
        yaml
    }

    /// Starts it and waits until it serves.
    pub async fn start(&self) -> Weir {
        let folder = tempfile::tempdir().unwrap();
        let child = self.spawn(folder.path());
        Weir::run(folder, child).await
    }
}

/// A running process.
pub struct Weir {
    child: Child,
    log: Arc<Mutex<Vec<String>>>,
    folder: tempfile::TempDir,
    /// Where clients connect.
    pub address: SocketAddr,
    /// The admin listener.
    pub admin: SocketAddr,
}

impl Drop for Weir {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("log of weir:\n{}", self.log.lock().unwrap().join("\n"));
        }
    }
}

/// The command of the binary, with the environment that could influence it removed.
pub fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_weir"));
    command.env_remove("RUST_LOG").stdin(Stdio::null());
    command
}

impl Setup {
    /// Exit code and errors of a start that fails.
    pub fn refused(&self) -> (i32, String) {
        let folder = tempfile::tempdir().unwrap();
        let output = self.spawn(folder.path()).wait_with_output().unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    /// The process with its files in `folder`. Nobody reads its log but the caller.
    pub fn spawn(&self, folder: &Path) -> Child {
        if self.model.is_none() {
            bundle::publish(&folder.join("bundle"));
        }
        let file = folder.join("weir.yaml");
        std::fs::write(&file, self.yaml()).unwrap();
        let mut command = self.command();
        command.args(["run", "--config"]).arg(file);
        command.stdout((self.stdout)()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    /// The command in the surroundings that the test wants.
    fn command(&self) -> Command {
        let mut script = String::new();
        if let Some(descriptors) = self.descriptors {
            let _ = writeln!(script, "ulimit -n {descriptors}");
        }
        script.push_str(&self.prelude);
        let sockets = if self.socket.is_some() {
            // The shell becomes weir, so that they are one process.
            script.push_str("export LISTEN_FDS=1 LISTEN_PID=$$\n");
            "3<&0 0</dev/null"
        } else {
            ""
        };
        let mut shell = Command::new("sh");
        let script = format!("set -e\n{script}exec \"$0\" \"$@\" {sockets}");
        shell.args(["-c", &script, env!("CARGO_BIN_EXE_weir")]);
        shell.env_remove("RUST_LOG").stdin(match &self.socket {
            Some(socket) => Stdio::from(OwnedFd::from(socket.try_clone().unwrap())),
            None => Stdio::null(),
        });
        for (name, value) in &self.environment {
            shell.env(name, value);
        }
        shell
    }
}

impl Weir {
    async fn run(folder: tempfile::TempDir, mut child: Child) -> Self {
        let log = Arc::new(Mutex::new(Vec::new()));
        let stderr = BufReader::new(child.stderr.take().unwrap());
        let lines = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in stderr.lines().map_while(Result::ok) {
                lines.lock().unwrap().push(line);
            }
        });
        let nowhere = SocketAddr::from(([0, 0, 0, 0], 0));
        let mut weir = Self {
            child,
            log,
            folder,
            address: nowhere,
            admin: nowhere,
        };
        (weir.address, weir.admin) = eventually("weir to listen", || {
            if let Ok(Some(status)) = weir.child.try_wait() {
                panic!("weir ended with {status}");
            }
            Some((
                weir.announced("listening")?,
                weir.announced("admin listening")?,
            ))
        })
        .await;
        weir
    }

    /// The address in the log line that announces a listener.
    fn announced(&self, message: &str) -> Option<SocketAddr> {
        self.log().iter().find_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let fields = &line["fields"];
            (fields["message"] == message)
                .then(|| fields["address"].as_str()?.parse().ok())
                .flatten()
        })
    }

    pub fn folder(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    pub fn log(&self) -> Vec<String> {
        self.log.lock().unwrap().clone()
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Decision records so far.
    pub fn records(&self) -> Vec<Value> {
        let text =
            std::fs::read_to_string(self.folder.path().join("audit.jsonl")).unwrap_or_default();
        let whole = text.rfind('\n').map_or("", |end| &text[..end]);
        whole
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    /// The decision record of a request.
    pub async fn record(&self, id: &str) -> Value {
        eventually("a decision record", || {
            self.records()
                .into_iter()
                .find(|record| record["request_id"] == id)
        })
        .await
    }

    /// Replaces the configuration file, atomically as editors and deployments do.
    pub fn rewrite(&self, yaml: &str) {
        let file = self.folder.path().join("weir.yaml");
        let next = self.folder.path().join("weir.yaml.next");
        std::fs::write(&next, yaml).unwrap();
        std::fs::rename(next, file).unwrap();
    }

    /// Sends a signal by name, such as `HUP`.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill")
            .arg(format!("-{name}"))
            .arg(self.pid().to_string())
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the process to end by itself.
    pub async fn ended(&mut self) -> ExitStatus {
        eventually("weir to end", || self.child.try_wait().unwrap()).await
    }

    /// Resident memory in KiB.
    pub fn resident(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }
}
