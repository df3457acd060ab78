//! HTML that acts and JavaScript that calls. Not here: markup that only formats.

use super::lex::{Kind, is_word, run};
use super::words::{ACTIVE, OBJECT, PROPERTY, SINK, bits};
use super::{Found, Present, QUOTES, Sign, Text};
use crate::bytes::{Bytes, alphanumeric_and};

const CALLS: Present = Present::set(b"(`=[");
/// Bytes of brackets in a row that are a program: `[]+[]`, `(![]+[])[+[]]`.
const BRACKETS: usize = 24;
/// Bytes between a quote and the attribute or bracket behind it.
const NEAR: usize = 8;

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    if text.present.has(b'<') {
        tags(text.value, found);
    }
    if text.present.any(QUOTES) {
        breaks(text, found);
    }
    addresses(text, found);
    if text.present.any(CALLS) {
        calls(text, found);
    }
    if text.present.has(b'[') && text.present.has(b']') {
        brackets(text.value, found);
    }
}

fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0 || byte == 0x0b
}

/// What separates attributes; browsers take a slash and quotes too.
fn is_between(byte: u8) -> bool {
    is_blank(byte) || matches!(byte, b'/' | b'"' | b'\'' | b'`' | b'+')
}

static NAME: Bytes = Bytes::of(alphanumeric_and!("-_:"));

fn is_name(byte: u8) -> bool {
    NAME.has(byte)
}

fn byte(value: &[u8], at: usize) -> u8 {
    value.get(at).copied().unwrap_or(0)
}

/// Each tag with its attributes. An attribute's value ends at the next `<` at the latest, so the scan is linear.
fn tags(value: &[u8], found: &mut Found) {
    let mut at = 0;
    while let Some(next) = memchr::memchr(b'<', value.get(at..).unwrap_or_default()) {
        let start = at + next;
        let skipped = run(value, start + 1, |byte| {
            is_blank(byte) || matches!(byte, b'/' | b'%' | b'!')
        })
        .min(4);
        let closing = byte(value, start + 1) == b'/';
        let name_at = start + 1 + skipped;
        let length = run(value, name_at, is_name);
        at = name_at + length;
        if length == 0
            || !byte(value, name_at).is_ascii_alphabetic()
            || skipped > 0
                && is_blank(byte(value, start + 1))
                && !value
                    .get(name_at..at)
                    .is_some_and(|name| name.eq_ignore_ascii_case(b"script"))
        {
            at = at.max(start + 1);
            continue;
        }
        let mut name = value.get(name_at..at).unwrap_or_default();
        if let Some(colon) = memchr::memchr(b':', name) {
            name = name.get(colon + 1..).unwrap_or_default();
        }
        let ends_name = is_between(byte(value, at)) || matches!(byte(value, at), b'>' | b'<' | 0);
        if ends_name
            && bits(name) & ACTIVE != 0
            && (!closing || name.eq_ignore_ascii_case(b"script"))
        {
            found.mark(Sign::ActiveElement, start, at);
        }
        at = attributes(value, start, at, found);
    }
}

fn attributes(value: &[u8], tag: usize, mut at: usize, found: &mut Found) -> usize {
    let mut handled = false;
    let mut closers = [true; 2];
    loop {
        at += run(value, at, is_between);
        let name_at = at;
        let length = run(value, at, is_name);
        at += length;
        if length == 0 {
            match byte(value, at) {
                0 if at >= value.len() => return at,
                b'<' => return at,
                b'>' => return at + 1,
                _ => {
                    at += 1;
                    continue;
                }
            }
        }
        let name = value.get(name_at..at).unwrap_or_default();
        let equals = at + run(value, at, is_blank);
        if byte(value, equals) != b'=' {
            continue;
        }
        let open = equals + 1 + run(value, equals + 1, is_blank);
        if is_handler(name) && !handled {
            handled = true;
            found.mark(Sign::Handler, tag, open.min(value.len()));
        }
        at = attribute_value(value, open, &mut closers);
        if let Some(content) = value.get(open..at) {
            content_of(name, content, open, found);
        }
    }
}

/// After the value that begins at `at`.
fn attribute_value(value: &[u8], at: usize, closers: &mut [bool; 2]) -> usize {
    let quote = byte(value, at);
    let slot = match quote {
        b'"' => closers.first_mut(),
        b'\'' => closers.last_mut(),
        _ => None,
    };
    if let Some(has_closer) = slot.filter(|has_closer| **has_closer) {
        match memchr::memchr(quote, value.get(at + 1..).unwrap_or_default()) {
            Some(length) => return at + length + 2,
            // Search once only: many quotes that nothing closes must not cost a pass each.
            None => *has_closer = false,
        }
    }
    at + run(value, at, |byte| {
        !is_blank(byte) && byte != b'>' && byte != b'<'
    })
}

