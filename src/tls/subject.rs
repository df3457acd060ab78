//! The subject of a client's certificate as a header value.
//!
//! Not here: whether the certificate is believed. The text is RFC 4514, whose escapes keep a name from passing for
//! several; everything but printable ASCII is escaped too, so that no two readers can differ.

use std::fmt::Write;

use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use x509_cert::der::Decode;

/// Longer subjects do not fit into the headers of common origins.
const LONGEST: usize = 4_096;

/// `CN=alice,O=Example`, most specific first.
pub(super) fn header_value(certificate: &CertificateDer<'static>) -> Option<HeaderValue> {
    let parsed = x509_cert::Certificate::from_der(certificate).ok()?;
    let text = printable(&parsed.tbs_certificate.subject.to_string());
    if text.len() > LONGEST {
        return None;
    }
    HeaderValue::from_str(&text).ok()
}

fn printable(name: &str) -> String {
    let mut text = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte == b' ' || byte.is_ascii_graphic() {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "\\{byte:02X}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use rcgen::{CertificateParams, DnType, KeyPair};

    use super::*;

    fn subject(parts: &[(DnType, &str)]) -> String {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name = rcgen::DistinguishedName::new();
        for (kind, value) in parts {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let value = header_value(certificate.der()).unwrap();
        value.to_str().unwrap().to_owned()
    }

    #[test]
    fn a_subject_is_written_most_specific_first() {
        assert_eq!(
            subject(&[
                (DnType::OrganizationName, "Example"),
                (DnType::CommonName, "alice")
            ]),
            "CN=alice,O=Example"
        );
    }

    #[test]
    fn no_value_passes_for_another_part_or_another_header() {
        assert_eq!(
            subject(&[(DnType::CommonName, "mallory,CN=admin")]),
            "CN=mallory\\,CN=admin"
        );
        assert_eq!(
            subject(&[(DnType::CommonName, "a\r\nX-Admin: 1")]),
            "CN=a\\0d\\0aX-Admin: 1"
        );
        assert_eq!(subject(&[(DnType::CommonName, "Zoë")]), "CN=Zo\\C3\\AB");
    }
}
