#![allow(clippy::indexing_slicing)]

use weir_features::{Extractor, RequestView, Scratch};

use super::*;

const TYPE: &[u8] = b"multipart/form-data; boundary=XyZ";

fn windows(body: &[u8], piece: usize) -> (Vec<Window>, u64) {
    let mut parts = Parts::after(b"XyZ", b"", 1 << 20, 5);
    let mut found = Vec::new();
    for mut data in body.chunks(piece.max(1)) {
        while let Some(window) = parts.take(&mut data) {
            found.push(window);
        }
    }
    while let Some(window) = parts.finish() {
        found.push(window);
    }
    (found, parts.skipped())
}

/// The fields that the extractor finds in windows: name and value.
fn fields(windows: &[Window]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut scratch = Scratch::default();
    for window in windows {
        let view = RequestView {
            method: b"POST",
            target: b"/",
            headers: &[(b"content-type", TYPE)],
            body: &window.text,
            body_truncated: true,
        };
        for field in Extractor::shared().extract(&view, &mut scratch).iter() {
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            found.push((text(field.key), text(field.value)));
        }
    }
    found
}

fn form(parts: &[(&str, &[u8])]) -> Vec<u8> {
    let mut body = Vec::new();
    for (head, content) in parts {
        body.extend_from_slice(b"--XyZ\r\n");
        body.extend_from_slice(head.as_bytes());
        body.extend_from_slice(b"\r\n\r\n");
        body.extend_from_slice(content);
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(b"--XyZ--\r\n");
    body
}

const NOTE: &str = "Content-Disposition: form-data; name=\"note\"";
const PICTURE: &str =
    "Content-Disposition: form-data; name=\"pic\"; filename=\"a.png\"\r\nContent-Type: image/png";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\xff\xfe\x80";

#[test]
fn one_boundary_or_none() {
    for (text, expected) in [
        ("multipart/form-data; boundary=abc", Some("abc")),
        (
            "multipart/form-data; Boundary = \"a b;c\"; charset=x",
            Some("a b;c"),
        ),
        (
            "multipart/form-data;boundary=abc;charset=utf-8",
            Some("abc"),
        ),
        (
            "multipart/form-data; boundary=----WebKitFormBoundary7MA4YWxk",
            Some("----WebKitFormBoundary7MA4YWxk"),
        ),
        ("multipart/form-data; boundary=a; boundary=b", None),
        ("multipart/form-data; boundary=a; boundary*0=b", None),
        ("multipart/form-data; xboundary=a", None),
        ("multipart/form-data; boundary=", None),
        ("multipart/form-data; boundary=\"a\\\"b\"", None),
        ("multipart/form-data", None),
    ] {
        let found = boundary(text.as_bytes());
        assert_eq!(found.as_deref(), expected.map(str::as_bytes), "{text}");
    }
}

#[test]
fn every_part_is_seen_with_its_name_however_it_is_cut() {
    let body = form(&[
        (NOTE, b"first"),
        (PICTURE, PNG),
        ("Content-Disposition: form-data; name=\"other\"", b"second"),
    ]);
    let (whole, skipped) = windows(&body, body.len());
    assert_eq!((whole.len(), skipped), (1, 0));
    let found = fields(&whole);
    for (key, value) in [
        ("note", "first"),
        ("other", "second"),
        ("filename", "a.png"),
    ] {
        assert!(
            found.contains(&(key.to_owned(), value.to_owned())),
            "{key}: {found:?}"
        );
    }
    for piece in 1..40 {
        assert_eq!(windows(&body, piece).0, whole, "{piece}");
    }
}

#[test]
fn long_text_keeps_its_name_and_a_long_file_shows_its_scripts() {
    let mut text = vec![b'a'; 100_000];
    text.extend_from_slice(b" ' UNION SELECT password FROM users");
    let mut file = PNG.to_vec();
    file.resize(4 << 20, 0xee);
    file.extend_from_slice(b"<?php system($_GET[0]); ?>");
    let body = form(&[(PICTURE, &file), (NOTE, &text)]);
    let (found, skipped) = windows(&body, 30_000);
    assert!(
        skipped > 3 << 20 && found.len() < 60,
        "{skipped} {}",
        found.len()
    );
    assert!(
        found
            .iter()
            .all(|window| window.text.len() < WINDOW + 2 * MAX_HEAD)
    );
    let fields = fields(&found);
    let holds = |name: &str, what: &str| {
        fields
            .iter()
            .any(|(key, value)| key == name && value.contains(what))
    };
    assert!(holds("note", "UNION SELECT"));
    assert!(
        holds("pic", "<?php system"),
        "what is appended to a picture"
    );
}

#[test]
fn a_file_that_is_not_what_it_says_is_text() {
    let mut script = b"<?php /* ".to_vec();
    script.resize(300_000, b'x');
    let body = form(&[(PICTURE, &script)]);
    let (_, skipped) = windows(&body, 5000);
    assert_eq!(skipped, 0);
}

#[test]
fn what_was_held_before_sets_the_place() {
    let body = form(&[(NOTE, &[b'x'; 5000]), (PICTURE, PNG)]);
    for cut in [0, 3, 20, 70, 2000, body.len() - 30] {
        let (before, mut after) = body.split_at(cut);
        let mut parts = Parts::after(b"XyZ", before, 1 << 20, 5);
        let mut found = Vec::new();
        assert_eq!(parts.take(&mut after), None);
        while let Some(window) = parts.finish() {
            found.push(window);
        }
        let found = fields(&found);
        if cut < 5000 {
            assert!(
                found
                    .iter()
                    .any(|(key, value)| key == "note" && value.ends_with('x')),
                "{cut}"
            );
            assert!(found.iter().any(|(_, value)| value == "a.png"), "{cut}");
        }
        assert!(
            !found
                .iter()
                .any(|(key, value)| key != "content-type" && value.contains("XyZ")),
            "{cut}: {found:?}"
        );
    }
}

#[test]
fn parts_without_anything_fill_windows_too() {
    let body = b"--XyZ\r\n\r\n".repeat(5000);
    let (found, skipped) = windows(&body, body.len());
    assert!(found.len() > 2 && skipped == 0);
    assert!(found.iter().all(|window| window.text.len() < WINDOW + 100));
}

#[test]
fn what_is_no_part_is_text() {
    for body in [
        &b"no delimiter at all, 1' OR '1'='1"[..],
        b"preamble 1' OR '1'='1\r\n--XyZ\r\n\r\nx\r\n--XyZ--",
        b"--XyZ\r\nno empty line 1' OR '1'='1\r\n--XyZ--",
        b"--XyZ\r\n\r\nx\r\n--XyZ--\r\nepilogue 1' OR '1'='1",
        b"--XyZ--\r\n--XyZ\n\n1' OR '1'='1",
        b"--XyZ\r\nhead: 1' OR '1'='1",
    ] {
        let (found, _) = windows(body, 7);
        let found = fields(&found);
        assert!(
            found.iter().any(|(_, value)| value.contains("' OR '")),
            "{} {found:?}",
            String::from_utf8_lossy(body)
        );
    }
}