fn is_handler(name: &[u8]) -> bool {
    name.len() > 4
        && name
            .get(..2)
            .is_some_and(|on| on.eq_ignore_ascii_case(b"on"))
        && name.iter().skip(2).all(u8::is_ascii_alphabetic)
}

/// Attributes that carry code in their value.
fn content_of(name: &[u8], content: &[u8], at: usize, found: &mut Found) {
    if name.eq_ignore_ascii_case(b"srcdoc") {
        found.mark(Sign::ActiveElement, at, at + content.len());
    }
    if name.eq_ignore_ascii_case(b"style") {
        let text = content.to_ascii_lowercase();
        let runs = [
            &b"expression("[..],
            b"javascript:",
            b"-moz-binding",
            b"behavior:",
            b"@import",
        ]
        .into_iter()
        .any(|mark| memchr::memmem::find(&text, mark).is_some());
        if runs {
            found.mark(Sign::ScriptAddress, at, at + content.len());
        }
    }
}

/// A quote or a tag that the value closes before it opened one: `" onfocus=x`, `"><svg`.
fn breaks(text: Text<'_>, found: &mut Found) {
    let first_tag = memchr::memchr(b'<', text.value);
    for (index, token) in text.tokens.iter().enumerate() {
        if !token.is_quote() {
            continue;
        }
        let start = usize::from(token.start);
        let value = text.value;
        let inside_tag = first_tag.is_some_and(|tag| tag < start);
        let after = start + 1;
        let blanks = run(
            value.get(..after + NEAR).unwrap_or(value),
            after,
            is_between,
        );
        let length = run(value, after + blanks, is_name);
        let name = value
            .get(after + blanks..after + blanks + length)
            .unwrap_or_default();
        let equals = after + blanks + length;
        let equals = equals + run(value, equals, is_blank);
        if !inside_tag && is_handler(name) && byte(value, equals) == b'=' && token.breaks_out() {
            found.mark(Sign::AttributeBreak, start, equals + 1);
        }
        let close = after + blanks;
        if !inside_tag && byte(value, close) == b'>' {
            let next = close + 1 + run(value, close + 1, is_blank);
            if byte(value, next) == b'<'
                && (byte(value, next + 1).is_ascii_alphabetic()
                    || matches!(byte(value, next + 1), b'/' | b'!'))
            {
                found.mark(Sign::AttributeBreak, start, next + 2);
            }
        }
        if token.bits == 0 && !token.is(b'`') {
            continues(text, index, found);
        }
    }
}

/// `';alert(1)//`, `"-alert(1)-"`: the first quote of the value ends a string and an expression goes on.
fn continues(text: Text<'_>, index: usize, found: &mut Found) {
    if matches!(
        text.before(index, 1).kind,
        Kind::Mark(b'{' | b'[' | b':' | b'=' | b'(' | b',' | b'<')
    ) {
        return;
    }
    let mut at = index + 1;
    while at < index + 5
        && matches!(
            text.at(at).kind,
            Kind::Mark(
                b';' | b'-'
                    | b'+'
                    | b'*'
                    | b'^'
                    | b','
                    | b')'
                    | b'}'
                    | b']'
                    | b'|'
                    | b'&'
                    | b'?'
                    | b'/'
            )
        )
    {
        at += 1;
    }
    let calls = text.at(at).has(SINK | OBJECT | PROPERTY)
        && matches!(
            text.at(at + 1).kind,
            Kind::Mark(b'(' | b'`' | b'.' | b'[' | b'=')
        );
    if at > index + 1 && calls {
        text.mark(found, Sign::ScriptBreak, index, at + 1);
    }
}

/// `javascript:`, `vbscript:` and `data:text/html`, whatever white space and control characters are strewn in.
pub(super) fn addresses(text: Text<'_>, found: &mut Found) {
    if !text.present.has(b':') {
        return;
    }
    let value = text.value;
    for colon in memchr::memchr_iter(b':', value) {
        let mut name = [0u8; 10];
        let mut length = 0;
        let mut start = colon;
        let before = value
            .get(colon.saturating_sub(24)..colon)
            .unwrap_or_default();
        for byte in before.iter().rev() {
            if byte.is_ascii_alphabetic() {
                let Some(slot) = name.get_mut(length) else {
                    break;
                };
                *slot = byte.to_ascii_lowercase();
                length += 1;
            } else if *byte >= b' ' {
                break;
            }
            start -= 1;
        }
        let after = value.get(colon + 1..).unwrap_or_default();
        let hit = runs(name.get(..length).unwrap_or_default(), after);
        if hit {
            found.mark(Sign::ScriptAddress, start, colon + 1);
        }
    }
}

/// Types of `data:` addresses that browsers run.
const RUNNING: [&[u8]; 9] = [
    b"text/html",
    b"image/svg",
    b"application/x",
    b"text/xml",
    b"application/javascript",
    b"text/javascript",
    b",<",
    b"text/xsl",
    b"text/vbscript",
];

