//! Bundles: the directory in which a model travels, with everything that is needed to trust and use it.
//!
//! What must not be here: sessions and golden rows' comparison (see [`crate::engine`]), the inside of model files (see
//! [`crate::gate`]), and watching directories.
//!
//! [`Bundle::open`] reads a directory completely and checks it completely: sizes, hashes, identity, fingerprint. What it
//! returns needs the directory no longer. [`BundleWriter`] builds a bundle beside its destination and puts it in place
//! with one rename, so that a reader sees the old bundle or the new one and nothing in between.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use weir_features::{FIELD_WIDTH, REQUEST_WIDTH, schema};

mod manifest;
mod writer;

pub use manifest::{
    DataSummary, Detectors, FieldDetector, FileEntry, Golden, GoldenRows, KnownSites, Manifest,
    RequestDetector, Usual,
};
pub use writer::BundleWriter;

/// The bundle format this version reads and writes.
pub const FORMAT: u32 = 1;
/// Name of the manifest.
pub const MANIFEST: &str = "manifest.json";
/// Name of the field detector's model.
pub const FIELD_MODEL: &str = "field.onnx";
/// Name of the request detector's model.
pub const REQUEST_MODEL: &str = "request.onnx";
/// Name of the profile of the sites that the bundle knows; optional.
pub const PROFILE: &str = "profile.bin";
/// A manifest holds a calibration and some statistics: hundreds of kilobytes at most.
pub const MAX_MANIFEST_BYTES: u64 = 8 * 1024 * 1024;
/// No file of a bundle is larger.
pub const MAX_FILE_BYTES: u64 = crate::gate::MAX_MODEL_BYTES as u64;
/// No bundle has more files.
pub const MAX_FILES: usize = 16;
/// How often a bundle that is replaced while it is being read is read again.
const ATTEMPTS: usize = 3;

/// Why a bundle cannot be read or written. Every variant names the file and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BundleError {
    /// No manifest: no bundle there, or an unfinished one.
    #[error("{path} is no bundle: it has no {MANIFEST}. Name the directory that `weir-train fit --out` wrote", path = path.display())]
    NoManifest {
        /// The directory.
        path: PathBuf,
    },
    /// A file that cannot be read or written.
    #[error("{action} {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or directory.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// A file that the manifest lists is not there.
    #[error("{path} is missing, but {MANIFEST} lists it: copy the bundle again, completely", path = path.display())]
    Missing {
        /// The file.
        path: PathBuf,
    },
    /// A file over its cap.
    #[error("{path} has {bytes} bytes, more than the {limit} allowed: this is no file of a Weir bundle", path = path.display())]
    TooLarge {
        /// The file.
        path: PathBuf,
        /// Its size.
        bytes: u64,
        /// The cap.
        limit: u64,
    },
    /// A manifest that does not parse.
    #[error("{path} is damaged: {source}. Copy or publish the bundle again", path = path.display())]
    Manifest {
        /// The manifest.
        path: PathBuf,
        /// What the parser says.
        source: serde_json::Error,
    },
    /// A manifest of another format.
    #[error("{path} has bundle format {found}, this version of Weir reads format {FORMAT}: use the version of Weir that wrote it, or train again", path = path.display())]
    Format {
        /// The manifest.
        path: PathBuf,
        /// The format found.
        found: u64,
    },
    /// Rows would mean something else to this model.
    #[error("{path} was trained with extractor {found}, this version of Weir has {expected}: train again with this version, or run the version that trained it", path = path.display())]
    Fingerprint {
        /// The manifest.
        path: PathBuf,
        /// The fingerprint found.
        found: String,
        /// This version's.
        expected: String,
    },
    /// A file that is not the one the manifest describes.
    #[error("{path} does not match {MANIFEST}: {what} is {found}, expected {expected}. The file was changed or cut off: copy or publish the bundle again", path = path.display())]
    Mismatch {
        /// The file.
        path: PathBuf,
        /// `size`, `sha256` or `id`.
        what: &'static str,
        /// What the file has.
        found: String,
        /// What the manifest says.
        expected: String,
    },
    /// A manifest that contradicts itself or this version.
    #[error("{path} is inconsistent: {why}. Publish the bundle again", path = path.display())]
    Inconsistent {
        /// The manifest.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A directory that would be replaced, but is no bundle.
    #[error("{path} exists and is no bundle: it is left alone. Choose another directory or remove it first", path = path.display())]
    NotReplaceable {
        /// The directory.
        path: PathBuf,
    },
    /// A name that is no plain file name.
    #[error(
        "`{0}` cannot be the name of a file in a bundle: use letters, digits, dot, dash and underscore"
    )]
    Name(String),
}

