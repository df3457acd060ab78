#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::*;
use crate::exposure::location_weights;
use std::collections::HashSet;

/// The names of rules and terminals that a production refers to, with `false` for a verb that there is not.
fn names(production: &str) -> Vec<(String, bool)> {
    let mut found = Vec::new();
    let mut rest = production;
    while let Some((_, after)) = rest.split_once('«') {
        let (inner, tail) = reference(after);
        rest = tail;
        match inner.strip_prefix('=') {
            Some(list) => found.extend(alternatives(list).into_iter().flat_map(names)),
            None => {
                let parts: Vec<&str> = inner.trim_start_matches('?').split(':').collect();
                let (name, verbs) = parts.split_last().unwrap();
                let known = verbs.iter().all(|verb| transform::VERBS.contains(verb));
                found.push(((*name).to_owned(), known));
            }
        }
    }
    found
}

/// Ordinary text has its own roots.
fn is_of_lookalikes(name: &str) -> bool {
    ["benign", "bv_", "lk_", "ord_"]
        .iter()
        .any(|prefix| name.starts_with(prefix))
}

fn is_known(name: &str) -> bool {
    rule(name).is_some() || common::builtin(name, &mut Dice::new(1), &mut String::new())
}

#[test]
fn every_reference_has_a_rule_and_no_rule_is_defined_twice() {
    let mut defined = HashSet::new();
    let mut missing = Vec::new();
    for (name, productions) in TABLES.iter().flat_map(|table| table.iter()) {
        assert!(defined.insert(*name), "{name} is defined twice");
        assert!(!productions.is_empty(), "{name} is empty");
        for production in *productions {
            for (reference, verbs) in self::names(production) {
                if !verbs || !is_known(&reference) {
                    missing.push(format!("«{reference}» in {name}"));
                }
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

#[test]
fn every_rule_is_reached_from_a_class() {
    let roots = CLASSES
        .iter()
        .map(|(class, _)| *class)
        .chain(PLACED.iter().map(|(_, name, _, _)| *name))
        .chain(
            TABLES
                .iter()
                .flat_map(|table| table.iter())
                .map(|(name, _)| *name)
                .filter(|name| is_of_lookalikes(name)),
        );
    let mut open: Vec<String> = roots.map(str::to_owned).collect();
    let mut seen: HashSet<String> = HashSet::new();
    while let Some(name) = open.pop() {
        if seen.insert(name.clone()) {
            let productions = rule(&name).unwrap_or_default();
            open.extend(
                productions
                    .iter()
                    .flat_map(|text| names(text))
                    .map(|(name, _)| name),
            );
        }
    }
    let unused: Vec<&str> = TABLES
        .iter()
        .flat_map(|table| table.iter())
        .map(|(name, _)| *name)
        .filter(|name| !seen.contains(*name) && !is_of_lookalikes(name))
        .collect();
    assert!(unused.is_empty(), "{unused:?}");
}

/// What a payload of a class cannot do without: most draws hold one of these.
const TYPICAL: &[(&str, &[&str])] = &[
    (
        "sqli",
        &["'", "select", "or", "and", "(", "\"", "--", "union"],
    ),
    ("xss", &["<", "=", "(", "`", ":", "\"", "'"]),
    ("cmdi", &[";", "|", "&", "$", "`", "\n", "/", " -", "%"]),
    ("traversal", &["..", "%2e", "/", "\\"]),
    ("ssti", &["{", "<%", "${", "#", "@", "$", "(", "["]),
    ("xxe", &["<", "&", "%3c"]),
    ("nosqli", &["$", "'", "\"", "{", "(", "_"]),
    ("jndi", &["${", "$%7b", "\\u0024", "%24", "jndi", "$"]),
    ("graphql", &["{", "query", "%7b"]),
    ("ldap", &["(", ")", "*", "=", "\\", "%"]),
    ("ssrf", &[":", "//", "localhost", "@", "."]),
];

#[test]
fn every_class_generates_a_thousand_payloads_that_differ_and_keep_no_reference() {
    for (class, _) in CLASSES {
        let mut dice = Dice::new(3);
        let made: Vec<String> = (0..1000)
            .map(|_| placed(class, &mut dice).unwrap().0)
            .collect();
        let distinct: HashSet<&String> = made.iter().collect();
        assert!(
            distinct.len() > 700,
            "{class}: only {} distinct of 1000",
            distinct.len()
        );
        for text in &made {
            assert!(!text.contains(['«', '»']), "{class}: {text}");
            assert!(text.trim().len() > 1, "{class}: {text:?}");
        }
        if let Some((_, tokens)) = TYPICAL.iter().find(|(name, _)| name == class) {
            let typical = made
                .iter()
                .filter(|text| {
                    let lower = text.to_lowercase();
                    tokens.iter().any(|token| lower.contains(token))
                })
                .count();
            assert!(typical > 800, "{class}: {typical} of 1000 look like it");
        }
    }
}

#[test]
fn payloads_with_a_place_of_their_own_get_it() {
    let mut dice = Dice::new(5);
    for (class, name, share, location) in PLACED {
        assert!(CLASSES.iter().any(|(known, _)| known == class), "{class}");
        assert!(rule(name).is_some(), "{name}");
        assert!(*share > 0.0);
        assert!(
            (0..2000).any(|_| placed(class, &mut dice).unwrap().1 == Some(*location)),
            "{name}"
        );
    }
}

#[test]
fn the_shares_of_placed_rules_leave_room_for_the_class_itself() {
    for (class, _) in CLASSES {
        let taken: f64 = PLACED
            .iter()
            .filter(|(of, ..)| of == class)
            .map(|(_, _, share, _)| share)
            .sum();
        assert!(taken < 0.85, "{class}: {taken}");
    }
}

#[test]
fn every_class_has_places() {
    for (class, _) in CLASSES {
        let weights = location_weights(class);
        assert!(weights.iter().sum::<f64>() > 0.0, "{class}");
        assert_eq!(
            crate::exposure::class::canonical(class),
            *class,
            "class.rs does not know {class}"
        );
    }
}

#[test]
fn an_unknown_class_has_no_payload() {
    assert_eq!(payload("weather", &mut Dice::new(1)), None);
    assert_eq!(placed("weather", &mut Dice::new(1)), None);
}
