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

/// Bytes from its `<` on by which [`script_at`] knows a script.
pub const SCRIPT_OPENING: usize = 11;
/// Bytes behind an opening of three that have to be text as well.
const READS_ON: usize = 8;

/// Where in binary data a script begins, if one does: for those who pass it on without a look at the rest.
#[must_use]
pub fn script_at(bytes: &[u8]) -> Option<usize> {
    memchr::memchr_iter(b'<', bytes).find(|at| begins_code(bytes.get(*at..).unwrap_or_default()))
}

/// The openings of server and browser scripts. Pictures carry `<?xpacket` and `<?xml` without harm. Any three bytes
/// stand in every megabyte of packed data, so behind an opening of three text has to follow, or a comment.
fn begins_code(rest: &[u8]) -> bool {
    let opens = |opening: &[u8]| {
        let head = rest.get(..opening.len());
        head.is_some_and(|head| head.eq_ignore_ascii_case(opening))
    };
    let behind = rest
        .get(3..SCRIPT_OPENING.min(rest.len()))
        .unwrap_or_default();
    match rest {
        [b'<', b'?', next, ..] => {
            opens(b"<?php") || (*next == b'=' || next.is_ascii_whitespace()) && reads_on(behind)
        }
        [b'<', b'%', next, ..] => {
            (matches!(next, b'@' | b'=' | b'!') || next.is_ascii_whitespace()) && reads_on(behind)
        }
        [b'<', b's' | b'S' | b'i' | b'I', ..] => {
            opens(b"<script") || opens(b"<svg") || opens(b"<iframe")
        }
        _ => false,
    }
}

fn reads_on(behind: &[u8]) -> bool {
    let code = behind.trim_ascii_start();
    code.starts_with(b"/*")
        || code.starts_with(b"//")
        || code.starts_with(b"#")
        || behind.len() >= READS_ON && behind.iter().all(is_text)
}

fn is_text(byte: &u8) -> bool {
    matches!(byte, b' '..=b'~') || is_blank(*byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_script_is_known_by_its_opening_and_chance_is_none() {
        for script in [
            &b"<?PHP\xff"[..],
            b"<?=`$_GET[0]`?>",
            b"<?= /*\xff*/1",
            b"<% eval request(0) %>",
            b"<SCRIPT>",
            b"<svg/onload=a>",
        ] {
            let file = [b"\x00<\xfe<", script].concat();
            assert_eq!(script_at(&file), Some(4), "{script:?}");
        }
        for chance in [
            &b"<?=\x8a\x01abcdefgh"[..],
            b"<?= ab",
            b"<%!abc\x00defgh",
            b"<?xpacket begin=",
            b"<?xml version=",
            b"<sv",
        ] {
            assert_eq!(script_at(chance), None, "{chance:?}");
        }
    }
}
