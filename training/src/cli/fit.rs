//! `weir-train fit`: arguments to options, the report to stdout.
//!
//! Must not be here: any step of the training itself.

use std::path::PathBuf;

use super::UsageError;
use crate::fit::{Detectors, FOLDS, FitOptions, FitReport, HeldOut, fit};
use crate::progress::{Progress, Stop};
use crate::train::{FieldOptions, RequestOptions};

const DETAILS: &str = "\
What happens: every field of every request becomes a row of numbers; equal rows are kept once. A later part of the \
traffic (or whole sites, when there are many) is held out. The field autoencoder learns to reconstruct the other rows \
and, with --exposure, to fail on attack samples grafted into real fields. The held-out part calibrates the scores. \
When the capture carries client, time, status and response size, a request autoencoder is trained as well. The \
bundle is checked against ONNX Runtime and then renamed into place.

Profiles: what is usual at each endpoint and parameter of your sites is learned along the way and travels in the bundle as \
profile.bin, keyed hashes only. Every part of the traffic is described by the profile of the parts before it, so the network \
sees as much novelty in training as in service. What a single source brings does not shape a profile: sources are the \
capture's clients, or distinct requests where it names none. With --base, a profile in the base is continued. No profile is \
written when the bundle is for other sites than those it was trained on: with `--held-out site`, which `auto` chooses for 40 \
hosts or more.

