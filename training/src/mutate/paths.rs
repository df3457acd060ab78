//! Paths that read differently and lead to the same file.
//!
//! Must not be here: encodings of the transport.

use super::common::{text, word};
use crate::exposure::dice::Dice;

fn replaced(payload: &[u8], old: &str, new: &str) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| text.contains(old))?;
    Some(text.replace(old, new).into_bytes())
}

/// Slashes replaced, but those of a scheme.
fn slashes_to(payload: &[u8], new: &str) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| text.contains('/'))?;
    let (scheme, path) = match text.split_once("://") {
        Some((scheme, rest)) => (format!("{scheme}://"), rest),
        None => (String::new(), text),
    };
    Some(format!("{scheme}{}", path.replace('/', new)).into_bytes())
}

pub(super) fn dot(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    slashes_to(payload, dice.word(&["/./", "/././"]))
}

pub(super) fn slashes(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    slashes_to(payload, dice.word(&["//", "///"]))
}

pub(super) fn backslashes(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    slashes_to(payload, dice.word(&["\\", "\\\\"]))
}

/// A folder in and out again, after the last slash of the climb.
pub(super) fn detour(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| !text.contains("://"))?;
    let at = text
        .rfind("../")
        .map_or_else(|| text.find('/').map(|at| at + 1), |at| Some(at + 3))?;
    let (climb, rest) = text.split_at_checked(at)?;
    Some(format!("{climb}{}/../{rest}", word(dice)).into_bytes())
}

pub(super) fn semicolon(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let inside = if dice.chance(0.5) {
        word(dice)
    } else {
        String::new()
    };
    replaced(payload, "../", &format!("..;{inside}/"))
}

/// For filters that remove `../` once.
pub(super) fn nested(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    replaced(payload, "../", dice.word(&["....//", "..././"]))
}

pub(super) fn suffix(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| {
        text.contains('/') && !text.contains(['?', '#', '\0']) && !text.contains("%00")
    })?;
    let mark = dice.word(&["%00", "\0", "?", "%23"]);
    let ending = dice.word(&[".png", ".jpg", ".html", ".pdf", ".txt"]);
    Some(format!("{text}{mark}{ending}").into_bytes())
}
