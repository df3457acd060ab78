//! Evidence that a value is code: small tokenizers for the languages that injections are written in.
//!
//! Not here: words that code and prose share (`lexicon`), brackets and quotes as such (`row`), what the numbers weigh.
//! Every recogniser looks a bounded number of tokens ahead, so the cost is linear in the value whatever its bytes.

mod address;
mod lex;
mod phrases;
mod place;
mod script;
mod server;
mod shell;
mod sql;
mod template;
mod words;

use std::cell::RefCell;

use crate::bytes::alphanumeric_and;
use crate::lexicon::Family;
use crate::limits::WINDOW;
use lex::Token;

/// One kind of evidence: one column of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub(crate) enum Sign {
    SqlRun,
    SqlCondition,
    SqlTautology,
    SqlComment,
    SqlStacked,
    SqlClause,
    SqlFunction,
    SqlConcatenation,
    SqlInlineComment,
    SqlDelay,
    Handler,
    ActiveElement,
    AttributeBreak,
    ScriptAddress,
    ScriptCall,
    ScriptBreak,
    Brackets,
    ShellCommand,
    ShellSubstitution,
    ShellDisguise,
    ShellIdiom,
    TemplateExpression,
    TemplatePlaceholder,
    ClassAccess,
    Directive,
    XmlEntity,
    ServerCode,
    Serialised,
    Prototype,
    Climb,
    SensitiveFile,
    Wrapper,
    InternalHost,
    DisguisedHost,
    FilterBreak,
    QueryOperator,
    HeaderLine,
    CodeShare,
    Kinds,
}

/// How many columns there are.
pub(crate) const WIDTH: usize = 39;

/// The columns in order: the family that they are evidence of, and their names.
pub(crate) const COLUMNS: [(Option<Family>, &str); WIDTH] = [
    (Some(Family::Sql), "longest run of SQL"),
    (
        Some(Family::Sql),
        "quote closed and an SQL condition follows",
    ),
    (Some(Family::Sql), "SQL condition that is always decided"),
    (Some(Family::Sql), "SQL comment cuts off what follows"),
    (Some(Family::Sql), "second SQL statement"),
    (Some(Family::Sql), "SQL union, subselect or clause"),
    (Some(Family::Sql), "SQL function called"),
    (Some(Family::Sql), "quotes joined by an SQL operator"),
    (Some(Family::Sql), "comments between SQL words"),
    (Some(Family::Sql), "SQL delay"),
    (Some(Family::Script), "tag with an event handler"),
    (Some(Family::Script), "element that runs or loads something"),
    (Some(Family::Script), "attribute or tag closed early"),
    (Some(Family::Script), "address that runs a script"),
    (Some(Family::Script), "JavaScript call"),
    (Some(Family::Script), "string closed and JavaScript follows"),
    (Some(Family::Script), "script written in brackets alone"),
    (Some(Family::Shell), "separator and shell command"),
    (Some(Family::Shell), "shell substitution"),
    (Some(Family::Shell), "disguised shell spelling"),
    (Some(Family::Shell), "shell idiom"),
    (
        Some(Family::Template),
        "template expression with an operation",
    ),
    (Some(Family::Template), "template placeholder"),
    (Some(Family::Template), "access to classes from a template"),
    (Some(Family::Template), "look-up or server directive"),
    (Some(Family::Template), "XML entity or inclusion"),
    (Some(Family::Code), "server-side call"),
    (Some(Family::Code), "serialised object"),
    (Some(Family::Code), "prototype key"),
    (Some(Family::Path), "steps out of a folder"),
    (Some(Family::Path), "file that attackers read"),
    (Some(Family::Path), "stream wrapper, drive or share"),
    (Some(Family::Address), "address of an internal host"),
    (Some(Family::Address), "address in disguise"),
    (Some(Family::Query), "filter or path query broken out of"),
    (Some(Family::Query), "query operator"),
    (Some(Family::Protocol), "protocol line inside a value"),
    (None, "share of code"),
    (None, "kinds of code"),
];

