//! What is told of a value, cause by cause.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use weir_features::{Extractor, FIELD_WIDTH, Location};

use super::*;
use crate::reason::attribution::Ablation;
use crate::reason::secrets::SecretKeys;

fn field(value: &[u8]) -> Field<'_> {
    Field {
        location: Location::QueryValue,
        key: b"q",
        value,
        layers: 0,
        obfuscations: 0,
        marks: Marks::default(),
    }
}

/// The causes when every group of a value is worth the same.
fn told_of(field: Field<'_>, secret: bool) -> Vec<String> {
    let extractor = Extractor::shared();
    let mut row = vec![0.0; FIELD_WIDTH];
    extractor.row(&field, &mut row);
    let baseline = Baseline::new(None, None);
    let evidence = extractor.evidence(field.value);
    let shown = SecretKeys::default();
    let shown = shown.mask_inline(field.value);
    let subject = Subject {
        field,
        row: &row,
        baseline: &baseline,
        evidence: &evidence,
        shown: &shown,
        secret,
        usual: None,
        site: None,
    };
    let errors = vec![1.0; Ablation::of(&row, &baseline).len()];
    let influences: Vec<Influence> = Ablation::of(&row, &baseline)
        .influences(&errors)
        .into_iter()
        .map(|influence| Influence {
            share: 0.05,
            ..influence
        })
        .collect();
    // One at a time, so that none is cut off.
    influences
        .iter()
        .flat_map(|influence| causes(&[*influence], &subject))
        .map(|cause| cause.what())
        .collect()
}

#[test]
fn evidence_is_quoted_from_the_value() {
    let told = told_of(field(b"1' UNION  SELECT a FROM b WHERE 1=1-- "), false);
    for expected in [
        "SQL: `union select`, `from`, `where`, `1=1--`",
        "a single quote that is never closed",
        "a comparison that is always true: `1=1`",
        "ends in a comment",
        "unusual punctuation: `'`",
        "unusual punctuation: blanks",
    ] {
        assert!(
            told.iter().any(|what| what == expected),
            "{expected} in {told:#?}"
        );
    }
}

#[test]
fn each_family_has_words_of_its_own() {
    for (value, expected) in [
        ("../../etc/passwd", "path traversal: `../../etc/passwd`"),
        ("/etc/passwd", "system paths: `/etc/passwd`"),
        (
            "<script>alert(document.cookie)",
            "HTML or JavaScript: `<script`, `alert(document.cookie`",
        ),
        (
            "a\r\nSet-Cookie: a=1",
            "a line break followed by a header line: `set-cookie:`",
        ),
        ("I like cats", "SQL words: `like`"),
        ("x; cat y", "shell commands: `cat`"),
        ("my cat and dog", "words that are shell commands too: `cat`"),
    ] {
        let told = told_of(field(value.as_bytes()), false);
        assert!(
            told.iter().any(|what| what == expected),
            "{expected} in {told:#?}"
        );
    }
}

#[test]
fn encodings_and_origin_are_told_where_there_are_some() {
    let hidden = Field {
        layers: 2,
        obfuscations: 1,
        marks: Marks::NESTED.with(Marks::LAYER_LIMIT),
        ..field(b"lamp")
    };
    let told = told_of(hidden, false).join("; ");
    for expected in [
        "double-encoded, an encoding that only serves to hide, more layers of encoding than are undone",
        "found inside another value",
    ] {
        assert!(told.contains(expected), "{expected} in {told}");
    }
    let once = Field {
        layers: 1,
        ..field(b"lamp")
    };
    assert!(!told_of(once, false).join("; ").contains("encod"));
}

#[test]
fn nothing_is_told_that_is_not_there() {
    for value in [
        "",
        "lamp",
        "12",
        "it's $5 {a} [b]",
        "<b>x</b> -- ;#",
        "\0\x01\u{e9}",
    ] {
        for what in told_of(field(value.as_bytes()), false) {
            let zero = what.contains(" 0 ") || what.contains(" 0%") || what.contains(": 0");
            assert!(!zero && !what.starts_with("not "), "{value:?}: {what}");
            assert!(
                !what.contains("``") && !what.ends_with(": "),
                "{value:?}: {what}"
            );
        }
    }
    assert!(told_of(field(b""), false).is_empty());
}

#[test]
fn of_a_secret_only_kinds_are_told() {
    let value = b"Hunter2' OR sleep(5) = '../etc/passwd <script> 1=1-- ";
    let told = told_of(field(value), true);
    assert!(told.iter().any(|what| what == "SQL"), "{told:#?}");
    for what in told {
        assert!(
            !what.contains('`') && !what.contains(char::is_numeric) || what.contains("bytes"),
            "{what}"
        );
    }
    // Inside a text, what is masked is not quoted either.
    let masked = told_of(field(b"password=select union <script>"), false).join("; ");
    assert!(
        !masked.contains("select") && masked.contains("`<script"),
        "{masked}"
    );
}

#[test]
fn little_influence_is_not_worth_a_word() {
    let value = b"1' UNION SELECT a";
    let subject_field = field(value);
    let extractor = Extractor::shared();
    let mut row = vec![0.0; FIELD_WIDTH];
    extractor.row(&subject_field, &mut row);
    let subject = Subject {
        field: subject_field,
        row: &row,
        baseline: &Baseline::new(None, None),
        evidence: &extractor.evidence(value),
        shown: value,
        secret: false,
        usual: None,
        site: None,
    };
    let influence = |kind, share| Influence { kind, share };
    let told = causes(
        &[
            influence(Kind::Punctuation('\''), 0.03),
            influence(Kind::Lexicon(Family::Sql), 0.9),
            influence(Kind::Structure(Breakout::SingleQuote), 0.03),
            influence(Kind::Punctuation(' '), 0.02),
        ],
        &subject,
    );
    let told: Vec<String> = told.iter().map(Cause::what).collect();
    assert_eq!(
        told,
        ["SQL: `union select`", "unusual punctuation: `'`, blanks"]
    );
}

#[test]
fn what_a_tokenizer_recognised_is_told_as_a_sentence() {
    for (value, expected) in [
        (
            "x' or 1=1",
            "a quote is closed and an SQL condition follows, an SQL condition that is always decided: `' or 1=1`",
        ),
        (
            "lamp; cat /etc/hosts",
            "a shell command behind what separates commands: `; cat`",
        ),
        (
            "{{7*7}}",
            "a template expression that computes something: `{{7*7`",
        ),
        (
            "http://127.0.0.1/x",
            "the address of an internal host: `http://127.0.0.1`",
        ),
    ] {
        let told = told_of(field(value.as_bytes()), false);
        assert!(
            told.iter().any(|what| what == expected),
            "{expected} in {told:#?}"
        );
    }
}
