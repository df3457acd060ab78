//! Generates payloads of the attack classes that public lists cover thinly.
//!
//! A grammar is a table of rules; `«name»` in a production is replaced by a production of that rule. The tables are written
//! from general knowledge of each class; nothing in here may be copied from the collections that held-out tests use.

mod client;
mod code;
mod common;
mod lookalike;
mod protocol;
mod query;
mod server;
mod sql;

use super::dice::Dice;

/// A rule: its name and its productions. A production that is listed twice is drawn twice as often.
pub(crate) type Rule = (&'static str, &'static [&'static str]);

/// How deep productions may nest; beyond it a reference expands to nothing, so that a recursive rule ends.
const MAX_DEPTH: usize = 14;

/// The attack classes that the built-in grammars generate, with the weight of each when they are drawn together.
pub const CLASSES: &[(&str, f64)] = &[
    ("sqli", 3.0),
    ("xss", 3.5),
    ("cmdi", 2.5),
    ("rce", 2.5),
    ("traversal", 1.2),
    ("lfi", 0.8),
    ("ssti", 1.5),
    ("xxe", 1.0),
    ("nosqli", 1.8),
    ("ldap", 1.2),
    ("crlf", 1.5),
    ("mail", 1.5),
    ("graphql", 1.5),
    ("ssrf", 1.5),
    ("open_redirect", 0.8),
    ("jndi", 1.0),
    ("ssi", 1.0),
    ("xpath", 0.5),
    ("prototype", 0.4),
    ("scanner", 1.0),
    ("deserialization", 0.5),
    ("rfi", 0.5),
];

const TABLES: &[&[Rule]] = &[
    common::RULES,
    sql::RULES,
    client::RULES,
    server::RULES,
    code::RULES,
    query::RULES,
    protocol::RULES,
    lookalike::RULES,
];

/// Generates one payload of `class`; none if there is no grammar of that name. `benign_value` and `benign_gql` generate ordinary look-alikes.
pub fn payload(class: &str, dice: &mut Dice) -> Option<String> {
    rule(class)?;
    let mut out = String::new();
    expand(class, dice, 0, &mut out);
    Some(out)
}

fn rule(name: &str) -> Option<&'static [&'static str]> {
    TABLES
        .iter()
        .flat_map(|table| table.iter())
        .find(|(known, _)| *known == name)
        .map(|(_, productions)| *productions)
}

fn expand(name: &str, dice: &mut Dice, depth: usize, out: &mut String) {
    if depth > MAX_DEPTH || common::builtin(name, dice, out) {
        return;
    }
    let Some(productions) = rule(name) else {
        return;
    };
    let mut rest = dice.word(productions);
    while let Some((before, after)) = rest.split_once('«') {
        out.push_str(before);
        let Some((reference, tail)) = after.split_once('»') else {
            return;
        };
        expand(reference, dice, depth + 1, out);
        rest = tail;
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_reference_has_a_rule_and_no_rule_is_defined_twice() {
        let mut names = HashSet::new();
        for (name, productions) in TABLES.iter().flat_map(|table| table.iter()) {
            assert!(names.insert(*name), "{name} is defined twice");
            assert!(!productions.is_empty(), "{name} is empty");
            for production in *productions {
                for part in production.split('«').skip(1) {
                    let (reference, _) = part
                        .split_once('»')
                        .unwrap_or_else(|| panic!("unclosed in {production}"));
                    let known = rule(reference).is_some()
                        || common::builtin(reference, &mut Dice::new(1), &mut String::new());
                    assert!(known, "«{reference}» in {name}");
                }
            }
        }
    }

    #[test]
    fn every_class_generates_many_distinct_payloads_without_leftovers() {
        for (class, _) in CLASSES {
            let mut dice = Dice::new(3);
            let made: HashSet<String> = (0..400)
                .map(|_| payload(class, &mut dice).unwrap())
                .collect();
            assert!(
                made.len() > 120,
                "{class}: only {} distinct of 400",
                made.len()
            );
            assert!(
                made.iter()
                    .all(|text| !text.contains('«') && !text.trim().is_empty()),
                "{class}"
            );
        }
    }

    #[test]
    fn an_unknown_class_has_no_payload() {
        assert_eq!(payload("weather", &mut Dice::new(1)), None);
    }
}
