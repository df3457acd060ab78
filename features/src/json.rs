//! A lenient, iterative walk over JSON: every key and leaf in order, duplicates kept. Not here: values' own decoding.
//!
//! Attackers send what one parser takes and another does not, so comments, single quotes, bare words, missing and
//! superfluous commas and several texts in a row are accepted; nesting costs no stack.

use crate::decode::{Plus, decode_in};
use crate::field::Scratch;
use crate::limits::{MAX_JSON_DEPTH, MAX_KEY, MAX_NESTING};
use crate::location::Location;
use crate::nested::{leaf, name};
use crate::sink::{Origin, Place};

/// Where a text stopped being JSON: what stands from this offset on has not been looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) at: usize,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

/// Walks `text`, adding leaves at `place` (its key is the prefix of every path) and keys at `key_location`.
///
/// # Errors
/// [`Broken`] at the first token that cannot be JSON, or that lies deeper than [`MAX_JSON_DEPTH`].
pub(crate) fn walk(
    scratch: &mut Scratch,
    place: Place<'_>,
    key_location: Location,
    text: &[u8],
    origin: Origin,
    depth: u8,
) -> Result<(), Broken> {
    let level = usize::from(depth.min(MAX_NESTING + 1));
    let mut path = scratch
        .buffers
        .keys
        .get_mut(level)
        .map(std::mem::take)
        .unwrap_or_default();
    let mut unescaped = scratch
        .buffers
        .text
        .get_mut(level)
        .map(std::mem::take)
        .unwrap_or_default();
    path.clear();
    path.extend_from_slice(place.key);
    let mut walker = Walker {
        scratch,
        location: place.location,
        key_location,
        origin,
        depth,
        text,
        at: 0,
        path: &mut path,
        unescaped: &mut unescaped,
        stack: [(Container::Array, 0); MAX_JSON_DEPTH],
        open: 0,
        expects_key: false,
    };
    let result = walker.run();
    if let Some(slot) = scratch.buffers.keys.get_mut(level) {
        *slot = path;
    }
    if let Some(slot) = scratch.buffers.text.get_mut(level) {
        *slot = unescaped;
    }
    result
}

struct Walker<'a> {
    scratch: &'a mut Scratch,
    location: Location,
    key_location: Location,
    origin: Origin,
    depth: u8,
    text: &'a [u8],
    at: usize,
    path: &'a mut Vec<u8>,
    unescaped: &'a mut Vec<u8>,
    /// The open containers, each with the length of the path around it.
    stack: [(Container, usize); MAX_JSON_DEPTH],
    open: usize,
    expects_key: bool,
}

