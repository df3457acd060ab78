//! Reads what training and evaluation work on: request records and payload records from JSON Lines, plain, `.gz` or `.zst`.
//!
//! Must not be here: feature extraction, grafting, and any knowledge of a particular data set beyond its importer.

pub mod access_log;
pub mod csic;
pub mod har;
pub mod lines;
pub mod payload_lists;
pub mod sources;
pub mod split;

use std::path::{Path, PathBuf};

use serde::Deserialize;
use weir_features::Location;
use weir_scoring::record::{
    Label, OwnedRequest, PayloadRecord, RecordError, RequestRecord, Timestamp,
};

use crate::exposure::Payload;

/// More bad lines than this share of a file's lines stop a run: the file is then probably not what it was taken for.
pub const MAX_BAD_SHARE: f64 = 0.01;

/// How many bad lines are kept word for word; the rest are only counted.
const KEPT_BAD_LINES: usize = 1000;

/// Why data could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DataError {
    /// The file cannot be opened, read or decompressed.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
    /// Too large a share of the lines is no record.
    #[error("{}: {bad} of {read} lines are no {wanted} records, above the limit of 1%; the first: line {line}: {first}", path.display())]
    TooManyBadLines {
        /// The file.
        path: PathBuf,
        /// How many lines are bad.
        bad: u64,
        /// How many lines were read.
        read: u64,
        /// What was expected.
        wanted: &'static str,
        /// Number of the first bad line, from 1.
        line: u64,
        /// What is wrong with it.
        first: String,
    },
}

/// Which records to keep by their label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Keep {
    /// Whatever the label says.
    #[default]
    All,
    /// Labelled normal, or not labelled.
    Normal,
    /// Labelled anomalous, or not labelled.
    Anomalous,
}

/// How request records are read.
#[derive(Debug, Clone, Default)]
pub struct ReadOptions {
    /// Which labels to keep.
    pub keep: Keep,
    /// Cookies to remove by name, because they are unique for each request and would be learnt by heart (`JSESSIONID` in CSIC 2010).
    pub drop_cookies: Vec<String>,
    /// Stop after this many kept records.
    pub limit: Option<usize>,
}

/// A request with what is known about it.
#[derive(Debug, Clone, Default)]
pub struct LabelledRequest {
    /// The request's bytes.
    pub request: OwnedRequest,
    /// The label, if the record has one.
    pub label: Option<Label>,
    /// The class of attack.
    pub attack_class: Option<String>,
    /// The collection the record comes from: its `source` or `site` key, else the file's stem.
    pub source: String,
    /// The client's address or token.
    pub client: Option<String>,
    /// When it arrived, in seconds since the epoch.
    pub time: Option<f64>,
    /// Status of the response.
    pub status: Option<u16>,
    /// Size of the response.
    pub response_bytes: Option<u64>,
    /// The host in lower case without its port.
    pub host: Option<String>,
}

/// A line that is no record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadLine {
    /// The file.
    pub path: PathBuf,
    /// The line's number, from 1.
    pub line: u64,
    /// What is wrong.
    pub error: String,
}

impl std::fmt::Display for BadLine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}: {}", self.path.display(), self.line, self.error)
    }
}

/// Request records of some files, in order.
#[derive(Debug, Clone, Default)]
pub struct Requests {
    /// What was kept.
    pub records: Vec<LabelledRequest>,
    /// The bad lines, at most 1,000 of them.
    pub bad_lines: Vec<BadLine>,
    /// How many lines were bad.
    pub bad: u64,
    /// How many lines were read, blank ones aside.
    pub read: u64,
}

/// What `--exposure` files hold: payload records and anomalous request records, mixed by line.
#[derive(Debug, Clone, Default)]
pub struct Exposure {
    /// Payload records.
    pub payloads: Vec<Payload>,
    /// Anomalous request records.
    pub requests: Vec<LabelledRequest>,
    /// The bad lines, at most 1,000 of them.
    pub bad_lines: Vec<BadLine>,
    /// How many lines were bad.
    pub bad: u64,
    /// How many lines were read, blank ones aside.
    pub read: u64,
}

/// Reads request records.
///
/// # Errors
/// When a file cannot be read or more than 1% of its lines are bad. Fewer bad lines are in the result.
pub fn read_requests(paths: &[PathBuf], options: &ReadOptions) -> Result<Requests, DataError> {
    let mut out = Requests::default();
    for path in paths {
        let mut tally = Tally::new(path, "request");
        lines::each(path, |number, line| {
            if options
                .limit
                .is_some_and(|limit| out.records.len() >= limit)
            {
                return false;
            }
            match request_line(line, path, options) {
                Ok(kept) => out.records.extend(kept),
                Err(error) => tally.bad(number, &error, &mut out.bad_lines),
            }
            tally.read += 1;
            true
        })?;
        out.read += tally.read;
        out.bad += tally.bad;
        tally.judge()?;
    }
    Ok(out)
}

/// Reads payload records and anomalous request records; request records that are labelled normal are left out.
///
/// # Errors
/// When a file cannot be read or more than 1% of its lines are bad. Fewer bad lines are in the result.
pub fn read_exposure(paths: &[PathBuf]) -> Result<Exposure, DataError> {
    read_attacks(
        paths,
        &ReadOptions {
            keep: Keep::Anomalous,
            ..ReadOptions::default()
        },
    )
}

