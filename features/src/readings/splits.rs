//! What splits words without changing what they do: control characters, invisible characters, quotes of a shell.
//!
//! Not here: comments, see `comments`.

use crate::bytes::Bytes;
use crate::lent::Lent;

/// Removes control and invisible characters; line breaks and tabs only where that makes a script address of the value,
/// because browsers ignore them there and prose is full of them. False when nothing was removed.
pub(super) fn invisible(value: &[u8], out: &mut Vec<u8>, may_be_address: bool) -> bool {
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let hidden = match byte {
            b'\t' | b'\n' | b'\r' => 0,
            0..=31 | 127 => 1,
            _ => invisible_at(value.get(at..).unwrap_or_default()),
        };
        if hidden == 0 {
            out.push(byte);
        }
        at += hidden.max(1);
    }
    if may_be_address
        && value
            .iter()
            .any(|byte| matches!(byte, b'\t' | b'\n' | b'\r'))
    {
        let mut joined = Lent::new();
        let kept = out
            .iter()
            .filter(|byte| !matches!(byte, b'\t' | b'\n' | b'\r'));
        joined.extend(kept);
        if has_script_address(&joined) && !has_script_address(out) {
            std::mem::swap(out, &mut joined);
        }
    }
    out.len() < value.len()
}

/// The length of an invisible character: soft hyphen, grapheme joiner, Mongolian vowel separator, zero-width and
/// direction marks, invisible operators, variation selectors, byte order mark.
fn invisible_at(rest: &[u8]) -> usize {
    match rest {
        [0xc2, 0xad, ..] | [0xcd, 0x8f, ..] => 2,
        [0xe1, 0xa0, 0x8e, ..]
        | [0xe2, 0x80, 0x8b..=0x8f | 0xaa..=0xae, ..]
        | [0xe2, 0x81, 0xa0..=0xaf, ..]
        | [0xef, 0xb8, 0x80..=0x8f, ..]
        | [0xef, 0xbb, 0xbf, ..] => 3,
        _ => 0,
    }
}

fn has_script_address(value: &[u8]) -> bool {
    memchr::memchr_iter(b':', value).any(|at| {
        let before = value.get(at.saturating_sub(10)..at).unwrap_or_default();
        [&b"javascript"[..], b"vbscript"].into_iter().any(|scheme| {
            let tail = before
                .len()
                .checked_sub(scheme.len())
                .and_then(|start| before.get(start..));
            tail.is_some_and(|tail| tail.eq_ignore_ascii_case(scheme))
        })
    })
}

/// What begins something that a shell drops.
static DROPPED: Bytes = Bytes::of(b"'\"\\^$");

/// Undoes what a shell drops inside words (`c'a't`, `wh""oami`, `c\at`, `who$@ami`, `w^h^oami`) and its blanks
/// (`${IFS}`). False when there is nothing of it.
pub(super) fn shell(value: &[u8], out: &mut Vec<u8>) -> bool {
    let in_word = |at: usize| {
        at.checked_sub(1)
            .and_then(|before| value.get(before))
            .is_some_and(u8::is_ascii_alphanumeric)
    };
    let reason = memchr::memchr(b'$', value).is_some()
        || memchr::memchr3_iter(b'\'', b'"', b'\\', value).any(in_word)
        || memchr::memchr_iter(b'^', value).any(in_word)
        || memchr::memmem::find(value, b"/'").is_some()
        || memchr::memmem::find(value, b"/\"").is_some();
    if !reason {
        return false;
    }
    let habits = Habits::of(value);
    let mut copied = 0;
    let mut at = 0;
    let next = |at: usize| {
        let rest = value.get(at..)?;
        Some(at + rest.iter().position(|byte| DROPPED.has(*byte))?)
    };
    while let Some(found) = next(at) {
        at = found;
        let Some((length, kept)) = habits.dropped(value, at) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(value.get(copied..at).unwrap_or_default());
        out.extend_from_slice(kept);
        at += length;
        copied = at;
    }
    if copied > 0 {
        out.extend_from_slice(value.get(copied..).unwrap_or_default());
    }
    copied > 0
}

/// Removes the backslashes before quotes and slashes, which strings inside strings and `addslashes` put there. False
/// when there are none.
pub(super) fn escaped_quotes(value: &[u8], out: &mut Vec<u8>) -> bool {
    let mut rest = value;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let (before, run) = rest.split_at(at);
        let length = run.iter().take_while(|byte| **byte == b'\\').count();
        let (slashes, after) = run.split_at(length);
        out.extend_from_slice(before);
        if !matches!(after.first(), Some(b'"' | b'\'' | b'`' | b'/')) {
            out.extend_from_slice(slashes);
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    out.len() < value.len()
}

/// What the whole of a value says about its marks.
struct Habits {
    /// More than one caret: one alone is a power.
    carets: bool,
    /// A command line rather than a name or a path of Windows.
    commanding: bool,
}

impl Habits {
    fn of(value: &[u8]) -> Self {
        let command = |byte: &u8| {
            byte.is_ascii_whitespace() || matches!(byte, b';' | b'|' | b'$' | b'`' | b'&' | b'/')
        };
        Self {
            carets: memchr::memchr_iter(b'^', value).nth(1).is_some(),
            commanding: value.iter().any(command) && memchr::memmem::find(value, b":\\").is_none(),
        }
    }

    /// How much at `at` a shell reads as nothing, and what of it stays.
    fn dropped<'v>(&self, value: &'v [u8], at: usize) -> Option<(usize, &'v [u8])> {
        let rest = value.get(at..)?;
        let last = at.checked_sub(1).and_then(|index| value.get(index));
        let in_word = |length: usize| {
            last.is_some_and(u8::is_ascii_alphanumeric)
                && rest.get(length).is_some_and(u8::is_ascii_alphanumeric)
        };
        match rest.first()? {
            b'\'' | b'"' => quoted(rest, last).map(|inner| (inner.len() + 2, inner)),
            b'\\' if self.commanding && in_word(1) => Some((1, b"")),
            b'^' if self.carets && in_word(1) => Some((1, b"")),
            b'$' => variable(rest, in_word(2)),
            _ => None,
        }
    }
}

/// How long a quoted piece within a word may be.
const MAX_PIECE: usize = 32;

/// The word in quotes that begins `rest` within a longer word: `'a'` of `c'a't`, nothing of `c''at`.
fn quoted<'v>(rest: &'v [u8], last: Option<&u8>) -> Option<&'v [u8]> {
    let quote = rest.first()?;
    let inner = rest.get(1..)?;
    let length = inner
        .iter()
        .take(MAX_PIECE)
        .position(|byte| byte == quote)?;
    let piece = inner.get(..length)?;
    let joins =
        |byte: Option<&u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'/');
    let whole = piece.iter().all(|byte| byte.is_ascii_alphanumeric());
    (whole && joins(last) && joins(inner.get(length + 1))).then_some(piece)
}

/// A variable that a shell expands to nothing (`$@` within a word) or to a blank (`$IFS`), and what it expands to.
fn variable(rest: &[u8], in_word: bool) -> Option<(usize, &'static [u8])> {
    for blank in [&b"${IFS}"[..], b"$IFS$9", b"${IFS%??}", b"$IFS"] {
        if rest.starts_with(blank) {
            return Some((blank.len(), b" "));
        }
    }
    let nothing = in_word && matches!(rest.get(1), Some(b'@' | b'*' | b'!'));
    nothing.then_some((2, b""))
}
