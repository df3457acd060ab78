//! The keys of TLS: what a listener shows and asks of its clients, and how an upstream is met.
//!
//! Not here: opening the files that it names (`tls`). Verification has no off switch on either side.

use std::path::Path;

use http::HeaderName;

use super::fields;
use super::reader::{Item, Section};
use super::tls_types::*;

/// Bytes of a DNS name.
const LONGEST_NAME: usize = 253;

pub(super) fn listener(item: &Item<'_>, base: &Path) -> Option<ListenerTls> {
    let section = item.section();
    let mut certificates = Vec::new();
    let further = section.get("certificates");
    if further.is_none() || section.has("certificate") || section.has("key") {
        certificates.extend(server_certificate(&section, base));
    }
    if let Some(further) = further {
        for item in further.list() {
            certificates.extend(server_certificate(&item.section(), base));
        }
        further.not_empty("the list is empty: leave it out, or name a certificate");
    }
    let unknown_names = section.get("unknown_names").and_then(|item| {
        item.choice(&[
            ("default", UnknownNames::Default),
            ("refuse", UnknownNames::Refuse),
        ])
    });
    let tls = ListenerTls {
        certificates,
        unknown_names: unknown_names.unwrap_or(UnknownNames::Default),
        min_version: min_version(&section),
        clients: section
            .get_filled("client_certificates")
            .and_then(|item| client_certificates(&item, base)),
    };
    (!tls.certificates.is_empty()).then_some(tls)
}

fn server_certificate(section: &Section<'_>, base: &Path) -> Option<ServerCertificate> {
    let files = identity(section, base);
    let names = section.get("names").map(|item| {
        item.not_empty("the list is empty: leave it out for the names in the certificate");
        item.list().iter().filter_map(served_name).collect()
    });
    Some(ServerCertificate {
        files: files?,
        names,
    })
}

/// A certificate and its key.
fn identity(section: &Section<'_>, base: &Path) -> Option<Identity> {
    let certificate = section
        .need("certificate", "a PEM file, leaf first")
        .and_then(|item| fields::path(&item, base));
    let key = section
        .need("key", "a PEM file")
        .and_then(|item| fields::path(&item, base));
    Some(Identity {
        certificate: certificate?,
        key: key?,
    })
}

fn served_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.to_ascii_lowercase();
    let name = text.strip_prefix("*.").unwrap_or(&text);
    if !is_dns_name(name) {
        item.expected("a host name such as shop.example.org, or *.example.org for one label below");
        return None;
    }
    Some(text)
}

fn is_dns_name(name: &str) -> bool {
    name.len() <= LONGEST_NAME
        && name.split('.').all(|label| {
            !label.is_empty()
                && label.len() <= 63
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        })
}

fn min_version(section: &Section<'_>) -> TlsVersion {
    section
        .get("min_version")
        .and_then(|item| item.choice(&[("1.2", TlsVersion::V12), ("1.3", TlsVersion::V13)]))
        .unwrap_or(TlsVersion::V12)
}

fn client_certificates(item: &Item<'_>, base: &Path) -> Option<ClientCertificates> {
    let section = item.section();
    let mode = section
        .need(
            "mode",
            "optional asks for a certificate, required refuses clients without one",
        )
        .and_then(|item| {
            item.choice(&[
                ("optional", ClientMode::Optional),
                ("required", ClientMode::Required),
            ])
        });
    let roots = section
        .need("roots", "a PEM file of the authorities that sign clients")
        .and_then(|item| fields::path(&item, base));
    let revoked = section
        .get("revoked")
        .and_then(|item| fields::path(&item, base));
    let subject_header = section
        .get("subject_header")
        .and_then(|item| subject_header(&item));
    Some(ClientCertificates {
        mode: mode?,
        roots: roots?,
        revoked,
        subject_header,
    })
}

/// Only an `X-` header that means nothing else: it is taken from every client, whatever it says.
fn subject_header(item: &Item<'_>) -> Option<HeaderName> {
    let name = item.text()?.to_ascii_lowercase();
    let taken = ["x-weir-", "x-forwarded-", "x-request-id", "x-real-ip"];
    let valid = name.starts_with("x-")
        && !taken.iter().any(|taken| name.starts_with(taken))
        && !name.contains(['_', '.']);
    let parsed = HeaderName::from_bytes(name.as_bytes())
        .ok()
        .filter(|_| valid);
    if parsed.is_none() {
        item.expected(
            "a header of your own that begins with X-, such as X-Client-Subject; not X-Weir-, X-Forwarded-, X-Request-Id or X-Real-Ip",
        );
    }
    parsed
}

pub(super) fn upstream(item: &Item<'_>, base: &Path) -> UpstreamTls {
    let section = item.section();
    let roots = section.get("roots").and_then(|item| match item.text()? {
        "system" => Some(Roots::System),
        _ => fields::path(&item, base).map(Roots::File),
    });
    let server_name = section.get("server_name").and_then(|item| {
        let name = item.text()?.to_ascii_lowercase();
        let valid = is_dns_name(&name) || name.parse::<std::net::IpAddr>().is_ok();
        if !valid {
            item.expected("a host name or an address, without a port");
        }
        valid.then_some(name)
    });
    let client = (section.has("certificate") || section.has("key"))
        .then(|| identity(&section, base))
        .flatten();
    UpstreamTls {
        roots: roots.unwrap_or(Roots::System),
        server_name,
        client,
        min_version: min_version(&section),
    }
}
