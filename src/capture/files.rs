//! The capture's files: gzip members appended whole, rotated by size, the oldest deleted beyond the total.
//!
//! Not here: what a record holds. Every append is one complete gzip member, so that a file read while it grows, or
//! after a crash, ends at a member's border (multi-member gzip, as `zcat` and the trainer read it).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use flate2::Compression;
use flate2::write::GzEncoder;
use time::OffsetDateTime;
use time::macros::format_description;

use crate::config::Capture;
use crate::units::Bytes;

/// Uncompressed bytes of one member at most.
const MEMBER: usize = 256 * 1024;
const PREFIX: &str = "capture-";
const SUFFIX: &str = ".jsonl.gz";

/// Why a capture's files cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("capture.directory {}: {source}; create it and give weir the right to write there", path.display())]
pub struct FileError {
    path: PathBuf,
    source: io::Error,
    lost: u64,
}

impl FileError {
    /// Records that are lost by it.
    pub(super) fn lost(&self) -> u64 {
        self.lost
    }
}

/// Whether files could be written to a directory, without making it: what exists of it is tried.
pub(super) fn check(directory: &Path) -> Result<(), FileError> {
    let named = directory
        .ancestors()
        .filter(|folder| !folder.as_os_str().is_empty());
    let existing = named.into_iter().find(|folder| folder.exists());
    probe(existing.unwrap_or(Path::new("."))).map_err(|source| FileError {
        path: directory.to_owned(),
        source,
        lost: 0,
    })
}

fn probe(directory: &Path) -> io::Result<()> {
    let probe = directory.join(".weir-probe");
    File::create(&probe).and_then(|_| fs::remove_file(&probe))
}

/// The file that members are appended to.
struct Current {
    file: File,
    path: PathBuf,
    size: u64,
}

/// The files of one capture directory.
pub(super) struct Files {
    directory: PathBuf,
    file_size: Bytes,
    total_size: Bytes,
    current: Option<Current>,
    sequence: u32,
    member: Vec<u8>,
    /// Records in it.
    records: u64,
    member_since: Option<Instant>,
}

impl Files {
    /// Makes the directory and checks that it can be written.
    pub(super) fn open(capture: &Capture) -> Result<Self, FileError> {
        let directory = capture.directory.clone();
        let error = |source| FileError {
            path: directory.clone(),
            source,
            lost: 0,
        };
        fs::create_dir_all(&directory).map_err(error)?;
        probe(&directory).map_err(error)?;
        Ok(Self {
            directory: directory.clone(),
            file_size: capture.file_size,
            total_size: capture.total_size,
            current: None,
            sequence: 0,
            member: Vec::new(),
            records: 0,
            member_since: None,
        })
    }

    /// Adds a line; a full or old member is compressed and appended. Answers how many lines reached the file.
    pub(super) fn write(&mut self, line: &[u8], flush_after: Duration) -> Result<u64, FileError> {
        let since = *self.member_since.get_or_insert_with(Instant::now);
        self.member.extend_from_slice(line);
        self.records += 1;
        if self.member.len() >= MEMBER || since.elapsed() >= flush_after {
            return self.finish_member();
        }
        Ok(0)
    }

    /// Compresses and appends what is waiting, and answers how many lines that were.
    pub(super) fn finish_member(&mut self) -> Result<u64, FileError> {
        self.member_since = None;
        let records = std::mem::take(&mut self.records);
        if self.member.is_empty() {
            return Ok(records);
        }
        let finished = self.append();
        self.member.clear();
        match finished {
            Ok(()) => Ok(records),
            Err(source) => Err(FileError {
                path: self.directory.clone(),
                source,
                lost: records,
            }),
        }
    }

    fn append(&mut self) -> io::Result<()> {
        let mut encoder = GzEncoder::new(
            Vec::with_capacity(self.member.len() / 4),
            Compression::fast(),
        );
        encoder.write_all(&self.member)?;
        let member = encoder.finish()?;
        if self
            .current
            .as_ref()
            .is_some_and(|current| current.size + member.len() as u64 > self.file_size.0)
        {
            self.current = None;
        }
        let current = match &mut self.current {
            Some(current) => current,
            None => {
                self.make_room()?;
                let created = self.create()?;
                self.current.insert(created)
            }
        };
        if let Err(error) = current.file.write_all(&member) {
            // Half a member would end what a reader can read of this file, and no member at all is no gzip.
            let _still_full = if current.size == 0 {
                fs::remove_file(&current.path)
            } else {
                current.file.set_len(current.size)
            };
            self.current = None;
            return Err(error);
        }
        current.size += member.len() as u64;
        Ok(())
    }

    fn create(&mut self) -> io::Result<Current> {
        let format = format_description!("[year][month][day]T[hour][minute][second]");
        let now = OffsetDateTime::from(SystemTime::now());
        let stamp = now.format(&format).map_err(io::Error::other)?;
        loop {
            self.sequence += 1;
            let name = format!("{PREFIX}{stamp}-{:06}{SUFFIX}", self.sequence);
            let path = self.directory.join(name);
            match OpenOptions::new()
                .append(true)
                .create_new(true)
                .mode(0o600)
                .open(&path)
            {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
                Ok(file) => {
                    return Ok(Current {
                        file,
                        path,
                        size: 0,
                    });
                }
            }
        }
    }

    /// Deletes the oldest files until one more of full size fits into the total.
    fn make_room(&self) -> io::Result<()> {
        let mut files = list(&self.directory)?;
        files.sort();
        let mut total: u64 = files.iter().map(|(_, size)| size).sum();
        for (path, size) in files {
            if total + self.file_size.0 <= self.total_size.0 {
                break;
            }
            fs::remove_file(&path)?;
            total -= size;
        }
        Ok(())
    }
}

/// Capture files and their sizes. Other files in the directory are left alone.
fn list(directory: &Path) -> io::Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(PREFIX) && name.ends_with(SUFFIX) {
            files.push((entry.path(), entry.metadata()?.len()));
        }
    }
    Ok(files)
}
