//! Addresses: wrappers, internal hosts, hosts in disguise. Not here: paths, and addresses that run scripts.

use super::lex::run;
use super::words::{SCHEME, bits};
use super::{Found, Sign, Text};

/// Spellings of an address that a check takes for a path and a browser for another host.
pub(super) fn tricks(value: &[u8], found: &mut Found) {
    let begins = |prefix: &[u8]| value.starts_with(prefix);
    let host = |at: usize| {
        value.get(at..).is_some_and(|rest| {
            rest.first().is_some_and(u8::is_ascii_alphanumeric) && rest.contains(&b'.')
        })
    };
    let trick = begins(b"/\\") && host(run(value, 0, |byte| matches!(byte, b'/' | b'\\')))
        || begins(b"\\/") && host(run(value, 0, |byte| matches!(byte, b'/' | b'\\')))
        || begins(b"///") && host(run(value, 0, |byte| byte == b'/'))
        || begins(b"//")
            && value
                .iter()
                .take(8)
                .any(|byte| matches!(byte, b'\t' | b'\\'))
        || begins(b"//") && memchr::memmem::find(value, b"\xe3\x80\x82").is_some()
        || begins(b"/\t/")
        || begins(b"\\\\")
            && host(2)
            && !value.contains(&b' ')
            && !value.iter().skip(2).any(|byte| *byte == b'\\')
        || begins(b"/http://")
        || begins(b"/https://")
        || begins(b"//")
            && host(2)
            && (value.contains(&b'@') || value.ends_with(b"/..") || value.ends_with(b"//"));
    if trick {
        found.mark(Sign::DisguisedHost, 0, 3.min(value.len()));
    }
}

/// Addresses with a scheme: wrappers, internal hosts, hosts in disguise.
pub(super) fn addresses(text: Text<'_>, found: &mut Found) {
    let value = text.value;
    for colon in memchr::memchr_iter(b':', value) {
        let length = value
            .get(..colon)
            .unwrap_or_default()
            .iter()
            .rev()
            .take(16)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            .count();
        let start = colon - length;
        let scheme = value.get(start..colon).unwrap_or_default();
        let after = value.get(colon + 1..).unwrap_or_default();
        let slashes = after
            .iter()
            .take_while(|byte| matches!(byte, b'/' | b'\\'))
            .count();
        let name = scheme
            .rsplit(|byte| *byte == b'.')
            .next()
            .unwrap_or_default();
        if bits(name) & SCHEME != 0
            && (slashes >= 2 || scheme.eq_ignore_ascii_case(b"jar") && after.starts_with(b"http"))
        {
            found.mark(Sign::Wrapper, start, colon + 1 + slashes.min(2));
        }
        let web = [
            &b"http"[..],
            b"https",
            b"ftp",
            b"ws",
            b"wss",
            b"gopher",
            b"dict",
            b"ldap",
            b"url",
            b"tftp",
            b"sftp",
        ]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known));
        if !web {
            continue;
        }
        let written = after.get(..slashes).unwrap_or_default();
        let is_http = scheme.len() >= 4
            && scheme
                .get(..4)
                .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http"));
        if is_http
            && (slashes > 2 && after.get(slashes).is_some_and(u8::is_ascii_alphanumeric)
                || slashes < 2
                    && after.get(slashes).is_some_and(u8::is_ascii_alphanumeric)
                    && start == 0
                    && after.contains(&b'.')
                    && !after.contains(&b' ')
                || written.contains(&b'\\') && slashes >= 2)
        {
            found.mark(Sign::DisguisedHost, start, colon + 1 + slashes);
        }
        if slashes >= 2 {
            let at = colon + 1 + slashes;
            let length = run(value, at, |byte| {
                !matches!(
                    byte,
                    b'/' | b'?'
                        | b'#'
                        | b' '
                        | b'"'
                        | b'\''
                        | b'<'
                        | b'>'
                        | b'\\'
                        | b'&'
                        | b','
                        | b')'
                        | b';'
                        | b'\n'
                )
            })
            .min(128);
            authority(value, start, at, at + length, found);
        }
    }
}

fn authority(value: &[u8], start: usize, at: usize, end: usize, found: &mut Found) {
    let whole = value.get(at..end).unwrap_or_default();
    let host = match memchr::memrchr(b'@', whole) {
        Some(sign) => {
            found.mark(Sign::DisguisedHost, start, at + sign + 1);
            whole.get(sign + 1..).unwrap_or_default()
        }
        None => whole,
    };
    if host.first() == Some(&b'[') {
        let inner = host.get(1..).unwrap_or_default().to_ascii_lowercase();
        let internal = inner.starts_with(b"::")
            || inner.starts_with(b"fe80")
            || inner.starts_with(b"fd")
            || inner.starts_with(b"0:0:0:0")
            || inner.starts_with(b"0000:");
        found.mark(
            if internal {
                Sign::InternalHost
            } else {
                Sign::DisguisedHost
            },
            start,
            end,
        );
        return;
    }
    let host = host
        .split(|byte| *byte == b':')
        .next()
        .unwrap_or_default()
        .to_ascii_lowercase();
    let host = host.strip_suffix(b".").unwrap_or(&host);
    if host.is_empty() {
        return;
    }
    let parts: Vec<&[u8]> = host.split(|byte| *byte == b'.').take(8).collect();
    let number = |part: &&[u8]| {
        let hexadecimal = part
            .strip_prefix(b"0x")
            .is_some_and(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit));
        hexadecimal || !part.is_empty() && part.iter().all(u8::is_ascii_digit)
    };
    if parts.iter().all(number) {
        let odd = parts.len() != 4
            || parts
                .iter()
                .any(|part| part.len() > 1 && part.starts_with(b"0") || part.len() > 3);
        if odd {
            found.mark(Sign::DisguisedHost, start, end);
            return;
        }
        let octet = |at: usize| {
            parts
                .get(at)
                .and_then(|part| std::str::from_utf8(part).ok())
                .and_then(|part| part.parse::<u16>().ok())
                .unwrap_or(0)
        };
        let (a, b) = (octet(0), octet(1));
        let internal = matches!(a, 0 | 10 | 127)
            || (a, b) == (192, 168)
            || (a, b) == (169, 254)
            || a == 172 && (16..32).contains(&b)
            || a == 100 && (64..128).contains(&b);
        if internal {
            found.mark(Sign::InternalHost, start, end);
        }
        return;
    }
    let ends = |suffix: &[u8]| host.ends_with(suffix);
    let internal = host == b"localhost"
        || [
            &b".localhost"[..],
            b".internal",
            b".local",
            b".localdomain",
            b".nip.io",
            b".sslip.io",
            b".xip.io",
            b".localtest.me",
            b".lvh.me",
            b".cluster.local",
            b".svc",
            b".corp",
            b".intranet",
            b".lan",
        ]
        .into_iter()
        .any(ends)
        || host == b"metadata"
        || host == b"localtest.me"
        || host == b"kubernetes.default"
        || host == b"instance-data";
    // Letters in circles, full-width digits and dots that are no dots.
    let strange = host.iter().any(|byte| *byte >= 128)
        && host.windows(3).any(|bytes| {
            matches!(
                bytes,
                [0xe2, 0x91..=0x93, _] | [0xe3, 0x80, 0x82] | [0xef, 0xbc, _]
            )
        });
    if internal {
        found.mark(Sign::InternalHost, start, end);
    } else if strange {
        found.mark(Sign::DisguisedHost, start, end);
    }
}
