//! Synthetic ordinary requests, and bundles fitted on them.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use ndarray::Array2;
use weir_features::{
    ClientKey, ClientWindows, Extractor, FIELD_WIDTH, Location, REQUEST_WIDTH, RequestContext,
    RequestVector, Scratch,
};
use weir_scoring::budget::Budgets;
use weir_scoring::bundle::{
    Bundle, BundleError, BundleWriter, DataSummary, Detectors, FIELD_MODEL, FieldDetector, Golden,
    GoldenRows, Manifest, REQUEST_MODEL, RequestDetector, Usual,
};
use weir_scoring::calibration::{Calibration, LocationScales, Power, Tail, smallest_budget};
use weir_scoring::engine::{Engine, EngineOptions};
use weir_scoring::ort::{ExecutionProvider, Runtime};
use weir_scoring::record::OwnedRequest;

use crate::model::Autoencoder;

const REQUESTS: usize = 600;

pub(crate) fn request(target: &str) -> OwnedRequest {
    OwnedRequest {
        method: b"GET".to_vec(),
        target: target.as_bytes().to_vec(),
        headers: vec![
            (b"Host".to_vec(), b"shop.example".to_vec()),
            (
                b"User-Agent".to_vec(),
                b"Mozilla/5.0 (X11; Linux x86_64)".to_vec(),
            ),
        ],
        body: Vec::new(),
    }
}

pub(crate) fn ordinary(index: usize) -> OwnedRequest {
    const WORDS: [&str; 8] = [
        "lamp", "table", "chair", "green", "small", "wood", "desk", "shelf",
    ];
    let (a, b) = (WORDS[index % 8], WORDS[index / 8 % 8]);
    let mut request = match index % 3 {
        0 => request(&format!("/search?q={a}+{b}&page={}", index % 17)),
        1 => request(&format!("/product/{}?ref={a}", index * 7919 % 10_000)),
        _ => request(&format!("/{a}/{b}?sort=price&count={}", index % 50)),
    };
    if index.is_multiple_of(5) {
        request.method = b"POST".to_vec();
        request
            .headers
            .push((b"Content-Type".to_vec(), b"application/json".to_vec()));
        request.body = format!("{{\"item\":\"{b}\",\"password\":\"{a}{index}\"}}").into_bytes();
    }
    request
}

pub(crate) fn vector(index: usize, windows: &ClientWindows) -> RequestVector {
    let context = RequestContext {
        client: ClientKey(index as u128 % 7),
        time: 1.7e9 + index as f64,
        private_address: true,
        country: None,
    };
    ordinary(index).with_view(|view| windows.request(view, &context))
}

/// Everything a bundle is made of.
pub(crate) struct Parts {
    pub(crate) field: Autoencoder,
    pub(crate) request: Autoencoder,
    pub(crate) manifest: Manifest,
}

/// Fitted once: rows, errors and calibration of the ordinary requests.
pub(crate) static PARTS: LazyLock<Parts> = LazyLock::new(|| {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let (mut flat, mut owners) = (Vec::new(), Vec::new());
    for index in 0..REQUESTS {
        ordinary(index).with_view(|view| {
            for field in extractor.extract(view, &mut scratch).iter() {
                let mut row = [0.0; FIELD_WIDTH];
                extractor.row(&field, &mut row);
                flat.extend_from_slice(&row);
                owners.push((index, field.location));
            }
        });
    }
    let rows = Array2::from_shape_vec((owners.len(), FIELD_WIDTH), flat).unwrap();
    let field = Autoencoder::fit("field", &rows);
    let errors = field.errors(&rows);
    let located = owners
        .iter()
        .zip(&errors)
        .map(|((_, location), error)| (*location, false, *error));
    let locations = LocationScales::fit(located).unwrap();
    let mut values = vec![0f32; REQUESTS];
    for ((index, location), error) in owners.iter().zip(&errors) {
        values[*index] = values[*index].max(locations.scaled(*location, false, *error));
    }
    let (request, vectors) = request_parts();
    let request_errors = request.errors(&vectors);
    let field_tail = Tail::fit(&values).unwrap();
    let request_tail = Tail::fit(&request_errors).unwrap();
    let both: Vec<f32> = values
        .iter()
        .zip(&request_errors)
        .map(|(value, error)| {
            field_tail
                .score(*value)
                .max(request_tail.score(*error))
                .value()
        })
        .collect();
    let calibration = Calibration {
        locations,
        field: field_tail,
        request: Some(request_tail),
        combined: Some(Tail::fit(&both).unwrap()),
    };
    let manifest = manifest(
        calibration,
        golden(&field, &rows),
        Some(golden(&request, &vectors)),
    );
    Parts {
        field,
        request,
        manifest,
    }
});

