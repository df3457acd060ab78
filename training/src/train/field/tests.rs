#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use ndarray::Axis;

fn rows(count: usize, shift: f32, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    Array2::from_shape_simple_fn((count, 12), || rng.random::<f32>() + shift)
}

fn options() -> FieldOptions {
    FieldOptions {
        hidden: vec![8, 4],
        epochs: 3,
        batch: 64,
        ..FieldOptions::default()
    }
}

fn train(
    normal: &Array2<f32>,
    attacks: Option<&Array2<f32>>,
    options: &FieldOptions,
    seed: u64,
) -> FieldTraining {
    let none = Array2::zeros((0, normal.ncols()));
    let rows = FieldRows {
        normal: normal.view(),
        copies: &[],
        general: None,
        exposure: attacks.unwrap_or(&none).view(),
        profile: 0..0,
        withheld: &[],
    };
    train_field(
        &rows,
        None,
        options,
        seed,
        Progress::Silent,
        &Stop::default(),
    )
    .unwrap()
}

#[test]
fn exposure_separates_what_reconstruction_alone_would_not() {
    let normal = rows(600, 0.0, 1);
    let mut attacks = rows(600, 0.0, 2);
    attacks.column_mut(3).mapv_inplace(|x| x + 0.8);
    let trained = train(&normal, Some(&attacks), &options(), 1);
    let mean = |mut rows: Array2<f32>| {
        trained.scaling.apply(&mut rows);
        let errors = errors(&trained.weights, rows.view(), None);
        errors.iter().sum::<f32>() / errors.len() as f32
    };
    let (normal, attack) = (mean(rows(200, 0.0, 3)), mean(attacks));
    assert!(attack > 2.5 * normal, "normal {normal}, attack {attack}");
}

#[test]
fn attacks_that_are_hard_to_tell_are_drawn_more_often() {
    let normal = rows(600, 0.0, 1);
    let easy = rows(900, 6.0, 2);
    let mut hard = rows(60, 0.0, 3);
    hard.column_mut(3).mapv_inplace(|x| x + 0.8);
    let mut attacks = easy;
    attacks.append(ndarray::Axis(0), hard.view()).unwrap();
    let error_of_hard = |hard_draws| {
        let options = FieldOptions {
            hard_draws,
            epochs: 8,
            ..options()
        };
        let trained = train(&normal, Some(&attacks), &options, 1);
        let mut rows = hard.clone();
        trained.scaling.apply(&mut rows);
        let errors = errors(&trained.weights, rows.view(), None);
        errors.iter().sum::<f32>() / errors.len() as f32
    };
    let (alike, more) = (error_of_hard(1), error_of_hard(8));
    assert!(more > 1.5 * alike, "alike {alike}, more often {more}");
}

#[test]
fn one_seed_is_one_result_and_another_is_not() {
    let normal = rows(300, 0.0, 1);
    let weights = |seed| train(&normal, None, &options(), seed).weights;
    assert_eq!(weights(1), weights(1));
    assert_ne!(weights(1), weights(2));
}

#[test]
fn trimming_finds_the_row_that_does_not_belong() {
    let mut normal = rows(1000, 0.0, 1);
    normal.row_mut(77).fill(40.0);
    let trained = train(
        &normal,
        None,
        &FieldOptions {
            trim: 0.002,
            ..options()
        },
        1,
    );
    assert_eq!(trained.trimmed.len(), 2);
    assert!(trained.trimmed.contains(&77));
}

#[test]
fn a_row_with_copies_is_learnt_first_and_never_trimmed() {
    let mut normal = rows(1000, 0.0, 1);
    normal.row_mut(77).fill(3.0);
    let error_of_77 = |copies: u32| {
        let mut all = vec![1; 1000];
        all[77] = copies;
        let none = Array2::zeros((0, 12));
        let rows = FieldRows {
            normal: normal.view(),
            copies: &all,
            general: None,
            exposure: none.view(),
            profile: 0..0,
            withheld: &[],
        };
        let trained = train_field(
            &rows,
            None,
            &options(),
            1,
            Progress::Silent,
            &Stop::default(),
        )
        .unwrap();
        let mut scaled = normal.clone();
        trained.scaling.apply(&mut scaled);
        (
            errors(&trained.weights, scaled.view(), None)[77],
            trained.trimmed.contains(&77),
        )
    };
    let (once, trimmed) = error_of_77(1);
    assert!(trimmed);
    let (often, trimmed) = error_of_77(40);
    assert!(!trimmed);
    assert!(often < once / 2.0, "once {once}, often {often}");
}

/// Rows of a kind: rising or falling along the columns.
fn kind(count: usize, rises: bool, seed: u64) -> Array2<f32> {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut rows = Array2::zeros((count, 12));
    for mut row in rows.rows_mut() {
        let (slope, noise) = (rng.random::<f32>(), rng.random::<f32>() * 0.1);
        for (column, value) in row.iter_mut().enumerate() {
            let at = if rises { column } else { 11 - column };
            *value = slope * at as f32 / 11.0 + noise;
        }
    }
    rows
}

#[test]
fn general_rows_keep_what_a_tuned_network_knows() {
    let both = ndarray::concatenate![Axis(0), kind(600, true, 1), kind(600, false, 2)];
    let base = train(&both, None, &options(), 1);
    let start = FieldStart {
        weights: base.weights,
        scaling: base.scaling,
    };
    let (site, other, none) = (
        kind(600, true, 3),
        kind(300, false, 4),
        Array2::zeros((0, 12)),
    );
    let error_of_others = |general| {
        let rows = FieldRows {
            normal: site.view(),
            copies: &[],
            general,
            exposure: none.view(),
            profile: 0..0,
            withheld: &[],
        };
        let tuned = train_field(
            &rows,
            Some(&start),
            &options(),
            1,
            Progress::Silent,
            &Stop::default(),
        )
        .unwrap();
        let mut unseen = kind(200, false, 5);
        tuned.scaling.apply(&mut unseen);
        let errors = errors(&tuned.weights, unseen.view(), None);
        errors.iter().sum::<f32>() / errors.len() as f32
    };
    let forgotten = error_of_others(None);
    let kept = error_of_others(Some(General {
        rows: other.view(),
        copies: &[],
    }));
    assert!(kept * 2.0 < forgotten, "forgotten {forgotten}, kept {kept}");
}

#[test]
fn a_stop_ends_training_at_the_next_batch() {
    let stop = Stop::default();
    stop.request();
    let normal = rows(300, 0.0, 1);
    let rows = FieldRows {
        normal: normal.view(),
        copies: &[],
        general: None,
        exposure: normal.view(),
        profile: 0..0,
        withheld: &[],
    };
    let stopped = train_field(&rows, None, &options(), 1, Progress::Silent, &stop);
    assert_eq!(stopped.unwrap_err(), Stopped);
}
