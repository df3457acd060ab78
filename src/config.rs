//! From YAML to validated types, with every error at once, by line and column.
//!
//! Not here: opening what the configuration names (certificates, bundles, sockets); that is `runtime::reload`, by the
//! same code for `run`, `check` and a reload. The only files read here are the configuration and the admin token,
//! because a missing token is an error of the configuration.

mod fields;
mod inspect;
mod outputs;
pub mod places;
mod problem;
mod reader;
mod routes;
mod sockets;
mod tls;
mod tls_types;
mod tree;
mod types;
mod upstream_types;
mod upstreams;

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use reader::Problems;

pub use inspect::{Beyond, Inspect, TypeRule};
pub use problem::{ConfigError, Problem};
pub use sockets::Sockets;
pub use tls_types::*;
pub use types::*;
pub use upstream_types::*;

/// Longest configuration file: 10,000 routes fit well.
const MAX_FILE: u64 = 4 * 1024 * 1024;

/// Reads and validates a configuration file. Relative paths in it start at its folder.
///
/// # Errors
/// Every problem found.
pub fn load(path: &Path) -> Result<Config, ConfigError> {
    let bytes =
        read_bounded(path, MAX_FILE).map_err(|source| ConfigError::unreadable(path, &source))?;
    let text = String::from_utf8(bytes).map_err(|error| {
        ConfigError::new(
            path,
            vec![Problem::not_utf8(error.utf8_error().valid_up_to())],
        )
    })?;
    let base = path.parent().map(Path::to_owned).unwrap_or_default();
    parse(&text, &base, &|file| read_bounded(file, 4_096))
        .map_err(|problems| ConfigError::new(path, problems))
}

/// Validates configuration text. `base` is where relative paths start; `read` reads the admin token's file.
///
/// # Errors
/// Every problem found, in the order of the text.
pub fn parse(
    text: &str,
    base: &Path,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Result<Config, Vec<Problem>> {
    let tree = tree::parse(text).map_err(|problem| vec![problem])?;
    let problems = Problems::default();
    let config = fields::config(&tree, base, read, &problems);
    problems.into_result(config)
}

/// A whole file of at most `limit` bytes.
pub(crate) fn read_bounded(path: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(limit + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > limit {
        return Err(io::Error::other(format!("larger than {limit} bytes")));
    }
    Ok(bytes)
}

fn resolve(base: &Path, path: &str) -> PathBuf {
    base.join(path)
}

#[cfg(test)]
mod tests;
