//! Statements, clauses and calls of SQL. Not here: conditions, comments and quotes.

use super::super::lex::{Kind, Token};
use super::super::words::{COMMON, DELAY, FUNCTION, KEYWORD, LITERAL, SQL, THING};
use super::super::{Found, Sign, Text};
use super::{
    NEEDED, Operand, close, comparison, condition, ends, is_comment, operand, prefix, skip_closing,
};

/// Columns of a selection that are followed.
const COLUMNS: usize = 12;

/// What follows `select`: a list that a parser would take, and how far it was followed.
fn selection(text: Text<'_>, select: usize, is_placed: bool) -> Option<usize> {
    let mut at = select + 1;
    if text.is_any(at, &["distinct", "all", "top"]) {
        at += 1;
        if text.at(at).kind == Kind::Number && text.at(at + 1).kind == Kind::Word {
            at += 1;
        }
    }
    at = prefix(text, at);
    let (end, certain) = match text.at(at).kind {
        Kind::Mark(b'*') => (at + 1, true),
        Kind::Edge => return None,
        _ if text.is(at, "case") => return Some(at + 1),
        _ => {
            let (end, kind) = operand(text, at)?;
            (
                end,
                kind != Operand::Name && (kind != Operand::String || is_placed),
            )
        }
    };
    let mut end = skip_closing(text, end);
    // `union select a, b from c`: where a query must stand, names with spaces between them are columns and no prose.
    if is_placed {
        end = columns(text, end);
    }
    let next = text.at(end);
    let from = text.is_any(end, &["from", "into"]);
    if from {
        let table = end + 1;
        let named = matches!(
            text.at(table).kind,
            Kind::Word | Kind::Mark(b'(' | b'`' | b'"' | b'[' | b'\'')
        );
        let last = text.at(table + 1);
        let stops = last.kind != Kind::Word || last.has(SQL);
        return (named && stops).then_some(table + 1);
    }
    let list = next.is(b',') && !next.spaced && (certain || !text.at(end + 1).spaced);
    let joins = matches!(
        next.kind,
        Kind::Mark(b'|' | b'+' | b'-' | b'=' | b'<' | b'>')
    ) && certain;
    let closed = end > at + 1 && text.before(end, 1).is(b')');
    ((is_placed && certain && (ends(text, end) || list || joins || closed || next.has(SQL)))
        || (list && (is_placed || certain))
        || (is_placed && closed && certain))
        .then_some(end)
}

/// After the columns that follow the first, if `from` stands behind them; else `at`.
fn columns(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    for _ in 0..COLUMNS {
        if !text.at(end).is(b',') {
            break;
        }
        match operand(text, prefix(text, end + 1)) {
            Some((next, _)) => end = skip_closing(text, next),
            None => break,
        }
    }
    if text.is_any(end, &["from", "into"]) {
        end
    } else {
        at
    }
}

/// A statement that begins at `index`.
pub(super) fn statement(text: Text<'_>, index: usize, found: &mut Found) {
    let before = text.before(index, 1);
    let stacked = before.is(b';');
    let next = index + 1;
    let end = match text.folded(index, &mut [0; 16]) {
        b"select" => {
            let placed = stacked || before.is(b'(') || before.has(KEYWORD);
            let end = selection(text, index, placed);
            if let Some(end) = end
                && before.is(b'(')
            {
                text.mark(found, Sign::SqlClause, index, end);
            }
            end
        }
        b"insert" => (text.is(next, "into")
            && text.at(next + 1).kind == Kind::Word
            && (text.at(next + 2).is(b'(') || text.is_any(next + 2, &["values", "select"])))
        .then_some(next + 3),
        b"update" => (text.at(next).kind == Kind::Word
            && text.is(next + 1, "set")
            && text.at(next + 3).is(b'='))
        .then_some(next + 4),
        b"delete" => (text.is(next, "from")
            && text.at(next + 1).kind == Kind::Word
            && (text.is(next + 2, "where") || stacked && ends(text, next + 2)))
        .then_some(next + 2),
        b"drop" | b"truncate" => (text.at(next).has(THING)
            && text.at(next + 1).kind == Kind::Word
            && (stacked || ends(text, next + 2)))
        .then_some(next + 2),
        b"create" | b"alter" => (text.at(next).has(THING)
            && text.at(next + 1).kind == Kind::Word
            && (text.at(next + 2).is(b'(')
                || text.is_any(
                    next + 2,
                    &["as", "add", "modify", "identified", "with", "set"],
                )))
        .then_some(next + 3),
        other => action(text, other, next, stacked, found),
    };
    let Some(end) = end else { return };
    found.run(end - index);
    if stacked {
        text.mark(found, Sign::SqlStacked, index - 1, end);
    }
}

