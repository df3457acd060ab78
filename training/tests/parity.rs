//! The trainer's arithmetic against ONNX Runtime's, on random and on extracted rows, for both networks.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::time::Duration;

use ndarray::{Array1, Array2, Axis};
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use weir_features::{ClientKey, ClientWindows, FIELD_WIDTH, REQUEST_WIDTH, RequestContext};
use weir_scoring::gate::{ModelShape, inspect};
use weir_scoring::ort::{ExecutionProvider, Runtime, Session};
use weir_scoring::record::OwnedRequest;
use weir_train::fit::corpus::Corpus;
use weir_train::fit::field::FieldDetector;
use weir_train::fit::request::{RequestDetector, matrix};
use weir_train::progress::{Progress, Stop};
use weir_train::train::{
    FieldOptions, FieldRows, RequestOptions, residual_sigma, train_field, train_request,
};

const LIMIT: Duration = Duration::from_secs(60);
const TOLERANCE: f32 = 1e-4;

fn session(model: &[u8], shape: &ModelShape) -> Session {
    let runtime = Runtime::load(None, None).unwrap();
    let model = inspect(model, shape).unwrap();
    Session::new(runtime, &model, ExecutionProvider::Cpu, LIMIT)
        .unwrap()
        .0
}

fn assert_close(ours: &[f32], theirs: &[f32]) {
    assert_eq!(ours.len(), theirs.len());
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!(
            (a - b).abs() <= TOLERANCE * a.abs().max(1.0),
            "row {i}: trained {a}, ONNX Runtime {b}"
        );
    }
}

fn requests() -> Vec<OwnedRequest> {
    let mut rng = ChaCha8Rng::seed_from_u64(5);
    let mut word =
        |length: usize| -> String { (0..length).map(|_| rng.random_range('a'..='z')).collect() };
    let mut requests = Vec::new();
    for i in 0..120 {
        let body = match i % 3 {
            0 => format!(
                "{{\"name\":\"{}\",\"tags\":[\"{}\",{i}]}}",
                word(7),
                word(3)
            ),
            1 => format!("comment={}+{}&price={}.99", word(9), word(4), i),
            _ => String::new(),
        };
        requests.push(OwnedRequest {
            method: if body.is_empty() {
                b"GET".to_vec()
            } else {
                b"POST".to_vec()
            },
            target: format!(
                "/shop/{}/{i}?q={}&page={}&next=%2F{}",
                word(5),
                word(6),
                i % 7,
                word(4)
            )
            .into_bytes(),
            headers: vec![
                (b"Host".to_vec(), b"shop.example".to_vec()),
                (
                    b"User-Agent".to_vec(),
                    b"Mozilla/5.0 (X11; Linux x86_64)".to_vec(),
                ),
                (
                    b"Cookie".to_vec(),
                    format!("sid={}; theme=dark", word(24)).into_bytes(),
                ),
            ],
            body: body.into_bytes(),
        });
    }
    requests
}

#[test]
fn field_errors_and_residuals_agree_with_onnx_runtime() {
    let requests = requests();
    let references: Vec<&OwnedRequest> = requests.iter().collect();
    let corpus = Corpus::extract(&references, None, 2, Progress::Silent, &Stop::default()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(11);
    let random =
        Array2::from_shape_simple_fn((300, FIELD_WIDTH), || rng.random::<f32>() * 6.0 - 1.0);
    let options = FieldOptions {
        hidden: vec![24, 8],
        epochs: 2,
        ..FieldOptions::default()
    };
    let trained = train_field(
        &FieldRows {
            normal: corpus.rows.view(),
            copies: &[],
            general: None,
            exposure: random.view(),
            profile: 0..0,
            withheld: &[],
        },
        None,
        &options,
        1,
        Progress::Silent,
        &Stop::default(),
    )
    .unwrap();
    let mut scaled = corpus.rows.clone();
    trained.scaling.apply(&mut scaled);
    let sigma = residual_sigma(&trained.weights, scaled.view(), &[], 0.1);
    let mut other = trained.weights.clone();
    for layer in &mut other.layers {
        layer.weight *= 0.5;
    }
    for (sigma, members) in [
        (Array1::ones(FIELD_WIDTH), vec![trained.weights.clone()]),
        (sigma, vec![trained.weights.clone(), other]),
    ] {
        let detector = FieldDetector {
            members: members.clone(),
            scaling: trained.scaling.clone(),
            sigma,
        };
        let fingerprint = weir_features::schema::fingerprint();
        let mut session = session(&detector.model(), &ModelShape::field(&fingerprint));
        for rows in [&random, &corpus.rows] {
            let outputs = session.residuals(rows.view()).unwrap();
            assert_close(&detector.errors(rows.clone()), &outputs.errors);
            assert_close(
                &outputs.residuals.sum_axis(Axis(1)).to_vec(),
                &outputs.errors,
            );
            let mut errors = Vec::new();
            session.errors(rows.view(), &mut errors).unwrap();
            assert_eq!(errors, outputs.errors);
        }
    }
}

#[test]
fn request_errors_agree_with_onnx_runtime() {
    let windows = ClientWindows::new(100);
    let mut vectors = Vec::new();
    for (i, request) in requests().iter().enumerate() {
        let context = RequestContext {
            client: ClientKey(i as u128 % 5),
            time: 1.8e9 + 3.0 * i as f64,
            private_address: false,
            country: None,
        };
        vectors.push(request.with_view(|view| windows.request(view, &context)));
        windows.response(context.client, context.time, 200, 512 + i as u64);
    }
    let options = RequestOptions {
        epochs: 6,
        ..RequestOptions::default()
    };
    let known = matrix(vectors.iter());
    let trained = train_request(
        known.view(),
        &options,
        1,
        Progress::Silent,
        &Stop::default(),
    )
    .unwrap();
    let mut scaled = known.clone();
    trained.range.apply(&mut scaled);
    let sigma = residual_sigma(&trained.weights, scaled.view(), &[], 0.02);
    let detector = RequestDetector {
        weights: trained.weights,
        range: trained.range,
        sigma,
    };
    let mut session = session(
        &detector.model(),
        &ModelShape::request(&weir_features::schema::fingerprint()),
    );

    let mut rng = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..200 {
        vectors.push(std::array::from_fn::<f32, REQUEST_WIDTH, _>(|_| {
            rng.random::<f32>() * 12.0 - 1.0
        }));
    }
    // The scorer fills missing values before the run; so does the trainer inside `errors`.
    let filled = Array2::from_shape_fn((vectors.len(), REQUEST_WIDTH), |(row, column)| {
        let value = vectors[row][column];
        if value.is_nan() {
            detector.range.missing[column]
        } else {
            value
        }
    });
    let outputs = session.residuals(filled.view()).unwrap();
    assert_close(&detector.errors(&vectors), &outputs.errors);
}
