//! What a listener shows and asks in a handshake, made from its configuration when a snapshot is built.
//!
//! Not here: the handshake itself and its deadline (`handshake`). Session tickets are sealed by keys that only this
//! process has; they live on over reloads, but not over a change of which clients are believed.

use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ProducesTickets, WebPkiClientVerifier};

use super::names::Names;
use super::{TlsError, files, provider, versions};
use crate::config::{ClientCertificates, ClientMode, ListenerTls};

/// TLS of one listener in one snapshot.
#[derive(Debug)]
pub struct Server {
    config: Arc<ServerConfig>,
    clients: Option<Clients>,
    tickets: Arc<dyn ProducesTickets>,
}

/// Which clients are believed.
#[derive(Debug)]
struct Clients {
    verifier: Arc<dyn ClientCertVerifier>,
    mode: ClientMode,
    pass_subject: bool,
    trust: Trust,
}

/// What the verifier was made of.
#[derive(Debug, PartialEq, Eq)]
struct Trust {
    roots: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
}

impl Clients {
    fn new(settings: &ClientCertificates) -> Result<Self, TlsError> {
        let (store, roots) = files::roots(&settings.roots)?;
        let revoked = match &settings.revoked {
            Some(path) => files::revoked(path)?,
            None => Vec::new(),
        };
        // Lists of intermediate authorities are rarely at hand. A client that no list speaks about is refused.
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(store), provider())
            .with_crls(revoked.iter().cloned())
            .only_check_end_entity_revocation();
        let builder = match settings.mode {
            ClientMode::Optional => builder.allow_unauthenticated(),
            ClientMode::Required => builder,
        };
        let blamed = settings.revoked.as_ref().unwrap_or(&settings.roots);
        let verifier = builder
            .build()
            .map_err(|error| files::content("revocation list", blamed, error.to_string()))?;
        Ok(Self {
            verifier,
            mode: settings.mode,
            pass_subject: settings.pass_subject,
            trust: Trust { roots, revoked },
        })
    }

    fn believes_the_same(&self, other: &Self) -> bool {
        self.mode == other.mode && self.trust == other.trust
    }
}

impl Server {
    /// Reads and checks everything that the configuration names. `running` is the same listener in the running
    /// snapshot. ALPN offers `h2` only where the listener speaks it.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn new(tls: &ListenerTls, http2: bool, running: Option<&Self>) -> Result<Self, TlsError> {
        let names = Names::new(&tls.certificates, tls.unknown_names)?;
        let clients = tls.clients.as_ref().map(Clients::new).transpose()?;
        let tickets = match running {
            Some(running) if running.believes_the_same(clients.as_ref()) => {
                Arc::clone(&running.tickets)
            }
            _ => rustls::crypto::aws_lc_rs::Ticketer::new()?,
        };
        let builder = ServerConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls.min_version))?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(&clients.verifier)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(names));
        // A client of HTTP/1.0 asks for that by name, and is refused where the name is missing.
        let offered: [&[u8]; 3] = [b"h2", b"http/1.1", b"http/1.0"];
        let offered = offered.into_iter().skip(usize::from(!http2));
        config.alpn_protocols = offered.map(<[u8]>::to_vec).collect();
        config.ticketer = Arc::clone(&tickets);
        // Tickets carry the state; a table here would be memory that clients fill.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        Ok(Self {
            config: Arc::new(config),
            clients,
            tickets,
        })
    }

    /// The settings of a handshake.
    pub fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// Whether upstreams learn whose certificate a client has.
    pub fn passes_subject(&self) -> bool {
        self.clients
            .as_ref()
            .is_some_and(|clients| clients.pass_subject)
    }

    /// Whether a client that shows `chain` is believed now. Full handshakes have asked already; a resumed one goes by
    /// what was true when its session began, and the certificate may have expired since.
    pub(super) fn proves(&self, chain: &[CertificateDer<'_>]) -> Result<(), rustls::Error> {
        let Some(clients) = &self.clients else {
            return Ok(());
        };
        match chain.split_first() {
            Some((leaf, rest)) => clients
                .verifier
                .verify_client_cert(leaf, rest, UnixTime::now())
                .map(drop),
            None if clients.mode == ClientMode::Optional => Ok(()),
            None => Err(rustls::Error::NoCertificatesPresented),
        }
    }

    /// Whether a session begun under this one may be resumed where `clients` are believed.
    fn believes_the_same(&self, clients: Option<&Clients>) -> bool {
        match (&self.clients, clients) {
            (None, None) => true,
            (Some(ours), Some(theirs)) => ours.believes_the_same(theirs),
            _ => false,
        }
    }
}
