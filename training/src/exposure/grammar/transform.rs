//! Rewrites of generated text inside a payload: `«b64:rule»` is the base64 of what `rule` generates.
//!
//! Must not be here: encodings of whole payloads for transport; those are drawn later, for listed payloads too.

use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};

use crate::exposure::dice::Dice;

/// Every verb, for the test that no table names another.
#[cfg(test)]
pub(super) const VERBS: &[&str] = &[
    "b64",
    "b64u",
    "b16",
    "u16",
    "hex",
    "char",
    "chrdot",
    "chrplus",
    "chrpipe",
    "codes",
    "pct",
    "pct2",
    "jsx",
    "jsu",
    "oct",
    "ent",
    "enth",
    "mix",
    "up",
    "split",
    "splitdot",
    "splitpipe",
    "quoted",
    "dquoted",
    "caret",
    "slash",
    "json",
    "rev",
    "rot",
    "com",
    "plus",
    "ifs",
    "brace",
    "rep",
    "many",
    "css",
    "wide",
    "len",
    "title",
    "uri",
];

/// Applies `verb` to `text`; the text itself if there is no such verb.
pub(super) fn apply(verb: &str, text: &str, dice: &mut Dice) -> String {
    match verb {
        "b64" => STANDARD.encode(text),
        "b64u" => URL_SAFE_NO_PAD.encode(text),
        "b16" => bytes(text, "", |out, byte| write!(out, "{byte:02x}")),
        "u16" => STANDARD.encode(
            text.encode_utf16()
                .flat_map(u16::to_le_bytes)
                .collect::<Vec<u8>>(),
        ),
        "hex" => format!(
            "0x{}",
            bytes(text, "", |out, byte| write!(out, "{byte:02x}"))
        ),
        "char" => format!(
            "char({})",
            bytes(text, ",", |out, byte| write!(out, "{byte}"))
        ),
        "chrdot" => bytes(text, ".", |out, byte| write!(out, "chr({byte})")),
        "chrplus" => bytes(text, "+", |out, byte| write!(out, "char({byte})")),
        "chrpipe" => bytes(text, "||", |out, byte| write!(out, "CHR({byte})")),
        "codes" => bytes(text, ",", |out, byte| write!(out, "{byte}")),
        "pct" => bytes(text, "", |out, byte| write!(out, "%{byte:02x}")),
        "pct2" => bytes(text, "", |out, byte| write!(out, "%25{byte:02x}")),
        "jsx" => bytes(text, "", |out, byte| write!(out, "\\x{byte:02x}")),
        "jsu" => bytes(text, "", |out, byte| write!(out, "\\u{byte:04x}")),
        "oct" => bytes(text, "", |out, byte| write!(out, "\\{byte:o}")),
        "ent" => bytes(text, "", |out, byte| write!(out, "&#{byte};")),
        "enth" => bytes(text, "", |out, byte| write!(out, "&#x{byte:x};")),
        "css" => bytes(text, "", |out, byte| write!(out, "\\{byte:x} ")),
        "wide" => text.chars().map(full_width).collect(),
        "mix" => text
            .chars()
            .map(|letter| {
                if dice.chance(0.5) {
                    letter.to_ascii_uppercase()
                } else {
                    letter.to_ascii_lowercase()
                }
            })
            .collect(),
        "up" => text.to_ascii_uppercase(),
        "title" => title(text),
        "uri" => bytes(text, "", |out, byte| {
            if byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte) {
                out.push(char::from(byte));
                Ok(())
            } else {
                write!(out, "%{byte:02X}")
            }
        }),
        "split" => format!("'{}'", cut(text, "'+'", dice)),
        "splitdot" => format!("'{}'", cut(text, "'.'", dice)),
        "splitpipe" => format!("'{}'", cut(text, "'||'", dice)),
        "quoted" => cut(text, "''", dice),
        "dquoted" => cut(text, "\"\"", dice),
        "caret" => cut(text, "^", dice),
        "slash" => cut(text, "\\", dice),
        "json" => serde_json::to_string(text)
            .map(|quoted| quoted.trim_matches('"').to_owned())
            .unwrap_or_default(),
        "rev" => text.chars().rev().collect(),
        "rot" => text.chars().map(rot13).collect(),
        "com" => text.replace(' ', "/**/"),
        "plus" => text.replace(' ', "+"),
        "ifs" => text.replace(
            ' ',
            dice.word(&["${IFS}", "$IFS$9", "$IFS", "${IFS}$()", "\t"]),
        ),
        "brace" => format!("{{{}}}", text.replace(' ', ",")),
        "rep" => text.repeat(dice.between(2, 8) as usize),
        "many" => text.repeat(dice.between(20, 160) as usize),
        "len" => text.len().to_string(),
        _ => text.to_owned(),
    }
}

