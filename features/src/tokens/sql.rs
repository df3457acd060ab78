//! SQL as it looks to a parser: inside nothing, and inside a string that the value closes.
//!
//! Not here: single words. What prose has too (`select the best from the menu`, `it's 1 or 2`) must find nothing.

use super::lex::{Kind, Token};
use super::words::{BOOLEAN, COMMON, COMPARE, DELAY, FUNCTION, KEYWORD, LITERAL, SQL, THING, VERB};
use super::{Found, Present, QUOTES, Sign, Text};

/// Tokens of a string or of a call that are looked at.
const LOOK: usize = 24;
/// Brackets, signs and negations before an operand, and brackets after it.
const AROUND: usize = 6;
/// Without one of these there is only prose, except where it says `union select`.
const NEEDED: Present = Present::set(b"'\"`=<>()|&;-#/*0123456789@,");

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Number,
    String,
    Literal,
    Name,
    Call,
}

impl Operand {
    fn is_constant(self) -> bool {
        matches!(self, Self::Number | Self::String | Self::Literal)
    }
}

pub(super) fn find(text: Text<'_>, found: &mut Found) {
    for (index, token) in text.tokens.iter().enumerate() {
        match token.kind {
            Kind::Word => {
                if token.bits & (SQL | FUNCTION | COMMON | DELAY) != 0 {
                    word(text, index, *token, found);
                }
            }
            Kind::Mark(mark @ (b'|' | b'&')) => {
                let next = text.at(index + 1);
                if next.is(mark) && !next.spaced && !text.before(index, 1).is(mark) {
                    condition(text, index, index + 2, found);
                }
            }
            Kind::Mark(b'-' | b'#' | b'/' | b';') => comment(text, index, found),
            Kind::Mark(b'\'' | b'"' | b'`') if token.bits == 0 => joined(text, index, found),
            _ => {}
        }
    }
}

fn word(text: Text<'_>, index: usize, token: Token, found: &mut Found) {
    if !text.present.any(NEEDED) && !text.is_any(index, &["union", "select"]) {
        return;
    }
    let before = text.before(index, 1);
    if token.commented && (before.has(SQL) || before.kind == Kind::Number || before.is_quote()) {
        text.mark(found, Sign::SqlInlineComment, index - 1, index + 1);
    }
    if token.has(BOOLEAN) {
        condition(text, index, index + 1, found);
    }
    if token.has(VERB) {
        statement(text, index, found);
    }
    if token.has(KEYWORD) {
        clause(text, index, found);
    }
    if token.has(FUNCTION | COMMON | DELAY) && text.at(index + 1).is(b'(') {
        function(text, index, token, found);
    }
}

/// One operand from `at`: where it ends and what it is.
fn operand(text: Text<'_>, at: usize) -> Option<(usize, Operand)> {
    let token = text.at(at);
    match token.kind {
        Kind::Number => {
            let mut end = at + 1;
            for _ in 0..3 {
                let arithmetic = matches!(
                    text.at(end).kind,
                    Kind::Mark(b'+' | b'-' | b'*' | b'/' | b'%' | b'^')
                );
                if !arithmetic || text.at(end + 1).kind != Kind::Number {
                    break;
                }
                end += 2;
            }
            Some((end, Operand::Number))
        }
        Kind::Mark(quote @ (b'\'' | b'"' | b'`')) => {
            for end in at + 1..at + LOOK {
                match text.at(end).kind {
                    Kind::Mark(mark) if mark == quote => return Some((end + 1, Operand::String)),
                    // The rest of the statement closes it: `' or '1'='1`.
                    Kind::Edge => return Some((end, Operand::String)),
                    _ => {}
                }
            }
            None
        }
        Kind::Word if token.has(LITERAL) => Some((at + 1, Operand::Literal)),
        Kind::Word if text.at(at + 1).is(b'(') => Some((close(text, at + 1), Operand::Call)),
        Kind::Word => {
            let mut end = at + 1;
            for _ in 0..3 {
                if !text.at(end).is(b'.') || text.at(end + 1).kind != Kind::Word {
                    break;
                }
                end += 2;
            }
            Some((end, Operand::Name))
        }
        Kind::Mark(b'@') => {
            let name = at + 1 + usize::from(text.at(at + 1).is(b'@'));
            (text.at(name).kind == Kind::Word).then_some((name + 1, Operand::Call))
        }
        _ => None,
    }
}

