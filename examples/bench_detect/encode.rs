//! The encoders of both tools, by the names that their case files use. Not here: where an encoded payload goes.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// GoTestWAF's encoder `name` applied to a payload; `None` for one that is not known.
pub(crate) fn apply(name: &str, payload: &str) -> Option<String> {
    Some(match name {
        "Plain" => payload.to_owned(),
        "URL" => form(payload),
        "Base64" => STANDARD.encode(payload),
        "Base64Flat" => STANDARD.encode(payload).replace('=', ""),
        "JSUnicode" => js_unicode(payload),
        "XMLEntity" => xml(payload),
        _ => return None,
    })
}

/// As in an HTML form: everything but letters, digits and `-_.~` in percent, a space as `+`.
pub(crate) fn form(text: &str) -> String {
    percent(text, b"-_.~ ").replace(' ', "+")
}

/// Percent-encodes all bytes but letters, digits and `kept`.
pub(crate) fn percent(text: &str, kept: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || kept.contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Every UTF-16 unit as `\uXXXX`.
pub(crate) fn js_unicode(text: &str) -> String {
    text.encode_utf16()
        .map(|unit| format!("\\u{unit:04x}"))
        .collect()
}

/// As character data of XML.
pub(crate) fn xml(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&#34;"),
            '\'' => out.push_str("&#39;"),
            '\t' | '\n' | '\r' => out.push_str(&format!("&#x{:X};", u32::from(char))),
            other => out.push(other),
        }
    }
    out
}

/// As Python's `html.escape` does.
pub(crate) fn html(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#x27;")
}

/// A request target as ordinary clients write it: what a URL may hold stays, escapes that are escapes stay, the rest is
/// escaped. A `#` is escaped too: a browser would keep what follows it to itself.
pub(crate) fn target(text: &str) -> String {
    const KEPT: &[u8] = b"!$&'()*+,/:;=?@[]~-._%";
    let bytes = text.as_bytes();
    let escapes = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%');
    let mut escapes = escapes.map(|(at, _)| bytes.get(at + 1..at + 3));
    let sound = escapes.all(|pair| pair.is_some_and(|pair| pair.iter().all(u8::is_ascii_hexdigit)));
    if sound {
        percent(text, KEPT)
    } else {
        // With one broken escape none is one.
        percent(text, KEPT.strip_suffix(b"%").unwrap_or(KEPT))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn the_encoders_write_what_the_tools_write() {
        for (name, wanted) in [
            ("Plain", "a b'<é"),
            ("URL", "a+b%27%3C%C3%A9"),
            ("Base64", "YSBiJzzDqQ=="),
            ("Base64Flat", "YSBiJzzDqQ"),
            ("JSUnicode", r"\u0061\u0020\u0062\u0027\u003c\u00e9"),
            ("XMLEntity", "a b&#39;&lt;é"),
        ] {
            assert_eq!(apply(name, "a b'<é").as_deref(), Some(wanted), "{name}");
        }
        assert_eq!(apply("Rot13", "a"), None);
    }

    #[test]
    fn a_target_keeps_sound_escapes_only() {
        assert_eq!(target("/a%2fb c#d\"é"), "/a%2fb%20c%23d%22%C3%A9");
        assert_eq!(target("/100%/a%2fb"), "/100%25/a%252fb");
        assert_eq!(target("/a%2"), "/a%252");
    }
}
