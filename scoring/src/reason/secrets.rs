//! Which names hold secrets, and what may be said of their values. Not here: logging.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};
use weir_features::Location;

/// Names that hold secrets: every cookie, and every header, parameter or JSON key whose name contains one of these
/// words, in any case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Vec<String>", into = "Vec<String>")]
pub struct SecretKeys {
    words: Vec<String>,
}

/// The words of a configuration that names none.
const DEFAULT_WORDS: [&str; 14] = [
    "authorization",
    "pass",
    "pwd",
    "secret",
    "token",
    "key",
    "auth",
    "session",
    "csrf",
    "otp",
    "pin",
    "card",
    "cvv",
    "iban",
];

/// How far behind a secret word a `=` or `:` makes it the name of a value inside a text.
const NAME_TAIL: usize = 24;

impl Default for SecretKeys {
    fn default() -> Self {
        Self::new(DEFAULT_WORDS)
    }
}

impl From<Vec<String>> for SecretKeys {
    fn from(words: Vec<String>) -> Self {
        Self::new(words)
    }
}

impl From<SecretKeys> for Vec<String> {
    fn from(keys: SecretKeys) -> Self {
        keys.words
    }
}

impl SecretKeys {
    /// Names that contain one of `words`; empty words are left out.
    pub fn new(words: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let words = words
            .into_iter()
            .map(|word| word.as_ref().trim().to_ascii_lowercase())
            .filter(|word| !word.is_empty())
            .collect();
        Self { words }
    }

    /// The words, in lower case.
    #[must_use]
    pub fn words(&self) -> &[String] {
        &self.words
    }

    /// True when the value of the field `key` at `location` is secret.
    #[must_use]
    pub fn is_secret(&self, location: Location, key: &[u8]) -> bool {
        location == Location::Cookie || self.is_secret_name(key)
    }

    /// True when a header, parameter or JSON key of this name holds a secret.
    #[must_use]
    pub fn is_secret_name(&self, name: &[u8]) -> bool {
        self.words
            .iter()
            .any(|word| find(name, word.as_bytes()).is_some())
            || name.eq_ignore_ascii_case(b"cookie")
            || name.eq_ignore_ascii_case(b"set-cookie")
    }

    /// What may be said of a secret value: its length and its alphabet.
    #[must_use]
    pub fn describe(value: &[u8]) -> String {
        type Class = (&'static str, fn(&u8) -> bool);
        let classes: [Class; 6] = [
            ("lower-case letters", u8::is_ascii_lowercase),
            ("upper-case letters", u8::is_ascii_uppercase),
            ("digits", u8::is_ascii_digit),
            ("blanks", u8::is_ascii_whitespace),
            ("punctuation", u8::is_ascii_punctuation),
            ("other bytes", |byte| {
                !byte.is_ascii() || (byte.is_ascii_control() && !byte.is_ascii_whitespace())
            }),
        ];
        let found: Vec<&str> = classes
            .into_iter()
            .filter(|(_, is_in)| value.iter().any(is_in))
            .map(|(name, _)| name)
            .collect();
        format!("[redacted, {} bytes: {}]", value.len(), found.join(", "))
    }

    /// A text in which values behind secret names (`password=…`, `"token": "…"`) are replaced by as many `*`.
    #[must_use]
    pub fn mask_inline<'v>(&self, text: &'v [u8]) -> Cow<'v, [u8]> {
        let mut masked = Cow::Borrowed(text);
        for word in &self.words {
            let mut from = 0;
            while let Some(at) = text
                .get(from..)
                .and_then(|rest| find(rest, word.as_bytes()))
            {
                from += at + word.len();
                if let Some((start, end)) = named_value(text, from)
                    && let Some(secret) = masked.to_mut().get_mut(start..end)
                {
                    secret.fill(b'*');
                }
            }
        }
        masked
    }
}

