//! What is wrong with a configuration, said so that it can be mended: where, what stands there, what is allowed.
//!
//! Not here: how problems are found.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// Line and column, from 1, where the YAML gives them.
    pub position: Option<(u64, u64)>,
    /// Key, such as `routes[0].mode`. Empty for the file as a whole.
    pub key: String,
    /// What is wrong and what is allowed.
    pub message: String,
}

impl Problem {
    pub(super) fn not_utf8(offset: usize) -> Self {
        Self {
            position: None,
            key: String::new(),
            message: format!("not valid UTF-8 at byte {offset}; save the file as UTF-8"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((line, column)) = self.position {
            write!(f, "{line}:{column}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{}: ", self.key)?;
        }
        f.write_str(&self.message)
    }
}

/// Every problem of a configuration file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// The file.
    pub file: PathBuf,
    /// In the order of the text.
    pub problems: Vec<Problem>,
}

impl ConfigError {
    /// Collects problems of a file.
    pub fn new(file: &Path, problems: Vec<Problem>) -> Self {
        Self {
            file: file.to_owned(),
            problems,
        }
    }

    pub(super) fn unreadable(file: &Path, source: &io::Error) -> Self {
        let message = format!("cannot be read: {source}");
        Self::new(
            file,
            vec![Problem {
                position: None,
                key: String::new(),
                message,
            }],
        )
    }
}

impl fmt::Display for ConfigError {
    /// One problem a line, `file:line:column: key: message`, as compilers and editors have it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, problem) in self.problems.iter().enumerate() {
            if at > 0 {
                f.write_str("\n")?;
            }
            let separator = if problem.position.is_some() {
                ":"
            } else {
                ": "
            };
            write!(f, "{}{separator}{problem}", self.file.display())?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}
