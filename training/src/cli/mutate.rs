//! `weir-train mutate`: payloads rewritten by named operators, for measuring what evasion costs.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use serde::Serialize;
use weir_features::Location;
use weir_scoring::record::to_text;

use super::UsageError;
use crate::data;
use crate::exposure::dice::Dice;
use crate::exposure::{Payload, class, junk};
use crate::mutate::{Mutated, Operator, Side};

const DETAILS: &str = "\
Reads payload records (weir-train import payloads makes them) and writes one record for each payload and operator that finds
something to change: {\"payload\",\"attack_class\",\"source\",\"location\",\"operator\",\"original\"}. Evaluate reads them like any
other payloads, so that recall on them can be set against recall on the originals. The same files, operators and seed make
the same output.

Operators that are held out are never used by `fit`; `weir-train mutate --list` names all of them with an example.

Examples:
  weir-train mutate --payloads attacks.jsonl --operators held-out --seed 7 --out mutated.jsonl
  weir-train mutate --payloads attacks.jsonl --operators sql-comments,percent --per-payload 1 --originals plain.jsonl --out mutated.jsonl
  weir-train evaluate --bundle models/base --normal test.jsonl --attack mutated.jsonl";

/// Arguments of `weir-train mutate`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// Payload records: JSON Lines, also .gz and .zst
    #[arg(long, required_unless_present = "list", num_args = 1.., value_name = "FILE")]
    payloads: Vec<PathBuf>,
    /// `held-out`, `training`, `all`, or names of operators
    #[arg(
        long,
        default_value = "held-out",
        value_delimiter = ',',
        value_name = "NAME,.."
    )]
    operators: Vec<String>,
    /// Of every random choice
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// At most this many operators a payload, drawn by chance among those that change it
    #[arg(long, value_name = "N")]
    per_payload: Option<usize>,
    /// At most this many payloads a class, evenly spread
    #[arg(long, value_name = "N")]
    max_per_class: Option<usize>,
    /// Where to write the rewritten payloads [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Where to write the payloads that were rewritten as they were, each once: what to compare with
    #[arg(long, value_name = "FILE")]
    originals: Option<PathBuf>,
    /// List the operators and exit
    #[arg(long)]
    list: bool,
}

/// One written line.
#[derive(Serialize)]
struct Line<'a> {
    payload: String,
    attack_class: &'static str,
    source: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    location: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operator: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    original: Option<String>,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When an operator is unknown, a file cannot be read or written, or nothing could be rewritten.
    pub fn run(self) -> anyhow::Result<()> {
        if self.list {
            return list();
        }
        let operators = chosen(&self.operators)?;
        let read = data::read_exposure(&self.payloads)?;
        for bad in read.bad_lines.iter().take(5) {
            eprintln!("{bad}");
        }
        let payloads = self.kept(&read.payloads);
        anyhow::ensure!(
            !payloads.is_empty(),
            "no payload records in the files given with --payloads: make them with weir-train import payloads"
        );
        let mut out = create(self.out.as_ref())?;
        let mut originals = self
            .originals
            .as_ref()
            .map(|path| create(Some(path)))
            .transpose()?;
        let mut counts: BTreeMap<&'static str, u64> = BTreeMap::new();
        let mut rewritten = 0_u64;
        for (index, payload) in payloads.iter().enumerate() {
            let made = self.rewrite(payload, index, &operators);
            rewritten += u64::from(!made.is_empty());
            if let (Some(originals), false) = (&mut originals, made.is_empty()) {
                write(originals, &Line::of(payload))?;
            }
            for mutated in made {
                *counts.entry(mutated.operator.name).or_default() += 1;
                write(&mut out, &Line::rewritten(payload, &mutated))?;
            }
        }
        for mut writer in [Some(out), originals].into_iter().flatten() {
            writer.flush().context("cannot write the output")?;
        }
        report(rewritten, payloads.len(), &counts)
    }

    /// What the operators make of one payload, the same for its place in the files and the seed.
    fn rewrite(&self, payload: &Payload, index: usize, operators: &[Operator]) -> Vec<Mutated> {
        let mut dice = Dice::derived(self.seed, index as u64);
        let attack_class = class::canonical(&payload.class);
        let mut drawn: Vec<&Operator> = operators
            .iter()
            .filter(|operator| operator.suits(attack_class) && operator.fits(payload.location))
            .collect();
        if self.per_payload.is_some() {
            dice.shuffle(&mut drawn);
        }
        drawn
            .into_iter()
            .filter_map(|operator| operator.apply(&payload.bytes, &mut dice))
            .take(self.per_payload.unwrap_or(usize::MAX))
            .collect()
    }

    /// Distinct payloads that are no junk, at most so many of a class, evenly spread over the files.
    fn kept<'a>(&self, payloads: &'a [Payload]) -> Vec<&'a Payload> {
        let mut seen = std::collections::HashSet::new();
        let distinct: Vec<_> = payloads
            .iter()
            .filter(|payload| {
                junk::reason(&payload.bytes, class::canonical(&payload.class)).is_none()
            })
            .filter(|payload| seen.insert((&payload.bytes, payload.location)))
            .collect();
        let Some(most) = self.max_per_class else {
            return distinct;
        };
        let mut totals: HashMap<&str, usize> = HashMap::new();
        for payload in &distinct {
            *totals.entry(class::canonical(&payload.class)).or_default() += 1;
        }
        let mut positions: HashMap<&str, usize> = HashMap::new();
        distinct
            .into_iter()
            .filter(|payload| {
                let name = class::canonical(&payload.class);
                let total = totals.get(name).copied().unwrap_or(1).max(1);
                let position = positions.entry(name).or_default();
                *position += 1;
                // The n-th of `total` is kept where the count of kept ones steps up.
                *position * most / total > (*position - 1) * most / total || total <= most
            })
            .collect()
    }
}

