//! Redaction of request bodies by their declared type: forms, JSON, multipart and XML.
//!
//! Not here: parsing for detection (`weir-features`). The rewriting is textual and forgiving: bodies are cut, broken
//! or hostile, and what is not recognised is copied.

use std::borrow::Cow;

use weir_scoring::reason::SecretKeys;

use super::{NESTING, Replacement, json, pairs};

/// Redacts a body. `content_type` is the header's value, empty when there is none.
pub fn body<'a>(
    content_type: &[u8],
    body: &'a [u8],
    secrets: &SecretKeys,
    with: Replacement<'_>,
) -> Cow<'a, [u8]> {
    let kind = content_type.to_ascii_lowercase();
    if super::contains(&kind, b"multipart/")
        && let Some(boundary) = boundary(content_type)
    {
        return Cow::Owned(multipart(&boundary, body, secrets, with));
    }
    single(&kind, body, secrets, with)
}

/// A body, or a part of one, that is no multipart.
fn single<'a>(
    kind: &[u8],
    body: &'a [u8],
    secrets: &SecretKeys,
    with: Replacement<'_>,
) -> Cow<'a, [u8]> {
    let has = |name: &str| super::contains(kind, name.as_bytes());
    let first = body.iter().find(|byte| !byte.is_ascii_whitespace());
    // Clients lie about types: what looks like JSON or XML is treated as such whatever it is called.
    if has("json") || matches!(first, Some(b'{' | b'[')) {
        return Cow::Owned(json::redact(body, secrets, with));
    }
    if has("xml") || first == Some(&b'<') {
        return Cow::Owned(xml(body, secrets, with));
    }
    if has("graphql") {
        return secrets.mask_inline(body);
    }
    if has("form-urlencoded") || (body.contains(&b'=') && std::str::from_utf8(body).is_ok()) {
        let mut out = Vec::with_capacity(body.len());
        pairs(body, secrets, with, NESTING, &mut out);
        return Cow::Owned(out);
    }
    Cow::Borrowed(body)
}

fn multipart(boundary: &[u8], body: &[u8], secrets: &SecretKeys, with: Replacement<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = find(rest, boundary) {
        let (part, tail) = rest.split_at(at);
        redact_part(part, secrets, with, &mut out);
        let (mark, after) = tail.split_at(boundary.len());
        out.extend_from_slice(mark);
        rest = after;
    }
    redact_part(rest, secrets, with, &mut out);
    out
}

fn redact_part(part: &[u8], secrets: &SecretKeys, with: Replacement<'_>, out: &mut Vec<u8>) {
    let split = find(part, b"\r\n\r\n").map(|at| at + 4);
    let Some((head, value)) = split.map(|at| part.split_at(at)) else {
        out.extend_from_slice(part);
        return;
    };
    out.extend_from_slice(head);
    match attribute(head, b"name=") {
        Some(name) if secrets.is_secret_name(name) => {
            let (value, end) = match value.strip_suffix(b"\r\n") {
                Some(value) => (value, &b"\r\n"[..]),
                None => (value, &b""[..]),
            };
            with.plain(value, out);
            out.extend_from_slice(end);
        }
        _ => {
            let kind = part_type(head).to_ascii_lowercase();
            out.extend_from_slice(&single(&kind, value, secrets, with));
        }
    }
}

/// What a part says it is, empty when it says nothing.
fn part_type(head: &[u8]) -> &[u8] {
    const NAME: &[u8] = b"content-type:";
    head.split(|&byte| byte == b'\n')
        .filter_map(|line| line.split_at_checked(NAME.len()))
        .find(|(name, _)| name.eq_ignore_ascii_case(NAME))
        .map_or(&b""[..], |(_, value)| value)
}

fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    let value = attribute(content_type, b"boundary=")?;
    let mut mark = b"--".to_vec();
    mark.extend_from_slice(value);
    (!value.is_empty()).then_some(mark)
}

/// The value of `name="..."` or `name=...`, where `name` begins a word: `filename=` is not `name=`.
fn attribute<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    let mut from = 0;
    loop {
        let rest = text.get(from..)?;
        let at = rest
            .windows(name.len())
            .position(|window| window.eq_ignore_ascii_case(name))?;
        let begins_word = at
            .checked_sub(1)
            .and_then(|before| rest.get(before))
            .is_none_or(|byte| !byte.is_ascii_alphanumeric());
        let value = rest.get(at + name.len()..)?;
        if begins_word {
            return match value.strip_prefix(b"\"") {
                Some(quoted) => quoted.split(|&byte| byte == b'"').next(),
                None => value
                    .split(|byte| matches!(byte, b';' | b'\r' | b'\n' | b' '))
                    .next(),
            };
        }
        from += at + name.len();
    }
}

/// Replaces the text directly inside elements with secret names, and attributes with secret names.
fn xml(body: &[u8], secrets: &SecretKeys, with: Replacement<'_>) -> Vec<u8> {
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    let mut secret = false;
    while let Some(at) = rest.iter().position(|&byte| byte == b'<') {
        let (text, tag_on) = rest.split_at(at);
        if secret {
            with.plain(text, &mut out)
        } else {
            out.extend_from_slice(text)
        }
        let end = tag_on
            .iter()
            .position(|&byte| byte == b'>')
            .map_or(tag_on.len(), |end| end + 1);
        let (tag, after) = tag_on.split_at(end);
        let cdata = tag.starts_with(b"<![CDATA[");
        if cdata && secret {
            with.plain(tag, &mut out);
        } else if cdata {
            out.extend_from_slice(tag);
        } else {
            attributes(tag, secrets, with, &mut out);
            secret = !tag.starts_with(b"</") && secrets.is_secret_name(element_name(tag));
        }
        rest = after;
    }
    if secret {
        with.plain(rest, &mut out)
    } else {
        out.extend_from_slice(rest)
    }
    out
}

fn element_name(tag: &[u8]) -> &[u8] {
    let name = tag.get(1..).unwrap_or_default();
    let end = name
        .iter()
        .position(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/'));
    name.get(..end.unwrap_or(name.len())).unwrap_or(name)
}

fn attributes(tag: &[u8], secrets: &SecretKeys, with: Replacement<'_>, out: &mut Vec<u8>) {
    let mut rest = tag;
    while let Some(at) = rest.iter().position(|&byte| byte == b'=') {
        let (name, value) = rest.split_at(at + 1);
        out.extend_from_slice(name);
        rest = value;
        let word = name.strip_suffix(b"=").unwrap_or(name).trim_ascii_end();
        let start = word
            .iter()
            .rposition(u8::is_ascii_whitespace)
            .map_or(0, |at| at + 1);
        let secret = secrets.is_secret_name(word.get(start..).unwrap_or_default());
        let Some(&quote) = value.first().filter(|byte| matches!(byte, b'"' | b'\'')) else {
            continue;
        };
        let inner = value.get(1..).unwrap_or_default();
        let end = inner
            .iter()
            .position(|&byte| byte == quote)
            .unwrap_or(inner.len());
        let (text, tail) = inner.split_at(end);
        out.push(quote);
        if secret {
            with.plain(text, out)
        } else {
            out.extend_from_slice(text)
        }
        rest = tail;
    }
    out.extend_from_slice(rest);
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack
        .windows(needle.len().max(1))
        .position(|window| window == needle)
}
