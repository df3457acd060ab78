//! The command line of `weir-train`: one file a subcommand, and the mapping of errors to exit codes.
//!
//! Must not be here: what the commands do. Each `Args::run` translates arguments and prints results.

pub mod contaminate;
pub mod evaluate;
pub mod fit;
pub mod import;
pub mod inspect;
pub mod mutate;
pub mod sources;
pub mod split;

use std::fmt;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

const EXAMPLES: &str = "\
Examples:
  Learn one site from its captured traffic, starting from the shipped model:
    weir-train fit --normal capture/*.jsonl.zst --base models/base --out models/shop

  Train from scratch with attack samples as outlier exposure:
    weir-train import payloads payloads.csv --out attacks.jsonl
    weir-train fit --normal normal.jsonl.gz --exposure attacks.jsonl --out models/site

  Measure on domains that training never saw:
    weir-train split --by domain normal.jsonl.gz --out split/
    weir-train fit --normal split/train.jsonl --exposure attacks.jsonl --out models/candidate
    weir-train evaluate --bundle models/candidate --normal split/test.jsonl --attack unseen.jsonl --report report.html

  See what a bundle or a data file holds:
    weir-train inspect models/base
    weir-train inspect normal.jsonl.gz

Data files hold one JSON object a line ({\"method\",\"uri\",\"headers\",\"body\",...}); names ending in .gz or .zst are
decompressed. Results go to stdout, progress and logs to stderr.
Exit codes: 0 done, 1 failed while running, 2 bad usage.";

/// Trains, measures and inspects the models of Weir, the autoencoder web application firewall.
#[derive(Debug, Parser)]
#[command(name = "weir-train", version, about, after_help = EXAMPLES, max_term_width = 110)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Train, calibrate and export a bundle
    Fit(Box<fit::Args>),
    /// Measure a bundle on normal and attack data
    Evaluate(Box<evaluate::Args>),
    /// Split data by domain, time, source or payload, always the same way
    Split(split::Args),
    /// Mix unlabelled attacks into normal traffic, to measure what contamination costs
    #[command(hide = true)]
    Contaminate(contaminate::Args),
    /// List the data sets that Weir knows, with licence and checksum
    Sources(sources::Args),
    /// Turn HAR files, access logs, CSIC files or payload lists into JSON Lines
    Import(import::Args),
    /// Show what a bundle or a data file holds
    Inspect(inspect::Args),
    /// Rewrite payloads by named evasion operators, to measure what evasion costs
    Mutate(mutate::Args),
}

/// The command line was understood by the parser but asks for something impossible: exit code 2.
#[derive(Debug)]
pub struct UsageError(pub String);

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for UsageError {}

/// Runs the command line of this process and returns its exit code. Usage errors that the parser finds exit with 2.
#[must_use]
pub fn main() -> ExitCode {
    exit(Cli::parse().run())
}

fn exit(result: anyhow::Result<()>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if error.downcast_ref::<UsageError>().is_some() => {
            eprintln!("weir-train: {error}");
            ExitCode::from(2)
        }
        Err(error) => {
            eprintln!("weir-train: {error:#}");
            ExitCode::FAILURE
        }
    }
}

impl Cli {
    /// Runs the parsed command.
    ///
    /// # Errors
    /// Whatever stopped the command; a [`UsageError`] inside means exit code 2.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Fit(args) => args.run(),
            Command::Evaluate(args) => args.run(),
            Command::Split(args) => args.run(),
            Command::Contaminate(args) => args.run(),
            Command::Sources(args) => args.run(),
            Command::Import(args) => args.run(),
            Command::Inspect(args) => args.run(),
            Command::Mutate(args) => args.run(),
        }
    }
}
