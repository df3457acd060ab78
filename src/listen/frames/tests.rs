use std::time::Duration;

use super::*;

fn frame(kind: u8, flags: u8, stream: u8, payload: &[u8]) -> Vec<u8> {
    let length = (payload.len() as u32).to_be_bytes();
    let [_, a, b, c] = length;
    [&[a, b, c, kind, flags, 0, 0, 0, stream][..], payload].concat()
}

/// What comes of frames after the preface, in pieces of `size` bytes.
fn received(frames: &[u8], size: usize) -> Option<Abuse> {
    let now = Instant::now();
    let mut watch = Http2Watch::new(1_000, now);
    let bytes = [&[b'x'; PREFACE as usize][..], frames].concat();
    bytes
        .chunks(size)
        .find_map(|piece| watch.receive(piece, now).abuse)
}

#[test]
fn floods_end_wherever_reads_end() {
    let many = |frame: &[u8], count: usize| frame.repeat(count);
    let ping = frame(6, 0, 0, &[0; 8]);
    let settings = frame(4, 0, 0, &[]);
    let reset = [
        frame(HEADERS, 5, 1, b"abc"),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ]
    .concat();
    let empty = frame(DATA, 0, 1, &[]);
    let block = [
        frame(HEADERS, 0, 1, b"abc"),
        many(&frame(CONTINUATION, 0, 1, b""), 20),
    ]
    .concat();
    let large = [
        frame(HEADERS, 0, 1, &[0; 900]),
        frame(CONTINUATION, END_HEADERS, 1, &[0; 900]),
    ]
    .concat();
    for size in [1, 7, 1 << 20] {
        assert_eq!(received(&many(&ping, 900), size), None);
        assert_eq!(received(&many(&ping, 1_100), size), Some(Abuse::Control));
        assert_eq!(
            received(&many(&settings, 1_100), size),
            Some(Abuse::Control)
        );
        assert_eq!(received(&many(&empty, 1_100), size), Some(Abuse::Control));
        assert_eq!(received(&many(&reset, 400), size), None);
        assert_eq!(received(&many(&reset, 600), size), Some(Abuse::Resets));
        assert_eq!(received(&block, size), Some(Abuse::HeaderBlock));
        assert_eq!(received(&large, size), Some(Abuse::HeaderBlock));
    }
    // A control frame for each frame with data is what transfers need.
    let transfer = [ping, frame(DATA, 0, 1, b"abc")].concat();
    assert_eq!(received(&many(&transfer, 5_000), 100), None);
}

#[test]
fn what_h2_refuses_shows_in_what_it_sends() {
    let now = Instant::now();
    let sent = |frames: &[Vec<u8>]| {
        let mut watch = Http2Watch::new(1_000, now);
        let abuse = watch.send(&frames.concat(), now).abuse;
        (abuse, watch.farewell().is_some())
    };
    let bare = frame(HEADERS, 5, 1, &[0x48, 0x82, 0x64, 0x04]);
    let protocol = frame(RST_STREAM, 0, 1, &[0, 0, 0, 1]);
    let cancel = frame(RST_STREAM, 0, 1, &[0, 0, 0, 8]);
    assert_eq!(
        sent(std::slice::from_ref(&protocol)),
        (Some(Abuse::Stream), true)
    );
    assert_eq!(sent(&[cancel]), (None, true));
    assert_eq!(
        sent(&[bare, protocol.clone()]),
        (Some(Abuse::HeaderBomb), true)
    );
    assert_eq!(sent(&[protocol.repeat(600)]).0, Some(Abuse::Resets));
    let calm = frame(GO_AWAY, 0, 0, &[0, 0, 0, 9, 0, 0, 0, 11]);
    assert_eq!(sent(&[calm]).0, Some(Abuse::Resets));
    let bomb = frame(GO_AWAY, 0, 0, b"\0\0\0\x09\0\0\0\x0bheader_list");
    assert_eq!(sent(&[bomb]).0, Some(Abuse::HeaderBomb));
    let cut = frame(DATA, 0, 1, &[0; 50]);
    assert_eq!(
        sent(&[cut.get(..30).unwrap_or_default().to_vec()]),
        (None, false)
    );
}

#[test]
fn allowances_refill() {
    let now = Instant::now();
    let mut allowance = Allowance::new(2, 1, now);
    assert!(allowance.take(now) && allowance.take(now) && !allowance.take(now));
    let later = now + Duration::from_secs(1);
    assert!(allowance.take(later) && !allowance.take(later));
}
