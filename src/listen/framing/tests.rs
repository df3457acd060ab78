#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use super::*;

const LIMITS: HeadLimits = HeadLimits {
    fields: 8,
    bytes: 2_000,
    target: 1_000,
};

/// What comes of `bytes` in the given pieces: the ordinal of the head before the offence, and the offence. Checks on
/// the way that what passed is a prefix of what came.
fn feed(pieces: &[&[u8]]) -> (u64, Option<Violation>, Phase) {
    let mut framing = Framing::new(LIMITS, true);
    let mut held = Vec::new();
    for piece in pieces {
        held.extend_from_slice(piece);
        let seen = framing.advance(&held);
        held.drain(..seen.pass);
        if seen.violation.is_some() {
            return (framing.heads, seen.violation, framing.phase());
        }
    }
    (framing.heads, None, framing.phase())
}

/// Feeds `bytes` whole, and in every pair of pieces: the verdict must not depend on where reads end.
fn watch(bytes: &[u8]) -> (u64, Option<Violation>) {
    let whole = feed(&[bytes]);
    for cut in 0..bytes.len() {
        let (heads, violation, _) = feed(&[&bytes[..cut], &bytes[cut..]]);
        assert_eq!((heads, violation), (whole.0, whole.1), "cut at {cut}");
    }
    let single: Vec<&[u8]> = bytes.chunks(1).collect();
    assert_eq!(feed(&single).1, whole.1);
    (whole.0, whole.1)
}

#[test]
fn ordinary_pipelines_pass_and_end_idle() {
    let bytes = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n\r\nPOST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /\
        POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4;x=y\r\n\r\n\r\n\r\n0\r\nA: b\r\n\r\n";
    assert_eq!(watch(bytes), (3, None));
    assert_eq!(feed(&[bytes]).2, Phase::Idle);
    assert_eq!(feed(&[bytes, b"GE"]).2, Phase::Head);
}

#[test]
fn ambiguous_framing_is_found_in_the_right_request() {
    use Violation::*;
    let first = b"POST / HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc";
    for (headers, violation) in [
        (
            "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            LengthAndEncoding,
        ),
        (
            "Transfer-Encoding: chunked\r\ncontent-length: 1\r\n",
            LengthAndEncoding,
        ),
        ("Content-Length: 1\r\nContent-Length: 1\r\n", ContentLength),
        ("Content-Length: 1, 1\r\n", ContentLength),
        ("Content-Length: +1\r\n", ContentLength),
        ("Content-Length: 1_0\r\n", ContentLength),
        ("Content-Length:\r\n", ContentLength),
        ("Content-Length: 99999999999999999999\r\n", ContentLength),
        ("Transfer-Encoding: xchunked\r\n", TransferEncoding),
        (
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
            TransferEncoding,
        ),
        ("Transfer-Encoding:\r\n chunked\r\n", TransferEncoding),
        ("A: b\r\n c: d\r\n", FoldedHeader),
        ("A: b\r\n\tc: d\r\n", FoldedHeader),
        ("A: b\nc: d\r\n", BareLineFeed),
        ("A : b\r\n", HeaderLine),
        ("A\r\n", HeaderLine),
        (": b\r\n", HeaderLine),
        ("A: b\rc: d\r\n", HeaderLine),
        ("A: b\0\r\n", HeaderLine),
        ("\u{b}A: b\r\n", HeaderLine),
        (
            "a:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\na:\r\n",
            TooManyHeaders,
        ),
    ] {
        let mut bytes = first.to_vec();
        bytes.extend(b"POST / HTTP/1.1\r\n");
        bytes.extend(headers.as_bytes());
        bytes.extend(b"\r\n");
        assert_eq!(watch(&bytes), (1, Some(violation)), "{headers:?}");
    }
}

#[test]
fn request_lines_are_read_strictly() {
    use Violation::*;
    for (line, violation) in [
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked",
            TransferEncoding,
        ),
        ("GET /", RequestLine),
        ("GET  / HTTP/1.1", RequestLine),
        ("GET / HTTP/1.1 ", RequestLine),
        ("GET\t/ HTTP/1.1", RequestLine),
        (" GET / HTTP/1.1", RequestLine),
        ("G{T / HTTP/1.1", RequestLine),
        ("\u{16}\u{3}\u{1}", RequestLine),
        ("GET / http/1.1", RequestLine),
        ("GET / HTTP/1.2", Version),
        ("GET / HTTP/2.0", Version),
        ("GET / HTTP/1.10", Version),
        ("GET /a#b HTTP/1.1", Target),
        ("GET /\u{1}a HTTP/1.1", Target),
        ("GET /\u{7f} HTTP/1.1", Target),
        ("CONNECT a:443 HTTP/1.1", Connect),
        ("\r\n\r\n\r\n\r\n\r\nGET / HTTP/1.1", RequestLine),
        ("\nGET / HTTP/1.1", BareLineFeed),
    ] {
        let bytes = format!("{line}\r\n\r\n");
        assert_eq!(watch(bytes.as_bytes()), (0, Some(violation)), "{line:?}");
    }
    assert_eq!(watch(b"GET /\xff\xfe HTTP/1.1\r\n\r\n"), (0, Some(Target)));
    for line in [
        "OPTIONS * HTTP/1.1",
        "GET http://a/b?c HTTP/1.0",
        "M-SEARCH /[]^{}\"|\u{fc} HTTP/1.1",
    ] {
        assert_eq!(
            watch(format!("{line}\r\n\r\n").as_bytes()),
            (1, None),
            "{line:?}"
        );
    }
}

