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
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use std::fs;

    use super::*;

    fn header(class: u8, kind: u16, machine: u16) -> [u8; HEADER] {
        let mut header = [0; HEADER];
        header[..4].copy_from_slice(b"\x7fELF");
        header[4] = class;
        header[5] = 1;
        header[16..18].copy_from_slice(&kind.to_le_bytes());
        header[18..20].copy_from_slice(&machine.to_le_bytes());
        header
    }

    #[test]
    fn precedence_is_argument_environment_configuration_executable_directory() {
        let root = tempfile::tempdir().unwrap();
        let library = |folder: &str| {
            let folder = root.path().join(folder);
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join("libonnxruntime.so.1.31.1");
            fs::write(&path, "").unwrap();
            path
        };
        let (argument, environment, configuration) = (library("a"), library("e"), library("c"));
        let installed = library("usr/lib/weir");
        let checkout = library("work/.onnxruntime");
        fs::create_dir_all(root.path().join("usr/bin")).unwrap();
        let mut search = Search {
            argument: Some(argument.parent().unwrap()),
            environment: Some(environment.clone()),
            configuration: Some(&configuration),
            executable: Some(root.path().join("usr/bin/weir")),
            working_directory: Some(root.path().join("work")),
        };
        assert_eq!(search.find().unwrap(), argument);
        search.argument = None;
        assert_eq!(search.find().unwrap(), environment);
        search.environment = Some(PathBuf::new());
        assert_eq!(search.find().unwrap(), configuration);
        search.configuration = None;
        assert_eq!(search.find().unwrap(), installed);
        search.executable = Some(root.path().join("elsewhere/weir"));
        assert_eq!(search.find().unwrap(), checkout);
        search.executable = Some(root.path().join("work/target/debug/deps/test"));
        search.working_directory = None;
        assert_eq!(search.find().unwrap(), checkout);
    }

    #[test]
    fn a_named_path_is_never_passed_over() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("libonnxruntime.so"), "").unwrap();
        let missing = root.path().join("missing");
        let search = Search {
            environment: Some(missing),
            executable: Some(root.path().join("weir")),
            ..Search::default()
        };
        let error = search.find().unwrap_err().to_string();
        assert!(
            error.contains("ORT_DYLIB_PATH") && error.contains("make onnxruntime"),
            "{error}"
        );
    }

    #[test]
    fn nothing_found_says_what_to_run_and_where_it_looked() {
        let root = tempfile::tempdir().unwrap();
        let search = Search {
            executable: Some(root.path().join("bin/weir")),
            ..Search::default()
        };
        let error = search.find().unwrap_err().to_string();
        assert!(
            error.contains("make onnxruntime") && error.contains("lib/weir"),
            "{error}"
        );
    }

    #[test]
    fn the_highest_version_wins_and_providers_are_no_runtime() {
        let root = tempfile::tempdir().unwrap();
        for name in [
            "libonnxruntime.so.1.9.0",
            "libonnxruntime.so.1.31.1",
            "libonnxruntime_providers_cuda.so",
            "libonnxruntime.so.txt",
        ] {
            fs::write(root.path().join(name), "").unwrap();
        }
        assert!(
            in_folder(root.path())
                .unwrap()
                .ends_with("libonnxruntime.so.1.31.1")
        );
        fs::write(root.path().join("libonnxruntime.so"), "").unwrap();
        assert!(
            in_folder(root.path())
                .unwrap()
                .ends_with("libonnxruntime.so")
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn headers_of_other_machines_and_other_files_are_refused() {
        let path = Path::new("/x/libonnxruntime.so");
        let own = expected_machine().unwrap();
        let other = if own == 62 { 183 } else { 62 };
        assert!(check_header(path, &header(2, 3, own)).is_ok());
        let says = |header: [u8; HEADER]| check_header(path, &header).unwrap_err().to_string();
        assert!(says(header(2, 3, other)).contains(std::env::consts::ARCH));
        assert!(says(header(1, 3, 3)).contains("32-bit"));
        assert!(says(header(2, 2, own)).contains("no shared library"));
        assert!(says([b'#'; HEADER]).contains("no ELF file"));
        let empty = tempfile::NamedTempFile::new().unwrap();
        assert!(
            check(empty.path())
                .unwrap_err()
                .to_string()
                .contains("cut off")
        );
        assert!(matches!(
            check(Path::new("/nonexistent/x")),
            Err(RuntimeError::Unreadable { .. })
        ));
    }
}
