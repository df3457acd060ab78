//! `weir-train evaluate`: the measures of a bundle on data that it was not trained on.

use std::path::{Path, PathBuf};

use anyhow::Context;
use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{Engine, EngineOptions};
use weir_scoring::ort::{ExecutionProvider, Runtime};

use super::UsageError;
use crate::data::{self, BadLine, Exposure, Keep, LabelledRequest, ReadOptions, Requests};
use crate::evaluate::report::{About, Report, report};
use crate::evaluate::samples::{self, GraftOptions};
use crate::evaluate::{self, html};
use crate::fit::vectors;
use crate::progress::{Progress, Stop};

/// Bad lines that are named; the rest are counted.
const NAMED_BAD_LINES: usize = 5;

const DETAILS: &str = "\
Records labelled anomalous in --normal files and records labelled normal in --attack files are ignored, so one labelled file can be
given twice. Payload records are grafted into the normal requests, each distinct payload once, always the same way for one --seed.

Examples:
  weir-train evaluate --bundle models/site --normal split/test.jsonl --attack unseen.jsonl --report report.html
  weir-train evaluate --bundle models/csic --normal dev.jsonl.gz --attack dev.jsonl.gz --drop-cookie JSESSIONID
  CSIC 2010 carries a JSESSIONID cookie that is unique for each request: train and evaluate with --drop-cookie JSESSIONID.";

/// Arguments of `weir-train evaluate`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// The bundle to measure
    #[arg(long, value_name = "DIR")]
    bundle: PathBuf,
    /// Normal requests: JSON Lines, also .gz and .zst
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    normal: Vec<PathBuf>,
    /// Attacks: payload records or anomalous request records
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    attack: Vec<PathBuf>,
    /// Write the report as one HTML file
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// The report as one JSON object on stdout, progress as JSON Lines on stderr
    #[arg(long)]
    json: bool,
    /// At most this many payloads a class
    #[arg(long, value_name = "N")]
    max_per_class: Option<usize>,
    /// At most this many normal requests, evenly spread
    #[arg(long, value_name = "N")]
    max_normal: Option<usize>,
    /// Remove a cookie from every request; repeatable
    #[arg(long = "drop-cookie", value_name = "NAME")]
    drop_cookies: Vec<String>,
    /// Of the grafting
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Scoring threads [default: all cores, at most 8]
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
        if self.max_normal == Some(0) || self.max_per_class == Some(0) {
            return Err(UsageError(
                "--max-normal and --max-per-class must be at least 1".to_owned(),
            )
            .into());
        }
        let progress = if self.json {
            Progress::Json
        } else {
            Progress::Human
        };
        let report = self.measure(progress, &Stop::on_signals()?)?;
        if let Some(path) = &self.report {
            std::fs::write(path, html::page(&report))
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        if self.json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{}", report.to_text());
        }
        Ok(())
    }

    fn measure(&self, progress: Progress, stop: &Stop) -> anyhow::Result<Report> {
        let workers = self
            .threads
            .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
            .clamp(1, 8);
        let runtime = Runtime::load(self.onnxruntime.as_deref(), None)?;
        let engine = load(&self.bundle, runtime, workers)?;
        let (normal, attacks) = self.read(progress)?;
        let bad_lines = normal.bad + attacks.bad;
        let vectors = engine
            .wants_vector()
            .then(|| replayed(&normal.records, &attacks.requests));
        let (of_normal, of_attacks) = match &vectors {
            Some(all) => all
                .split_at_checked(normal.records.len())
                .map_or((None, None), |(a, b)| (Some(a), Some(b))),
            None => (None, None),
        };
        let mut normal_samples = samples::normal(&normal.records, of_normal);
        drop(normal);
        if let Some(most) = self.max_normal {
            let stride = normal_samples.len().div_ceil(most).max(1);
            normal_samples = normal_samples.into_iter().step_by(stride).collect();
        }
        let options = GraftOptions {
            seed: self.seed,
            most_a_class: self.max_per_class,
        };
        let attack_samples = samples::attacks(&attacks, of_attacks, &normal_samples, &options);
        drop(attacks);
        let evaluation = evaluate::score(
            &engine,
            workers,
            normal_samples,
            attack_samples,
            progress,
            stop,
        )?;
        let budgets = engine.manifest().budgets;
        let about = About {
            bundle: engine.id().to_owned(),
            budgets,
            budget_names: [budgets.flag.to_string(), budgets.block.to_string()],
            bad_lines,
        };
        Ok(report(&evaluation, about))
    }

    fn read(&self, progress: Progress) -> anyhow::Result<(Requests, Exposure)> {
        let options = ReadOptions {
            keep: Keep::Normal,
            drop_cookies: self.drop_cookies.clone(),
            limit: None,
        };
        let normal = data::read_requests(&self.normal, &options).context("cannot read --normal")?;
        let attacks = data::read_attacks(&self.attack, &options).context("cannot read --attack")?;
        tell(progress, &normal.bad_lines, normal.bad);
        tell(progress, &attacks.bad_lines, attacks.bad);
        anyhow::ensure!(
            !normal.records.is_empty(),
            "--normal holds no request that is not labelled anomalous"
        );
        anyhow::ensure!(
            !attacks.payloads.is_empty() || !attacks.requests.is_empty(),
            "--attack holds neither payloads nor requests that are not labelled normal"
        );
        Ok((normal, attacks))
    }
}

fn load(directory: &Path, runtime: &'static Runtime, workers: usize) -> anyhow::Result<Engine> {
    let bundle = Bundle::open(directory)
        .with_context(|| format!("cannot open the bundle {}", directory.display()))?;
    let fingerprint = weir_features::schema::fingerprint();
    anyhow::ensure!(
        bundle.manifest().fingerprint == fingerprint,
        "the bundle {} was made for another extractor ({}, this one is {fingerprint}): train it again",
        directory.display(),
        bundle.manifest().fingerprint
    );
    let options = EngineOptions {
        workers,
        provider: ExecutionProvider::Cpu,
    };
    Engine::load(runtime, &bundle, &options)
        .with_context(|| format!("cannot load the bundle {}", directory.display()))
}

/// Vectors of normal requests and attacks as their clients' windows saw them: in one replay, ordered by time.
fn replayed(
    normal: &[LabelledRequest],
    attacks: &[LabelledRequest],
) -> Vec<weir_features::RequestVector> {
    let all: Vec<LabelledRequest> = normal.iter().chain(attacks).cloned().collect();
    vectors::replay(&all)
}

fn tell(progress: Progress, kept: &[BadLine], bad: u64) {
    for line in kept.iter().take(NAMED_BAD_LINES) {
        progress.note(&format!("skipped {line}"));
    }
    if bad > NAMED_BAD_LINES as u64 {
        progress.note(&format!("skipped {bad} bad lines in all"));
    }
}
