//! `make bench`: what Weir costs beside nginx, a plain proxy and a rule engine, in one run.
//!
//! Only the command line and the order of steps are here. Origin and load run on another processor than the proxies where
//! there are two; the proxies take turns, so that what the machine does meanwhile disturbs all alike.

mod bundle;
#[path = "../support/children.rs"]
mod children;
mod client;
mod cores;
mod document;
mod latency;
mod load;
mod machine;
mod nginx;
mod origin;
mod peers;
mod plain;
mod plot;
#[path = "../../benches/support/profiled.rs"]
mod profiled;
#[path = "../support/proxy.rs"]
mod proxy;
#[expect(
    dead_code,
    reason = "shared with the demo, whose traffic draws more than words"
)]
#[path = "../support/random.rs"]
mod random;
mod request;
mod samples;
mod scale;
mod shapes;
mod side_by_side;
mod table;
mod targets;
#[expect(
    dead_code,
    reason = "shared with measurements that look at the peak of memory"
)]
#[path = "../support/usage.rs"]
mod usage;
mod weir;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Parser, Subcommand, ValueEnum};
use tokio::signal::unix::{SignalKind, signal};

use cores::Cores;
use document::Section;
use peers::{Peers, Stage};
use request::Counter;

/// Measures what Weir costs, beside nginx, a plain proxy and ModSecurity with the Core Rule Set.
#[derive(Debug, Parser)]
#[command(name = "bench")]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// How often everything is measured; medians are shown
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// The length of one measurement
    #[arg(long, value_name = "SECONDS", default_value_t = 2.0, value_parser = seconds)]
    seconds: f64,
    /// Measure only this; may be given several times
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Measure everything but mixed load
    #[arg(long, conflicts_with = "only")]
    all: bool,
    /// How long mixed load lasts
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=1_440))]
    minutes: u32,
    /// Measure nothing, but let perf record into this folder what Weir does for each shape
    #[arg(long, value_name = "DIR", conflicts_with_all = ["only", "all"])]
    samples: Option<PathBuf>,
    /// Where tables go, between the markers of their sections, with plots beside it
    #[arg(long, value_name = "FILE", default_value = "docs/performance.md")]
    document: PathBuf,
    /// Write no document
    #[arg(long)]
    print_only: bool,
    /// The model
    #[arg(long, value_name = "DIR", default_value = "models/base")]
    bundle: PathBuf,
    /// The proxy's program [default: beside this one]
    #[arg(long, value_name = "PATH")]
    weir: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Only the plain proxy, until it is stopped
    #[command(hide = true)]
    Peer {
        listen: SocketAddr,
        origin: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Processor time, requests a second and memory of all proxies
    SideBySide,
    /// Latency at given loads, and beside large bodies
    Latency,
    /// One worker and two
    Workers,
    /// Memory of 10,000 connections that are kept and not used
    Idle,
    /// How cost grows with body, fields, routes and profile
    Cost,
    /// Memory over an hour of mixed load; not among --all
    Mixed,
}

/// How much is measured.
struct Run {
    rounds: usize,
    time: Duration,
    counter: Counter,
}

fn seconds(text: &str) -> Result<f64> {
    let seconds: f64 = text.parse()?;
    if !(0.05..=600.0).contains(&seconds) {
        bail!("from 0.05 to 600");
    }
    Ok(seconds)
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<()> {
    if let Some(Command::Peer { listen, origin }) = cli.command {
        return runtime()?.block_on(plain::serve(listen, origin));
    }
    let cores = Cores::of_this_process()?;
    let places = cores.places(1);
    eprintln!("bench: {places}");
    // Before the origin starts, which runs where this thread does.
    places.enter()?;
    let stage = Stage::set(origin::start()?, &cli.bundle, cli.weir.as_deref())?;
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate()).context("no signal handler")?;
        // Dropping the measurement ends the proxies it started.
        tokio::select! {
            result = measure(cli, &cores, &stage) => result,
            _ = tokio::signal::ctrl_c() => bail!("stopped; nothing is left running"),
            _ = terminate.recv() => bail!("stopped; nothing is left running"),
        }
    })
}

fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("no runtime")
}

async fn measure(cli: &Cli, cores: &Cores, stage: &Stage) -> Result<()> {
    let machine = machine::describe(stage, cores)?;
    let run = Run {
        rounds: cli.rounds as usize,
        time: Duration::from_secs_f64(cli.seconds),
        counter: Counter::default(),
    };
    if let Some(folder) = &cli.samples {
        return samples::record(stage, &cores.places(1), &run, folder).await;
    }
    let parts = cli.parts();
    if parts.iter().any(|part| part.beside_peers()) {
        let peers = Peers::start(stage, &cores.places(1))?;
        side_by_side::verify(&peers).await?;
        let mut side = None;
        if parts.contains(&Part::SideBySide) {
            let results = side_by_side::measure(&peers, &run).await?;
            cli.tell(&side_by_side::section(&peers, &results, &machine))?;
            side = Some(results);
        }
        let mut latency = None;
        if parts.contains(&Part::Latency) {
            let results = latency::measure(stage, &peers, &run).await?;
            cli.tell(&latency::section(&peers, &results, &machine))?;
            latency = Some(results);
        }
        if let (Some(side), Some(latency)) = (side, latency) {
            cli.tell(&targets::section(&side, &latency))?;
        }
    }
    let places = cores.places(1);
    if parts.contains(&Part::Workers) {
        cli.tell(&scale::workers::measure(stage, cores, &run, &machine).await?)?;
    }
    if parts.contains(&Part::Idle) {
        let files = cores::raise_open_files()?;
        cli.tell(&scale::idle::measure(stage, &places, &run, files, &machine).await?)?;
    }
    if parts.contains(&Part::Cost) {
        cli.tell(&scale::cost::measure(stage, &places, &run, &machine).await?)?;
    }
    if parts.contains(&Part::Mixed) {
        let section = scale::mixed::measure(stage, &places, &run, cli.minutes, &machine).await?;
        cli.tell(&section)?;
    }
    Ok(())
}

impl Cli {
    fn parts(&self) -> Vec<Part> {
        match self.only.as_slice() {
            [] if self.all => {
                let parts = Part::value_variants().iter().copied();
                parts.filter(|part| *part != Part::Mixed).collect()
            }
            [] => vec![Part::SideBySide, Part::Latency],
            only => only.to_vec(),
        }
    }

    /// Prints a section, and puts it into the document.
    fn tell(&self, section: &Section) -> Result<()> {
        println!("\n## {}\n\n{}", section.name, section.text);
        if self.print_only {
            return Ok(());
        }
        document::write(&self.document, section)
    }
}

impl Part {
    /// Whether all proxies take part.
    fn beside_peers(self) -> bool {
        matches!(self, Self::SideBySide | Self::Latency)
    }
}
