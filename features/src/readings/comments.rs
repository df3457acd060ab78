//! Comments of SQL between and inside words. Not here: comments that hide the rest of a statement; they are evidence.

use crate::bytes::find_pair;

/// What stands where a comment was.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Leave {
    /// A blank, as databases read it.
    Blank,
    /// Nothing, as filters do that remove comments.
    Nothing,
}

/// A comment of this form: its whole length, and the part of it that MySQL runs (`/*!50000 ... */`).
struct Comment<'v> {
    length: usize,
    runs: &'v [u8],
}

/// Finds block comments, each byte being searched once: openings before an end that did not do share its fate.
#[derive(Default)]
struct Blocks {
    fruitless_until: usize,
}

impl Blocks {
    /// The comment that begins at `at`, where a word, a quote or a bracket follows and precedes it. `Accept` headers
    /// are full of `/*` and `*/` otherwise.
    fn at<'v>(&mut self, value: &'v [u8], at: usize) -> Option<Comment<'v>> {
        let rest = value.get(at..)?.strip_prefix(b"/*")?;
        let before = at.checked_sub(1).and_then(|index| value.get(index));
        if at < self.fruitless_until || !is_code(before) || rest.starts_with(b",*") {
            return None;
        }
        let Some(end) = find_pair(rest, b'*', b'/') else {
            self.fruitless_until = value.len();
            return None;
        };
        if !is_code(rest.get(end + 2)) {
            self.fruitless_until = at + end;
            return None;
        }
        let inner = rest.get(..end)?;
        let runs = inner
            .strip_prefix(b"!")
            .or_else(|| inner.strip_prefix(b"M!"))
            .map(|code| {
                let digits = code
                    .iter()
                    .take(6)
                    .take_while(|byte| byte.is_ascii_digit())
                    .count();
                code.get(digits..).unwrap_or_default()
            });
        Some(Comment {
            length: end + 4,
            runs: runs.unwrap_or_default(),
        })
    }
}

/// What may stand beside a comment in code; the ends of the value are as good.
fn is_code(byte: Option<&u8>) -> bool {
    byte.is_none_or(|byte| {
        byte.is_ascii_alphanumeric()
            || byte.is_ascii_whitespace()
            || b"()'\"`_@=/<>+-.!|&%^~".contains(byte)
    })
}

/// `#x\n` and `--x\n` inside a line, as tools write them instead of blanks: a word at most, up to the line break.
fn line(value: &[u8], at: usize) -> Option<usize> {
    let before = at.checked_sub(1).and_then(|index| value.get(index))?;
    if matches!(before, b'\n' | b'\r' | b'-' | b'#' | b'&') {
        return None;
    }
    let rest = value.get(at..)?;
    let mark = if rest.starts_with(b"--") {
        2
    } else {
        usize::from(rest.starts_with(b"#"))
    };
    let word = rest
        .iter()
        .skip(mark)
        .take(64)
        .take_while(|byte| byte.is_ascii_alphanumeric())
        .count();
    (mark > 0 && rest.get(mark + word) == Some(&b'\n')).then_some(mark + word + 1)
}

/// Removes the comments; false when there is none.
pub(super) fn remove(value: &[u8], out: &mut Vec<u8>, leave: Leave) -> bool {
    let mut copied = 0;
    let mut at = 0;
    let mut blocks = Blocks::default();
    while let Some(step) = memchr::memchr3(b'/', b'#', b'-', value.get(at..).unwrap_or_default()) {
        at += step;
        let line = || line(value, at).map(|length| Comment { length, runs: b"" });
        let Some(Comment { length, runs }) = blocks.at(value, at).or_else(line) else {
            at += 1;
            continue;
        };
        out.extend_from_slice(value.get(copied..at).unwrap_or_default());
        if leave == Leave::Blank && !runs.starts_with(b" ") {
            out.push(b' ');
        }
        out.extend_from_slice(runs);
        if leave == Leave::Blank && !runs.is_empty() && !runs.ends_with(b" ") {
            out.push(b' ');
        }
        at += length;
        copied = at;
    }
    if copied > 0 {
        out.extend_from_slice(value.get(copied..).unwrap_or_default());
    }
    copied > 0
}

/// True when a comment stands between two letters: it may be a blank, or nothing at all.
pub(super) fn splits_word(value: &[u8]) -> bool {
    let letter = |at: Option<usize>| {
        at.and_then(|at| value.get(at))
            .is_some_and(u8::is_ascii_alphabetic)
    };
    let mut blocks = Blocks::default();
    let mut next = 0;
    for at in memchr::memmem::find_iter(value, b"/*") {
        if at < next {
            continue;
        }
        if let Some(comment) = blocks.at(value, at) {
            next = at + comment.length;
            if letter(at.checked_sub(1)) && letter(Some(next)) {
                return true;
            }
        }
    }
    false
}
