//! Encoders that attackers stack, each undoing nothing and losing nothing.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

/// A name and what it does to a text.
pub(super) type Encoder = (&'static str, fn(&str) -> String);

pub(super) const ENCODERS: [Encoder; 26] = [
    ("percent", |text| {
        escape(
            text,
            |c| c.is_ascii_alphanumeric(),
            |byte| format!("%{byte:02x}"),
        )
    }),
    ("percent, all", |text| {
        escape(text, |_| false, |byte| format!("%{byte:02X}"))
    }),
    ("percent, twice", |text| {
        escape(
            text,
            |c| c.is_ascii_alphanumeric(),
            |byte| format!("%25{byte:02x}"),
        )
    }),
    ("%u", |text| each_unit(text, |unit| format!("%u{unit:04x}"))),
    ("overlong, two bytes", |text| overlong(text, 2)),
    ("overlong, three bytes", |text| overlong(text, 3)),
    ("overlong, four bytes", |text| overlong(text, 4)),
    ("overlong, five bytes", |text| overlong(text, 5)),
    ("overlong, six bytes", |text| overlong(text, 6)),
    ("decimal entities", |text| {
        each(text, |c| format!("&#{};", u32::from(c)))
    }),
    ("open decimal entities", |text| {
        each(text, |c| format!("&#000{}", u32::from(c)))
    }),
    ("hexadecimal entities", |text| {
        each(text, |c| format!("&#x{:x};", u32::from(c)))
    }),
    ("named entities", named),
    ("\\x", |text| each_ascii(text, |c| format!("\\x{c:02x}"))),
    ("\\u", |text| {
        each_unit(text, |unit| format!("\\u{unit:04X}"))
    }),
    ("\\u{}", |text| {
        each(text, |c| format!("\\u{{{:x}}}", u32::from(c)))
    }),
    ("octal", |text| each_ascii(text, |c| format!("\\{c:03o}"))),
    ("css", |text| each_ascii(text, |c| format!("\\{c:x} "))),
    ("css, six digits", |text| {
        each_ascii(text, |c| format!("\\{c:06x}"))
    }),
    ("full width", |text| text.chars().map(full_width).collect()),
    ("base64", |text| STANDARD.encode(text)),
    ("base64url", |text| URL_SAFE_NO_PAD.encode(text)),
    ("base64 of UTF-16", |text| {
        STANDARD.encode(utf16(text, u16::to_le_bytes))
    }),
    ("hexadecimal", |text| {
        text.bytes().map(|byte| format!("{byte:02x}")).collect()
    }),
    ("JSON escapes", json_escaped),
    ("UTF-7", utf7),
];

fn each(text: &str, encode: impl Fn(char) -> String) -> String {
    text.chars().map(encode).collect()
}

fn each_ascii(text: &str, encode: impl Fn(u32) -> String) -> String {
    let one = |c: char| match c {
        ' '..='~' => encode(u32::from(c)),
        other => other.to_string(),
    };
    text.chars().map(one).collect()
}

fn each_unit(text: &str, encode: impl Fn(u16) -> String) -> String {
    text.encode_utf16().map(encode).collect()
}

pub(super) fn escape(
    text: &str,
    keeps: impl Fn(char) -> bool,
    encode: impl Fn(u8) -> String,
) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if keeps(c) {
            out.push(c);
        } else {
            let bytes = c.to_string();
            out.extend(bytes.bytes().map(&encode));
        }
    }
    out
}

fn overlong(text: &str, length: usize) -> String {
    each(text, |c| {
        let code = u32::from(c);
        if code >= 0x80 {
            return escape(&c.to_string(), |_| false, |byte| format!("%{byte:02x}"));
        }
        let first = match length {
            2 => 0xc0 | code >> 6,
            3 => 0xe0,
            4 => 0xf0,
            5 => 0xf8,
            _ => 0xfc,
        };
        let mut out = format!("%{first:02x}");
        for index in (0..length - 1).rev() {
            out += &format!("%{:02x}", 0x80 | (code >> (6 * index) & 0x3f));
        }
        out
    })
}

fn named(text: &str) -> String {
    each(text, |c| {
        let name = match c {
            '<' => "lt",
            '>' => "gt",
            '&' => "amp",
            '"' => "quot",
            '\'' => "apos",
            '(' => "lpar",
            ')' => "rpar",
            ':' => "colon",
            ';' => "semi",
            '/' => "sol",
            '\\' => "bsol",
            '=' => "equals",
            '{' => "lcub",
            '}' => "rcub",
            '%' => "percnt",
            '.' => "period",
            '|' => "vert",
            '$' => "dollar",
            ' ' => "Tab",
            other => return other.to_string(),
        };
        format!("&{name};")
    })
}

fn full_width(c: char) -> char {
    match c {
        ' ' => '\u{3000}',
        '!'..='~' => char::from_u32(u32::from(c) + 0xfee0).unwrap_or(c),
        other => other,
    }
}

pub(super) fn json_escaped(text: &str) -> String {
    each(text, |c| match c {
        '"' => "\\\"".to_owned(),
        '\\' => "\\\\".to_owned(),
        '/' => "\\/".to_owned(),
        '<' | '>' | '&' | '\'' => format!("\\u{:04x}", u32::from(c)),
        other => other.to_string(),
    })
}

/// Only what is not written in UTF-7 already, or looks so: a plus sign would have to be undone by who shows the text.
fn utf7(text: &str) -> String {
    if text.contains('+') {
        return text.to_owned();
    }
    each(text, |c| match c {
        '<' | '>' | '"' | '\'' | '(' | ')' | '{' | '}' | '`' => {
            let code = STANDARD.encode((c as u16).to_be_bytes());
            format!("+{}-", code.trim_end_matches('='))
        }
        other => other.to_string(),
    })
}

pub(super) fn utf16(text: &str, order: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(order).collect()
}
