//! Addresses: wrappers, internal hosts, hosts in disguise. Not here: paths, and addresses that run scripts.

use super::lex::run;
use super::words::{SCHEME, bits};
use super::{Found, Sign, Text};

/// Spellings of an address that a check takes for a path and a browser for another host.
pub(super) fn tricks(value: &[u8], found: &mut Found) {
    if !matches!(value.first(), Some(b'/' | b'\\')) {
        return;
    }
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

/// Schemes whose addresses name a host.
const WEB: [&[u8]; 11] = [
    b"http", b"https", b"ftp", b"ws", b"wss", b"gopher", b"dict", b"ldap", b"url", b"tftp", b"sftp",
];

/// An address around a colon.
struct Address<'v> {
    value: &'v [u8],
    start: usize,
    colon: usize,
    scheme: &'v [u8],
    after: &'v [u8],
    slashes: usize,
}

/// Addresses with a scheme: wrappers, internal hosts, hosts in disguise.
pub(super) fn addresses(text: Text<'_>, found: &mut Found) {
    let value = text.value;
    for colon in memchr::memchr_iter(b':', value) {
        let before = value.get(..colon).unwrap_or_default().iter().rev();
        let length = before
            .take(16)
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.'))
            .count();
        let after = value.get(colon + 1..).unwrap_or_default();
        let address = Address {
            value,
            start: colon - length,
            colon,
            scheme: value.get(colon - length..colon).unwrap_or_default(),
            after,
            slashes: after
                .iter()
                .take_while(|byte| matches!(byte, b'/' | b'\\'))
                .count(),
        };
        address.wrapper(found);
        if WEB
            .iter()
            .any(|known| address.scheme.eq_ignore_ascii_case(known))
        {
            address.disguise(found);
            address.authority(found);
        }
    }
}

impl Address<'_> {
    fn wrapper(&self, found: &mut Found) {
        let mut names = self.scheme.rsplit(|byte| *byte == b'.');
        let nested = self.scheme.eq_ignore_ascii_case(b"jar") && self.after.starts_with(b"http");
        if (self.slashes >= 2 || nested) && bits(names.next().unwrap_or_default()) & SCHEME != 0 {
            let end = self.colon + 1 + self.slashes.min(2);
            found.mark(Sign::Wrapper, self.start, end);
        }
    }

    /// Too few slashes, too many, or the wrong ones.
    fn disguise(&self, found: &mut Found) {
        let is_http = self
            .scheme
            .get(..4)
            .is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"http"));
        let first = self.after.get(self.slashes).copied().unwrap_or(0);
        let named = first.is_ascii_alphanumeric() || first == b'[';
        let few = self.slashes < 2
            && named
            && self.start == 0
            && self.after.contains(&b'.')
            && !self.after.contains(&b' ');
        let written = self.after.get(..self.slashes).unwrap_or_default();
        let wrong = written.contains(&b'\\') && self.slashes >= 2;
        if is_http && (self.slashes > 2 && named || few || wrong) {
            let end = self.colon + 1 + self.slashes;
            found.mark(Sign::DisguisedHost, self.start, end);
        }
    }

    fn authority(&self, found: &mut Found) {
        if self.slashes < 2 {
            return;
        }
        let at = self.colon + 1 + self.slashes;
        let ends = |byte: u8| b"/?# \"'<>\\&,);\n".contains(&byte);
        let length = run(self.value, at, |byte| !ends(byte)).min(LONGEST_HOST);
        let whole = self.value.get(at..at + length).unwrap_or_default();
        let mut host = whole;
        if let Some(sign) = memchr::memrchr(b'@', whole) {
            found.mark(Sign::DisguisedHost, self.start, at + sign + 1);
            host = whole.get(sign + 1..).unwrap_or_default();
        }
        if let Some(sign) = judge(host) {
            found.mark(sign, self.start, at + length);
        }
    }
}

/// Bytes of an authority that are looked at.
const LONGEST_HOST: usize = 128;

/// What a host with its port is evidence of.
fn judge(host: &[u8]) -> Option<Sign> {
    if let Some(address) = host.strip_prefix(b"[") {
        let internal = [&b"::"[..], b"fe80", b"fd", b"0:0:0:0", b"0000:"];
        let internal = internal.iter().any(|prefix| {
            address
                .get(..prefix.len())
                .is_some_and(|start| start.eq_ignore_ascii_case(prefix))
        });
        return Some(if internal {
            Sign::InternalHost
        } else {
            Sign::DisguisedHost
        });
    }
    let host = host.split(|byte| *byte == b':').next().unwrap_or_default();
    let host = host.strip_suffix(b".").unwrap_or(host);
    if host.is_empty() {
        return None;
    }
    if host.split(|byte| *byte == b'.').all(is_number) {
        return numeric(host);
    }
    // Letters in circles, full-width digits and dots that are no dots.
    let strange = host.iter().any(|byte| *byte >= 128)
        && host.windows(3).any(|bytes| {
            matches!(
                bytes,
                [0xe2, 0x91..=0x93, _] | [0xe3, 0x80, 0x82] | [0xef, 0xbc, _]
            )
        });
    if is_internal(host) {
        Some(Sign::InternalHost)
    } else {
        strange.then_some(Sign::DisguisedHost)
    }
}

fn is_number(part: &[u8]) -> bool {
    let hexadecimal = part
        .strip_prefix(b"0x")
        .or_else(|| part.strip_prefix(b"0X"));
    match hexadecimal {
        Some(digits) => !digits.is_empty() && digits.iter().all(u8::is_ascii_hexdigit),
        None => !part.is_empty() && part.iter().all(u8::is_ascii_digit),
    }
}

/// Four decimal numbers are an address; fewer, octal or hexadecimal ones hide it.
fn numeric(host: &[u8]) -> Option<Sign> {
    let mut octets = [0u16; 4];
    let mut count = 0;
    for part in host.split(|byte| *byte == b'.') {
        let plain = part.len() == 1 || part.len() <= 3 && !part.starts_with(b"0");
        let (Some(octet), true) = (octets.get_mut(count), plain) else {
            return Some(Sign::DisguisedHost);
        };
        *octet = part.iter().fold(0, |sum, digit| {
            sum * 10 + u16::from(digit.wrapping_sub(b'0') % 10)
        });
        count += 1;
    }
    let [a, b, ..] = octets;
    let internal = matches!(a, 0 | 10 | 127)
        || (a, b) == (192, 168)
        || (a, b) == (169, 254)
        || a == 172 && (16..32).contains(&b)
        || a == 100 && (64..128).contains(&b);
    if count < octets.len() {
        return Some(Sign::DisguisedHost);
    }
    internal.then_some(Sign::InternalHost)
}

/// Names that resolve inside a network only, or to whatever address they spell.
fn is_internal(host: &[u8]) -> bool {
    const NAMES: [&[u8]; 5] = [
        b"localhost",
        b"metadata",
        b"localtest.me",
        b"kubernetes.default",
        b"instance-data",
    ];
    const ENDS: [&[u8]; 14] = [
        b".localhost",
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
    ];
    NAMES.iter().any(|name| host.eq_ignore_ascii_case(name))
        || ENDS.iter().any(|end| {
            host.len()
                .checked_sub(end.len())
                .and_then(|at| host.get(at..))
                .is_some_and(|tail| tail.eq_ignore_ascii_case(end))
        })
}
