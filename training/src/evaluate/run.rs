//! One evaluation from files to the report.
//!
//! Must not be here: the command line, and any measure.

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};

use anyhow::Context;
use weir_features::{RequestVector, Scratch};
use weir_scoring::budget::{Verdict, verdict};
use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{Engine, EngineOptions};
use weir_scoring::ort::{ExecutionProvider, Runtime};
use weir_scoring::record::{Label, RequestRecord};

use super::bootstrap::Plan;
use super::build::{self, About};
use super::compare::Other;
use super::report::Report;
use super::samples::{self, AttackSample, GraftOptions, NormalSample};
use super::{Evaluation, Input, Normal, Scored, identity, lookalikes, score, sites, views};
use crate::data::{self, BadLine, Exposure, Keep, LabelledRequest, ReadOptions, Requests};
use crate::fit::vectors;
use crate::progress::{Progress, Stop};

/// Bad lines that are named; the rest are counted.
const NAMED_BAD_LINES: usize = 5;

/// What is measured on what.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The bundle.
    pub bundle: PathBuf,
    /// Another one to compare with.
    pub against: Option<PathBuf>,
    /// Normal requests.
    pub normal: Vec<PathBuf>,
    /// Attacks.
    pub attack: Vec<PathBuf>,
    /// Requests that payloads are grafted into; empty for the normal ones.
    pub into: Vec<PathBuf>,
    /// Look-alikes.
    pub lookalikes: Vec<PathBuf>,
    /// What the bundle was trained on.
    pub seen: Vec<PathBuf>,
    /// Attacks for each host; none to graft each payload once, anywhere.
    pub per_host: Option<usize>,
    /// Where the attacks are written as they were sent.
    pub attacks_to: Option<PathBuf>,
    /// Parts of the data to show.
    pub views: Vec<views::By>,
    /// Cookies to remove.
    pub drop_cookies: Vec<String>,
    /// At most this many payloads a class.
    pub max_per_class: Option<usize>,
    /// At most this many normal requests.
    pub max_normal: Option<usize>,
    /// Resamples behind intervals.
    pub resamples: usize,
    /// Of grafting and resampling.
    pub seed: u64,
    /// Threads.
    pub threads: usize,
    /// ONNX Runtime.
    pub onnxruntime: Option<PathBuf>,
}

/// Runs an evaluation.
///
/// # Errors
/// When a bundle does not load, data cannot be read, or the run is stopped.
pub fn run(options: &Options, progress: Progress, stop: &Stop) -> anyhow::Result<Report> {
    let runtime = Runtime::load(options.onnxruntime.as_deref(), None)?;
    let engine = load(&options.bundle, runtime, options.threads)?;
    let (normal, attacks) = read(options, progress)?;
    let bad_lines = normal.bad + attacks.bad;
    let scorer = Scorer {
        engine: &engine,
        options,
        progress,
        stop,
    };
    let mut evaluation = scorer.evaluation(normal, &attacks)?;
    if let Some(directory) = &options.against {
        let engine = load(directory, runtime, options.threads)?;
        let scorer = Scorer {
            engine: &engine,
            ..scorer
        };
        evaluation.other = Some(scorer.other(&evaluation)?);
    }
    let about = About {
        bundle: engine.id().to_owned(),
        budgets: engine.manifest().budgets,
        bad_lines,
        plan: Plan {
            resamples: options.resamples,
            seed: options.seed,
            threads: options.threads,
        },
        views: options.views.clone(),
        per_host: options.per_host.is_some(),
        engine: Some(&engine),
    };
    let stage = progress.stage("measure", 0);
    let report = build::report(&evaluation, &about);
    stage.finish(&format!("{} resamples", options.resamples));
    Ok(report)
}

#[derive(Clone, Copy)]
struct Scorer<'r> {
    engine: &'r Engine,
    options: &'r Options,
    progress: Progress,
    stop: &'r Stop,
}

