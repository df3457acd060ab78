//! HTML and JavaScript that reads differently and runs the same.
//!
//! Must not be here: encodings of the transport.

use super::common::{any_case, text, word, words};
use crate::exposure::dice::Dice;

/// Functions that payloads call, which can be called in other ways.
const CALLED: &[&str] = &[
    "alert", "confirm", "prompt", "eval", "fetch", "print", "open",
];

/// Start tags of a text, as ranges from `<` to the closing `>` or the end.
fn tags(text: &str) -> Vec<(usize, usize)> {
    let mut out = Vec::new();
    for (at, _) in text.match_indices('<') {
        let inside = out.last().is_some_and(|(_, end)| at < *end);
        let starts = text
            .get(at + 1..)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphabetic()));
        if starts && !inside {
            let end = text
                .get(at..)
                .and_then(|rest| rest.find('>'))
                .map_or(text.len(), |length| at + length);
            out.push((at, end));
        }
    }
    out
}

/// Rewrites each start tag.
fn in_tags(payload: &[u8], mut change: impl FnMut(&str) -> String) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut done = 0;
    for (start, end) in tags(text) {
        out.push_str(text.get(done..start)?);
        out.push_str(&change(text.get(start..end)?));
        done = end;
    }
    out.push_str(text.get(done..)?);
    Some(out.into_bytes())
}

/// Where the tag's name ends.
fn name_end(tag: &str) -> usize {
    tag.bytes()
        .skip(1)
        .position(|byte| !byte.is_ascii_alphanumeric())
        .map_or(tag.len(), |at| at + 1)
}

/// Where the value of the first event handler or script link of a tag stands, without its quotes.
fn script_value(tag: &str) -> Option<(usize, usize)> {
    let lower = tag.to_ascii_lowercase();
    let attribute = lower
        .match_indices("on")
        .find(|(at, _)| {
            let before = lower.get(..*at).unwrap_or_default();
            let name = lower.get(*at..).unwrap_or_default();
            before.ends_with(|c: char| !c.is_ascii_alphanumeric())
                && name.split_once('=').is_some_and(|(name, _)| {
                    name.trim_end().bytes().all(|b| b.is_ascii_alphabetic())
                })
        })
        .map(|(at, _)| at)
        .or_else(|| lower.find("href=").or_else(|| lower.find("src=j")))?;
    let equals = attribute + lower.get(attribute..)?.find('=')? + 1;
    let value = lower.get(equals..)?;
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''));
    let start = equals + usize::from(quote.is_some());
    let rest = lower.get(start..)?;
    let length = match quote {
        Some(quote) => rest.find(quote).unwrap_or(rest.len()),
        None => rest
            .find(|c: char| c.is_ascii_whitespace())
            .unwrap_or(rest.len()),
    };
    (length > 0).then_some((start, start + length))
}

fn in_script_value(payload: &[u8], mut change: impl FnMut(&str) -> String) -> Option<Vec<u8>> {
    in_tags(payload, |tag| {
        let parts = script_value(tag).and_then(|(start, end)| {
            Some((tag.get(..start)?, tag.get(start..end)?, tag.get(end..)?))
        });
        match parts {
            Some((before, value, after)) => format!("{before}{}{after}", change(value)),
            None => tag.to_owned(),
        }
    })
}

/// Tag and attribute names in any case; what stands in attributes keeps its own.
pub(super) fn case(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    in_tags(payload, |tag| {
        let mut value = false;
        let mut quote = None;
        tag.chars()
            .map(|c| {
                match (quote, c) {
                    (Some(open), c) if c == open => (quote, value) = (None, false),
                    (None, '"' | '\'' | '`') if value => quote = Some(c),
                    (None, '=') => value = true,
                    (None, c) if c.is_ascii_whitespace() => value = false,
                    _ => {}
                }
                if value || quote.is_some() {
                    c
                } else {
                    any_case(c.encode_utf8(&mut [0; 4]), dice)
                        .chars()
                        .next()
                        .unwrap_or(c)
                }
            })
            .collect()
    })
}

/// What separates the name of a tag from its first attribute, replaced.
fn after_name(payload: &[u8], mut gap: impl FnMut() -> String) -> Option<Vec<u8>> {
    in_tags(payload, |tag| match tag.split_at_checked(name_end(tag)) {
        Some((name, rest)) if rest.starts_with(|c: char| c.is_ascii_whitespace()) => {
            format!("{name}{}{}", gap(), rest.trim_start())
        }
        _ => tag.to_owned(),
    })
}

pub(super) fn slash(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    after_name(payload, || dice.word(&["/", "//", "/ /", "/x/"]).to_owned())
}

pub(super) fn blanks(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    after_name(payload, || {
        dice.word(&["\u{c}", "\n", "\r\n", "\t", "\u{c}\u{c}", "\n\t"])
            .to_owned()
    })
}

