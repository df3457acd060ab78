//! Watches the raw bytes of an HTTP/1 connection for message framing that two parsers could read differently.
//!
//! Not here: answering (the proxy does, when it meets the request of that ordinal) and parsing for its own sake:
//! hyper decides what a message is. This exists because hyper resolves some conflicts silently (it drops
//! `Content-Length` beside `Transfer-Encoding`), and whoever sends such a thing is probing for request smuggling.

use super::head::{self, Announced, HeadLimits};
use super::violation::Violation;

/// What begins an HTTP/2 connection (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// Bytes of empty lines before a request: some old clients end a body with one.
const EMPTY_LINES: usize = 8;
/// Bytes of a chunk's size line: a size and a short extension.
const CHUNK_LINE: usize = 128;
/// Bytes of all extensions of a body's chunks; hyper takes 16 KiB.
const EXTENSIONS: usize = 8 * 1024;
/// Bytes of all trailers of a body; hyper takes 16 KiB.
const TRAILERS: usize = 8 * 1024;
/// Framing of chunks that is free. Beyond it framing may be this many times the data: pieces of two bytes pass.
const FREE_OVERHEAD: u64 = 64 * 1024;
const OVERHEAD: u64 = 4;
/// Digits of a chunk's size.
const SIZE_DIGITS: usize = 15;

/// Where in a connection's byte stream the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Between requests.
    Idle,
    /// A request's head has begun.
    Head,
    /// A body, or bytes that are not HTTP/1.
    Other,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Head,
    Body(u64),
    ChunkSize,
    Chunk(u64),
    Trailers,
    /// The last request asked for another protocol: what follows cannot be read before its answer is known.
    Awaiting,
    Http2,
    Off,
}

/// What to do with bytes that were looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// So many from their beginning may be read; the others are an unfinished head, or an offending one.
    pub pass: usize,
    /// What is wrong with the bytes behind.
    pub violation: Option<Violation>,
}

/// The state of one connection.
#[derive(Debug)]
pub struct Framing {
    state: State,
    limits: HeadLimits,
    http2: bool,
    /// Of an unfinished head: bytes looked at, and whether a line with something on it has begun.
    scanned: usize,
    line_start: usize,
    begun: bool,
    unfinished: bool,
    /// The kept beginning of an unfinished line of chunked framing.
    line: Vec<u8>,
    overhead: u64,
    data: u64,
    extensions: usize,
    /// Fields and bytes of trailers.
    trailers: (usize, usize),
    awaits: bool,
    heads: u64,
}

impl Framing {
    pub fn new(limits: HeadLimits, http2: bool) -> Self {
        Self {
            state: State::Head,
            limits,
            http2,
            scanned: 0,
            line_start: 0,
            begun: false,
            unfinished: false,
            line: Vec::new(),
            overhead: 0,
            data: 0,
            extensions: 0,
            trailers: (0, 0),
            awaits: false,
            heads: 0,
        }
    }

    /// Stops watching: the bytes are no longer HTTP/1 (a tunnel).
    pub fn stop(&mut self) {
        self.state = State::Off;
        self.line = Vec::new();
    }

    pub fn phase(&self) -> Phase {
        match self.state {
            State::Head if !self.unfinished => Phase::Idle,
            State::Head => Phase::Head,
            State::Awaiting => Phase::Idle,
            _ => Phase::Other,
        }
    }

    /// Whether a body of HTTP/1 comes next.
    pub fn in_body(&self) -> bool {
        matches!(
            self.state,
            State::Body(_) | State::ChunkSize | State::Chunk(_)
        )
    }

    /// Whether these bytes are HTTP/2.
    pub fn is_http2(&self) -> bool {
        self.state == State::Http2
    }

    /// Whether an upgrade has been asked for and not been answered.
    pub fn is_awaiting(&self) -> bool {
        self.state == State::Awaiting
    }

    /// The upgrade that was asked for did not come: what follows is a request.
    pub fn resume(&mut self) {
        self.state = State::Head;
    }

    /// Requests whose head was complete.
    pub fn heads(&self) -> u64 {
        self.heads
    }

