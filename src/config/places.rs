//! Where in a configuration file a key stands, for problems that are found after it was read: a certificate that
//! cannot be opened, a port that is taken.
//!
//! Not here: problems of the configuration itself, which know their place.

use std::path::{Path, PathBuf};

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
    /// The file that is to blame: its name stands in or below the key's value.
    file: Option<PathBuf>,
}

impl Finding {
    /// A finding; a message that begins with its key does not say it twice.
    pub fn new(key: impl Into<String>, message: impl ToString) -> Self {
        let (key, message) = (key.into(), message.to_string());
        let rest = message.strip_prefix(&key).map(str::trim_start);
        let rest = rest.map(|rest| rest.strip_prefix(':').unwrap_or(rest).trim_start());
        let message = rest.map_or_else(|| message.clone(), str::to_owned);
        Self {
            key,
            message,
            file: None,
        }
    }

    /// The same, with the file that is to blame: it is named somewhere below the key.
    pub fn about(self, file: &Path) -> Self {
        Self {
            file: Some(file.to_owned()),
            ..self
        }
    }
}

/// Puts findings where their keys stand in the file, in the order of the text.
pub fn locate(file: &Path, findings: Vec<Finding>) -> ConfigError {
    let text = read_bounded(file, MAX_FILE).ok();
    let text = text.and_then(|bytes| String::from_utf8(bytes).ok());
    let tree = text.and_then(|text| tree::parse(&text).ok());
    let problem = |finding: Finding| {
        let Finding {
            mut key,
            message,
            file,
        } = finding;
        let position = tree.as_ref().and_then(|tree| {
            let section = find(tree, &key);
            let named = file.and_then(|file| naming(section?, &file));
            let (rest, node) = named.unwrap_or_else(|| (String::new(), section.unwrap_or(tree)));
            key.push_str(&rest);
            section.map(|_| (node.referenced.line(), node.referenced.column()))
        });
        Problem {
            position: position.filter(|(line, _)| *line > 0),
            key,
            message,
        }
    };
    let mut problems: Vec<Problem> = findings.into_iter().map(problem).collect();
    problems.sort_by_key(|problem| problem.position.unwrap_or((u64::MAX, 0)));
    ConfigError::new(file, problems)
}

/// A key's value, or the part of the way that is there: defaults stand nowhere.
fn find<'t>(tree: &'t Spanned<Node>, key: &str) -> Option<&'t Spanned<Node>> {
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
        found = Some(node);
    }
    found
}

/// Where a file is named in or below `node`, and the rest of the key to it.
fn naming<'t>(node: &'t Spanned<Node>, file: &Path) -> Option<(String, &'t Spanned<Node>)> {
    match &node.value {
        // Relative names count from the folder of the configuration.
        Node::Scalar(text) => {
            let name = Path::new(text.strip_prefix("./").unwrap_or(text));
            (!text.is_empty() && file.ends_with(name)).then(|| (String::new(), node))
        }
        Node::Map(entries) => entries.iter().find_map(|(name, value)| {
            let (rest, found) = naming(value, file)?;
            Some((format!(".{}{rest}", name.value), found))
        }),
        Node::List(items) => items.iter().enumerate().find_map(|(at, item)| {
            let (rest, found) = naming(item, file)?;
            Some((format!("[{at}]{rest}"), found))
        }),
        Node::Null => None,
    }
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
            let found = find(&tree, key);
            let place = found.map(|node| (node.referenced.line(), node.referenced.column()));
            assert_eq!(place, expected, "{key}");
        }
    }

    #[test]
    fn a_file_that_is_to_blame_is_found_where_it_is_named() {
        let tree = tree::parse(
            "tls:\n  certificates:\n    - {certificate: a.pem, key: a.key}\n    - certificate: ./keys/b.pem\n      key: /etc/b.key\n",
        );
        let tree = tree.unwrap();
        for (file, expected) in [
            ("/weir/a.key", Some((".tls.certificates[0].key", 3))),
            (
                "/weir/keys/b.pem",
                Some((".tls.certificates[1].certificate", 4)),
            ),
            ("/etc/b.key", Some((".tls.certificates[1].key", 5))),
            ("/weir/c.pem", None),
        ] {
            let found = naming(&tree, Path::new(file));
            let found = found.map(|(key, node)| (key, node.referenced.line()));
            let expected = expected.map(|(key, line)| (key.to_owned(), line));
            assert_eq!(found, expected, "{file}");
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
