//! Bodies: giving a request one of the wanted kind, and putting a value into it.

use serde_json::Value;
use weir_scoring::record::OwnedRequest;

use super::{Mode, replace_pair, set_header};
use crate::exposure::dice::Dice;
use crate::exposure::{benign, transport};

fn content_type(request: &OwnedRequest) -> Vec<u8> {
    request
        .header("content-type")
        .unwrap_or_default()
        .to_ascii_lowercase()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}

/// The request as one that may carry a body.
pub(super) fn as_post(request: &OwnedRequest) -> OwnedRequest {
    let mut out = request.clone();
    if matches!(
        out.method.as_slice(),
        b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE"
    ) {
        out.method = b"POST".to_vec();
    }
    out
}

fn with_body(request: &OwnedRequest, body: Vec<u8>, kind: &str) -> OwnedRequest {
    let mut out = as_post(request);
    out.body = body;
    set_header(&mut out, "Content-Type", kind.into());
    fix_length(&mut out);
    out
}

/// Keeps `Content-Length` true.
pub(super) fn fix_length(request: &mut OwnedRequest) {
    if !request.body.is_empty() || request.header("content-length").is_some() {
        let length = request.body.len().to_string().into_bytes();
        set_header(request, "Content-Length", length);
    }
}

fn is_form(request: &OwnedRequest) -> bool {
    contains(&content_type(request), b"x-www-form-urlencoded") && request.body.contains(&b'=')
}

fn is_multipart(request: &OwnedRequest) -> bool {
    contains(&content_type(request), b"multipart/form-data") && request.body.starts_with(b"--")
}

pub(super) fn with_form(request: &OwnedRequest, dice: &mut Dice) -> OwnedRequest {
    if is_form(request) || is_multipart(request) {
        return request.clone();
    }
    if dice.chance(0.3) {
        let (body, kind) = benign::multipart(dice);
        return with_body(request, body, &kind);
    }
    with_body(
        request,
        benign::form(dice),
        "application/x-www-form-urlencoded",
    )
}

pub(super) fn with_json(request: &OwnedRequest, dice: &mut Dice) -> OwnedRequest {
    if !request.body.is_empty()
        && serde_json::from_slice::<Value>(&request.body)
            .is_ok_and(|value| value.is_object() || value.is_array())
    {
        return request.clone();
    }
    with_body(request, benign::json(dice), "application/json")
}

pub(super) fn with_xml(request: &OwnedRequest, dice: &mut Dice) -> OwnedRequest {
    with_body(
        request,
        benign::xml(dice),
        dice.word(&[
            "application/xml",
            "text/xml",
            "application/soap+xml; charset=utf-8",
        ]),
    )
}

pub(super) fn form_piece(request: &mut OwnedRequest, piece: &[u8]) {
    if is_multipart(request) {
        let (name, value) = match piece.iter().position(|byte| *byte == b'=') {
            Some(at) => (
                piece.get(..at).unwrap_or_default(),
                piece.get(at + 1..).unwrap_or_default(),
            ),
            None => (piece, &b"1"[..]),
        };
        let name: Vec<u8> = name
            .iter()
            .copied()
            .filter(|byte| !matches!(byte, b'"' | b'\r' | b'\n'))
            .collect();
        let (name, value) = (name.as_slice(), value.to_vec());
        return insert_part(
            request,
            &[b"Content-Disposition: form-data; name=\"", name, b"\""].concat(),
            &value,
        );
    }
    let separator: &[u8] = if request.body.is_empty() { b"" } else { b"&" };
    request.body = [&request.body, separator, &transport::pairs(piece)].concat();
}

pub(super) fn form_value(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    if is_multipart(request) {
        let name = benign::key(dice);
        // File names are written by clients as freely as values; quotes end them.
        if dice.chance(0.15)
            && !value
                .iter()
                .any(|byte| matches!(byte, b'"' | b'\r' | b'\n' | b'\0'))
        {
            let head = [
                b"Content-Disposition: form-data; name=\"",
                name.as_bytes(),
                b"\"; filename=\"",
                value,
                b"\"\r\nContent-Type: image/png",
            ]
            .concat();
            return insert_part(request, &head, &dice.bytes(64));
        }
        let head = [
            b"Content-Disposition: form-data; name=\"",
            name.as_bytes(),
            b"\"",
        ]
        .concat();
        return insert_part(request, &head, value);
    }
    let written = transport::query(value, dice);
    request.body = replace_pair(&request.body, b'&', &written, mode, dice);
}

/// Puts a part before all others of a multipart body.
fn insert_part(request: &mut OwnedRequest, head: &[u8], content: &[u8]) {
    let end = request
        .body
        .windows(2)
        .position(|pair| pair == b"\r\n")
        .unwrap_or(request.body.len());
    let boundary = request.body.get(..end).unwrap_or_default().to_vec();
    request.body = [
        boundary.as_slice(),
        b"\r\n",
        head,
        b"\r\n\r\n",
        content,
        b"\r\n",
        &request.body,
    ]
    .concat();
}

