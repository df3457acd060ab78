//! Generates payloads of the attack classes.
//!
//! A grammar is a table of rules. In a production
//! * `«name»` is replaced by a production of that rule, or by a built-in terminal;
//! * `«=a|b|c»` by one of the alternatives, which may hold references themselves;
//! * `«?name»` by what `name` generates, or by nothing;
//! * `«verb:name»` by what `name` generates, rewritten (see `transform`).
//!
//! The tables are written from general knowledge of each class; nothing in here may be copied from the collections that held-out tests use.

mod api;
mod client;
mod code;
mod common;
mod expression;
mod graphql;
mod javascript;
mod lookalike;
mod nosql;
mod objects;
mod ordinary;
mod protocol;
mod query;
mod redirect;
mod scanner;
mod script;
mod server;
mod shell;
mod sql;
mod sql_dialect;
mod ssrf;
mod stray;
mod template;
mod transform;
mod traversal;
mod upload;
mod xml;

use std::collections::HashMap;
use std::sync::LazyLock;

use weir_features::Location;

use super::dice::Dice;

/// A rule: its name and its productions. A production that is listed twice is drawn twice as often.
pub(crate) type Rule = (&'static str, &'static [&'static str]);

/// How deep productions may nest; beyond it a reference expands to nothing, so that a recursive rule ends.
const MAX_DEPTH: usize = 16;

/// The attack classes that the built-in grammars generate, with the weight of each when they are drawn together.
pub const CLASSES: &[(&str, f64)] = &[
    ("sqli", 3.0),
    ("xss", 3.5),
    ("cmdi", 2.5),
    ("rce", 2.5),
    ("traversal", 1.3),
    ("lfi", 1.0),
    ("ssti", 1.5),
    ("xxe", 1.0),
    ("nosqli", 1.8),
    ("ldap", 1.2),
    ("crlf", 1.5),
    ("mail", 1.5),
    ("graphql", 1.2),
    ("ssrf", 1.5),
    ("open_redirect", 1.0),
    ("jndi", 0.9),
    ("ssi", 1.0),
    ("xpath", 0.6),
    ("prototype", 0.4),
    ("scanner", 1.6),
    ("deserialization", 0.6),
    ("rfi", 0.5),
    ("api", 1.0),
    ("upload", 0.6),
    ("jwt", 0.2),
    ("format_string", 0.2),
    ("session_fixation", 0.2),
    ("other", 0.5),
];

/// Rules whose payloads belong to one place: class, rule, the share of the class that they are, and the place.
const PLACED: &[(&str, &str, f64, Location)] = &[
    ("scanner", "scanner_agent", 0.3, Location::UserAgent),
    ("nosqli", "nosqli_key", 0.18, Location::QueryKey),
    ("nosqli", "nosqli_key", 0.1, Location::BodyKey),
    ("nosqli", "nosqli_body", 0.1, Location::RawBody),
    ("prototype", "prototype_key", 0.3, Location::QueryKey),
    ("prototype", "prototype_body", 0.25, Location::RawBody),
    ("graphql", "graphql_body", 0.3, Location::RawBody),
    ("graphql", "graphql_query", 0.1, Location::QueryKey),
    ("api", "api_body", 0.3, Location::RawBody),
    ("api", "api_key", 0.15, Location::QueryKey),
    ("api", "api_form", 0.1, Location::BodyKey),
    ("api", "api_path", 0.2, Location::Path),
    ("api", "api_header", 0.05, Location::Header),
    ("upload", "upload_body", 0.55, Location::RawBody),
    ("upload", "upload_path", 0.1, Location::Path),
    ("jwt", "jwt_bearer", 0.4, Location::Header),
    ("jwt", "jwt", 0.25, Location::Cookie),
    ("xxe", "xxe_body", 0.35, Location::RawBody),
    ("deserialization", "deser_body", 0.2, Location::RawBody),
    ("deserialization", "deser_form", 0.08, Location::BodyKey),
    ("cmdi", "cmdi_agent", 0.03, Location::UserAgent),
    ("rce", "rce_key", 0.05, Location::QueryKey),
    ("rce", "rce_path", 0.05, Location::Path),
    ("sqli", "sqli_key", 0.03, Location::QueryKey),
    ("sqli", "sqli_body", 0.02, Location::RawBody),
    ("xss", "xss_key", 0.03, Location::QueryKey),
    ("xss", "xss_path", 0.03, Location::Path),
    ("lfi", "lfi_key", 0.05, Location::QueryKey),
    ("open_redirect", "redirect_path", 0.15, Location::Path),
    ("ssrf", "ssrf_body", 0.08, Location::RawBody),
    ("crlf", "smuggle_body", 0.08, Location::RawBody),
    ("other", "other_body", 0.15, Location::RawBody),
    ("other", "other_key", 0.15, Location::QueryKey),
];

const TABLES: &[&[Rule]] = &[
    api::RULES,
    client::RULES,
    code::RULES,
    common::RULES,
    expression::RULES,
    graphql::RULES,
    javascript::RULES,
    lookalike::RULES,
    nosql::RULES,
    objects::RULES,
    ordinary::RULES,
    protocol::RULES,
    query::RULES,
    redirect::RULES,
    scanner::RULES,
    script::RULES,
    server::RULES,
    shell::RULES,
    sql::RULES,
    sql_dialect::RULES,
    ssrf::RULES,
    stray::RULES,
    template::RULES,
    traversal::RULES,
    upload::RULES,
    xml::RULES,
];

static INDEX: LazyLock<HashMap<&'static str, &'static [&'static str]>> =
    LazyLock::new(|| TABLES.iter().copied().flatten().copied().collect());

/// Generates one payload of `class`; none if there is no grammar of that name. `benign_value` and `benign_gql` generate ordinary look-alikes.
pub fn payload(class: &str, dice: &mut Dice) -> Option<String> {
    rule(class)?;
    let mut out = String::new();
    expand(class, dice, 0, &mut out);
    Some(out)
}

/// Generates one payload of `class` with the place where it belongs, if it belongs to one.
pub fn placed(class: &str, dice: &mut Dice) -> Option<(String, Option<Location>)> {
    let mut rest = dice.unit();
    for (of, name, share, location) in PLACED {
        if *of == class {
            rest -= share;
            if rest < 0.0 {
                return payload(name, dice).map(|text| (text, Some(*location)));
            }
        }
    }
    payload(class, dice).map(|text| (text, None))
}

fn rule(name: &str) -> Option<&'static [&'static str]> {
    INDEX.get(name).copied()
}

fn expand(name: &str, dice: &mut Dice, depth: usize, out: &mut String) {
    if depth > MAX_DEPTH || common::builtin(name, dice, out) {
        return;
    }
    if let Some(productions) = rule(name) {
        write(dice.word(productions), dice, depth, out);
    }
}

/// Writes a production, its references replaced.
fn write(production: &str, dice: &mut Dice, depth: usize, out: &mut String) {
    let mut rest = production;
    while let Some((before, after)) = rest.split_once('«') {
        out.push_str(before);
        let (reference, tail) = reference(after);
        refer(reference, dice, depth + 1, out);
        rest = tail;
    }
    out.push_str(rest);
}

/// Splits what follows a `«` into the reference and what follows its `»`.
fn reference(text: &str) -> (&str, &str) {
    let mut open = 1_usize;
    for (at, mark) in text.char_indices() {
        match mark {
            '«' => open += 1,
            '»' => open -= 1,
            _ => {}
        }
        if open == 0 {
            let (reference, tail) = text.split_at(at);
            return (reference, tail.strip_prefix('»').unwrap_or(tail));
        }
    }
    (text, "")
}

/// The alternatives of a choice; a bar inside a reference belongs to that reference.
fn alternatives(list: &str) -> Vec<&str> {
    let mut open = 0_usize;
    list.split(|mark| {
        match mark {
            '«' => open += 1,
            '»' => open = open.saturating_sub(1),
            _ => {}
        }
        mark == '|' && open == 0
    })
    .collect()
}

fn refer(reference: &str, dice: &mut Dice, depth: usize, out: &mut String) {
    if depth > MAX_DEPTH {
        return;
    }
    if let Some(list) = reference.strip_prefix('=') {
        write(dice.word(&alternatives(list)), dice, depth, out);
    } else if let Some(name) = reference.strip_prefix('?') {
        if dice.chance(0.5) {
            refer(name, dice, depth, out);
        }
    } else if let Some((verb, name)) = reference.split_once(':') {
        let mut inner = String::new();
        refer(name, dice, depth, &mut inner);
        out.push_str(&transform::apply(verb, &inner, dice));
    } else {
        expand(reference, dice, depth, out);
    }
}

#[cfg(test)]
mod tests;
