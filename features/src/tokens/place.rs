//! Values that name a place: paths, addresses, header lines, filters. Not here: code.

use super::lex::{Kind, run};
use super::words::{FILE, FOLDER, HEADER, OPERATOR, SCHEME, bits};
use super::{Found, Present, Sign, Text};

const SLASHES: Present = Present::set(b"/\\");

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    if text.present.any(SLASHES) {
        path(text.value, found);
        drives(text.value, found);
        tricks(text.value, found);
    } else if text.value.starts_with(b".") && bits(text.value) & FILE != 0 {
        found.mark(Sign::SensitiveFile, 0, text.value.len());
    }
    if text.present.has(b'.') {
        steps(text.value, found);
    }
    goal(text.value, found);
    if text.present.has(b':') {
        addresses(text, found);
    }
    if text.present.has(b'\n') || text.present.has(b'\r') {
        header_lines(text.value, found);
    }
    if text.present.has(b'(') && text.present.has(b'=') {
        filters(text, found);
    }
    if text.present.has(b'$') {
        operators(text, found);
    }
}

fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

/// How far the path climbs above where it starts, and whether it ends where attackers go.
fn path(value: &[u8], found: &mut Found) {
    let (mut depth, mut lowest) = (0i32, 0i32);
    let (mut first_climb, mut last_climb) = (None, 0);
    let mut folder = 0;
    let mut folder_at = 0;
    let mut last_dots = 0;
    let mut at = 0;
    while at <= value.len() {
        let length = run(value, at, |byte| {
            !matches!(
                byte,
                b'/' | b'\\'
                    | b'?'
                    | b'#'
                    | b'&'
                    | b'='
                    | b' '
                    | b'"'
                    | b'\''
                    | b'\0'
                    | b'<'
                    | b'>'
                    | b'\n'
            )
        });
        let segment = value.get(at..at + length).unwrap_or_default();
        let ends_in = byte(value, at + length);
        let is_path = matches!(ends_in, b'/' | b'\\');
        let dots = segment.iter().filter(|byte| **byte == b'.').count();
        let only_dots = dots > 0 && segment.iter().all(|byte| matches!(byte, b'.' | b';' | b'%'));
        let climbs = only_dots && dots >= 2 && (is_path || dots == 2 && at > 0);
        let ellipsis = dots == 3 && last_dots != 3;
        last_dots = if only_dots { dots } else { last_dots };
        if climbs && !ellipsis {
            depth -= 1;
            if depth < lowest {
                lowest = depth;
                first_climb.get_or_insert(at);
                last_climb = at + length + 1;
            }
        } else if is_path && length > 0 && !only_dots {
            depth += 1;
        } else if !is_path && !only_dots {
            depth = 0;
        }
        if length > 2 && length <= 24 {
            let name = segment
                .split(|byte| matches!(byte, b';' | b':' | b'%' | b',' | b'|' | b'`' | b')' | b'}'))
                .next()
                .unwrap_or_default();
            let classes = bits(name);
            let dotted = name.starts_with(b".") && name.len() > 3;
            let known = classes & FILE != 0 && (folder != 0 || dotted || lowest < 0) && at > 0;
            if known
                || folder != 0 && lowest < 0 && classes & FOLDER != 0
                || dotted && classes & FOLDER != 0 && is_path && at > 0
            {
                found.mark(Sign::SensitiveFile, folder_at.min(at), at + name.len());
            }
            folder = classes & FOLDER;
            folder_at = at;
        } else if length > 0 {
            folder = 0;
        }
        at += length + 1;
    }
    let rooted = [&b"/etc/"[..], b"/proc/", b"/var/log/", b"/var/www/", b"/usr/local/", b"/usr/lib/", b"/root/."].into_iter().find(|root| value.starts_with(root));
    if let Some(root) = rooted {
        found.mark(Sign::SensitiveFile, 0, root.len());
    }
    if let Some(start) = first_climb {
        found.mark(Sign::Climb, start, last_climb.min(value.len()));
        found.count(Sign::Climb, (-lowest - 1).min(64) as usize);
    }
}

/// `..%9v..%9v..%9vboot.ini`: steps between which a decoder left something that only some servers take for a slash.
fn steps(value: &[u8], found: &mut Found) {
    let mut last: Option<usize> = None;
    let mut gap: &[u8] = &[];
    let mut equal = 0;
    let mut first = 0;
    for at in memchr::memmem::find_iter(value, b"..") {
        if byte(value, at + 2) == b'.' {
            return;
        }
        if let Some(last) = last {
            let between = value.get(last + 2..at).unwrap_or_default();
            if (1..=6).contains(&between.len()) && between == gap {
                equal += 1;
            }
            gap = between;
        } else {
            first = at;
        }
        last = Some(at);
    }
    if equal > 0 && !matches!(gap, b"/" | b"\\" | b" ") {
        found.mark(Sign::Climb, first, last.unwrap_or(first) + 2);
    }
}

/// A step in some spelling, and a file that it is taken to: `.?epcetcepcpasswd`.
fn goal(value: &[u8], found: &mut Found) {
    let steps = value.get(..2).is_some_and(|two| two.iter().all(|byte| matches!(byte, b'.' | b'?' | 0)));
    if !steps {
        return;
    }
    let goals = [&b"passwd"[..], b"boot.ini", b"win.ini", b"shadow", b"hosts", b"issue"];
    let goal = goals.into_iter().find_map(|name| Some((memchr::memmem::find(value, name)?, name.len())));
    if let Some((start, length)) = goal {
        found.mark(Sign::SensitiveFile, start, start + length);
    }
}

