//! Publishing a bundle in one step. Not here: reading one.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

use super::{
    BundleError, FORMAT, FileEntry, MANIFEST, MAX_FILE_BYTES, MAX_FILES, Manifest, bundle_id,
    is_plain_name, sha256,
};

/// Ending of the directories in which bundles are built; `.gitignore` knows it.
const STAGING_SUFFIX: &str = "bundle-tmp";

/// Builds a bundle in a directory beside its destination and puts it in place with one rename.
///
/// Dropped before [`publish`](Self::publish) succeeded, it removes what it wrote and leaves the destination as it was.
#[derive(Debug)]
pub struct BundleWriter {
    target: PathBuf,
    staging: PathBuf,
    files: Vec<FileEntry>,
}

impl BundleWriter {
    /// Starts a bundle that will replace `target`: a directory that does not exist yet, is empty, or holds a bundle.
    ///
    /// # Errors
    /// When `target` is something else, or its parent cannot be written to.
    pub fn create(target: impl AsRef<Path>) -> Result<Self, BundleError> {
        static COUNTER: AtomicU32 = AtomicU32::new(0);
        let target = resolve(target.as_ref())?;
        check_replaceable(&target)?;
        let mut name = OsString::from(".");
        name.push(target.file_name().unwrap_or_default());
        let count = COUNTER.fetch_add(1, Ordering::Relaxed);
        name.push(format!(".{}-{count}.{STAGING_SUFFIX}", std::process::id()));
        let staging = target.with_file_name(name);
        if let Some(parent) = staging.parent() {
            fs::create_dir_all(parent).map_err(failed("cannot create", parent))?;
        }
        fs::create_dir(&staging).map_err(failed("cannot create", &staging))?;
        Ok(Self {
            target,
            staging,
            files: Vec::new(),
        })
    }

    /// Adds a file.
    ///
    /// # Errors
    /// When the name is not plain or taken, the file is too large, or it cannot be written.
    pub fn add(&mut self, name: &str, bytes: &[u8]) -> Result<(), BundleError> {
        let taken = name == MANIFEST || self.files.iter().any(|file| file.name == name);
        if !is_plain_name(name) || taken || self.files.len() == MAX_FILES {
            return Err(BundleError::Name(name.to_owned()));
        }
        let path = self.staging.join(name);
        if bytes.len() as u64 > MAX_FILE_BYTES {
            return Err(BundleError::TooLarge {
                path,
                bytes: bytes.len() as u64,
                limit: MAX_FILE_BYTES,
            });
        }
        write_durably(&path, bytes)?;
        self.files.push(FileEntry {
            name: name.to_owned(),
            sha256: sha256(bytes),
            bytes: bytes.len() as u64,
        });
        Ok(())
    }

    /// Completes `manifest` (format, id, files), writes it last and puts the bundle in place. A bundle that was there is
    /// replaced as a whole and then removed.
    ///
    /// # Errors
    /// When a step fails; the destination is then as it was before.
    pub fn publish(mut self, mut manifest: Manifest) -> Result<Manifest, BundleError> {
        manifest.format = FORMAT;
        manifest.files = std::mem::take(&mut self.files);
        manifest.id = bundle_id(&manifest.files);
        let path = self.staging.join(MANIFEST);
        super::check_consistency(&manifest).map_err(|why| BundleError::Inconsistent {
            path: path.clone(),
            why,
        })?;
        let mut json =
            serde_json::to_vec_pretty(&manifest).map_err(|source| BundleError::Manifest {
                path: path.clone(),
                source,
            })?;
        json.push(b'\n');
        write_durably(&path, &json)?;
        sync_directory(&self.staging)?;
        check_replaceable(&self.target)?;
        replace(&self.staging, &self.target)?;
        if let Some(parent) = self.target.parent() {
            sync_directory(parent)?;
        }
        Ok(manifest)
    }
}

impl Drop for BundleWriter {
    fn drop(&mut self) {
        // After publishing, the staging directory holds the replaced bundle or does not exist.
        if let Err(error) = fs::remove_dir_all(&self.staging)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(path = %self.staging.display(), %error, "cannot remove a temporary bundle; remove it by hand");
        }
    }
}

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> BundleError + 'a {
    move |source| BundleError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// An absolute path with a name; where a link leads, so that the link stays.
fn resolve(target: &Path) -> Result<PathBuf, BundleError> {
    let resolved = match fs::canonicalize(target) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => std::path::absolute(target),
        other => other,
    };
    let resolved = resolved.map_err(failed("cannot resolve", target))?;
    if resolved.file_name().is_some() {
        return Ok(resolved);
    }
    Err(BundleError::NotReplaceable {
        path: target.to_owned(),
    })
}

fn check_replaceable(target: &Path) -> Result<(), BundleError> {
    let not_replaceable = || BundleError::NotReplaceable {
        path: target.to_owned(),
    };
    match fs::read_dir(target) {
        Ok(mut entries) => {
            let replaceable = entries.next().is_none() || target.join(MANIFEST).is_file();
            if replaceable {
                Ok(())
            } else {
                Err(not_replaceable())
            }
        }
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => Err(not_replaceable()),
        Err(error) => Err(failed("cannot read", target)(error)),
    }
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), BundleError> {
    let write = || {
        let mut file = File::create_new(path)?;
        file.write_all(bytes)?;
        file.sync_all()
    };
    write().map_err(failed("cannot write", path))
}

fn sync_directory(path: &Path) -> Result<(), BundleError> {
    File::open(path)
        .and_then(|directory| directory.sync_all())
        .map_err(failed("cannot write", path))
}

/// Puts `staging` in the place of `target`; an existing `target` ends up at `staging`.
fn replace(staging: &Path, target: &Path) -> Result<(), BundleError> {
    // A rename replaces nothing and an empty directory, both atomically.
    match fs::rename(staging, target) {
        Ok(()) => return Ok(()),
        Err(error) if error.kind() == io::ErrorKind::DirectoryNotEmpty => {}
        Err(error) => return Err(failed("cannot replace", target)(error)),
    }
    #[cfg(target_os = "linux")]
    {
        use rustix::fs::{CWD, RenameFlags, renameat_with};
        if renameat_with(CWD, staging, CWD, target, RenameFlags::EXCHANGE).is_ok() {
            return Ok(());
        }
    }
    // File systems that cannot exchange: for a moment there is no bundle, and a reader tries again.
    let mut name = staging.file_name().unwrap_or_default().to_owned();
    name.push(".old");
    let aside = staging.with_file_name(name);
    fs::rename(target, &aside).map_err(failed("cannot replace", target))?;
    if let Err(error) = fs::rename(staging, target) {
        fs::rename(&aside, target).map_err(failed("cannot put back", target))?;
        return Err(failed("cannot replace", target)(error));
    }
    fs::rename(&aside, staging).map_err(failed("cannot move aside", &aside))
}
