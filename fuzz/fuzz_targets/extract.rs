//! The extractor never panics, keeps its field limit, and writes finite numbers, whatever a client sends.
//!
//! The input is an HTTP/1.1 request, more or less: its lines become the view, so that the fuzzer's bytes reach method,
//! target, headers and body.
#![no_main]

use std::cell::RefCell;

use libfuzzer_sys::fuzz_target;
use weir_features::{Extractor, FIELD_WIDTH, MAX_FIELDS, RequestView, Scratch};

thread_local! {
    // Kept between inputs as a worker keeps it between requests: what one leaves behind must not harm the next.
    static SCRATCH: RefCell<Scratch> = RefCell::default();
}

fuzz_target!(|input: &[u8]| {
    let (head, body) = split(input, b"\n\n").unwrap_or((input, b""));
    let mut lines = head.split(|byte| *byte == b'\n');
    let (method, target) = split(lines.next().unwrap_or_default(), b" ").unwrap_or((b"GET", b"/"));
    let headers: Vec<(&[u8], &[u8])> = lines.filter_map(|line| split(line, b": ")).collect();
    let request = RequestView {
        method,
        target,
        headers: &headers,
        body,
        body_truncated: input.len() % 7 == 0,
    };

    SCRATCH.with_borrow_mut(|scratch| {
        let extractor = Extractor::shared();
        let mut row = vec![0.0_f32; FIELD_WIDTH];
        let fields = extractor.extract(&request, scratch);
        // Windows of what lies beyond the limit come on top of the parsed fields.
        assert!(
            fields.len() <= MAX_FIELDS + 2 * input.len() + 16,
            "{} fields",
            fields.len()
        );
        for field in fields.iter() {
            extractor.row(&field, &mut row);
            assert!(
                row.iter().all(|value| value.is_finite()),
                "a row holds {row:?}"
            );
            let _found = extractor.evidence(field.value);
        }
    });
});

fn split<'a>(input: &'a [u8], at: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let found = input.windows(at.len()).position(|window| window == at)?;
    Some((&input[..found], &input[found + at.len()..]))
}