/// After the bracket that closes the one at `at`, or as far as is looked.
fn close(text: Text<'_>, at: usize) -> usize {
    let mut depth = 0;
    for end in at..at + LOOK {
        match text.at(end).kind {
            Kind::Mark(b'(') => depth += 1,
            Kind::Mark(b')') => {
                depth -= 1;
                if depth == 0 {
                    return end + 1;
                }
            }
            Kind::Edge => return end,
            _ => {}
        }
    }
    at + LOOK
}

/// Skips what may stand before an operand.
fn prefix(text: Text<'_>, mut at: usize) -> usize {
    for _ in 0..AROUND {
        let token = text.at(at);
        let skips = matches!(token.kind, Kind::Mark(b'(' | b'-' | b'+' | b'~' | b'!'))
            || text.is_any(at, &["not", "binary", "exists"]);
        if !skips {
            break;
        }
        at += 1;
    }
    at
}

fn skip_closing(text: Text<'_>, mut at: usize) -> usize {
    for _ in 0..AROUND {
        if !text.at(at).is(b')') {
            break;
        }
        at += 1;
    }
    at
}

/// After a comparison operator at `at`; `at` itself where there is none.
fn comparison(text: Text<'_>, at: usize) -> usize {
    let mut end = at;
    while end < at + 3 && matches!(text.at(end).kind, Kind::Mark(b'=' | b'<' | b'>' | b'!')) {
        end += 1;
    }
    if end == at {
        if text.is(end, "not") {
            end += 1;
        }
        if text.at(end).has(COMPARE) {
            end += 1;
            end += usize::from(text.is_any(end, &["not", "like"]));
        } else {
            return at;
        }
    } else if end == at + 1 && text.at(at).is(b'!') {
        return at;
    }
    end
}

/// The value ends here, or as good as ends.
fn ends(text: Text<'_>, at: usize) -> bool {
    let at = skip_closing(text, at);
    let token = text.at(at);
    token.kind == Kind::Edge
        || is_comment(text, at)
        || (token.is_quote() && text.at(at + 1).kind == Kind::Edge)
        || token.is(b';') && text.at(at + 1).kind == Kind::Edge
}

fn is_comment(text: Text<'_>, at: usize) -> bool {
    match text.at(at).kind {
        Kind::Mark(b'#') => true,
        Kind::Mark(b'-') => text.at(at + 1).is(b'-') && !text.at(at + 1).spaced,
        Kind::Mark(b'/') => text.at(at + 1).is(b'*'),
        _ => false,
    }
}

