//! Redaction of JSON text without building a value: everything is copied but the scalars below secret keys.
//!
//! Not here: validity. Cut or broken JSON is copied as far as it goes; the scan keeps a bounded stack and treats
//! everything below that depth as secret.

use weir_scoring::reason::SecretKeys;

use super::Replacement;

/// Deeper nesting is treated as secret throughout.
const MAX_DEPTH: usize = 128;

/// Copies `text` with the scalars below secret keys replaced.
pub(super) fn redact(text: &[u8], secrets: &SecretKeys, with: Replacement<'_>) -> Vec<u8> {
    let mut scan = Scan {
        secrets,
        with,
        out: Vec::with_capacity(text.len()),
        stack: Vec::new(),
        depth: 0,
        secret: false,
        document: false,
    };
    let mut rest = text;
    while let Some(&byte) = rest.first() {
        rest = scan.step(byte, rest);
    }
    scan.out
}

struct Scan<'a> {
    secrets: &'a SecretKeys,
    with: Replacement<'a>,
    out: Vec<u8>,
    /// For each open container: whether it is an object, and whether it lies below a secret key.
    stack: Vec<(Container, bool)>,
    /// Containers open in truth; beyond `MAX_DEPTH` they are only counted.
    depth: usize,
    /// Whether the value that comes next is secret.
    secret: bool,
    /// Whether the value that comes next is a GraphQL document, whose arguments may be secret.
    document: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Container {
    Object,
    Array,
}

impl Scan<'_> {
    fn step<'t>(&mut self, byte: u8, rest: &'t [u8]) -> &'t [u8] {
        match byte {
            b'"' => self.string(rest),
            b'{' | b'[' => {
                self.open(if byte == b'{' {
                    Container::Object
                } else {
                    Container::Array
                });
                self.copy(byte, rest)
            }
            b'}' | b']' => {
                self.close();
                self.copy(byte, rest)
            }
            b',' => {
                self.secret = self.enclosing_secret();
                self.copy(byte, rest)
            }
            b'0'..=b'9' | b'-' if self.secret => self.number(rest),
            _ => self.copy(byte, rest),
        }
    }

    fn copy<'t>(&mut self, byte: u8, rest: &'t [u8]) -> &'t [u8] {
        self.out.push(byte);
        rest.get(1..).unwrap_or_default()
    }

    fn open(&mut self, container: Container) {
        self.depth += 1;
        if self.stack.len() < MAX_DEPTH {
            self.stack.push((container, self.secret));
        } else {
            self.secret = true;
        }
    }

    fn close(&mut self) {
        if self.depth <= self.stack.len() {
            self.stack.pop();
        }
        self.depth = self.depth.saturating_sub(1);
        self.secret = self.enclosing_secret();
    }

    fn enclosing_secret(&self) -> bool {
        self.depth > self.stack.len() || self.stack.last().is_some_and(|(_, secret)| *secret)
    }

    /// A string with its quotes: a key when a colon follows in an object, else a value.
    fn string<'t>(&mut self, rest: &'t [u8]) -> &'t [u8] {
        let inner = rest.get(1..).unwrap_or_default();
        let end = string_end(inner);
        let (content, tail) = inner.split_at(end);
        let after = tail.get(1..).unwrap_or_default();
        let in_object = self
            .stack
            .last()
            .is_none_or(|(container, _)| *container == Container::Object);
        let colon = after.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b':');
        self.out.push(b'"');
        if in_object && colon {
            self.out.extend_from_slice(content);
            self.secret = self.enclosing_secret() || self.secrets.is_secret_name(content);
            self.document = content == b"query";
        } else if self.secret {
            self.value(content);
        } else if self.document {
            self.document(content);
        } else {
            self.out.extend_from_slice(content);
        }
        if !tail.is_empty() {
            self.out.push(b'"');
        }
        after
    }

    /// Secret arguments of a GraphQL document. Its quotes are escaped: the backslashes step aside for the search.
    fn document(&mut self, content: &[u8]) {
        let is_quote = |at: usize| content.get(at..at + 2) == Some(b"\\\"");
        let mut text = content.to_vec();
        let blank = |text: &mut [u8], by: u8| {
            for (at, byte) in text.iter_mut().enumerate() {
                if is_quote(at) {
                    *byte = by;
                }
            }
        };
        blank(&mut text, b' ');
        let mut text = self.secrets.mask_inline(&text).into_owned();
        blank(&mut text, b'\\');
        self.out.extend(text);
    }

    /// Escapes would reveal or break: each becomes one plain letter before the value is replaced.
    fn value(&mut self, content: &[u8]) {
        if !content.contains(&b'\\') {
            self.with.plain(content, &mut self.out);
            return;
        }
        let mut plain = Vec::with_capacity(content.len());
        let mut rest = content;
        while let Some((&byte, tail)) = rest.split_first() {
            rest = tail;
            plain.push(byte);
            if byte == b'\\' {
                let skip = if tail.first() == Some(&b'u') { 5 } else { 1 };
                rest = tail.get(skip..).unwrap_or_default();
                plain.pop();
                plain.push(b'x');
            }
        }
        self.with.plain(&plain, &mut self.out);
    }

    fn number<'t>(&mut self, rest: &'t [u8]) -> &'t [u8] {
        let is_part =
            |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E');
        let end = rest
            .iter()
            .position(|byte| !is_part(byte))
            .unwrap_or(rest.len());
        let (number, after) = rest.split_at(end);
        match self.with {
            Replacement::Mask => self.out.extend_from_slice(b"\"***\""),
            Replacement::Token(_) => {
                let mut token = Vec::with_capacity(number.len());
                self.with.plain(&without_exponent(number), &mut token);
                self.out.extend(leading_nonzero(token));
            }
        }
        after
    }
}

/// Digits only: a letter of an exponent would become another letter.
fn without_exponent(number: &[u8]) -> Vec<u8> {
    let digit = |byte: &u8| {
        if matches!(byte, b'e' | b'E' | b'+') {
            b'0'
        } else {
            *byte
        }
    };
    number.iter().map(digit).collect()
}

/// JSON allows no leading zero.
fn leading_nonzero(mut token: Vec<u8>) -> Vec<u8> {
    let several = token.iter().filter(|byte| byte.is_ascii_digit()).count() > 1;
    if several
        && let Some(first) = token.iter_mut().find(|byte| byte.is_ascii_digit())
        && *first == b'0'
    {
        *first = b'1';
    }
    token
}

fn string_end(inner: &[u8]) -> usize {
    let mut escaped = false;
    for (at, &byte) in inner.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return at,
            _ => {}
        }
    }
    inner.len()
}
