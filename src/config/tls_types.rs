//! Validated settings of TLS.
//!
//! Not here: how YAML spells them (`tls`), and the contents of the files.

use std::path::{Path, PathBuf};

use super::types::Config;

/// TLS of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// At least one. The first is shown to clients whose name no certificate has.
    pub certificates: Vec<ServerCertificate>,
    /// What happens to clients that name no known host.
    pub unknown_names: UnknownNames,
    /// Oldest version spoken.
    pub min_version: TlsVersion,
    /// Certificates of clients; `None`: they are not asked for one.
    pub clients: Option<ClientCertificates>,
}

/// A certificate with its key, by file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// PEM, leaf first.
    pub certificate: PathBuf,
    /// PEM, PKCS#8, SEC1 or PKCS#1.
    pub key: PathBuf,
}

/// A certificate of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerCertificate {
    /// Where it is.
    pub files: Identity,
    /// Hosts that it is shown to, in lower case, each exact or `*.` and a name. `None`: those in the certificate.
    pub names: Option<Vec<String>>,
}

/// What happens to clients that name no known host, or none at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnknownNames {
    /// They see the first certificate.
    Default,
    /// Their handshake fails.
    Refuse,
}

/// Oldest version spoken. Older ones than these are broken and not implemented.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsVersion {
    /// TLS 1.2.
    V12,
    /// TLS 1.3.
    V13,
}

/// What a listener asks of its clients.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// Whether clients may come without.
    pub mode: ClientMode,
    /// PEM of the authorities that sign clients; no others are believed.
    pub roots: PathBuf,
    /// PEM of revocation lists.
    pub revoked: Option<PathBuf>,
    /// Whether upstreams learn the subject, in a header that no client can set.
    pub pass_subject: bool,
}

/// Whether clients may come without a certificate. One that does not verify is refused in both modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientMode {
    /// They may.
    Optional,
    /// They may not.
    Required,
}

/// TLS to an upstream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UpstreamTls {
    /// Who may sign the upstream.
    pub roots: Roots,
    /// Name that is asked for and verified, instead of the address's host.
    pub server_name: Option<String>,
    /// What the upstream is shown when it asks for a client certificate.
    pub client: Option<Identity>,
    /// Oldest version spoken.
    pub min_version: TlsVersion,
}

/// Trust anchors for upstreams.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Roots {
    /// The system's store.
    System,
    /// PEM of authorities, or of the upstream's own certificate; nothing else is believed.
    File(PathBuf),
}

impl Config {
    /// Every file that TLS reads, on both sides.
    pub fn tls_files(&self) -> Vec<&Path> {
        let mut files: Vec<&PathBuf> = Vec::new();
        for tls in self.listeners.iter().filter_map(|at| at.tls.as_ref()) {
            for certificate in &tls.certificates {
                files.extend([&certificate.files.certificate, &certificate.files.key]);
            }
            if let Some(clients) = &tls.clients {
                files.push(&clients.roots);
                files.extend(&clients.revoked);
            }
        }
        for tls in self.upstreams.iter().filter_map(|at| at.tls.as_ref()) {
            if let Roots::File(roots) = &tls.roots {
                files.push(roots);
            }
            if let Some(client) = &tls.client {
                files.extend([&client.certificate, &client.key]);
            }
        }
        files.into_iter().map(PathBuf::as_path).collect()
    }
}
