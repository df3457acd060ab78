//! `weir-train import`: other formats to JSON Lines.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::Context;
use weir_scoring::record::{Label, RequestRecord};

use super::UsageError;
use crate::data::payload_lists::{self, Item};
use crate::data::{access_log, csic, har, lines};

/// Bad lines that are named; the rest are counted.
const NAMED_BAD_LINES: usize = 5;

const DETAILS: &str = "\
Formats:
  csic        the original CSIC 2010 text files of raw requests
  access-log  nginx and Apache logs, common or combined; client, time, status, size, referer and user agent are filled in
  har         HTTP archives saved by a browser
  payloads    attack lists: JSON Lines with `payload`, HttpParamsDataset and grananqvist CSV, GoTestWAF cases, waf-bypass
              payloads, CRS regression tests. Junk (words, numbers, plain links) and false-positive sets are left out.

Examples:
  weir-train import access-log /var/log/nginx/access.log --host shop.example --out shop.jsonl.gz
  weir-train import payloads lists/*.jsonl --out attacks.jsonl";

/// Arguments of `weir-train import`.
#[derive(Debug, clap::Args)]
#[command(after_help = DETAILS)]
pub struct Args {
    /// What the files are
    #[arg(value_enum)]
    format: Format,
    /// Files to import; .gz and .zst are decompressed, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Where to write JSON Lines, .gz and .zst by name [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Label of every imported request
    #[arg(long, value_enum)]
    label: Option<LabelArg>,
    /// Host header for access logs, which do not name the host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    /// Source name of imported payloads [default: the format's or the folder's name]
    #[arg(long, value_name = "NAME")]
    source: Option<String>,
    /// Keep payloads that are words, numbers or plain links, for an honest test set
    #[arg(long)]
    keep_junk: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Format {
    Csic,
    AccessLog,
    Har,
    Payloads,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum LabelArg {
    Normal,
    Anomalous,
}

impl From<LabelArg> for Label {
    fn from(label: LabelArg) -> Self {
        match label {
            LabelArg::Normal => Self::Normal,
            LabelArg::Anomalous => Self::Anomalous,
        }
    }
}

impl Args {
    /// Runs the command.
    ///
    /// # Errors
    /// When a file cannot be read, is in another format, or the output cannot be written.
    pub fn run(self) -> anyhow::Result<()> {
        if self.host.is_some() && self.format != Format::AccessLog {
            return Err(UsageError(
                "--host is for access logs: other formats name the host themselves".to_owned(),
            )
            .into());
        }
        let mut out = Output::open(self.out.as_deref())?;
        for file in &self.files {
            self.import(file, &mut out)
                .with_context(|| format!("cannot import {}", file.display()))?;
        }
        out.finish()
    }

    fn import(&self, file: &Path, out: &mut Output) -> anyhow::Result<()> {
        let label = self.label.map(Label::from);
        match self.format {
            Format::Csic => {
                let read = csic::import(&lines::read(file)?, label);
                requests(file, &read.records, &read.skipped, out)
            }
            Format::Har => {
                let read =
                    har::import(&lines::read(file)?, label).context("not an HTTP archive")?;
                requests(file, &read.records, &read.skipped, out)
            }
            Format::AccessLog => self.access_log(file, label, out),
            Format::Payloads => self.payloads(file, out),
        }
    }

    fn access_log(
        &self,
        file: &Path,
        label: Option<Label>,
        out: &mut Output,
    ) -> anyhow::Result<()> {
        let (mut kept, mut bad) = (0_u64, Vec::new());
        let mut failed = None;
        lines::each(file, |number, line| {
            match access_log::parse(line, self.host.as_deref(), label) {
                Ok(record) => {
                    kept += 1;
                    failed = out.line(&record).err();
                }
                Err(error) => bad.push((number, error.to_string())),
            }
            failed.is_none()
        })?;
        if let Some(error) = failed {
            return Err(error);
        }
        report(file, kept, &bad)
    }

    fn payloads(&self, file: &Path, out: &mut Output) -> anyhow::Result<()> {
        let read = payload_lists::import(file, self.source.as_deref(), self.keep_junk)?;
        for item in &read.items {
            match item {
                Item::Payload(record) => out.line(record)?,
                Item::Request(record) => out.line(record)?,
            }
        }
        for (reason, count) in &read.dropped {
            eprintln!("{}: {count} left out: {reason}", file.display());
        }
        report(file, read.items.len() as u64, &read.bad)
    }
}

fn requests(
    file: &Path,
    records: &[RequestRecord],
    skipped: &[(u64, String)],
    out: &mut Output,
) -> anyhow::Result<()> {
    for record in records {
        out.line(record)?;
    }
    report(file, records.len() as u64, skipped)
}

/// Says what came of a file; one from which nothing came is an error.
fn report(file: &Path, kept: u64, bad: &[(u64, String)]) -> anyhow::Result<()> {
    for (number, error) in bad.iter().take(NAMED_BAD_LINES) {
        eprintln!("{}:{number}: {error}", file.display());
    }
    let more = bad.len().saturating_sub(NAMED_BAD_LINES);
    if more > 0 {
        eprintln!("{}: and {more} more such lines", file.display());
    }
    eprintln!(
        "{}: {kept} imported, {} not understood",
        file.display(),
        bad.len()
    );
    anyhow::ensure!(
        kept > 0 || bad.is_empty(),
        "none of {} lines is in this format",
        bad.len()
    );
    Ok(())
}

/// JSON Lines to a file or standard output, compressed by name.
struct Output(Sink);

enum Sink {
    Plain(BufWriter<Box<dyn Write>>),
    Gz(flate2::write::GzEncoder<BufWriter<File>>),
    Zst(zstd::stream::write::Encoder<'static, BufWriter<File>>),
}

impl Output {
    fn open(path: Option<&Path>) -> anyhow::Result<Self> {
        let Some(path) = path else {
            return Ok(Self(Sink::Plain(BufWriter::new(Box::new(
                std::io::stdout(),
            )))));
        };
        let file =
            File::create(path).with_context(|| format!("cannot write {}", path.display()))?;
        Ok(Self(
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("gz") => Sink::Gz(flate2::write::GzEncoder::new(
                    BufWriter::new(file),
                    flate2::Compression::default(),
                )),
                Some("zst") => {
                    Sink::Zst(zstd::stream::write::Encoder::new(BufWriter::new(file), 0)?)
                }
                _ => Sink::Plain(BufWriter::new(Box::new(file))),
            },
        ))
    }

    fn line(&mut self, record: &impl serde::Serialize) -> anyhow::Result<()> {
        let mut text = serde_json::to_vec(record)?;
        text.push(b'\n');
        let writer: &mut dyn Write = match &mut self.0 {
            Sink::Plain(writer) => writer,
            Sink::Gz(writer) => writer,
            Sink::Zst(writer) => writer,
        };
        writer.write_all(&text).context("cannot write the output")
    }

    fn finish(self) -> anyhow::Result<()> {
        match self.0 {
            Sink::Plain(mut writer) => writer.flush(),
            Sink::Gz(writer) => writer.finish().and_then(|mut inner| inner.flush()),
            Sink::Zst(writer) => writer.finish().and_then(|mut inner| inner.flush()),
        }
        .context("cannot write the output")
    }
}
