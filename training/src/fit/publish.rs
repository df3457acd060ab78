//! The bundle: manifest, golden rows, a rehearsal in ONNX Runtime, and one atomic step into place.
//!
//! Must not be here: anything that still learns. No raw value of a real request may enter the manifest.

use std::collections::BTreeSet;

use anyhow::Context;
use ndarray::Array2;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;
use weir_features::{FIELD_WIDTH, REQUEST_WIDTH, RequestVector};
use weir_scoring::budget::Budgets;
use weir_scoring::bundle::{
    Bundle, BundleWriter, DataSummary, Detectors, FIELD_MODEL, FieldDetector, Golden, GoldenRows,
    Manifest, PROFILE, REQUEST_MODEL, RequestDetector, Usual,
};
use weir_scoring::calibration::Power;
use weir_scoring::engine::{Engine, EngineOptions};
use weir_scoring::ort::{ExecutionProvider, Runtime};
use weir_scoring::record::OwnedRequest;

use super::calibrate::Calibrated;
use super::corpus::Corpus;
use super::site_profile::SiteProfile;
use super::usual::{LocationStatistics, statistics};
use super::{FieldPart, FitOptions, RequestPart};
use crate::data::LabelledRequest;
use crate::network::Weights;
use crate::progress::{Progress, Stop};

/// Random golden rows; rows of synthetic requests follow.
const RANDOM_ROWS: usize = 8;

/// Everything the bundle is made of.
pub(super) struct Contents<'a> {
    pub(super) requests: &'a [LabelledRequest],
    pub(super) corpus: &'a Corpus,
    pub(super) held_out: &'a [bool],
    pub(super) field: &'a FieldPart,
    pub(super) request: Option<&'a RequestPart>,
    pub(super) calibrated: &'a Calibrated,
    pub(super) base: Option<&'a Manifest>,
    /// What the bundle knows of its sites, unless it is for others.
    pub(super) profile: Option<&'a SiteProfile>,
    pub(super) options: &'a FitOptions,
}

/// Rehearses the bundle in a temporary directory, then publishes it. Returns its id and the names of its detectors.
pub(super) fn publish(
    contents: &Contents<'_>,
    runtime: &'static Runtime,
    stop: &Stop,
) -> anyhow::Result<(String, Vec<String>)> {
    let manifest = contents.manifest()?;
    let rehearsal = tempfile::tempdir().context("cannot make a temporary directory")?;
    contents.write(&rehearsal.path().join("bundle"), manifest.clone())?;
    let bundle = Bundle::open(rehearsal.path().join("bundle"))?;
    let engine = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cpu,
    };
    Engine::load(runtime, &bundle, &engine)
        .context("the trained bundle does not pass its own load gate")?;
    stop.check()?;
    let published = contents.write(&contents.options.out, manifest)?;
    let mut detectors = vec!["field".to_owned()];
    detectors.extend(contents.request.map(|_| "request".to_owned()));
    Ok((published.id, detectors))
}

