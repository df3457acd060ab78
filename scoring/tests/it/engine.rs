//! From requests to scores through ONNX Runtime.

use std::sync::Arc;
use std::time::Duration;

use ndarray::Array2;
use weir_features::{ClientWindows, Extractor, FIELD_WIDTH, Location, Scratch};
use weir_scoring::budget::{Budgets, Score, Verdict, verdict};
use weir_scoring::bundle::{Bundle, FIELD_MODEL};
use weir_scoring::engine::{
    Assessment, CHUNK_ROWS, Engine, EngineOptions, EngineScratch, FieldFilter, NoExceptions,
    Subject,
};
use weir_scoring::gate::{self, ModelShape};
use weir_scoring::ort::{ExecutionProvider, Session};
use weir_scoring::record::OwnedRequest;

use crate::traffic::{ENGINE, OPTIONS, PARTS, field_only, publish_as, request, runtime, vector};

const ATTACK: &str = "/search?q=%27%20UNION%20SELECT%20name,%20password%20FROM%20users--%20&page=1";

fn score(request: &OwnedRequest, filter: &dyn FieldFilter) -> Assessment {
    let mut scratch = EngineScratch::default();
    request
        .with_view(|view| ENGINE.score(0, &Subject::of(view), filter, &mut scratch))
        .unwrap()
}

/// The field detector's value by the reference arithmetic, field by field.
fn reference(request: &OwnedRequest) -> f32 {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    request.with_view(|view| {
        let fields = extractor.extract(view, &mut scratch);
        fields.iter().fold(f32::NEG_INFINITY, |largest, field| {
            let mut row = Array2::zeros((1, FIELD_WIDTH));
            extractor.row(&field, row.as_slice_mut().unwrap());
            let error = PARTS.field.errors(&row)[0];
            largest.max(
                PARTS
                    .manifest
                    .calibration
                    .locations
                    .scaled(field.location, false, error),
            )
        })
    })
}

#[test]
fn onnx_runtime_computes_what_the_graph_says() {
    let shape = ModelShape::field(&PARTS.field.fingerprint);
    let model = gate::inspect(&PARTS.field.bytes(), &shape).unwrap();
    let (mut session, status) = Session::new(
        runtime(),
        &model,
        ExecutionProvider::Cpu,
        Duration::from_secs(20),
    )
    .unwrap();
    assert_eq!(status.actual, ExecutionProvider::Cpu);
    let rows = Array2::from_shape_fn((37, FIELD_WIDTH), |(row, column)| {
        ((row * 31 + column * 17) % 13) as f32 / 4.0
    });
    let found = session.probe(rows.view(), Duration::from_secs(20)).unwrap();
    let residuals = PARTS.field.residuals(&rows);
    let close = |a: f32, b: f32| (a - b).abs() <= 1e-4 * (1.0 + b.abs());
    assert!(
        found
            .residuals
            .iter()
            .zip(&residuals)
            .all(|(a, b)| close(*a, *b))
    );
    assert!(
        found
            .errors
            .iter()
            .zip(PARTS.field.errors(&rows))
            .all(|(a, b)| close(*a, b))
    );
    let mut errors = vec![7.0];
    session.errors(rows.view(), &mut errors).unwrap();
    assert_eq!(errors.len(), 38);
    assert!(
        errors[1..]
            .iter()
            .zip(&found.errors)
            .all(|(a, b)| close(*a, *b))
    );
    let narrow = Array2::zeros((1, 3));
    assert!(
        session
            .errors(narrow.view(), &mut errors)
            .unwrap_err()
            .to_string()
            .contains("3 columns")
    );
}

#[test]
fn a_request_scores_as_the_maximum_of_its_fields() {
    for target in [
        "/search?q=lamp+desk&page=3",
        ATTACK,
        "/",
        "/x?a=1&b=%3Cscript%3Ealert(1)%3C/script%3E",
    ] {
        let request = request(target);
        let found = score(&request, &NoExceptions).scores.field;
        let expected = PARTS.manifest.calibration.field.score(reference(&request));
        assert!(
            (found.value() - expected.value()).abs() < 1e-2 * (1.0 + expected.value()),
            "{target}: {found} {expected}"
        );
    }
}

#[test]
fn an_attack_is_blocked_and_an_ordinary_request_passes() {
    let attack = score(&request(ATTACK), &NoExceptions);
    assert_eq!(verdict(&attack.scores, &Budgets::default()), Verdict::Block);
    let top = attack.top.unwrap();
    assert_eq!((top.location, &*top.key), (Location::QueryValue, &b"q"[..]));
    assert_eq!(top.score, attack.scores.field);
    let ordinary = score(&request("/search?q=green+desk&page=4"), &NoExceptions);
    assert_eq!(
        verdict(&ordinary.scores, &Budgets::default()),
        Verdict::Pass
    );
    assert!(ordinary.rows >= 4);
}

