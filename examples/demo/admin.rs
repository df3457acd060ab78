//! Weir's admin listener, as an operator's script would use it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::Value;

use crate::children::Program;
use crate::client::{Answer, Visitor};
use crate::message::Message;

const START_LIMIT: Duration = Duration::from_secs(20);
const LOOK_EVERY: Duration = Duration::from_millis(50);

pub(crate) struct Admin(SocketAddr);

/// What `/-/status` says, as far as the demo shows it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Status {
    pub(crate) generation: u64,
    pub(crate) bundle: String,
    pub(crate) detectors: Vec<String>,
}

impl Admin {
    pub(crate) fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    async fn ask(&self, message: &Message) -> Result<Answer> {
        Visitor::local(self.0)
            .send(message)
            .await
            .map_err(|why| anyhow!("admin listener: {why}"))
    }

    /// Waits until Weir takes traffic, or says why it will not.
    pub(crate) async fn ready(&self, weir: &mut Program) -> Result<()> {
        let until = Instant::now() + START_LIMIT;
        loop {
            weir.must_run()?;
            if self
                .ask(&Message::get("/-/readyz"))
                .await
                .is_ok_and(|answer| answer.status == 200)
            {
                return Ok(());
            }
            if Instant::now() > until {
                bail!(
                    "weir was not ready within {} s. Its last words:\n{}",
                    START_LIMIT.as_secs(),
                    weir.last_words()
                );
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    pub(crate) async fn json(&self, message: &Message) -> Result<Value> {
        let answer = self.ask(message).await?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        if answer.status != 200 {
            bail!(
                "{} {} answered {}: {}",
                message.method,
                message.target,
                answer.status,
                text.trim()
            );
        }
        serde_json::from_str(&text)
            .with_context(|| format!("{} answered no JSON: {text}", message.target))
    }

    pub(crate) async fn status(&self) -> Result<Status> {
        let value = self.json(&Message::get("/-/status")).await?;
        Ok(Status::read(&value))
    }

    pub(crate) async fn set_budgets(&self, flag: &str, block: &str) -> Result<Value> {
        let mut message = Message::json(
            "/-/thresholds",
            &serde_json::json!({"route": "*", "flag": flag, "block": block}),
        );
        message.method = "PUT";
        self.json(&message).await
    }

    pub(crate) async fn reload(&self) -> Result<Value> {
        self.json(&Message::post("/-/reload", "application/json", "{}"))
            .await
    }
}

impl Status {
    fn read(value: &Value) -> Self {
        let text = |pointer: &str| {
            value
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned()
        };
        Self {
            generation: value
                .get("generation")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
            bundle: text("/bundle/id"),
            detectors: names(value.pointer("/bundle/detectors")),
        }
    }
}

fn names(value: Option<&Value>) -> Vec<String> {
    let list = value
        .and_then(Value::as_array)
        .map(Vec::as_slice)
        .unwrap_or_default();
    list.iter()
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}
