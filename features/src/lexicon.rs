//! Words and marks of code, by family, found in one Aho-Corasick pass. Not here: whether they make an attack.
//!
//! Values are folded first: comments, `+` and runs of white space are one space, so that `UNION/**/SELECT` reads
//! `UNION SELECT`. A line break ends header lines, so it is kept apart from other white space. Case means nothing, and words
//! count only at word boundaries: `selection` is no `select`.

mod terms;

use aho_corasick::automaton::Automaton;
use aho_corasick::automaton::StateID;
use aho_corasick::dfa::DFA;
use aho_corasick::{Anchored, MatchKind, StartKind};

use crate::bytes::{Bytes, find_pair};
use crate::tokens::Present;

pub(crate) use terms::FAMILY_TERMS;

/// A kind of code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Family {
    /// SQL keywords, functions, system tables and comments.
    Sql,
    /// HTML tags, event handlers and browser-side JavaScript.
    Script,
    /// Shell commands, interpreters and command substitution.
    Shell,
    /// Traversal and files that attackers read.
    Path,
    /// Template, expression, JNDI, SSI and XML-entity syntax.
    Template,
    /// Server-side code: PHP, Java, Node, Python, Ruby, .NET.
    Code,
    /// LDAP filters, NoSQL operators, XPath and GraphQL introspection.
    Query,
    /// Protocol text inside a value: header lines, SMTP commands, status lines.
    Protocol,
    /// Addresses that only servers should open: loopback, metadata services, unusual schemes.
    Address,
    /// Names of scanners and attack tools, as they call themselves unless told otherwise.
    Scanner,
}

impl Family {
    /// How many families there are.
    pub const COUNT: usize = 10;

    /// Every family, in the order of the schema.
    pub const ALL: [Self; Self::COUNT] = [
        Self::Sql,
        Self::Script,
        Self::Shell,
        Self::Path,
        Self::Template,
        Self::Code,
        Self::Query,
        Self::Protocol,
        Self::Address,
        Self::Scanner,
    ];

    /// The stable name used in manifests and feature names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sql => "sql",
            Self::Script => "script",
            Self::Shell => "shell",
            Self::Path => "path",
            Self::Template => "template",
            Self::Code => "code",
            Self::Query => "query",
            Self::Protocol => "protocol",
            Self::Address => "address",
            Self::Scanner => "scanner",
        }
    }

    /// The position in [`Self::ALL`].
    #[must_use]
    pub const fn index(self) -> usize {
        self as usize
    }
}

/// A piece of a value that reads like code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence {
    /// What kind of code.
    pub family: Family,
    /// Offset of its first byte in the value.
    pub start: usize,
    /// Offset after its last byte.
    pub end: usize,
}

/// Hits of one value by family: plain words, marks of code, and how many distinct terms they are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    pub(crate) words: [u16; Family::COUNT],
    pub(crate) marks: [u16; Family::COUNT],
    pub(crate) distinct: [u16; Family::COUNT],
}

struct Term {
    family: Family,
    /// A plain word that prose has too (`select`); everything else is a mark that hardly anything but code has.
    is_word: bool,
    bounded_left: bool,
    bounded_right: bool,
}

/// The terms of all families in one automaton.
pub(crate) struct Lexicon {
    automaton: DFA,
    start: StateID,
    terms: Vec<Term>,
}

/// Bits of the set of terms already seen in a value; the count of terms is checked when the lexicon is built.
const SEEN_WORDS: usize = 24;