fn request_parts() -> (Autoencoder, Array2<f32>) {
    let windows = ClientWindows::new(100);
    let mut vectors = Array2::zeros((REQUESTS, REQUEST_WIDTH));
    for (index, mut row) in vectors.rows_mut().into_iter().enumerate() {
        let vector = vector(index, &windows);
        row.iter_mut()
            .zip(vector)
            .for_each(|(to, from)| *to = if from.is_nan() { 0.5 } else { from });
    }
    (Autoencoder::fit("request", &vectors), vectors)
}

pub(crate) fn golden(model: &Autoencoder, rows: &Array2<f32>) -> GoldenRows {
    let mut golden = Array2::zeros((8, rows.ncols()));
    for (index, mut row) in golden.rows_mut().into_iter().enumerate() {
        row.assign(&rows.row(index * 11));
    }
    GoldenRows {
        rows: golden.rows().into_iter().map(|row| row.to_vec()).collect(),
        errors: model.errors(&golden),
    }
}

fn manifest(calibration: Calibration, field: GoldenRows, request: Option<GoldenRows>) -> Manifest {
    let usual = Usual {
        rows: 1200,
        distinct: 300,
        length_p01: 1,
        length_p50: 5,
        length_p99: 11,
        families: BTreeMap::from([("sql".to_owned(), 0.002)]),
        examples: vec!["a a".to_owned()],
    };
    Manifest {
        format: 0,
        id: String::new(),
        created: "2026-11-20T00:00:00Z".to_owned(),
        fingerprint: weir_features::schema::fingerprint().to_string(),
        detectors: Detectors {
            field: FieldDetector {
                file: FIELD_MODEL.to_owned(),
                width: FIELD_WIDTH,
                network: vec![FIELD_WIDTH, 8],
                members: 1,
            },
            request: Some(RequestDetector {
                file: REQUEST_MODEL.to_owned(),
                width: REQUEST_WIDTH,
                network: vec![REQUEST_WIDTH, 8],
                missing: vec![0.5; REQUEST_WIDTH],
                power: Power::Flag,
            }),
        },
        calibration,
        usual: BTreeMap::from([(Location::QueryValue.name().to_owned(), usual)]),
        budgets: Budgets::default(),
        smallest_budget: smallest_budget(REQUESTS as u64),
        data: DataSummary {
            normal_requests: REQUESTS as u64,
            ..DataSummary::default()
        },
        metrics: serde_json::Map::new(),
        files: Vec::new(),
        golden: Golden { field, request },
    }
}

/// Publishes a bundle with both detectors, or with what `files` and `manifest` say instead.
pub(crate) fn publish_as(
    target: &Path,
    files: &[(&str, Vec<u8>)],
    manifest: Manifest,
) -> Result<Manifest, BundleError> {
    let mut writer = BundleWriter::create(target)?;
    for (name, bytes) in files {
        writer.add(name, bytes)?;
    }
    writer.publish(manifest)
}

pub(crate) fn files() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        (FIELD_MODEL, PARTS.field.bytes()),
        (REQUEST_MODEL, PARTS.request.bytes()),
    ]
}

pub(crate) fn publish(target: &Path) -> Manifest {
    publish_as(target, &files(), PARTS.manifest.clone()).unwrap()
}

/// The manifest of a bundle without request detector.
pub(crate) fn field_only() -> Manifest {
    let mut manifest = PARTS.manifest.clone();
    manifest.detectors.request = None;
    manifest.calibration.request = None;
    manifest.calibration.combined = None;
    manifest.golden.request = None;
    manifest
}

pub(crate) fn runtime() -> &'static Runtime {
    Runtime::load(None, None).unwrap()
}

pub(crate) const OPTIONS: EngineOptions = EngineOptions {
    workers: 2,
    provider: ExecutionProvider::Cpu,
};

/// An engine of the bundle with both detectors.
pub(crate) static ENGINE: LazyLock<Engine> = LazyLock::new(|| {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    publish(&target);
    Engine::load(runtime(), &Bundle::open(&target).unwrap(), &OPTIONS).unwrap()
});
