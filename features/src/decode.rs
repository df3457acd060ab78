//! Decoding to a fixed point, counting layers. Not here: formats with structure (JSON, forms, base64), see `nested`.
//!
//! A round undoes each encoding once, in the order in which applications do: percent, overlong UTF-8, compatibility
//! forms, textual hexadecimal, HTML entities, backslash escapes. Rounds repeat until nothing changes or the layer
//! limit is reached, so decoding a decoded value again changes nothing.

mod backslash;
mod entities;
mod escapes;
mod unicode;

use std::borrow::Cow;

use crate::limits::MAX_DECODE_LAYERS;

/// The two buffers between which decoding swaps.
#[derive(Default)]
pub(crate) struct DecodeBuffers {
    current: Vec<u8>,
    next: Vec<u8>,
}

impl DecodeBuffers {
    pub(crate) fn shrink_to(&mut self, bytes: usize) {
        self.current.shrink_to(bytes);
        self.next.shrink_to(bytes);
    }
}

/// What decoding did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undone {
    pub(crate) layers: u8,
    pub(crate) obfuscations: u8,
    pub(crate) limited: bool,
}

/// A decoded value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decoded<'a> {
    /// The bytes at the fixed point, or at the layer limit.
    pub bytes: Cow<'a, [u8]>,
    /// How many layers were undone, at most [`MAX_DECODE_LAYERS`].
    pub layers: u8,
    /// How many of them serve only to hide.
    pub obfuscations: u8,
    /// True when the layer limit left something encoded.
    pub limited: bool,
}

/// Decodes `input` to its fixed point.
#[must_use]
pub fn decode(input: &[u8]) -> Decoded<'_> {
    owned(input, Plus::Literal)
}

/// Decodes `input` as a form value: `+` is a space, once, before everything else.
#[must_use]
pub fn decode_form(input: &[u8]) -> Decoded<'_> {
    owned(input, Plus::Space)
}

fn owned(input: &[u8], plus: Plus) -> Decoded<'_> {
    let mut buffers = DecodeBuffers::default();
    let (bytes, undone) = decode_in(input, plus, &mut buffers);
    let bytes = if bytes == input {
        Cow::Borrowed(input)
    } else {
        Cow::Owned(bytes.to_vec())
    };
    Decoded {
        bytes,
        layers: undone.layers,
        obfuscations: undone.obfuscations,
        limited: undone.limited,
    }
}

/// What `+` stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Plus {
    /// Itself.
    Literal,
    /// A space, as in forms and queries.
    Space,
}

/// What one step changed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Change {
    changed: bool,
    obfuscated: bool,
}

type Step = fn(&[u8], &mut Vec<u8>) -> Change;

const STEPS: [Step; 6] = [
    escapes::percent,
    unicode::overlong,
    unicode::compatibility,
    escapes::textual_hex,
    entities::entities,
    backslash::backslash,
];

/// Decodes into `buffers`, or hands `input` back when there is nothing to undo.
pub(crate) fn decode_in<'b>(
    input: &'b [u8],
    plus: Plus,
    buffers: &'b mut DecodeBuffers,
) -> (&'b [u8], Undone) {
    let spaces = plus == Plus::Space && memchr::memchr(b'+', input).is_some();
    if !spaces && !may_be_encoded(input) {
        return (input, Undone::default());
    }
    let DecodeBuffers { current, next } = buffers;
    current.clear();
    if spaces {
        current.extend(
            input
                .iter()
                .map(|&byte| if byte == b'+' { b' ' } else { byte }),
        );
    } else {
        current.extend_from_slice(input);
    }
    let mut undone = Undone::default();
    loop {
        let mut round_changed = false;
        for step in STEPS {
            next.clear();
            let change = step(current, next);
            if !change.changed {
                continue;
            }
            if undone.layers >= MAX_DECODE_LAYERS {
                undone.limited = true;
                return (current, undone);
            }
            undone.layers += 1;
            undone.obfuscations = undone
                .obfuscations
                .saturating_add(u8::from(change.obfuscated));
            std::mem::swap(current, next);
            round_changed = true;
        }
        if !round_changed {
            return (current, undone);
        }
    }
}

/// The early exit for ordinary values: no step acts on a value without one of these bytes.
fn may_be_encoded(input: &[u8]) -> bool {
    memchr::memchr3(b'%', b'&', b'\\', input).is_some()
        || !input.is_ascii()
        || memchr::memchr2_iter(b'x', b'X', input)
            .any(|at| at > 0 && input.get(at - 1) == Some(&b'0'))
}

/// The value of a hexadecimal digit.
pub(crate) fn hex(byte: Option<&u8>) -> Option<u8> {
    match *byte? {
        digit @ b'0'..=b'9' => Some(digit - b'0'),
        letter @ b'a'..=b'f' => Some(letter - b'a' + 10),
        letter @ b'A'..=b'F' => Some(letter - b'A' + 10),
        _ => None,
    }
}

/// Reads exactly `digits` hexadecimal digits at `at`.
fn hex_number(input: &[u8], at: usize, digits: usize) -> Option<u32> {
    let mut number = 0;
    for offset in 0..digits {
        number = number << 4 | u32::from(hex(input.get(at + offset))?);
    }
    Some(number)
}

/// Appends a code point as UTF-8; lone surrogates and numbers out of range become the replacement character.
fn push_code_point(out: &mut Vec<u8>, code_point: u32) {
    let character = char::from_u32(code_point).unwrap_or(char::REPLACEMENT_CHARACTER);
    out.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests;
