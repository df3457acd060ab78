//! `weir-train evaluate`: arguments to options, the report to stdout and files.
//!
//! Must not be here: any step of the evaluation itself.

use std::path::PathBuf;

use anyhow::Context;

use super::UsageError;
use crate::evaluate::run::{Options, run};
use crate::evaluate::views::By;
use crate::evaluate::{html, sites};
use crate::progress::{Progress, Stop};

/// More resamples say nothing more.
const MOST_RESAMPLES: usize = 100_000;

const DETAILS: &str = "\
Records labelled anomalous in --normal files and records labelled normal in --attack files are ignored, so one labelled file can be
given twice. Payload records are grafted into the normal requests (or those of --into), each distinct payload once, always the same
way for one --seed. With --per-host every host gets payloads of its own, in values that its requests really have: host, path, names
and all other values stay, so that nothing but the payload tells an attack.

Figures come with 95% bootstrap intervals: attacks are resampled one by one, normal requests host by host where there are at least 40
hosts and one by one otherwise. `distinct` counts requests once that are equal in host and in every field (location, name, decoded
value); with --seen, `unseen` leaves normal requests out that the bundle was trained on.

Examples:
  weir-train evaluate --bundle models/site --normal split/test.jsonl --attack unseen.jsonl --report report.html
  weir-train evaluate --bundle models/new --against models/base --normal later.jsonl --attack attacks.jsonl --report report.html
  weir-train evaluate --bundle models/site --normal later.jsonl --attack attacks.jsonl --per-host 200 --by time
  weir-train evaluate --bundle models/csic --normal dev.jsonl.gz --attack dev.jsonl.gz --seen train.jsonl.gz --drop-cookie JSESSIONID
  CSIC 2010 carries a JSESSIONID cookie that is unique for each request: train and evaluate with --drop-cookie JSESSIONID.";

/// Arguments of `weir-train evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// The bundle to measure
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Another bundle to compare it with, on the same samples
    #[arg(long, value_name = "DIR")]
    against: Option<PathBuf>,
    /// Normal requests: JSON Lines, also .gz and .zst
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    normal: Vec<PathBuf>,
    /// Attacks: payload records or anomalous request records
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    attack: Vec<PathBuf>,
    /// Graft payloads into these requests instead of the normal ones
    #[arg(long, num_args = 1.., value_name = "FILE")]
    into: Vec<PathBuf>,
    /// Harmless look-alikes of attacks: text lines, payload records or requests, counted as a class of their own
    #[arg(long, num_args = 1.., value_name = "FILE")]
    lookalikes: Vec<PathBuf>,
    /// What the bundle was trained on: adds figures without requests that repeat one of these
    #[arg(long, num_args = 1.., value_name = "FILE")]
    seen: Vec<PathBuf>,
    /// Judge each host by its own normal requests, with N attacks on each
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = sites::DEFAULT_PER_HOST_TEXT)]
    per_host: Option<usize>,
    /// Show the data by its parts; repeatable
    #[arg(long, value_enum, value_delimiter = ',', value_name = "VIEW")]
    by: Vec<By>,
    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The report as one JSON object on stdout, progress as JSON Lines on stderr
    #[arg(long)]
    json: bool,
    /// Write the report as JSON to a file as well
    #[arg(long, value_name = "FILE")]
    json_to: Option<PathBuf>,
    /// Write the attacks as they were sent, as request records
    #[arg(long, value_name = "FILE")]
    attacks_to: Option<PathBuf>,
    /// At most this many payloads a class
    #[arg(long, value_name = "N")]
    max_per_class: Option<usize>,
    /// At most this many normal requests, evenly spread
    #[arg(long, value_name = "N")]
    max_normal: Option<usize>,
    /// Remove a cookie from every request; repeatable
    #[arg(long = "drop-cookie", value_name = "NAME")]
    drop_cookies: Vec<String>,
    /// Resamples behind the intervals; 0 for none
    #[arg(long, default_value_t = 1000, value_name = "N")]
    resamples: usize,
    /// Of grafting and resampling
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Threads [default: all cores, at most 8]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// ONNX Runtime library: a file or the folder it is in
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When the bundle does not load, data cannot be read, or a report cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        let counts = [self.max_normal, self.max_per_class, self.per_host];
        if counts.contains(&Some(0)) {
            return Err(UsageError(
                "--max-normal, --max-per-class and --per-host must be at least 1".to_owned(),
            )
            .into());
        }
        if self.resamples > MOST_RESAMPLES {
            return Err(UsageError(format!("--resamples must be at most {MOST_RESAMPLES}")).into());
        }
        let progress = if self.json {
            Progress::Json
        } else {
            Progress::Human
        };
        let (json, report, json_to) = (self.json, self.report.clone(), self.json_to.clone());
        let made = run(&self.options(), progress, &Stop::on_signals()?)?;
        let write = |path: &PathBuf, content: String| {
            std::fs::write(path, content)
                .with_context(|| format!("cannot write {}", path.display()))
        };
        if let Some(path) = &report {
            write(path, html::page(&made))?;
        }
        if let Some(path) = &json_to {
            write(path, serde_json::to_string(&made)? + "\n")?;
        }
        if json {
            println!("{}", serde_json::to_string(&made)?);
        } else {
            print!("{}", made.to_text());
        }
        Ok(())
    }

    fn options(self) -> Options {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Options {
            bundle: self.bundle,
            against: self.against,
            normal: self.normal,
            attack: self.attack,
            into: self.into,
            lookalikes: self.lookalikes,
            seen: self.seen,
            per_host: self.per_host,
            attacks_to: self.attacks_to,
            views: self.by,
            drop_cookies: self.drop_cookies,
            max_per_class: self.max_per_class,
            max_normal: self.max_normal,
            resamples: self.resamples,
            seed: self.seed,
            threads: self.threads.unwrap_or(cores).clamp(1, 8),
            onnxruntime: self.onnxruntime,
        }
    }
}
