//! Where in a configuration file a key stands, for problems that are found after it was read: a certificate that
//! cannot be opened, a port that is taken.
//!
//! Not here: problems of the configuration itself, which know their place.

use std::path::Path;

use serde_saphyr::Spanned;

use super::problem::{ConfigError, Problem};
use super::tree::{self, Node};
use super::{MAX_FILE, read_bounded};

/// Something that a configuration names and that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Key, such as `listen[0].address`.
    pub key: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Finding {
    /// A finding; a message that begins with its key does not say it twice.
    pub fn new(key: impl Into<String>, message: impl ToString) -> Self {
        let (key, message) = (key.into(), message.to_string());
        let rest = message.strip_prefix(&key).map(str::trim_start);
        let rest = rest.map(|rest| rest.strip_prefix(':').unwrap_or(rest).trim_start());
        let message = rest.map_or_else(|| message.clone(), str::to_owned);
        Self { key, message }
    }
}

/// Puts findings where their keys stand in the file, in the order of the text.
pub fn locate(file: &Path, findings: Vec<Finding>) -> ConfigError {
    let text = read_bounded(file, MAX_FILE).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let tree = text.and_then(|text| tree::parse(&text).ok());
    let problem = |finding: Finding| Problem {
        position: tree.as_ref().and_then(|tree| place(tree, &finding.key)),
        key: finding.key,
        message: finding.message,
    };
    let mut problems: Vec<Problem> = findings.into_iter().map(problem).collect();
    problems.sort_by_key(|problem| problem.position.unwrap_or((u64::MAX, 0)));
    ConfigError::new(file, problems)
}

/// Line and column of a key's value, or of the part of the way that is there: defaults stand nowhere.
fn place(tree: &Spanned<Node>, key: &str) -> Option<(u64, u64)> {
    let mut node = tree;
    let mut found = None;
    for step in key.split(['.', '[', ']']).filter(|step| !step.is_empty()) {
        let next = match &node.value {
            Node::Map(entries) => entries
                .iter()
                .find(|(name, _)| name.value == step)
                .map(|(_, value)| value),
            Node::List(items) => step.parse().ok().and_then(|at: usize| items.get(at)),
            _ => None,
        };
        let Some(next) = next else { break };
        node = next;
        found = Some((node.referenced.line(), node.referenced.column()));
    }
    found.filter(|(line, _)| *line > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn keys_are_found_or_the_part_of_them_that_is_there() {
        let tree = tree::parse(
            "listen:\n  - address: a\n  - {address: b, tls: {key: k}}\naudit:\n  output: x\n",
        );
        let tree = tree.unwrap();
        for (key, expected) in [
            ("listen[0].address", Some((2, 14))),
            ("listen[1].tls.key", Some((3, 29))),
            ("listen[1].tls.certificate", Some((3, 23))),
            ("audit.output", Some((5, 11))),
            ("admin.address", None),
            ("listen[7]", Some((2, 3))),
        ] {
            let found = place(&tree, key);
            match expected {
                Some(_) => assert_eq!(found, expected, "{key}"),
                None => assert_eq!(found, None, "{key}"),
            }
        }
    }

    #[test]
    fn a_key_is_said_once() {
        for (message, expected) in [
            ("audit.output: cannot append", "cannot append"),
            ("audit.output /x: cannot append", "/x: cannot append"),
            ("cannot append", "cannot append"),
        ] {
            assert_eq!(Finding::new("audit.output", message).message, expected);
        }
    }
}
