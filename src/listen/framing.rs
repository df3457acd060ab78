//! Watches the raw bytes of an HTTP/1 connection for message framing that two parsers could read differently.
//!
//! Not here: answering (the proxy does, when it meets the request of that ordinal) and parsing for its own sake:
//! hyper decides what a message is. This exists because hyper resolves some conflicts silently (it drops
//! `Content-Length` beside `Transfer-Encoding`), and whoever sends such a thing is probing for request smuggling.

use std::fmt;

/// The bytes of a line that are kept: framing headers are short, and a longer one is an offence in itself.
const LINE_LIMIT: usize = 256;

/// Why a request's framing is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Violation {
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding = 1,
    /// More than one `Content-Length`, or one that is no plain number.
    ContentLength = 2,
    /// A `Transfer-Encoding` that is not exactly `chunked`, once, in HTTP/1.1.
    TransferEncoding = 3,
    /// A line continued on the next (obs-fold).
    FoldedHeader = 4,
    /// A line that ends with LF alone.
    BareLineFeed = 5,
}

impl Violation {
    /// The violation of a stored code.
    pub(crate) const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::LengthAndEncoding),
            2 => Some(Self::ContentLength),
            3 => Some(Self::TransferEncoding),
            4 => Some(Self::FoldedHeader),
            5 => Some(Self::BareLineFeed),
            _ => None,
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::LengthAndEncoding => "both Content-Length and Transfer-Encoding",
            Self::ContentLength => "a repeated or malformed Content-Length",
            Self::TransferEncoding => "a Transfer-Encoding other than one `chunked`",
            Self::FoldedHeader => "a header line folded over two lines",
            Self::BareLineFeed => "a line that ends without a carriage return",
        })
    }
}

/// Where in a connection's byte stream the reader stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
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
    Off,
}

/// What the head read so far says about the body.
#[derive(Debug, Default, Clone, Copy)]
struct Head {
    lines: u32,
    http_10: bool,
    length: Option<u64>,
    chunked: bool,
}

/// The state of one connection.
#[derive(Debug)]
pub(crate) struct Framing {
    state: State,
    head: Head,
    /// The kept beginning of an unfinished line, and its whole length.
    line: Vec<u8>,
    line_length: usize,
    last: u8,
    heads: u64,
}

impl Framing {
    pub(crate) fn new() -> Self {
        Self {
            state: State::Head,
            head: Head::default(),
            line: Vec::new(),
            line_length: 0,
            last: 0,
            heads: 0,
        }
    }

    /// Stops watching: the bytes are no longer HTTP/1 (HTTP/2, a tunnel).
    pub(crate) fn stop(&mut self) {
        self.state = State::Off;
        self.line = Vec::new();
    }

    pub(crate) fn phase(&self) -> Phase {
        match self.state {
            State::Head if self.head.lines == 0 && self.line_length == 0 => Phase::Idle,
            State::Head => Phase::Head,
            _ => Phase::Other,
        }
    }

    /// Whether a body of HTTP/1 comes next.
    pub(crate) fn in_body(&self) -> bool {
        matches!(
            self.state,
            State::Body(_) | State::ChunkSize | State::Chunk(_)
        )
    }

    /// Whether the stream stands inside a message: closing now would leave bytes unread.
    pub(crate) fn inside_message(&self) -> bool {
        !matches!(self.phase(), Phase::Idle)
    }

