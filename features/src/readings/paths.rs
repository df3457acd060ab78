//! Paths as servers resolve them. Not here: `..` is never followed, because it is what to see.

use crate::lent::Lent;

/// The path without what servers ignore: `;parameters`, doubled slashes, `/./`, trailing dots and blanks of a segment,
/// what follows a zero byte; `\` is `/`, and a segment of dots is `..`. `None` when that shows no way up that the value
/// does not show itself.
pub(super) fn resolved(value: &[u8]) -> Option<Lent> {
    memchr::memmem::find(value, b"..")?;
    let out = simplified(value);
    (ways_up(&out) > ways_up(value)).then_some(out)
}

/// See [`resolved`]; always a path.
pub(crate) fn simplified(value: &[u8]) -> Lent {
    let end = memchr::memchr(0, value).unwrap_or(value.len());
    let value = value.get(..end).unwrap_or_default();
    let mut out = Lent::new();
    let rooted = matches!(value.first(), Some(b'/' | b'\\'));
    let mut first = !rooted;
    let mut segments = value
        .split(|byte| matches!(byte, b'/' | b'\\'))
        .skip(usize::from(rooted))
        .peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        let cut = memchr::memchr(b';', segment).unwrap_or(segment.len());
        let segment = segment.get(..cut).unwrap_or_default();
        let dots = segment.iter().filter(|byte| **byte == b'.').count();
        let only_dots =
            !segment.is_empty() && segment.iter().all(|byte| matches!(byte, b'.' | b' '));
        let kept = match (only_dots, dots) {
            (true, 0 | 1) => &b""[..],
            (true, _) => b"..",
            _ => trim_end(segment),
        };
        if kept.is_empty() && !last {
            continue;
        }
        if !first {
            out.push(b'/');
        }
        first = false;
        out.extend_from_slice(kept);
    }
    out
}

/// Windows drops dots and blanks at the end of a name.
fn trim_end(segment: &[u8]) -> &[u8] {
    let kept = segment
        .iter()
        .rposition(|byte| !matches!(byte, b'.' | b' '))
        .map_or(0, |last| last + 1);
    segment.get(..kept).unwrap_or_default()
}

fn ways_up(value: &[u8]) -> usize {
    memchr::memmem::find_iter(value, b"../").count()
        + memchr::memmem::find_iter(value, b"..\\").count()
}