impl Walker<'_> {
    fn run(&mut self) -> Result<(), Broken> {
        loop {
            self.skip_blank();
            let Some(&byte) = self.text.get(self.at) else {
                return if self.open == 0 {
                    Ok(())
                } else {
                    Err(self.broken())
                };
            };
            match byte {
                b'{' => self.push(Container::Object)?,
                b'[' => self.push(Container::Array)?,
                b'}' => self.pop(Container::Object)?,
                b']' => self.pop(Container::Array)?,
                b',' => {
                    self.at += 1;
                    self.next_member();
                }
                b'"' | b'\'' => self.string(byte)?,
                _ => self.word()?,
            }
        }
    }

    fn broken(&self) -> Broken {
        Broken { at: self.at }
    }

    fn push(&mut self, container: Container) -> Result<(), Broken> {
        if self.expects_key {
            return Err(self.broken());
        }
        let outer = self.path.len();
        let Some(slot) = self.stack.get_mut(self.open) else {
            return Err(self.broken());
        };
        *slot = (container, outer);
        self.open += 1;
        self.at += 1;
        if container == Container::Array {
            self.path.extend_from_slice(b"[]");
        }
        self.expects_key = container == Container::Object;
        Ok(())
    }

    fn pop(&mut self, container: Container) -> Result<(), Broken> {
        let top = self
            .open
            .checked_sub(1)
            .and_then(|index| self.stack.get(index));
        let Some(&(open, outer)) = top else {
            return Err(self.broken());
        };
        if open != container {
            return Err(self.broken());
        }
        self.path.truncate(outer);
        self.open -= 1;
        self.at += 1;
        self.next_member();
        Ok(())
    }

    /// After a value or a comma: back to the path of the container, whose next token is a key if it is an object.
    fn next_member(&mut self) {
        let top = self
            .open
            .checked_sub(1)
            .and_then(|index| self.stack.get(index));
        match top {
            Some(&(Container::Object, outer)) => {
                self.path.truncate(outer);
                self.expects_key = true;
            }
            _ => self.expects_key = false,
        }
    }

    fn string(&mut self, quote: u8) -> Result<(), Broken> {
        let start = self.at + 1;
        let mut end = start;
        let mut escaped = false;
        loop {
            let rest = self.text.get(end..).unwrap_or_default();
            let Some(step) = memchr::memchr2(quote, b'\\', rest) else {
                return Err(self.broken());
            };
            end += step;
            if self.text.get(end) == Some(&quote) {
                break;
            }
            escaped = true;
            end += 2;
        }
        let raw = self.text.get(start..end).unwrap_or_default();
        let after = end + 1;
        if escaped {
            let mut unescaped = std::mem::take(self.unescaped);
            unescape(raw, &mut unescaped);
            self.token(&unescaped, after)?;
            *self.unescaped = unescaped;
            return Ok(());
        }
        self.token(raw, after)
    }

    /// A number, a literal, or a bare word.
    fn word(&mut self) -> Result<(), Broken> {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let length = rest
            .iter()
            .take_while(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.' | b'_' | b'$')
            })
            .count();
        let word = rest.get(..length).unwrap_or_default();
        let after = self.at + length;
        if word.is_empty() {
            return Err(self.broken());
        }
        if !self.expects_key && matches!(word, b"true" | b"false" | b"null") {
            self.at = after;
            return Ok(());
        }
        self.token(word, after)
    }

    /// A key, when an object expects one and a colon follows, or else a leaf.
    fn token(&mut self, token: &[u8], after: usize) -> Result<(), Broken> {
        if !self.expects_key {
            self.at = after;
            let place = Place::new(self.location, self.path);
            leaf(
                self.scratch,
                place,
                token,
                Plus::Literal,
                self.origin,
                self.depth,
            );
            return Ok(());
        }
        let before = std::mem::replace(&mut self.at, after);
        self.skip_blank();
        if self.text.get(self.at) != Some(&b':') {
            self.at = before;
            return Err(self.broken());
        }
        self.at += 1;
        self.expects_key = false;
        name(
            self.scratch,
            self.key_location,
            token,
            Plus::Literal,
            self.origin,
            self.depth,
        );
        if !self.path.is_empty() {
            self.path.push(b'.');
        }
        // A path is cut at the length that keys are cut to, so that it cannot grow with the nesting.
        let room = (MAX_KEY * 2).saturating_sub(self.path.len());
        // `\u0069d` is `id`: an exception or a profile for the name must not miss it.
        if memchr::memchr(b'\\', token).is_some() {
            let level = usize::from(self.depth.min(MAX_NESTING + 1));
            if let Some(buffers) = self.scratch.buffers.decode.get_mut(level) {
                let (key, _) = decode_in(token, Plus::Literal, buffers);
                self.path
                    .extend_from_slice(key.get(..key.len().min(room)).unwrap_or_default());
            }
        } else {
            self.path
                .extend_from_slice(token.get(..token.len().min(room)).unwrap_or_default());
        }
        Ok(())
    }

    /// Skips white space, a byte order mark and comments.
    fn skip_blank(&mut self) {
        while let Some(byte) = self.text.get(self.at) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' => self.at += 1,
                0xef | b'/' if self.skip_unusual() => {}
                _ => return,
            }
        }
    }

    /// Skips a byte order mark or a comment; false when there is none. A parser that knows no comments reads on inside one,
    /// so what they say is a value too.
    fn skip_unusual(&mut self) -> bool {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let (length, comment) = match rest {
            [0xef, 0xbb, 0xbf, ..] => (3, None),
            [b'/', b'*', ..] => match memchr::memmem::find(rest, b"*/") {
                Some(end) => (end + 2, rest.get(2..end)),
                None => return false,
            },
            [b'/', b'/', ..] => {
                let end = memchr::memchr(b'\n', rest).unwrap_or(rest.len());
                (end, rest.get(2..end))
            }
            _ => return false,
        };
        self.at += length;
        if let Some(comment) = comment {
            let place = Place::new(self.location, self.path);
            let text = comment.trim_ascii();
            leaf(
                self.scratch,
                place,
                text,
                Plus::Literal,
                self.origin,
                MAX_NESTING,
            );
        }
        true
    }
}

/// Undoes JSON's own escapes (RFC 8259, section 7); unknown ones stay, and `\u` is left to the decoder.
fn unescape(raw: &[u8], out: &mut Vec<u8>) {
    out.clear();
    let mut copied = 0;
    let mut at = 0;
    while let Some(step) = memchr::memchr(b'\\', raw.get(at..).unwrap_or_default()) {
        at += step;
        let byte = match raw.get(at + 1) {
            Some(b'n') => b'\n',
            Some(b't') => b'\t',
            Some(b'r') => b'\r',
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(&other @ (b'"' | b'\\' | b'/' | b'\'')) => other,
            _ => {
                at += 1;
                continue;
            }
        };
        out.extend_from_slice(raw.get(copied..at).unwrap_or_default());
        out.push(byte);
        at += 2;
        copied = at;
    }
    out.extend_from_slice(raw.get(copied..).unwrap_or_default());
}
