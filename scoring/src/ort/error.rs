//! What can go wrong with the library and its sessions. Not here: what is done about it.

use std::path::PathBuf;
use std::time::Duration;

use super::MINIMUM_VERSION;

/// Why ONNX Runtime cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// In none of the places looked at.
    #[error(
        "ONNX Runtime was not found. Run `make onnxruntime` in the checkout, or name the library with \
         `--onnxruntime PATH`, ORT_DYLIB_PATH or `model.onnxruntime`. Looked for libonnxruntime.so* in {}",
        list(searched)
    )]
    NotFound {
        /// The folders looked at.
        searched: Vec<PathBuf>,
    },
    /// Named, but not there.
    #[error("there is no ONNX Runtime library at {path}, which {from} names. Correct the path, or leave it out and run `make onnxruntime`", path = path.display())]
    NoSuchLibrary {
        /// The path named.
        path: PathBuf,
        /// What names it.
        from: &'static str,
    },
    /// There, but not readable.
    #[error("cannot read {path}: {source}. Run `make onnxruntime` to install the library again", path = path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Another kind of file.
    #[error("{path} is not the ONNX Runtime library: {why}. Run `make onnxruntime` to install it", path = path.display())]
    NotALibrary {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: &'static str,
    },
    /// For another machine.
    #[error("{path} was built for {found}, this is {expected}. Run `make onnxruntime` on this machine, or name a library built for it", path = path.display())]
    WrongArchitecture {
        /// The file.
        path: PathBuf,
        /// What it was built for.
        found: String,
        /// What this machine is.
        expected: &'static str,
    },
    /// Older than [`MINIMUM_VERSION`].
    #[error("{path} is ONNX Runtime {version}, but Weir needs {MINIMUM_VERSION} or later. Run `make onnxruntime` to install it", path = path.display())]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: String,
    },
    /// Refused by the dynamic loader, or unable to start.
    #[error("{path} cannot be loaded as ONNX Runtime: {message}. Run `make onnxruntime` to install it again", path = path.display())]
    Load {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        message: String,
    },
}

fn list(paths: &[PathBuf]) -> String {
    paths
        .iter()
        .map(|path| path.display().to_string())
        .collect::<Vec<_>>()
        .join(", ")
}

/// Why a session cannot be built or a run gave nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SessionError {
    /// ONNX Runtime refused the model.
    #[error("ONNX Runtime refused the model: {0}")]
    Build(String),
    /// The model as loaded is not the model as inspected.
    #[error("ONNX Runtime sees other inputs or outputs than the load gate did: {0}")]
    Interface(String),
    /// Stopped by the watchdog.
    #[error("the model did not finish within {0:?}")]
    Timeout(Duration),
    /// A run failed.
    #[error("ONNX Runtime failed: {0}")]
    Run(String),
    /// Rows of another width than the model's.
    #[error("rows have {found} columns, the model wants {expected}")]
    Width {
        /// Columns given.
        found: usize,
        /// Columns wanted.
        expected: usize,
    },
    /// An output of another shape than the rows'.
    #[error("output `{output}` has {found} values for {rows} rows")]
    Shape {
        /// The output.
        output: &'static str,
        /// Values given.
        found: usize,
        /// Rows asked for.
        rows: usize,
    },
    /// NaN or infinity.
    #[error("output `{0}` is not finite")]
    NotFinite(&'static str),
}
