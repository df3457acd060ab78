//! TLS to upstreams: one [`Connector`] for each upstream that has it, made when a snapshot is built.
//!
//! Not here: TCP, names, pools, and the deadline (the caller's connect timeout holds for the handshake too). There is
//! no way to connect without verification: whoever signs an upstream itself names that certificate in `roots`.

use std::io;
use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::TlsConnector;
use x509_cert::der::Decode;

use super::{TlsError, files, provider, versions};
use crate::config::{Roots, TlsVersion, UpstreamTls};

pub use tokio_rustls::client::TlsStream;

/// What an upstream is asked to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Offer {
    /// HTTP/1.1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
    /// HTTP/2, else HTTP/1.1.
    Either,
}

impl Offer {
    fn alpn(self) -> Vec<Vec<u8>> {
        let names: &[&[u8]] = match self {
            Self::Http1 => &[b"http/1.1"],
            Self::Http2 => &[b"h2"],
            Self::Either => &[b"h2", b"http/1.1"],
        };
        names.iter().map(|name| name.to_vec()).collect()
    }
}

/// What an upstream has agreed to speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Negotiated {
    /// HTTP/1.1, also of servers that know no ALPN.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Why no TLS connection came about.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address's host can be no name in a certificate.
    #[error("`{0}` is no host name; set `tls.server_name` of the upstream")]
    Name(String),
    /// The handshake failed.
    #[error("TLS handshake: {source}{}", hint(source))]
    Handshake {
        /// What went wrong; with a TLS error inside, or the connection broke.
        #[from]
        source: io::Error,
    },
}

impl From<ConnectError> for io::Error {
    fn from(error: ConnectError) -> Self {
        match &error {
            ConnectError::Name(_) => Self::new(io::ErrorKind::InvalidInput, error),
            ConnectError::Handshake { source } => Self::new(source.kind(), error),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(why)) => match why {
            CertificateError::UnknownIssuer => {
                "; name its authority in `tls.roots` of the upstream"
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                "; set `tls.server_name` of the upstream to a name in its certificate"
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "; renew the upstream's certificate"
            }
            _ => "",
        },
        Some(rustls::Error::AlertReceived(rustls::AlertDescription::CertificateRequired)) => {
            "; it asks for a client certificate: set `tls.certificate` and `tls.key` of the upstream"
        }
        _ => "",
    }
}

/// Makes TLS connections to one upstream. Cheap to clone; clones share resumable sessions.
#[derive(Debug, Clone)]
pub struct Connector(Arc<Inner>);

struct Inner {
    tls: TlsConnector,
    server_name: Option<String>,
    material: Material,
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inner")
            .field("server_name", &self.server_name)
            .finish_non_exhaustive()
    }
}

/// Everything that decides who is trusted and who we are. Equal material: connections are as good as each other.
#[derive(PartialEq)]
struct Material {
    roots: Vec<CertificateDer<'static>>,
    chain: Vec<CertificateDer<'static>>,
    server_name: Option<String>,
    min_version: TlsVersion,
}

impl Connector {
    /// Reads what the configuration names. Where nothing has changed since `running`, that one goes on, with its
    /// sessions.
    ///
    /// # Errors
    /// Files that cannot be used.
    pub fn new(tls: &UpstreamTls, running: Option<&Self>) -> Result<Self, TlsError> {
        let (store, roots) = match &tls.roots {
            Roots::System => system_roots()?,
            Roots::File(path) => files::roots(path)?,
        };
        let client = tls.client.as_ref().map(files::identity).transpose()?;
        let material = Material {
            roots,
            chain: client
                .as_ref()
                .map(|key| key.cert.clone())
                .unwrap_or_default(),
            server_name: tls.server_name.clone(),
            min_version: tls.min_version,
        };
        if let Some(running) = running
            && running.0.material == material
        {
            return Ok(running.clone());
        }
        // Only what an operator has named by file is believed as it is.
        let named = match &tls.roots {
            Roots::System => Vec::new(),
            Roots::File(_) => material.roots.clone(),
        };
        let config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(versions(tls.min_version))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Verifier::new(store, named)?));
        let config = match client {
            Some(key) => config
                .with_client_cert_resolver(Arc::new(rustls::sign::SingleCertAndKey::from(key))),
            None => config.with_no_client_auth(),
        };
        Ok(Self(Arc::new(Inner {
            tls: TlsConnector::from(Arc::new(config)),
            server_name: tls.server_name.clone(),
            material,
        })))
    }

    /// Whether both trust the same and show the same: connections of one may be used for the other.
    pub fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.material == other.0.material
    }

    /// Speaks TLS over a connection to `host`, which is asked for and verified unless the configuration names another
    /// (an address is verified and not asked for). Has no deadline of its own.
    ///
    /// # Errors
    /// Why there is no connection: the certificate, the protocol, or the network.
    pub async fn connect<S>(
        &self,
        stream: S,
        host: &str,
        offer: Offer,
    ) -> Result<(TlsStream<S>, Negotiated), ConnectError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let host = self.0.server_name.as_deref().unwrap_or(host);
        let name = ServerName::try_from(host)
            .map_err(|_| ConnectError::Name(host.to_owned()))?
            .to_owned();
        let stream = self
            .0
            .tls
            .with_alpn(offer.alpn())
            .connect(name, stream)
            .await?;
        let negotiated = match stream.get_ref().1.alpn_protocol() {
            Some(b"h2") => Negotiated::Http2,
            _ => Negotiated::Http1,
        };
        Ok((stream, negotiated))
    }
}

fn system_roots() -> Result<(RootCertStore, Vec<CertificateDer<'static>>), TlsError> {
    let found = rustls_native_certs::load_native_certs();
    let mut store = RootCertStore::empty();
    // Systems carry old roots that cannot be parsed; all others are of use.
    let (added, _ignored) = store.add_parsable_certificates(found.certs.iter().cloned());
    if added == 0 {
        let why = found.errors.first().map(|error| format!(" ({error})"));
        return Err(TlsError::NoSystemRoots(why.unwrap_or_default()));
    }
    Ok((store, found.certs))
}

/// The usual verification, and an upstream's own certificate where an operator has named exactly that one: what
/// `openssl req -x509` makes is an authority's certificate, which the usual verification refuses from a server.
#[derive(Debug)]
struct Verifier {
    usual: Arc<WebPkiServerVerifier>,
    named: Vec<CertificateDer<'static>>,
}

impl Verifier {
    fn new(store: RootCertStore, named: Vec<CertificateDer<'static>>) -> Result<Self, TlsError> {
        let usual = WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider())
            .build()
            .map_err(|error| rustls::Error::General(error.to_string()))?;
        Ok(Self { usual, named })
    }

    /// Name and dates still have to be right.
    fn verify_named(
        shown: &CertificateDer<'_>,
        name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        rustls::client::verify_server_name(&ParsedCertificate::try_from(shown)?, name)?;
        let parsed =
            x509_cert::Certificate::from_der(shown).map_err(|_| CertificateError::BadEncoding)?;
        let validity = parsed.tbs_certificate.validity;
        if now.as_secs() < validity.not_before.to_unix_duration().as_secs() {
            return Err(CertificateError::NotValidYet.into());
        }
        if now.as_secs() > validity.not_after.to_unix_duration().as_secs() {
            return Err(CertificateError::Expired.into());
        }
        Ok(ServerCertVerified::assertion())
    }
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.named.iter().any(|named| named == end_entity) {
            return Self::verify_named(end_entity, server_name, now);
        }
        self.usual
            .verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.usual.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.usual.supported_verify_schemes()
    }
}
