//! Finding the ONNX Runtime library and making sure, from its first bytes, that this machine can load it.
//!
//! What must not be here: the `ort` crate. Nothing of a library runs before this room let it through.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use super::RuntimeError;

/// The oldest ONNX Runtime whose API Weir uses.
pub const MINIMUM_VERSION: &str = "1.23";
/// How far above the executable a checkout or an installed layout is looked for.
const PARENTS: usize = 4;
/// Folders below each of them, most specific last.
const FOLDERS: [&str; 4] = ["", "lib/weir", "lib", ".onnxruntime"];

/// Where a path to the library came from, in order of precedence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Source {
    /// The command line.
    Argument,
    /// The environment.
    Environment,
    /// The configuration.
    Configuration,
}

impl Source {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Argument => "--onnxruntime",
            Self::Environment => "ORT_DYLIB_PATH",
            Self::Configuration => "model.onnxruntime",
        }
    }
}

/// The inputs of the search, so that tests can set them.
#[derive(Clone, Debug, Default)]
pub(super) struct Search<'a> {
    pub(super) argument: Option<&'a Path>,
    pub(super) environment: Option<PathBuf>,
    pub(super) configuration: Option<&'a Path>,
    pub(super) executable: Option<PathBuf>,
    pub(super) working_directory: Option<PathBuf>,
}

impl Search<'_> {
    /// The library to load. A path that somebody named is used or refused, never passed over.
    pub(super) fn find(&self) -> Result<PathBuf, RuntimeError> {
        let named = [
            (self.argument, Source::Argument),
            (self.environment.as_deref(), Source::Environment),
            (self.configuration, Source::Configuration),
        ];
        for (path, from) in named {
            if let Some(path) = path.filter(|path| !path.as_os_str().is_empty()) {
                return named_library(path, from);
            }
        }
        let mut searched = Vec::new();
        for folder in self.folders() {
            if let Some(library) = in_folder(&folder) {
                return Ok(library);
            }
            searched.push(folder);
        }
        Err(RuntimeError::NotFound { searched })
    }

    fn folders(&self) -> Vec<PathBuf> {
        let beside = self.executable.as_deref().and_then(Path::parent);
        let mut folders: Vec<PathBuf> = beside
            .into_iter()
            .flat_map(Path::ancestors)
            .take(PARENTS + 1)
            .flat_map(|base| {
                FOLDERS.iter().map(|folder| {
                    if folder.is_empty() {
                        base.to_owned()
                    } else {
                        base.join(folder)
                    }
                })
            })
            .collect();
        folders.extend(
            self.working_directory
                .as_ref()
                .map(|directory| directory.join(".onnxruntime")),
        );
        folders
    }
}

fn named_library(path: &Path, from: Source) -> Result<PathBuf, RuntimeError> {
    let found = if path.is_dir() {
        in_folder(path)
    } else {
        path.is_file().then(|| path.to_owned())
    };
    let found = found.ok_or_else(|| RuntimeError::NoSuchLibrary {
        path: path.to_owned(),
        from: from.name(),
    })?;
    // `ort` would look for a relative path beside the executable.
    std::path::absolute(&found).map_err(|source| RuntimeError::Unreadable {
        path: found,
        source,
    })
}

/// The library in a folder: the unversioned name first, else the highest version.
fn in_folder(folder: &Path) -> Option<PathBuf> {
    let mut best: Option<(Vec<u32>, PathBuf)> = None;
    for entry in std::fs::read_dir(folder).ok()?.flatten() {
        if let Some(version) = library_version(&entry.file_name()) {
            let path = entry.path();
            if path.is_file() && best.as_ref().is_none_or(|(other, _)| version > *other) {
                best = Some((version, path));
            }
        }
    }
    best.map(|(_, path)| path)
}

/// The version in a library's file name; the unversioned name counts as the highest. `None` for other files, such as
/// the execution providers beside it.
fn library_version(name: &OsStr) -> Option<Vec<u32>> {
    let name = name.to_str()?;
    if matches!(
        name,
        "libonnxruntime.so" | "libonnxruntime.dylib" | "onnxruntime.dll"
    ) {
        return Some(vec![u32::MAX]);
    }
    let version = match name.strip_prefix("libonnxruntime.so.") {
        Some(version) => version,
        None => name
            .strip_prefix("libonnxruntime.")?
            .strip_suffix(".dylib")?,
    };
    version.split('.').map(|part| part.parse().ok()).collect()
}

