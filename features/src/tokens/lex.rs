//! Words, numbers and marks of a value. Not here: what they mean to a language.

use super::words::{self, SQL};
use crate::bytes::{Bytes, alphanumeric_and, find_pair};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Word,
    Number,
    Mark(u8),
    /// Before the first and after the last token.
    Edge,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) start: u16,
    pub(super) end: u16,
    /// Of a word the classes of [`words`]; of a quote how many of its kind stand before it.
    pub(super) bits: u32,
    /// White space or a comment stands before it.
    pub(super) spaced: bool,
    /// A comment stands before it.
    pub(super) commented: bool,
}

pub(super) const EDGE: Token = Token {
    kind: Kind::Edge,
    start: 0,
    end: 0,
    bits: 0,
    spaced: true,
    commented: false,
};

impl Token {
    pub(super) fn is(&self, mark: u8) -> bool {
        self.kind == Kind::Mark(mark)
    }

    pub(super) fn is_quote(&self) -> bool {
        matches!(self.kind, Kind::Mark(b'\'' | b'"' | b'`'))
    }

    /// A quote that closes something that stands before the value, if quotes in the value pair up.
    pub(super) fn breaks_out(&self) -> bool {
        self.is_quote() && self.bits.is_multiple_of(2)
    }

    pub(super) fn has(&self, bits: u32) -> bool {
        self.kind == Kind::Word && self.bits & bits != 0
    }
}

/// What words are made of: letters, digits, underscores and whatever is not ASCII.
static WORD: Bytes = Bytes::of(alphanumeric_and!("_")).and_all_beyond_ascii();

pub(super) fn is_word(byte: u8) -> bool {
    WORD.has(byte)
}

/// Bytes from `at` that `class` accepts.
pub(super) fn run(value: &[u8], at: usize, class: impl Fn(u8) -> bool) -> usize {
    let rest = value.get(at..).unwrap_or_default();
    let end = rest.iter().position(|byte| !class(*byte));
    end.unwrap_or(rest.len())
}

/// The classes of the word that begins at `at`.
fn word_at(value: &[u8], at: usize) -> u32 {
    let length = run(value, at, is_word);
    words::bits(value.get(at..at + length).unwrap_or_default())
}

struct Lexer<'v> {
    value: &'v [u8],
    quotes: [u32; 3],
    spaced: bool,
    commented: bool,
    /// No blank occurs, so `+` may stand for one.
    plus_is_blank: bool,
    no_comment_end: bool,
}

/// Splits a value of at most 65,535 bytes into tokens.
pub(super) fn lex(value: &[u8], out: &mut Vec<Token>) {
    out.clear();
    let mut lexer = Lexer {
        value,
        quotes: [0; 3],
        spaced: false,
        commented: false,
        plus_is_blank: !value.contains(&b' '),
        no_comment_end: false,
    };
    let mut at = 0;
    while let Some(&byte) = value.get(at) {
        let blank = lexer.blank(at, byte, out.last());
        if blank > 0 {
            at += blank;
            lexer.spaced = true;
            continue;
        }
        let (kind, length, bits) = lexer.token(at, byte);
        out.push(Token {
            kind,
            start: at as u16,
            end: (at + length) as u16,
            bits,
            spaced: lexer.spaced,
            commented: lexer.commented,
        });
        lexer.spaced = false;
        lexer.commented = false;
        at += length;
    }
}

