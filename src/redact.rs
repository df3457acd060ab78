//! Replaces secret values in requests: by a mask in records, by keyed tokens in captures.
//!
//! Not here: which names are secret (`SecretKeys`, from the configuration). Every function copies what is not secret
//! byte by byte, so that a redacted request still trains the same model; what cannot be parsed is copied as it is.

mod body;
mod json;
mod token;

use std::borrow::Cow;

use weir_scoring::reason::SecretKeys;

pub use body::body;
pub use token::{KeyError, TokenKey};

/// What stands in for a secret value.
#[derive(Debug, Clone, Copy)]
pub enum Replacement<'a> {
    /// `***`
    Mask,
    /// A token that keeps length, alphabet and equality.
    Token(&'a TokenKey),
}

impl Replacement<'_> {
    /// Appends the replacement of a value whose percent escapes are part of the encoding.
    fn encoded(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Mask => out.extend_from_slice(b"***"),
            Self::Token(key) => key.encoded(value, out),
        }
    }

    /// Appends the replacement of a value as it stands.
    fn plain(self, value: &[u8], out: &mut Vec<u8>) {
        match self {
            Self::Mask => out.extend_from_slice(b"***"),
            Self::Token(key) => key.plain(value, out),
        }
    }
}

/// Forms nested in values are followed this deep.
const NESTING: usize = 2;

/// Redacts the query (and a fragment) of a target in origin or absolute form, the parameters of its path (`;name=value`)
/// and the password of an authority.
pub fn target<'a>(target: &'a [u8], secrets: &SecretKeys, with: Replacement<'_>) -> Cow<'a, [u8]> {
    let is_mark = |byte: &u8| matches!(byte, b'?' | b'#');
    let end = target.iter().position(is_mark).unwrap_or(target.len());
    let (before, rest) = target.split_at(end);
    if rest.is_empty() && !before.iter().any(|byte| matches!(byte, b';' | b'@')) {
        return Cow::Borrowed(target);
    }
    let mut out = Vec::with_capacity(target.len());
    let path = authority(before, with, &mut out);
    path_parameters(path, secrets, with, &mut out);
    if let Some((mark, query)) = rest.split_first() {
        out.push(*mark);
        pairs(query, secrets, with, NESTING, &mut out);
    }
    Cow::Owned(out)
}

/// Copies scheme and authority without the password, and returns what follows.
fn authority<'t>(text: &'t [u8], with: Replacement<'_>, out: &mut Vec<u8>) -> &'t [u8] {
    const MARK: &[u8] = b"://";
    let Some(scheme) = text.windows(MARK.len()).position(|window| window == MARK) else {
        return text;
    };
    let (scheme, rest) = text.split_at(scheme + MARK.len());
    let end = rest.iter().position(|&byte| byte == b'/');
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    let host = authority.iter().rposition(|&byte| byte == b'@');
    let (user, host) = authority.split_at(host.unwrap_or(0));
    out.extend_from_slice(scheme);
    match user.iter().position(|&byte| byte == b':') {
        Some(at) => {
            let (name, password) = user.split_at(at + 1);
            out.extend_from_slice(name);
            with.encoded(password, out);
        }
        None => out.extend_from_slice(user),
    }
    out.extend_from_slice(host);
    path
}

/// Copies a path with the values of secret parameters replaced, as in `/cart;jsessionid=...`.
fn path_parameters(path: &[u8], secrets: &SecretKeys, with: Replacement<'_>, out: &mut Vec<u8>) {
    let is_end = |byte: &u8| matches!(byte, b';' | b'/');
    let mut rest = path;
    while let Some(at) = rest.iter().position(|&byte| byte == b';') {
        let (before, parameter) = rest.split_at(at + 1);
        out.extend_from_slice(before);
        let end = parameter.iter().position(is_end);
        let (pair, after) = parameter.split_at(end.unwrap_or(parameter.len()));
        match pair.iter().position(|&byte| byte == b'=') {
            Some(at)
                if secrets.is_secret_name(&percent_decode(pair.get(..at).unwrap_or_default())) =>
            {
                let (name, value) = pair.split_at(at + 1);
                out.extend_from_slice(name);
                with.encoded(value, out);
            }
            _ => out.extend_from_slice(pair),
        }
        rest = after;
    }
    out.extend_from_slice(rest);
}

/// Redacts `key=value` pairs separated by `&`, `;`, `?` or `#`, as in queries and forms.
fn pairs(
    text: &[u8],
    secrets: &SecretKeys,
    with: Replacement<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) {
    let is_separator = |byte: &u8| matches!(byte, b'&' | b';' | b'?' | b'#');
    let mut rest = text;
    loop {
        let end = rest.iter().position(&is_separator).unwrap_or(rest.len());
        let (pair, tail) = rest.split_at(end);
        match pair.iter().position(|&byte| byte == b'=') {
            Some(at) => {
                let (key, value) = pair.split_at(at);
                let value = value.get(1..).unwrap_or_default();
                out.extend_from_slice(key);
                out.push(b'=');
                if secrets.is_secret_name(&percent_decode(key)) {
                    with.encoded(value, out);
                } else {
                    nested(value, secrets, with, depth, out);
                }
            }
            None => out.extend_from_slice(pair),
        }
        match tail.split_first() {
            Some((separator, after)) => {
                out.push(*separator);
                rest = after;
            }
            None => return,
        }
    }
}

