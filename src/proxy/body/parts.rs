//! Multipart as it passes: where parts begin and end, and windows that read like a body of these parts.
//!
//! Not here: what the headers of a part say in detail and what its text holds; the extractor reads both again, from
//! the windows. What is no well-formed part is covered as text.

use bytes::{Buf, BytesMut};
use memchr::memmem::{self, Finder};
use weir_features::{SCRIPT_OPENING, script_at};

use super::kind::Magic;
use super::sieve::{OVERLAP, Run, Sampler, Tail, WINDOW, Window, last, split};

/// Longest head of a part; what is longer is no head.
const MAX_HEAD: usize = 8 * 1024;
/// Bytes of a head that later windows of its part repeat.
const SHORT_HEAD: usize = 1024;
/// Bytes of every part that are covered, whatever it is.
const HEAD: u64 = 16 * 1024;
/// Bytes that signatures lie within.
const SIGNATURE: usize = 512;
/// Longest boundary (RFC 2046 allows 70).
const MAX_BOUNDARY: usize = 200;

/// The boundary that a content type names, if it names exactly one and in one way.
pub fn boundary(content_type: &[u8]) -> Option<Vec<u8>> {
    const NAME: &[u8] = b"boundary";
    let lower = content_type.to_ascii_lowercase();
    // Values hold the word as well: browsers write `boundary=----WebKitFormBoundary...`.
    let names = |at: &usize| {
        let behind = lower.get(at + NAME.len()..).unwrap_or_default();
        matches!(behind.trim_ascii_start().first(), Some(b'=' | b'*'))
    };
    let mut places = memmem::find_iter(&lower, NAME).filter(names);
    let (at, None) = (places.next()?, places.next()) else {
        return None;
    };
    let before = content_type.get(..at)?.trim_ascii_end();
    let value = content_type.get(at + NAME.len()..)?.trim_ascii_start();
    let value = value.strip_prefix(b"=")?.trim_ascii_start();
    let value = match value.strip_prefix(b"\"") {
        Some(quoted) => {
            let end = memchr::memchr2(b'"', b'\\', quoted)?;
            quoted
                .get(..end)
                .filter(|_| quoted.get(end) == Some(&b'"'))?
        }
        None => {
            let end = memchr::memchr2(b';', b',', value).unwrap_or(value.len());
            value.get(..end)?.trim_ascii_end()
        }
    };
    let valid = before.ends_with(b";") && !value.is_empty() && value.len() <= MAX_BOUNDARY;
    valid.then(|| value.to_vec())
}

/// A multipart body on its way.
#[derive(Debug)]
pub struct Parts {
    delimiter: Finder<'static>,
    buffer: BytesMut,
    /// Whether the buffer begins a line, where a delimiter may stand.
    line_start: bool,
    state: State,
    part: Part,
    /// Bytes of text beyond [`HEAD`] that all parts together may still have covered.
    all: u64,
    seed: u64,
    window: Vec<u8>,
    fresh: usize,
    /// Where the content of the present part begins in the window, if the window ends within it.
    open: Option<usize>,
    skipped: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Behind a delimiter, before the empty line.
    Head,
    /// Within a part, or outside of all.
    Content,
}

/// The part that is passing.
#[derive(Debug)]
struct Part {
    head: Vec<u8>,
    /// Its first bytes.
    first: Vec<u8>,
    sampler: Sampler,
    /// Whether it was decided how much of it is covered.
    judged: bool,
    /// Whether it is a file of a known type: behind its beginning no window is made of it.
    opaque: bool,
    /// The end of what its last window held.
    before: Vec<u8>,
    tail: Tail,
}

impl Part {
    fn new(head: Vec<u8>, seed: u64) -> Self {
        Self {
            head,
            first: Vec::new(),
            sampler: Sampler::new(HEAD, seed),
            judged: false,
            opaque: false,
            before: Vec::new(),
            tail: Tail::default(),
        }
    }

    /// Binary data of the type that the part declares, or of any where it declares none in particular.
    fn is_genuine_file(&self) -> bool {
        let kind = self
            .head
            .split(|byte| *byte == b'\n')
            .find_map(|line| {
                let (name, value) = line.split_at_checked("content-type:".len())?;
                name.eq_ignore_ascii_case(b"content-type:").then_some(value)
            })
            .unwrap_or_default();
        Magic::of(kind.trim_ascii(), &self.first) == Magic::AsDeclared
    }
}

