//! How bytes are written at a place of a request, so that they arrive there: the encoding a client or an attack tool applies.

use super::dice::Dice;
use super::encode::{has_escapes, percent};

/// Writes a value for a query string or a form.
pub(super) fn query(value: &[u8], dice: &mut Dice) -> Vec<u8> {
    let escaped = has_escapes(value);
    // Lists hold payloads that are encoded already; tools send those as they are, applications' own code encodes once more.
    if dice.chance(if escaped { 0.75 } else { 0.35 }) {
        return percent(value, |byte| {
            byte <= b' '
                || byte >= 0x7f
                || matches!(byte, b'#' | b'&' | b'+')
                || (byte == b'%' && !escaped)
        });
    }
    let plus = dice.chance(0.5);
    let mut out = percent(value, |byte| {
        !(byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'.' | b'*' | b'~')
            || (plus && byte == b' '))
    });
    if plus {
        for byte in &mut out {
            if *byte == b' ' {
                *byte = b'+';
            }
        }
    }
    out
}

/// Writes a raw piece of a query string or form: separators stay what they are.
pub(super) fn pairs(value: &[u8]) -> Vec<u8> {
    percent(value, |byte| byte <= b' ' || byte >= 0x7f || byte == b'#')
}

/// Writes a raw path; a query in it stays a query only if it is one.
pub(super) fn path(value: &[u8], dice: &mut Dice) -> Vec<u8> {
    let escaped = has_escapes(value);
    let all = !escaped && dice.chance(0.3);
    let has_query = value.starts_with(b"/")
        && value.windows(2).any(|pair| {
            pair.first() == Some(&b'?') && pair.last().is_some_and(u8::is_ascii_alphanumeric)
        });
    percent(value, |byte| {
        byte <= b' '
            || byte >= 0x7f
            || byte == b'#'
            || (byte == b'?' && !has_query)
            || (byte == b'%' && !escaped)
            || (all
                && !(byte.is_ascii_alphanumeric()
                    || matches!(byte, b'/' | b'-' | b'_' | b'.' | b'~')))
    })
}

/// Writes a header value: control bytes cannot travel there but encoded.
pub(super) fn header(value: &[u8]) -> Vec<u8> {
    percent(value, |byte| byte < b' ' || byte == 0x7f)
}

/// Writes a cookie value.
pub(super) fn cookie(value: &[u8], dice: &mut Dice) -> Vec<u8> {
    if dice.chance(0.4) && !has_escapes(value) {
        return percent(value, |byte| {
            !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'.' | b'~')
        });
    }
    percent(value, |byte| byte < b' ' || byte == 0x7f || byte == b';')
}

/// Text for JSON and XML, which hold characters and not bytes.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8(value.to_vec())
        .unwrap_or_else(|_| value.iter().copied().map(char::from).collect())
}

/// Writes text between XML tags.
pub(super) fn xml(value: &[u8], dice: &mut Dice) -> String {
    let text = text(value);
    match dice.below(5) {
        0 if !text.contains("]]>") => format!("<![CDATA[{text}]]>"),
        1 if text.starts_with('<') => text,
        _ => text
            .replace('&', "&amp;")
            .replace('<', "&lt;")
            .replace('>', "&gt;"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_travel() {
        let hostile: Vec<u8> = (0..=255).collect();
        for seed in 0..40 {
            let mut dice = Dice::new(seed);
            assert!(
                query(&hostile, &mut dice)
                    .iter()
                    .all(|byte| (0x21..0x7f).contains(byte))
            );
            assert!(
                path(&hostile, &mut dice)
                    .iter()
                    .all(|byte| (0x21..0x7f).contains(byte) && *byte != b'?')
            );
            assert!(
                !header(&hostile)
                    .iter()
                    .any(|byte| matches!(byte, b'\r' | b'\n' | 0))
            );
            assert!(
                !cookie(&hostile, &mut dice)
                    .iter()
                    .any(|byte| matches!(byte, b'\r' | b'\n' | b';'))
            );
        }
    }
}
