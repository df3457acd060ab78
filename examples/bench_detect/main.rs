//! `make bench-detect`: two public attack collections through the running proxy over sockets, and what became of them.
//!
//! Only the command line and the order of steps are here: read the collections, ask an ordinary origin which of their
//! requests are requests at all, send those through Weir, count.

mod cases;
#[expect(
    dead_code,
    reason = "shared with the demo, which also waits for programs that end"
)]
#[path = "../support/children.rs"]
mod children;
mod client;
mod drive;
mod encode;
mod gotestwaf;
mod message;
mod origin;
mod place;
mod report;
mod score;
mod stage;
mod waf_bypass;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;

use cases::Case;
use score::{Fate, Judged};

/// Drives the test cases of GoTestWAF and waf-bypass through a running Weir, enforcing with its default policy, and prints
/// GoTestWAF's own score.
#[derive(Debug, Parser)]
#[command(name = "bench-detect")]
struct Cli {
    /// Folder that holds attacks/gotestwaf/cases.jsonl and attacks/waf_bypass/payloads.jsonl
    data: PathBuf,
    /// The model
    #[arg(long, value_name = "DIR", default_value = "models/base")]
    bundle: PathBuf,
    /// The proxy's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// Connections at once
    #[arg(long, value_name = "N", default_value_t = 4)]
    connections: usize,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
    /// List every missed attack and every harmless request that was blocked
    #[arg(long)]
    verbose: bool,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("bench-detect: no runtime: {error}");
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
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench-detect: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run(cli: &Cli) -> Result<()> {
    let cases = read(cli)?;
    let origin = origin::start().await.context("the origin did not start")?;
    let stage = stage::Stage::set(&cli.bundle, origin)?;
    let mut weir = stage.start(cli.weir.as_deref())?;
    let listener = stage.listener(&mut weir).await?;

    let told = |what: &str| {
        if !cli.json {
            eprintln!("{what}");
        }
    };
    told(&format!(
        "{} requests: first to the origin alone, then through Weir",
        cases.len()
    ));
    let (cases, alone) = drive::all(cases, origin, cli.connections).await?;
    let (cases, through) = drive::all(cases, listener, cli.connections).await?;
    weir.must_run()?;
    // Its end completes the decision records.
    weir.stop();
    let decisions = stage.decisions()?;
    let results: Vec<Judged> = cases
        .into_iter()
        .zip(alone)
        .zip(through)
        .map(|((case, alone), through)| Judged {
            decision: decisions.of(&through),
            fate: Fate::of(&case, &alone, &through),
            case,
        })
        .collect();
    let report = report::Report {
        bundle: &cli.bundle,
        results: &results,
    };
    if cli.json {
        println!("{}", report.json(cli.verbose));
    } else {
        print!("{}", report.text(cli.verbose));
    }
    Ok(())
}

fn read(cli: &Cli) -> Result<Vec<Case>> {
    let attacks = cli.data.join("attacks");
    let mut cases = gotestwaf::read(&attacks.join("gotestwaf/cases.jsonl"))?;
    cases.extend(gotestwaf::padded(&attacks.join("gotestwaf/cases.jsonl"))?);
    cases.extend(waf_bypass::read(
        &attacks.join("waf_bypass/payloads.jsonl"),
    )?);
    Ok(cases)
}