impl Parts {
    /// Begins behind `before`, which has been scored already.
    pub fn after(boundary: &[u8], before: &[u8], all: u64, seed: u64) -> Self {
        let mut parts = Self {
            delimiter: Finder::new(&[b"--", boundary].concat()).into_owned(),
            buffer: BytesMut::new(),
            line_start: true,
            state: State::Content,
            part: Part::new(Vec::new(), seed),
            all,
            seed,
            window: Vec::new(),
            fresh: 0,
            open: None,
            skipped: 0,
        };
        let mut rest = before;
        while parts.take(&mut rest).is_some() {}
        parts.close();
        parts.window.clear();
        parts.fresh = 0;
        parts.skipped = 0;
        parts.all = all;
        parts
    }

    pub(super) fn skipped(&self) -> u64 {
        self.skipped
    }

    pub(super) fn take(&mut self, data: &mut &[u8]) -> Option<Window> {
        loop {
            if self.window.len() >= WINDOW {
                return self.flush();
            }
            if !self.step() {
                if data.is_empty() {
                    return None;
                }
                let more = split(data, WINDOW as u64, usize::MAX);
                self.buffer.extend_from_slice(more);
            }
        }
    }

    pub(super) fn flush(&mut self) -> Option<Window> {
        let fresh = self.fresh;
        if fresh == 0 {
            return None;
        }
        self.close();
        let mut text = std::mem::take(&mut self.window);
        text.extend_from_slice(self.delimiter.needle());
        text.extend_from_slice(b"--\r\n");
        self.fresh = 0;
        Some(Window { text, fresh })
    }

    pub(super) fn finish(&mut self) -> Option<Window> {
        // What no delimiter follows is content to its end.
        while !self.buffer.is_empty() && self.window.len() < WINDOW {
            if self.state == State::Head {
                self.begin(Vec::new());
            }
            self.pass(self.buffer.len());
        }
        if self.buffer.is_empty() {
            self.end_part();
        }
        self.flush()
    }

    /// Goes on with what is in the buffer; false when it takes more to know.
    fn step(&mut self) -> bool {
        if self.buffer.is_empty() {
            return false;
        }
        match self.state {
            State::Content => self.content(),
            State::Head => self.head(),
        }
    }

    fn content(&mut self) -> bool {
        if let Some(at) = self.find_delimiter() {
            if at > 0 {
                self.pass(at);
                return true;
            }
            self.end_part();
            self.buffer.advance(self.delimiter.needle().len());
            self.line_start = false;
            self.state = State::Head;
            return true;
        }
        let certain = self
            .buffer
            .len()
            .saturating_sub(self.delimiter.needle().len());
        if certain > 0 {
            self.pass(certain);
        }
        certain > 0
    }

    /// Where the next delimiter stands, at the beginning of a line.
    fn find_delimiter(&self) -> Option<usize> {
        self.delimiter
            .find_iter(&self.buffer)
            .find(|at| match at.checked_sub(1) {
                Some(before) => matches!(self.buffer.get(before), Some(b'\n' | b'\r')),
                None => self.line_start,
            })
    }

    fn head(&mut self) -> bool {
        if self.buffer.len() < 2 {
            return false;
        }
        if self.buffer.starts_with(b"--") {
            // The end, after which some parsers go on all the same.
            self.buffer.advance(2);
            self.begin(Vec::new());
            return true;
        }
        let next = self.find_delimiter();
        let within = next.unwrap_or(self.buffer.len()).min(MAX_HEAD);
        let within = self.buffer.get(..within).unwrap_or_default();
        let blank = [&b"\r\n\r\n"[..], b"\n\n", b"\n\r\n"]
            .into_iter()
            .filter_map(|blank| Some((memmem::find(within, blank)?, blank.len())))
            .min_by_key(|(at, length)| (at + length, *length));
        match blank {
            Some((at, length)) => {
                let head = self.buffer.split_to(at);
                self.buffer.advance(length);
                self.line_start = true;
                self.begin_with(&head, length);
            }
            None if next.is_none() && self.buffer.len() < MAX_HEAD => return false,
            // No head: all of it is text.
            None => self.begin(Vec::new()),
        }
        true
    }

    fn begin_with(&mut self, head: &[u8], blank: usize) {
        let head = head.strip_prefix(b"\r").unwrap_or(head);
        let head = head.strip_prefix(b"\n").unwrap_or(head).to_vec();
        // Never nothing, or windows of empty parts would grow and never be full.
        self.fresh += head.len() + blank;
        self.begin(head);
        // A head is looked at also where no content follows.
        self.open();
    }

    fn begin(&mut self, head: Vec<u8>) {
        self.seed = self.seed.wrapping_add(2);
        self.part = Part::new(head, self.seed);
        self.state = State::Content;
    }

