//! The `fit` pipeline: files of traffic in, a verified bundle out. Read top down, it is the list of steps.
//!
//! Must not be here: the command line and its output (`cli::fit`), and the arithmetic of any single step.

pub mod calibrate;
pub mod contamination;
pub mod corpus;
pub mod field;
mod folds;
mod held_out;
mod publish;
pub mod request;
mod set_aside;
mod site_profile;
pub mod timeline;
mod usual;
pub mod vectors;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, bail};
use serde::Serialize;
use weir_features::profile::ProfileBuilder;
use weir_scoring::bundle::{Bundle, KnownSites, PROFILE};
use weir_scoring::calibration::Calibration;
use weir_scoring::ort::Runtime;
use weir_scoring::record::{Label, OwnedRequest};

pub use held_out::{FOLDS, HeldOut};

use crate::data::{Exposure, LabelledRequest, ReadOptions, read_exposure, read_requests};
use crate::progress::{Progress, Stop};
use crate::train::{FieldOptions, RequestOptions};
use calibrate::{Errors, calibrate, distinct_held_out};
use corpus::Corpus;
use field::{FieldData, FieldDetector, FieldOutcome};
use request::RequestDetector;
use site_profile::SiteProfile;
use timeline::Timeline;

/// Which detectors are trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Detectors {
    /// The field detector, and the request detector where the capture carries client, time, status and size
    Auto,
    /// The field detector only
    Field,
    /// The request detector only; the field detector is the base's, unchanged
    Request,
    /// Both, or an error
    Both,
}

/// Everything `fit` needs to know.
#[derive(Debug, Clone)]
pub struct FitOptions {
    /// Files of normal traffic.
    pub normal: Vec<PathBuf>,
    /// Cookies left out of the normal traffic, by name.
    pub drop_cookies: Vec<String>,
    /// Files of attack samples.
    pub exposure: Vec<PathBuf>,
    /// Bundle to start from.
    pub base: Option<PathBuf>,
    /// Where the bundle goes.
    pub out: PathBuf,
    /// What is trained.
    pub detectors: Detectors,
    /// Field network and its training.
    pub field: FieldOptions,
    /// Request training.
    pub request: RequestOptions,
    /// Exposure rows to make; by default as many as normal rows, within limits.
    pub exposure_rows: Option<usize>,
    /// How calibration data is held out.
    pub held_out: HeldOut,
    /// Folds of sites that calibrate a model for other sites, each held out of a training of its own: 1 to [`FOLDS`].
    pub folds: u8,
    /// Where quarantined rows are listed; by default beside the bundle.
    pub quarantine: Option<PathBuf>,
    /// ONNX Runtime library.
    pub onnxruntime: Option<PathBuf>,
    /// Of everything random.
    pub seed: u64,
    /// Workers of the extraction.
    pub threads: usize,
}

/// What `fit` did.
#[derive(Debug, Clone, Serialize)]
pub struct FitReport {
    /// Where the bundle is.
    pub out: PathBuf,
    /// Its id.
    pub id: String,
    /// Its detectors.
    pub detectors: Vec<String>,
    /// Normal requests read.
    pub normal_requests: usize,
    /// Lines that were no records.
    pub bad_lines: usize,
    /// Requests held out for calibration.
    pub held_out_requests: usize,
    /// Distinct rows of all normal requests.
    pub distinct_rows: usize,
    /// Rows the field network was trained on.
    pub training_rows: usize,
    /// Exposure rows.
    pub exposure_rows: usize,
    /// General normal rows, which keep what a base knows of other sites.
    pub general_rows: usize,
    /// Which field error was chosen and why.
    pub error: Option<String>,
    /// Normal rows dropped for their error.
    pub trimmed_rows: usize,
    /// Normal rows set aside because they look like attacks.
    pub quarantined_rows: usize,
    /// Where they are listed.
    pub quarantine: Option<PathBuf>,
    /// The smallest false-positive budget the calibration supports.
    pub smallest_budget: f64,
    /// What the bundle's profile holds; `None` where it is for other sites.
    pub profile: Option<KnownSites>,
    /// Wall-clock seconds.
    pub seconds: f64,
}

/// A base bundle, opened and read.
struct Base {
    bundle: Bundle,
    detector: FieldDetector,
    /// What it knows of sites; new traffic is added to it.
    profile: Option<ProfileBuilder>,
}

/// What is known of the field detector after its step.
struct FieldPart {
    outcome: Option<FieldOutcome>,
    detector: FieldDetector,
    model: Vec<u8>,
    /// The base's calibration where its network is used unchanged.
    kept: Option<Calibration>,
}