/// A boolean operator at `index` whose right side begins at `right`.
fn condition(text: Text<'_>, index: usize, right: usize, found: &mut Found) {
    let mut left = 1;
    while left < AROUND && text.before(index, left).is(b')') {
        left += 1;
    }
    let before = text.before(index, left);
    let broken = before.breaks_out();
    let negated = text.is(right, "not") || text.at(right).is(b'!');
    let start = prefix(text, right);
    let Some((middle, first)) = operand(text, start) else {
        return;
    };
    let opened = skip_closing(text, middle);
    let behind = comparison(text, opened);
    let from = index.saturating_sub(left);
    if behind == opened {
        let lone = match first {
            Operand::Literal => broken || before.kind == Kind::Number,
            Operand::Number | Operand::String => {
                let goes_on = matches!(
                    text.at(middle).kind,
                    Kind::Mark(b'-' | b'+' | b'*' | b'/' | b'&' | b'^' | b'|' | b'%')
                );
                broken && (ends(text, middle) || goes_on)
            }
            Operand::Call => broken && text.at(start).has(FUNCTION | COMMON | DELAY | VERB),
            Operand::Name => text.is(start, "select") && broken,
        };
        // `the dogs' or 3`: a possessive is no quote that was opened.
        let possessive = before.is(b'\'')
            && text.at(index).spaced
            && first == Operand::Number
            && !negated
            && text.before(index, left + 1).kind == Kind::Word;
        if lone && !possessive {
            if broken {
                text.mark(found, Sign::SqlCondition, from, middle);
            }
            if first == Operand::Literal {
                text.mark(found, Sign::SqlTautology, index, middle);
            }
            found.run(middle - from);
        }
        return;
    }
    let other = prefix(text, behind);
    let Some((end, second)) = operand(text, other) else {
        return;
    };
    let is_word = text.at(index).kind == Kind::Word;
    let names = first == Operand::Name && second == Operand::Name;
    let same = (is_word || broken) && names && middle == start + 1 && same_text(text, start, other);
    let constant = first.is_constant() && second.is_constant() && first_sound(text, start, first);
    if constant || same {
        text.mark(found, Sign::SqlTautology, index, end);
        found.run(end - index);
    }
    let computed = |at: usize, kind: Operand| {
        kind == Operand::Call && text.at(at).has(FUNCTION | COMMON | DELAY)
    };
    if is_word && (first.is_constant() && computed(other, second) || second.is_constant() && computed(start, first)) {
        text.mark(found, Sign::SqlFunction, index, end);
        found.run(end - index);
    }
    if broken && (is_word || first != Operand::Name) {
        text.mark(found, Sign::SqlCondition, from, end);
        found.run(end - from);
    } else if before.kind == Kind::Number && is_word && !names {
        found.run(end - from);
    }
}

/// A string that is compared holds a word or two, not a sentence.
fn first_sound(text: Text<'_>, start: usize, first: Operand) -> bool {
    first != Operand::String || operand(text, start).is_some_and(|(end, _)| end - start <= 8)
}

fn same_text(text: Text<'_>, one: usize, other: usize) -> bool {
    text.bytes(one).eq_ignore_ascii_case(text.bytes(other))
}

/// A comment mark behind something that it cuts off from its end.
fn comment(text: Text<'_>, index: usize, found: &mut Found) {
    let token = text.at(index);
    let mark = match token.kind {
        Kind::Mark(b';') => {
            // `;%00` ends a string of C.
            let last = usize::from(token.end);
            if text.value.get(last) == Some(&0) && last + 1 == text.value.len() && index > 0 {
                text.mark(found, Sign::SqlComment, index, index + 1);
            }
            return;
        }
        _ if !is_comment(text, index) || text.before(index, 1).is(b'-') => return,
        Kind::Mark(mark) => mark,
        _ => return,
    };
    let width = if mark == b'#' { 1 } else { 2 };
    let after = text.at(index + width);
    let at_end = after.kind == Kind::Edge
        || ((after.is(b'-') || after.is(b'+') || after.kind == Kind::Word)
            && text.at(index + width + 1).kind == Kind::Edge);
    let mut left = 1;
    while left < AROUND && (text.before(index, left).is(b')') || text.before(index, left).is(b';'))
    {
        left += 1;
    }
    let before = text.before(index, left);
    let first = text.before(index, left + 1);
    // `style="--a: b"` opens a string.
    let opens = first.is(b'=') || first.is(b':') || first.is(b'(') && !text.present.has(b')');
    let quote = before.breaks_out() && !opens;
    let operand = before.kind == Kind::Number
        && (first.kind == Kind::Edge || first.has(SQL) || first.is(b'=') || first.is(b','));
    let hit = match mark {
        b'#' => quote && at_end && !before.is(b'"') || quote && after.kind == Kind::Edge,
        b'-' => {
            (quote
                && (at_end || after.spaced && after.kind != Kind::Edge && text.present.any(QUOTES)))
                || (operand
                    && after.kind == Kind::Edge
                    && (left > 1 || token.spaced || index <= 2 || first.kind != Kind::Edge))
        }
        _ => (quote || operand && first.kind == Kind::Edge) && after.kind == Kind::Edge,
    };
    if hit {
        text.mark(found, Sign::SqlComment, index - left, index + width);
        found.run(left + width);
    }
}

