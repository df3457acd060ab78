//! PEM files: certificates, keys, trust anchors and revocation lists.
//!
//! Not here: what they are used for. Reads are bounded, and every error names the file and what was expected.

use std::path::Path;

use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

use super::{TlsError, provider};
use crate::config::{Identity, read_bounded};

/// Largest file: every public authority together has 250 KiB, a large revocation list a few MiB.
const MAX_FILE: u64 = 16 * 1024 * 1024;

/// A chain and its key, checked against each other.
///
/// # Errors
/// What is wrong with either file.
pub(super) fn identity(files: &Identity) -> Result<CertifiedKey, TlsError> {
    let chain = certificates("certificate", &files.certificate)?;
    let bytes = read("key", &files.key)?;
    let key = PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| {
        let why = match error {
            pem::Error::NoItemsFound => {
                "it holds no private key; expected a `BEGIN PRIVATE KEY`, `BEGIN EC PRIVATE KEY` or `BEGIN RSA PRIVATE KEY` block without a passphrase".to_owned()
            }
            other => format!("it is no PEM: {other}"),
        };
        content("key", &files.key, why)
    })?;
    CertifiedKey::from_der(chain, key, &provider()).map_err(|source| TlsError::Mismatch {
        certificate: files.certificate.clone(),
        key: files.key.clone(),
        source,
    })
}

/// Every certificate of a file; at least one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn certificates(
    what: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let bytes = read(what, path)?;
    let found = CertificateDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(what, path, format!("it is no PEM: {error}")))?;
    if found.is_empty() {
        let why = "it holds no certificate; expected one or more `BEGIN CERTIFICATE` blocks";
        return Err(content(what, path, why));
    }
    Ok(found)
}

/// Trust anchors, each of which must be one: an authority left out silently is an outage later.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn roots(
    path: &Path,
) -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let found = certificates("roots", path)?;
    let mut store = RootCertStore::empty();
    for (at, root) in found.iter().enumerate() {
        store.add(root.clone()).map_err(|error| {
            let why = format!(
                "its certificate number {} is no trust anchor: {error}",
                at + 1
            );
            content("roots", path, why)
        })?;
    }
    Ok((store, found))
}

/// Revocation lists; at least one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn revoked(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let what = "revocation list";
    let bytes = read(what, path)?;
    let found = CertificateRevocationListDer::pem_slice_iter(&bytes)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| content(what, path, format!("it is no PEM: {error}")))?;
    if found.is_empty() {
        let why = "it holds no list; expected one or more `BEGIN X509 CRL` blocks";
        return Err(content(what, path, why));
    }
    Ok(found)
}

fn read(what: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_bounded(path, MAX_FILE).map_err(|source| TlsError::Read {
        what,
        path: path.to_owned(),
        source,
    })
}

pub(super) fn content(what: &'static str, path: &Path, why: impl Into<String>) -> TlsError {
    TlsError::Content {
        what,
        path: path.to_owned(),
        why: why.into(),
    }
}