/// The trained request detector with its error of each request.
pub(crate) struct RequestPart {
    detector: RequestDetector,
    errors: Vec<f32>,
}

/// Runs the whole pipeline and publishes the bundle.
///
/// # Errors
/// Whatever stopped it; nothing is published then.
pub fn fit(options: &FitOptions, progress: Progress, stop: &Stop) -> anyhow::Result<FitReport> {
    let started = Instant::now();
    let runtime = Runtime::load(options.onnxruntime.as_deref(), None)?;
    let base = options.base.as_deref().map(open_base).transpose()?;
    let (requests, bad_lines) = read_normal(options, progress)?;
    let exposure = read_attacks(options, base.is_some())?;
    let held_out = options.held_out.choose(&requests);
    let references: Vec<&OwnedRequest> = requests.iter().map(|request| &request.request).collect();
    let known = base.as_ref().and_then(|base| base.profile.as_ref());
    let timeline = Timeline::learn(&requests, known, options.seed, progress, stop)?;
    let other_sites = options.held_out.resolve(&requests) == HeldOut::Site;
    let profile = (!other_sites)
        .then(|| SiteProfile::of(timeline.learned()))
        .transpose()?;
    let corpus = Corpus::extract(
        &references,
        Some(&timeline),
        options.threads,
        progress,
        stop,
    )?;
    drop(references);

    let data = FieldData {
        requests: &requests,
        corpus: &corpus,
        held_out: &held_out,
        exposure: exposure.as_ref(),
        timeline: &timeline,
        other_sites,
    };
    let field = field_part(&data, base.as_ref(), options, progress, stop)?;
    let row_errors = field.detector.errors(corpus.rows.clone());
    let without_profile = field.detector.errors_without_profile(corpus.rows.clone());
    let request = request_part(&requests, &held_out, options, progress, stop)?;
    let sites: Vec<u64> = requests.iter().map(timeline::site).collect();
    let no_measure = match &field.outcome {
        Some(outcome) if other_sites => outcome.no_measure(&without_profile),
        // An application that takes code is measured with it.
        Some(outcome) => outcome.quarantined.clone(),
        None => Vec::new(),
    };
    let errors = Errors {
        rows: &row_errors,
        without_profile: &without_profile,
        sites: other_sites.then_some(sites.as_slice()),
        requests: request.as_ref().map(|part| part.errors.as_slice()),
        lookalikes: field
            .outcome
            .as_ref()
            .map_or(&[], |outcome| &outcome.lookalikes),
        no_measure: &no_measure,
    };
    let outcome = field.outcome.as_ref();
    let calibrating =
        set_aside::calibrating(&corpus, &requests, &held_out, outcome, options, progress);
    let few = distinct_held_out(&corpus, &calibrating) < calibrate::LEAST_REQUESTS;
    let base_calibration = base
        .as_ref()
        .map(|base| &base.bundle.manifest().calibration);
    // The base's calibration speaks of the base's kind of error only.
    let comparable = base
        .as_ref()
        .is_some_and(|base| base.detector.sigma == field.detector.sigma);
    let kept = base_calibration.filter(|_| few && comparable);
    let kept = field.kept.as_ref().or(kept);
    let folds = if kept.is_none() { options.folds } else { 1 };
    let others = folds::others(&data, folds, &sites, options, progress, stop)?;
    let calibrated = calibrate(&corpus, &calibrating, errors, kept, &others)?;

    stop.check()?;
    let quarantine = set_aside::review(&corpus, outcome, options)?;
    let contents = publish::Contents {
        requests: &requests,
        corpus: &corpus,
        held_out: &held_out,
        field: &field,
        request: request.as_ref(),
        calibrated: &calibrated,
        base: base.as_ref().map(|base| base.bundle.manifest()),
        profile: profile.as_ref(),
        options,
    };
    let (id, detectors) = publish::publish(&contents, runtime, stop)?;
    Ok(FitReport {
        out: options.out.clone(),
        id,
        detectors,
        normal_requests: requests.len(),
        bad_lines,
        held_out_requests: held_out.iter().filter(|held| **held).count(),
        distinct_rows: corpus.facts.len(),
        training_rows: outcome.map_or(0, |outcome| outcome.training_rows),
        exposure_rows: outcome.map_or(0, |outcome| outcome.exposure_rows),
        general_rows: outcome.map_or(0, |outcome| outcome.general_rows),
        error: outcome.map(describe_error),
        trimmed_rows: outcome.map_or(0, |outcome| outcome.trimmed),
        quarantined_rows: outcome.map_or(0, |outcome| outcome.quarantined.len()),
        quarantine,
        smallest_budget: calibrated.smallest_budget,
        profile: profile.map(|profile| profile.holds),
        seconds: started.elapsed().as_secs_f64(),
    })
}

