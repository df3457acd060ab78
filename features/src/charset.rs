//! Text that is not UTF-8: UTF-16 and 32, UTF-7 and EBCDIC, by declaration or by their looks.
//!
//! Not here: what the text holds. A server that honours a `charset` reads other characters than a filter that does not.

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use crate::lent::Lent;

/// An encoding of text other than UTF-8.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Charset {
    /// UTF-16 with the low byte first, or UTF-32, whose zeros are dropped.
    Utf16Le,
    /// UTF-16 with the high byte first.
    Utf16Be,
    /// RFC 2152.
    Utf7,
    /// Code page 037 and its kin.
    Ebcdic,
}

/// How much of a text its looks are judged by.
const SAMPLE: usize = 512;
/// Shorter texts have too few zeros to tell.
const SHORTEST: usize = 6;

/// Letters and digits of a charset's name that are read.
const LONGEST_NAME: usize = 24;

/// IBM's code pages that are EBCDIC; they differ little from page 037 in what attacks are written in.
const PAGES: [&[u8]; 16] = [
    b"037", b"37", b"273", b"277", b"278", b"280", b"284", b"285", b"297", b"500", b"870", b"871",
    b"1026", b"1047", b"1140", b"1141",
];

/// The charset that a content type or an XML declaration names, when it is one of these.
pub(crate) fn declared(content_type: &[u8], body: &[u8]) -> Option<Charset> {
    let declaration = if body.starts_with(b"<?xml") {
        body.get(..body.len().min(120)).unwrap_or_default()
    } else {
        b""
    };
    named(content_type, b"charset").or_else(|| named(declaration, b"encoding"))
}

fn named(text: &[u8], parameter: &[u8]) -> Option<Charset> {
    let at = text
        .windows(parameter.len())
        .position(|window| window.eq_ignore_ascii_case(parameter))?;
    let written = text
        .get(at + parameter.len()..)?
        .iter()
        .skip_while(|byte| matches!(byte, b' ' | b'=' | b'"' | b'\''))
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
        .filter(|byte| byte.is_ascii_alphanumeric());
    let mut name = [0u8; LONGEST_NAME];
    let mut length = 0;
    for (slot, byte) in name.iter_mut().zip(written) {
        *slot = byte.to_ascii_lowercase();
        length += 1;
    }
    match name.get(..length)? {
        b"utf16" | b"utf16be" | b"utf32" | b"utf32be" | b"ucs2" | b"unicode" | b"iso10646ucs2" => {
            Some(Charset::Utf16Be)
        }
        b"utf16le" | b"utf32le" => Some(Charset::Utf16Le),
        b"utf7" | b"unicode11utf7" | b"csutf7" | b"unicode20utf7" => Some(Charset::Utf7),
        name => {
            let digits = name.iter().position(u8::is_ascii_digit);
            let number = digits.and_then(|at| name.get(at..)).unwrap_or_default();
            let family = name.starts_with(b"ibm") || name.starts_with(b"cp");
            (name.starts_with(b"ebcdic") || family && PAGES.contains(&number))
                .then_some(Charset::Ebcdic)
        }
    }
}

/// UTF-16 or 32 by its byte order mark, or by the zeros of its ASCII.
pub(crate) fn sniffed(bytes: &[u8]) -> Option<Charset> {
    match bytes {
        [0xff, 0xfe, ..] => return Some(Charset::Utf16Le),
        [0xfe, 0xff, ..] | [0, 0, 0xfe, 0xff, ..] => return Some(Charset::Utf16Be),
        _ if bytes.len() < SHORTEST => return None,
        _ => {}
    }
    let sample = bytes.get(..SAMPLE).unwrap_or(bytes);
    memchr::memchr2(0, 0xff, sample)?;
    // ASCII has 0 as its upper half and full-width letters have 0xff.
    let is_page = |byte: u8| matches!(byte, 0 | 0xff);
    let pairs = sample.len() / 2;
    let (mut first_pages, mut second_pages, mut odd) = (0, 0, 0);
    for pair in sample.chunks_exact(2) {
        let [first, second] = pair else { continue };
        first_pages += usize::from(is_page(*first));
        second_pages += usize::from(is_page(*second));
        let control =
            |byte: u8| byte != 0 && byte.is_ascii_control() && !byte.is_ascii_whitespace();
        odd += usize::from(match pair {
            [0, other] | [other, 0] => control(*other),
            _ => false,
        });
    }
    let most = |count: usize| count * 10 >= pairs * 7;
    if odd * 10 > pairs || first_pages + second_pages > pairs * 2 * 4 / 5 {
        return None;
    }
    match (most(first_pages), most(second_pages)) {
        (false, true) => Some(Charset::Utf16Le),
        (true, false) => Some(Charset::Utf16Be),
        _ => None,
    }
}