    /// Passes `length` bytes of content, or as many as fit the window.
    fn pass(&mut self, length: usize) {
        if self.part.sampler.all == 0 && !self.part.judged {
            self.judge();
        }
        let run = if self.part.opaque {
            self.opaque_run(length)
        } else {
            self.part.sampler.run()
        };
        let passed = match run {
            Run::Take(_) if self.outside(length) > 0 => self.outside(length),
            Run::Take(run) => {
                self.open();
                let room = WINDOW.saturating_sub(self.window.len()).max(1);
                let data = self.buffer.get(..length).unwrap_or_default();
                let taken = split(&mut &*data, run, room);
                let room = SIGNATURE.saturating_sub(self.part.first.len());
                self.part
                    .first
                    .extend_from_slice(taken.get(..room).unwrap_or(taken));
                self.window.extend_from_slice(taken);
                self.fresh += taken.len();
                taken.len()
            }
            Run::Skip(run) => {
                self.close();
                self.part.before.clear();
                let data = self.buffer.get(..length).unwrap_or_default();
                let left_out = split(&mut &*data, run, usize::MAX);
                if !self.part.opaque {
                    self.part.tail.push(left_out);
                }
                self.skipped += left_out.len() as u64;
                left_out.len()
            }
        };
        self.part.sampler.advance(passed);
        let ends = passed.checked_sub(1).and_then(|at| self.buffer.get(at));
        self.line_start = matches!(ends, Some(b'\n' | b'\r'));
        self.buffer.advance(passed);
    }

    /// Of a file of a known type nothing is looked at but scripts that begin in it.
    fn opaque_run(&self, length: usize) -> Run {
        let data = self.buffer.get(..length).unwrap_or_default();
        match script_at(data) {
            Some(0) => Run::Take(WINDOW as u64),
            Some(at) => Run::Skip(at as u64),
            // The beginning of one may have come, and no more of it yet.
            None => Run::Skip(length.saturating_sub(SCRIPT_OPENING).max(1) as u64),
        }
    }

    /// How many of the next bytes are white space around parts, which says nothing.
    fn outside(&self, length: usize) -> usize {
        if !self.part.head.is_empty() || !self.part.first.is_empty() {
            return 0;
        }
        let data = self.buffer.iter().take(length);
        data.take_while(|byte| byte.is_ascii_whitespace()).count()
    }

    /// Text goes on being covered while the body's bound allows; of data of the declared type nothing more is.
    fn judge(&mut self) {
        self.part.judged = true;
        self.part.opaque = self.part.is_genuine_file();
        if !self.part.opaque {
            self.part.sampler.all = std::mem::take(&mut self.all);
        }
    }

    fn end_part(&mut self) {
        let tail = self.part.tail.take();
        if !tail.is_empty() {
            self.close();
            self.part.before.clear();
            self.open();
            self.window.extend_from_slice(&tail);
            self.fresh += tail.len();
            self.skipped = self.skipped.saturating_sub(tail.len() as u64);
        }
        self.close();
        self.part.before.clear();
        if self.part.judged {
            // What this part did not use of the bound is left to the next.
            self.all += std::mem::take(&mut self.part.sampler.all);
        }
        self.part.head.clear();
    }

    /// Begins the present part in the window, with its head and the end of what its last window held.
    fn open(&mut self) {
        if self.open.is_some() {
            return;
        }
        let repeated = !self.part.first.is_empty();
        let head = if repeated {
            short(&self.part.head)
        } else {
            &self.part.head
        };
        self.window.extend_from_slice(self.delimiter.needle());
        self.window.extend_from_slice(b"\r\n");
        self.window.extend_from_slice(head);
        self.window.extend_from_slice(b"\r\n\r\n");
        self.open = Some(self.window.len());
        let before = std::mem::take(&mut self.part.before);
        let before = if before.is_empty() && repeated {
            self.part.tail.take()
        } else {
            before
        };
        self.window.extend_from_slice(last(&before, OVERLAP));
    }

    fn close(&mut self) {
        let Some(content) = self.open.take() else {
            return;
        };
        let content = self.window.get(content..).unwrap_or_default();
        self.part.before = last(content, OVERLAP).to_vec();
        // The line end before a delimiter belongs to it, and came with the content.
        if content.is_empty() || self.window.last() != Some(&b'\n') {
            self.window.extend_from_slice(b"\r\n");
        }
    }
}

/// The first whole lines of a head.
fn short(head: &[u8]) -> &[u8] {
    if head.len() <= SHORT_HEAD {
        return head;
    }
    let short = head.get(..SHORT_HEAD).unwrap_or(head);
    let end = memchr::memrchr(b'\n', short).unwrap_or(0);
    short.get(..end).unwrap_or_default().trim_ascii_end()
}

#[cfg(test)]
mod tests;