pub(super) fn json(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    let Ok(mut document) = serde_json::from_slice::<Value>(&request.body) else {
        return;
    };
    let new = transport::text(value);
    // Operators reach a document store as objects, not as text.
    let object = serde_json::from_str::<Value>(&new)
        .ok()
        .filter(|value| value.is_object() || value.is_array());
    let mut leaves = count_leaves(&document, 0);
    if leaves > 0 && dice.chance(0.85) {
        let mut wanted = dice.below(leaves);
        change_leaf(&mut document, &mut wanted, 0, &mut |leaf| {
            *leaf = match (&object, &leaf) {
                (Some(object), _) if mode == Mode::Replace => object.clone(),
                (_, Value::String(old)) => Value::String(match mode {
                    Mode::Replace => new.clone(),
                    Mode::Append => format!("{old}{new}"),
                    Mode::Prepend => format!("{new}{old}"),
                }),
                _ => Value::String(new.clone()),
            };
        });
    } else {
        leaves = 0;
    }
    if leaves == 0 {
        let added = object.unwrap_or(Value::String(new));
        match &mut document {
            Value::Object(map) => {
                map.insert(benign::key(dice), added);
            }
            Value::Array(list) => list.push(added),
            _ => document = added,
        }
    }
    request.body = serde_json::to_vec(&document).unwrap_or_default();
}

/// Leaves deeper than this are left alone: the extractor sees them as text.
const MAX_DEPTH: usize = 12;

fn count_leaves(value: &Value, depth: usize) -> usize {
    match value {
        _ if depth > MAX_DEPTH => 0,
        Value::Object(map) => map
            .values()
            .map(|value| count_leaves(value, depth + 1))
            .sum(),
        Value::Array(list) => list
            .iter()
            .map(|value| count_leaves(value, depth + 1))
            .sum(),
        _ => 1,
    }
}

fn change_leaf(
    value: &mut Value,
    wanted: &mut usize,
    depth: usize,
    change: &mut impl FnMut(&mut Value),
) -> bool {
    match value {
        _ if depth > MAX_DEPTH => false,
        Value::Object(map) => map
            .values_mut()
            .any(|value| change_leaf(value, wanted, depth + 1, change)),
        Value::Array(list) => list
            .iter_mut()
            .any(|value| change_leaf(value, wanted, depth + 1, change)),
        leaf if *wanted == 0 => {
            change(leaf);
            true
        }
        _ => {
            *wanted -= 1;
            false
        }
    }
}

pub(super) fn xml(request: &mut OwnedRequest, value: &[u8], mode: Mode, dice: &mut Dice) {
    if value.starts_with(b"<?xml")
        || value.starts_with(b"<!DOCTYPE")
        || value.starts_with(b"<!ENTITY")
    {
        request.body = value.to_vec();
        return;
    }
    let written = transport::xml(value, dice).into_bytes();
    let body = &request.body;
    let texts: Vec<(usize, usize)> = body
        .iter()
        .enumerate()
        .filter(|(_, byte)| **byte == b'>')
        .filter_map(|(at, _)| {
            let rest = body.get(at + 1..)?;
            let length = rest.iter().position(|byte| *byte == b'<')?;
            rest.get(..length)
                .filter(|text| !text.trim_ascii().is_empty())
                .map(|_| (at + 1, at + 1 + length))
        })
        .collect();
    if let Some((start, end)) = dice.choose(&texts).copied() {
        let old = body.get(start..end).unwrap_or_default();
        let new = mode.apply(old, written);
        request.body = [
            body.get(..start).unwrap_or_default(),
            &new,
            body.get(end..).unwrap_or_default(),
        ]
        .concat();
    }
}

/// The value becomes the whole body, with the content type a client would give it.
pub(super) fn raw(request: &mut OwnedRequest, value: &[u8]) {
    let text = value.trim_ascii_start();
    let first_line = text
        .split(|byte| matches!(byte, b'\r' | b'\n'))
        .next()
        .unwrap_or_default();
    let kind = if matches!(text.first(), Some(b'{' | b'['))
        && serde_json::from_slice::<Value>(text).is_ok()
    {
        "application/json".to_owned()
    } else if text.starts_with(b"<?xml")
        || text.starts_with(b"<!DOCTYPE")
        || text.starts_with(b"<soap")
    {
        "application/xml".to_owned()
    } else if first_line.starts_with(b"--") && contains(text, b"Content-Disposition") {
        format!(
            "multipart/form-data; boundary={}",
            String::from_utf8_lossy(first_line.get(2..).unwrap_or_default())
        )
    } else if is_pair(text) {
        "application/x-www-form-urlencoded".to_owned()
    } else {
        "text/plain".to_owned()
    };
    request.body = if kind.ends_with("urlencoded") {
        transport::pairs(value)
    } else {
        value.to_vec()
    };
    set_header(request, "Content-Type", kind.into_bytes());
}

fn is_pair(text: &[u8]) -> bool {
    let key = text.split(|byte| *byte == b'=').next().unwrap_or_default();
    key.len() < text.len()
        && !key.is_empty()
        && key.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']' | b'%' | b'$')
        })
}
