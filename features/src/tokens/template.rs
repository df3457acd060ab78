//! Templates and expression languages: what stands between their brackets. Not here: phrases of single engines.

use super::lex::{is_word, run};
use super::{Found, Present, Sign, Text};
use crate::bytes::{Bytes, find_pair};

/// Bytes between the brackets of an expression that are looked at.
const LOOK: usize = 160;
/// Expressions of one value that are looked at: brackets in a row must not cost a look each.
const EXPRESSIONS: usize = 48;
/// Without one of these no expression opens.
const NEEDED: Present = Present::set(b"{(<[#$@%*~");
/// What stands first in the marks that open one.
static FIRST: Bytes = Bytes::of(b"{<[#$@%*~");

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    let braced = text.present.has(b'{');
    if !text.present.any(NEEDED)
        || !(braced || text.present.has(b'<') || text.present.has(b'@') || text.present.has(b'['))
    {
        return;
    }
    let value = text.value;
    let mut at = 0;
    let mut looked = 0;
    while let Some(&byte) = value.get(at)
        && looked < EXPRESSIONS
    {
        if !FIRST.has(byte) {
            at += 1;
            continue;
        }
        let next = value.get(at + 1).copied().unwrap_or(0);
        let (open, close): (usize, &[u8]) = match (byte, next) {
            (b'{', b'{') => (2, b"}}"),
            (b'{', b'%') => (2, b"%}"),
            (b'<', b'%') => (2, b"%>"),
            (b'$' | b'#' | b'*' | b'%' | b'~' | b'@', b'{') => (2, b"}"),
            (b'@', b'(') => (2, b")"),
            (b'[', b'[') => (2, b"]]"),
            (b'{', _) => (1, b"}"),
            _ => {
                at += 1;
                continue;
            }
        };
        looked += 1;
        let inner = value.get(at + open..).unwrap_or_default();
        let inner = inner.get(..LOOK).unwrap_or(inner);
        let end = match close {
            [one, two] => find_pair(inner, *one, *two),
            one => memchr::memmem::find(inner, one),
        };
        expression(
            at,
            (byte, next),
            inner.get(..end.unwrap_or(inner.len())).unwrap_or_default(),
            end.is_some(),
            found,
        );
        at += open;
    }
}

fn expression(at: usize, opens: (u8, u8), inner: &[u8], closed: bool, found: &mut Found) {
    let end = at + 2 + inner.len();
    let text = inner.trim_ascii();
    let operated = arithmetic(text);
    let sign = match opens {
        (b'<' | b'{', b'%') => {
            (is_sound(text) && is_block(text, closed)).then_some(Sign::TemplateExpression)
        }
        (b'{', b'{') | (b'@', b'(') => value_of(text, operated, closed, opens.0),
        // A single brace opens JSON, CSS and blocks: only a bare sum or product tells.
        (b'{', _) => {
            let bare = |byte: &u8| byte.is_ascii_digit() || b"*+-/ '()".contains(byte);
            (closed && operated && text.iter().all(bare)).then_some(Sign::TemplateExpression)
        }
        (b'[', _) if !text.starts_with(b"${") && !operated => None,
        _ => value_of(text, operated, closed, opens.0),
    };
    if let Some(sign) = sign {
        found.mark(sign, at, end);
    }
}

/// `<% .. %>` and `{% .. %}`.
fn is_block(text: &[u8], closed: bool) -> bool {
    let code = text
        .iter()
        .any(|byte| matches!(byte, b'=' | b'(' | b'.' | b'@' | b' ') || byte.is_ascii_digit());
    let begins = text.first().is_some_and(|byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'=' | b'@' | b'-' | b'#')
    });
    code && begins && (closed || text.starts_with(b"= ") || text.starts_with(b"@"))
}

/// What an expression does: it computes, or it only names a value.
fn value_of(text: &[u8], operated: bool, closed: bool, opens: u8) -> Option<Sign> {
    // `{{"a":..}}` and `{{}}` are JSON.
    let json = text.is_empty() || text.starts_with(b"\"") && opens == b'{';
    if !closed || json || !is_sound(text) {
        return None;
    }
    let computes = operated
        || called(text)
        || indexed(text) && opens != b'@'
        || text.starts_with(b"new ")
        || text.starts_with(b"T(");
    if computes {
        return Some(Sign::TemplateExpression);
    }
    let first = text.first()?;
    let named = first.is_ascii_alphabetic() || matches!(first, b'_' | b'@');
    let plain = |byte: &u8| is_word(*byte) || b" .|:-?@,'\"[]".contains(byte);
    (named && text.iter().all(plain) && text.len() < 64 && opens != b'@')
        .then_some(Sign::TemplatePlaceholder)
}

/// Text with brackets in pairs, as every expression is; noise hardly ever.
fn is_sound(text: &[u8]) -> bool {
    let count = |byte: u8| memchr::memchr_iter(byte, text).count();
    text.iter()
        .all(|byte| matches!(byte, b' '..=b'~' | b'\t' | b'\n' | b'\r' | 128..))
        && count(b'(') == count(b')')
        && count(b'[') == count(b']')
        && count(b'"') % 2 == 0
}

/// Two numbers or strings joined by an operator: `7*7`, `7*'7'`, `'a'+'b'`.
fn arithmetic(text: &[u8]) -> bool {
    text.iter().enumerate().any(|(at, byte)| {
        matches!(
            byte,
            b'*' | b'+' | b'-' | b'/' | b'%' | b'^' | b'>' | b'<' | b'='
        ) && {
            let before = text.get(..at).unwrap_or_default().trim_ascii_end();
            let after = text.get(at + 1..).unwrap_or_default().trim_ascii_start();
            let number = |byte: Option<&u8>| {
                byte.is_some_and(|byte| {
                    byte.is_ascii_digit() || matches!(byte, b'\'' | b'"' | b'(' | b')')
                })
            };
            let alone = |part: &[u8], number: bool| number && !part.is_empty();
            alone(before, number(before.last()))
                && alone(after, number(after.first()))
                && (before.len() < 24)
        }
    })
}

/// A name right before an opening bracket.
fn called(text: &[u8]) -> bool {
    text.windows(2)
        .any(|pair| matches!(pair, [name, b'('] if is_word(*name)))
}

/// `a['b']`, `a.__b__`, `a|attr`.
fn indexed(text: &[u8]) -> bool {
    let name = run(text, 0, |byte| is_word(byte) || byte == b'.');
    let rest = text.get(name..).unwrap_or_default();
    rest.starts_with(b"['")
        || rest.starts_with(b"[\"")
        || find_pair(text, b'_', b'_').is_some()
        || rest.starts_with(b"|attr")
        || rest.starts_with(b"@")
}
