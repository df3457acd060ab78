//! The decoder's inverse: the ways in which an attacker writes the same payload so that it reads differently.

use ::base64::Engine as _;
use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE_NO_PAD};

use super::dice::Dice;

/// Whether bytes are the base64 of text: with anything before or after them nobody could decode them.
pub fn is_base64_text(bytes: &[u8]) -> bool {
    const SHORTEST: usize = 12;
    let text = bytes.trim_ascii();
    let decoded = STANDARD
        .decode(text)
        .or_else(|_| STANDARD_NO_PAD.decode(text))
        .or_else(|_| URL_SAFE_NO_PAD.decode(text));
    text.len() >= SHORTEST
        && decoded.is_ok_and(|inner| {
            let printable = inner
                .iter()
                .filter(|byte| matches!(byte, 0x20..0x7f | b'\r' | b'\n' | b'\t'))
                .count();
            printable * 10 >= inner.len() * 9
        })
}

/// Standard base64.
#[must_use]
pub fn base64(bytes: &[u8]) -> Vec<u8> {
    STANDARD.encode(bytes).into_bytes()
}

/// Percent and numeric character references undone, once or twice: enough to judge a list entry, never to score one.
#[must_use]
pub fn unescape(bytes: &[u8]) -> Vec<u8> {
    let mut text = bytes.to_vec();
    for _ in 0..3 {
        let next = entities(&percent_decoded(&text));
        if next == text {
            break;
        }
        text = next;
    }
    text
}

fn hex_pair(high: u8, low: u8) -> Option<u8> {
    let value = char::from(high).to_digit(16)? * 16 + char::from(low).to_digit(16)?;
    u8::try_from(value).ok()
}

/// One layer of percent-encoding undone; what is no escape stays.
#[must_use]
pub fn percent_decoded(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        rest = match rest {
            [b'%', high, low, tail @ ..] if hex_pair(*high, *low).is_some() => {
                out.extend(hex_pair(*high, *low));
                tail
            }
            [byte, tail @ ..] => {
                out.push(*byte);
                tail
            }
            [] => return out,
        };
    }
}

fn entities(bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [first, tail @ ..] = rest {
        rest = tail;
        if let (b'&', [b'#', number @ ..]) = (*first, tail) {
            let (radix, digits) = match number {
                [b'x' | b'X', digits @ ..] => (16, digits),
                _ => (10, number),
            };
            let count = digits
                .iter()
                .take_while(|byte| char::from(**byte).is_digit(radix))
                .count();
            let value = digits
                .get(..count)
                .and_then(|d| std::str::from_utf8(d).ok())
                .and_then(|d| u32::from_str_radix(d, radix).ok());
            if let Some(byte) = value.and_then(|value| u8::try_from(value).ok()) {
                out.push(byte);
                let after = digits.get(count..).unwrap_or_default();
                rest = after.strip_prefix(b";").unwrap_or(after);
                continue;
            }
        }
        out.push(*first);
    }
    out
}

/// Whether text already holds percent escapes, so that a further layer would hide them.
#[must_use]
pub fn has_escapes(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|window| {
        matches!(window, [b'%', high, low] if hex_pair(*high, *low).is_some())
            || matches!(window, [b'%', b'u' | b'U', _])
    })
}

/// Percent-encodes the bytes for which `wants` is true.
pub fn percent(bytes: &[u8], mut wants: impl FnMut(u8) -> bool) -> Vec<u8> {
    mapped(bytes, |byte, out| {
        if wants(byte) {
            out.extend_from_slice(format!("%{byte:02x}").as_bytes());
        } else {
            out.push(byte);
        }
    })
}

fn mapped(bytes: &[u8], mut f: impl FnMut(u8, &mut Vec<u8>)) -> Vec<u8> {
    let mut out = Vec::with_capacity(bytes.len() * 2);
    for byte in bytes {
        f(*byte, &mut out);
    }
    out
}

