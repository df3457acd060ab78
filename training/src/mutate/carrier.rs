//! What surrounds and carries a payload: encodings, padding, and several parameters instead of one.
//!
//! Must not be here: anything about one language.

use super::common::{text, word};
use crate::exposure::dice::Dice;
use crate::exposure::{benign, encode};

/// The longest padding, in bytes.
pub(super) const MOST_PADDING: usize = 64 * 1024;

/// The shortest padding, in bytes.
const LEAST_PADDING: usize = 256;

fn is_mark(byte: u8) -> bool {
    byte.is_ascii() && !byte.is_ascii_alphanumeric()
}

pub(super) fn percent(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    // A payload that is encoded already would only get a layer that its target may not undo.
    (!encode::has_escapes(payload)).then(|| encode::percent(payload, is_mark))
}

pub(super) fn percent_mixed(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    if encode::has_escapes(payload) {
        return None;
    }
    let mut out = Vec::with_capacity(payload.len() * 3);
    for byte in payload {
        if dice.chance(if is_mark(*byte) { 0.8 } else { 0.4 }) {
            let code = if dice.chance(0.5) {
                format!("%{byte:02x}")
            } else {
                format!("%{byte:02X}")
            };
            out.extend_from_slice(code.as_bytes());
        } else {
            out.push(*byte);
        }
    }
    Some(out)
}

pub(super) fn entities_percent(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let hex = dice.chance(0.5);
    let text = text(payload).filter(|text| !encode::has_escapes(text.as_bytes()))?;
    let referenced: String = text
        .chars()
        .map(|c| match (c.is_ascii_punctuation(), hex) {
            (true, true) => format!("&#x{:02x};", u32::from(c)),
            (true, false) => format!("&#{};", u32::from(c)),
            _ => c.to_string(),
        })
        .collect();
    Some(encode::percent(referenced.as_bytes(), is_mark))
}

/// Harmless text of a length drawn evenly over its magnitudes.
fn padding(dice: &mut Dice) -> String {
    let (least, most) = (LEAST_PADDING as f64, MOST_PADDING as f64);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "between the two bounds"
    )]
    let length = (least * (most / least).powf(dice.unit())) as usize;
    let unit = match dice.below(3) {
        0 => dice.string(b"Aax01.", 1),
        1 => format!("{} ", benign::value(dice)),
        _ => format!("{}\n", benign::text(dice)),
    };
    let mut out = unit.repeat(length / unit.len().max(1) + 1);
    let cut = (0..=length.min(out.len()))
        .rev()
        .find(|at| out.is_char_boundary(*at))
        .unwrap_or_default();
    out.truncate(cut);
    out
}

pub(super) fn pad_before(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    Some([padding(dice).as_bytes(), b" ", payload].concat())
}

pub(super) fn pad_after(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    Some([payload, b" ", padding(dice).as_bytes()].concat())
}

/// Characters that would end a parameter are encoded; the piece then travels as it is.
fn written(part: &str) -> Vec<u8> {
    let escaped = encode::has_escapes(part.as_bytes());
    encode::percent(part.as_bytes(), |byte| {
        matches!(byte, b'&' | b'#' | b'+' | b'=') || (byte == b'%' && !escaped)
    })
}

/// For servers that join values of one name with a comma, which a comment swallows.
pub(super) fn split(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let gaps: Vec<usize> = text.match_indices(' ').map(|(at, _)| at).collect();
    let at = *dice.choose(&gaps)?;
    let (left, right) = (text.get(..at)?, text.get(at + 1..)?);
    let name = word(dice);
    Some(
        [
            name.as_bytes(),
            b"=",
            &written(left),
            b"/*&",
            name.as_bytes(),
            b"=*/",
            &written(right),
        ]
        .concat(),
    )
}

/// For servers that take the last value where a filter reads the first.
pub(super) fn repeat(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| !text.is_empty())?;
    let name = benign::key(dice);
    let harmless = encode::percent(benign::value(dice).as_bytes(), |byte| {
        !byte.is_ascii_alphanumeric()
    });
    Some(
        [
            name.as_bytes(),
            b"=",
            &harmless,
            b"&",
            name.as_bytes(),
            b"=",
            &written(text),
        ]
        .concat(),
    )
}
