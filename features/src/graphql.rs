//! GraphQL documents: string arguments are values of their own, and the document is judged without them.
//!
//! Not here: validation against any schema.

use crate::decode::Plus;
use crate::field::Scratch;
use crate::lent::Lent;
use crate::nested::leaf;
use crate::sink::{Origin, Place, emit};

/// True for text that begins like a GraphQL operation and has a selection.
pub(crate) fn is_document(text: &[u8]) -> bool {
    let text = text.trim_ascii();
    if !text.ends_with(b"}") {
        return false;
    }
    let operation = [&b"query"[..], b"mutation", b"subscription", b"fragment"]
        .into_iter()
        .any(|keyword| {
            text.strip_prefix(keyword).is_some_and(|rest| {
                rest.first()
                    .is_some_and(|byte| byte.is_ascii_whitespace() || matches!(byte, b'{' | b'('))
            })
        });
    operation && text.contains(&b'{')
}

/// Adds the strings of a document as values and the document with its strings emptied.
pub(crate) fn walk(
    scratch: &mut Scratch,
    place: Place<'_>,
    text: &[u8],
    origin: Origin,
    depth: u8,
) {
    let mut outline = Lent::new();
    let mut at = 0;
    while let Some(step) = memchr::memchr(b'"', text.get(at..).unwrap_or_default()) {
        let open = at + step;
        let rest = text.get(open..).unwrap_or_default();
        let (skip, length) = match rest.strip_prefix(b"\"\"\"") {
            Some(block) => (3, memchr::memmem::find(block, b"\"\"\"")),
            None => (1, closing_quote(rest.get(1..).unwrap_or_default())),
        };
        let Some(length) = length else { break };
        outline.extend_from_slice(text.get(at..open).unwrap_or_default());
        outline.extend_from_slice(b"\"\"");
        let start = open + skip;
        let string = text.get(start..start + length).unwrap_or_default();
        leaf(scratch, place, string, Plus::Literal, origin, depth);
        at = start + length + skip;
    }
    outline.extend_from_slice(text.get(at..).unwrap_or_default());
    emit(scratch, place, &outline, origin);
}

/// Where the next quote stands that no backslash escapes.
pub(crate) fn closing_quote(text: &[u8]) -> Option<usize> {
    let mut at = 0;
    loop {
        at += memchr::memchr2(b'"', b'\\', text.get(at..)?)?;
        if text.get(at) == Some(&b'"') {
            return Some(at);
        }
        at += 2;
    }
}