#[test]
fn an_excepted_field_is_dropped_and_only_it() {
    struct Except(&'static [u8]);
    impl FieldFilter for Except {
        fn excepted(&self, location: Location, key: &[u8]) -> bool {
            location == Location::QueryValue && key == self.0
        }
    }
    let plain = score(&request(ATTACK), &NoExceptions);
    let excepted = score(&request(ATTACK), &Except(b"q"));
    assert_eq!(excepted.rows + 1, plain.rows);
    assert_eq!(
        verdict(&excepted.scores, &Budgets::default()),
        Verdict::Pass
    );
    assert_eq!(
        verdict(
            &score(&request(ATTACK), &Except(b"page")).scores,
            &Budgets::default()
        ),
        Verdict::Block
    );
}

#[test]
fn a_request_without_fields_is_ordinary() {
    struct All;
    impl FieldFilter for All {
        fn excepted(&self, _: Location, _: &[u8]) -> bool {
            true
        }
    }
    let found = score(&request(ATTACK), &All);
    assert_eq!(
        (found.scores.combined, found.rows, found.top),
        (Score::ZERO, 0, None)
    );
}

#[test]
fn padding_beyond_a_chunk_hides_nothing() {
    let mut target = String::from("/search?");
    for index in 0..CHUNK_ROWS + 10 {
        target.push_str(&format!("p{index}=lamp{index}&"));
    }
    target.push_str("q=%27%20UNION%20SELECT%20name,%20password%20FROM%20users--%20");
    let found = score(&request(&target), &NoExceptions);
    assert!(found.rows > 2 * CHUNK_ROWS);
    assert_eq!(&*found.top.unwrap().key, b"q");
    assert_eq!(
        found.scores.field,
        score(&request(ATTACK), &NoExceptions).scores.field
    );
}

#[test]
fn a_chunk_that_is_exactly_full_is_scored_once() {
    // Names are fields too, so a parameter is two rows; find the count at which rows fill whole chunks.
    let rows = |parameters: usize| {
        let query: Vec<String> = (0..parameters)
            .map(|index| format!("k{index}=v{index}"))
            .collect();
        score(&request(&format!("/?{}", query.join("&"))), &NoExceptions).rows
    };
    let (few, more) = (rows(10), rows(11));
    let step = more - few;
    let wanted = (CHUNK_ROWS - few) / step + 10;
    assert_eq!(rows(wanted), few + (wanted - 10) * step);
}

#[test]
fn the_request_detector_flags_but_does_not_block() {
    let windows = ClientWindows::new(10);
    let mut strange = vector(3, &windows);
    strange.iter_mut().for_each(|value| *value = 50.0);
    let ordinary = request("/search?q=green+desk&page=4");
    let mut scratch = EngineScratch::default();
    let mut with = |vector| {
        ordinary
            .with_view(|view| {
                let subject = Subject {
                    vector,
                    ..Subject::of(view)
                };
                ENGINE.score(1, &subject, &NoExceptions, &mut scratch)
            })
            .unwrap()
            .scores
    };
    let found = with(Some(&strange));
    assert!(found.request.unwrap() > Score::new(3.0));
    assert_eq!(verdict(&found, &Budgets::default()), Verdict::Flag);
    assert_eq!(with(None).request, None);
    let missing = [f32::NAN; 35];
    let imputed = with(Some(&missing)).request.unwrap();
    assert!(imputed.value().is_finite());
    assert_eq!(with(Some(&[0.5; 35])).request.unwrap(), imputed);
    assert!(ENGINE.wants_vector());
}

#[test]
fn workers_share_an_engine() {
    let expected = score(&request(ATTACK), &NoExceptions).scores;
    std::thread::scope(|scope| {
        // More threads than slots, and some with the same worker number.
        for worker in 0..8 {
            scope.spawn(move || {
                let mut scratch = EngineScratch::default();
                for _ in 0..50 {
                    let found = request(ATTACK)
                        .with_view(|view| {
                            ENGINE.score(
                                worker / 2,
                                &Subject::of(view),
                                &NoExceptions,
                                &mut scratch,
                            )
                        })
                        .unwrap();
                    assert_eq!(found.scores, expected);
                }
            });
        }
    });
}

#[test]
fn cuda_that_cannot_start_falls_back_and_says_so() {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    publish_as(&target, &[(FIELD_MODEL, PARTS.field.bytes())], field_only()).unwrap();
    let options = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cuda,
    };
    let engine =
        Arc::new(Engine::load(runtime(), &Bundle::open(&target).unwrap(), &options).unwrap());
    let status = engine.provider();
    assert_eq!(status.requested, ExecutionProvider::Cuda);
    // On a machine with a GPU and the CUDA build of the library it may well start.
    match status.actual {
        ExecutionProvider::Cpu => assert!(status.why.as_ref().is_some_and(|why| !why.is_empty())),
        ExecutionProvider::Cuda => assert_eq!(status.why, None),
    }
    assert!(!engine.wants_vector());
}

#[test]
fn a_worker_number_beyond_the_slots_is_served() {
    let mut scratch = EngineScratch::default();
    let found = request(ATTACK)
        .with_view(|view| ENGINE.score(usize::MAX, &Subject::of(view), &NoExceptions, &mut scratch))
        .unwrap();
    assert_eq!(found.scores, score(&request(ATTACK), &NoExceptions).scores);
    assert_eq!(OPTIONS.workers, 2);
}