pub(super) fn attribute(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    after_name(payload, || {
        let (name, value) = (word(dice), word(dice));
        match dice.below(4) {
            0 => format!(" {name}=\"{value}\" "),
            1 => format!(" {name}='>{value}' "),
            2 => format!(" data-{name}={value} "),
            _ => format!(" {name} "),
        }
    })
}

fn is_mark(c: char) -> bool {
    c.is_ascii_punctuation() && c != '&' && c != ';'
}

/// A random share of marks and letters of a script attribute as character references, which HTML undoes before the script runs.
pub(super) fn entities(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let hex = dice.chance(0.5);
    in_script_value(payload, |value| {
        value
            .chars()
            .map(|c| match (is_mark(c) || dice.chance(0.2), hex) {
                (true, true) => format!("&#x{:x};", u32::from(c)),
                (true, false) => format!("&#{};", u32::from(c)),
                _ => c.to_string(),
            })
            .collect()
    })
}

pub(super) fn named_entities(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    in_script_value(payload, |value| {
        value
            .chars()
            .map(|c| match c {
                '(' => "&lpar;".to_owned(),
                ')' => "&rpar;".to_owned(),
                ':' => "&colon;".to_owned(),
                '\'' => "&apos;".to_owned(),
                '.' => "&period;".to_owned(),
                '/' => "&sol;".to_owned(),
                _ => c.to_string(),
            })
            .collect()
    })
}

pub(super) fn quotes(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    in_tags(payload, |tag| {
        let Some((start, end)) = script_value(tag) else {
            return tag.to_owned();
        };
        let value = tag.get(start..end).unwrap_or_default();
        let before = tag.get(..start).unwrap_or_default();
        let quoted = before.ends_with(['"', '\'']);
        let (before, after) = if quoted {
            (tag.get(..start - 1), tag.get(end + 1..))
        } else {
            (Some(before), tag.get(end..))
        };
        let free = |quote: char| !value.contains(quote);
        let quote = match (free('"'), free('\'')) {
            (true, true) => dice.word(&["\"", "'"]),
            (true, false) => "\"",
            (false, true) => "'",
            (false, false) => return tag.to_owned(),
        };
        format!(
            "{}{quote}{value}{quote}{}",
            before.unwrap_or_default(),
            after.unwrap_or_default()
        )
    })
}

/// Calls of known functions rewritten: `call` gets the name and the arguments.
fn calls(payload: &[u8], mut call: impl FnMut(&str, &str) -> Option<String>) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let mut out = String::with_capacity(text.len() * 2);
    let mut rest = text;
    loop {
        let next = CALLED
            .iter()
            .filter_map(|name| {
                let at = rest.find(&format!("{name}("))?;
                Some((at, *name))
            })
            .min();
        let Some((at, name)) = next else {
            out.push_str(rest);
            return Some(out.into_bytes());
        };
        let (before, after) = rest.split_at_checked(at)?;
        let arguments = after.get(name.len() + 1..)?;
        let end = arguments.find(')').unwrap_or(arguments.len());
        let inner = arguments.get(..end)?;
        let own =
            !before.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '$'));
        out.push_str(before);
        match call(name, inner).filter(|_| own && end < arguments.len() && !inner.contains('(')) {
            Some(new) => {
                out.push_str(&new);
                rest = arguments.get(end + 1..)?;
            }
            None => {
                out.push_str(after.get(..name.len() + 1)?);
                rest = arguments;
            }
        }
    }
}

pub(super) fn js_concat(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let quote = if payload.contains(&b'\'') { '"' } else { '\'' };
    calls(payload, |name, inner| {
        let object = dice.word(&["window", "self", "top", "this", "globalThis"]);
        let at = 1 + dice.below(name.len() - 1);
        let (left, right) = name.split_at_checked(at)?;
        Some(format!(
            "{object}[{quote}{left}{quote}+{quote}{right}{quote}]({inner})"
        ))
    })
}

pub(super) fn js_call(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    calls(payload, |name, inner| {
        let simple = inner.bytes().all(|byte| byte.is_ascii_alphanumeric());
        Some(match dice.below(5) {
            0 if simple => format!("{name}`{inner}`"),
            1 => format!("({name})({inner})"),
            2 if !inner.is_empty() => format!("[{inner}].map({name})"),
            3 => format!("{name}.call(null,{inner})"),
            _ => format!("(0,{name})({inner})"),
        })
    })
}

pub(super) fn js_comments(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    calls(payload, |name, inner| {
        let note = word(dice);
        Some(format!("{name}/*{note}*/(/*{note}*/{inner})"))
    })
}

/// One letter of an identifier as a Unicode escape; JavaScript reads it as the letter.
pub(super) fn js_escape(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let changed = words(text(payload)?, |word| {
        CALLED.contains(&word).then(|| {
            let at = dice.below(word.len());
            word.char_indices()
                .map(|(index, c)| {
                    if index == at {
                        format!("\\u{:04x}", u32::from(c))
                    } else {
                        c.to_string()
                    }
                })
                .collect()
        })
    });
    Some(changed.into_bytes())
}