fn open_base(directory: &Path) -> anyhow::Result<Base> {
    let bundle = Bundle::open(directory)
        .with_context(|| format!("cannot use the base {}", directory.display()))?;
    let detector = FieldDetector::from_model(field_model(&bundle)?)?;
    let profile = bundle
        .file(PROFILE)
        .map(ProfileBuilder::from_bytes)
        .transpose()
        .with_context(|| format!("cannot use the profile of the base {}", directory.display()))?;
    Ok(Base {
        bundle,
        detector,
        profile,
    })
}

fn read_normal(
    options: &FitOptions,
    progress: Progress,
) -> anyhow::Result<(Vec<LabelledRequest>, usize)> {
    let stage = progress.stage("read", 0);
    let reading = ReadOptions {
        drop_cookies: options.drop_cookies.clone(),
        ..ReadOptions::default()
    };
    let read = read_requests(&options.normal, &reading)?;
    let total = read.records.len();
    let mut normal = read.records;
    normal.retain(|request| request.label != Some(Label::Anomalous));
    stage.finish(&format!(
        "{total} requests, {} bad lines",
        read.bad_lines.len()
    ));
    for bad in read.bad_lines.iter().take(5) {
        progress.note(&format!("skipped {bad}"));
    }
    if normal.len() < total {
        progress.note(&format!(
            "left out {} requests labelled anomalous: --normal trains on normal ones",
            total - normal.len()
        ));
    }
    if normal.len() < vectors::LEAST_REQUESTS {
        bail!(
            "{} normal requests are too few to learn from: give at least {}",
            normal.len(),
            vectors::LEAST_REQUESTS
        );
    }
    Ok((normal, read.bad_lines.len()))
}

/// A base keeps what it learned from attacks only if it keeps seeing some: without files, generated ones stand in.
fn read_attacks(options: &FitOptions, has_base: bool) -> anyhow::Result<Option<Exposure>> {
    if options.detectors == Detectors::Request || (options.exposure.is_empty() && !has_base) {
        return Ok(None);
    }
    if options.exposure.is_empty() {
        return Ok(Some(Exposure::default()));
    }
    read_exposure(&options.exposure)
        .map(Some)
        .context("cannot read --exposure")
}

fn field_part(
    data: &FieldData<'_>,
    base: Option<&Base>,
    options: &FitOptions,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<FieldPart> {
    if options.detectors == Detectors::Request {
        let base = base.context("--detectors request needs --base")?;
        return Ok(FieldPart {
            outcome: None,
            detector: base.detector.clone(),
            model: field_model(&base.bundle)?.to_vec(),
            kept: Some(base.bundle.manifest().calibration.clone()),
        });
    }
    let outcome = field::train(
        data,
        base.map(|base| &base.detector),
        options,
        progress,
        stop,
    )?;
    let detector = outcome.detector.clone();
    let model = detector.model();
    Ok(FieldPart {
        outcome: Some(outcome),
        detector,
        model,
        kept: None,
    })
}

fn request_part(
    requests: &[LabelledRequest],
    held_out: &[bool],
    options: &FitOptions,
    progress: Progress,
    stop: &Stop,
) -> anyhow::Result<Option<RequestPart>> {
    let complete = vectors::complete(requests);
    match options.detectors {
        Detectors::Field => return Ok(None),
        Detectors::Auto if !complete => return Ok(None),
        Detectors::Request | Detectors::Both if !complete => bail!(
            "the request detector needs client, time, status and response_bytes of at least {} requests: train it \
             from a capture, or use --detectors field",
            vectors::LEAST_REQUESTS
        ),
        _ => {}
    }
    let order = held_out::in_time(requests);
    let vectors = vectors::replay(requests);
    let detector = RequestDetector::train(&vectors, &order, held_out, options, progress, stop)?;
    let errors = detector.errors(&vectors);
    Ok(Some(RequestPart { detector, errors }))
}

fn describe_error(outcome: &FieldOutcome) -> String {
    let kind = if outcome.detector.normalised() {
        "residual-normalised"
    } else {
        "plain"
    };
    match outcome.separation {
        Some([plain, normalised]) => format!(
            "{kind}: separates validation attacks with AUC {plain:.4} plain, {normalised:.4} normalised"
        ),
        None if outcome.exposure_rows > 0 => {
            format!(
                "{kind}: the base's, whose calibration is kept: too few requests were held out for another"
            )
        }
        None => format!("{kind}: the choice without exposure"),
    }
}

fn field_model(bundle: &Bundle) -> anyhow::Result<&[u8]> {
    bundle
        .file(&bundle.manifest().detectors.field.file)
        .context("the base has no field model")
}
