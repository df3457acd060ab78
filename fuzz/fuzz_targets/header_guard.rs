//! Whatever bytes come over a connection: where reads end does not change what passes, every head that passes is one that hyper's
//! parser takes whole and reads alike, and what stands in for a refused one passes itself.
#![no_main]

use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use libfuzzer_sys::fuzz_target;
use weir_waf::listen::HeadLimits;
use weir_waf::listen::framing::{Framing, Seen};
use weir_waf::listen::head;
use weir_waf::listen::violation::Violation;
use weir_waf::proxy::guard;

const LIMITS: HeadLimits = HeadLimits {
    fields: 32,
    bytes: 8_192,
    target: 2_048,
};

/// Feeds `input` in pieces of `size` bytes; returns the heads that passed and what was refused.
fn watch(input: &[u8], size: usize) -> (u64, Option<Violation>) {
    let mut framing = Framing::new(LIMITS, true);
    let mut held = Vec::new();
    for piece in input.chunks(size) {
        held.extend_from_slice(piece);
        let Seen { pass, violation } = framing.advance(&held);
        assert!(pass <= held.len());
        held.drain(..pass);
        if violation.is_some() {
            return (framing.heads(), violation);
        }
        assert!(held.len() <= LIMITS.bytes, "an unfinished head is bounded");
    }
    (framing.heads(), None)
}

/// hyper's reading of a head that passed.
fn parse(bytes: &[u8]) {
    let mut fields = [httparse::EMPTY_HEADER; LIMITS.fields];
    let mut request = httparse::Request::new(&mut fields);
    let parsed = request.parse(bytes);
    assert_eq!(
        parsed,
        Ok(httparse::Status::Complete(bytes.len())),
        "{bytes:?}"
    );
    let method = Method::from_bytes(request.method.unwrap().as_bytes()).unwrap();
    let uri: Uri = request.path.unwrap().parse().unwrap();
    let version = [Version::HTTP_10, Version::HTTP_11][usize::from(request.version.unwrap())];
    let mut built = Request::builder().method(method).uri(uri).version(version);
    for field in request.headers.iter() {
        let name = HeaderName::from_bytes(field.name.as_bytes()).unwrap();
        built = built.header(name, HeaderValue::from_bytes(field.value).unwrap());
    }
    let (parts, ()) = built.body(()).unwrap().into_parts();
    let announced = head::check(bytes, &LIMITS).unwrap();
    let lengths = parts.headers.get_all("content-length").iter().count();
    let codings = parts.headers.get_all("transfer-encoding").iter().count();
    assert!(lengths + codings <= 1, "{parts:?}");
    assert_eq!(announced.length.is_some(), lengths == 1);
    assert_eq!(announced.chunked, codings == 1);
    if let Ok(authority) = guard::check(&parts, LIMITS) {
        assert!(authority.is_some() || version == Version::HTTP_10);
    }
}

fuzz_target!(|input: &[u8]| {
    let whole = watch(input, input.len().max(1));
    for size in [1, 2, 7, 64] {
        let pieces = watch(input, size);
        // Which of several offences is named first depends on how much of them has been read; that there is one does
        // not.
        let judged = |(heads, violation): (u64, Option<Violation>)| (heads, violation.is_some());
        assert_eq!(judged(pieces), judged(whole), "in pieces of {size}");
    }
    let mut framing = Framing::new(LIMITS, true);
    if let Some(end) = (1..=input.len().min(LIMITS.bytes)).find(|end| {
        let seen = framing.advance(&input[..*end]);
        seen.violation.is_some() || framing.heads() == 1 || framing.is_http2()
    }) && framing.heads() == 1
    {
        parse(&input[..end]);
    }
    let stand_in = head::stand_in(input, &LIMITS);
    assert!(head::check(&stand_in, &LIMITS).is_ok(), "{stand_in:?}");
    parse(&stand_in);
});