/// `'+'`, `a'||'b`, `' '`: the first quote closes one string and an operator joins another.
fn joined(text: Text<'_>, index: usize, found: &mut Found) {
    let quote = text.at(index);
    let before = text.before(index, 1);
    if matches!(
        before.kind,
        Kind::Mark(b'{' | b'[' | b':' | b'=' | b'(' | b',' | b'<' | b'/' | b'\\')
    ) {
        return;
    }
    let mut end = index + 1;
    while end < index + 3
        && matches!(
            text.at(end).kind,
            Kind::Mark(b'+' | b'|' | b'-' | b'*' | b'^' | b'=' | b'&' | b'<' | b'>' | b'%')
        )
    {
        end += 1;
    }
    if text.at(end).has(COMPARE) && end == index + 1 {
        end += 1;
    }
    let closes = text.at(end);
    let operates = end > index + 1;
    if operates && closes.kind == quote.kind && text.at(end + 1).kind != Kind::Mark(b':') {
        text.mark(found, Sign::SqlConcatenation, index, end + 1);
        found.run(end + 1 - index);
    } else if operates && end <= index + 3 {
        // `'=0--`, `'+(select 1)+'`, `'||char(65)`.
        let start = prefix(text, end);
        let sub = text.is(start, "select")
            || text.at(start).has(FUNCTION | COMMON | DELAY) && text.at(start + 1).is(b'(');
        let number = text.at(start).kind == Kind::Number
            && (is_comment(text, start + 1) || text.at(start + 1).has(BOOLEAN));
        if sub || number {
            text.mark(found, Sign::SqlConcatenation, index, start + 1);
            found.run(start + 1 - index);
        }
    }
}

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
    let end = skip_closing(text, end);
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

/// A statement that begins at `index`.
fn statement(text: Text<'_>, index: usize, found: &mut Found) {
    let before = text.before(index, 1);
    let stacked = before.is(b';');
    let next = index + 1;
    let word = text.bytes(index).to_ascii_lowercase();
    let end = match word.as_slice() {
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
        b"exec" | b"execute" => {
            let name = text.bytes(next).to_ascii_lowercase();
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
                text.mark(found, Sign::SqlDelay, index, next + 2);
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
    };
    let Some(end) = end else { return };
    found.run(end - index);
    if stacked {
        text.mark(found, Sign::SqlStacked, index - 1, end);
    }
}

/// A clause that is appended to a statement before the value.
fn clause(text: Text<'_>, index: usize, found: &mut Found) {
    let next = index + 1;
    let before = text.before(index, 1);
    let end = match text.bytes(index).to_ascii_lowercase().as_slice() {
        b"union" => {
            let at = prefix(
                text,
                next + usize::from(text.is_any(next, &["all", "distinct"])),
            );
            if text.is(at, "select") {
                selection(text, at, true).or_else(|| ends(text, at + 1).then_some(at + 1))
            } else {
                None
            }
        }
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

fn function(text: Text<'_>, index: usize, token: Token, found: &mut Found) {
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
        let decides = operand(text, start).filter(|(_, kind)| kind.is_constant()).and_then(|(middle, _)| {
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
    } else if placed && token.has(FUNCTION) {
        found.run(end - index);
    }
}
