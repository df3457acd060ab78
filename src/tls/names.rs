//! Which certificate a client sees: by the name that it asks for, and by what it can verify.
//!
//! Not here: which route a request takes; that is the business of its `Host`.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::{TlsError, files};
use crate::config::{ServerCertificate, UnknownNames};

/// Several certificates for one name differ in kind of key: RSA for old clients beside ECDSA. In order of preference.
type Choices = Vec<Arc<CertifiedKey>>;

/// The certificates of a listener by name.
#[derive(Debug)]
pub(super) struct Names {
    exact: HashMap<String, Choices>,
    /// By what follows the one label that the star stands for, with its dot: `.example.org`.
    wildcard: HashMap<String, Choices>,
    default: Option<Arc<CertifiedKey>>,
}

impl Names {
    /// Reads the certificates. The first is the default unless unknown names are refused.
    ///
    /// # Errors
    /// Files that cannot be used, and certificates that nobody would ever see.
    pub(super) fn new(
        certificates: &[ServerCertificate],
        unknown: UnknownNames,
    ) -> Result<Self, TlsError> {
        let mut names = Self {
            exact: HashMap::new(),
            wildcard: HashMap::new(),
            default: None,
        };
        for (at, certificate) in certificates.iter().enumerate() {
            let key = Arc::new(files::identity(&certificate.files)?);
            let is_default = at == 0 && unknown == UnknownNames::Default;
            let served = match &certificate.names {
                Some(names) => names.clone(),
                None => names_in(&key),
            };
            if served.is_empty() && !is_default {
                let why = "it has no DNS name and no client would see it; list `names` for it";
                let path = &certificate.files.certificate;
                return Err(files::content("certificate", path, why));
            }
            for name in served {
                let choices = match name.strip_prefix('*') {
                    Some(suffix) => names.wildcard.entry(suffix.to_owned()),
                    None => names.exact.entry(name),
                };
                choices.or_default().push(Arc::clone(&key));
            }
            if is_default {
                names.default = Some(key);
            }
        }
        Ok(names)
    }

    fn choices(&self, name: &str) -> Option<&Choices> {
        self.exact.get(name).or_else(|| {
            let (_, suffix) = name.split_at(name.find('.')?);
            self.wildcard.get(suffix)
        })
    }
}

/// The DNS names of a certificate, in lower case.
fn names_in(key: &CertifiedKey) -> Vec<String> {
    let parsed = key.cert.first().map(webpki::EndEntityCert::try_from);
    match parsed {
        Some(Ok(certificate)) => certificate
            .valid_dns_names()
            .map(str::to_ascii_lowercase)
            .collect(),
        _ => Vec::new(),
    }
}

impl ResolvesServerCert for Names {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // In lower case already.
        let Some(choices) = hello.server_name().and_then(|name| self.choices(name)) else {
            return self.default.clone();
        };
        let schemes = hello.signature_schemes();
        choices
            .iter()
            .find(|choice| choice.key.choose_scheme(schemes).is_some())
            .or_else(|| choices.first())
            .cloned()
    }
}
