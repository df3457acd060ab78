//! Code of servers' languages, and objects that they rebuild. Not here: templates.

use super::lex::Kind;
use super::words::DANGER;
use super::{Found, Sign, Text};

/// The value may begin with a serialised object, although it is made of letters and digits alone.
pub(super) fn may_be_blob(value: &[u8]) -> bool {
    value.starts_with(b"rO0AB")
        || value.starts_with(b"gASV")
        || value.starts_with(b"aced0005")
        || value.starts_with(b"ACED0005")
}

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    let value = text.value;
    blobs(value, found);
    if text.present.has(b':') && (text.present.has(b'{') || text.present.has(b'"')) {
        serialised(text, found);
    }
    if text.present.has(b'$') {
        variables(text, found);
    }
    if text.present.has(b'(') || text.present.has(b'`') {
        calls(text, found);
    }
}

/// What the value begins with gives it away.
pub(super) fn blobs(value: &[u8], found: &mut Found) {
    if may_be_blob(value)
        || value.starts_with(b"AAEAAAD/////")
        || value.starts_with(b"\xac\xed\x00\x05")
    {
        found.mark(Sign::Serialised, 0, 8.min(value.len()));
    }
    if value.starts_with(b"constructor.prototype") {
        found.mark(Sign::Prototype, 0, 21);
    }
    if value.starts_with(b"__proto__") {
        found.mark(Sign::Prototype, 0, 9);
    }
}

/// PHP: `O:8:"stdClass":1:{`.
fn serialised(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        if token.kind == Kind::Word
            && (text.is(index, "O") || text.is(index, "C"))
            && text.at(index + 1).is(b':')
            && (text.at(index + 2).kind == Kind::Number
                || text.at(index + 2).is(b'+') && text.at(index + 3).kind == Kind::Number)
            && (text.at(index + 3).is(b':') || text.at(index + 4).is(b':'))
            && (text.at(index + 4).is_quote()
                || text.at(index + 5).is_quote()
                || text.at(index + 5).is(b'\\'))
        {
            text.mark(found, Sign::Serialised, index, index + 5);
        }
    }
}

/// `$_GET[..]`, `$x=..;`, `$f(..)`.
fn variables(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        let name = text.at(index + 1);
        if !token.is(b'$') || name.kind != Kind::Word || name.spaced {
            continue;
        }
        let next = text.at(index + 2);
        let global = text.is_any(
            index + 1,
            &[
                "_GET", "_POST", "_REQUEST", "_SERVER", "_COOKIE", "_FILES", "GLOBALS", "_SESSION",
                "_ENV",
            ],
        ) && (next.is(b'[') || next.is(b'{'));
        let assigned = next.is(b'=')
            && !text.at(index + 3).is(b'=')
            && (text.present.has(b';'))
            && (text.at(index + 3).is_quote()
                || text.at(index + 3).is(b'$')
                || text.at(index + 4).is(b'('));
        let called = next.is(b'(')
            && !next.spaced
            && (text.at(index + 3).is(b'$') || text.at(index + 3).is_quote())
            && text.present.has(b';');
        if global || assigned || called {
            text.mark(found, Sign::ServerCode, index, index + 4);
        }
    }
}

/// A function that runs, opens or rebuilds what it is given, and that is given a string or a variable.
fn calls(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        if !token.has(DANGER) {
            continue;
        }
        let next = text.at(index + 1);
        let argument = text.at(index + 2);
        let direct = next.is(b'(') && !next.spaced;
        let given = argument.is_quote()
            || argument.is(b'$')
            || argument.has(DANGER) && text.at(index + 3).is(b'(')
            || argument.is(b'@');
        let info = text.is_any(index, &["phpinfo", "die"]) && argument.is(b')');
        let number = text.is_any(index, &["md5", "print_r", "var_dump", "print"])
            && argument.kind == Kind::Number
            && (text.at(index + 4).is(b';') || text.before(index, 1).is(b';'));
        if direct && (given || info || number) {
            text.mark(found, Sign::ServerCode, index, index + 3);
        }
    }
}