#[test]
fn heads_are_bounded_while_they_come() {
    let endless = |line: &str, byte: &str| format!("{line}{}", byte.repeat(3_000));
    for (bytes, violation) in [
        (endless("GET /", "a"), Violation::TargetTooLong),
        (
            endless("GET / HTTP/1.1\r\nA: ", "a"),
            Violation::HeadersTooLarge,
        ),
        (
            format!("GET /{} HTTP/1.1\r\n\r\n", "a".repeat(1_000)),
            Violation::TargetTooLong,
        ),
    ] {
        let mut framing = Framing::new(LIMITS, true);
        let seen = framing.advance(bytes.as_bytes());
        assert_eq!(seen.violation, Some(violation));
        assert_eq!(seen.pass, 0);
    }
}

#[test]
fn chunks_are_read_strictly() {
    use Violation::*;
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (body, violation) in [
        ("5 \r\nhello\r\n", Chunk),
        ("0x5\r\nhello\r\n", Chunk),
        ("+5\r\nhello\r\n", Chunk),
        ("-5\r\nhello\r\n", Chunk),
        ("\r\n", Chunk),
        (";a\r\n", Chunk),
        ("5\nhello\r\n", Chunk),
        ("5;a\nb\r\nhello\r\n", Chunk),
        ("5;a\rb\r\nhello\r\n", Chunk),
        ("fffffffffffffffff\r\n", Chunk),
        ("0\r\nContent-Length: 5\r\n\r\n", Trailer),
        ("0\r\nTransfer-Encoding: chunked\r\n\r\n", Trailer),
        ("0\r\nA : b\r\n\r\n", Trailer),
        ("0\r\nA: b\n\r\n", Trailer),
    ] {
        assert_eq!(
            watch(format!("{head}{body}").as_bytes()),
            (1, Some(violation)),
            "{body:?}"
        );
    }
    let long = format!("{head}5;{}", "a".repeat(200));
    assert_eq!(watch(long.as_bytes()), (1, Some(Chunk)));
    let trailers = format!("{head}0\r\n{}", "a: b\r\n".repeat(3_000));
    assert_eq!(feed(&[trailers.as_bytes()]).1, Some(Trailer));
}

#[test]
fn single_bytes_in_chunks_are_an_offence_only_in_masses() {
    let head = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = |count: usize, chunk: &str| format!("{head}{}0\r\n\r\n", chunk.repeat(count));
    assert_eq!(feed(&[body(10_000, "1\r\na\r\n").as_bytes()]).1, None);
    assert_eq!(
        feed(&[body(100_000, "1\r\na\r\n").as_bytes()]).1,
        Some(Violation::TinyChunks)
    );
    assert_eq!(
        feed(&[body(100_000, "8\r\n12345678\r\n").as_bytes()]).1,
        None
    );
}

#[test]
fn what_follows_an_upgrade_waits_for_its_answer() {
    let mut framing = Framing::new(LIMITS, true);
    let head = b"GET / HTTP/1.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n";
    let frames = b"\x81\x85\0\0\0\0hello";
    let bytes = [&head[..], frames].concat();
    let seen = framing.advance(&bytes);
    assert_eq!((seen.pass, seen.violation), (head.len(), None));
    assert!(framing.is_awaiting());
    // It did not come, so that is a request.
    framing.resume();
    assert_eq!(
        framing.advance(frames).violation,
        Some(Violation::RequestLine)
    );
}

#[test]
fn http2_and_tunnels_are_left_alone() {
    let mut framing = Framing::new(LIMITS, true);
    let bytes = [PREFACE, b"\0\0\0\x04\0\0\0\0\0Content-Length: x\n"].concat();
    assert_eq!(framing.advance(&bytes).pass, bytes.len());
    assert!(framing.is_http2());
    assert_eq!(watch(PREFACE), (0, None));
    assert_eq!(
        watch(b"PRI * HTTP/2.0\r\nA: b\r\n\r\n"),
        (0, Some(Violation::Version))
    );
    let mut only_one = Framing::new(LIMITS, false);
    assert_eq!(
        only_one.advance(PREFACE).violation,
        Some(Violation::Version)
    );
    let mut framing = Framing::new(LIMITS, true);
    framing.stop();
    assert_eq!(framing.advance(b"\xff\n\n").pass, 3);
}

#[test]
fn a_stand_in_passes_and_tells_who_asked_for_what() {
    let shown = |head: &[u8]| {
        let stand_in = head::stand_in(head, &LIMITS);
        assert!(head::check(&stand_in, &LIMITS).is_ok(), "{stand_in:?}");
        String::from_utf8(stand_in).unwrap()
    };
    let head = b"POST /pay HTTP/1.0\r\nHost: a\r\nHost: b\r\nContent-Length: x\r\nX y: z\r\nAccept: application/json\r\n\
        Transfer-Encoding: chunked\r\nX-Cut: off";
    assert_eq!(
        shown(head),
        "POST /pay HTTP/1.0\r\nHost: a\r\nAccept: application/json\r\nConnection: close\r\n\r\n"
    );
    assert_eq!(
        shown(b"GET /\xff# HTTP/1.1\r\n"),
        "GET /%FF%23 HTTP/1.1\r\nConnection: close\r\n\r\n"
    );
    for bytes in [
        &b""[..],
        b"\x16\x03\x01",
        b"\r\n",
        b" ",
        b"CONNECT a:1 HTTP/1.1\r\n\r\n",
        b"G",
        b"GET http://[ x",
    ] {
        assert!(shown(bytes).starts_with("GET "), "{bytes:?}");
    }
}