fn is_special(byte: u8) -> bool {
    !byte.is_ascii_alphanumeric() && byte < 0x80
}

/// A way to write a payload.
type Form = fn(&[u8], &mut Dice) -> Vec<u8>;

/// The written forms, each applied to a payload before the location's own transport encoding.
const FORMS: [Form; 16] = [
    |bytes, _| percent(bytes, is_special),
    |bytes, _| percent(bytes, |_| true),
    |bytes, _| percent(&percent(bytes, is_special), |byte| byte == b'%'),
    |bytes, dice| {
        let all = dice.chance(0.3);
        mapped(bytes, |byte, out| {
            if byte < 0x80 && (all || is_special(byte)) {
                out.extend_from_slice(format!("%u{:04x}", u32::from(byte)).as_bytes())
            } else {
                out.push(byte)
            }
        })
    },
    overlong,
    html,
    |bytes, dice| {
        let unicode = dice.chance(0.5);
        mapped(bytes, |byte, out| {
            if is_special(byte) && byte != b' ' {
                out.extend_from_slice(
                    if unicode {
                        format!("\\u{:04x}", u32::from(byte))
                    } else {
                        format!("\\x{byte:02x}")
                    }
                    .as_bytes(),
                );
            } else {
                out.push(byte);
            }
        })
    },
    full_width,
    mixed_case,
    mixed_case,
    comments,
    comments,
    whitespace,
    nulls,
    |bytes, dice| {
        if dice.chance(0.7) {
            base64(bytes)
        } else {
            URL_SAFE_NO_PAD.encode(bytes).into_bytes()
        }
    },
    |bytes, _| {
        mapped(bytes, |byte, out| match byte {
            b'/' => out.extend_from_slice(b"0x2f"),
            b'\\' => out.extend_from_slice(b"0x5c"),
            b'.' => out.extend_from_slice(b"0x2e"),
            _ => out.push(byte),
        })
    },
];

/// Indices into [`FORMS`] that make sense for a class; classes that are not listed get the first nine.
fn forms_of(class: &str) -> &'static [usize] {
    match class {
        "sqli" => &[0, 1, 2, 3, 8, 9, 10, 11, 12, 12, 13, 14, 6],
        "xss" => &[0, 1, 2, 3, 4, 5, 5, 6, 7, 8, 9, 12, 13, 14],
        "traversal" | "lfi" | "rfi" => &[0, 1, 2, 3, 4, 4, 7, 13, 15, 14],
        "cmdi" | "rce" | "ssti" | "jndi" => &[0, 1, 2, 3, 5, 6, 14, 14, 13],
        "crlf" | "mail" => &[0, 0, 1, 2, 3],
        "xxe" | "deserialization" => &[0, 2, 14, 5],
        "nosqli" | "ldap" | "xpath" | "graphql" | "prototype" => &[0, 1, 2, 3, 6, 14],
        _ => &[0, 1, 2, 3, 14],
    }
}

/// Writes a payload in zero, one or two random forms that fit its class.
pub fn obfuscate(payload: &[u8], class: &str, dice: &mut Dice) -> Vec<u8> {
    let rounds = dice.weighted(&[0.62, 0.31, 0.07]);
    let mut text = payload.to_vec();
    for _ in 0..rounds {
        let form = dice
            .choose(forms_of(class))
            .and_then(|index| FORMS.get(*index));
        if let Some(form) = form {
            text = form(&text, dice);
        }
    }
    text
}

fn overlong(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let length = 2 + dice.below(2);
    mapped(bytes, |byte, out| {
        let wide = matches!(byte, b'/' | b'\\' | b'.' | b'<' | b'>' | b'\'' | b'"');
        match (wide, length) {
            (true, 2) => out.extend_from_slice(
                format!("%{:02x}%{:02x}", 0xc0 | (byte >> 6), 0x80 | (byte & 0x3f)).as_bytes(),
            ),
            (true, _) => out.extend_from_slice(
                format!(
                    "%e0%{:02x}%{:02x}",
                    0x80 | (byte >> 6),
                    0x80 | (byte & 0x3f)
                )
                .as_bytes(),
            ),
            (false, _) => out.push(byte),
        }
    })
}