impl<'a> Line<'a> {
    fn of(payload: &'a Payload) -> Self {
        Self {
            payload: to_text(&payload.bytes),
            attack_class: class::canonical(&payload.class),
            source: &payload.source,
            location: payload.location.map(Location::name),
            operator: None,
            original: None,
        }
    }

    fn rewritten(payload: &'a Payload, mutated: &Mutated) -> Self {
        Self {
            payload: to_text(&mutated.bytes),
            location: mutated.place.or(payload.location).map(Location::name),
            operator: Some(mutated.operator.name),
            original: Some(to_text(&payload.bytes)),
            ..Self::of(payload)
        }
    }
}

/// Says how much was rewritten; nothing at all is an error.
fn report(
    rewritten: u64,
    payloads: usize,
    counts: &BTreeMap<&'static str, u64>,
) -> anyhow::Result<()> {
    let records: u64 = counts.values().sum();
    eprintln!("{rewritten} of {payloads} payloads rewritten, {records} records");
    for (name, count) in counts {
        eprintln!("  {name:<22}{count:>8}");
    }
    anyhow::ensure!(
        rewritten > 0,
        "none of the operators changes any of the payloads: see weir-train mutate --list for what each needs"
    );
    Ok(())
}

fn list() -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    for operator in Operator::ALL {
        let side = match operator.side {
            Side::Training => "training",
            Side::HeldOut => "held out",
        };
        let classes = operator.classes.join(", ");
        writeln!(
            out,
            "{:<22}{side:<10}{}  [{classes}]",
            operator.name, operator.about
        )
        .context("cannot write to standard output")?;
    }
    Ok(())
}

/// The operators of a list of names and groups.
fn chosen(names: &[String]) -> Result<Vec<Operator>, UsageError> {
    let mut out: Vec<Operator> = Vec::new();
    for name in names {
        let more = match name.as_str() {
            "held-out" => Operator::held_out(),
            "training" => Operator::training(),
            "all" => Operator::ALL.to_vec(),
            other => vec![Operator::named(other).ok_or_else(|| {
                UsageError(format!(
                    "--operators: {other} is no operator: give held-out, training, all or names from weir-train mutate --list"
                ))
            })?],
        };
        for operator in more {
            if !out.contains(&operator) {
                out.push(operator);
            }
        }
    }
    Ok(out)
}

fn create(path: Option<&PathBuf>) -> anyhow::Result<Box<dyn Write>> {
    Ok(match path {
        Some(path) => Box::new(BufWriter::new(
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?,
        )),
        None => Box::new(BufWriter::new(std::io::stdout())),
    })
}

fn write(out: &mut Box<dyn Write>, line: &Line<'_>) -> anyhow::Result<()> {
    let mut text = serde_json::to_vec(line)?;
    text.push(b'\n');
    out.write_all(&text).context("cannot write the output")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn run(folder: &std::path::Path, operators: &str, seed: u64) -> anyhow::Result<String> {
        let payloads = folder.join("in.jsonl");
        std::fs::write(
            &payloads,
            "{\"payload\":\"1 union select 2\",\"attack_class\":\"sqli\",\"source\":\"s\"}\n{\"payload\":\"hello\",\"attack_class\":\"sqli\"}\n",
        )
        .unwrap();
        let out = folder.join("out.jsonl");
        Args {
            payloads: vec![payloads],
            operators: operators.split(',').map(str::to_owned).collect(),
            seed,
            per_payload: None,
            max_per_class: None,
            out: Some(out.clone()),
            originals: Some(folder.join("plain.jsonl")),
            list: false,
        }
        .run()?;
        Ok(std::fs::read_to_string(out).unwrap())
    }

    #[test]
    fn records_name_their_operator_and_original() {
        let folder = tempfile::tempdir().unwrap();
        let text = run(folder.path(), "sql-comments,split-parameters", 3).unwrap();
        let lines: Vec<serde_json::Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0]["operator"], "sql-comments");
        assert_eq!(lines[0]["original"], "1 union select 2");
        assert_eq!(lines[1]["location"], "query_key");
        let plain = std::fs::read_to_string(folder.path().join("plain.jsonl")).unwrap();
        assert_eq!(plain.lines().count(), 1);
        assert_eq!(
            text,
            run(folder.path(), "sql-comments,split-parameters", 3).unwrap()
        );
        assert_ne!(
            run(folder.path(), "held-out", 3).unwrap(),
            run(folder.path(), "held-out", 4).unwrap()
        );
    }

    #[test]
    fn unknown_operators_are_a_usage_error() {
        let folder = tempfile::tempdir().unwrap();
        let error = run(folder.path(), "magic", 1).unwrap_err();
        assert!(error.downcast_ref::<UsageError>().is_some());
        assert!(run(folder.path(), "html-case", 1).is_err());
    }
}
