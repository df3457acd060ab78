//! The temporary folder of one run: configuration and decision records. Gone when the run ends.
//!
//! The policy is the default one, except that it enforces, records every decision and waits for them.

use std::collections::HashMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use tempfile::TempDir;

use crate::children::{Program, find};
use crate::client::Answer;

const LOOK_EVERY: Duration = Duration::from_millis(20);

pub(crate) struct Stage {
    folder: TempDir,
}

impl Stage {
    pub(crate) fn set(bundle: &Path, origin: SocketAddr) -> Result<Self> {
        ensure!(
            bundle.join("manifest.json").is_file(),
            "there is no model in {}: name one with BUNDLE=DIR",
            bundle.display()
        );
        let bundle = fs::canonicalize(bundle)?;
        let folder = tempfile::Builder::new()
            .prefix("weir-bench-detect-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let stage = Self { folder };
        // JSON is YAML. A busy machine must not decide what is found: the deadline is a long one.
        let config = serde_json::json!({
            "listen": [{"address": "127.0.0.1:0"}],
            "admin": {"address": "127.0.0.1:0"},
            "model": {"bundle": bundle, "watch": false},
            "upstreams": [{"name": "origin", "address": origin.to_string()}],
            "routes": [{"id": "all", "upstream": "origin", "mode": "enforce", "inspect": {"deadline": "30s"}}],
            "audit": {"output": stage.records(), "verdicts": "all"},
            "log": {"level": "info", "format": "json"},
        });
        fs::write(stage.config(), config.to_string()).context("cannot write the configuration")?;
        Ok(stage)
    }

    fn config(&self) -> PathBuf {
        self.folder.path().join("weir.yaml")
    }

    fn records(&self) -> PathBuf {
        self.folder.path().join("decisions.jsonl")
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("weir.log")
    }

    pub(crate) fn start(&self, weir: Option<&Path>) -> Result<Program> {
        let mut command = Command::new(find("weir", weir)?);
        command.env_remove("RUST_LOG");
        command.arg("run").arg("--config").arg(self.config());
        Program::start("weir", command, self.log())
    }

    /// Where it listens, as soon as it does.
    pub(crate) async fn listener(&self, weir: &mut Program) -> Result<SocketAddr> {
        loop {
            let log = fs::read_to_string(self.log()).unwrap_or_default();
            if let Some(address) = log.lines().find_map(announced) {
                return Ok(address);
            }
            weir.must_run()?;
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// What was decided about each request. Complete once the process has ended.
    pub(crate) fn decisions(&self) -> Result<Decisions> {
        let text = fs::read_to_string(self.records()).context("no decision records")?;
        let records = text.lines().filter_map(|line| {
            let record: Value = serde_json::from_str(line).ok()?;
            let id = record.get("request_id")?.as_str()?.to_owned();
            Some((id, record))
        });
        Ok(Decisions(records.collect()))
    }
}

/// The address in a log line that announces a listener.
fn announced(line: &str) -> Option<SocketAddr> {
    let line: Value = serde_json::from_str(line).ok()?;
    let fields = line.get("fields")?;
    let said = fields.get("message")?.as_str()?;
    let address = fields.get("address")?.as_str()?;
    (said == "listening")
        .then(|| address.parse().ok())
        .flatten()
}

/// Decision records by request id.
pub(crate) struct Decisions(HashMap<String, Value>);

impl Decisions {
    pub(crate) fn of(&self, answer: &Result<Answer, String>) -> Option<Value> {
        let id = answer.as_ref().ok()?.id.as_ref()?;
        self.0.get(id).cloned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listener_is_found_in_the_log() {
        let line = |message| {
            format!(
                r#"{{"level":"INFO","fields":{{"message":"{message}","address":"127.0.0.1:7"}}}}"#
            )
        };
        assert_eq!(
            announced(&line("listening")),
            Some(SocketAddr::from(([127, 0, 0, 1], 7)))
        );
        assert_eq!(announced(&line("admin listening")), None);
        assert_eq!(announced("no json"), None);
    }
}
