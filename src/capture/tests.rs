#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::io::Read;
use std::path::Path;

use flate2::read::MultiGzDecoder;
use weir_scoring::record::RequestRecord;

use super::*;
use crate::testing::{Behaviour, Fake, client, inspection, one_route, shared, snapshot};
use crate::units::Bytes;
use crate::{config, detect};

const HEADERS: &[(&[u8], &[u8])] = &[
    (b"host", b"shop.example"),
    (b"cookie", b"sid=0123456789abcdef"),
    (b"authorization", b"Bearer aaaa.bbbb"),
    (b"content-type", b"application/x-www-form-urlencoded"),
];

fn request(body: &[u8]) -> RequestView<'_> {
    RequestView {
        method: b"POST",
        target: b"/login?next=%2F&token=abc123",
        headers: HEADERS,
        body,
        body_truncated: false,
    }
}

fn capturing(directory: &Path, file_size: Bytes, total_size: Bytes) -> config::Config {
    let mut config = one_route("mode: enforce");
    config.capture = Some(config::Capture {
        directory: directory.to_owned(),
        key_file: directory.join("token.key"),
        file_size,
        total_size,
        body: Bytes::kib(64),
    });
    config
}

fn read(directory: &Path) -> Vec<RequestRecord> {
    let mut files: Vec<_> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.retain(|path| path.to_string_lossy().ends_with(".jsonl.gz"));
    files.sort();
    let mut records = Vec::new();
    for file in files {
        let mut text = String::new();
        MultiGzDecoder::new(fs::File::open(file).unwrap())
            .read_to_string(&mut text)
            .unwrap();
        records.extend(
            text.lines()
                .map(|line| RequestRecord::parse(line.as_bytes()).unwrap()),
        );
    }
    records
}

fn captured(score: f32, body: &[u8]) -> (Vec<RequestRecord>, String) {
    let directory = tempfile::tempdir().unwrap();
    let config = capturing(directory.path(), Bytes::mib(1), Bytes::mib(4));
    let shared = shared(snapshot(config, Some(Fake::new(Behaviour::Scores(score)))));
    let pinned = shared.pin();
    let route = pinned.route(b"any", b"/").unwrap();
    let view = request(body);
    let decision = detect::inspect(&shared, &pinned, route, &inspection(view));
    if let Some(draft) =
        shared
            .capture
            .draft(&pinned, &decision, &view, client(), SystemTime::UNIX_EPOCH)
    {
        shared.capture.offer(draft, 302, 1_234);
    }
    shared.capture.flush();
    let records = read(directory.path());
    let text = serde_json::to_string(&records).unwrap();
    (records, text)
}

#[test]
fn a_passed_request_is_recorded_with_its_response_and_without_its_secrets() {
    let (records, text) = captured(0.5, b"user=bob&password=hunter22");
    let record = &records[0];
    assert_eq!(
        (record.status, record.response_bytes),
        (Some(302), Some(1_234))
    );
    assert_eq!(record.client.as_deref(), Some("192.0.2.1"));
    assert_eq!(record.time.as_ref().unwrap().seconds(), 0.0);
    for secret in ["0123456789abcdef", "aaaa.bbbb", "hunter22", "abc123"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
    for kept in [
        "shop.example",
        "Bearer ",
        "user=bob",
        "sid=",
        "/login?next=%2F&token=",
    ] {
        assert!(text.contains(kept), "{kept} missing in {text}");
    }
    let view = record.to_request().unwrap();
    assert_eq!(view.body.len(), "user=bob&password=hunter22".len());
}

#[test]
fn bodies_that_are_no_text_survive() {
    let (records, _) = captured(0.5, &[0, 159, 146, 150]);
    assert_eq!(records[0].to_request().unwrap().body, [0, 159, 146, 150]);
}

#[test]
fn what_did_not_pass_is_not_training_data() {
    assert!(captured(2.5, b"").0.is_empty());
    assert!(captured(9.0, b"").0.is_empty());
}

#[test]
fn what_is_too_large_or_cut_is_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let config = capturing(directory.path(), Bytes::mib(1), Bytes::mib(4));
    let shared = shared(snapshot(config, None));
    let pinned = shared.pin();
    let decision = detect::refused(
        &pinned,
        pinned.route(b"any", b"/").unwrap(),
        detect::Cause::Off,
    );
    let draft = |view: &RequestView<'_>| {
        shared
            .capture
            .draft(&pinned, &decision, view, client(), SystemTime::now())
    };
    let large = vec![b'a'; 64 * 1024 + 1];
    assert!(draft(&request(&large)).is_none());
    assert!(
        draft(&RequestView {
            body_truncated: true,
            ..request(b"a")
        })
        .is_none()
    );
    assert!(draft(&request(b"a")).is_some());
    // Secrets cannot be replaced in what cannot be read.
    let sealed: &[(&[u8], &[u8])] = &[(b"host", b"h"), (b"content-encoding", b"gzip")];
    let sealed = RequestView {
        headers: sealed,
        ..request(b"a")
    };
    assert!(draft(&sealed).is_none());
    assert!(
        draft(&RequestView {
            body: b"",
            ..sealed
        })
        .is_some()
    );
}