fn html(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let style = dice.below(4);
    let everything = dice.chance(0.2);
    mapped(bytes, |byte, out| {
        if !(everything || is_special(byte)) || byte == b' ' {
            out.push(byte);
            return;
        }
        let text = match (style, byte) {
            (0, b'<') => "&lt;".to_owned(),
            (0, b'>') => "&gt;".to_owned(),
            (0, b'"') => "&quot;".to_owned(),
            (0 | 1, _) => format!("&#{byte};"),
            (2, _) => format!("&#x{byte:x};"),
            _ => format!("&#{byte:07}"),
        };
        out.extend_from_slice(text.as_bytes());
    })
}

fn full_width(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let letters = dice.chance(0.3);
    mapped(bytes, |byte, out| {
        let wide = (0x21..0x7f).contains(&byte) && (letters || !byte.is_ascii_alphanumeric());
        let mut buffer = [0; 4];
        match char::from_u32(u32::from(byte) + 0xfee0) {
            Some(character) if wide => {
                out.extend_from_slice(character.encode_utf8(&mut buffer).as_bytes())
            }
            _ => out.push(byte),
        }
    })
}

fn mixed_case(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    mapped(bytes, |byte, out| {
        out.push(if dice.chance(0.5) {
            byte.to_ascii_uppercase()
        } else {
            byte.to_ascii_lowercase()
        })
    })
}

fn comments(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let filled = dice.chance(0.3);
    mapped(bytes, |byte, out| {
        if byte != b' ' {
            out.push(byte);
        } else if filled {
            out.extend_from_slice(format!("/*{}*/", dice.string(b"abcxyz019!", 3)).as_bytes());
        } else {
            out.extend_from_slice(b"/**/");
        }
    })
}

fn whitespace(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let choice = dice.word(&[
        "\t", "\n", "\r", "\u{b}", "\u{c}", "  ", "+", "%09", "%0a", "%a0", "%20",
    ]);
    mapped(bytes, |byte, out| {
        if byte == b' ' {
            out.extend_from_slice(choice.as_bytes())
        } else {
            out.push(byte)
        }
    })
}

fn nulls(bytes: &[u8], dice: &mut Dice) -> Vec<u8> {
    let at = dice.below(bytes.len() + 1);
    let (before, after) = bytes.split_at_checked(at).unwrap_or((bytes, b""));
    let null: &[u8] = if dice.chance(0.6) { b"%00" } else { b"\0" };
    [before, null, after].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_undone_in_layers() {
        assert_eq!(unescape(b"%2527"), b"'");
        assert_eq!(unescape(b"&#x3c;b&#62"), b"<b>");
        assert_eq!(unescape(b"100%"), b"100%");
    }

    #[test]
    fn every_form_of_every_class_is_known() {
        for class in [
            "sqli",
            "xss",
            "traversal",
            "cmdi",
            "crlf",
            "xxe",
            "nosqli",
            "other",
        ] {
            assert!(
                forms_of(class).iter().all(|index| *index < FORMS.len()),
                "{class}"
            );
        }
    }

    #[test]
    fn the_decoder_reads_overlong_slashes() {
        let mut dice = Dice::new(1);
        let text = overlong(b"/", &mut dice);
        assert!(text == b"%c0%af" || text == b"%e0%80%af", "{text:?}");
    }

    #[test]
    fn obfuscation_varies_and_keeps_something() {
        let mut dice = Dice::new(4);
        let made: std::collections::HashSet<Vec<u8>> = (0..200)
            .map(|_| obfuscate(b"<svg onload=alert(1)>", "xss", &mut dice))
            .collect();
        assert!(made.len() > 20);
        assert!(made.iter().all(|text| !text.is_empty()));
    }
}
