//! `weir-train split`: two files out of some, the same two on every machine.

use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::UsageError;
use crate::data::lines;
use crate::data::split::{LineKeys, is_left_out, time_cut};

const DETAILS: &str = "\
Writes DIR/train.jsonl and DIR/test.jsonl. Lines are copied byte for byte; lines that are no records are counted and copied to neither.

  domain  a registrable domain (public-suffix list) is left out when the first byte of its SHA-256 modulo 5 is 0
  time    the last fraction by `time`, or by position in a file whose records have none
  source  payload records whose `source` is named by --hold-out are left out

Examples:
  weir-train split --by domain normal.jsonl.gz --out split/
  weir-train split --by source --hold-out gotestwaf,waf_bypass attacks.jsonl --out split-attacks/";

/// Arguments of `weir-train split`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// What decides the side of a record
    #[arg(long, value_enum)]
    by: By,
    /// JSON Lines, also .gz and .zst
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Folder for train.jsonl and test.jsonl
    #[arg(long, visible_alias = "out-dir", value_name = "DIR")]
    out: PathBuf,
    /// Source names to leave out, with --by source
    #[arg(long, value_delimiter = ',', value_name = "NAME,NAME")]
    hold_out: Vec<String>,
    /// Share to leave out, with --by time
    #[arg(long, default_value_t = 0.2, value_name = "SHARE")]
    fraction: f64,
    /// Write train.jsonl.gz and test.jsonl.gz
    #[arg(long)]
    gzip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Domain,
    Time,
    Source,
}

/// Which lines of a file are left out, by what was found out about the file before.
enum Rule {
    Domain,
    Source,
    From(f64),
    FromPosition(u64),
}

#[derive(Default)]
struct Counts {
    train: u64,
    test: u64,
    bad: u64,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When files cannot be read or written, or one side would be empty.
    pub fn run(self) -> anyhow::Result<()> {
        if self.by == By::Source && self.hold_out.is_empty() {
            return Err(UsageError("--by source needs --hold-out NAME,NAME".to_owned()).into());
        }
        if !(0.0..=1.0).contains(&self.fraction) {
            return Err(UsageError(format!(
                "--fraction {} is no share: give a number from 0 to 1",
                self.fraction
            ))
            .into());
        }
        fs::create_dir_all(&self.out)
            .with_context(|| format!("cannot make {}", self.out.display()))?;
        let ending = if self.gzip { "jsonl.gz" } else { "jsonl" };
        let (train, test) = (
            self.out.join(format!("train.{ending}")),
            self.out.join(format!("test.{ending}")),
        );
        let mut sides = [create(&train)?, create(&test)?];
        let mut counts = Counts::default();
        for file in &self.files {
            self.split(file, &mut sides, &mut counts)?;
        }
        for mut side in sides {
            side.flush().context("cannot write the output")?;
        }
        if counts.bad > 0 {
            eprintln!("{} lines are no records and were left out", counts.bad);
        }
        println!(
            "{}: {} records\n{}: {} records",
            train.display(),
            counts.train,
            test.display(),
            counts.test
        );
        Ok(())
    }

    fn split(
        &self,
        file: &Path,
        sides: &mut [Box<dyn Write>; 2],
        counts: &mut Counts,
    ) -> anyhow::Result<()> {
        let rule = self.rule(file)?;
        let mut position = 0;
        let mut failed = Ok(());
        lines::each(file, |_, line| {
            let Some(keys) = LineKeys::of(line) else {
                counts.bad += 1;
                return true;
            };
            let test = self.is_test(&rule, &keys, position);
            position += 1;
            let [train_side, test_side] = &mut *sides;
            let side = if test { test_side } else { train_side };
            *(if test {
                &mut counts.test
            } else {
                &mut counts.train
            }) += 1;
            failed = side.write_all(line).and_then(|()| side.write_all(b"\n"));
            failed.is_ok()
        })?;
        failed.context("cannot write the output")
    }