/// `c:\`, `\\host\share`.
fn drives(value: &[u8], found: &mut Found) {
    let start = run(value, 0, |byte| matches!(byte, b'"' | b'\'' | b' ' | b'/'));
    let rest = value.get(start..).unwrap_or_default();
    if let [letter, b':', b'\\' | b'/', name, ..] = rest
        && letter.is_ascii_alphabetic()
        && (name.is_ascii_alphanumeric() || matches!(name, b'\\' | b'.'))
    {
        found.mark(Sign::Wrapper, start, start + 3);
    }
    if rest.starts_with(b"\\\\")
        && rest.get(2).is_some_and(u8::is_ascii_alphanumeric)
        && rest.get(3..).is_some_and(|rest| rest.contains(&b'\\'))
    {
        found.mark(Sign::Wrapper, start, start + 3);
    }
}

/// Spellings of an address that a check takes for a path and a browser for another host.
fn tricks(value: &[u8], found: &mut Found) {
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
            && value.iter().take(8).any(|byte| matches!(byte, b'\t' | b'\\'))
        || begins(b"//") && memchr::memmem::find(value, b"\xe3\x80\x82").is_some()
        || begins(b"/\t/")
        || begins(b"\\\\")
            && host(2)
            && !value.contains(&b' ')
            && !value.iter().skip(2).any(|byte| *byte == b'\\')
        || begins(b"/http://")
        || begins(b"/https://")
        || begins(b"//") && host(2) && (value.contains(&b'@') || value.ends_with(b"/..") || value.ends_with(b"//"));
    if trick {
        found.mark(Sign::DisguisedHost, 0, 3.min(value.len()));
    }
}

/// Addresses with a scheme: wrappers, internal hosts, hosts in disguise.
fn addresses(text: Text<'_>, found: &mut Found) {
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

/// A line break and what a protocol would read as a line of its own.
fn header_lines(value: &[u8], found: &mut Found) {
    let mut at = 0;
    while let Some(next) = memchr::memchr2(b'\n', b'\r', value.get(at..).unwrap_or_default()) {
        let start = at + next;
        let line = start
            + run(value, start, |byte| {
                matches!(byte, b'\r' | b'\n' | b' ' | b'\t')
            });
        let length = run(value, line, |byte| {
            byte.is_ascii_alphanumeric() || byte == b'-'
        });
        let name = value.get(line..line + length).unwrap_or_default();
        let after = byte(value, line + length);
        let rest = value.get(line..(line + 12).min(value.len()))
            .unwrap_or_default()
            .to_ascii_uppercase();
        let header = after == b':'
            && (bits(name) & HEADER != 0
                || name.len() > 2 && name.get(..2).is_some_and(|x| x.eq_ignore_ascii_case(b"x-")));
        let command = [
            &b"RCPT TO:"[..],
            b"MAIL FROM:",
            b"HTTP/1.",
            b"HTTP/2",
            b"EHLO ",
            b"HELO ",
            b"STARTTLS",
            b"SLAVEOF ",
            b"FLUSHALL",
            b"CONFIG SET ",
            b"GET / HTTP",
            b"GET HTTP",
            b"POST / ",
            b"DATA\r\n",
            b"QUIT\r\n",
        ]
        .into_iter()
        .any(|verb| rest.starts_with(verb));
        let tagged = rest.first() == Some(&b'V')
            && rest
                .get(1..4)
                .is_some_and(|digits| digits.iter().all(u8::is_ascii_digit))
            && after == b' ';
        if header || command || tagged {
            found.mark(Sign::HeaderLine, start, line + length + 1);
        }
        at = line.max(start + 1);
    }
}

/// LDAP: `*)(uid=*`, `)(|(a=b`; XPath: `' or count(/*)`.
fn filters(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        if !token.is(b'(') {
            continue;
        }
        let before = text.before(index, 1);
        let mut at = index + 1;
        for _ in 0..3 {
            at += usize::from(matches!(
                text.at(at).kind,
                Kind::Mark(b'|' | b'&' | b'!' | b'(')
            ));
        }
        let named = text.at(at).kind == Kind::Word;
        let next = text.at(at + 1);
        let compared = next.is(b'=') && !next.spaced && !text.at(at + 2).is(b'=')
            || matches!(next.kind, Kind::Mark(b'~' | b'>' | b'<')) && text.at(at + 2).is(b'=');
        let operated = at > index + 1;
        let starred = text.before(index, 2).is(b'*') || text.at(at + 2).is(b'*');
        if named
            && compared
            && before.is(b')')
            && !token.spaced
            && (starred || operated || text.before(index, 2).kind == Kind::Word)
            || named && compared && operated && (starred || before.kind == Kind::Edge)
        {
            text.mark(found, Sign::FilterBreak, index.saturating_sub(1), at + 2);
        }
    }
}

/// `$ne`, `$where`: keys of MongoDB's queries.
fn operators(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        let name = text.at(index + 1);
        if !token.is(b'$') || name.spaced || !name.has(OPERATOR) {
            continue;
        }
        let next = text.at(index + 2);
        let before = text.before(index, 1);
        let keyed = next.kind == Kind::Edge
            && (before.kind == Kind::Edge || before.is(b'.') || before.is(b'['))
            || next.is(b']')
            || next.is(b':')
            || next.is_quote()
            || next.is(b'=') && before.kind == Kind::Edge;
        if keyed {
            text.mark(found, Sign::QueryOperator, index, index + 2);
        }
    }
}
