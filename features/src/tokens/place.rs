//! Values that name a place: paths, header lines, filters. Not here: code.

use super::address::{addresses, tricks};
use super::lex::{Kind, is_word, run};
use super::words::{FILE, FOLDER, HEADER, OPERATOR, bits};
use super::{Found, Present, Sign, Text};
use crate::bytes::Bytes;

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
    if text.present.has(b':') && text.present.has(b'=') {
        matching_rules(text.value, found);
    }
    if text.present.has(b'$') {
        operators(text, found);
    }
}

fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

/// Folders of operating systems: a value that begins there is a path on a server.
const ROOTS: [&[u8]; 7] = [
    b"/etc/",
    b"/proc/",
    b"/var/log/",
    b"/var/www/",
    b"/usr/local/",
    b"/usr/lib/",
    b"/root/.",
];

/// What segments end with, and what their names do.
static BREAKS: Bytes = Bytes::of(b"/\\?#&= \"'\0<>\n");
static TAILS: Bytes = Bytes::of(b";:%,|`)}");

/// A walk along a path, segment by segment.
#[derive(Default)]
struct Walk {
    depth: i32,
    lowest: i32,
    first_climb: Option<usize>,
    last_climb: usize,
    last_dots: usize,
    folder: u32,
    folder_at: usize,
}

/// How far the path climbs above where it starts, and whether it ends where attackers go.
fn path(value: &[u8], found: &mut Found) {
    let mut walk = Walk::default();
    let mut at = 0;
    while at <= value.len() {
        let length = run(value, at, |byte| !BREAKS.has(byte));
        let segment = value.get(at..at + length).unwrap_or_default();
        let is_path = matches!(byte(value, at + length), b'/' | b'\\');
        walk.step(segment, at, is_path);
        walk.name(segment, at, is_path, found);
        at += length + 1;
    }
    if value.first() == Some(&b'/')
        && let Some(root) = ROOTS.into_iter().find(|root| value.starts_with(root))
    {
        found.mark(Sign::SensitiveFile, 0, root.len());
    }
    if let Some(start) = walk.first_climb {
        found.mark(Sign::Climb, start, walk.last_climb.min(value.len()));
        found.count(Sign::Climb, (-walk.lowest - 1).min(64) as usize);
    }
}

impl Walk {
    fn step(&mut self, segment: &[u8], at: usize, is_path: bool) {
        let only_dots = segment
            .iter()
            .all(|byte| matches!(byte, b'.' | b';' | b'%'));
        let dots = match only_dots {
            true => segment.iter().filter(|byte| **byte == b'.').count(),
            false => 0,
        };
        if dots == 0 {
            if !is_path {
                self.depth = 0;
            } else if !segment.is_empty() {
                self.depth += 1;
            }
            return;
        }
        // Three dots end a sentence; in a row they climb on some systems.
        let ellipsis = dots == 3 && self.last_dots != 3;
        self.last_dots = dots;
        if dots >= 2 && (is_path || dots == 2 && at > 0) && !ellipsis {
            self.depth -= 1;
            if self.depth < self.lowest {
                self.lowest = self.depth;
                self.first_climb.get_or_insert(at);
                self.last_climb = at + segment.len() + 1;
            }
        }
    }

    fn name(&mut self, segment: &[u8], at: usize, is_path: bool, found: &mut Found) {
        if segment.is_empty() {
            return;
        }
        let end = run(segment, 0, |byte| !TAILS.has(byte));
        let name = segment.get(..end).unwrap_or_default();
        let classes = if (3..=24).contains(&segment.len()) {
            bits(name)
        } else {
            0
        };
        let hidden = name.starts_with(b".") && name.len() > 3 && at > 0;
        let climbed = self.lowest < 0;
        let file = classes & FILE != 0 && at > 0 && (self.folder != 0 || hidden || climbed);
        let folder = classes & FOLDER != 0 && (self.folder != 0 && climbed || hidden && is_path);
        if file || folder {
            let start = self.folder_at.min(at);
            found.mark(Sign::SensitiveFile, start, at + name.len());
        }
        self.folder = classes & FOLDER;
        self.folder_at = at;
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
        let mut upper = [0u8; 12];
        let beginning = value.get(line..).unwrap_or_default();
        for (slot, byte) in upper.iter_mut().zip(beginning) {
            *slot = byte.to_ascii_uppercase();
        }
        let rest = upper.get(..beginning.len()).unwrap_or(&upper);
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

/// `userPassword:2.5.13.18:=x`, `cn:dn:=x`: LDAP's extensible match (RFC 4515), which asks past the attribute that the
/// application meant.
fn matching_rules(value: &[u8], found: &mut Found) {
    for at in memchr::memmem::find_iter(value, b":=") {
        let before = value.get(..at).unwrap_or_default();
        let Some(colon) = memchr::memrchr(b':', before) else {
            continue;
        };
        let rule = before.get(colon + 1..).unwrap_or_default();
        let numbers = rule.split(|byte| *byte == b'.');
        let is_number = |part: &[u8]| {
            !part.is_empty() && part.iter().all(u8::is_ascii_digit) && part.len() < 10
        };
        let named = rule.eq_ignore_ascii_case(b"dn")
            || numbers.clone().count() >= 4 && numbers.into_iter().all(is_number);
        if named && colon > 0 && is_word(byte(value, colon - 1)) {
            let start = before.get(..colon).map_or(0, |name| {
                colon - name.iter().rev().take_while(|byte| is_word(**byte)).count()
            });
            found.mark(Sign::FilterBreak, start, at + 2);
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