/// The value of the name that ends at or shortly after `from`.
fn named_value(text: &[u8], from: usize) -> Option<(usize, usize)> {
    let tail = text.get(from..)?;
    let part_of_name = |byte: &u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'[' | b']')
    };
    let name = tail
        .iter()
        .take(NAME_TAIL)
        .take_while(|byte| part_of_name(byte))
        .count();
    let quiet = |byte: &u8| matches!(byte, b'"' | b'\'' | b' ');
    let before = tail
        .iter()
        .skip(name)
        .take_while(|byte| quiet(byte))
        .count();
    if !matches!(tail.get(name + before), Some(b'=' | b':')) {
        return None;
    }
    let behind = name + before + 1;
    let after = tail
        .iter()
        .skip(behind)
        .take_while(|byte| quiet(byte))
        .count();
    let value = tail
        .iter()
        .skip(behind + after)
        .take_while(|byte| {
            !matches!(
                byte,
                b'&' | b';' | b',' | b'"' | b'\'' | b'}' | b'<' | b'\r' | b'\n'
            )
        })
        .count();
    (value > 0).then_some((from + behind + after, from + behind + after + value))
}

/// Where `word`, which is in lower case, first occurs in `text` in any case.
fn find(text: &[u8], word: &[u8]) -> Option<usize> {
    text.windows(word.len().max(1))
        .position(|window| window.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_secret_in_any_case_and_position() {
        let keys = SecretKeys::default();
        for name in [
            "Authorization",
            "X-Api-Key",
            "user[passwd]",
            "$.login.PASSWORD",
            "csrf_token",
            "IBAN",
            "Cookie",
        ] {
            assert!(keys.is_secret_name(name.as_bytes()), "{name}");
        }
        for name in ["", "q", "page", "user-agent", "id"] {
            assert!(!keys.is_secret_name(name.as_bytes()), "{name}");
        }
        assert!(keys.is_secret(Location::Cookie, b"theme"));
        assert!(!keys.is_secret(Location::QueryValue, b"theme"));
    }

    #[test]
    fn a_configured_list_replaces_the_words() {
        let keys: SecretKeys = serde_json::from_str(r#"["Badge", " "]"#).unwrap();
        assert_eq!(keys.words(), ["badge"]);
        assert!(keys.is_secret_name(b"BadgeNo"));
        assert!(!keys.is_secret_name(b"password"));
    }

    #[test]
    fn only_length_and_alphabet_are_told() {
        assert_eq!(
            SecretKeys::describe(b"hunter2!"),
            "[redacted, 8 bytes: lower-case letters, digits, punctuation]"
        );
    }

    #[test]
    fn secrets_inside_a_text_are_masked() {
        let keys = SecretKeys::default();
        for (text, masked) in [
            ("a=1&password=hunter2&b=2", "a=1&password=*******&b=2"),
            (
                r#"{"user":"x","apiToken": "abc"}"#,
                r#"{"user":"x","apiToken": "***"}"#,
            ),
            ("the password is long", "the password is long"),
            ("pin: 1234\nrest", "pin: ****\nrest"),
            ("password=", "password="),
        ] {
            assert_eq!(
                keys.mask_inline(text.as_bytes()),
                masked.as_bytes(),
                "{text}"
            );
        }
    }

    proptest! {
        #[test]
        fn masking_keeps_the_length(text in proptest::collection::vec(any::<u8>(), 0..80)) {
            prop_assert_eq!(SecretKeys::default().mask_inline(&text).len(), text.len());
        }

        #[test]
        fn a_value_behind_a_secret_name_never_shows(secret in "[A-Z0-9]{4,12}", name in "(pass|token|x_key_id)") {
            let text = format!("{{\"{name}\":\"{secret}\"}} {name}={secret}");
            let masked = SecretKeys::default().mask_inline(text.as_bytes()).into_owned();
            prop_assert!(!String::from_utf8(masked).unwrap().contains(&secret));
        }
    }
}
