//! `weir-train sources`: the data sets that Weir knows, with licence and checksum.
//!
//! Must not be here: the list itself (`data::sources`).

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde::Serialize;

use crate::data::sources::{Recorded, SOURCES, Source, State, check};

const DETAILS: &str = "\
Nothing is fetched. With --data the files that are there are compared with those that the shipped model and its published figures were
made with; exit code 1 says that one of them differs.

Examples:
  weir-train sources
  weir-train sources --data data/ --json";

/// Arguments of `weir-train sources`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// Folder with the data: compare its files with those recorded
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// One JSON object a data set
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Checked {
    #[serde(flatten)]
    source: Source,
    #[serde(skip_serializing_if = "Option::is_none")]
    states: Option<Vec<State>>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be read or differs from the recorded one.
    pub fn run(self) -> anyhow::Result<()> {
        let checked = checked(self.data.as_deref())?;
        for one in &checked {
            if self.json {
                println!("{}", serde_json::to_string(one)?);
            } else {
                print!("{}", text(one));
            }
        }
        let states = checked.iter().flat_map(|one| one.states.iter().flatten());
        let different = states
            .filter(|state| matches!(state, State::Differs(_)))
            .count();
        anyhow::ensure!(
            different == 0,
            "{different} files are not those that the published figures were made with: figures cannot be compared"
        );
        Ok(())
    }
}

fn checked(data: Option<&Path>) -> anyhow::Result<Vec<Checked>> {
    if let Some(data) = data {
        anyhow::ensure!(data.is_dir(), "{} is no folder", data.display());
    }
    SOURCES
        .iter()
        .map(|source| {
            let states = data
                .map(|data| {
                    let state = |file: &Recorded| {
                        check(data, file).with_context(|| {
                            format!("cannot read {}", data.join(file.path).display())
                        })
                    };
                    source
                        .files
                        .iter()
                        .map(state)
                        .collect::<anyhow::Result<Vec<_>>>()
                })
                .transpose()?;
            Ok(Checked {
                source: *source,
                states,
            })
        })
        .collect()
}

fn text(one: &Checked) -> String {
    use std::fmt::Write as _;
    let source = &one.source;
    let mut out = String::new();
    let _ = writeln!(out, "{}: {}", source.name, source.what);
    let _ = writeln!(out, "  published   {}", source.published);
    let _ = writeln!(out, "  licence     {}", source.licence);
    let _ = writeln!(out, "  trains base {}", source.base.in_words());
    for (index, file) in source.files.iter().enumerate() {
        let state = one.states.as_ref().and_then(|states| states.get(index));
        let state = match state {
            None => "",
            Some(State::Same) => "  present, as recorded",
            Some(State::Differs(_)) => "  DIFFERS from the recorded one",
            Some(State::Missing) => "  missing",
        };
        let _ = writeln!(out, "  {}{state}\n    sha256 {}", file.path, file.sha256);
        if let Some(State::Differs(found)) =
            one.states.as_ref().and_then(|states| states.get(index))
        {
            let _ = writeln!(out, "    found  {found}");
        }
    }
    out.push('\n');
    out
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn text_says_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("csic2010")).unwrap();
        std::fs::write(dir.path().join("csic2010/dev.jsonl.gz"), "other").unwrap();
        let all: String = checked(Some(dir.path()))
            .unwrap()
            .iter()
            .map(text)
            .collect();
        assert!(
            all.contains("csic2010/dev.jsonl.gz  DIFFERS")
                && all.contains("train_normal.jsonl.gz  missing")
        );
        let plain: String = checked(None).unwrap().iter().map(text).collect();
        assert!(plain.contains("trains base attacks only") && !plain.contains("missing"));
        let args = Args {
            data: Some(dir.path().to_owned()),
            json: true,
        };
        assert!(args.run().is_err());
    }
}
