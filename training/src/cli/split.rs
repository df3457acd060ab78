//! `weir-train split`: two files out of some, the same two on every machine.
//!
//! Must not be here: chance. A record falls on its side by what it says, not by a seed.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;

use super::UsageError;
use crate::data::lines;
use crate::data::split::{
    LineKeys, is_left_out, is_payload_left_out, position_cut, registrable_domain, time_cut,
};

const DETAILS: &str = "\
Writes DIR/train.jsonl and DIR/test.jsonl. Lines are copied byte for byte; lines that are no records are counted and copied to neither.

  domain   a registrable domain (public-suffix list) is left out when the first byte of its SHA-256 modulo 5 is 0, or the domains of --leave
  time     the last share of each host by `time`, or by position in a file whose records have none
  source   records whose `source` is named by --leave are left out
  payload  the share of payloads with the lowest SHA-256 modulo 10,000 is left out, within every source alike; copies stay together

Examples:
  weir-train split --by domain normal.jsonl.gz --out split/
  weir-train split --by time --share 0.4 sites.jsonl.gz --out split-time/
  weir-train split --by source --leave gotestwaf,waf_bypass attacks.jsonl --out split-attacks/
  weir-train split --by payload --share 0.2 attacks.jsonl --out split-payloads/";

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
    /// What to leave out: source names with --by source, registrable domains instead of the hashed ones with --by domain
    #[arg(
        long,
        visible_alias = "hold-out",
        value_delimiter = ',',
        value_name = "NAME,NAME"
    )]
    leave: Vec<String>,
    /// Share to leave out, with --by time and --by payload
    #[arg(
        long,
        visible_alias = "fraction",
        default_value_t = 0.2,
        value_name = "SHARE"
    )]
    share: f64,
    /// Write train.jsonl.gz and test.jsonl.gz
    #[arg(long)]
    gzip: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum By {
    Domain,
    Time,
    Source,
    Payload,
}

/// Which lines of a file are left out, by what was found out about the file before.
enum Rule {
    Domain,
    Source,
    Payload,
    /// From a moment on, by host.
    From(HashMap<Option<String>, f64>),
    /// From a position on, by host.
    FromPosition(HashMap<Option<String>, u64>),
}