    /// Bounds on heads.
    pub fn limits(&self) -> &HeadLimits {
        &self.limits
    }

    /// Looks at the bytes that have not passed yet. Those of an unfinished head are to be shown again, with what
    /// follows them.
    pub fn advance(&mut self, bytes: &[u8]) -> Seen {
        let mut rest = bytes;
        let mut violation = None;
        while !rest.is_empty() && violation.is_none() {
            let left = rest;
            let step = match self.state {
                State::Off | State::Http2 => Ok(&[][..]),
                State::Body(left) => Ok(self.skip(rest, left, State::Body, None)),
                State::Chunk(left) => {
                    Ok(self.skip(rest, left, State::Chunk, Some(State::ChunkSize)))
                }
                State::ChunkSize | State::Trailers => self.chunk_line(rest),
                State::Awaiting => break,
                State::Head => match self.head(rest) {
                    Ok(Some(after)) => Ok(after),
                    Ok(None) => break,
                    Err(found) => Err(found),
                },
            };
            match step {
                Ok(after) => rest = after,
                Err(found) => {
                    rest = left;
                    violation = Some(found);
                }
            }
        }
        Seen {
            pass: bytes.len() - rest.len(),
            violation,
        }
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        left: u64,
        more: fn(u64) -> State,
        done: Option<State>,
    ) -> &'b [u8] {
        let length = bytes.len() as u64;
        if left > length {
            self.state = more(left - length);
            return &[];
        }
        match done {
            Some(state) => self.state = state,
            None => self.message_ends(),
        }
        bytes.get(left as usize..).unwrap_or_default()
    }

    fn message_ends(&mut self) {
        self.state = if std::mem::take(&mut self.awaits) {
            State::Awaiting
        } else {
            State::Head
        };
    }

    /// What follows the head, when it is complete.
    fn head<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<&'b [u8]>, Violation> {
        if self.heads == 0 && self.http2 {
            if bytes.starts_with(PREFACE) {
                self.state = State::Http2;
                return Ok(Some(&[]));
            }
            if PREFACE.starts_with(bytes) {
                self.unfinished = true;
                return Ok(None);
            }
        }
        let Some(end) = self.head_end(bytes)? else {
            self.unfinished = true;
            return Ok(None);
        };
        let (head, rest) = bytes.split_at_checked(end).unwrap_or((bytes, &[]));
        if head.len() > self.limits.bytes {
            return Err(Violation::HeadersTooLarge);
        }
        let announced = head::check(head, &self.limits)?;
        self.scanned = 0;
        self.line_start = 0;
        self.begun = false;
        self.unfinished = false;
        self.heads += 1;
        self.body_of(announced);
        Ok(Some(rest))
    }

    fn body_of(&mut self, announced: Announced) {
        self.awaits = announced.upgrade;
        self.overhead = 0;
        self.data = 0;
        self.extensions = 0;
        self.trailers = (0, 0);
        match announced.length {
            _ if announced.chunked => self.state = State::ChunkSize,
            Some(length) if length > 0 => self.state = State::Body(length),
            _ => self.message_ends(),
        }
    }

    /// Where the head ends. Refuses early what cannot become one.
    fn head_end(&mut self, bytes: &[u8]) -> Result<Option<usize>, Violation> {
        let first = bytes.iter().find(|byte| !matches!(byte, b'\r' | b'\n'));
        if first.is_some_and(|byte| !head::is_token(*byte)) {
            return Err(Violation::RequestLine);
        }
        let mut at = self.scanned;
        while let Some(found) = bytes.get(at..).and_then(|rest| memchr::memchr(b'\n', rest)) {
            let line = bytes.get(self.line_start..at + found).unwrap_or_default();
            at += found + 1;
            self.line_start = at;
            if !matches!(line, b"" | b"\r") {
                self.begun = true;
            } else if self.begun {
                return Ok(Some(at));
            } else if line.is_empty() {
                return Err(Violation::BareLineFeed);
            } else if at > EMPTY_LINES {
                return Err(Violation::RequestLine);
            }
        }
        self.scanned = bytes.len();
        if !self.begun && bytes.len() > self.limits.target + CHUNK_LINE {
            return Err(Violation::TargetTooLong);
        }
        if bytes.len() > self.limits.bytes {
            return Err(Violation::HeadersTooLarge);
        }
        Ok(None)
    }

    /// One line of chunked framing, as far as it is there.
    fn chunk_line<'b>(&mut self, bytes: &'b [u8]) -> Result<&'b [u8], Violation> {
        let end = memchr::memchr(b'\n', bytes);
        let (part, rest) = bytes.split_at(end.unwrap_or(bytes.len()));
        let (longest, violation) = match self.state {
            State::Trailers => (TRAILERS, Violation::Trailer),
            _ => (CHUNK_LINE, Violation::Chunk),
        };
        if self.line.len() + part.len() > longest {
            return Err(violation);
        }
        self.line.extend_from_slice(part);
        if end.is_none() {
            return Ok(&[]);
        }
        let line = std::mem::take(&mut self.line);
        let text = line.strip_suffix(b"\r").ok_or(violation)?;
        match self.state {
            State::Trailers => self.on_trailer(text)?,
            _ => self.on_chunk_size(text)?,
        }
        self.line = line;
        self.line.clear();
        Ok(rest.get(1..).unwrap_or_default())
    }

    fn on_chunk_size(&mut self, line: &[u8]) -> Result<(), Violation> {
        let (size, extension) = chunk_size(line).ok_or(Violation::Chunk)?;
        self.extensions += extension;
        if self.extensions > EXTENSIONS {
            return Err(Violation::Chunk);
        }
        if size == 0 {
            self.state = State::Trailers;
            return Ok(());
        }
        self.data = self.data.saturating_add(size);
        // With both line ends.
        self.overhead += line.len() as u64 + 4;
        if self.overhead > FREE_OVERHEAD && self.overhead > self.data.saturating_mul(OVERHEAD) {
            return Err(Violation::TinyChunks);
        }
        self.state = State::Chunk(size + 2);
        Ok(())
    }

    fn on_trailer(&mut self, line: &[u8]) -> Result<(), Violation> {
        if line.is_empty() {
            self.line = Vec::new();
            self.message_ends();
            return Ok(());
        }
        let (fields, bytes) = self.trailers;
        self.trailers = (fields + 1, bytes + line.len() + 2);
        let (name, _) = head::parts(line).ok_or(Violation::Trailer)?;
        let many = fields >= self.limits.fields || bytes + line.len() > TRAILERS;
        if many || is_forbidden_trailer(name) {
            return Err(Violation::Trailer);
        }
        Ok(())
    }
}

