//! What happens to the proxy meanwhile: its upstream restarts, its configuration and certificates change.

use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep, sleep_until};

use crate::client::ask_admin;
use crate::load::Run;
use crate::origin::Origin;
use crate::outages::Outages;
use crate::stage::Stage;

const RESTART_EVERY: Duration = Duration::from_secs(20);
const AWAY: Duration = Duration::from_millis(500);
const RELOAD_EVERY: Duration = Duration::from_secs(2);

/// Restarts the origin until `end`; returns how often.
pub(crate) async fn restarts(origin: &mut Origin, outages: &Outages, end: Instant) -> Result<u64> {
    let mut restarts = 0;
    loop {
        let next = Instant::now() + RESTART_EVERY;
        if next + AWAY >= end {
            sleep_until(end).await;
            return Ok(restarts);
        }
        sleep_until(next).await;
        outages.begin(std::time::Instant::now());
        origin.down();
        sleep(AWAY).await;
        origin.up().await?;
        outages.end(std::time::Instant::now());
        restarts += 1;
    }
}

/// How reloads ended.
#[derive(Debug, Default, Clone)]
pub(crate) struct Reloads {
    pub(crate) done: u64,
    pub(crate) refused: Vec<String>,
}

/// Changes the configuration and the certificates, and reloads, until `end`.
pub(crate) async fn reloads(stage: &Stage, run: &Run, end: Instant) -> Reloads {
    let mut reloads = Reloads::default();
    for variant in 0.. {
        let next = Instant::now() + RELOAD_EVERY;
        if next >= end {
            sleep_until(end).await;
            break;
        }
        sleep_until(next).await;
        let outcome = async {
            stage.write(variant)?;
            ask_admin(&run.doors, "POST", "/-/reload").await
        };
        match outcome.await {
            Ok((200, _)) => reloads.done += 1,
            Ok((status, text)) => reloads.refused.push(format!("{status}: {text:.300}")),
            Err(error) => reloads.refused.push(format!("{error:#}")),
        }
    }
    reloads
}