/// Spans that are kept of one value; more evidence than this changes nothing.
const SPANS: usize = 64;

/// Where a sign was found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Span {
    pub(crate) column: u8,
    pub(crate) start: u16,
    pub(crate) end: u16,
}

/// What was found in one value.
#[derive(Debug)]
pub(crate) struct Found {
    counts: [u16; WIDTH],
    spans: [Span; SPANS],
    length: usize,
}

impl Found {
    fn new() -> Self {
        Self {
            counts: [0; WIDTH],
            spans: [Span::default(); SPANS],
            length: 0,
        }
    }

    /// One more `sign`, between two offsets of the value.
    fn mark(&mut self, sign: Sign, start: usize, end: usize) {
        self.count(sign, 1);
        if let Some(span) = self.spans.get_mut(self.length) {
            *span = Span {
                column: sign as u8,
                start: start.min(WINDOW) as u16,
                end: end.min(WINDOW) as u16,
            };
            self.length += 1;
        }
    }

    fn count(&mut self, sign: Sign, by: usize) {
        if let Some(count) = self.counts.get_mut(sign as usize) {
            *count = count.saturating_add(by as u16);
        }
    }

    /// A stretch of so many tokens is SQL; the longest counts.
    fn run(&mut self, tokens: usize) {
        if let Some(count) = self.counts.get_mut(Sign::SqlRun as usize) {
            *count = (*count).max(tokens as u16);
        }
    }

    fn spans(&self) -> &[Span] {
        self.spans.get(..self.length).unwrap_or_default()
    }

    /// Bytes that lie in some span; what is a mere placeholder is no code.
    fn covered(&self) -> u32 {
        let mut bits = [0u64; WINDOW / 64];
        for span in self.spans() {
            if span.column == Sign::TemplatePlaceholder as u8 {
                continue;
            }
            let (start, end) = (usize::from(span.start), usize::from(span.end));
            for (word, bits) in bits.iter_mut().enumerate().take(end.div_ceil(64)) {
                let low = start.saturating_sub(word * 64);
                let high = (end - word * 64).min(64);
                if low < high {
                    *bits |= (u64::MAX >> (64 - (high - low))) << low;
                }
            }
        }
        bits.iter().map(|bits| bits.count_ones()).sum()
    }

    fn write(&self, length: usize, out: &mut [f32]) {
        let mut kinds = 0;
        for (out, count) in out.iter_mut().zip(&self.counts) {
            if *count > 0 {
                *out = f32::from(*count).ln_1p();
                kinds += 1;
            }
        }
        if kinds > 0 {
            if let Some(share) = out.get_mut(Sign::CodeShare as usize) {
                *share = self.covered() as f32 / length.max(1) as f32;
            }
            if let Some(out) = out.get_mut(Sign::Kinds as usize) {
                *out = (kinds as f32).ln_1p();
            }
        }
    }
}

/// Which bytes occur in a value.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Present(u128);

impl Present {
    #[expect(
        clippy::indexing_slicing,
        reason = "a table of 256 entries indexed by bytes"
    )]
    pub(crate) fn of(bytes: impl Iterator<Item = u8>) -> Self {
        static BITS: [u128; 256] = {
            let mut bits = [0; 256];
            let mut byte = 0;
            while byte < 256 {
                bits[byte] = Present::bit(byte as u8);
                byte += 1;
            }
            bits
        };
        Self(bytes.fold(0, |set, byte| set | BITS[usize::from(byte)]))
    }

    const fn bit(byte: u8) -> u128 {
        // Bytes beyond ASCII are letters to every tokenizer here.
        if byte < 128 { 1 << byte } else { 0 }
    }

    pub(crate) const fn set(bytes: &[u8]) -> Self {
        let mut set = 0;
        let mut at = 0;
        while let Some((byte, _)) = bytes.split_at(at).1.split_first() {
            set |= Self::bit(*byte);
            at += 1;
        }
        Self(set)
    }

    pub(crate) const fn any(self, of: Self) -> bool {
        self.0 & of.0 != 0
    }

    const fn has(self, byte: u8) -> bool {
        self.0 & Self::bit(byte) != 0
    }
}