    fn is_test(&self, rule: &Rule, keys: &LineKeys, position: u64) -> bool {
        match rule {
            Rule::Domain => keys.host.as_deref().is_some_and(is_left_out),
            Rule::Source => keys
                .source
                .as_ref()
                .is_some_and(|source| self.hold_out.contains(source)),
            Rule::From(cut) => keys.time.is_some_and(|time| time >= *cut),
            Rule::FromPosition(cut) => position >= *cut,
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a position in a file"
    )]
    fn rule(&self, file: &Path) -> anyhow::Result<Rule> {
        Ok(match self.by {
            By::Domain => Rule::Domain,
            By::Source => Rule::Source,
            By::Time => {
                let (mut times, mut records) = (Vec::new(), 0_u64);
                lines::each(file, |_, line| {
                    if let Some(keys) = LineKeys::of(line) {
                        records += 1;
                        times.extend(keys.time);
                    }
                    true
                })?;
                if times.len() as u64 == records && records > 0 {
                    Rule::From(time_cut(&times, self.fraction).unwrap_or(f64::INFINITY))
                } else {
                    Rule::FromPosition((records as f64 * (1.0 - self.fraction)).round() as u64)
                }
            }
        })
    }
}

fn create(path: &Path) -> anyhow::Result<Box<dyn Write>> {
    let file = BufWriter::new(
        File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
    );
    Ok(
        if path.extension().is_some_and(|extension| extension == "gz") {
            // Dropping the encoder writes its trailer; flush alone would not.
            Box::new(flate2::write::GzEncoder::new(
                file,
                flate2::Compression::fast(),
            ))
        } else {
            Box::new(file)
        },
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn args(by: By, files: Vec<PathBuf>, out: &Path) -> Args {
        Args {
            by,
            files,
            out: out.to_owned(),
            hold_out: vec!["b".into()],
            fraction: 0.25,
            gzip: by == By::Time,
        }
    }

    #[test]
    fn lines_stay_byte_identical_and_land_on_one_side() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.jsonl");
        let lines: Vec<String> = (0..40)
            .map(|n| {
                format!(
                    "{{\"method\": \"GET\",  \"uri\":\"http://www.site{n}.com/\",\"time\":{}}}",
                    100 - n
                )
            })
            .collect();
        fs::write(&file, lines.join("\n")).unwrap();
        args(By::Domain, vec![file.clone()], dir.path())
            .run()
            .unwrap();
        let read =
            |name: &str| String::from_utf8(lines::read(&dir.path().join(name)).unwrap()).unwrap();
        let mut all: Vec<String> = read("train.jsonl")
            .lines()
            .chain(read("test.jsonl").lines())
            .map(str::to_owned)
            .collect();
        assert!(read("test.jsonl").lines().all(|line| {
            is_left_out(
                LineKeys::of(line.as_bytes())
                    .unwrap()
                    .host
                    .as_deref()
                    .unwrap(),
            )
        }));
        let mut wanted = lines.clone();
        all.sort();
        wanted.sort();
        assert_eq!(all, wanted);

        args(By::Time, vec![file], dir.path()).run().unwrap();
        let (train, test) = (read("train.jsonl.gz"), read("test.jsonl.gz"));
        assert_eq!((train.lines().count(), test.lines().count()), (30, 10));
        assert!(test.contains("\"time\":100}") && !train.contains("\"time\":100}"));
    }

    #[test]
    fn sources_are_held_out_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.jsonl");
        fs::write(&file, "{\"payload\":\"x\",\"source\":\"a\"}\n{\"payload\":\"y\",\"source\":\"b\"}\nnonsense\n").unwrap();
        args(By::Source, vec![file], dir.path()).run().unwrap();
        assert!(
            fs::read_to_string(dir.path().join("test.jsonl"))
                .unwrap()
                .contains("\"y\"")
        );
        assert_eq!(
            fs::read_to_string(dir.path().join("train.jsonl"))
                .unwrap()
                .lines()
                .count(),
            1
        );
    }
}