/// The text as UTF-8. What is not valid becomes the replacement character; nothing is lost silently.
pub(crate) fn to_utf8(charset: Charset, bytes: &[u8]) -> Lent {
    match charset {
        Charset::Utf16Le => utf16(
            bytes.strip_prefix(b"\xff\xfe").unwrap_or(bytes),
            u16::from_le_bytes,
        ),
        Charset::Utf16Be => {
            // A declared `utf-16` leaves the order open; a mark or the zeros decide.
            if sniffed(bytes) == Some(Charset::Utf16Le) {
                return to_utf8(Charset::Utf16Le, bytes);
            }
            let bytes = bytes
                .strip_prefix(b"\0\0")
                .filter(|rest| rest.starts_with(b"\xfe\xff"))
                .unwrap_or(bytes);
            utf16(
                bytes.strip_prefix(b"\xfe\xff").unwrap_or(bytes),
                u16::from_be_bytes,
            )
        }
        Charset::Utf7 => utf7(bytes),
        Charset::Ebcdic => ebcdic(bytes),
    }
}

/// Zeros are dropped: they are the upper halves of UTF-32, and text has none.
fn utf16(bytes: &[u8], order: fn([u8; 2]) -> u16) -> Lent {
    let units = bytes.chunks(2).map(|pair| match pair {
        [first, second] => order([*first, *second]),
        [last] => u16::from(*last),
        _ => 0,
    });
    let mut out = Lent::new();
    for character in char::decode_utf16(units.filter(|unit| *unit != 0)) {
        let character = character.unwrap_or(char::REPLACEMENT_CHARACTER);
        out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
    }
    out
}

const MODIFIED: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Undoes the shifted parts of UTF-7, `+ADw-` for `<`.
pub(crate) fn utf7(bytes: &[u8]) -> Lent {
    let mut out = Lent::new();
    let mut rest = bytes;
    while let Some(at) = memchr::memchr(b'+', rest) {
        let (before, shifted) = rest.split_at(at);
        out.extend_from_slice(before);
        let shifted = shifted.get(1..).unwrap_or_default();
        let length = shifted
            .iter()
            .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/'))
            .count();
        let (code, after) = shifted.split_at(length);
        let closed = after.strip_prefix(b"-");
        // One character needs three digits, and one digit more or less than whole bytes cannot be.
        let mut units = Lent::new();
        let digits = code.get(..code.len() - usize::from(code.len() % 4 == 1));
        let decodes = code.len() >= 3
            && digits.is_some_and(|digits| MODIFIED.decode_vec(digits, &mut units).is_ok());
        match (decodes, code.is_empty(), closed) {
            (true, _, _) => {
                let whole = units.get(..units.len() / 2 * 2).unwrap_or_default();
                out.extend_from_slice(&utf16(whole, u16::from_be_bytes));
                rest = closed.unwrap_or(after);
            }
            (false, true, Some(after)) => {
                out.push(b'+');
                rest = after;
            }
            _ => {
                out.push(b'+');
                out.extend_from_slice(code);
                rest = after;
            }
        }
    }
    out.extend_from_slice(rest);
    out
}

