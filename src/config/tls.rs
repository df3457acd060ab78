//! The keys of TLS: what a listener shows and asks of its clients, and how an upstream is met.
//!
//! Not here: opening the files that it names (`tls`). Verification has no off switch on either side.

use std::path::Path;

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
    let pass_subject = section
        .get("pass_subject")
        .and_then(|item| item.flag())
        .unwrap_or(false);
    Some(ClientCertificates {
        mode: mode?,
        roots: roots?,
        revoked,
        pass_subject,
    })
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::path::Path;

    /// Ends with its upstream.
    const MINIMAL: &str = "\
listen:
  - address: 127.0.0.1:8080
model:
  bundle: ../models/base
routes:
  - id: all
    upstream: app
upstreams:
  - name: app
    address: 127.0.0.1:9000
";

    fn problems(text: &str) -> String {
        let read = |_: &Path| Ok(Vec::new());
        let problems = crate::config::parse(text, Path::new("/etc/weir"), &read).unwrap_err();
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        lines.join("\n")
    }

    #[test]
    fn tls_says_what_is_missing_or_would_be_in_clear() {
        let listener = |tls: &str| {
            let with = format!("  - address: 127.0.0.1:0\n    tls: {tls}\n");
            MINIMAL.replacen("listen:\n", &format!("listen:\n{with}"), 1)
        };
        let files = "certificate: c, key: k";
        for (tls, expected) in [
            ("", "listen[0].tls: is empty: write `tls: {}`"),
            ("{}", "listen[0].tls.certificate: is missing"),
            ("{certificate: c}", "listen[0].tls.key: is missing"),
            (
                "{certificates: []}",
                "listen[0].tls.certificates: the list is empty",
            ),
            (
                "{certificates: [{certificate: c, key: k, names: ['*']}]}",
                "listen[0].tls.certificates[0].names[0]: `*` is not allowed here: expected a host name",
            ),
            (
                &format!("{{{files}, min_version: 1.1}}"),
                "expected 1.2 or 1.3",
            ),
            (
                &format!("{{{files}, unknown_names: reject}}"),
                "expected default or refuse",
            ),
            (
                &format!("{{{files}, client_certificates: {{}}}}"),
                "listen[0].tls.client_certificates.mode: is missing",
            ),
            (
                &format!("{{{files}, client_certificates: {{mode: required}}}}"),
                "listen[0].tls.client_certificates.roots: is missing",
            ),
            (
                &format!("{{{files}, client_certificates: }}"),
                "listen[0].tls.client_certificates: is empty",
            ),
        ] {
            let found = problems(&listener(tls));
            assert!(found.contains(expected), "{tls}: {found}");
        }
        let upstream = |tls: &str| format!("{MINIMAL}    tls: {tls}\n");
        for (tls, expected) in [
            ("", "upstreams[0].tls: is empty"),
            ("{certificate: c}", "upstreams[0].tls.key: is missing"),
            (
                "{server_name: 'a:443'}",
                "expected a host name or an address",
            ),
            ("{verify: false}", "upstreams[0].tls.verify: unknown key"),
        ] {
            let found = problems(&upstream(tls));
            assert!(found.contains(expected), "{tls}: {found}");
        }
    }
}