/// What is known of a host in one pass over a file.
#[derive(Default)]
struct HostTimes {
    records: u64,
    times: Vec<f64>,
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
        if self.by == By::Source && self.leave.is_empty() {
            return Err(UsageError("--by source needs --leave NAME,NAME".to_owned()).into());
        }
        if !(0.0..=1.0).contains(&self.share) {
            return Err(UsageError(format!(
                "--share {} is no share: give a number from 0 to 1",
                self.share
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
        let mut positions: HashMap<Option<String>, u64> = HashMap::new();
        let mut failed = Ok(());
        lines::each(file, |_, line| {
            let Some(keys) = LineKeys::of(line) else {
                counts.bad += 1;
                return true;
            };
            let position = positions.entry(keys.host.clone()).or_default();
            let test = self.is_test(&rule, &keys, *position);
            *position += 1;
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
            Rule::Domain if self.leave.is_empty() => keys.host.as_deref().is_some_and(is_left_out),
            Rule::Domain => keys
                .host
                .as_deref()
                .is_some_and(|host| self.leave.contains(&registrable_domain(host))),
            Rule::Source => keys
                .source
                .as_ref()
                .is_some_and(|source| self.leave.contains(source)),
            Rule::Payload => is_payload_left_out(&keys.payload, self.share),
            Rule::From(cuts) => cuts
                .get(&keys.host)
                .zip(keys.time)
                .is_some_and(|(cut, time)| time >= *cut),
            Rule::FromPosition(cuts) => cuts.get(&keys.host).is_some_and(|cut| position >= *cut),
        }
    }

    fn rule(&self, file: &Path) -> anyhow::Result<Rule> {
        Ok(match self.by {
            By::Domain => Rule::Domain,
            By::Source => Rule::Source,
            By::Payload => Rule::Payload,
            By::Time => self.time_rule(file)?,
        })
    }

    /// Each host has its own cut: hosts that come late in a file must not fall on one side as a whole.
    fn time_rule(&self, file: &Path) -> anyhow::Result<Rule> {
        let mut hosts: HashMap<Option<String>, HostTimes> = HashMap::new();
        lines::each(file, |_, line| {
            if let Some(keys) = LineKeys::of(line) {
                let host = hosts.entry(keys.host).or_default();
                host.records += 1;
                host.times.extend(keys.time);
            }
            true
        })?;
        let timed = hosts
            .values()
            .all(|host| host.times.len() as u64 == host.records);
        Ok(if timed {
            let cut = |host: HostTimes| time_cut(&host.times, self.share).unwrap_or(f64::INFINITY);
            Rule::From(
                hosts
                    .into_iter()
                    .map(|(name, host)| (name, cut(host)))
                    .collect(),
            )
        } else {
            let cut = |host: HostTimes| position_cut(host.records, self.share);
            Rule::FromPosition(
                hosts
                    .into_iter()
                    .map(|(name, host)| (name, cut(host)))
                    .collect(),
            )
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
            leave: if by == By::Source {
                vec!["b".into()]
            } else {
                Vec::new()
            },
            share: 0.25,
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
                    "{{\"method\": \"GET\",  \"uri\":\"http://www.site{}.com/\",\"time\":{}}}",
                    n % 10,
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
    fn named_domains_are_left_out() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.jsonl");
        let line = |host: &str| format!("{{\"method\":\"GET\",\"uri\":\"http://{host}/\"}}");
        fs::write(&file, [line("www.a.co.uk:81"), line("b.com")].join("\n")).unwrap();
        let mut split = args(By::Domain, vec![file], dir.path());
        split.leave = vec!["a.co.uk".to_owned()];
        split.run().unwrap();
        let test = fs::read_to_string(dir.path().join("test.jsonl")).unwrap();
        assert!(test.contains("a.co.uk") && !test.contains("b.com"));
    }

    #[test]
    fn every_host_has_its_own_cut_in_time() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.jsonl");
        // Hosts one after another, without times: the position within the host decides.
        let lines: Vec<String> = (0..12)
            .map(|n| {
                format!(
                    "{{\"method\":\"GET\",\"uri\":\"http://h{}.com/{}\"}}",
                    n / 4,
                    n % 4
                )
            })
            .collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let mut split = args(By::Time, vec![file], dir.path());
        split.gzip = false;
        split.run().unwrap();
        let test = fs::read_to_string(dir.path().join("test.jsonl")).unwrap();
        assert_eq!(test.lines().count(), 3);
        assert!(test.lines().all(|line| line.contains("com/3\"")));
    }

    #[test]
    fn payloads_split_within_every_source_and_copies_stay_together() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("in.jsonl");
        let line = |n: usize, source: &str| {
            format!("{{\"payload\":\"' or {n}\",\"source\":\"{source}\"}}")
        };
        let lines: Vec<String> = (0..400)
            .flat_map(|n| [line(n, "a"), line(n, "b")])
            .collect();
        fs::write(&file, lines.join("\n")).unwrap();
        let mut split = args(By::Payload, vec![file], dir.path());
        split.gzip = false;
        split.run().unwrap();
        let test = fs::read_to_string(dir.path().join("test.jsonl")).unwrap();
        let of = |source: &str| {
            let mark = format!(",\"source\":\"{source}\"}}");
            test.lines()
                .filter_map(|line| line.strip_suffix(&mark).map(str::to_owned))
                .collect::<Vec<_>>()
        };
        assert_eq!(of("a"), of("b"));
        assert!((70..130).contains(&of("a").len()), "{}", of("a").len());
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