/// Code page 037 to Latin-1, generated from the Unicode consortium's CP037.TXT.
const CP037: [u8; 256] = [
    0x00, 0x01, 0x02, 0x03, 0x9c, 0x09, 0x86, 0x7f, 0x97, 0x8d, 0x8e, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f,
    0x10, 0x11, 0x12, 0x13, 0x9d, 0x85, 0x08, 0x87, 0x18, 0x19, 0x92, 0x8f, 0x1c, 0x1d, 0x1e, 0x1f,
    0x80, 0x81, 0x82, 0x83, 0x84, 0x0a, 0x17, 0x1b, 0x88, 0x89, 0x8a, 0x8b, 0x8c, 0x05, 0x06, 0x07,
    0x90, 0x91, 0x16, 0x93, 0x94, 0x95, 0x96, 0x04, 0x98, 0x99, 0x9a, 0x9b, 0x14, 0x15, 0x9e, 0x1a,
    0x20, 0xa0, 0xe2, 0xe4, 0xe0, 0xe1, 0xe3, 0xe5, 0xe7, 0xf1, 0xa2, 0x2e, 0x3c, 0x28, 0x2b, 0x7c,
    0x26, 0xe9, 0xea, 0xeb, 0xe8, 0xed, 0xee, 0xef, 0xec, 0xdf, 0x21, 0x24, 0x2a, 0x29, 0x3b, 0xac,
    0x2d, 0x2f, 0xc2, 0xc4, 0xc0, 0xc1, 0xc3, 0xc5, 0xc7, 0xd1, 0xa6, 0x2c, 0x25, 0x5f, 0x3e, 0x3f,
    0xf8, 0xc9, 0xca, 0xcb, 0xc8, 0xcd, 0xce, 0xcf, 0xcc, 0x60, 0x3a, 0x23, 0x40, 0x27, 0x3d, 0x22,
    0xd8, 0x61, 0x62, 0x63, 0x64, 0x65, 0x66, 0x67, 0x68, 0x69, 0xab, 0xbb, 0xf0, 0xfd, 0xfe, 0xb1,
    0xb0, 0x6a, 0x6b, 0x6c, 0x6d, 0x6e, 0x6f, 0x70, 0x71, 0x72, 0xaa, 0xba, 0xe6, 0xb8, 0xc6, 0xa4,
    0xb5, 0x7e, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0xa1, 0xbf, 0xd0, 0xdd, 0xde, 0xae,
    0x5e, 0xa3, 0xa5, 0xb7, 0xa9, 0xa7, 0xb6, 0xbc, 0xbd, 0xbe, 0x5b, 0x5d, 0xaf, 0xa8, 0xb4, 0xd7,
    0x7b, 0x41, 0x42, 0x43, 0x44, 0x45, 0x46, 0x47, 0x48, 0x49, 0xad, 0xf4, 0xf6, 0xf2, 0xf3, 0xf5,
    0x7d, 0x4a, 0x4b, 0x4c, 0x4d, 0x4e, 0x4f, 0x50, 0x51, 0x52, 0xb9, 0xfb, 0xfc, 0xf9, 0xfa, 0xff,
    0x5c, 0xf7, 0x53, 0x54, 0x55, 0x56, 0x57, 0x58, 0x59, 0x5a, 0xb2, 0xd4, 0xd6, 0xd2, 0xd3, 0xd5,
    0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x36, 0x37, 0x38, 0x39, 0xb3, 0xdb, 0xdc, 0xd9, 0xda, 0x9f,
];

/// Forms in EBCDIC keep their ASCII separators and percent signs: escapes are translated where they stand, and bytes
/// only in texts that are no ASCII.
fn ebcdic(bytes: &[u8]) -> Lent {
    let ascii = bytes.is_ascii() || memchr::memchr(b'%', bytes).is_some();
    let mut out = Lent::new();
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escape = bytes.get(at + 1..at + 3).filter(|_| byte == b'%');
        let code = escape
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|digits| u8::from_str_radix(digits, 16).ok());
        at += if code.is_some() { 3 } else { 1 };
        let code = match code {
            Some(code) => Some(code),
            None => (!ascii).then_some(byte),
        };
        match code {
            Some(code) => {
                let latin = char::from(CP037.get(usize::from(code)).copied().unwrap_or(code));
                let separates = matches!(latin, '&' | '=' | '%' | '+' | ';');
                if separates && ascii {
                    out.extend_from_slice(format!("%{:02X}", u32::from(latin)).as_bytes());
                } else {
                    out.extend_from_slice(latin.encode_utf8(&mut [0; 4]).as_bytes());
                }
            }
            None => out.push(byte),
        }
    }
    out
}
