//! SQL as it looks to a parser: inside nothing, and inside a string that the value closes.
//!
//! Not here: single words. What prose has too (`select the best from the menu`, `it's 1 or 2`) must find nothing.

mod statement;

use super::lex::{Kind, Token};
use super::words::{BOOLEAN, COMMON, COMPARE, DELAY, FUNCTION, KEYWORD, LITERAL, SQL, VERB};
use super::{Found, Present, QUOTES, Sign, Text};
use statement::{clause, function, statement};

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
            Kind::Word if token.bits & (SQL | FUNCTION | COMMON | DELAY) != 0 => {
                word(text, index, *token, found);
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

/// A boolean operator and what stands on both sides.
struct Condition {
    index: usize,
    /// The first token of the left side.
    from: usize,
    before: Token,
    /// The left side ends in a quote that closes what the value stands in.
    broken: bool,
    start: usize,
    middle: usize,
    first: Operand,
}

/// A boolean operator at `index` whose right side begins at `right`.
fn condition(text: Text<'_>, index: usize, right: usize, found: &mut Found) {
    let mut left = 1;
    while left < AROUND && text.before(index, left).is(b')') {
        left += 1;
    }
    let before = text.before(index, left);
    let start = prefix(text, right);
    let Some((middle, first)) = operand(text, start) else {
        return;
    };
    let condition = Condition {
        index,
        from: index.saturating_sub(left),
        before,
        broken: before.breaks_out(),
        start,
        middle,
        first,
    };
    let opened = skip_closing(text, middle);
    let behind = comparison(text, opened);
    if behind > opened {
        condition.compare(text, behind, found);
        return;
    }
    // `the dogs' or 3`: a possessive is no quote that was opened.
    let possessive = before.is(b'\'')
        && text.at(index).spaced
        && first == Operand::Number
        && start == right
        && text.before(index, left + 1).kind == Kind::Word;
    if !possessive {
        condition.alone(text, found);
    }
}

impl Condition {
    /// The right side is a single operand.
    fn alone(&self, text: Text<'_>, found: &mut Found) {
        let goes_on = || {
            let next = text.at(self.middle).kind;
            matches!(next, Kind::Mark(mark) if b"-+*/&^|%".contains(&mark))
        };
        let is_condition = match self.first {
            Operand::Literal => self.broken || self.before.kind == Kind::Number,
            Operand::Number | Operand::String => {
                self.broken && (ends(text, self.middle) || goes_on())
            }
            Operand::Call => {
                self.broken && text.at(self.start).has(FUNCTION | COMMON | DELAY | VERB)
            }
            Operand::Name => self.broken && text.is(self.start, "select"),
        };
        if !is_condition {
            return;
        }
        if self.broken {
            text.mark(found, Sign::SqlCondition, self.from, self.middle);
        }
        if self.first == Operand::Literal {
            text.mark(found, Sign::SqlTautology, self.index, self.middle);
        }
        found.run(self.middle - self.from);
    }

    /// The right side is a comparison, whose second operand begins behind `behind`.
    fn compare(&self, text: Text<'_>, behind: usize, found: &mut Found) {
        let (index, first) = (self.index, self.first);
        let other = prefix(text, behind);
        let Some((end, second)) = operand(text, other) else {
            return;
        };
        let is_word = text.at(index).kind == Kind::Word;
        let names = first == Operand::Name && second == Operand::Name;
        let same = (is_word || self.broken)
            && names
            && self.middle == self.start + 1
            && same_text(text, self.start, other);
        let constant =
            first.is_constant() && second.is_constant() && first_sound(text, self.start, first);
        if constant || same {
            text.mark(found, Sign::SqlTautology, index, end);
            found.run(end - index);
        }
        let computed = |at: usize, kind: Operand| {
            kind == Operand::Call && text.at(at).has(FUNCTION | COMMON | DELAY)
        };
        let tests = first.is_constant() && computed(other, second)
            || second.is_constant() && computed(self.start, first);
        if is_word && tests {
            text.mark(found, Sign::SqlFunction, index, end);
            found.run(end - index);
        }
        if self.broken && (is_word || first != Operand::Name) {
            text.mark(found, Sign::SqlCondition, self.from, end);
            found.run(end - self.from);
        } else if self.before.kind == Kind::Number && is_word && !names {
            found.run(end - self.from);
        }
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
