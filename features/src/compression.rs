//! Compressed bodies, inflated up to a limit. Not here: compression of responses.

use std::io::Read;

use crate::limits::MAX_INFLATED;

/// What came out of a compressed body.
pub(crate) enum Inflated {
    /// The whole text.
    Whole,
    /// As much as the limit allows, or as was intact.
    Prefix,
    /// Not compressed as it claims.
    Unreadable,
}

/// Inflates `body` into `out` by the `Content-Encoding` token, at most [`MAX_INFLATED`] bytes.
///
/// Returns `None` for encodings that are not known, `identity` among them.
pub(crate) fn inflate(encoding: &[u8], body: &[u8], out: &mut Vec<u8>) -> Option<Inflated> {
    out.clear();
    let limit = MAX_INFLATED as u64 + 1;
    let encoding = encoding.trim_ascii().to_ascii_lowercase();
    let result = match encoding.as_slice() {
        b"gzip" | b"x-gzip" => flate2::read::MultiGzDecoder::new(body)
            .take(limit)
            .read_to_end(out),
        // RFC 9110 means zlib by `deflate`; some senders mean raw deflate.
        b"deflate" => match flate2::read::ZlibDecoder::new(body)
            .take(limit)
            .read_to_end(out)
        {
            Err(_) if out.is_empty() => flate2::read::DeflateDecoder::new(body)
                .take(limit)
                .read_to_end(out),
            result => result,
        },
        b"br" => brotli_decompressor::Decompressor::new(body, 4096)
            .take(limit)
            .read_to_end(out),
        _ => return None,
    };
    let over = out.len() > MAX_INFLATED;
    out.truncate(MAX_INFLATED);
    Some(match result {
        Ok(_) if !over => Inflated::Whole,
        _ if out.is_empty() => Inflated::Unreadable,
        _ => Inflated::Prefix,
    })
}