/// [`read_exposure`] with a choice of cookies to drop.
///
/// # Errors
/// As [`read_exposure`].
pub fn read_attacks(paths: &[PathBuf], options: &ReadOptions) -> Result<Exposure, DataError> {
    let options = ReadOptions {
        keep: Keep::Anomalous,
        ..options.clone()
    };
    let mut out = Exposure::default();
    for path in paths {
        let mut tally = Tally::new(path, "payload or request");
        lines::each(path, |number, line| {
            let read = if is_payload(line) {
                PayloadRecord::parse(line)
                    .map(|record| out.payloads.push(payload_of(&record, path)))
            } else {
                request_line(line, path, &options).map(|kept| out.requests.extend(kept))
            };
            if let Err(error) = read {
                tally.bad(number, &error, &mut out.bad_lines);
            }
            tally.read += 1;
            true
        })?;
        out.read += tally.read;
        out.bad += tally.bad;
        tally.judge()?;
    }
    Ok(out)
}

fn is_payload(line: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        payload: Option<serde::de::IgnoredAny>,
    }
    serde_json::from_slice::<Probe>(line).is_ok_and(|probe| probe.payload.is_some())
}

fn payload_of(record: &PayloadRecord, path: &Path) -> Payload {
    Payload {
        bytes: record.bytes(),
        class: record
            .attack_class
            .clone()
            .unwrap_or_else(|| "unknown".to_owned()),
        source: record.source.clone().unwrap_or_else(|| lines::stem(path)),
        location: record.location.as_deref().and_then(Location::from_name),
    }
}

fn request_line(
    line: &[u8],
    path: &Path,
    options: &ReadOptions,
) -> Result<Option<LabelledRequest>, RecordError> {
    let record = RequestRecord::parse(line)?;
    let kept = match options.keep {
        Keep::All => true,
        Keep::Normal => record.label != Some(Label::Anomalous),
        Keep::Anomalous => record.label != Some(Label::Normal),
    };
    if !kept {
        return Ok(None);
    }
    let mut request = record.to_request()?;
    drop_cookies(&mut request, &options.drop_cookies);
    let named = |key: &str| {
        record
            .other
            .get(key)
            .and_then(|value| value.as_str())
            .map(str::to_owned)
    };
    Ok(Some(LabelledRequest {
        host: request.host().map(host_name),
        request,
        label: record.label,
        attack_class: record.attack_class.clone(),
        source: named("source")
            .or_else(|| named("site"))
            .unwrap_or_else(|| lines::stem(path)),
        client: record.client.clone(),
        time: record.time.map(Timestamp::seconds),
        status: record.status,
        response_bytes: record.response_bytes,
    }))
}

/// A host in lower case, without its port.
fn host_name(host: &[u8]) -> String {
    split::without_port(&String::from_utf8_lossy(host)).to_ascii_lowercase()
}

/// Removes the named cookies; a `Cookie` header that is left empty goes as well.
fn drop_cookies(request: &mut OwnedRequest, names: &[String]) {
    if names.is_empty() {
        return;
    }
    for (name, value) in &mut request.headers {
        if name.eq_ignore_ascii_case(b"cookie") {
            let kept: Vec<&[u8]> = value
                .split(|byte| *byte == b';')
                .map(<[u8]>::trim_ascii)
                .filter(|pair| {
                    let key = pair.split(|byte| *byte == b'=').next().unwrap_or_default();
                    !names
                        .iter()
                        .any(|dropped| dropped.as_bytes().eq_ignore_ascii_case(key))
                })
                .collect();
            *value = kept.join(&b"; "[..]);
        }
    }
    request
        .headers
        .retain(|(name, value)| !(name.eq_ignore_ascii_case(b"cookie") && value.is_empty()));
}

/// Counts one file's lines and judges it at its end.
struct Tally<'a> {
    path: &'a Path,
    wanted: &'static str,
    read: u64,
    bad: u64,
    first: Option<(u64, String)>,
}

impl<'a> Tally<'a> {
    fn new(path: &'a Path, wanted: &'static str) -> Self {
        Self {
            path,
            wanted,
            read: 0,
            bad: 0,
            first: None,
        }
    }

    fn bad(&mut self, line: u64, error: &RecordError, kept: &mut Vec<BadLine>) {
        self.bad += 1;
        let error = error.to_string();
        self.first.get_or_insert_with(|| (line, error.clone()));
        if kept.len() < KEPT_BAD_LINES {
            kept.push(BadLine {
                path: self.path.to_owned(),
                line,
                error,
            });
        }
    }

    #[expect(
        clippy::cast_precision_loss,
        reason = "counts of lines are far below 2^52"
    )]
    fn judge(self) -> Result<(), DataError> {
        match self.first {
            Some((line, first)) if self.bad as f64 > self.read as f64 * MAX_BAD_SHARE => {
                Err(DataError::TooManyBadLines {
                    path: self.path.to_owned(),
                    bad: self.bad,
                    read: self.read,
                    wanted: self.wanted,
                    line,
                    first,
                })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
