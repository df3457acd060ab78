#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;

fn secrets() -> SecretKeys {
    SecretKeys::default()
}

fn key() -> (tempfile::TempDir, TokenKey) {
    let directory = tempfile::tempdir().unwrap();
    let key = TokenKey::load_or_create(&directory.path().join("token.key")).unwrap();
    (directory, key)
}

fn text(bytes: impl AsRef<[u8]>) -> String {
    String::from_utf8(bytes.as_ref().to_vec()).unwrap()
}

#[test]
fn secret_values_of_a_target_are_masked_and_nothing_else() {
    for (target, expected) in [
        (
            "/a?user=bob&password=hunter2&x=1",
            "/a?user=bob&password=***&x=1",
        ),
        ("/a?pass%77ord=hunter2", "/a?pass%77ord=***"),
        ("/a?API_KEY=abc;b=2", "/a?API_KEY=***;b=2"),
        ("/a#access_token=abc", "/a#access_token=***"),
        ("http://h/a?token=abc", "http://h/a?token=***"),
        ("/plain/path", "/plain/path"),
        (
            "/a;jsessionid=ABC;v=1/b;token=x?x=1",
            "/a;jsessionid=***;v=1/b;token=***?x=1",
        ),
        ("/a;b@c/d", "/a;b@c/d"),
        ("https://bob:pw@h:8/a;x", "https://bob:***@h:8/a;x"),
        ("https://bob@h/?x=1", "https://bob@h/?x=1"),
        ("/a?password", "/a?password"),
        ("/a?x=1&", "/a?x=1&"),
    ] {
        assert_eq!(
            text(super::target(
                target.as_bytes(),
                &secrets(),
                Replacement::Mask
            )),
            expected
        );
    }
}

#[test]
fn secrets_in_a_nested_url_are_found() {
    let target = b"/login?next=https%3A%2F%2Fx.example%2F%3Fid%3D7%26token%3Dabcdef";
    let redacted = text(super::target(target, &secrets(), Replacement::Mask));
    assert!(!redacted.contains("abcdef"), "{redacted}");
    assert!(redacted.contains("id%3D7"), "{redacted}");
}

#[test]
fn secrets_in_nested_json_are_found() {
    for target in [
        "/a?data=%7B%22password%22%3A%22s3cretX%22%2C%22id%22%3A7%7D",
        "/a?data={\"id\":7,\"password\":\"s3cretX\"}",
        "/a?data=%5b%7B%22id%22:7,%22auth%22:%7B%22v%22:%22s3cretX%22%7D%7D%5d",
    ] {
        let redacted = text(super::target(
            target.as_bytes(),
            &secrets(),
            Replacement::Mask,
        ));
        assert!(!redacted.contains("s3cretX"), "{redacted}");
        assert!(redacted.contains('7'), "{redacted}");
    }
}

#[test]
fn headers_with_credentials_keep_their_scheme() {
    let mask = |name: &str, value: &str| {
        text(header(
            name.as_bytes(),
            value.as_bytes(),
            &secrets(),
            Replacement::Mask,
        ))
    };
    assert_eq!(mask("Authorization", "Bearer abc.def"), "Bearer ***");
    assert_eq!(mask("X-Api-Key", "abc"), "***");
    assert_eq!(
        mask("Cookie", "sid=abc; theme=dark; flag"),
        "sid=***; theme=***; ***"
    );
    assert_eq!(
        mask("Referer", "https://x/?token=a&b=2"),
        "https://x/?token=***&b=2"
    );
    assert_eq!(mask("Accept", "text/html"), "text/html");
}