    /// Follows `bytes`; the first violation comes with the ordinal of its request (from 1) and ends the watch.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Option<(u64, Violation)> {
        while !bytes.is_empty() {
            match self.state {
                State::Off => return None,
                State::Body(left) => bytes = self.skip(bytes, left, State::Body, State::Head),
                State::Chunk(left) => {
                    bytes = self.skip(bytes, left, State::Chunk, State::ChunkSize)
                }
                State::Head | State::ChunkSize | State::Trailers => {
                    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else {
                        self.keep(bytes);
                        return None;
                    };
                    let (line, rest) = bytes.split_at(end);
                    bytes = rest.get(1..).unwrap_or_default();
                    if let Err(violation) = self.finish_line(line) {
                        self.stop();
                        return Some((self.heads, violation));
                    }
                }
            }
        }
        None
    }

    fn skip<'b>(
        &mut self,
        bytes: &'b [u8],
        left: u64,
        more: fn(u64) -> State,
        done: State,
    ) -> &'b [u8] {
        let length = bytes.len() as u64;
        if left > length {
            self.state = more(left - length);
            return &[];
        }
        self.state = done;
        bytes.get(left as usize..).unwrap_or_default()
    }

    fn keep(&mut self, bytes: &[u8]) {
        let room = LINE_LIMIT.saturating_sub(self.line.len()).min(bytes.len());
        self.line.extend(bytes.iter().take(room));
        self.line_length += bytes.len();
        self.last = bytes.last().copied().unwrap_or(self.last);
    }

    fn finish_line(&mut self, end: &[u8]) -> Result<(), Violation> {
        if self.line_length == 0 {
            let line = end.strip_suffix(b"\r").unwrap_or(end);
            return self.on_line(line, end.last() == Some(&b'\r'));
        }
        self.keep(end);
        let mut line = std::mem::take(&mut self.line);
        if line.len() == self.line_length && line.last() == Some(&b'\r') {
            line.pop();
        }
        self.line_length = 0;
        let outcome = self.on_line(&line, self.last == b'\r');
        line.clear();
        self.line = line;
        outcome
    }

    fn on_line(&mut self, line: &[u8], carriage_return: bool) -> Result<(), Violation> {
        match self.state {
            State::ChunkSize => {
                self.state = match chunk_size(line) {
                    Some(0) => State::Trailers,
                    Some(size) => State::Chunk(size.saturating_add(2)),
                    None => State::Off,
                };
                Ok(())
            }
            State::Trailers => {
                if line.is_empty() {
                    self.state = State::Head;
                }
                Ok(())
            }
            _ if self.head.lines == 0 => self.on_request_line(line, carriage_return),
            _ => self.on_header(line, carriage_return),
        }
    }

    fn on_request_line(&mut self, line: &[u8], carriage_return: bool) -> Result<(), Violation> {
        if line.is_empty() {
            return Ok(());
        }
        if line == b"PRI * HTTP/2.0" || line.starts_with(b"CONNECT ") {
            self.stop();
            return Ok(());
        }
        self.heads += 1;
        self.head = Head {
            lines: 1,
            http_10: line.ends_with(b"HTTP/1.0"),
            ..Head::default()
        };
        if carriage_return {
            Ok(())
        } else {
            Err(Violation::BareLineFeed)
        }
    }

    fn on_header(&mut self, line: &[u8], carriage_return: bool) -> Result<(), Violation> {
        if !carriage_return {
            return Err(Violation::BareLineFeed);
        }
        if line.is_empty() {
            return self.on_head_end();
        }
        self.head.lines = self.head.lines.saturating_add(1);
        if line
            .first()
            .is_some_and(|byte| matches!(byte, b' ' | b'\t'))
        {
            return Err(Violation::FoldedHeader);
        }
        let Some(colon) = line.iter().position(|byte| *byte == b':') else {
            return Ok(());
        };
        let (name, value) = line.split_at(colon);
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        if name.trim_ascii().eq_ignore_ascii_case(b"content-length") {
            let length = decimal(value).ok_or(Violation::ContentLength)?;
            if self.head.length.replace(length).is_some() {
                return Err(Violation::ContentLength);
            }
        } else if name.trim_ascii().eq_ignore_ascii_case(b"transfer-encoding") {
            if self.head.chunked || self.head.http_10 || !value.eq_ignore_ascii_case(b"chunked") {
                return Err(Violation::TransferEncoding);
            }
            self.head.chunked = true;
        }
        Ok(())
    }

    fn on_head_end(&mut self) -> Result<(), Violation> {
        let head = std::mem::take(&mut self.head);
        self.state = match (head.chunked, head.length) {
            (true, Some(_)) => return Err(Violation::LengthAndEncoding),
            (true, None) => State::ChunkSize,
            (false, Some(length)) if length > 0 => State::Body(length),
            (false, _) => State::Head,
        };
        Ok(())
    }
}

fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() || text.len() > 19 {
        return None;
    }
    text.iter().try_fold(0_u64, |sum, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        sum.checked_mul(10)?.checked_add(digit)
    })
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = line
        .split(|byte| matches!(byte, b';' | b' ' | b'\t'))
        .next()?;
    let digits = std::str::from_utf8(digits).ok()?;
    if digits.starts_with('+') {
        return None;
    }
    u64::from_str_radix(digits, 16).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;

    /// Feeds `bytes` whole, and in every pair of pieces: the verdict must not depend on where reads end.
    fn watch(bytes: &[u8]) -> Option<(u64, Violation)> {
        let whole = Framing::new().feed(bytes);
        for cut in 0..bytes.len() {
            let mut framing = Framing::new();
            let found = framing
                .feed(&bytes[..cut])
                .or_else(|| framing.feed(&bytes[cut..]));
            assert_eq!(found, whole, "cut at {cut}");
        }
        whole
    }

    #[test]
    fn ordinary_pipelines_pass_and_end_idle() {
        let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /\
            POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n";
        assert_eq!(watch(bytes), None);
        let mut framing = Framing::new();
        framing.feed(bytes);
        assert_eq!(framing.phase(), Phase::Idle);
        assert_eq!(framing.heads, 3);
        framing.feed(b"GE");
        assert_eq!(framing.phase(), Phase::Head);
    }

    #[test]
    fn ambiguous_framing_is_found_in_the_right_request() {
        let first = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
        let cases: [(&[u8], Violation); 10] = [
            (
                b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
                Violation::LengthAndEncoding,
            ),
            (
                b"Transfer-Encoding: chunked\r\ncontent-length: 1\r\n",
                Violation::LengthAndEncoding,
            ),
            (
                b"Content-Length: 1\r\nContent-Length: 1\r\n",
                Violation::ContentLength,
            ),
            (b"Content-Length: 1, 1\r\n", Violation::ContentLength),
            (b"Content-Length: +1\r\n", Violation::ContentLength),
            (
                b"Transfer-Encoding: xchunked\r\n",
                Violation::TransferEncoding,
            ),
            (
                b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
                Violation::TransferEncoding,
            ),
            (
                b"Transfer-Encoding:\r\n chunked\r\n",
                Violation::TransferEncoding,
            ),
            (b"A: b\r\n c: d\r\n", Violation::FoldedHeader),
            (b"A: b\n", Violation::BareLineFeed),
        ];
        for (headers, violation) in cases {
            let mut bytes = first.to_vec();
            bytes.extend(b"POST / HTTP/1.1\r\nHost: a\r\n");
            bytes.extend(headers);
            bytes.extend(b"\r\n");
            assert_eq!(watch(&bytes), Some((2, violation)), "{violation}");
        }
        let old = b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(watch(old), Some((1, Violation::TransferEncoding)));
    }

    #[test]
    fn http2_and_binary_streams_are_left_alone_in_bounded_memory() {
        let mut framing = Framing::new();
        framing.feed(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nContent-Length: x\n");
        assert_eq!(framing.phase(), Phase::Other);
        let mut framing = Framing::new();
        for _ in 0..1000 {
            framing.feed(&[b'x'; 1024]);
        }
        assert!(framing.line.capacity() <= 2 * LINE_LIMIT);
    }
}
