//! A tiny bundle, made on the spot: one linear "network" whose error is the weighted square of the columns that speak of
//! code, so that attacks score high and ordinary text scores low without any training.
//!
//! Not here: quality. It stands in for a model wherever the subject is the proxy.

#![allow(clippy::expect_used, reason = "test support")]

use std::path::Path;

use prost::Message;
use weir_features::{
    Extractor, FIELD_WIDTH, Location, REQUEST_WIDTH, RequestView, Scratch, schema,
};
use weir_scoring::budget::Budgets;
use weir_scoring::bundle::{
    BundleWriter, DataSummary, Detectors, FIELD_MODEL, FieldDetector, Golden, GoldenRows, Manifest,
    REQUEST_MODEL, RequestDetector,
};
use weir_scoring::calibration::{Calibration, LocationScales, Power, Tail};
use weir_scoring::onnx::{
    AttributeProto, Dim, GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto,
};

/// A target that the tiny bundle lets pass.
pub const ORDINARY: &str = "/products?category=garden&page=2";
/// A target that the tiny bundle blocks.
pub const ATTACK: &str = "/products?category=1%27%20UNION%20SELECT%20password%20FROM%20users--%20-";

/// What kind of tiny bundle.
#[derive(Debug, Clone, Copy, Default)]
pub struct Variant {
    /// Bundles with different numbers have different ids and the same verdicts.
    pub number: u16,
    /// Whether it has a request detector, which finds nothing unusual.
    pub request: bool,
}

/// Publishes the plain tiny bundle.
pub fn publish(directory: &Path) -> Manifest {
    publish_variant(directory, Variant::default())
}

/// Publishes a variant.
pub fn publish_variant(directory: &Path, variant: Variant) -> Manifest {
    let mut writer = BundleWriter::create(directory).expect("a bundle directory");
    let weights = field_weights(variant);
    writer
        .add(FIELD_MODEL, &model("field", "rows", &weights))
        .expect("a model");
    let request_weights = vec![1e-3 * (1.0 + f32::from(variant.number) * 1e-6); REQUEST_WIDTH];
    if variant.request {
        writer
            .add(
                REQUEST_MODEL,
                &model("request", "vectors", &request_weights),
            )
            .expect("a model");
    }
    writer
        .publish(manifest(
            &weights,
            variant.request.then_some(&request_weights),
        ))
        .expect("a published bundle")
}

fn manifest(weights: &[f32], request: Option<&Vec<f32>>) -> Manifest {
    let uniform: Vec<f32> = (0..1_000_u16).map(|n| f32::from(n) / 1_000.0).collect();
    let tail = || Tail::fit(&uniform).expect("a tail");
    let locations =
        LocationScales::fit(Location::ALL.map(|location| (location, false, 1.0))).expect("scales");
    let calibration = Calibration {
        locations,
        field: tail(),
        request: request.map(|_| tail()),
        combined: request.map(|_| {
            let scores: Vec<f32> = (1..1_000_u16)
                .map(|n| -(f32::from(n) / 1_000.0).log10())
                .collect();
            Tail::fit(&scores).expect("a tail")
        }),
    };
    Manifest {
        format: 0,
        id: String::new(),
        created: "2026-01-01T00:00:00Z".to_owned(),
        fingerprint: schema::fingerprint(),
        detectors: Detectors {
            field: FieldDetector {
                file: FIELD_MODEL.to_owned(),
                width: FIELD_WIDTH,
                network: vec![FIELD_WIDTH],
                members: 1,
            },
            request: request.map(|_| RequestDetector {
                file: REQUEST_MODEL.to_owned(),
                width: REQUEST_WIDTH,
                network: vec![REQUEST_WIDTH],
                missing: vec![0.0; REQUEST_WIDTH],
                power: Power::Flag,
            }),
        },
        smallest_budget: calibration.smallest_budget(),
        calibration,
        usual: Default::default(),
        budgets: Budgets::default(),
        data: DataSummary {
            sources: vec!["made for tests".to_owned()],
            ..DataSummary::default()
        },
        metrics: serde_json::Map::new(),
        files: Vec::new(),
        golden: Golden {
            field: golden(field_golden_rows(), weights),
            request: request.map(|weights| {
                golden(
                    vec![vec![0.5; REQUEST_WIDTH], vec![2.0; REQUEST_WIDTH]],
                    weights,
                )
            }),
        },
    }
}

/// Weight on the columns of lexicon hits and of evidence for breaking out.
fn field_weights(variant: Variant) -> Vec<f32> {
    const LOUD: [&str; 3] = [
        "tautologies",
        "comment after a quote",
        "breaks out at the beginning",
    ];
    let scale = 1.0 + f32::from(variant.number) * 1e-6;
    (0..FIELD_WIDTH)
        .map(|column| match schema::feature_group(column) {
            Some(schema::Group::Lexicon(_)) => 0.45 * scale,
            Some(schema::Group::Structure) if LOUD.contains(&schema::feature_name(column)) => {
                0.8 * scale
            }
            _ => 0.0,
        })
        .collect()
}

fn field_golden_rows() -> Vec<Vec<f32>> {
    let extractor = Extractor::shared();
    let mut rows = vec![vec![0.0; FIELD_WIDTH], vec![0.25; FIELD_WIDTH]];
    for target in [ORDINARY, ATTACK] {
        let view = RequestView {
            method: b"GET",
            target: target.as_bytes(),
            headers: &[],
            body: b"",
            body_truncated: false,
        };
        let mut scratch = Scratch::default();
        for field in extractor.extract(&view, &mut scratch).iter() {
            let mut row = vec![0.0; FIELD_WIDTH];
            extractor.row(&field, &mut row);
            rows.push(row);
        }
    }
    rows
}

fn golden(rows: Vec<Vec<f32>>, weights: &[f32]) -> GoldenRows {
    let error = |row: &Vec<f32>| {
        row.iter()
            .zip(weights)
            .map(|(value, weight)| (value * weight).powi(2))
            .sum()
    };
    GoldenRows {
        errors: rows.iter().map(error).collect(),
        rows,
    }
}

/// `residuals = (input * weights)^2`, `error = sum of residuals`.
fn model(detector: &str, input: &str, weights: &[f32]) -> Vec<u8> {
    let width = weights.len();
    let graph = GraphProto {
        name: detector.to_owned(),
        node: vec![
            NodeProto::new("Mul", &[input, "weights"], &["weighted"]),
            NodeProto::new("Mul", &["weighted", "weighted"], &["residuals"]),
            NodeProto::new("ReduceSum", &["residuals", "axes"], &["error"])
                .with(AttributeProto::int("keepdims", 0)),
        ],
        initializer: vec![
            TensorProto::f32("weights", &[width], weights),
            TensorProto::i64("axes", &[1], &[1]),
        ],
        input: vec![ValueInfoProto::f32(input, &[Dim::Batch, Dim::Fixed(width)])],
        output: vec![
            ValueInfoProto::f32("error", &[Dim::Batch]),
            ValueInfoProto::f32("residuals", &[Dim::Batch, Dim::Fixed(width)]),
        ],
        ..GraphProto::default()
    };
    let fingerprint = schema::fingerprint();
    ModelProto::export(
        graph,
        &[
            ("weir.detector", detector),
            ("weir.fingerprint", &fingerprint),
        ],
    )
    .encode_to_vec()
}