impl Lexicon {
    #[expect(
        clippy::expect_used,
        reason = "the terms are constants of this crate; a test builds them"
    )]
    pub(crate) fn new() -> Self {
        let mut patterns = Vec::new();
        let mut terms = Vec::new();
        for (family, list) in FAMILY_TERMS {
            for written in list.split('\n').filter(|term| !term.is_empty()) {
                let (text, open_left) = match written.strip_prefix('~') {
                    Some(rest) => (rest, true),
                    None => (written, false),
                };
                let (text, open_right) = match text.strip_suffix('~') {
                    Some(rest) => (rest, true),
                    None => (text, false),
                };
                terms.push(Term {
                    family,
                    is_word: text.bytes().all(|byte| byte.is_ascii_alphabetic()),
                    bounded_left: !open_left && text.bytes().next().is_some_and(is_word),
                    bounded_right: !open_right && text.bytes().next_back().is_some_and(is_word),
                });
                patterns.push(text.replace('¶', "\n"));
            }
        }
        assert!(
            terms.len() <= SEEN_WORDS * 64,
            "raise SEEN_WORDS: {} terms",
            terms.len()
        );
        let automaton = DFA::builder()
            .match_kind(MatchKind::Standard)
            .ascii_case_insensitive(true)
            .start_kind(StartKind::Unanchored)
            .prefilter(false)
            .build(&patterns)
            .expect("the lexicon is well formed");
        let start = automaton.start_state(Anchored::No);
        let start = start.expect("a start without anchor was asked for");
        Self {
            automaton,
            start,
            terms,
        }
    }

    /// Counts the hits of a value, which `folded` is used to fold.
    pub(crate) fn hits(&self, value: &[u8], folded: &mut Vec<u8>) -> Hits {
        self.hits_in(value, true, folded)
    }

    /// As [`Self::hits`]; unless `folds`, folding would change nothing.
    pub(crate) fn hits_in(&self, value: &[u8], folds: bool, folded: &mut Vec<u8>) -> Hits {
        let text = if folds {
            fold(value, folded, None);
            folded
        } else {
            value
        };
        let mut hits = Hits::default();
        let mut seen = [0u64; SEEN_WORDS];
        self.each(text, |index, family, _, _| {
            let slot = family.index();
            let count = if self.terms.get(index).is_some_and(|term| term.is_word) {
                &mut hits.words
            } else {
                &mut hits.marks
            };
            let (Some(count), Some(distinct)) = (count.get_mut(slot), hits.distinct.get_mut(slot))
            else {
                return;
            };
            *count = count.saturating_add(1);
            if let Some(word) = seen.get_mut(index / 64) {
                let bit = 1 << (index % 64);
                *distinct += u16::from(*word & bit == 0);
                *word |= bit;
            }
        });
        hits
    }

    /// Where the hits are, in offsets of `value`.
    pub(crate) fn evidence(&self, value: &[u8]) -> Vec<Evidence> {
        let mut folded = Vec::new();
        let mut offsets = Vec::new();
        fold(value, &mut folded, Some(&mut offsets));
        let mut found = Vec::new();
        self.each(&folded, |_, family, start, end| {
            let first = offsets.get(start).copied().unwrap_or(0);
            let last = end
                .checked_sub(1)
                .and_then(|at| offsets.get(at))
                .map_or(first, |at| at + 1);
            found.push(Evidence {
                family,
                start: first,
                end: last,
            });
        });
        found
    }

    /// Terms in a folded text, in the order of their ends.
    fn each(&self, text: &[u8], mut found: impl FnMut(usize, Family, usize, usize)) {
        let mut state = self.start;
        for (at, byte) in text.iter().enumerate() {
            state = self.automaton.next_state(Anchored::No, state, *byte);
            if !self.automaton.is_special(state) || !self.automaton.is_match(state) {
                continue;
            }
            let end = at + 1;
            for nth in 0..self.automaton.match_len(state) {
                let pattern = self.automaton.match_pattern(state, nth);
                let start = end - self.automaton.pattern_len(pattern);
                let Some(term) = self.terms.get(pattern.as_usize()) else {
                    continue;
                };
                let before = start.checked_sub(1).and_then(|at| text.get(at));
                let after = text.get(end);
                let left = !term.bounded_left
                    || !before.is_some_and(|byte| byte.is_ascii_alphabetic() || *byte == b'_');
                let right = !term.bounded_right || !after.is_some_and(|byte| is_word(*byte));
                if left && right {
                    found(pattern.as_usize(), term.family, start, end);
                }
            }
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

/// Where none of these stands and no blank beside another, folding changes nothing.
pub(crate) const FOLDED_BYTES: Present = Present::set(b"*+\t\r\x0b\x0c\0");

/// Where folding may change something.
static FOLDING: Bytes = Bytes::of(b"/* +\t\r\x0b\x0c\0");

/// Folds a value for matching; `offsets`, where wanted, tells for each folded byte where it came from.
fn fold(value: &[u8], out: &mut Vec<u8>, mut offsets: Option<&mut Vec<usize>>) {
    out.clear();
    let mut at = 0;
    // A comment is open that nothing ends, nor any after it.
    let mut endless = false;
    loop {
        let rest = value.get(at..).unwrap_or_default();
        let unchanged = rest.iter().position(|byte| FOLDING.has(*byte));
        let (unchanged, rest) = rest.split_at(unchanged.unwrap_or(rest.len()));
        out.extend_from_slice(unchanged);
        if let Some(offsets) = offsets.as_deref_mut() {
            offsets.extend(at..at + unchanged.len());
        }
        at += unchanged.len();
        let Some(&byte) = rest.first() else {
            return;
        };
        let (folded, length) = match byte {
            b'/' if rest.starts_with(b"/*!") => {
                // MySQL runs what stands in such a comment, after an optional version number.
                let digits = rest
                    .iter()
                    .skip(3)
                    .take_while(|digit| digit.is_ascii_digit())
                    .count();
                (b' ', 3 + digits)
            }
            b'/' if rest.starts_with(b"/*") => {
                let inner = rest.get(2..).filter(|_| !endless);
                match inner.and_then(|inner| find_pair(inner, b'*', b'/')) {
                    Some(length) => (b' ', length + 4),
                    None => {
                        endless = true;
                        (b'/', 1)
                    }
                }
            }
            b'*' if rest.starts_with(b"*/") => (b' ', 2),
            b'+' | b'\t' | b'\r' | b'\x0b' | b'\x0c' | b'\0' => (b' ', 1),
            other => (other, 1),
        };
        if !(folded == b' ' && out.last() == Some(&b' ')) {
            out.push(folded);
            if let Some(offsets) = offsets.as_deref_mut() {
                offsets.push(at);
            }
        }
        at += length;
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use std::sync::LazyLock;

    use proptest::prelude::*;

    use super::{FOLDED_BYTES, Family, Lexicon, Present, fold};

    fn families(value: &str) -> Vec<Family> {
        let lexicon = Lexicon::new();
        let hits = lexicon.hits(value.as_bytes(), &mut Vec::new());
        Family::ALL
            .into_iter()
            .filter(|family| hits.distinct[family.index()] > 0)
            .collect()
    }

    #[test]
    fn comments_and_case_do_not_hide_words() {
        let lexicon = Lexicon::new();
        let plain = lexicon.hits(b"1 union select 2", &mut Vec::new());
        for hidden in [
            "1 UnIoN/**/SeLeCt 2",
            "1+union+select+2",
            "1 /*!50000union*/ select 2",
            "1\tunion\r\tselect 2",
        ] {
            let hits = lexicon.hits(hidden.as_bytes(), &mut Vec::new());
            assert!(hits.distinct[0] >= plain.distinct[0], "{hidden}");
        }
    }

    #[test]
    fn words_end_at_word_boundaries() {
        assert_eq!(families("selection of a reunion"), vec![]);
        assert!(families("<script>alert(1)</script>").contains(&Family::Script));
        assert!(families("../../etc/passwd").contains(&Family::Path));
        assert!(families("${jndi:ldap://x/a}").contains(&Family::Template));
        assert!(families("http://169.254.169.254/latest/meta-data").contains(&Family::Address));
        assert_eq!(families("sqlmap/1.7.4#stable"), vec![Family::Scanner]);
        assert_eq!(families("a burping dog"), vec![]);
    }

    #[test]
    fn evidence_points_into_the_value() {
        let value = b"id=1 UNION/* x */SELECT name";
        let spans: Vec<&[u8]> = Lexicon::new()
            .evidence(value)
            .into_iter()
            .map(|found| &value[found.start..found.end])
            .collect();
        assert!(spans.contains(&&b"UNION"[..]));
        assert!(spans.contains(&&b"UNION/* x */SELECT"[..]));
    }

    proptest! {
        #[test]
        fn what_is_not_folded_has_the_same_hits(value in "[a-z UNIOSELCT'=(1.,\n_-]{0,40}") {
            static LEXICON: LazyLock<Lexicon> = LazyLock::new(Lexicon::new);
            let value = format!("{value} Union Select sleep(1) {value}");
            let folds = Present::of(value.bytes()).any(FOLDED_BYTES) || value.contains("  ");
            let hits = LEXICON.hits_in(value.as_bytes(), folds, &mut Vec::new());
            prop_assert_eq!(hits, LEXICON.hits(value.as_bytes(), &mut Vec::new()));
        }

        #[test]
        fn stretches_are_folded_as_byte_by_byte(value in "[aB /*+\t\0!5\n]{0,40}") {
            let (mut folded, mut offsets) = (Vec::new(), Vec::new());
            fold(value.as_bytes(), &mut folded, Some(&mut offsets));
            prop_assert_eq!((folded, offsets), byte_by_byte(value.as_bytes()));
        }
    }

    /// Folding without any shortcut.
    fn byte_by_byte(value: &[u8]) -> (Vec<u8>, Vec<usize>) {
        let (mut folded, mut offsets) = (Vec::new(), Vec::new());
        let mut at = 0;
        while at < value.len() {
            let rest = &value[at..];
            let end = rest.windows(2).skip(2).position(|pair| pair == b"*/");
            let (byte, length) = match (rest[0], end) {
                _ if rest.starts_with(b"/*!") => {
                    let digits = rest[3..].iter().take_while(|byte| byte.is_ascii_digit());
                    (b' ', 3 + digits.count())
                }
                (_, Some(end)) if rest.starts_with(b"/*") => (b' ', end + 4),
                _ if rest.starts_with(b"*/") => (b' ', 2),
                (b'+' | b'\t' | b'\r' | 0x0b | 0x0c | 0, _) => (b' ', 1),
                (byte, _) => (byte, 1),
            };
            if byte != b' ' || folded.last() != Some(&b' ') {
                folded.push(byte);
                offsets.push(at);
            }
            at += length;
        }
        (folded, offsets)
    }

    #[test]
    fn distinct_hits_count_terms_once() {
        let hits = Lexicon::new().hits(b"sleep(1) sleep(2)", &mut Vec::new());
        let sql = Family::Sql.index();
        assert!(hits.words[sql] + hits.marks[sql] >= 2 * hits.distinct[sql]);
    }
}