/// Fields that must not come behind a body: they frame, route or authenticate it (RFC 9110, 6.5.1).
pub fn is_forbidden_trailer(name: &[u8]) -> bool {
    [
        &b"content-length"[..],
        b"transfer-encoding",
        b"content-encoding",
        b"content-type",
        b"content-range",
        b"host",
        b"connection",
        b"upgrade",
        b"te",
        b"trailer",
        b"expect",
        b"range",
        b"authorization",
        b"proxy-authorization",
        b"cookie",
        b"forwarded",
        b"x-forwarded-for",
        b"x-forwarded-host",
        b"x-forwarded-proto",
        b"x-real-ip",
        b"x-request-id",
        b"x-weir-score",
        b"x-weir-verdict",
    ]
    .iter()
    .any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

/// A size, and the length of an extension of visible characters behind a semicolon at most.
fn chunk_size(line: &[u8]) -> Option<(u64, usize)> {
    let (digits, extension) = match memchr::memchr(b';', line) {
        Some(at) => line.split_at_checked(at)?,
        None => (line, &[][..]),
    };
    let visible = |byte: &u8| matches!(byte, b' '..=b'~' | b'\t');
    if digits.is_empty() || digits.len() > SIZE_DIGITS || !extension.iter().all(visible) {
        return None;
    }
    let size = digits.iter().try_fold(0_u64, |size, byte| {
        let digit = char::from(*byte).to_digit(16)?;
        Some(size << 4 | u64::from(digit))
    })?;
    Some((size, extension.len()))
}

#[cfg(test)]
mod tests;
