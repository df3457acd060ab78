//! Other ways to read a value, as fields of their own: without comments, with strings and character codes joined,
//! without what splits words. An interpreter may read it so; the value itself is always scored as well.
//!
//! Not here: encodings that every application undoes, see `decode`. A reading costs nothing where a cheap test of the
//! bytes finds no reason for one.

mod comments;
mod literals;
mod paths;
mod splits;

pub(crate) use paths::simplified;

use crate::blob;
use crate::bytes::{Bytes, find_pair};
use crate::charset;
use crate::decode::{Plus, decode_in};
use crate::field::{Marks, Scratch};
use crate::lent::Lent;
use crate::limits::MAX_NESTING;
use crate::nested::leaf;
use crate::sink::{Origin, Place, emit};

/// Classes of bytes that give a reason to look closer.
mod class {
    pub(super) const CONTROL: u16 = 1;
    pub(super) const LINE: u16 = 2;
    pub(super) const QUOTE: u16 = 4;
    pub(super) const SLASH: u16 = 8;
    pub(super) const STAR: u16 = 16;
    pub(super) const PAREN: u16 = 32;
    pub(super) const BACKSLASH: u16 = 64;
    pub(super) const WIDE: u16 = 128;
    pub(super) const HEX: u16 = 256;
    pub(super) const PLUS: u16 = 512;
    pub(super) const SHELL: u16 = 1024;
    pub(super) const HASH: u16 = 2048;
    pub(super) const DOT: u16 = 4096;
    pub(super) const COLON: u16 = 8192;
    /// Anything but letters, digits, underscores and hyphens.
    pub(super) const MARK: u16 = 16384;

    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes"
    )]
    pub(super) const OF: [u16; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            table[byte] = match byte as u8 {
                b'\t' | b'\n' | b'\r' => LINE,
                0..=31 | 127 => CONTROL,
                b'\'' | b'"' | b'`' => QUOTE,
                b'/' => SLASH,
                b'*' => STAR,
                b'(' => PAREN,
                b'\\' => BACKSLASH,
                // The first bytes of the invisible characters, see `splits`.
                0xc2 | 0xcd | 0xe1 | 0xe2 | 0xef => WIDE,
                b'x' | b'X' => HEX,
                b'+' => PLUS,
                b'$' | b'^' => SHELL,
                b'#' | b'-' => HASH,
                b'.' => DOT,
                b':' => COLON,
                _ => 0,
            };
            if !((byte as u8).is_ascii_alphanumeric()
                || byte == b'_' as usize
                || byte == b'-' as usize)
            {
                table[byte] |= MARK;
            }
            byte += 1;
        }
        table
    };
}

/// Which classes of bytes a value has.
#[derive(Clone, Copy)]
struct Classes(u16);

impl Classes {
    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes"
    )]
    fn of(value: &[u8]) -> Self {
        Self(
            value
                .iter()
                .fold(0, |found, &byte| found | class::OF[usize::from(byte)]),
        )
    }

    fn has(self, classes: u16) -> bool {
        self.0 & classes == classes
    }

    fn any(self, classes: u16) -> bool {
        self.0 & classes != 0
    }
}

/// Adds the other readings of a decoded value that stands at `depth`.
pub(crate) fn add(
    scratch: &mut Scratch,
    place: Place<'_>,
    value: &[u8],
    origin: Origin,
    depth: u8,
) {
    if depth >= MAX_NESTING {
        return;
    }
    let classes = Classes::of(value);
    if !classes.has(class::MARK) {
        return;
    }
    let origin = origin.marked(Marks::NESTED).deeper(1, 0);
    blob::embedded(value, |text| {
        leaf(scratch, place, text, Plus::Literal, origin, depth + 1);
    });
    if classes.has(class::CONTROL)
        && let Some(charset) = charset::sniffed(value)
    {
        let text = charset::to_utf8(charset, value);
        leaf(scratch, place, &text, Plus::Literal, origin, depth + 1);
        return;
    }
    if classes.has(class::PLUS)
        && let Some(text) = utf7(value)
    {
        let origin = origin.deeper(0, 1);
        leaf(scratch, place, &text, Plus::Literal, origin, depth + 1);
    }
    if classes.has(class::DOT)
        && classes.any(class::SLASH | class::BACKSLASH)
        && let Some(path) = paths::resolved(value)
    {
        leaf(scratch, place, &path, Plus::Literal, origin, depth + 1);
    }
    rewritten(scratch, place, value, classes, origin, depth);
}