impl Scorer<'_> {
    fn evaluation(self, normal: Requests, attacks: &Exposure) -> anyhow::Result<Evaluation> {
        let vectors = self
            .engine
            .wants_vector()
            .then(|| replayed(&normal.records, &attacks.requests));
        let (of_normal, of_attacks) = match &vectors {
            Some(all) => all
                .split_at_checked(normal.records.len())
                .map_or((None, None), |(a, b)| (Some(a), Some(b))),
            None => (None, None),
        };
        let mut samples = samples::normal(&normal.records, of_normal);
        drop(normal);
        if let Some(most) = self.options.max_normal {
            let stride = samples.len().div_ceil(most).max(1);
            samples = samples.into_iter().step_by(stride).collect();
        }
        let other_templates = self.templates()?;
        let templates = other_templates.as_deref().unwrap_or(&samples);
        let attack_samples = self.attacks(attacks, of_attacks, templates);
        anyhow::ensure!(
            !attack_samples.is_empty(),
            "no payload could be grafted: the requests to graft into have no fields for them"
        );
        if let Some(path) = &self.options.attacks_to {
            write(path, &attack_samples)?;
        }
        let inputs: Vec<Input<'_>> = samples.iter().map(of_normal_sample).collect();
        let scored = self.score(&inputs)?;
        let normal: Vec<Normal> = samples.into_iter().zip(scored).collect();
        let inputs: Vec<Input<'_>> = attack_samples
            .iter()
            .map(|sample| (&sample.request, sample.vector.as_ref()))
            .collect();
        let scored = self.score(&inputs)?;
        Ok(Evaluation {
            lookalikes: self.lookalikes(&normal)?,
            own_templates: other_templates.is_none(),
            seen: self.seen()?,
            attacks: attack_samples.into_iter().zip(scored).collect(),
            other: None,
            normal,
        })
    }

    fn score(self, inputs: &[Input<'_>]) -> anyhow::Result<Vec<Scored>> {
        score(
            self.engine,
            self.options.threads,
            inputs,
            self.progress,
            self.stop,
        )
    }

    fn attacks(
        self,
        attacks: &Exposure,
        vectors: Option<&[RequestVector]>,
        templates: &[NormalSample],
    ) -> Vec<AttackSample> {
        let graft = GraftOptions {
            seed: self.options.seed,
            most_a_class: self.options.max_per_class,
        };
        match self.options.per_host {
            Some(count) => {
                let mut out = samples::whole(attacks, vectors);
                out.extend(sites::attacks(attacks, templates, count, &graft));
                out
            }
            None => samples::attacks(attacks, vectors, templates, &graft),
        }
    }

    fn templates(self) -> anyhow::Result<Option<Vec<NormalSample>>> {
        if self.options.into.is_empty() {
            return Ok(None);
        }
        let requests = data::read_requests(&self.options.into, &reading(self.options))
            .context("cannot read --into")?;
        tell(self.progress, &requests.bad_lines, requests.bad);
        Ok(Some(samples::normal(&requests.records, None)))
    }

    /// Look-alikes in requests that pass, so that nothing else in them is flagged.
    fn lookalikes(
        self,
        normal: &[Normal],
    ) -> anyhow::Result<Vec<(lookalikes::LookalikeSample, Scored)>> {
        if self.options.lookalikes.is_empty() {
            return Ok(Vec::new());
        }
        let budgets = self.engine.manifest().budgets;
        let templates: Vec<&NormalSample> = normal
            .iter()
            .filter(|(_, scored)| verdict(&scored.scores, &budgets) == Verdict::Pass)
            .map(|(sample, _)| sample)
            .collect();
        let samples = lookalikes::read(&self.options.lookalikes, &templates, self.options.seed)?;
        let inputs: Vec<Input<'_>> = samples.iter().map(|s| (&s.request, None)).collect();
        let scored = self.score(&inputs)?;
        Ok(samples.into_iter().zip(scored).collect())
    }

    fn seen(self) -> anyhow::Result<HashSet<u64>> {
        let requests = data::read_requests(&self.options.seen, &reading(self.options))
            .context("cannot read --seen")?;
        let mut scratch = Scratch::default();
        let records = requests.records.iter();
        Ok(records
            .map(|record| identity(&record.request, &mut scratch))
            .collect())
    }

    fn other(self, evaluation: &Evaluation) -> anyhow::Result<Other> {
        let normal: Vec<Input<'_>> = evaluation
            .normal
            .iter()
            .map(|(sample, _)| of_normal_sample(sample))
            .collect();
        let attacks: Vec<Input<'_>> = evaluation
            .attacks
            .iter()
            .map(|(sample, _)| (&sample.request, sample.vector.as_ref()))
            .collect();
        let scores = |scored: Vec<Scored>| scored.into_iter().map(|one| one.scores).collect();
        Ok(Other {
            bundle: self.engine.id().to_owned(),
            budgets: self.engine.manifest().budgets,
            normal: scores(self.score(&normal)?),
            attacks: scores(self.score(&attacks)?),
        })
    }
}

fn write(path: &Path, attacks: &[AttackSample]) -> anyhow::Result<()> {
    let failed = || format!("cannot write {}", path.display());
    let mut out = BufWriter::new(File::create(path).with_context(failed)?);
    for attack in attacks {
        let mut record = attack.request.with_view(RequestRecord::from_view);
        record.label = Some(Label::Anomalous);
        record.attack_class = Some(attack.class.clone());
        let source = attack.source.clone();
        record.other.insert("source".to_owned(), source.into());
        serde_json::to_writer(&mut out, &record)?;
        out.write_all(b"\n").with_context(failed)?;
    }
    out.flush().with_context(failed)
}

fn of_normal_sample(sample: &NormalSample) -> Input<'_> {
    (&sample.request, sample.vector.as_ref())
}

fn reading(options: &Options) -> ReadOptions {
    ReadOptions {
        keep: Keep::Normal,
        drop_cookies: options.drop_cookies.clone(),
        limit: None,
    }
}

fn read(options: &Options, progress: Progress) -> anyhow::Result<(Requests, Exposure)> {
    let reading = reading(options);
    let normal = data::read_requests(&options.normal, &reading).context("cannot read --normal")?;
    let attacks = data::read_attacks(&options.attack, &reading).context("cannot read --attack")?;
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
fn replayed(normal: &[LabelledRequest], attacks: &[LabelledRequest]) -> Vec<RequestVector> {
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
