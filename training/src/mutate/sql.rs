//! SQL that reads differently and means the same.
//!
//! Must not be here: encodings, which are no matter of SQL.

use super::common::{any_case, blanks as replace_blanks, literals, text, word, words};
use crate::exposure::dice::Dice;

const KEYWORDS: &[&str] = &[
    "all",
    "and",
    "as",
    "asc",
    "begin",
    "benchmark",
    "between",
    "by",
    "case",
    "cast",
    "char",
    "concat",
    "convert",
    "create",
    "database",
    "declare",
    "delay",
    "delete",
    "desc",
    "distinct",
    "drop",
    "else",
    "end",
    "exec",
    "execute",
    "exists",
    "extractvalue",
    "from",
    "group",
    "group_concat",
    "having",
    "if",
    "in",
    "insert",
    "into",
    "is",
    "join",
    "like",
    "limit",
    "not",
    "null",
    "or",
    "order",
    "outfile",
    "pg_sleep",
    "rlike",
    "select",
    "sleep",
    "substring",
    "table",
    "then",
    "union",
    "update",
    "updatexml",
    "user",
    "values",
    "version",
    "waitfor",
    "when",
    "where",
    "xor",
];

/// Keywords that MySQL reads inside a version comment, and that a filter looks for.
const LOUD: &[&str] = &[
    "union",
    "select",
    "from",
    "where",
    "insert",
    "sleep",
    "benchmark",
    "or",
    "and",
    "into",
    "order",
    "having",
    "group",
];

fn is_keyword(word: &str) -> bool {
    KEYWORDS.contains(&word.to_ascii_lowercase().as_str())
}

fn has_keyword(text: &str) -> bool {
    let mut found = false;
    words(text, |word| {
        found |= is_keyword(word);
        None
    });
    found
}

pub(super) fn case(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let changed = words(text(payload)?, |word| {
        is_keyword(word).then(|| any_case(word, dice))
    });
    Some(changed.into_bytes())
}

/// Blanks replaced, but only in text that is SQL: a blank in prose may matter.
fn between_words(payload: &[u8], blank: impl FnMut() -> String) -> Option<Vec<u8>> {
    let text = text(payload).filter(|text| has_keyword(text))?;
    replace_blanks(text, blank)
}

pub(super) fn comments(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let filled = dice.chance(0.4);
    between_words(payload, || {
        if filled {
            format!("/*{}*/", word(dice))
        } else {
            "/**/".to_owned()
        }
    })
}

/// Line comments swallow nothing where the line feed follows; payloads that end in a comment keep theirs.
pub(super) fn line_comments(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    between_words(payload, || format!("--{}\n", word(dice)))
}

pub(super) fn hash_comments(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    between_words(payload, || format!("#{}\n", word(dice)))
}

pub(super) fn blanks(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    between_words(payload, || {
        dice.word(&["\t", "\n", "\r", "\r\n", "\u{c}", "  ", "\t \t"])
            .to_owned()
    })
}

pub(super) fn odd_blanks(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    between_words(payload, || {
        dice.word(&["\u{b}", "\u{a0}", "%0b", "%a0"]).to_owned()
    })
}

pub(super) fn version_comments(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let number = dice.word(&["", "50000", "40000", "00000", "50723"]);
    let changed = words(text(payload)?, |word| {
        LOUD.contains(&word.to_ascii_lowercase().as_str())
            .then(|| format!("/*!{number}{word}*/"))
    });
    Some(changed.into_bytes())
}

pub(super) fn logic(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let before = text(payload)?;
    let mut changed = words(before, |word| match word.to_ascii_lowercase().as_str() {
        "or" => Some("||".to_owned()),
        "and" => Some("&&".to_owned()),
        _ => None,
    });
    let compares = changed
        .split('=')
        .skip(1)
        .any(|right| right.starts_with(|c: char| c.is_ascii_digit() || matches!(c, '\'' | '"')));
    if compares && has_keyword(before) && dice.chance(0.6) {
        changed = changed.replace('=', " like ");
    }
    Some(changed.into_bytes())
}

pub(super) fn concat(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let joint = dice.word(&["'||'", "'+'", "' '"]);
    literals(text(payload)?, |inner| {
        let at = 1 + dice.below(inner.len().checked_sub(1).filter(|rest| *rest > 0)?);
        let (left, right) = inner.split_at_checked(at)?;
        Some(format!("'{left}{joint}{right}'"))
    })
}

pub(super) fn hex(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    literals(text(payload)?, |inner| {
        let digits: String = inner.bytes().map(|byte| format!("{byte:02x}")).collect();
        Some(format!("0x{digits}"))
    })
}

pub(super) fn char_codes(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    let name = dice.word(&["CHAR", "char", "ChAr"]);
    literals(text(payload)?, |inner| {
        let codes: Vec<String> = inner.bytes().map(|byte| byte.to_string()).collect();
        Some(format!("{name}({})", codes.join(",")))
    })
}

/// `n=m` with bare numbers on both sides, rewritten.
fn comparisons(payload: &[u8], mut change: impl FnMut(&str, &str) -> String) -> Option<Vec<u8>> {
    let text = text(payload)?;
    let parts: Vec<&str> = text.split('=').collect();
    let mut out = String::with_capacity(text.len() * 2);
    let mut changed = false;
    let mut pending = (*parts.first()?).to_owned();
    for right in parts.iter().skip(1) {
        let left_digits =
            pending.len() - pending.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        let right_digits =
            right.len() - right.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let (head, left) = pending.split_at_checked(pending.len() - left_digits)?;
        let (number, tail) = right.split_at_checked(right_digits)?;
        let bare = !head.ends_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'))
            && !tail.starts_with(|c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.'));
        if left_digits > 0 && right_digits > 0 && bare {
            out.push_str(head);
            // Words need a blank around them.
            out.push_str(&change(left, number));
            pending = tail.to_owned();
            changed = true;
        } else {
            out.push_str(&pending);
            out.push('=');
            pending = (*right).to_owned();
        }
    }
    out.push_str(&pending);
    changed.then(|| out.into_bytes())
}

pub(super) fn brackets(payload: &[u8], _: &mut Dice) -> Option<Vec<u8>> {
    comparisons(payload, |left, right| format!("({left})=({right})"))
}

pub(super) fn comparison(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    comparisons(payload, |left, right| match dice.below(5) {
        0 => format!("{left} between {right} and {right}"),
        1 => format!("{left} in ({right})"),
        2 => format!("{left} rlike {right}"),
        3 => format!("not {left}<>{right}"),
        _ => format!("{left}<=>{right}"),
    })
}

pub(super) fn arithmetic(payload: &[u8], dice: &mut Dice) -> Option<Vec<u8>> {
    comparisons(payload, |left, right| {
        let mut sum = |digits: &str| match digits.parse::<u64>() {
            Ok(value) if value < 1 << 40 => {
                let more = dice.between(1, 99);
                format!("{}-{more}", value + more)
            }
            _ => digits.to_owned(),
        };
        format!("{}={}", sum(left), sum(right))
    })
}
