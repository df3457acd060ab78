//! How MIME writes what does not fit: folded headers, extended parameters, transfer encodings. Not here: parts.

use crate::blob::base64_bytes;
use crate::lent::Lent;

/// Header lines with their continuations joined (RFC 5322, 2.2.3).
pub(super) fn unfold(head: &[u8]) -> Lent {
    let mut out = Lent::new();
    for line in head.split(|&byte| byte == b'\n') {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if !matches!(line.first(), Some(b' ' | b'\t')) && !out.is_empty() {
            out.push(b'\n');
        }
        out.extend_from_slice(line);
    }
    out
}

/// The text of an extended parameter, `UTF-8'en'%3c` without what stands before its second apostrophe (RFC 5987).
pub(super) fn extended(value: &[u8]) -> &[u8] {
    let mut quotes = memchr::memchr_iter(b'\'', value);
    match (quotes.next(), quotes.next()) {
        (Some(_), Some(second)) => value.get(second + 1..).unwrap_or_default(),
        _ => value,
    }
}

/// The content without its transfer encoding, where it has one that changes bytes.
pub(super) fn decode(encoding: &[u8], content: &[u8]) -> Option<Lent> {
    if encoding.eq_ignore_ascii_case(b"base64") {
        let mut kept = Lent::new();
        kept.extend(content.iter().filter(|byte| !byte.is_ascii_whitespace()));
        return base64_bytes(&kept);
    }
    encoding
        .eq_ignore_ascii_case(b"quoted-printable")
        .then(|| quoted_printable(content))
}

/// RFC 2045, 6.7: `=3C` and lines that end in `=`.
fn quoted_printable(content: &[u8]) -> Lent {
    let mut out = Lent::new();
    let mut rest = content;
    while let Some(at) = memchr::memchr(b'=', rest) {
        let (before, escape) = rest.split_at(at);
        out.extend_from_slice(before);
        let (byte, length) = match escape {
            [_, b'\r', b'\n', ..] => (None, 3),
            [_, b'\n', ..] => (None, 2),
            [_, high, low, ..] => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                match (digit(*high), digit(*low)) {
                    (Some(high), Some(low)) => (Some((high << 4 | low) as u8), 3),
                    _ => (Some(b'='), 1),
                }
            }
            _ => (Some(b'='), 1),
        };
        out.extend(byte);
        rest = escape.get(length..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    out
}