/// Refuses what the dynamic loader would refuse in words nobody understands, or die of.
pub(super) fn check(path: &Path) -> Result<(), RuntimeError> {
    if !cfg!(target_os = "linux") {
        return Ok(());
    }
    let unreadable = |source| RuntimeError::Unreadable {
        path: path.to_owned(),
        source,
    };
    let mut file = File::open(path).map_err(unreadable)?;
    let size = file.metadata().map_err(unreadable)?.len();
    let mut header = [0; HEADER];
    if file.read_exact(&mut header).is_err() {
        return Err(truncated(path));
    }
    check_header(path, &header)?;
    check_segments(path, &header, &mut file, size)
}

/// Size of an ELF-64 file header, and of a program header in it.
const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;

fn truncated(path: &Path) -> RuntimeError {
    RuntimeError::NotALibrary {
        path: path.to_owned(),
        why: "it is empty or cut off",
    }
}

fn number<const N: usize>(bytes: &[u8], at: usize) -> [u8; N] {
    bytes
        .get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// The identification, type and machine of an ELF file (System V ABI, "ELF Header").
fn check_header(path: &Path, header: &[u8; HEADER]) -> Result<(), RuntimeError> {
    const SHARED_OBJECT: u16 = 3;
    let refuse = |why| {
        Err(RuntimeError::NotALibrary {
            path: path.to_owned(),
            why,
        })
    };
    let [0x7f, b'E', b'L', b'F', class, order, ..] = *header else {
        return refuse("it is no ELF file");
    };
    let is_64_bit = class == 2 && order == 1;
    let machine = u16::from_le_bytes(number(header, 18));
    if !is_64_bit || expected_machine().is_some_and(|expected| machine != expected) {
        return Err(RuntimeError::WrongArchitecture {
            path: path.to_owned(),
            found: if is_64_bit {
                machine_name(machine)
            } else {
                "a 32-bit or big-endian machine".to_owned()
            },
            expected: std::env::consts::ARCH,
        });
    }
    if u16::from_le_bytes(number(header, 16)) == SHARED_OBJECT {
        Ok(())
    } else {
        refuse("it is no shared library")
    }
}

/// Every segment that will be mapped must lie inside the file: of a download that broke off, the loader maps pages that
/// are not there, and the process dies of a bus error (System V ABI, "Program Header").
fn check_segments(
    path: &Path,
    header: &[u8; HEADER],
    file: &mut File,
    size: u64,
) -> Result<(), RuntimeError> {
    let table = u64::from_le_bytes(number(header, 32));
    let entry = usize::from(u16::from_le_bytes(number(header, 54)));
    let count = usize::from(u16::from_le_bytes(number(header, 56)));
    if entry != PROGRAM_HEADER || count == 0 {
        return Err(RuntimeError::NotALibrary {
            path: path.to_owned(),
            why: "it has no segments to load",
        });
    }
    let mut segments = vec![0; entry * count];
    let read = file
        .seek(SeekFrom::Start(table))
        .and_then(|_| file.read_exact(&mut segments));
    let inside = |segment: &[u8]| {
        let offset = u64::from_le_bytes(number(segment, 8));
        let length = u64::from_le_bytes(number(segment, 32));
        offset.checked_add(length).is_some_and(|end| end <= size)
    };
    if read.is_ok() && segments.chunks(entry).all(inside) {
        Ok(())
    } else {
        Err(truncated(path))
    }
}

fn expected_machine() -> Option<u16> {
    match std::env::consts::ARCH {
        "x86_64" => Some(62),
        "aarch64" => Some(183),
        "riscv64" => Some(243),
        _ => None,
    }
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "x86".to_owned(),
        40 => "arm".to_owned(),
        62 => "x86_64".to_owned(),
        183 => "aarch64".to_owned(),
        243 => "riscv64".to_owned(),
        other => format!("machine type {other}"),
    }
}

#[cfg(test)]
mod tests;
