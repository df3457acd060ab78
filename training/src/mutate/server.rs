//! Template, expression, address, line-break and JSON payloads that read differently and mean the same.
//!
//! Must not be here: encodings of the transport.

use super::common::text;
use crate::exposure::dice::Dice;

/// Blanks inside the marks of an expression.
pub(super) fn template_blanks(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let blank = dice.word(&[" ", "  ", "\t", "\n"]);
    let out = text
        .replace("{{", &format!("{{{{{blank}"))
        .replace("}}", &format!("{blank}}}}}"));
    Some(out.replace('*', &format!("{blank}*{blank}")).into_bytes())
}

/// `.__name__` as `['__name__']`.
pub(super) fn template_brackets(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let quote = if text.contains('\'') {
        '"'
    } else {
        dice.word(&["'", "\""]).chars().next()?
    };
    let mut parts = text.split(".__");
    let mut out = parts.next()?.to_owned();
    for part in parts {
        match part.split_once("__") {
            Some((name, rest)) if name.bytes().all(|byte| byte.is_ascii_alphanumeric()) => {
                out.push_str(&format!("[{quote}__{name}__{quote}]{rest}"));
            }
            _ => {
                out.push_str(".__");
                out.push_str(part);
            }
        }
    }
    Some(out.into_bytes())
}

/// Letters of `jndi` and its scheme through a look-up.
fn jndi(payload: &[u8], mut letter: impl FnMut(char) -> String) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let at = text.find("${jndi:")? + 2;
    let (before, after) = text.split_at_checked(at)?;
    let (name, rest) = after.split_at_checked(4)?;
    let hidden: String = name.chars().map(&mut letter).collect();
    Some(format!("{before}{hidden}{rest}").into_bytes())
}

pub(super) fn jndi_lower(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let kind = dice.word(&["lower", "upper"]);
    let mut first = true;
    jndi(payload, |c| {
        let hide = std::mem::take(&mut first) || dice.chance(0.5);
        if hide {
            format!("${{{kind}:{c}}}")
        } else {
            c.to_string()
        }
    })
}

pub(super) fn jndi_default(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let kind = dice.word(&["::-", "env:NOPE:-", "sys:nope:-", "date:'"]);
    let close = if kind.ends_with('\'') { "'}" } else { "}" };
    let mut first = true;
    jndi(payload, |c| {
        let hide = std::mem::take(&mut first) || dice.chance(0.6);
        if hide {
            format!("${{{kind}{c}{close}")
        } else {
            c.to_string()
        }
    })
}

/// Dotted addresses rewritten by `form`.
fn addresses(payload: &[u8], mut form: impl FnMut([u8; 4]) -> String) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let is_part = |c: char| c.is_ascii_digit() || c == '.';
    let start = text
        .match_indices(|c: char| c.is_ascii_digit())
        .find_map(|(at, _)| {
            let alone = text.get(..at).is_some_and(|before| {
                !before.ends_with(|c: char| c.is_ascii_alphanumeric() || c == '.')
            });
            let run = text.get(at..)?;
            let length = run.find(|c: char| !is_part(c)).unwrap_or(run.len());
            let address: std::net::Ipv4Addr = run.get(..length)?.parse().ok()?;
            alone.then_some((at, length, address.octets()))
        });
    let (at, length, octets) = start?;
    Some(
        format!(
            "{}{}{}",
            text.get(..at)?,
            form(octets),
            text.get(at + length..)?
        )
        .into_bytes(),
    )
}

pub(super) fn address_number(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let hex = dice.chance(0.5);
    addresses(payload, |octets| {
        let number = u32::from_be_bytes(octets);
        if hex {
            format!("0x{number:08x}")
        } else {
            number.to_string()
        }
    })
}

pub(super) fn address_octal(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let zeros = dice.word(&["0", "00", "0000"]);
    addresses(payload, |octets| {
        octets.map(|octet| format!("{zeros}{octet:o}")).join(".")
    })
}

fn line_breaks(payload: &[u8], raw: &str, escaped: &str) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let out = text
        .replace("\r\n", raw)
        .replace("%0d%0a", escaped)
        .replace("%0D%0A", escaped);
    Some(out.into_bytes())
}

pub(super) fn line_feed(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    line_breaks(payload, "\n", "%0a")
}

/// Characters whose low bytes are the line break, for servers that cut them.
pub(super) fn line_break_unicode(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    line_breaks(payload, "\u{560d}\u{560a}", "%E5%98%8D%E5%98%8A")
}

/// Letters and `$` of JSON names as escapes.
pub(super) fn json_escape(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)
        .filter(|text| text.trim_start().starts_with(['{', '[']) && text.contains('"'))?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        let literal = inside && !escaped;
        if literal && (matches!(c, '$' | '_') || (c.is_ascii_alphabetic() && dice.chance(0.2))) {
            out.push_str(&format!("\\u{:04x}", u32::from(c)));
        } else {
            out.push(c);
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
    }
    Some(out.into_bytes())
}

pub(super) fn json_blanks(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| text.trim_start().starts_with(['{', '[']))?;
    let mut out = String::with_capacity(text.len() * 2);
    let (mut inside, mut escaped) = (false, false);
    for c in text.chars() {
        if !inside && matches!(c, '{' | '}' | ':' | ',' | '[' | ']') {
            let blank = dice.word(&[" ", "\n", "\t", "\r\n  "]);
            out.push_str(blank);
            out.push(c);
            out.push_str(blank);
        } else {
            out.push(c);
        }
        if c == '"' && !escaped {
            inside = !inside;
        }
        escaped = inside && c == '\\' && !escaped;
    }
    Some(out.trim_start().as_bytes().to_vec())
}
