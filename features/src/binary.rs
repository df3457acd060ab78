//! Text or not text, and the code inside what is not. Not here: media types, which senders choose freely.

use crate::decode::Plus;
use crate::field::{Marks, Scratch};
use crate::limits::MAX_NESTING;
use crate::nested::leaf;
use crate::sink::{Origin, Place, emit};

/// How much of a body is looked at.
const SAMPLE: usize = 1024;

/// True when more than a twentieth of the beginning is neither printable ASCII, white space nor UTF-8.
pub(crate) fn is_binary(bytes: &[u8]) -> bool {
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    let mut odd = 0;
    for chunk in sample.utf8_chunks() {
        odd += chunk.invalid().len();
        odd += chunk
            .valid()
            .bytes()
            .filter(|byte| byte.is_ascii_control() && !is_blank(*byte))
            .count();
    }
    odd * 20 > sample.len()
}

/// True for what no application reads as text: binary data, and PDF, whose pieces of text are nobody's fields.
pub(crate) fn is_file(bytes: &[u8]) -> bool {
    is_binary(bytes) || bytes.starts_with(b"%PDF-")
}

/// True when at least 19 of 20 bytes are printable or white space, as ASCII or UTF-8: what hides in base64 must read as
/// text.
pub(crate) fn is_mostly_printable(bytes: &[u8]) -> bool {
    let (mut foreign, mut odd) = (0, 0);
    for &byte in bytes {
        foreign += usize::from(!byte.is_ascii());
        odd += usize::from(byte.is_ascii_control() && !is_blank(byte));
    }
    if bytes.is_empty() || odd * 20 > bytes.len() {
        return false;
    }
    if (odd + foreign) * 20 <= bytes.len() {
        return true;
    }
    // Two random bytes are a valid character one time in thirty, so text must be mostly ASCII or long.
    (foreign * 4 <= bytes.len() || bytes.len() >= 24 && odd == 0)
        && std::str::from_utf8(bytes).is_ok()
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b'\t' | b'\n' | b'\r')
}

/// Shorter printable runs of binary data are chance.
const SHORTEST_CODE: usize = 16;

/// Adds binary data as windows of its bytes, and every printable run of it in which code begins: an image that is also
/// a script is run for the script.
pub(crate) fn binary(scratch: &mut Scratch, place: Place<'_>, bytes: &[u8], origin: Origin) {
    emit(scratch, place, bytes, origin.marked(Marks::BINARY));
    let is_text = |byte: &u8| matches!(byte, b' '..=b'~') || is_blank(*byte);
    let mut done = 0;
    for at in memchr::memchr_iter(b'<', bytes) {
        if at < done || !begins_code(bytes.get(at..).unwrap_or_default()) {
            continue;
        }
        let before = bytes.get(done..at).unwrap_or_default();
        let start = at - before.iter().rev().take_while(|byte| is_text(byte)).count();
        let length = bytes
            .iter()
            .skip(at)
            .take_while(|byte| is_text(byte))
            .count();
        done = at + length;
        if done - start >= SHORTEST_CODE {
            let run = bytes.get(start..done).unwrap_or_default();
            let origin = origin.marked(Marks::NESTED);
            leaf(scratch, place, run, Plus::Literal, origin, MAX_NESTING - 1);
        }
    }
}

/// Where in binary data a script begins, if one does: for those who pass it on without a look at the rest.
#[must_use]
pub fn script_at(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', bytes).find(|at| begins_code(bytes.get(*at..).unwrap_or_default()))
}

/// The openings of server and browser scripts. Pictures carry `<?xpacket` and `<?xml` without harm, and any two bytes
/// by chance.
fn begins_code(rest: &[u8]) -> bool {
    let head = rest.get(..9).unwrap_or(rest).to_ascii_lowercase();
    match head.as_slice() {
        [b'<', b'?', next, ..] => {
            *next == b'=' || next.is_ascii_whitespace() || head.starts_with(b"<?php")
        }
        [b'<', b'%', next, ..] => matches!(next, b'@' | b'=' | b'!') || next.is_ascii_whitespace(),
        _ => {
            head.starts_with(b"<script")
                || head.starts_with(b"<svg")
                || head.starts_with(b"<iframe")
        }
    }
}
