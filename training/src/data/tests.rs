#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use std::io::Write as _;

fn file(name: &str, content: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    std::fs::write(&path, content).unwrap();
    (dir, path)
}

fn good(count: usize) -> String {
    (0..count)
        .map(|i| format!("{{\"method\":\"GET\",\"uri\":\"/{i}\",\"headers\":[[\"Host\",\"Shop.Example:8080\"],[\"Cookie\",\"JSESSIONID={i}; a=b\"]],\"label\":\"normal\"}}\n"))
        .collect()
}

#[test]
fn a_bad_line_below_one_percent_is_reported_with_its_number() {
    let mut text = good(150);
    text.push_str("not json\n");
    let (_dir, path) = file("a.jsonl", text.as_bytes());
    let read = read_requests(std::slice::from_ref(&path), &ReadOptions::default()).unwrap();
    assert_eq!((read.records.len(), read.read, read.bad), (150, 151, 1));
    assert_eq!(
        (read.bad_lines[0].line, &read.bad_lines[0].path),
        (151, &path)
    );
    assert_eq!(read.records[0].host.as_deref(), Some("shop.example"));
    assert_eq!(read.records[0].source, "a");
}

#[test]
fn more_bad_lines_are_fatal_and_name_the_first() {
    let (_dir, path) = file("a.jsonl", format!("{}nope\nnope\n", good(150)).as_bytes());
    let error = read_requests(&[path], &ReadOptions::default())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("2 of 152") && error.contains("line 151"),
        "{error}"
    );
}

#[test]
fn compressed_files_of_several_members_are_read_whole() {
    let mut packed = Vec::new();
    for part in [good(3), good(2)] {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(part.as_bytes()).unwrap();
        packed.extend(writer.finish().unwrap());
    }
    let (_dir, path) = file("a.jsonl.gz", &packed);
    assert_eq!(
        read_requests(&[path], &ReadOptions::default())
            .unwrap()
            .records
            .len(),
        5
    );
    let (_dir, path) = file(
        "a.jsonl.zst",
        &zstd::encode_all(good(4).as_bytes(), 1).unwrap(),
    );
    assert_eq!(
        read_requests(&[path], &ReadOptions::default())
            .unwrap()
            .records
            .len(),
        4
    );
}

#[test]
fn a_missing_file_is_named() {
    let error = read_requests(&["/nowhere/x.jsonl".into()], &ReadOptions::default()).unwrap_err();
    assert!(error.to_string().contains("/nowhere/x.jsonl"));
}

#[test]
fn labels_and_cookies_are_filtered() {
    let mut text = good(3);
    text.push_str(
        "{\"method\":\"GET\",\"uri\":\"/bad\",\"label\":\"anomalous\",\"attack_class\":\"sqli\"}\n",
    );
    let (_dir, path) = file("a.jsonl", text.as_bytes());
    let options = ReadOptions {
        keep: Keep::Normal,
        drop_cookies: vec!["jsessionid".into()],
        limit: None,
    };
    let normal = read_requests(std::slice::from_ref(&path), &options).unwrap();
    assert_eq!(normal.records.len(), 3);
    assert_eq!(
        normal.records[0].request.header("cookie"),
        Some(&b"a=b"[..])
    );
    let attacks = read_exposure(&[path]).unwrap();
    assert_eq!((attacks.payloads.len(), attacks.requests.len()), (0, 1));
    assert_eq!(attacks.requests[0].attack_class.as_deref(), Some("sqli"));
}

#[test]
fn payloads_and_requests_mix_by_line() {
    let text = "{\"payload\":\"\\u00c0\\u00af\",\"attack_class\":\"traversal\",\"location\":\"path\"}\n{\"method\":\"GET\",\"uri\":\"/x\"}\n";
    let (_dir, path) = file("list.jsonl", text.as_bytes());
    let read = read_exposure(&[path]).unwrap();
    assert_eq!(read.payloads[0].bytes, b"\xc0\xaf");
    assert_eq!(read.payloads[0].location, Some(Location::Path));
    assert_eq!(read.payloads[0].source, "list");
    assert_eq!(read.requests.len(), 1);
}