Examples:
  weir-train fit --normal capture/*.jsonl.zst --base models/base --out models/shop
  weir-train fit --normal capture/*.jsonl.zst --base models/base --detectors request --out models/shop
  weir-train fit --normal normal.jsonl.gz --exposure attacks.jsonl --out models/site --seed 7 --json";

/// Arguments of `weir-train fit`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// Normal traffic: request records as JSON Lines, also .gz and .zst
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    normal: Vec<PathBuf>,
    /// Attack samples: payload records or anomalous request records
    #[arg(long, num_args = 1.., value_name = "FILE")]
    exposure: Vec<PathBuf>,
    /// Cookie to leave out, repeatable: one that is unique for each request is learnt by heart
    #[arg(long, value_name = "NAME")]
    drop_cookie: Vec<String>,
    /// Bundle to start from: its field network is tuned, or kept with `--detectors request`
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// Where the bundle is published; an existing bundle there is replaced in one step
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Which detectors to train
    #[arg(long, value_enum, default_value_t = Detectors::Auto)]
    detectors: Detectors,
    /// Hidden layer widths of the field autoencoder, down to the bottleneck
    #[arg(
        long,
        value_delimiter = ',',
        default_value = "128,32",
        value_name = "N,N"
    )]
    hidden: Vec<usize>,
    /// Networks of the field detector, trained from different seeds, which judge together; with --base as many as it has
    #[arg(long, default_value_t = 3, value_name = "N")]
    members: usize,
    /// Passes over the rows [default: 20, with --base 5]
    #[arg(long, value_name = "N")]
    epochs: Option<usize>,
    /// Rows a training step
    #[arg(long, default_value_t = 256, value_name = "N")]
    batch: usize,
    /// Exposure rows to generate [default: as many as normal rows, 20,000 to 200,000]
    #[arg(long, value_name = "N")]
    exposure_rows: Option<usize>,
    /// Share of the normal rows with the highest errors to drop as contamination
    #[arg(long, default_value_t = 0.002, value_name = "SHARE")]
    trim: f64,
    /// Share of training draws in which a row does without its site's profile [default: 0.3; 0.7 for a model that is to
    /// serve other sites]
    #[arg(long, value_name = "SHARE")]
    mask: Option<f64>,
    /// How the calibration part is held out
    #[arg(long, value_enum, default_value_t = HeldOut::Auto)]
    held_out: HeldOut,
    /// Quarters of the sites that calibrate a model for other sites, 1 to 4; each but the first costs a training of its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    folds: u8,
    /// Where normal rows that look like attacks are listed for review, redacted [default: OUT.quarantine.jsonl]
    #[arg(long, value_name = "FILE")]
    quarantine: Option<PathBuf>,
    /// Equal seeds give equal bundles on one machine, but for the time of creation (set SOURCE_DATE_EPOCH to fix it)
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Threads that extract features; the result does not depend on it [default: all cores, at most 8]
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// ONNX Runtime library: a file or the folder it is in
    #[arg(long, value_name = "PATH")]
    onnxruntime: Option<PathBuf>,
    /// Progress as JSON Lines on stderr, the report as one JSON object on stdout
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub fn run(self) -> anyhow::Result<()> {
        let json = self.json;
        let options = self.options()?;
        let progress = if json {
            Progress::Json
        } else {
            Progress::Human
        };
        let report = fit(&options, progress, &Stop::on_signals()?)?;
        if json {
            println!("{}", serde_json::to_string(&report)?);
        } else {
            print!("{}", text(&report));
        }
        Ok(())
    }

    fn options(self) -> Result<FitOptions, UsageError> {
        let limit = |condition: bool, message: &str| {
            if condition {
                Ok(())
            } else {
                Err(UsageError(message.to_owned()))
            }
        };
        let widths =
            !self.hidden.is_empty() && self.hidden.iter().all(|width| (1..=4096).contains(width));
        limit(
            widths,
            "--hidden takes one or more widths from 1 to 4096, such as 128,32",
        )?;
        limit(
            (8..=8192).contains(&self.batch),
            "--batch must be 8 to 8192",
        )?;
        limit(
            (0.0..=0.05).contains(&self.trim),
            "--trim must be 0 to 0.05",
        )?;
        limit((1..=FOLDS).contains(&self.folds), "--folds must be 1 to 4")?;
        limit(
            self.mask.is_none_or(|mask| (0.0..=1.0).contains(&mask)),
            "--mask must be 0 to 1",
        )?;
        limit(
            self.epochs
                .is_none_or(|epochs| (1..=1000).contains(&epochs)),
            "--epochs must be 1 to 1000",
        )?;
        limit((1..=8).contains(&self.members), "--members must be 1 to 8")?;
        limit(
            self.base.is_some() || self.detectors != Detectors::Request,
            "--detectors request needs --base: every bundle has a field detector, and it comes from there",
        )?;
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let tuned = self.base.is_some();
        Ok(FitOptions {
            field: FieldOptions {
                hidden: self.hidden,
                members: self.members,
                batch: self.batch,
                trim: self.trim,
                mask: self.mask,
                epochs: self.epochs.unwrap_or(if tuned { 5 } else { 20 }),
                rate: if tuned { 2e-4 } else { 1e-3 },
                ..FieldOptions::default()
            },
            request: RequestOptions::default(),
            normal: self.normal,
            drop_cookies: self.drop_cookie,
            exposure: self.exposure,
            base: self.base,
            out: self.out,
            detectors: self.detectors,
            exposure_rows: self.exposure_rows,
            held_out: self.held_out,
            folds: self.folds,
            quarantine: self.quarantine,
            onnxruntime: self.onnxruntime,
            seed: self.seed,
            threads: self.threads.unwrap_or(cores).clamp(1, 8),
        })
    }
}

fn text(report: &FitReport) -> String {
    use std::fmt::Write as _;
    let mut text = String::new();
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "{name:<16} {value}");
    };
    line(
        "bundle",
        format!("{} ({})", report.out.display(), report.id),
    );
    line("detectors", report.detectors.join(", "));
    line(
        "requests",
        format!(
            "{} normal, {} held out",
            report.normal_requests, report.held_out_requests
        ),
    );
    line(
        "rows",
        format!(
            "{} distinct, {} exposure, {} general",
            report.distinct_rows, report.exposure_rows, report.general_rows
        ),
    );
    if let Some(error) = &report.error {
        line("error", error.clone());
    }
    line(
        "trimmed",
        format!("{} rows that reconstruct worst", report.trimmed_rows),
    );
    if report.quarantined_rows > 0 {
        let file = report
            .quarantine
            .as_ref()
            .map_or_else(String::new, |file| file.display().to_string());
        line(
            "quarantined",
            format!(
                "{} rows that look like attacks: review {file}",
                report.quarantined_rows
            ),
        );
    }
    line(
        "profile",
        report.profile.map_or_else(
            || "none: the bundle is for other sites".to_owned(),
            |holds| {
                format!(
                    "{} sites, {} endpoints, {} parameters of {} requests, {} bytes",
                    holds.sites, holds.endpoints, holds.parameters, holds.requests, holds.bytes
                )
            },
        ),
    );
    line(
        "budgets",
        format!(
            "down to {} promised with 95% confidence",
            weir_scoring::budget::one_in(report.smallest_budget)
        ),
    );
    line("time", format!("{:.1} s", report.seconds));
    text
}
