//! TLS on both sides: what listeners show and ask ([`server`]), and how upstreams are met ([`client`]).
//!
//! Not here: sockets and HTTP. Everything that can be wrong with a file is found when a snapshot is built, so that
//! `check` and a refused reload say it, and no handshake does.

pub mod client;
mod files;
pub mod handshake;
mod names;
pub mod server;
mod subject;

use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use rustls::SupportedProtocolVersion;
use rustls::crypto::CryptoProvider;

use crate::config::TlsVersion;

/// Why TLS cannot be set up as configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file is missing, unreadable or too large.
    #[error("cannot read {what} {path}: {source}; give a PEM file that this process may read")]
    Read {
        /// "certificate", "key", "roots" or "revocation list".
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What went wrong.
        source: std::io::Error,
    },
    /// A file is no PEM of the right kind.
    #[error("{what} {path} is not usable: {why}")]
    Content {
        /// As above.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong and what is expected.
        why: String,
    },
    /// The key does not fit the certificate, or is of an unsupported kind.
    #[error("certificate {certificate} and key {key} do not work together: {source}")]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// The system has no trust store.
    #[error(
        "no root certificates were found on this system{0}; install them (ca-certificates), or name a PEM file in `roots`"
    )]
    NoSystemRoots(String),
    /// Settings that the library refuses; no file is to blame.
    #[error("TLS cannot be set up: {0}")]
    Setup(#[from] rustls::Error),
}

impl TlsError {
    /// The file that is to blame.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::Read { path, .. } | Self::Content { path, .. } => Some(path),
            Self::Mismatch { key, .. } => Some(key),
            Self::NoSystemRoots(_) | Self::Setup(_) => None,
        }
    }
}

/// The one implementation of cryptography.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    static PROVIDER: LazyLock<Arc<CryptoProvider>> =
        LazyLock::new(|| Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    Arc::clone(&PROVIDER)
}

const V13_ONLY: &[&SupportedProtocolVersion] = &[&rustls::version::TLS13];
const V12_AND_V13: &[&SupportedProtocolVersion] =
    &[&rustls::version::TLS13, &rustls::version::TLS12];

/// What is spoken from `oldest` on.
fn versions(oldest: TlsVersion) -> &'static [&'static SupportedProtocolVersion] {
    match oldest {
        TlsVersion::V12 => V12_AND_V13,
        TlsVersion::V13 => V13_ONLY,
    }
}
