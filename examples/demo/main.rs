//! `make demo`: a shop, Weir in front of it, customers and attackers, and what Weir makes of them.
//!
//! Only the command line and the end of the process are here; `story` says what happens.

mod admin;
mod attacks;
mod board;
#[path = "../support/children.rs"]
mod children;
mod client;
mod customers;
mod decisions;
mod latency;
mod message;
#[path = "../support/random.rs"]
mod random;
mod shop;
mod stage;
mod story;
mod tally;
mod traffic;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use tokio::signal::unix::{SignalKind, signal};

/// Shows Weir at work: starts a small shop, Weir in front of it, and about a minute of customers and attackers.
#[derive(Debug, Parser)]
#[command(name = "demo")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Configuration whose ports and paths are replaced by temporary ones
    #[arg(long, value_name = "FILE", default_value = "config/demo.yaml")]
    config: PathBuf,
    /// The model to start with
    #[arg(long, value_name = "DIR", default_value = "models/base")]
    bundle: PathBuf,
    /// The proxy's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
    /// The trainer's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir_train: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only the shop, until it is stopped (docker-compose.yml uses this)
    Shop {
        /// Where it listens
        #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9000")]
        listen: SocketAddr,
    },
}

/// As a shell reports a process that a signal ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("demo: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    match runtime.block_on(until_signal(cli)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            eprintln!("\ndemo: stopped; nothing is left running");
            ExitCode::from(INTERRUPTED)
        }
        Err(error) => {
            eprintln!("\ndemo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// False when a signal came first. Dropping the story then ends its child processes and removes its files.
async fn until_signal(cli: Cli) -> Result<bool> {
    // The shop has no end but a signal: for it, being told to stop is success.
    let stopped = matches!(cli.command, Some(Command::Shop { .. }));
    let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
    let mut hang_up = signal(SignalKind::hangup()).context("no signal handler")?;
    tokio::select! {
        result = run(cli) => result.map(|()| true),
        _ = tokio::signal::ctrl_c() => Ok(stopped),
        _ = terminate.recv() => Ok(stopped),
        _ = hang_up.recv() => Ok(stopped),
    }
}

async fn run(cli: Cli) -> Result<()> {
    match cli.command {
        Some(Command::Shop { listen }) => {
            let listener = tokio::net::TcpListener::bind(listen)
                .await
                .with_context(|| format!("cannot listen on {listen}"))?;
            println!("the shop listens on http://{}", listener.local_addr()?);
            shop::serve(listener).await.context("the shop stopped")
        }
        None => {
            story::run(story::Props {
                config: cli.config,
                bundle: cli.bundle,
                weir: cli.weir,
                weir_train: cli.weir_train,
            })
            .await
        }
    }
}