impl Lexer<'_> {
    fn byte(&self, at: usize) -> u8 {
        self.value.get(at).copied().unwrap_or(0)
    }

    /// How many bytes at `at` separate tokens: white space and finished comments.
    fn blank(&mut self, at: usize, byte: u8, last: Option<&Token>) -> usize {
        match byte {
            b' ' | 9..=13 | 0 => 1,
            b'+' if self.plus_is_blank && self.stands_for_blank(at, last) => 1,
            b'/' if self.byte(at + 1) == b'*' => {
                let rest = self.value.get(at + 2..).unwrap_or_default();
                if rest.first() == Some(&b'!') {
                    self.commented = true;
                    return 3 + run(self.value, at + 3, |byte| byte.is_ascii_digit());
                }
                if self.no_comment_end {
                    return 0;
                }
                match find_pair(rest, b'*', b'/') {
                    Some(length) => {
                        self.commented = true;
                        length + 4
                    }
                    None => {
                        self.no_comment_end = true;
                        0
                    }
                }
            }
            b'*' if self.byte(at + 1) == b'/' && at > 0 => 2,
            _ => 0,
        }
    }

    /// `1+or+1=1` is a form that was not decoded; `'+alert(1)+'` is an expression.
    fn stands_for_blank(&self, at: usize, last: Option<&Token>) -> bool {
        let next = self.byte(at + 1);
        let before = at.checked_sub(1).map_or(0, |at| self.byte(at));
        if is_word(before) && is_word(next) {
            return true;
        }
        if is_word(next) {
            return word_at(self.value, at + 1) & SQL != 0;
        }
        last.is_none_or(|last| last.has(SQL))
    }

    fn token(&mut self, at: usize, byte: u8) -> (Kind, usize, u32) {
        match byte {
            b'0'..=b'9' => self.number(at),
            byte if is_word(byte) => {
                let length = self.word(at);
                let bits = words::bits(self.value.get(at..at + length).unwrap_or_default());
                (Kind::Word, length, bits)
            }
            b'\'' | b'"' | b'`' => {
                let slot = match byte {
                    b'\'' => 0,
                    b'"' => 1,
                    _ => 2,
                };
                let before = self.quotes.get_mut(slot).map_or(0, |count| {
                    *count += 1;
                    *count - 1
                });
                (Kind::Mark(byte), 1, before)
            }
            mark => (Kind::Mark(mark), 1, 0),
        }
    }

    /// An apostrophe between letters belongs to the word, unless what follows it is an operator: `x'or'1'='1`.
    fn word(&self, at: usize) -> usize {
        let mut length = run(self.value, at, is_word);
        let quote = at + length;
        if self.byte(quote) == b'\'' && self.byte(quote + 1).is_ascii_alphabetic() {
            let next = run(self.value, quote + 1, is_word);
            let is_code = word_at(self.value, quote + 1) & SQL != 0
                || (self.byte(quote + 1 + next) == b'\'' && next > 1);
            if !is_code {
                length += 1 + next;
            }
        }
        length
    }

    fn number(&self, at: usize) -> (Kind, usize, u32) {
        let digits = run(self.value, at, |byte| byte.is_ascii_digit());
        let end = at + digits;
        // A dash or a prime that is not ASCII ends a number too.
        if is_word(self.byte(end)) && self.byte(end) < 128 {
            let letters = run(self.value, end, is_word);
            let rest = self.value.get(end..end + letters).unwrap_or_default();
            let hexadecimal = digits == 1
                && rest.len() > 1
                && matches!(rest.first(), Some(b'x' | b'X'))
                && rest.iter().skip(1).all(u8::is_ascii_hexdigit);
            // MySQL ends a number where a keyword begins: `1or 1=1`.
            if words::bits(rest) & (words::BOOLEAN | words::KEYWORD) != 0 {
                return (Kind::Number, digits, 0);
            }
            let kind = if hexadecimal {
                Kind::Number
            } else {
                Kind::Word
            };
            return (kind, digits + letters, 0);
        }
        if self.byte(end) == b'.' {
            let decimals = run(self.value, end + 1, |byte| byte.is_ascii_digit());
            if decimals > 0 && !is_word(self.byte(end + 1 + decimals)) {
                return (Kind::Number, digits + 1 + decimals, 0);
            }
        }
        (Kind::Number, digits, 0)
    }
}

impl super::Text<'_> {
    pub(super) fn at(&self, index: usize) -> Token {
        self.tokens.get(index).copied().unwrap_or(Token {
            start: self.value.len() as u16,
            end: self.value.len() as u16,
            ..EDGE
        })
    }

    /// The token `back` places before `index`.
    pub(super) fn before(&self, index: usize, back: usize) -> Token {
        index
            .checked_sub(back)
            .and_then(|index| self.tokens.get(index))
            .copied()
            .unwrap_or(EDGE)
    }

    pub(super) fn bytes(&self, index: usize) -> &[u8] {
        let token = self.at(index);
        self.value
            .get(usize::from(token.start)..usize::from(token.end))
            .unwrap_or_default()
    }

    /// The beginning of a token in lower case, longer than every word that is compared with it.
    pub(super) fn folded<'b>(&self, index: usize, buffer: &'b mut [u8; 16]) -> &'b [u8] {
        let bytes = self.bytes(index);
        for (slot, byte) in buffer.iter_mut().zip(bytes) {
            *slot = byte.to_ascii_lowercase();
        }
        let length = bytes.len().min(buffer.len());
        buffer.get(..length).unwrap_or_default()
    }

    pub(super) fn is(&self, index: usize, word: &str) -> bool {
        self.bytes(index).eq_ignore_ascii_case(word.as_bytes())
    }

    pub(super) fn is_any(&self, index: usize, words: &[&str]) -> bool {
        words.iter().any(|word| self.is(index, word))
    }

    /// Marks tokens from `from` to before `to`.
    pub(super) fn mark(&self, found: &mut super::Found, sign: super::Sign, from: usize, to: usize) {
        let start = usize::from(self.at(from).start);
        let end = usize::from(self.at(to.max(from + 1) - 1).end);
        found.mark(sign, start, end);
    }
}
