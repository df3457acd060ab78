//! Values that name a place: paths, header lines, filters. Not here: code.

use super::address::{addresses, tricks};
use super::lex::{Kind, run};
use super::words::{FILE, FOLDER, HEADER, OPERATOR, bits};
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
        let only_dots = dots > 0
            && segment
                .iter()
                .all(|byte| matches!(byte, b'.' | b';' | b'%'));
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
    let rooted = [
        &b"/etc/"[..],
        b"/proc/",
        b"/var/log/",
        b"/var/www/",
        b"/usr/local/",
        b"/usr/lib/",
        b"/root/.",
    ]
    .into_iter()
    .find(|root| value.starts_with(root));
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
    let steps = value
        .get(..2)
        .is_some_and(|two| two.iter().all(|byte| matches!(byte, b'.' | b'?' | 0)));
    if !steps {
        return;
    }
    let goals = [
        &b"passwd"[..],
        b"boot.ini",
        b"win.ini",
        b"shadow",
        b"hosts",
        b"issue",
    ];
    let goal = goals
        .into_iter()
        .find_map(|name| Some((memchr::memmem::find(value, name)?, name.len())));
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
        let rest = value
            .get(line..(line + 12).min(value.len()))
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