/// A bundle, read and verified.
#[derive(Clone, Debug)]
pub struct Bundle {
    directory: PathBuf,
    manifest: Manifest,
    files: BTreeMap<String, Vec<u8>>,
}

impl Bundle {
    /// Reads and verifies the bundle in `directory`.
    ///
    /// A bundle that is replaced meanwhile is read again.
    ///
    /// # Errors
    /// When anything about it is not as it must be; the directory is only read.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BundleError> {
        let directory = directory.as_ref();
        let mut attempt = 1;
        loop {
            let (bytes, manifest) = Manifest::read_bytes(directory)?;
            let error = match Self::verify(directory, manifest) {
                Ok(bundle) => return Ok(bundle),
                Err(error) => error,
            };
            let replaced = Manifest::read_bytes(directory).is_ok_and(|(now, _)| now != bytes);
            if !replaced || attempt == ATTEMPTS {
                return Err(error);
            }
            attempt += 1;
        }
    }

    /// What the bundle says about itself.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    /// Where it was read from.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// The contents of a file that the manifest lists.
    #[must_use]
    pub fn file(&self, name: &str) -> Option<&[u8]> {
        self.files.get(name).map(Vec::as_slice)
    }

    fn verify(directory: &Path, manifest: Manifest) -> Result<Self, BundleError> {
        let path = directory.join(MANIFEST);
        let expected = schema::fingerprint();
        if manifest.fingerprint != expected {
            let found = manifest.fingerprint;
            return Err(BundleError::Fingerprint {
                path,
                found,
                expected: expected.to_string(),
            });
        }
        check_consistency(&manifest).map_err(|why| BundleError::Inconsistent {
            path: path.clone(),
            why,
        })?;
        let mut files = BTreeMap::new();
        for entry in &manifest.files {
            files.insert(entry.name.clone(), read_entry(directory, entry)?);
        }
        let id = bundle_id(&manifest.files);
        if manifest.id != id {
            return Err(BundleError::Mismatch {
                path,
                what: "id",
                found: id,
                expected: manifest.id,
            });
        }
        Ok(Self {
            directory: directory.to_owned(),
            manifest,
            files,
        })
    }
}

/// The identity of a bundle: sha256 over the sorted `name sha256` lines of its files.
#[must_use]
pub fn bundle_id(files: &[FileEntry]) -> String {
    let mut lines: Vec<String> = files
        .iter()
        .map(|file| format!("{} {}\n", file.name, file.sha256))
        .collect();
    lines.sort_unstable();
    sha256(lines.concat().as_bytes())
}

fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing into a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}

/// A plain file name that cannot leave the bundle's directory or hide in it.
fn is_plain_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    !name.is_empty() && name.len() <= 64 && !name.starts_with('.') && name.bytes().all(allowed)
}

fn check_consistency(manifest: &Manifest) -> Result<(), String> {
    if manifest.files.len() > MAX_FILES {
        return Err(format!(
            "it lists {} files, more than the {MAX_FILES} allowed",
            manifest.files.len()
        ));
    }
    for (index, file) in manifest.files.iter().enumerate() {
        if !is_plain_name(&file.name) || file.name == MANIFEST {
            return Err(format!("`{}` is no name for a file of a bundle", file.name));
        }
        if manifest
            .files
            .iter()
            .take(index)
            .any(|other| other.name == file.name)
        {
            return Err(format!("it lists `{}` twice", file.name));
        }
    }
    let field = &manifest.detectors.field;
    check_detector(manifest, "field", &field.file, field.width, FIELD_WIDTH)?;
    check_golden("field", Some(&manifest.golden.field), FIELD_WIDTH)?;
    check_promise(manifest)?;
    let Some(request) = &manifest.detectors.request else {
        return Ok(());
    };
    check_detector(
        manifest,
        "request",
        &request.file,
        request.width,
        REQUEST_WIDTH,
    )?;
    check_golden("request", manifest.golden.request.as_ref(), REQUEST_WIDTH)?;
    if request.missing.len() != REQUEST_WIDTH
        || !request.missing.iter().all(|value| value.is_finite())
    {
        return Err(format!(
            "the request detector needs {REQUEST_WIDTH} finite values for missing inputs"
        ));
    }
    if manifest.calibration.request.is_none() || manifest.calibration.combined.is_none() {
        return Err("it has a request detector, but no calibration of it".to_owned());
    }
    Ok(())
}

