//! What the tokenizers take for code, and what they must not.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use proptest::prelude::*;
use weir_features::{
    Extractor, FIELD_WIDTH, Field, Location, Marks, WINDOW,
    schema::{self, Group},
    syntax,
};

const ATTACKS: &str = include_str!("../data/code.txt");
const LOOKALIKES: &str = include_str!("../data/lookalikes.txt");

fn unescape(line: &str) -> String {
    line.replace("\\n", "\n")
        .replace("\\r", "\r")
        .replace("\\t", "\t")
        .replace("\\0", "\0")
}

/// The token columns of a value that are not zero, by name.
fn columns(value: &str) -> Vec<(&'static str, f32)> {
    let mut row = vec![0.0; FIELD_WIDTH];
    let field = Field {
        location: Location::QueryValue,
        key: b"q",
        value: value.as_bytes(),
        layers: 0,
        obfuscations: 0,
        marks: Marks::default(),
    };
    Extractor::shared().row(&field, &mut row);
    (0..FIELD_WIDTH)
        .filter(|column| schema::feature_group(*column) == Some(Group::Tokens))
        .filter(|column| row[*column] > 0.0)
        .map(|column| (schema::feature_name(column), row[column]))
        .collect()
}

/// `# column` heads the values that it must be found in.
#[test]
fn attacks_have_their_evidence() {
    let mut heading = "";
    let mut missed = Vec::new();
    let mut count = 0;
    for line in ATTACKS.lines().filter(|line| !line.is_empty()) {
        if let Some(name) = line.strip_prefix("## ") {
            heading = name;
            assert!(
                (0..FIELD_WIDTH).any(|column| schema::feature_name(column) == heading),
                "no column is called {heading}"
            );
            continue;
        }
        count += 1;
        let found = columns(&unescape(line));
        if !found.iter().any(|(name, _)| *name == heading) {
            missed.push(format!("{heading}: {line} has {found:?}"));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
    assert!(count >= 120, "{count}");
}

#[test]
fn lookalikes_have_no_evidence() {
    let mut hit = Vec::new();
    let mut count = 0;
    for line in LOOKALIKES
        .lines()
        .filter(|line| !line.is_empty() && !line.starts_with("## "))
    {
        count += 1;
        let mut found = columns(&unescape(line));
        found.retain(|(name, _)| {
            !matches!(
                *name,
                "template placeholder" | "share of code" | "kinds of code"
            )
        });
        if !found.is_empty() {
            hit.push(format!("{line} has {found:?}"));
        }
    }
    assert!(hit.is_empty(), "{}", hit.join("\n"));
    assert!(count >= 120, "{count}");
}

#[test]
fn placeholders_are_weak_evidence() {
    for value in ["{{ name }}", "${price}", "{{user.name}}"] {
        let found = columns(value);
        assert!(
            found
                .iter()
                .any(|(name, _)| *name == "template placeholder")
        );
        assert!(
            !found.iter().any(|(name, _)| name.contains("operation")),
            "{value}"
        );
    }
}

#[test]
fn code_pasted_into_a_long_text_has_a_small_share() {
    let share = |value: &str| {
        let found = columns(value);
        let share = found.iter().find(|(name, _)| *name == "share of code");
        share.unwrap().1
    };
    let text = "Since the last update our report fails. ".repeat(12);
    let pasted = format!("{text}We run 1' or 1=1 -- and {text}");
    assert!(share("1' or 1=1 -- ") > 0.6);
    assert!(share(&pasted) < 0.1);
}

#[test]
fn evidence_says_what_and_where() {
    let value = b"x' or 1=1";
    let found = syntax(value);
    let condition = found
        .iter()
        .find(|piece| {
            schema::feature_name(piece.column) == "quote closed and an SQL condition follows"
        })
        .unwrap();
    assert_eq!(&value[condition.start..condition.end], b"' or 1=1");
    assert_eq!(
        schema::token_family(condition.column),
        Some(weir_features::Family::Sql)
    );
    assert!(syntax(b"union was a great select").is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Pieces of code in any order: nothing panics, every span lies in the value, every number is finite.
    #[test]
    fn any_bytes_are_taken(parts in proptest::collection::vec(prop_oneof![
        proptest::collection::vec(any::<u8>(), 0..6),
        proptest::sample::select(vec![
            "'", "\"", "`", " or ", "1", "=", "<a ", "on", "x=", "${", "{{", "}}", "/*", "*/", "--", ";id", "$(", "../", "http://", "@", "[", "(",
            ")", "select ", "union ", "\n", "Location:", "javascript:", "O:1:", "\\", "|", "&", "\u{e9}", "__proto__", ">", "sleep(", "char(",
        ]).prop_map(|text| text.as_bytes().to_vec()),
    ], 0..400)) {
        let value = parts.concat();
        for piece in syntax(&value) {
            prop_assert!(piece.start < piece.end && piece.end <= value.len().min(WINDOW));
            prop_assert_eq!(schema::feature_group(piece.column), Some(Group::Tokens));
        }
        for (_, number) in columns(&String::from_utf8_lossy(&value)) {
            prop_assert!(number.is_finite());
        }
    }
}