/// Statements that do something other than query and change tables; what stands behind the verb begins at `next`.
fn action(
    text: Text<'_>,
    verb: &[u8],
    next: usize,
    stacked: bool,
    found: &mut Found,
) -> Option<usize> {
    match verb {
        b"exec" | b"execute" => {
            let mut buffer = [0; 16];
            let name = text.folded(next, &mut buffer);
            (name.starts_with(b"xp_")
                || name.starts_with(b"sp_")
                || name == b"master"
                || name == b"immediate"
                || stacked && matches!(text.at(next).kind, Kind::Mark(b'(' | b'@')))
            .then_some(next + 1)
        }
        b"declare" | b"set" => {
            (text.at(next).is(b'@') && text.at(next + 1).kind == Kind::Word).then_some(next + 2)
        }
        b"waitfor" => {
            let waits = text.is_any(next, &["delay", "time"]) && text.at(next + 1).is_quote();
            if waits {
                text.mark(found, Sign::SqlDelay, next - 1, next + 2);
            }
            waits.then_some(next + 2)
        }
        b"shutdown" => (stacked && ends(text, next)).then_some(next),
        b"load" => text
            .is(next, "data")
            .then_some(next + 1)
            .filter(|end| text.at(*end).has(SQL) || text.is(*end, "infile")),
        b"copy" => (text.at(next).kind == Kind::Word
            && text.is_any(next + 1, &["from", "to"])
            && (text.is(next + 2, "program") || text.at(next + 2).is_quote()))
        .then_some(next + 3),
        _ => None,
    }
}

/// `union [all] select`, with what a query selects or with nothing behind it.
fn union(text: Text<'_>, next: usize) -> Option<usize> {
    let all = usize::from(text.is_any(next, &["all", "distinct"]));
    let at = prefix(text, next + all);
    if !text.is(at, "select") {
        return None;
    }
    selection(text, at, true).or_else(|| ends(text, at + 1).then_some(at + 1))
}

/// A clause that is appended to a statement before the value.
pub(super) fn clause(text: Text<'_>, index: usize, found: &mut Found) {
    let next = index + 1;
    let before = text.before(index, 1);
    let end = match text.folded(index, &mut [0; 16]) {
        b"union" => union(text, next),
        b"order" | b"group" => (text.is(next, "by")
            && (text.at(next + 1).kind == Kind::Number
                || text.at(next + 1).is(b'(')
                || before.breaks_out())
            && (before.breaks_out()
                || before.is(b')')
                || before.kind == Kind::Number
                || ends(text, next + 2)))
        .then_some(next + 2),
        b"where" | b"when" | b"on" => {
            condition(text, index, next, found);
            None
        }
        b"having" => {
            let start = prefix(text, next);
            operand(text, start).and_then(|(end, _)| {
                (comparison(text, end) > end && before.kind != Kind::Word).then_some(end)
            })
        }
        b"limit" => (text.at(next).kind == Kind::Number
            && (text.at(next + 1).is(b',') && text.at(next + 2).kind == Kind::Number
                || text.is_any(next + 1, &["offset", "into", "procedure"])
                || before.breaks_out()
                || is_comment(text, next + 1)))
        .then_some(next + 1),
        b"into" => (text.is_any(next, &["outfile", "dumpfile"])).then_some(next + 1),
        b"procedure" => (text.is(next, "analyse")).then_some(next + 1),
        b"case" => (text.is(next, "when")
            && text.at(next + 1).kind != Kind::Edge
            && text.present.any(NEEDED)
            && (before.is(b'(') || before.has(SQL) || before.is(b',')))
        .then_some(next + 1),
        _ => None,
    };
    if let Some(end) = end {
        text.mark(found, Sign::SqlClause, index, end);
        found.run(end - index + usize::from(before.breaks_out()));
    }
}

pub(super) fn function(text: Text<'_>, index: usize, token: Token, found: &mut Found) {
    let end = close(text, index + 1);
    let argument = text.at(index + 2);
    let before = text.before(index, 1);
    if token.has(DELAY)
        && matches!(
            argument.kind,
            Kind::Number | Kind::Mark(b'(' | b'\'' | b'"')
        )
    {
        text.mark(found, Sign::SqlDelay, index, end);
        found.run(end - index);
    }
    if text.is_any(index, &["if", "iif"]) {
        let start = prefix(text, index + 2);
        let decides = operand(text, start)
            .filter(|(_, kind)| kind.is_constant())
            .and_then(|(middle, _)| {
                let behind = comparison(text, middle);
                operand(text, behind).filter(|(_, kind)| behind > middle && kind.is_constant())
            });
        if let Some((end, _)) = decides {
            text.mark(found, Sign::SqlTautology, index, end);
            found.run(end - index);
        }
    }
    let placed = before.has(SQL)
        || before.is(b'(') && text.before(index, 2).has(FUNCTION | COMMON | SQL)
        || before.is(b',')
            && (text.before(index, 2).has(LITERAL) || text.before(index, 2).kind == Kind::Number)
            && text.before(index, 3).has(SQL)
        || before.is(b'|') && text.before(index, 2).is(b'|');
    if token.has(FUNCTION) && !argument.is(b')') || placed {
        text.mark(found, Sign::SqlFunction, index, end);
        found.run(end - index);
    }
}
