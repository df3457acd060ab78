//! What the operators share: words, spans and replacements in text.
//!
//! Must not be here: anything about one kind of attack.

use crate::exposure::dice::Dice;

/// A payload as text; none for bytes that are none, which no operator on text can rewrite.
pub(super) fn text(payload: &[u8]) -> Option<&str> {
    std::str::from_utf8(payload).ok()
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Replaces whole words for which `change` gives something.
pub(super) fn words(text: &str, mut change: impl FnMut(&str) -> Option<String>) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    while !rest.is_empty() {
        let word_end = rest
            .bytes()
            .position(|byte| !is_word(byte))
            .unwrap_or(rest.len());
        let (word, after) = rest.split_at_checked(word_end).unwrap_or((rest, ""));
        match change(word).filter(|_| !word.is_empty()) {
            Some(new) => out.push_str(&new),
            None => out.push_str(word),
        }
        let gap_end = after.bytes().position(is_word).unwrap_or(after.len());
        let (gap, tail) = after.split_at_checked(gap_end).unwrap_or((after, ""));
        out.push_str(gap);
        rest = tail;
    }
    out
}

/// Each letter in a case of its own.
pub(super) fn any_case(text: &str, dice: &mut Dice) -> String {
    text.chars()
        .map(|letter| {
            if dice.chance(0.5) {
                letter.to_ascii_uppercase()
            } else {
                letter.to_ascii_lowercase()
            }
        })
        .collect()
}

/// Every blank replaced by what `blank` gives.
pub(super) fn blanks(text: &str, mut blank: impl FnMut() -> String) -> Option<Vec<u8>> {
    text.contains(' ').then(|| {
        let mut out = String::with_capacity(text.len() * 2);
        for letter in text.chars() {
            if letter == ' ' {
                out.push_str(&blank());
            } else {
                out.push(letter);
            }
        }
        out.into_bytes()
    })
}

/// Words that join two literals, so that the quotes around them belong to others.
const JOINTS: &[&str] = &["or", "and", "xor", "like", "union", "in", "is"];

/// Single-quoted literals of letters and digits replaced by what `change` makes of their content.
pub(super) fn literals(
    text: &str,
    mut change: impl FnMut(&str) -> Option<String>,
) -> Option<Vec<u8>> {
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    let mut changed = false;
    while let Some((before, after)) = rest.split_once('\'') {
        out.push_str(before);
        // A doubled quote is a character, and `'or'` stands between two literals.
        let literal = after.split_once('\'').filter(|(inner, tail)| {
            !inner.is_empty()
                && inner.bytes().all(|byte| byte.is_ascii_alphanumeric())
                && !before.is_empty()
                && !before.ends_with('\'')
                && !tail.starts_with('\'')
                && !JOINTS.contains(&inner.to_ascii_lowercase().as_str())
        });
        match literal.and_then(|(inner, tail)| change(inner).map(|new| (new, tail))) {
            Some((new, tail)) => {
                out.push_str(&new);
                rest = tail;
                changed = true;
            }
            None => {
                out.push('\'');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    changed.then(|| out.into_bytes())
}

/// A word of letters.
pub(super) fn word(dice: &mut Dice) -> String {
    let length = dice.between(1, 6) as usize;
    dice.string(b"abcdefghijklmnopqrstuvwxyz", length)
}
