//! The temporary folder of one run: configuration, certificates, decision records, log. Gone when the run ends.
//!
//! The configuration inspects everything and blocks nothing by its score, except on the route that blocks everything.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::children::{Program, find};
use crate::client::{Doors, HOST, ask_admin};

const LOOK_EVERY: Duration = Duration::from_millis(20);
/// Where certificate and key lie, one folder each; `tls` is a link to one of them.
const CERTIFICATES: [&str; 2] = ["first", "second"];

pub(crate) struct Stage {
    folder: TempDir,
    bundle: PathBuf,
    origin: SocketAddr,
    roots: Vec<CertificateDer<'static>>,
}

impl Stage {
    pub(crate) fn set(bundle: &Path, origin: SocketAddr) -> Result<Self> {
        ensure!(
            bundle.join("manifest.json").is_file(),
            "there is no model in {}: name one with --bundle DIR",
            bundle.display()
        );
        let folder = tempfile::Builder::new()
            .prefix("weir-soak-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let mut stage = Self {
            bundle: fs::canonicalize(bundle)?,
            folder,
            origin,
            roots: Vec::new(),
        };
        for name in CERTIFICATES {
            stage.certify(name)?;
        }
        stage.write(0)?;
        Ok(stage)
    }

    fn certify(&mut self, name: &str) -> Result<()> {
        let folder = self.path(name);
        fs::create_dir(&folder)?;
        let made = rcgen::generate_simple_self_signed(vec![HOST.to_owned()])?;
        fs::write(folder.join("cert.pem"), made.cert.pem())?;
        fs::write(folder.join("key.pem"), made.signing_key.serialize_pem())?;
        self.roots.push(made.cert.der().clone());
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn log(&self) -> PathBuf {
        self.path("weir.log")
    }

    /// Writes the configuration and points to a certificate: every variant differs from the one before.
    pub(crate) fn write(&self, variant: u64) -> Result<()> {
        let [even, odd] = CERTIFICATES;
        let (deadline, certificate) = if variant.is_multiple_of(2) {
            (5, even)
        } else {
            (6, odd)
        };
        // As deployments do: a link and a file beside, renamed into place.
        symlink(certificate, self.path("tls.next"))?;
        fs::rename(self.path("tls.next"), self.path("tls"))?;
        let lenient = json!({"flag": {"score": 98}, "block": {"score": 99}});
        let strict = json!({"flag": {"score": 0}, "block": {"score": 0}});
        // JSON is YAML. A busy machine must not decide what passes: the deadline is a long one.
        let config = json!({
            "listen": [
                {"address": "127.0.0.1:0"},
                {"address": "127.0.0.1:0", "tls": {"certificate": "tls/cert.pem", "key": "tls/key.pem"}},
            ],
            "admin": {"address": "127.0.0.1:0"},
            "model": {"bundle": self.bundle, "watch": false},
            "upstreams": [{"name": "origin", "address": self.origin.to_string(), "idle_timeout": "5s"}],
            "defaults": {"mode": "enforce", "fail": "closed", "inspect": {"deadline": format!("{deadline}s")}},
            "routes": [
                {"id": "all", "upstream": "origin", "budgets": lenient},
                {"id": "blocked", "path": "/blocked", "upstream": "origin", "budgets": strict},
            ],
            "timeouts": {"drain": "3s"},
            "audit": {"output": "decisions.jsonl", "verdicts": "notable"},
            "log": {"level": "info", "format": "json"},
        });
        fs::write(self.path("weir.yaml.next"), config.to_string())?;
        fs::rename(self.path("weir.yaml.next"), self.path("weir.yaml"))?;
        Ok(())
    }

    pub(crate) fn start(&self, weir: Option<&Path>) -> Result<Program> {
        let mut command = Command::new(find("weir", weir)?);
        command.env_remove("RUST_LOG");
        command
            .args(["run", "--config"])
            .arg(self.path("weir.yaml"));
        Program::start("weir", command, self.log())
    }

    /// Where it listens, as soon as it does.
    pub(crate) async fn doors(&self, weir: &mut Program) -> Result<Doors> {
        loop {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            let clients: Vec<SocketAddr> = announced(&log, "listening");
            let admin = announced(&log, "admin listening");
            if let ([plain, tls], [admin]) = (clients.as_slice(), admin.as_slice()) {
                return Doors::new(*plain, *tls, *admin, &self.roots);
            }
            weir.must_run()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Panics that the proxy counted or logged.
    pub(crate) async fn panics(&self, doors: &Doors) -> Result<u64> {
        let (_, metrics) = ask_admin(doors, "GET", "/metrics").await?;
        let counted: f64 = metrics
            .lines()
            .filter(|line| line.contains("cause=\"panic\""))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
            .sum();
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        let logged = log
            .lines()
            .filter(|line| line.contains("panicked at"))
            .count();
        Ok((counted as u64).max(logged as u64))
    }
}

/// The addresses in log lines with that message, in order.
fn announced(log: &str, message: &str) -> Vec<SocketAddr> {
    log.lines()
        .filter_map(|line| {
            let line: Value = serde_json::from_str(line).ok()?;
            let fields = line.get("fields")?;
            let said = fields.get("message")?.as_str()? == message;
            said.then(|| fields.get("address")?.as_str()?.parse().ok())
                .flatten()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn listeners_are_found_in_the_log() {
        let line = |message, port| {
            format!(
                "{{\"fields\":{{\"message\":\"{message}\",\"address\":\"127.0.0.1:{port}\"}}}}\n"
            )
        };
        let log = format!(
            "no json\n{}{}{}",
            line("listening", 1),
            line("admin listening", 2),
            line("listening", 3)
        );
        let ports = |message| -> Vec<u16> {
            announced(&log, message)
                .iter()
                .map(SocketAddr::port)
                .collect()
        };
        assert_eq!(
            (ports("listening"), ports("admin listening")),
            (vec![1, 3], vec![2])
        );
    }
}
