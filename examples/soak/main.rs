//! `make soak`: the running proxy under mixed load while its upstream restarts and its configuration reloads, and
//! whether every answer was right and nothing grew.
//!
//! Only the command line and the order of steps are here.

mod aborts;
#[expect(
    dead_code,
    reason = "shared with the demo, which also waits for programs that end"
)]
#[path = "../support/children.rs"]
mod children;
mod client;
mod content;
mod disturb;
mod ledger;
mod load;
mod origin;
mod outages;
mod process;
#[expect(
    dead_code,
    reason = "shared with the demo, whose traffic draws more than numbers"
)]
#[path = "../support/random.rs"]
mod random;
mod report;
mod stage;
mod streams;
mod tally;
#[expect(
    dead_code,
    reason = "shared with the measurements, which look at processor time as well"
)]
#[path = "../support/usage.rs"]
mod usage;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::Parser;
use tokio::time::{Instant, sleep, sleep_until};

use load::Run;
use process::Watch;
use report::Report;

/// Runs Weir under mixed load with upstream restarts and reloads, and checks every answer.
#[derive(Debug, Parser)]
#[command(name = "soak")]
struct Cli {
    /// How long the load lasts
    #[arg(long, value_name = "N", default_value_t = 600, value_parser = clap::value_parser!(u64).range(20..=86_400))]
    seconds: u64,
    /// The model
    #[arg(long, value_name = "DIR", default_value = "models/base")]
    bundle: PathBuf,
    /// The proxy's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// Keep the proxy's log in this file
    #[arg(long, value_name = "FILE")]
    log: Option<PathBuf>,
}

/// Between two lines of progress.
const TELL_EVERY: Duration = Duration::from_secs(10);
/// For connections to close and descriptors to come back after the load.
const SETTLE: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("soak: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let outcome = runtime.block_on(async {
        // Dropping the run ends the proxy it started.
        tokio::select! {
            result = run(&cli) => result,
            _ = tokio::signal::ctrl_c() => Err(anyhow::anyhow!("stopped; nothing is left running")),
        }
    });
    match outcome {
        Ok(report) => {
            println!("{report}");
            if report.held() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("soak: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<Report> {
    let content = content::Content::new();
    let ledger = Arc::new(ledger::Ledger::default());
    let mut origin = origin::Origin::start(content.clone(), Arc::clone(&ledger)).await?;
    let stage = stage::Stage::set(&cli.bundle, origin.address())?;
    let mut weir = stage.start(cli.weir.as_deref())?;
    let doors = Arc::new(stage.doors(&mut weir).await?);
    let watch = Watch::start(weir.id())?;

    let length = Duration::from_secs(cli.seconds);
    let end = Instant::now() + length;
    let run = Arc::new(Run::new(doors, content, ledger));
    let workers = load::spawn(&run);
    let outcome = {
        let disturbed = async {
            tokio::join!(
                disturb::restarts(&mut origin, &run.outages, end),
                disturb::reloads(&stage, &run, end),
            )
        };
        let told = progress(&run, &watch, end);
        let alive = async {
            while Instant::now() < end {
                weir.must_run()?;
                sleep(Duration::from_millis(250)).await;
            }
            anyhow::Ok(())
        };
        tokio::join!(disturbed, told, alive)
    };
    let ((restarts, reloads), (), alive) = outcome;
    alive?;
    run.stop();
    workers.ended().await;
    eprintln!("soak: the load has ended; waiting for connections to close");
    watch.settle(SETTLE).await;
    let figures = watch.figures(length)?;
    let panics = stage.panics(&run.doors).await?;
    weir.must_run()?;
    let graceful = weir.stop().is_some_and(|status| status.success());
    if let Some(copy) = &cli.log {
        std::fs::copy(stage.log(), copy).context("cannot keep the log")?;
    }
    Ok(Report {
        length,
        restarts: restarts?,
        reloads,
        kinds: run.tally.kinds(),
        examples: run.tally.examples(),
        bodies: run.ledger.summary(),
        figures,
        panics,
        graceful,
    })
}

async fn progress(run: &Run, watch: &Watch, end: Instant) {
    let began = Instant::now();
    while Instant::now() < end {
        sleep_until((Instant::now() + TELL_EVERY).min(end)).await;
        let sum = run.tally.sum();
        let now = watch.now();
        eprintln!(
            "soak: {:>4} s  {:>9} requests  {:>6} while the upstream was away  {:>5} wrong  RSS {:>6.1} MiB  {:>4} descriptors",
            began.elapsed().as_secs(),
            sum.requests(),
            sum.away,
            sum.wrong,
            now.mebibytes(),
            now.descriptors,
        );
    }
}