#[test]
fn requests_in_flight_hold_a_bounded_amount() {
    let directory = tempfile::tempdir().unwrap();
    let shared = shared(snapshot(
        capturing(directory.path(), Bytes::mib(1), Bytes::mib(4)),
        None,
    ));
    let pinned = shared.pin();
    let decision = detect::refused(
        &pinned,
        pinned.route(b"any", b"/").unwrap(),
        detect::Cause::Off,
    );
    let body = vec![b'a'; 60 * 1024];
    let draft = || {
        shared.capture.draft(
            &pinned,
            &decision,
            &request(&body),
            client(),
            SystemTime::now(),
        )
    };
    let held: Vec<_> = (0..1_000).map_while(|_| draft()).collect();
    assert!((200..300).contains(&held.len()), "{}", held.len());
    assert!(
        shared
            .metrics
            .render()
            .contains("weir_capture_dropped_total 1")
    );
    drop(held);
    assert!(draft().is_some());
}

#[test]
fn old_files_make_room() {
    let directory = tempfile::tempdir().unwrap();
    let (file_size, total_size) = (Bytes::kib(64), Bytes::kib(256));
    let shared = shared(snapshot(
        capturing(directory.path(), file_size, total_size),
        None,
    ));
    let pinned = shared.pin();
    let decision = detect::refused(
        &pinned,
        pinned.route(b"any", b"/").unwrap(),
        detect::Cause::Off,
    );
    let mut state = 1_u64;
    for n in 0..200_u64 {
        // Noise does not compress: 200 records of 8 KiB are 1.6 MB.
        let body: Vec<u8> = (0..8 * 1024)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                b'a' + u8::try_from(state % 26).unwrap()
            })
            .collect();
        let draft = shared
            .capture
            .draft(
                &pinned,
                &decision,
                &request(&body),
                client(),
                SystemTime::now(),
            )
            .unwrap();
        shared.capture.offer(draft, 200, n);
        if n % 4 == 0 {
            shared.capture.flush();
        }
    }
    shared.capture.flush();
    let size: u64 = fs::read_dir(directory.path())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.file_name().to_string_lossy().ends_with(".gz"))
        .map(|entry| entry.metadata().unwrap().len())
        .sum();
    assert!(size <= total_size.0 + Bytes::kib(64).0, "{size}");
    let records = read(directory.path());
    assert_eq!(records.last().unwrap().response_bytes, Some(199));
    assert!(records.first().unwrap().response_bytes > Some(0));
}

#[test]
fn a_check_finds_what_a_start_would_and_makes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let check = |below: &str| {
        let config = capturing(&directory.path().join(below), Bytes::mib(1), Bytes::mib(4));
        Prepared::check(config.capture.as_ref())
    };
    assert!(check("new/deep").is_ok());
    assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    fs::write(directory.path().join("file"), "").unwrap();
    assert!(matches!(check("file/deep"), Err(CaptureError::Files(_))));
    fs::create_dir(directory.path().join("bad")).unwrap();
    fs::write(directory.path().join("bad/token.key"), "short").unwrap();
    assert!(matches!(check("bad"), Err(CaptureError::Key(_))));
}
