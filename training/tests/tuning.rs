//! What a tuned model still knows: a base of many sites, tuned to a site that sends one kind of request, judges what other
//! sites send as the base did.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::io::Write as _;
use std::path::Path;

use serde_json::json;
use weir_features::Extractor;
use weir_scoring::bundle::Bundle;
use weir_scoring::record::{OwnedRequest, RequestRecord};
use weir_train::data::Exposure;
use weir_train::exposure::{ExposureRows, Template, ordinary};
use weir_train::fit::corpus::Corpus;
use weir_train::fit::field::FieldDetector;
use weir_train::fit::{Detectors, FitOptions, HeldOut, fit};
use weir_train::progress::{Progress, Stop};
use weir_train::train::{FieldOptions, RequestOptions};

/// Traffic of many sites. Its seed is of no other draw: training makes general requests of its own.
fn many_sites(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for request in ordinary::requests(4711, 1500) {
        let record = request.with_view(RequestRecord::from_view);
        writeln!(file, "{}", serde_json::to_string(&record).unwrap()).unwrap();
    }
}

/// A site of one endpoint, one parameter and one client program.
fn one_site(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for i in 0..600 {
        let record = json!({
            "method": "GET", "uri": format!("/search?term={}", i * 7919 % 10_007),
            "headers": [["Host", "shop.example"], ["User-Agent", "shop-app/1.0"]],
            "client": format!("10.0.0.{}", i % 7), "time": 1_800_000_000 + i,
        });
        writeln!(file, "{record}").unwrap();
    }
}

fn options(directory: &Path, normal: &str, base: Option<&str>) -> FitOptions {
    FitOptions {
        normal: vec![directory.join(format!("{normal}.jsonl"))],
        drop_cookies: Vec::new(),
        exposure: Vec::new(),
        base: base.map(|base| directory.join(base)),
        out: directory.join(format!("{normal}.bundle")),
        detectors: Detectors::Field,
        field: FieldOptions {
            hidden: vec![48, 16],
            members: 1,
            epochs: 4,
            ..FieldOptions::default()
        },
        request: RequestOptions::default(),
        exposure_rows: Some(4000),
        held_out: if base.is_some() {
            HeldOut::Time
        } else {
            HeldOut::Site
        },
        folds: 1,
        quarantine: None,
        onnxruntime: None,
        seed: 1,
        threads: 2,
    }
}

fn detector(options: &FitOptions) -> FieldDetector {
    fit(options, Progress::Silent, &Stop::default()).unwrap();
    let bundle = Bundle::open(&options.out).unwrap();
    FieldDetector::from_model(bundle.file("field.onnx").unwrap()).unwrap()
}

/// Rows of ordinary requests, and of attacks in them, that no training has seen.
fn unseen() -> (Corpus, ndarray::Array2<f32>) {
    let requests = ordinary::requests(815, 300);
    let references: Vec<&OwnedRequest> = requests.iter().collect();
    let corpus = Corpus::extract(&references, None, 2, Progress::Silent, &Stop::default()).unwrap();
    let templates: Vec<Template<'_>> = references
        .iter()
        .map(|&request| Template {
            request,
            past: None,
        })
        .collect();
    let mut rng = rand::SeedableRng::seed_from_u64(5);
    let attacks = ExposureRows::generate(
        &templates,
        &Exposure::default(),
        Extractor::shared(),
        &mut rng,
        1000,
    );
    (corpus, attacks.unwrap().rows)
}

/// Share of the errors above a threshold.
fn above(errors: &[f32], threshold: f32) -> f64 {
    errors.iter().filter(|error| **error > threshold).count() as f64 / errors.len() as f64
}

#[test]
fn a_base_tuned_to_a_one_sided_site_still_knows_what_is_ordinary_elsewhere() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    many_sites(&path.join("many.jsonl"));
    one_site(&path.join("one.jsonl"));
    let mut base_options = options(path, "many", None);
    fs::write(
        path.join("attacks.jsonl"),
        "{\"payload\":\"1' or '1'='1\",\"attack_class\":\"sqli\"}\n",
    )
    .unwrap();
    base_options.exposure = vec![path.join("attacks.jsonl")];
    let base = detector(&base_options);
    let tuned = detector(&options(path, "one", Some("many.bundle")));
    assert_eq!(
        tuned.sigma, base.sigma,
        "few requests are held out: the base's kind of error"
    );

    let (ordinary, attacks) = unseen();
    let judged = |detector: &FieldDetector| detector.errors(ordinary.rows.clone());
    let mut sorted = judged(&base);
    sorted.sort_by(f32::total_cmp);
    let threshold = sorted[sorted.len() * 99 / 100];
    let (before, after) = (
        above(&judged(&base), threshold),
        above(&judged(&tuned), threshold),
    );
    let found = |detector: &FieldDetector| above(&detector.errors(attacks.clone()), threshold);
    let (found_before, found_after) = (found(&base), found(&tuned));
    println!(
        "ordinary rows above the base's 99%: {before:.4}, tuned {after:.4}; attack rows found: {found_before:.4}, tuned {found_after:.4}"
    );
    assert!(after < 0.02, "{after}");
    assert!(
        found_after > found_before - 0.05,
        "{found_before} {found_after}"
    );
}
