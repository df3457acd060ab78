//! The command line from a capture to a report: split, fit, evaluate, compare.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// Runs `weir-train` and returns what it printed.
fn weir_train(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_weir-train"))
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "{arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8(output.stdout).unwrap()
}

/// Requests of two hosts, in order.
fn capture(path: &Path) {
    let mut text = String::new();
    for n in 0..240_u32 {
        let host = if n < 120 {
            "shop.example"
        } else {
            "blog.example"
        };
        let words = ["lamp", "chair", "table", "desk"];
        let _ = writeln!(
            text,
            "{{\"method\":\"GET\",\"uri\":\"/item?id={n}&q={}\",\"headers\":[[\"Host\",\"{host}\"],[\"User-Agent\",\"Mozilla/5.0\"],[\"Cookie\",\"s={:x}\"]]}}",
            words[(n % 4) as usize],
            n.wrapping_mul(2_654_435_761)
        );
    }
    fs::write(path, text).unwrap();
}

fn payloads(path: &Path) {
    let mut text = String::new();
    for n in 0..40 {
        let _ = writeln!(
            text,
            "{{\"payload\":\"{n}' union select password from users where '{n}'='{n}\",\"attack_class\":\"sqli\",\"source\":\"list\"}}"
        );
        let _ = writeln!(
            text,
            "{{\"payload\":\"<svg onload=alert({n})>\",\"attack_class\":\"xss\",\"source\":\"list\"}}"
        );
    }
    fs::write(path, text).unwrap();
}

#[test]
fn a_capture_becomes_a_report() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    capture(Path::new(&at("normal.jsonl")));
    payloads(Path::new(&at("attacks.jsonl")));
    weir_train(&[
        "split",
        "--by",
        "time",
        "--share",
        "0.4",
        &at("normal.jsonl"),
        "--out",
        &at("time"),
    ]);
    weir_train(&[
        "split",
        "--by",
        "payload",
        "--share",
        "0.5",
        &at("attacks.jsonl"),
        "--out",
        &at("parts"),
    ]);
    let (train, test) = (at("time/train.jsonl"), at("time/test.jsonl"));
    weir_train(&[
        "fit",
        "--normal",
        &train,
        "--exposure",
        &at("parts/train.jsonl"),
        "--hidden",
        "16,8",
        "--epochs",
        "1",
        "--exposure-rows",
        "400",
        "--seed",
        "1",
        "--out",
        &at("bundle"),
    ]);
    let common = [
        "evaluate",
        "--bundle",
        &at("bundle"),
        "--normal",
        &test,
        "--attack",
        &at("parts/test.jsonl"),
        "--per-host",
        "15",
        "--by",
        "time,domain",
        "--against",
        &at("bundle"),
        "--resamples",
        "50",
    ]
    .map(str::to_owned);
    let run = |more: &[&str]| {
        let arguments: Vec<&str> = common
            .iter()
            .map(String::as_str)
            .chain(more.iter().copied())
            .collect();
        weir_train(&arguments)
    };
    let printed = run(&[
        "--json",
        "--report",
        &at("report.html"),
        "--attacks-to",
        &at("sent.jsonl"),
    ]);
    let report: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!(report["normal"], serde_json::json!([96, 96]));
    assert_eq!(report["attacks"][0], 30);
    assert_eq!(report["hosts"]["rows"].as_array().unwrap().len(), 2);
    assert_eq!(report["views"][1]["rows"].as_array().unwrap().len(), 2);
    let interval = report["detectors"][0]["all"]["roc_auc"]["interval"]
        .as_array()
        .unwrap();
    assert_eq!(interval.len(), 2);
    // The same bundle twice: no difference, and no verdict that changed.
    let against = &report["against"];
    assert!(
        against["measures"]
            .as_array()
            .unwrap()
            .iter()
            .all(|row| row["difference"]["value"] == 0.0)
    );
    assert_eq!(
        (
            &against["new_false_positives"][0],
            &against["newly_missed"][0]
        ),
        (&0.into(), &0.into())
    );
    let page = fs::read_to_string(at("report.html")).unwrap();
    assert!(
        page.ends_with("</html>\n") && !page.contains("<svg onload") && !page.contains("<script")
    );
    // What was sent is what an evaluation of whole requests scores.
    assert_eq!(
        fs::read_to_string(at("sent.jsonl"))
            .unwrap()
            .lines()
            .count(),
        30
    );
    let text = run(&[]);
    assert!(text.contains("median TPR at 1%") && text.contains("against bundle"));
    assert_eq!(run(&["--json"]), printed, "equal seeds make equal reports");
}
