#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;
use crate::evaluate::compare::Other;
use crate::evaluate::lookalikes::LookalikeSample;
use crate::evaluate::samples::{AttackSample, NormalSample};
use crate::evaluate::{html, views};
use weir_scoring::budget::{Budgets, Score};
use weir_scoring::record::OwnedRequest;

fn scored(score: f32, location: Location, identity: u64) -> Scored {
    Scored {
        scores: Scores {
            combined: Score::new(score),
            blocking: Score::new(score),
            field: Score::new(score),
            request: None,
        },
        top: Some((location, b"id".to_vec())),
        identity,
    }
}

fn normal(host: &str, score: f32, identity: u64) -> Normal {
    let sample = NormalSample {
        request: OwnedRequest {
            target: b"/".to_vec(),
            ..OwnedRequest::default()
        },
        vector: None,
        host: host.to_owned(),
        time: None,
        source: "capture".to_owned(),
    };
    (sample, scored(score, Location::Cookie, identity))
}

fn attack(host: &str, class: &str, score: f32, identity: u64) -> Attack {
    let sample = AttackSample {
        request: OwnedRequest::default(),
        vector: None,
        host: host.to_owned(),
        class: class.to_owned(),
        source: "list".to_owned(),
        location: Some(Location::QueryValue),
        template: Some(0),
        payload: b"<script>alert(1)</script>".to_vec(),
    };
    (sample, scored(score, Location::QueryValue, identity))
}

/// 200 normal requests of two hosts scoring 0.00 to 1.99, each twice; attacks that score 1 and 5.
fn evaluation() -> Evaluation {
    let normals = (0..200).map(|n: u16| {
        let host = if n.is_multiple_of(2) {
            "a.example"
        } else {
            "b.example"
        };
        normal(host, f32::from(n) / 100.0, u64::from(n) / 2)
    });
    let attacks = (0..20).map(|n: u16| {
        let class = if n < 15 { "sqli" } else { "xss" };
        let score = if n < 5 { 1.0 } else { 5.0 };
        attack("a.example", class, score, 1000 + u64::from(n))
    });
    Evaluation {
        normal: normals.collect(),
        attacks: attacks.collect(),
        own_templates: true,
        ..Evaluation::default()
    }
}

fn about() -> About<'static> {
    About {
        bundle: "feed".to_owned(),
        budgets: Budgets::default(),
        bad_lines: 0,
        plan: Plan {
            resamples: 100,
            seed: 1,
            threads: 2,
        },
        views: vec![views::By::Time, views::By::Domain, views::By::Source],
        per_host: true,
        engine: None,
    }
}