#[test]
fn bodies_of_every_kind_lose_their_secrets() {
    let cases: [(&str, &str, &[&str]); 10] = [
        (
            "application/x-www-form-urlencoded",
            "user=bob&password=s3cretX&n=1",
            &["user=bob", "n=1"],
        ),
        (
            "application/json",
            r#"{"user":"bob","auth":{"a":"s3cretX","n":[1,"s3cretX"]},"z":2}"#,
            &["bob", r#""z":2"#],
        ),
        (
            "text/plain",
            r#" {"password" : "s3cretX", "ok": true}"#,
            &[r#""ok": true"#],
        ),
        (
            "multipart/form-data; boundary=XX",
            "--XX\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\ns3cretX\r\n--XX\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\nhello\r\n--XX--\r\n",
            &["hello", "\r\n--XX--\r\n"],
        ),
        (
            "text/xml",
            "<a><password>s3cretX</password><b token=\"s3cretX\" c='d'>e</b></a>",
            &["c='d'>e</b></a>"],
        ),
        ("application/json", r#"{"password":"s3cretX"#, &[]),
        (
            "multipart/form-data; boundary=XX",
            "--XX\r\nContent-Disposition: form-data; name=\"meta\"\r\nContent-Type: application/json\r\n\r\n{\"password\":\"s3cretX\",\"n\":1}\r\n--XX--\r\n",
            &["\"n\":1}\r\n--XX--\r\n"],
        ),
        (
            "application/octet-stream",
            "user=bob&password=s3cretX",
            &["user=bob"],
        ),
        (
            "application/graphql",
            "mutation { login(user: \"bob\", password: \"s3cretX\") { id } }",
            &["mutation", "bob"],
        ),
        (
            "application/json",
            r#"{"query":"mutation { login(user: \"bob\", password: \"s3cretX\") { id } }"}"#,
            &["mutation", "bob"],
        ),
    ];
    let (_directory, key) = key();
    for (kind, content, kept) in cases {
        for with in [Replacement::Mask, Replacement::Token(&key)] {
            let redacted = text(body(kind.as_bytes(), content.as_bytes(), &secrets(), with));
            assert!(!redacted.contains("s3cretX"), "{kind}: {redacted}");
            for kept in kept {
                assert!(redacted.contains(kept), "{kind}: {redacted}");
            }
            if matches!(with, Replacement::Token(_)) {
                assert_eq!(redacted.len(), content.len(), "{redacted}");
            }
        }
    }
}

#[test]
fn json_stays_json() {
    let (_directory, key) = key();
    let content =
        r#"{"pin":1234,"keys":["a\"b\u00e9c",-1.5e3,0,null,true],"o":{"x":[{"secret":"ü"}]}}"#;
    for with in [Replacement::Mask, Replacement::Token(&key)] {
        let redacted = body(b"application/json", content.as_bytes(), &secrets(), with);
        let value: serde_json::Value = serde_json::from_slice(&redacted).unwrap();
        assert_ne!(value["pin"], 1234);
        assert_eq!(value["keys"][4], true);
        assert_ne!(value["o"]["x"][0]["secret"], "ü");
    }
}

#[test]
fn depth_does_not_hide_a_secret_and_does_not_exhaust_the_stack() {
    let deep = format!(
        "{}{{\"password\":\"s3cretX\"}}{}",
        "[".repeat(100_000),
        "]".repeat(100_000)
    );
    let redacted = body(
        b"application/json",
        deep.as_bytes(),
        &secrets(),
        Replacement::Mask,
    );
    assert!(!text(redacted).contains("s3cretX"));
}

#[test]
fn tokens_keep_length_alphabet_and_equality() {
    let (_directory, key) = key();
    let token = |value: &str| {
        let mut out = Vec::new();
        Replacement::Token(&key).plain(value.as_bytes(), &mut out);
        text(out)
    };
    let value = "aB3-xyz_9é漢";
    let replaced = token(value);
    assert_ne!(replaced, value);
    assert_eq!(replaced, token(value));
    assert_ne!(token("aB3-xyz_8"), token("aB3-xyz_9"));
    let shape = |text: &str| -> String {
        text.chars()
            .map(|c| match c {
                'a'..='z' => 'a',
                'A'..='Z' => 'A',
                '0'..='9' => '0',
                c if c.is_ascii() => c,
                c => char::from_digit(u32::try_from(c.len_utf8()).unwrap(), 10).unwrap(),
            })
            .collect()
    };
    assert_eq!(shape(&replaced), shape(value));
}

#[test]
fn equal_values_have_equal_tokens_wherever_they_stand() {
    let (_directory, key) = key();
    let with = Replacement::Token(&key);
    let target = text(super::target(b"/?token=abcdefgh12345678", &secrets(), with));
    let cookie = text(header(b"cookie", b"sid=abcdefgh12345678", &secrets(), with));
    assert_eq!(
        target.split_once("token=").unwrap().1,
        cookie.split_once("sid=").unwrap().1
    );
}

#[test]
fn encoded_tokens_stay_encoded() {
    let (_directory, key) = key();
    let out = text(super::target(
        b"/?token=a%41%2Fz%20",
        &secrets(),
        Replacement::Token(&key),
    ));
    let token = out.split_once("token=").unwrap().1;
    assert_eq!(token.len(), "a%41%2Fz%20".len());
    assert!(token.contains("%2F") && token.ends_with("%20"), "{token}");
}

#[test]
fn the_key_is_private_and_kept() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("token.key");
    let first = TokenKey::load_or_create(&path).unwrap();
    let again = TokenKey::load_or_create(&path).unwrap();
    let token = |key: &TokenKey| {
        let mut out = Vec::new();
        Replacement::Token(key).plain(b"a long enough value", &mut out);
        out
    };
    assert_eq!(token(&first), token(&again));
    assert_eq!(
        std::fs::metadata(&path).unwrap().permissions().mode() & 0o777,
        0o600
    );
    std::fs::write(&path, "short").unwrap();
    assert!(matches!(
        TokenKey::load_or_create(&path),
        Err(KeyError::Malformed { .. })
    ));
}

proptest::proptest! {
    #[test]
    fn nothing_panics_and_tokens_keep_the_length(
        content in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..300),
        kind in 0..5_usize,
    ) {
        let kinds = ["application/json", "text/xml", "multipart/form-data; boundary=a", "text/plain", ""];
        let (_directory, key) = key();
        let _masked = body(kinds[kind].as_bytes(), &content, &secrets(), Replacement::Mask);
        let _redacted = body(kinds[kind].as_bytes(), &content, &secrets(), Replacement::Token(&key));
        let target = super::target(&content, &secrets(), Replacement::Token(&key));
        let _ = header(b"cookie", &target, &secrets(), Replacement::Token(&key));
    }
}
