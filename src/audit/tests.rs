#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::time::{Duration, SystemTime};

use super::*;
use crate::testing::{Behaviour, Fake, client, inspection, one_route, shared, snapshot, view};
use crate::{config, detect};

fn entry<'a>(decision: &'a Decision, target: &'a str) -> Entry<'a> {
    Entry {
        id: RequestId::fresh(SystemTime::now()),
        time: SystemTime::UNIX_EPOCH + Duration::from_millis(1_500),
        client: client(),
        host: b"shop.example",
        method: b"GET",
        target: target.as_bytes(),
        decision,
        status: 403,
        response_bytes: 12,
        whole: Duration::from_micros(900),
        upstream: None,
        error: None,
    }
}

fn lines(verdicts: AuditVerdicts, targets: &[(&str, f32)]) -> Vec<serde_json::Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let mut config = one_route("mode: enforce");
    config.audit = config::Audit {
        output: AuditOutput::File(file.clone()),
        verdicts,
    };
    let shared = shared(snapshot(config, Some(Fake::new(Behaviour::Scores(9.0)))));
    let pinned = shared.pin();
    for (target, score) in targets {
        let mut config = (*pinned.config).clone();
        config.audit.output = AuditOutput::Off;
        let scored = self::shared(snapshot(config, Some(Fake::new(Behaviour::Scores(*score)))));
        let of = scored.pin();
        let route = of.route(b"any", b"/").unwrap();
        let decision = detect::inspect(&scored, &of, route, &inspection(view(target)));
        shared
            .audit
            .record(&pinned, route, &entry(&decision, target));
    }
    shared.audit.flush();
    let text = std::fs::read_to_string(&file).unwrap();
    text.lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

#[test]
fn a_record_says_what_the_documentation_promises() {
    let records = lines(AuditVerdicts::Notable, &[("/a?password=hunter2&q=1", 9.0)]);
    let record = &records[0];
    assert_eq!(record["path"], "/a?password=***&q=1");
    assert_eq!(record["time"], "1970-01-01T00:00:01.5Z");
    assert_eq!(record["request_id"].as_str().unwrap().len(), 26);
    for (key, value) in [
        ("client", "192.0.2.1"),
        ("route", "all"),
        ("host", "shop.example"),
        ("method", "GET"),
        ("verdict", "block"),
        ("action", "block"),
        ("mode", "enforce"),
    ] {
        assert_eq!(record[key], value, "{key}");
    }
    assert_eq!(record["score"], 9.0);
    assert_eq!(record["detectors"]["field"], 9.0);
    assert_eq!(record["generation"], 1);
    assert!(record["bundle"].as_str().unwrap().len() >= 32);
    assert!(record["reason"]["fields"].is_array());
    assert_eq!(record["timings"]["total_us"], 900);
}

#[test]
fn ordinary_requests_are_recorded_only_when_wanted() {
    let traffic = [("/", 0.1), ("/flagged", 2.5), ("/blocked", 9.0)];
    assert_eq!(lines(AuditVerdicts::Notable, &traffic).len(), 2);
    assert_eq!(lines(AuditVerdicts::All, &traffic).len(), 3);
}

#[test]
fn reopening_follows_a_rotated_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("audit.jsonl");
    let output = AuditOutput::File(file.clone());
    let mut config = one_route("mode: enforce");
    config.audit = config::Audit {
        output: output.clone(),
        verdicts: AuditVerdicts::All,
    };
    let shared = shared(snapshot(config, Some(Fake::new(Behaviour::Scores(9.0)))));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    let decision = detect::inspect(&shared, &pinned, route, &inspection(view("/")));
    shared
        .audit
        .record(&pinned, route, &entry(&decision, "/first"));
    shared.audit.flush();
    std::fs::rename(&file, directory.path().join("old")).unwrap();
    shared.audit.reopen(&output).unwrap();
    shared
        .audit
        .record(&pinned, route, &entry(&decision, "/second"));
    shared.audit.flush();
    assert!(std::fs::read_to_string(&file).unwrap().contains("/second"));
    assert!(!std::fs::read_to_string(&file).unwrap().contains("/first"));
}

#[test]
fn an_output_that_cannot_be_opened_is_an_error_that_names_it() {
    let output = AuditOutput::File("/nonexistent-folder/audit.jsonl".into());
    let error = Audit::start(&output, Metrics::new())
        .unwrap_err()
        .to_string();
    assert!(error.contains("/nonexistent-folder/audit.jsonl"), "{error}");
}
