//! `make bench-proxy`: uploads, WebSocket and event streams through Weir and through nginx in one run, side by side.
//!
//! Only the command line and the order of steps are here. Both proxies have one worker, talk to the same origin and take
//! turns, so that what the machine does meanwhile disturbs both alike.

#[expect(
    dead_code,
    reason = "shared with the demo, which also waits for programs that end"
)]
#[path = "../support/children.rs"]
mod children;
mod latency;
mod origin;
mod proxies;
#[path = "../support/proxy.rs"]
mod proxy;
mod report;
mod upload;
#[path = "../support/usage.rs"]
mod usage;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;

use proxies::{Peer, Proxies};
use report::Report;

/// Messages of one connection, after which it is the next one's turn: how fast two processes wake each other changes
/// from second to second.
const BATCH: usize = 250;

/// Measures Weir beside nginx: long uploads, WebSocket round trips, event streams.
#[derive(Debug, Parser)]
#[command(name = "bench-proxy")]
struct Cli {
    /// The length of one upload in MiB
    #[arg(long, value_name = "MIB", default_value_t = 1024)]
    upload: u64,
    /// Uploads at once
    #[arg(long, value_name = "N", default_value_t = 8)]
    clients: usize,
    /// How often everything is measured
    #[arg(long, value_name = "N", default_value_t = 3)]
    rounds: usize,
    /// WebSocket messages and events in each round
    #[arg(long, value_name = "N", default_value_t = 4000)]
    messages: usize,
    /// The model
    #[arg(long, value_name = "DIR", default_value = "models/base")]
    bundle: PathBuf,
    /// The proxy's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(report) => {
            print!("{report}");
            if report.held() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            }
        }
        Err(error) => {
            eprintln!("bench-proxy: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<Report> {
    let clock = Instant::now();
    let origin = origin::start(clock)?;
    let proxies = Proxies::start(&cli.bundle, cli.weir.as_deref(), origin)?;
    let mut report = Report::default();
    for round in 0..cli.rounds {
        eprintln!("bench-proxy: round {} of {}", round + 1, cli.rounds);
        for batch in 0..cli.messages.div_ceil(BATCH) {
            for peer in turn(batch) {
                let at = proxies.address(peer, origin);
                let echo = latency::websocket(at, BATCH)?;
                report.websocket.entry(peer).or_default().extend(echo);
                let events = latency::events(at, BATCH, clock)?;
                report.events.entry(peer).or_default().extend(events);
            }
        }
        for peer in turn(round) {
            if peer == Peer::Direct {
                continue;
            }
            let uploads = upload::measure(&proxies, peer, cli.clients, cli.upload)?;
            eprintln!("bench-proxy:   {:<6} {uploads}", peer.name());
            report.uploads.entry(peer).or_default().push(uploads);
        }
    }
    Ok(report)
}

/// Nobody is always first.
fn turn(round: usize) -> [Peer; 3] {
    if round.is_multiple_of(2) {
        [Peer::Direct, Peer::Nginx, Peer::Weir]
    } else {
        [Peer::Weir, Peer::Nginx, Peer::Direct]
    }
}