/// What identifiers, numbers and names of files are made of: no language can be told from these alone.
const PLAIN: Present = Present::set(alphanumeric_and!("-_."));
const QUOTES: Present = Present::set(b"'\"`");
/// What dates, addresses and parameters are made of: there is a place to look at, hardly code.
const QUIET: Present = Present(PLAIN.0 | Present::set(b"/:?&=%,~@ ").0);
/// With blanks between them even these may be a condition or a command.
const SPACED: Present = Present::set(b"0123456789=&");

thread_local! {
    /// The tokens of a value; a buffer, so its content never matters.
    static TOKENS: RefCell<Vec<Token>> = const { RefCell::new(Vec::new()) };
}

/// A value with its tokens.
#[derive(Clone, Copy)]
struct Text<'v> {
    value: &'v [u8],
    tokens: &'v [Token],
    present: Present,
}

/// No language can be written in these bytes, whatever they name.
fn is_quiet(value: &[u8], present: Present) -> bool {
    present.0 & !QUIET.0 == 0
        && !(present.has(b' ') && present.any(SPACED))
        && !(present.has(b'-') && memchr::memmem::find(value, b"--").is_some())
        && !(present.has(b'&') && memchr::memmem::find(value, b"&&").is_some())
        && !value.starts_with(b"__")
}

/// No language can be told from the bytes of a value, and nothing that it begins or ends with says more.
fn is_plain(value: &[u8], present: Present) -> bool {
    present.0 & !PLAIN.0 == 0
        && !matches!(value.first(), Some(b'_' | b'.'))
        && !value.ends_with(b"--")
        && !value.starts_with(b"constructor.")
        && !server::may_be_blob(value)
}

/// Finds what is in a value that is not plain.
fn find(value: &[u8], present: Present, found: &mut Found) {
    TOKENS.with_borrow_mut(|tokens| {
        tokens.clear();
        if is_quiet(value, present) {
            let text = Text {
                value,
                tokens,
                present,
            };
            script::addresses(text, found);
            shell::first(text, found);
            server::blobs(value, found);
            place::find(text, found);
            phrases::find(text, found);
            return;
        }
        lex::lex(value, tokens);
        let text = Text {
            value,
            tokens,
            present,
        };
        sql::find(text, found);
        script::find(text, found);
        shell::find(text, found);
        template::find(text, found);
        server::find(text, found);
        place::find(text, found);
        phrases::find(text, found);
    });
}

/// The part of a value that is looked at.
fn head(value: &[u8]) -> &[u8] {
    value.get(..WINDOW).unwrap_or(value)
}

/// Writes the columns of [`COLUMNS`] into `out`, which is zero.
pub(crate) fn write(value: &[u8], present: Present, out: &mut [f32]) {
    let value = head(value);
    if !is_plain(value, present) {
        let mut found = Found::new();
        find(value, present, &mut found);
        found.write(value.len(), out);
    }
}

/// A piece of a value that a tokenizer recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syntax {
    /// The column of the row, as in [`crate::schema::feature_name`].
    pub column: usize,
    /// Offset of its first byte in the value.
    pub start: usize,
    /// Offset after its last byte.
    pub end: usize,
}

/// What the tokenizers recognise in a decoded value, for explanations; the ranges are not empty and lie in `value`.
#[must_use]
pub fn syntax(value: &[u8]) -> Vec<Syntax> {
    let present = Present::of(value.iter().copied());
    let mut found = Found::new();
    if !is_plain(head(value), present) {
        find(head(value), present, &mut found);
    }
    let spans = found.spans().iter();
    spans
        .filter(|span| span.start < span.end && usize::from(span.end) <= value.len())
        .map(|span| Syntax {
            column: crate::schema::TOKENS_AT + usize::from(span.column),
            start: usize::from(span.start),
            end: usize::from(span.end),
        })
        .collect()
}
