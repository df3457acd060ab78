#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use proptest::prelude::*;

use super::*;

const FULL: &str = r#"{"method":"POST","uri":"/a?b=c","version":"HTTP/1.1","headers":[["Host","shop"],["X","1"]],
    "body":"x=1","label":"anomalous","attack_class":"sqli","client":"10.0.0.1","time":"2026-11-20T05:30:00.5Z",
    "status":200,"response_bytes":512,"site":"shop","rank":3}"#;

#[test]
fn a_full_record_is_read_and_written_back() {
    let record = RequestRecord::parse(FULL.as_bytes()).unwrap();
    assert_eq!(record.label, Some(Label::Anomalous));
    assert_eq!(record.time.unwrap().seconds(), 1_795_152_600.5);
    assert_eq!(record.other["site"], "shop");
    let again = RequestRecord::parse(serde_json::to_string(&record).unwrap().as_bytes()).unwrap();
    assert_eq!(again, record);
}

#[test]
fn bytes_that_are_not_utf8_survive() {
    let line = br#"{"method":"GET","uri":"/\u00ff\u0080\u20ac","headers":[["X","\u00e9"]],"body_base64":"/wA="}"#;
    let request = RequestRecord::parse(line).unwrap().to_request().unwrap();
    assert_eq!(request.target, b"/\xff\x80\xe2\x82\xac");
    assert_eq!(request.headers[0].1, b"\xe9");
    assert_eq!(request.body, b"\xff\x00");
    let again = request
        .with_view(RequestRecord::from_view)
        .to_request()
        .unwrap();
    assert_eq!(again, request);
}

#[test]
fn time_is_rfc3339_or_seconds() {
    let time = |json: &str| serde_json::from_str::<Timestamp>(json).map(Timestamp::seconds);
    assert_eq!(time("1700000000").unwrap(), 1.7e9);
    assert_eq!(time("1700000000.25").unwrap(), 1_700_000_000.25);
    assert_eq!(time("\"1700000000\"").unwrap(), 1.7e9);
    assert_eq!(time("\"2023-11-14T23:13:20+01:00\"").unwrap(), 1.7e9);
    for bad in ["-1", "1e30", "\"yesterday\"", "\"NaN\"", "null", "[]"] {
        assert!(time(bad).is_err(), "{bad}");
    }
}

#[test]
fn what_is_no_record_says_why() {
    for (line, says) in [
        ("", "empty"),
        ("   \r\n", "empty"),
        ("GET / HTTP/1.1", "not a request record"),
        ("[]", "not a request record"),
        ("{\"method\":\"GET\"}", "missing field `uri`"),
        ("{\"method\":\"\",\"uri\":\"/\"}", "`method` is empty"),
        ("{\"method\":\"GET\",\"uri\":\"\"}", "`uri` is empty"),
        (
            "{\"method\":\"GET\",\"uri\":\"/\",\"label\":\"bad\"}",
            "unknown variant `bad`",
        ),
        (
            "{\"method\":\"GET\",\"uri\":\"/\",\"headers\":[[\"a\"]]}",
            "not a request record",
        ),
        (
            "{\"method\":\"GET\",\"uri\":\"/\",\"body\":\"\",\"body_base64\":\"\"}",
            "exclude each other",
        ),
    ] {
        let error = RequestRecord::parse(line.as_bytes())
            .unwrap_err()
            .to_string();
        assert!(error.contains(says), "{line}: {error}");
    }
    let broken =
        RequestRecord::parse(br#"{"method":"GET","uri":"/","body_base64":"***"}"#).unwrap();
    assert!(
        broken
            .to_request()
            .unwrap_err()
            .to_string()
            .contains("body_base64")
    );
    assert!(RequestRecord::parse(b"{\"method\":\"\xff\",\"uri\":\"/\"}").is_err());
}

#[test]
fn the_host_comes_from_the_target_first() {
    let request = |target: &str| OwnedRequest {
        target: target.into(),
        headers: vec![(b"HOST".to_vec(), b"header".to_vec())],
        ..OwnedRequest::default()
    };
    assert_eq!(
        request("http://target:8080/a?b").host(),
        Some(&b"target:8080"[..])
    );
    assert_eq!(request("http://target?b").host(), Some(&b"target"[..]));
    assert_eq!(request("/a?u=http://x/").host(), Some(&b"header"[..]));
    assert_eq!(request("://x").host(), Some(&b"header"[..]));
    assert_eq!(OwnedRequest::default().host(), None);
}

#[test]
fn a_payload_record_needs_a_payload() {
    let record =
        PayloadRecord::parse(br#"{"payload":"\u00c0\u00af","attack_class":"traversal","id":7}"#)
            .unwrap();
    assert_eq!(record.bytes(), b"\xc0\xaf");
    assert!(PayloadRecord::parse(br#"{"payload":""}"#).is_err());
    assert!(PayloadRecord::parse(br#"{"method":"GET","uri":"/"}"#).is_err());
}

proptest! {
    #[test]
    fn text_and_bytes_convert_without_loss(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
        prop_assert_eq!(to_bytes(&to_text(&bytes)), bytes);
    }

    #[test]
    fn utf8_converts_without_loss(text in "\\PC{0,32}") {
        prop_assert_eq!(to_bytes(&to_text(text.as_bytes())), text.as_bytes());
    }

    #[test]
    fn parsing_never_panics(line in proptest::collection::vec(any::<u8>(), 0..200)) {
        let _ = RequestRecord::parse(&line);
        let _ = PayloadRecord::parse(&line);
    }
}