/// Adds the value with everything joined, spelled out and uncommented at once.
fn rewritten(
    scratch: &mut Scratch,
    place: Place<'_>,
    value: &[u8],
    classes: Classes,
    origin: Origin,
    depth: u8,
) {
    let mut text = Text::new(value);
    // Line breaks alone are removed only where a colon may follow an address.
    if classes.any(class::CONTROL | class::WIDE) || classes.has(class::LINE | class::COLON) {
        text.replace(|value, out| splits::invisible(value, out, classes.has(class::COLON)));
    }
    if classes.has(class::BACKSLASH) && classes.any(class::QUOTE | class::SLASH) {
        text.replace(splits::escaped_quotes);
    }
    if classes.any(class::QUOTE | class::BACKSLASH | class::SHELL) {
        text.replace(splits::shell);
    }
    let has_blocks = classes.has(class::SLASH | class::STAR);
    let split = (has_blocks && comments::splits_word(text.current()))
        .then(|| Lent::copy_of(text.current()));
    if has_blocks || classes.has(class::LINE | class::HASH) {
        text.replace(|value, out| comments::remove(value, out, comments::Leave::Blank));
    }
    if classes.any(class::PAREN | class::HEX | class::QUOTE) {
        text.replace(literals::join);
    }
    if let Some(text) = text.changed {
        leaf(scratch, place, &text, Plus::Literal, origin, depth + 1);
    }
    // `un/**/ion`: who strips comments before looking at words leaves nothing in their place.
    if let Some(before) = split {
        let mut out = Lent::new();
        if comments::remove(&before, &mut out, comments::Leave::Nothing) {
            let origin = origin.deeper(0, 1);
            leaf(scratch, place, &out, Plus::Literal, origin, MAX_NESTING);
        }
    }
}

/// Adds what a file system makes of a file name: what stands before a zero byte or a colon, without dots and blanks at
/// the end. `shell.php.` and `shell.php::$DATA` are `shell.php` there.
pub(crate) fn name_of_file(scratch: &mut Scratch, place: Place<'_>, raw: &[u8], origin: Origin) {
    let mut buffers = std::mem::take(&mut scratch.buffers.decode[0]);
    let (value, _) = decode_in(raw, Plus::Literal, &mut buffers);
    let end = memchr::memchr(0, value)
        .or_else(|| memchr::memmem::find(value, b"::$"))
        .unwrap_or(value.len());
    let kept = value.get(..end).unwrap_or_default();
    let trim = |byte: &u8| matches!(byte, b'.' | b' ');
    let length = kept
        .iter()
        .rposition(|byte| !trim(byte))
        .map_or(0, |at| at + 1);
    if length < value.len() {
        let origin = origin.marked(Marks::NESTED).deeper(1, 1);
        emit(
            scratch,
            place,
            kept.get(..length).unwrap_or_default(),
            origin,
        );
    }
    scratch.buffers.decode[0] = buffers;
}

/// A value on which readings are stacked.
struct Text<'v> {
    value: &'v [u8],
    changed: Option<Lent>,
}

impl<'v> Text<'v> {
    fn new(value: &'v [u8]) -> Self {
        Self {
            value,
            changed: None,
        }
    }

    fn current(&self) -> &[u8] {
        self.changed
            .as_ref()
            .map_or(self.value, |changed| changed.as_slice())
    }

    /// Applies a reading that says whether it changed anything.
    fn replace(&mut self, reading: impl FnOnce(&[u8], &mut Vec<u8>) -> bool) {
        let mut out = Lent::new();
        if reading(self.current(), &mut out) {
            self.changed = Some(out);
        }
    }
}

/// The value with its UTF-7 undone, when that brings markup or quotes to light.
pub(crate) fn utf7(value: &[u8]) -> Option<Lent> {
    find_pair(value, b'+', b'A')?;
    let text = charset::utf7(value);
    static MARKS: Bytes = Bytes::of(b"<>\"'({`");
    let marks = |text: &[u8]| text.iter().filter(|byte| MARKS.has(**byte)).count();
    let found = marks(&text).checked_sub(marks(value))?;
    // Base64 has plus signs as well, and would turn into any characters at all.
    let foreign = |text: &[u8]| text.iter().filter(|byte| !byte.is_ascii()).count();
    (found > 0 && foreign(&text) <= foreign(value) + 3 * found).then_some(text)
}

#[cfg(test)]
mod tests;
