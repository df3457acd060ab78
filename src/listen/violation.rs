//! The ways in which the bytes of a connection offend, each with the status and the name it is refused under.
//!
//! Not here: finding them (`head`, `framing`, `frames`) and answering (`proxy::respond`).

use std::fmt;

use http::StatusCode;

/// Why a request is refused for how its bytes are framed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Violation {
    /// Both `Content-Length` and `Transfer-Encoding`.
    LengthAndEncoding,
    /// More than one `Content-Length`, or one that is no plain number.
    ContentLength,
    /// A `Transfer-Encoding` that is not exactly `chunked`, once, in HTTP/1.1.
    TransferEncoding,
    /// A line continued on the next (obs-fold).
    FoldedHeader,
    /// A line that ends with LF alone.
    BareLineFeed,
    /// A request line that is not method, target and version with one space between.
    RequestLine,
    /// Neither HTTP/1.0 nor HTTP/1.1.
    Version,
    /// A target with a byte that no target may have.
    Target,
    /// A target beyond `limits.target_bytes`.
    TargetTooLong,
    /// A header line that is not a name, a colon and a value: space before the colon, control characters.
    HeaderLine,
    /// More fields than `limits.headers`.
    TooManyHeaders,
    /// A head beyond `limits.header_bytes`.
    HeadersTooLarge,
    /// The head was not complete within `timeouts.header`.
    HeaderTimeout,
    /// `CONNECT`: what follows would be another protocol.
    Connect,
    /// A chunk that is not a plain size, a short extension at most, and CRLF.
    Chunk,
    /// Chunks whose framing outweighs what they carry.
    TinyChunks,
    /// Trailers that are too large, malformed, or would change how the request is read.
    Trailer,
}

impl Violation {
    const ALL: [Self; 17] = [
        Self::LengthAndEncoding,
        Self::ContentLength,
        Self::TransferEncoding,
        Self::FoldedHeader,
        Self::BareLineFeed,
        Self::RequestLine,
        Self::Version,
        Self::Target,
        Self::TargetTooLong,
        Self::HeaderLine,
        Self::TooManyHeaders,
        Self::HeadersTooLarge,
        Self::HeaderTimeout,
        Self::Connect,
        Self::Chunk,
        Self::TinyChunks,
        Self::Trailer,
    ];

    /// A number above zero for it.
    pub(super) const fn code(self) -> u8 {
        self as u8 + 1
    }

    /// The violation of such a number.
    pub(super) fn from_code(code: u8) -> Option<Self> {
        let at = usize::from(code).checked_sub(1)?;
        Self::ALL.get(at).copied()
    }

    /// The status that says so.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders | Self::HeadersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::HeaderTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Version => StatusCode::HTTP_VERSION_NOT_SUPPORTED,
            Self::Connect => StatusCode::METHOD_NOT_ALLOWED,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// A short stable name for metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::LengthAndEncoding
            | Self::ContentLength
            | Self::TransferEncoding
            | Self::FoldedHeader
            | Self::BareLineFeed => "framing",
            Self::RequestLine => "request_line",
            Self::Version => "version",
            Self::Target => "target",
            Self::TargetTooLong => "target_too_long",
            Self::HeaderLine => "header_line",
            Self::TooManyHeaders | Self::HeadersTooLarge => "headers_too_large",
            Self::HeaderTimeout => "header_timeout",
            Self::Connect => "method",
            Self::Chunk => "chunk",
            Self::TinyChunks => "tiny_chunks",
            Self::Trailer => "trailer",
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
            Self::RequestLine => "no plain request line",
            Self::Version => "a version other than HTTP/1.0 and HTTP/1.1",
            Self::Target => "a target with bytes that no target may have",
            Self::TargetTooLong => "a target longer than limits.target_bytes",
            Self::HeaderLine => "a header line that is no name, colon and value",
            Self::TooManyHeaders => "more header fields than limits.headers",
            Self::HeadersTooLarge => "a head larger than limits.header_bytes",
            Self::HeaderTimeout => "a head that was not complete within timeouts.header",
            Self::Connect => "the method CONNECT",
            Self::Chunk => "a malformed chunk",
            Self::TinyChunks => "chunks with more framing than data",
            Self::Trailer => "a malformed or forbidden trailer",
        })
    }
}

/// What a client does to an HTTP/2 connection as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abuse {
    /// Streams are opened and reset (rapid reset), or made to be reset by us (MadeYouReset).
    Resets,
    /// Frames that carry nothing: PING, SETTINGS, PRIORITY, WINDOW_UPDATE, empty DATA.
    Control,
    /// A header block without end: CONTINUATION frames, or one that takes too long.
    HeaderBlock,
    /// A header block that decompresses beyond all limits.
    HeaderBomb,
    /// A stream that breaks the rules of HTTP/2; the others go on.
    Stream,
    /// A connection that breaks the rules of HTTP/2.
    Connection,
}

impl Abuse {
    /// A short stable name for metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Resets => "http2_resets",
            Self::Control => "http2_control",
            Self::HeaderBlock => "http2_header_block",
            Self::HeaderBomb => "http2_header_bomb",
            Self::Stream => "http2_stream",
            Self::Connection => "http2_connection",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_go_both_ways() {
        for violation in Violation::ALL {
            assert_eq!(Violation::from_code(violation.code()), Some(violation));
        }
        assert_eq!(Violation::from_code(0), None);
        assert_eq!(Violation::from_code(200), None);
    }
}