/// An address with this scheme, spelled backwards, runs what follows it.
fn runs(scheme: &[u8], after: &[u8]) -> bool {
    match scheme {
        b"tpircsavaj" => {
            let rest = after.trim_ascii_start();
            let inert = [&b"void"[..], b"\"", b";\"", b"history"];
            // A title has no code behind its colon: `JavaScript: a first look`.
            let code = after.first() != Some(&b' ')
                || rest.iter().any(|byte| b"(=;[`'\"/\\%".contains(byte));
            code && !rest.is_empty()
                && rest != b";"
                && !inert.iter().any(|word| rest.starts_with(word))
        }
        b"tpircsbv" | b"tpircsevil" | b"ahcom" => !after.is_empty() && !after.starts_with(b" "),
        b"atad" => {
            let mut kind = [0u8; 24];
            for (slot, byte) in kind.iter_mut().zip(after) {
                *slot = byte.to_ascii_lowercase();
            }
            // Pictures are inlined in base64 everywhere.
            let start = after.get(..64).unwrap_or(after);
            let picture =
                kind.starts_with(b"image/svg") && memchr::memmem::find(start, b"base64,").is_some();
            !picture && RUNNING.iter().any(|mark| kind.starts_with(mark))
        }
        _ => false,
    }
}

/// Calls of what runs code, reads the page or sends it away.
fn calls(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        if token.has(OBJECT) {
            object(text, index, found);
        }
        if !token.has(SINK) {
            continue;
        }
        let next = text.at(index + 1);
        let argument = text.at(index + 2);
        let before = text.before(index, 1);
        let name = text.bytes(index);
        let method = next.is(b'.')
            && text.is_any(index + 2, &["call", "apply", "bind"])
            && text.at(index + 3).is(b'(');
        let called = method
            || (next.is(b'(') && !next.spaced && !argument.is(b')')
                || next.is(b'`')
                    && !next.spaced
                    && argument.kind != Kind::Edge
                    && !before.is(b'`'))
            || (before.is(b'(')
                && next.is(b')')
                && (text.at(index + 2).is(b'(')
                    || text.before(index, 2).kind == Kind::Word && text.before(index, 3).is(b'.')))
            || (before.is(b'=') && (next.is(b';') || next.is(b',')))
            || (next.is(b'?') && argument.is(b'.') && text.at(index + 3).is(b'('));
        let weak = name.eq_ignore_ascii_case(b"function")
            || name.eq_ignore_ascii_case(b"print")
            || name.eq_ignore_ascii_case(b"import");
        let quoted = argument.is_quote() || argument.has(SINK | OBJECT);
        // `function(` stands in every snippet; what it is given decides.
        let strong = if name.eq_ignore_ascii_case(b"function") {
            name.starts_with(b"F") && quoted
        } else if weak {
            quoted
        } else {
            true
        };
        let called = called
            || next.is(b'(')
                && argument.is(b')')
                && !next.spaced
                && text.is_any(index, &["alert", "prompt", "confirm"]);
        let chained =
            name.eq_ignore_ascii_case(b"constructor") && !before.is(b'.') && !before.is_quote();
        if called && strong && !chained {
            text.mark(found, Sign::ScriptCall, index, index + 3);
        }
    }
}

/// `document.cookie`, `window['alert']`, `location=`.
fn object(text: Text<'_>, index: usize, found: &mut Found) {
    let next = text.at(index + 1);
    let property = text.at(index + 2);
    if next.spaced {
        return;
    }
    let dotted = next.is(b'.') && property.has(PROPERTY) && !property.spaced;
    let indexed = next.is(b'[') && (property.is_quote() || property.is(b'/') || property.is(b'('));
    let name = text.bytes(index);
    let generic = [&b"parent"[..], b"frames", b"top", b"self"]
        .iter()
        .any(|word| name.eq_ignore_ascii_case(word));
    if (dotted
        && !(generic
            && !text.at(index + 3).is(b'(')
            && !text.at(index + 3).is(b'.')
            && !text.at(index + 3).is(b'=')))
        || indexed && !text.before(index, 1).is_quote()
    {
        text.mark(found, Sign::ScriptCall, index, index + 3);
    }
}

/// What scripts in brackets alone are written in.
static WRITTEN_IN: Bytes = Bytes::of(b"[]()!+");

fn brackets(value: &[u8], found: &mut Found) {
    let mut at = 0;
    while at < value.len() {
        let length = run(value, at, |byte| WRITTEN_IN.has(byte));
        if length >= BRACKETS {
            let piece = value.get(at..at + length).unwrap_or_default();
            if piece.contains(&b'[') && piece.contains(&b'+') {
                found.mark(Sign::Brackets, at, at + length);
            }
        }
        at += length.max(1);
        if length == 0 && is_word(byte(value, at - 1)) {
            at += run(value, at, is_word);
        }
    }
}