#[test]
fn every_figure_of_a_known_sample() {
    let report = report(&evaluation(), &about());
    assert_eq!((report.normal, report.attacks), ([200, 100], [20, 20]));
    let whole = report.whole().unwrap();
    assert!((whole.tpr_at_fpr[1].tpr.value - 0.75).abs() < 1e-12);
    // Five attacks stand above 100 of 200 normal requests and tie with one.
    assert!((whole.roc_auc.value - (0.75 + 0.25 * 100.5 / 200.0)).abs() < 1e-9);
    let [low, high] = whole.tpr_at_fpr[1].tpr.interval.unwrap();
    assert!(low < 0.75 && high > 0.75);
    assert_eq!(
        (report.classes[0].name.as_str(), report.classes[0].attacks),
        ("sqli", 15)
    );
    let macro_rate = report.macro_average.as_ref().unwrap().tpr_at_05.value;
    assert!((macro_rate - (10.0 / 15.0 + 1.0) / 2.0).abs() < 1e-12);
    assert_eq!(report.confusion.normal, [200, 0, 0]);
    assert_eq!(report.confusion.attacks, [5, 0, 15]);
    assert_eq!(report.confusion.distinct_normal, [100, 0, 0]);
    let cookies = report
        .false_positives
        .iter()
        .find(|place| place.name == "cookie")
        .unwrap();
    assert_eq!(
        (
            cookies.normal,
            cookies.false_positives_at_1,
            cookies.flagged
        ),
        (200, 2, 0)
    );
    assert!(report.against.is_none() && report.lookalikes.is_none());
    assert_eq!(report.histograms[0].count, 200);
    assert!((report.histograms[1].shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
}

#[test]
fn equal_seeds_make_equal_reports() {
    let text = |threads, seed| {
        let mut about = about();
        about.plan.threads = threads;
        about.plan.seed = seed;
        serde_json::to_string(&report(&evaluation(), &about)).unwrap()
    };
    assert_eq!(text(1, 1), text(3, 1));
    assert_ne!(text(1, 1), text(1, 2));
}

#[test]
fn hosts_are_judged_by_their_own_requests() {
    let mut evaluation = evaluation();
    evaluation
        .attacks
        .push(attack("b.example", "sqli", 1.985, 77));
    evaluation
        .attacks
        .push(attack("b.example", "sqli", 1.995, 78));
    let report = report(&evaluation, &about());
    let hosts = report.hosts.unwrap();
    let row = |name: &str| {
        hosts
            .rows
            .iter()
            .find(|row| row.host == name)
            .unwrap()
            .clone()
    };
    // One of a hundred may pass: b's highest normal request scores 1.99, which both attacks pass or the lowest threshold excludes.
    let b = row("b.example");
    assert_eq!((b.normal, b.attacks), (100, 2));
    assert!((b.tpr_at_1 - 1.0).abs() < 1e-12 && (b.tpr_at_05 - 0.5).abs() < 1e-12);
    let a = row("a.example");
    assert!((a.tpr_at_1 - 0.75).abs() < 1e-12);
    assert!((hosts.median_tpr_at_1.value - 0.875).abs() < 1e-12);
    assert!((hosts.lowest_tpr_at_1 - 0.75).abs() < 1e-12);
}

#[test]
fn requests_that_training_saw_are_left_out_of_unseen() {
    let mut evaluation = evaluation();
    evaluation.seen.extend(0..40);
    let report = report(&evaluation, &about());
    let unseen = report.detectors[0].unseen.as_ref().unwrap();
    assert_eq!((unseen.normal, unseen.attacks), (60, 20));
}

#[test]
fn views_split_the_same_samples() {
    let report = report(&evaluation(), &about());
    let view = |by: &str| report.views.iter().find(|view| view.by == by).unwrap();
    assert_eq!(view("time").rows.len(), 5);
    assert!(view("time").rows.iter().all(|row| row.normal == 40));
    // The last fifth holds the highest scores: the two false positives at 1% of 200.
    assert!((view("time").rows[4].fpr_at_1 - 2.0 / 40.0).abs() < 1e-12);
    assert_eq!(view("time").rows[0].attacks, 20);
    assert_eq!(view("domain").rows.len(), 2);
    assert_eq!(
        view("source")
            .rows
            .iter()
            .map(|row| row.attacks)
            .sum::<usize>(),
        20
    );
}

#[test]
fn another_bundle_is_compared_verdict_by_verdict() {
    let mut evaluation = evaluation();
    let flat = |count, score| vec![scored(score, Location::Path, 0).scores; count];
    let mut of_normal = flat(200, 0.1);
    of_normal[0] = scored(4.0, Location::Path, 0).scores;
    evaluation.other = Some(Other {
        bundle: "beef".to_owned(),
        budgets: Budgets::default(),
        normal: of_normal,
        attacks: [flat(10, 9.0), flat(10, 0.2)].concat(),
    });
    let report = report(&evaluation, &about());
    let against = report.against.as_ref().unwrap();
    assert_eq!(
        (against.new_false_positives.0, against.gone_false_positives),
        (0, 1)
    );
    // Attacks 0 to 4 pass here and are found there; 10 to 19 are found here only.
    assert_eq!((against.newly_missed.0, against.newly_caught.0), (5, 10));
    assert_eq!(against.newly_caught.1[0].other, Some(0.2));
    let tpr = against
        .measures
        .iter()
        .find(|row| row.name == "TPR at 1% FPR")
        .unwrap();
    assert!((tpr.this - 0.75).abs() < 1e-12 && (tpr.other - 1.0).abs() < 1e-12);
    assert!(report.to_text().contains("newly missed"));
}

#[test]
fn the_page_holds_no_script_of_a_payload() {
    let mut evaluation = evaluation();
    let lookalike = LookalikeSample {
        request: OwnedRequest::default(),
        source: "own <b>".to_owned(),
        location: None,
        text: b"a <b> c".to_vec(),
    };
    evaluation.lookalikes = vec![
        (lookalike.clone(), scored(2.5, Location::Path, 1)),
        (lookalike, scored(0.5, Location::Path, 1)),
    ];
    let report = report(&evaluation, &about());
    let rows = &report.lookalikes.as_ref().unwrap().rows;
    assert_eq!((rows[1].count, rows[1].flagged, rows[1].blocked), (2, 1, 0));
    let page = html::page(&report);
    assert!(!page.contains("<script") && page.contains("&lt;script&gt;"));
    assert!(!page.contains("own <b>") && !page.contains("http://") && !page.contains("https://"));
    for part in ["<svg", "Verdicts", "Look-alikes", "Hosts", "By time"] {
        assert!(page.contains(part), "{part}");
    }
}