impl Contents<'_> {
    fn write(&self, directory: &std::path::Path, manifest: Manifest) -> anyhow::Result<Manifest> {
        let mut writer = BundleWriter::create(directory)?;
        writer.add(FIELD_MODEL, &self.field.model)?;
        if let Some(request) = self.request {
            writer.add(REQUEST_MODEL, &request.detector.model())?;
        }
        if let Some(profile) = self.profile {
            writer.add(PROFILE, &profile.bytes)?;
        }
        Ok(writer.publish(manifest)?)
    }

    fn manifest(&self) -> anyhow::Result<Manifest> {
        Ok(Manifest {
            format: 0,
            id: String::new(),
            created: created().format(&Rfc3339)?,
            fingerprint: weir_features::schema::fingerprint().to_string(),
            detectors: self.detectors(),
            calibration: self.calibrated.calibration.clone(),
            usual: statistics(self.corpus).into_iter().map(usual).collect(),
            budgets: Budgets::default(),
            smallest_budget: self.calibrated.smallest_budget,
            data: self.data(),
            metrics: self.metrics(),
            files: Vec::new(),
            golden: self.golden()?,
        })
    }

    fn detectors(&self) -> Detectors {
        let field = FieldDetector {
            file: FIELD_MODEL.to_owned(),
            width: FIELD_WIDTH,
            network: self
                .field
                .detector
                .members
                .first()
                .map(Weights::widths)
                .unwrap_or_default(),
            members: self.field.detector.members.len(),
        };
        let request = self.request.map(|part| RequestDetector {
            file: REQUEST_MODEL.to_owned(),
            width: REQUEST_WIDTH,
            network: part.detector.weights.widths(),
            missing: part.detector.range.missing.to_vec(),
            power: Power::Flag,
        });
        Detectors { field, request }
    }

    fn data(&self) -> DataSummary {
        let hosts: BTreeSet<&[u8]> = self
            .requests
            .iter()
            .filter_map(|request| request.request.host())
            .collect();
        let times = || self.requests.iter().filter_map(|request| request.time);
        let name = |path: &std::path::PathBuf| {
            path.file_name()
                .map(|name| name.to_string_lossy().into_owned())
        };
        let files = self.options.normal.iter().chain(&self.options.exposure);
        let mut sources: Vec<String> = files.filter_map(name).collect();
        sources.extend(self.base.map(|base| format!("base {}", base.id)));
        let outcome = self.field.outcome.as_ref();
        DataSummary {
            normal_requests: self.requests.len() as u64,
            distinct_rows: self.corpus.facts.len() as u64,
            exposure_rows: outcome.map_or(0, |outcome| outcome.exposure_rows as u64),
            hosts: hosts.len() as u64,
            from: times().reduce(f64::min).and_then(rfc3339),
            to: times().reduce(f64::max).and_then(rfc3339),
            sources,
            profile: self.profile.map(|profile| profile.holds),
        }
    }

    fn metrics(&self) -> serde_json::Map<String, serde_json::Value> {
        let mut metrics = serde_json::Map::new();
        let held_out = self.held_out.iter().filter(|held| **held).count();
        metrics.insert("held_out_requests".to_owned(), json!(held_out));
        metrics.insert(
            "calibration_samples".to_owned(),
            json!(self.calibrated.samples),
        );
        let normalised = self.field.detector.normalised();
        metrics.insert(
            "field_error".to_owned(),
            json!(if normalised { "normalised" } else { "plain" }),
        );
        if let Some(outcome) = &self.field.outcome {
            metrics.insert("trimmed_rows".to_owned(), json!(outcome.trimmed));
            metrics.insert(
                "quarantined_rows".to_owned(),
                json!(outcome.quarantined.len()),
            );
            if let Some([plain, normalised]) = outcome.separation {
                let areas = json!({"plain": plain, "normalised": normalised});
                metrics.insert("validation_row_auc".to_owned(), areas);
            }
        }
        metrics
    }

    fn golden(&self) -> anyhow::Result<Golden> {
        let mut rng = ChaCha8Rng::seed_from_u64(0x601d);
        let mut rows =
            Array2::from_shape_simple_fn((RANDOM_ROWS, FIELD_WIDTH), || rng.random::<f32>() * 3.0);
        let synthetic = synthetic_requests();
        let references: Vec<&OwnedRequest> = synthetic.iter().collect();
        let corpus = Corpus::extract(&references, None, 1, Progress::Silent, &Stop::default())?;
        rows.append(ndarray::Axis(0), corpus.rows.view())?;
        let errors = self.field.detector.errors(rows.clone());
        let field = GoldenRows {
            rows: rows.rows().into_iter().map(|row| row.to_vec()).collect(),
            errors,
        };
        let request = self.request.map(|part| {
            let vectors: Vec<RequestVector> = (0..RANDOM_ROWS)
                .map(|_| std::array::from_fn(|_| rng.random::<f32>() * 8.0))
                .collect();
            let errors = part.detector.errors(&vectors);
            GoldenRows {
                rows: vectors.iter().map(|vector| vector.to_vec()).collect(),
                errors,
            }
        });
        Ok(Golden { field, request })
    }
}

/// Requests that nobody sent: ordinary ones and attacks, so that golden rows cover both.
fn synthetic_requests() -> Vec<OwnedRequest> {
    let request = |method: &str, target: &str, body: &str| OwnedRequest {
        method: method.into(),
        target: target.into(),
        headers: vec![
            (b"Host".to_vec(), b"shop.example".to_vec()),
            (
                b"User-Agent".to_vec(),
                b"Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/140.0".to_vec(),
            ),
            (
                b"Cookie".to_vec(),
                b"session=0123456789abcdef; theme=dark".to_vec(),
            ),
        ],
        body: body.into(),
    };
    vec![
        request("GET", "/search?q=garden+chairs&page=2", ""),
        request("POST", "/login", "user=ada&password=correct+horse"),
        request("GET", "/item?id=1%27%20OR%201%3D1--%20-", ""),
        request("GET", "/view?file=../../../../etc/passwd", ""),
    ]
}

/// Now, or the time that SOURCE_DATE_EPOCH names (reproducible builds).
fn created() -> OffsetDateTime {
    let fixed = std::env::var("SOURCE_DATE_EPOCH")
        .ok()
        .and_then(|seconds| seconds.parse().ok());
    let fixed = fixed.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
    let now = fixed.unwrap_or_else(OffsetDateTime::now_utc);
    now.replace_nanosecond(0).unwrap_or(now)
}

#[expect(clippy::cast_possible_truncation, reason = "seconds of a manifest")]
fn rfc3339(seconds: f64) -> Option<String> {
    OffsetDateTime::from_unix_timestamp(seconds as i64)
        .ok()?
        .format(&Rfc3339)
        .ok()
}

fn usual(statistics: LocationStatistics) -> (String, Usual) {
    let [length_p01, length_p50, length_p99] = statistics.lengths;
    let usual = Usual {
        rows: statistics.rows,
        distinct: statistics.distinct,
        length_p01,
        length_p50,
        length_p99,
        families: statistics.families,
        examples: statistics.examples,
    };
    (statistics.location.name().to_owned(), usual)
}