/// Rounding of a number that was written and read again.
const PROMISE_TOLERANCE: f64 = 1e-6;

fn check_promise(manifest: &Manifest) -> Result<(), String> {
    let promised = manifest.smallest_budget;
    let supported = manifest.calibration.smallest_budget();
    if promised <= 1.0 && promised >= supported * (1.0 - PROMISE_TOLERANCE) {
        return Ok(());
    }
    Err(format!(
        "it promises false-positive budgets down to {promised}, but a calibration on {} normal requests supports none below \
         {supported:.6}",
        manifest.calibration.samples()
    ))
}

fn check_detector(
    manifest: &Manifest,
    detector: &str,
    file: &str,
    width: usize,
    expected: usize,
) -> Result<(), String> {
    if width != expected {
        return Err(format!(
            "the {detector} detector has {width} inputs, this version makes {expected}"
        ));
    }
    if manifest.files.iter().any(|entry| entry.name == file) {
        return Ok(());
    }
    Err(format!(
        "the {detector} detector's file `{file}` is not listed under `files`"
    ))
}

fn check_golden(detector: &str, golden: Option<&GoldenRows>, width: usize) -> Result<(), String> {
    let fits = golden.is_some_and(|golden| {
        !golden.rows.is_empty()
            && golden.rows.len() == golden.errors.len()
            && golden.rows.len() <= crate::engine::CHUNK_ROWS
            && golden
                .rows
                .iter()
                .all(|row| row.len() == width && row.iter().all(|value| value.is_finite()))
            && golden.errors.iter().all(|error| error.is_finite())
    });
    if fits {
        Ok(())
    } else {
        Err(format!(
            "the golden rows of the {detector} detector are missing or malformed"
        ))
    }
}

fn read_entry(directory: &Path, entry: &FileEntry) -> Result<Vec<u8>, BundleError> {
    let path = directory.join(&entry.name);
    if entry.bytes > MAX_FILE_BYTES {
        return Err(BundleError::TooLarge {
            path,
            bytes: entry.bytes,
            limit: MAX_FILE_BYTES,
        });
    }
    let bytes = read_capped(&path, MAX_FILE_BYTES)?;
    let mismatch = |what, found, expected| BundleError::Mismatch {
        path: path.clone(),
        what,
        found,
        expected,
    };
    if bytes.len() as u64 != entry.bytes {
        return Err(mismatch(
            "size",
            bytes.len().to_string(),
            entry.bytes.to_string(),
        ));
    }
    let hash = sha256(&bytes);
    if hash != entry.sha256 {
        return Err(mismatch("sha256", hash, entry.sha256.clone()));
    }
    Ok(bytes)
}

/// Reads a regular file of at most `limit` bytes. A device or a pipe could block for ever.
fn read_capped(path: &Path, limit: u64) -> Result<Vec<u8>, BundleError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::NotFound => BundleError::Missing {
            path: path.to_owned(),
        },
        _ => BundleError::Io {
            action: "cannot read",
            path: path.to_owned(),
            source,
        },
    };
    let metadata = std::fs::metadata(path).map_err(failed)?;
    if !metadata.is_file() {
        return Err(failed(io::Error::other("it is no regular file")));
    }
    let too_large = |bytes| BundleError::TooLarge {
        path: path.to_owned(),
        bytes,
        limit,
    };
    if metadata.len() > limit {
        return Err(too_large(metadata.len()));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .map_err(failed)?
        .take(limit + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > limit {
        Err(too_large(bytes.len() as u64))
    } else {
        Ok(bytes)
    }
}
