//! A multipart body, whatever it holds and however it is cut: the same windows, none of them larger than it may be, and
//! no byte that is neither in a window nor counted as left out.
#![no_main]

use libfuzzer_sys::fuzz_target;
use weir_waf::proxy::body::plan::Coverage;
use weir_waf::proxy::body::sieve::{Sieve, WINDOW, Window};

const TYPE: &[u8] = b"multipart/form-data; boundary=XyZ";
/// A window ends at the next whole piece after its limit, and a head is repeated in it.
const LARGEST: usize = WINDOW + 16 * 1024;

fn windows(held: &[u8], passing: &[u8], piece: usize) -> (Vec<Window>, u64) {
    let mut sieve = Sieve::new(Coverage::Parts, TYPE, held, 64 * 1024, 7);
    let mut found = Vec::new();
    for mut data in passing.chunks(piece) {
        while let Some(window) = sieve.take(&mut data) {
            found.push(window);
        }
        assert!(data.is_empty());
    }
    while let Some(window) = sieve.finish() {
        found.push(window);
    }
    assert!(sieve.finish().is_none());
    (found, sieve.skipped())
}

fuzz_target!(|input: &[u8]| {
    let [piece, cut, body @ ..] = input else {
        return;
    };
    // `@` stands for a delimiter at the beginning of a line: the fuzzer need not find it byte by byte.
    let body: Vec<u8> = body
        .split(|byte| *byte == b'@')
        .collect::<Vec<_>>()
        .join(&b"\r\n--XyZ"[..]);
    // Long runs reach the limits.
    let body = if piece % 2 == 0 {
        body
    } else {
        body.repeat(64)
    };
    let (held, passing) = body.split_at(usize::from(*cut).min(body.len()));
    let whole = windows(held, passing, passing.len().max(1));
    let pieces = windows(held, passing, usize::from(*piece) + 1);
    assert_eq!(whole, pieces);
    let (found, skipped) = whole;
    assert!(found.iter().all(|window| window.text.len() <= LARGEST));
    let fresh: usize = found.iter().map(|window| window.fresh).sum();
    assert!(fresh as u64 + skipped <= (body.len() + 16) as u64);
});