fn bytes(
    text: &str,
    separator: &str,
    mut one: impl FnMut(&mut String, u8) -> std::fmt::Result,
) -> String {
    let mut out = String::with_capacity(text.len() * 4);
    for (index, byte) in text.bytes().enumerate() {
        if index > 0 {
            out.push_str(separator);
        }
        // Writing to a string cannot fail.
        let _ = one(&mut out, byte);
    }
    out
}

/// Puts `knife` into the words of `text`, one to three times.
fn cut(text: &str, knife: &str, dice: &mut Dice) -> String {
    let letters: Vec<char> = text.chars().collect();
    let places: Vec<usize> = (1..letters.len())
        .filter(|at| {
            let inside = |index: usize| letters.get(index).is_some_and(char::is_ascii_alphanumeric);
            inside(at - 1) && inside(*at)
        })
        .collect();
    let wanted: Vec<usize> = (0..=dice.below(3))
        .filter_map(|_| dice.choose(&places).copied())
        .collect();
    let mut out = String::with_capacity(text.len() + 8);
    for (index, letter) in letters.into_iter().enumerate() {
        if wanted.contains(&index) {
            out.push_str(knife);
        }
        out.push(letter);
    }
    out
}

/// Every word with a capital letter.
fn title(text: &str) -> String {
    let mut begins = true;
    text.chars()
        .map(|letter| {
            let written = if begins {
                letter.to_ascii_uppercase()
            } else {
                letter
            };
            begins = letter == ' ';
            written
        })
        .collect()
}

fn full_width(letter: char) -> char {
    match u32::from(letter) {
        code @ 0x21..0x7f => char::from_u32(code + 0xfee0).unwrap_or(letter),
        _ => letter,
    }
}

fn rot13(letter: char) -> char {
    let turn = |base: u8, byte: u8| char::from(base + (byte - base + 13) % 26);
    match letter {
        'a'..='z' => turn(b'a', letter as u8),
        'A'..='Z' => turn(b'A', letter as u8),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn verbs_write_what_their_decoders_read() {
        let mut dice = Dice::new(1);
        for (verb, expected) in [
            ("b64", "aWQ="),
            ("hex", "0x6964"),
            ("char", "char(105,100)"),
            ("chrpipe", "CHR(105)||CHR(100)"),
            ("jsu", "\\u0069\\u0064"),
            ("rot", "vq"),
            ("u16", "aQBkAA=="),
            ("split", "'i'+'d'"),
            ("len", "2"),
            ("title", "Id"),
        ] {
            assert_eq!(apply(verb, "id", &mut dice), expected, "{verb}");
        }
    }

    #[test]
    fn every_verb_does_something() {
        for verb in VERBS {
            let made: Vec<String> = (0..20)
                .map(|seed| apply(verb, "cat \"/etc 'a'", &mut Dice::new(seed)))
                .collect();
            assert!(made.iter().any(|text| text != "cat \"/etc 'a'"), "{verb}");
        }
    }
}
