//! `weir-train contaminate`: normal traffic with attacks in it that nobody labelled, to measure what that costs.
//!
//! Must not be here: labels. What comes out looks like a capture.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::PathBuf;

use anyhow::Context;
use weir_scoring::record::{OwnedRequest, RequestRecord};

use super::UsageError;
use crate::data::{Keep, ReadOptions, lines, read_attacks, read_requests};
use crate::evaluate::samples::{self, GraftOptions};
use crate::exposure::dice::Dice;

/// Arguments of `weir-train contaminate`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Normal requests: JSON Lines, also .gz and .zst
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    normal: Vec<PathBuf>,
    /// Attacks: payload records, grafted into the normal requests, or anomalous request records
    #[arg(long, required = true, num_args = 1.., value_name = "FILE")]
    attack: Vec<PathBuf>,
    /// Share of attacks in what is written
    #[arg(long, value_name = "SHARE")]
    share: f64,
    /// Of grafting and of the places of attacks
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Where the mixed traffic goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When files cannot be read or written, or there are too few attacks.
    pub fn run(self) -> anyhow::Result<()> {
        if !(self.share > 0.0 && self.share < 0.5) {
            return Err(UsageError("--share must be above 0 and below 0.5".to_owned()).into());
        }
        let options = ReadOptions {
            keep: Keep::Normal,
            ..ReadOptions::default()
        };
        let normal = read_requests(&self.normal, &options).context("cannot read --normal")?;
        let attacks = read_attacks(&self.attack, &options).context("cannot read --attack")?;
        let templates = samples::normal(&normal.records, None);
        let graft = GraftOptions {
            seed: self.seed,
            most_a_class: None,
        };
        let mut made = samples::attacks(&attacks, None, &templates, &graft);
        let wanted = wanted(templates.len(), self.share);
        anyhow::ensure!(
            made.len() >= wanted,
            "a share of {} of {} requests needs {wanted} attacks, but there are {}",
            self.share,
            templates.len(),
            made.len()
        );
        let mut dice = Dice::new(self.seed);
        dice.shuffle(&mut made);
        made.truncate(wanted);
        let requests: Vec<&OwnedRequest> = made.iter().map(|attack| &attack.request).collect();
        self.write(&requests, templates.len(), &mut dice)?;
        println!(
            "{}: {} normal requests and {wanted} attacks",
            self.out.display(),
            templates.len()
        );
        Ok(())
    }

    /// Normal lines as they are, with attacks between them at places drawn at random.
    fn write(
        &self,
        attacks: &[&OwnedRequest],
        normal: usize,
        dice: &mut Dice,
    ) -> anyhow::Result<()> {
        let mut places: Vec<usize> = attacks.iter().map(|_| dice.below(normal + 1)).collect();
        places.sort_unstable();
        let mut pending = places.into_iter().zip(attacks).peekable();
        let failed = || format!("cannot write {}", self.out.display());
        let mut out = BufWriter::new(File::create(&self.out).with_context(failed)?);
        let mut position = 0;
        for file in &self.normal {
            let mut failure: Option<std::io::Error> = None;
            lines::each(file, |_, line| {
                if RequestRecord::parse(line).is_err() {
                    return true;
                }
                let mut before = Ok(());
                while let Some((_, attack)) = pending.next_if(|(place, _)| *place <= position) {
                    before = before.and_then(|()| record(&mut out, attack));
                }
                position += 1;
                let written = before
                    .and_then(|()| out.write_all(line))
                    .and_then(|()| out.write_all(b"\n"));
                failure = written.err();
                failure.is_none()
            })?;
            if let Some(error) = failure {
                return Err(error).with_context(failed);
            }
        }
        for (_, attack) in pending {
            record(&mut out, attack).with_context(failed)?;
        }
        out.flush().with_context(failed)
    }
}

fn record(out: &mut impl Write, request: &OwnedRequest) -> std::io::Result<()> {
    let record = request.with_view(RequestRecord::from_view);
    serde_json::to_writer(&mut *out, &record)?;
    out.write_all(b"\n")
}

/// Attacks that make up `share` of all, beside `normal` other requests.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a count of requests"
)]
fn wanted(normal: usize, share: f64) -> usize {
    (normal as f64 * share / (1.0 - share)).round() as usize
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;

    use super::*;

    #[test]
    fn attacks_are_mixed_in_without_a_label_and_normal_lines_stay() {
        let dir = tempfile::tempdir().unwrap();
        let [normal, attack, out] =
            ["n.jsonl", "a.jsonl", "o.jsonl"].map(|name| dir.path().join(name));
        let lines: Vec<String> = (0..95)
            .map(|n| format!("{{\"method\":\"GET\", \"uri\":\"/x?a={n}\",\"headers\":[[\"Host\",\"h.example\"]]}}"))
            .collect();
        fs::write(&normal, lines.join("\n")).unwrap();
        let payloads: Vec<String> = (0..30)
            .map(|n| format!("{{\"payload\":\"' or {n}={n}--\",\"attack_class\":\"sqli\"}}"))
            .collect();
        fs::write(&attack, payloads.join("\n")).unwrap();
        let args = || Args {
            normal: vec![normal.clone()],
            attack: vec![attack.clone()],
            share: 0.05,
            seed: 3,
            out: out.clone(),
        };
        args().run().unwrap();
        let mixed = fs::read_to_string(&out).unwrap();
        assert_eq!(mixed.lines().count(), 100);
        assert_eq!(
            mixed
                .lines()
                .filter(|line| lines.iter().any(|own| own == line))
                .count(),
            95
        );
        assert!(!mixed.contains("sqli") && !mixed.contains("anomalous"));
        assert!(
            mixed
                .lines()
                .all(|line| RequestRecord::parse(line.as_bytes()).is_ok())
        );
        args().run().unwrap();
        assert_eq!(mixed, fs::read_to_string(&out).unwrap());
        let few = Args {
            share: 0.4,
            ..args()
        };
        assert!(
            few.run()
                .unwrap_err()
                .to_string()
                .contains("needs 63 attacks")
        );
    }
}
