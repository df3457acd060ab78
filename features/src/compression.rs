//! Compressed bodies, inflated up to a limit. Not here: compression of responses.

use std::io::Read;

use crate::limits::MAX_INFLATED;

/// What came out of a compressed body.
#[derive(Clone, Copy)]
pub(crate) enum Inflated {
    /// The whole text.
    Whole,
    /// As much as the limit allows, or as was intact.
    Prefix,
    /// Not compressed as it claims.
    Unreadable,
}

/// Codings that one body may be wrapped in; nobody needs more than one.
const MAX_CODINGS: usize = 3;

/// Inflates `body` into `out` by the `Content-Encoding` tokens, the last one first, at most [`MAX_INFLATED`] bytes each.
///
/// Returns `None` when no known coding is named, and `Prefix` when an unknown one hides what is below.
pub(crate) fn inflate(encoding: &[u8], body: &[u8], out: &mut Vec<u8>) -> Option<Inflated> {
    let mut result = None;
    let mut outer: Vec<u8>;
    let mut text = body;
    let mut tokens = encoding
        .split(|&byte| byte == b',')
        .map(|token| token.trim_ascii().to_ascii_lowercase())
        .filter(|token| !matches!(token.as_slice(), b"" | b"identity"))
        .rev()
        .take(MAX_CODINGS)
        .peekable();
    while let Some(token) = tokens.next() {
        let step = one(&token, text, out).unwrap_or(Inflated::Unreadable);
        result = match (result, step) {
            (None, Inflated::Unreadable) if is_known(&token) => return Some(step),
            (None, Inflated::Unreadable) => return None,
            // The inner text is all there is.
            (Some(_), Inflated::Unreadable) => {
                out.clear();
                out.extend_from_slice(text);
                return Some(Inflated::Prefix);
            }
            (Some(Inflated::Prefix), _) => Some(Inflated::Prefix),
            (_, step) => Some(step),
        };
        if tokens.peek().is_some() {
            outer = std::mem::take(out);
            text = &outer;
        }
    }
    result
}

fn is_known(coding: &[u8]) -> bool {
    matches!(coding, b"gzip" | b"x-gzip" | b"deflate" | b"br")
}

/// One coding; `None` when it is not known.
fn one(coding: &[u8], body: &[u8], out: &mut Vec<u8>) -> Option<Inflated> {
    let whole = match coding {
        b"gzip" | b"x-gzip" => read(flate2::read::MultiGzDecoder::new(body), out),
        b"deflate" => deflate(body, out),
        b"br" => read(brotli_decompressor::Decompressor::new(body, 4096), out),
        _ => return None,
    };
    let over = out.len() > MAX_INFLATED;
    out.truncate(MAX_INFLATED);
    Some(match whole {
        true if !over => Inflated::Whole,
        _ if out.is_empty() => Inflated::Unreadable,
        _ => Inflated::Prefix,
    })
}

/// RFC 9110 means zlib by `deflate`; some senders mean raw deflate, and a stream may begin like either.
fn deflate(body: &[u8], out: &mut Vec<u8>) -> bool {
    if read(flate2::read::ZlibDecoder::new(body), out) {
        return true;
    }
    let mut raw = Vec::new();
    let whole = read(flate2::read::DeflateDecoder::new(body), &mut raw);
    if whole || raw.len() > out.len() {
        *out = raw;
    }
    whole
}

/// Reads what there is, one byte past the limit at most; true when it ended well.
fn read(reader: impl Read, out: &mut Vec<u8>) -> bool {
    out.clear();
    reader
        .take(MAX_INFLATED as u64 + 1)
        .read_to_end(out)
        .is_ok()
}