/// A value that is not secret itself may hold an encoded URL, form or JSON text, parts of which are.
fn nested(
    value: &[u8],
    secrets: &SecretKeys,
    with: Replacement<'_>,
    depth: usize,
    out: &mut Vec<u8>,
) {
    if begins_json(value) {
        let decoded = percent_decode(value);
        let redacted = json::redact(&decoded, secrets, with);
        if redacted != decoded {
            percent_encode(&redacted, out);
            return;
        }
    } else if depth > 0 && contains(value, b"%3D") | contains(value, b"%3d") {
        let decoded = percent_decode(value);
        let mut redacted = Vec::with_capacity(decoded.len());
        // A path before the first pair must not become part of its key.
        let start = decoded
            .iter()
            .position(|&byte| byte == b'?')
            .map_or(0, |at| at + 1);
        let (path, query) = decoded.split_at(start);
        redacted.extend_from_slice(path);
        pairs(query, secrets, with, depth - 1, &mut redacted);
        if redacted != decoded {
            percent_encode(&redacted, out);
            return;
        }
    }
    out.extend_from_slice(value);
}

fn begins_json(value: &[u8]) -> bool {
    let escaped = |escape: &[u8]| {
        value
            .get(..escape.len())
            .is_some_and(|start| start.eq_ignore_ascii_case(escape))
    };
    matches!(value.first(), Some(b'{' | b'[')) || escaped(b"%7b") || escaped(b"%5b")
}

/// Redacts one header's value. `name` in any case.
pub fn header<'a>(
    name: &[u8],
    value: &'a [u8],
    secrets: &SecretKeys,
    with: Replacement<'_>,
) -> Cow<'a, [u8]> {
    let is = |other: &str| name.eq_ignore_ascii_case(other.as_bytes());
    if is("cookie") {
        return Cow::Owned(cookies(value, with));
    }
    if is("referer") || is("origin") || is("location") {
        return target(value, secrets, with);
    }
    let credentials = is("authorization") || is("proxy-authorization");
    if credentials || secrets.is_secret_name(name) {
        // The scheme says how a client authenticates, not as whom.
        let blank = value.iter().position(|&byte| byte == b' ');
        let scheme = blank.filter(|_| credentials).map_or(0, |at| at + 1);
        let (scheme, secret) = value.split_at(scheme);
        let mut out = scheme.to_vec();
        with.plain(secret, &mut out);
        return Cow::Owned(out);
    }
    Cow::Borrowed(value)
}

fn cookies(value: &[u8], with: Replacement<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(value.len());
    for (position, crumb) in value.split(|&byte| byte == b';').enumerate() {
        if position > 0 {
            out.push(b';');
        }
        match crumb.iter().position(|&byte| byte == b'=') {
            Some(at) => {
                let (name, secret) = crumb.split_at(at + 1);
                out.extend_from_slice(name);
                with.encoded(secret, &mut out);
            }
            None => {
                // A cookie without a name is all value; the space after the separator is not.
                let start = crumb
                    .iter()
                    .position(|byte| *byte != b' ')
                    .unwrap_or(crumb.len());
                let (space, secret) = crumb.split_at(start);
                out.extend_from_slice(space);
                with.encoded(secret, &mut out);
            }
        }
    }
    out
}

fn contains(haystack: &[u8], needle: &[u8]) -> bool {
    haystack
        .windows(needle.len())
        .any(|window| window == needle)
}

pub(crate) fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, escape)) = next_byte(&mut rest) {
        out.push(if byte == b'+' && escape == Escape::No {
            b' '
        } else {
            byte
        });
    }
    out
}

fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    for &byte in text {
        if byte.is_ascii_alphanumeric() || b"-._~*".contains(&byte) {
            out.push(byte);
        } else {
            push_escape(byte, out);
        }
    }
}

fn push_escape(byte: u8, out: &mut Vec<u8>) {
    const HEX: &[u8; 16] = b"0123456789ABCDEF";
    let digit = |nibble: u8| HEX.get(usize::from(nibble & 15)).copied().unwrap_or(b'0');
    out.extend_from_slice(&[b'%', digit(byte >> 4), digit(byte)]);
}

/// Whether a byte stood as a percent escape.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Escape {
    Yes,
    No,
}

/// Takes the next byte, decoding one percent escape.
fn next_byte(rest: &mut &[u8]) -> Option<(u8, Escape)> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
    };
    if let [b'%', high, low, after @ ..] = *rest
        && let (Some(high), Some(low)) = (hex(*high), hex(*low))
    {
        *rest = after;
        return Some((high << 4 | low, Escape::Yes));
    }
    let (&byte, after) = rest.split_first()?;
    *rest = after;
    Some((byte, Escape::No))
}

#[cfg(test)]
mod tests;
