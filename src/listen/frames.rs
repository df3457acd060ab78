//! Watches the frames of an HTTP/2 connection, in both directions, for floods that cost the sender nothing and us
//! much: rapid reset (CVE-2023-44487), MadeYouReset (CVE-2025-8671), CONTINUATION (CVE-2024-27316), and the control
//! frames of CVE-2019-9512 to 9518.
//!
//! Not here: the protocol (h2 keeps it) and answers. Only frame headers are read, and the first bytes of a few
//! payloads; allowances refill with time, so that long connections may do what bursts may not.

use std::collections::HashSet;

use tokio::time::Instant;

use super::violation::Abuse;

/// Bytes of the connection preface.
const PREFACE: u64 = 24;
const HEADER: usize = 9;
/// Bytes of a payload that are read: those of GOAWAY are a stream, an error code, and the first of a reason.
const PEEK: usize = 9;

const DATA: u8 = 0;
const HEADERS: u8 = 1;
const RST_STREAM: u8 = 3;
const GO_AWAY: u8 = 7;
const CONTINUATION: u8 = 9;
const END_STREAM: u8 = 0x1;
const END_HEADERS: u8 = 0x4;

const NO_ERROR: u32 = 0;
const INTERNAL_ERROR: u32 = 2;
const REFUSED_STREAM: u32 = 7;
const CANCEL: u32 = 8;
const CALM: u32 = 11;

/// Streams that may be reset: a page of pictures that is left at once stays below it.
const RESETS: u32 = 500;
const RESETS_PER_SECOND: u32 = 20;
/// Frames without payload beyond one for each that carries any.
const CONTROL: u32 = 1_000;
const CONTROL_PER_SECOND: u32 = 100;
/// CONTINUATION frames of one header block: 16 KiB each.
const CONTINUATIONS: u32 = 16;
/// An answer's header block this short is none of ours: those carry a request id.
const BARE: u32 = 8;

/// An allowance that refills with time.
#[derive(Debug)]
struct Allowance {
    left: u32,
    most: u32,
    per_second: u32,
    since: Instant,
}

impl Allowance {
    fn new(most: u32, per_second: u32, now: Instant) -> Self {
        Self {
            left: most,
            most,
            per_second,
            since: now,
        }
    }

    fn take(&mut self, now: Instant) -> bool {
        if self.left == 0 {
            let seconds = now.duration_since(self.since).as_secs();
            let refill = u32::try_from(seconds)
                .unwrap_or(u32::MAX)
                .saturating_mul(self.per_second);
            self.give(refill);
            self.since = now;
        }
        let any = self.left > 0;
        self.left = self.left.saturating_sub(1);
        any
    }

    fn give(&mut self, more: u32) {
        self.left = self.left.saturating_add(more).min(self.most);
    }
}

#[derive(Debug, Clone, Copy)]
struct Frame {
    kind: u8,
    flags: u8,
    length: u32,
    stream: u32,
    /// The first words of the payload.
    words: [u32; 2],
    /// The byte behind them.
    reason: u8,
}

/// Cuts one direction into frames.
#[derive(Debug)]
struct Frames {
    head: [u8; HEADER + PEEK],
    have: usize,
    skip: u64,
}

impl Frames {
    fn new(skip: u64) -> Self {
        Self {
            head: [0; HEADER + PEEK],
            have: 0,
            skip,
        }
    }

    /// Whether the direction stands between two frames.
    fn is_between(&self) -> bool {
        self.have == 0 && self.skip == 0
    }

    fn wanted(&self) -> usize {
        let [a, b, c, ..] = self.head;
        match u32::from_be_bytes([0, a, b, c]) as usize {
            _ if self.have < HEADER => HEADER,
            length => HEADER + length.min(PEEK),
        }
    }

    /// The next frame whose header and first bytes are there.
    fn next(&mut self, bytes: &mut &[u8]) -> Option<Frame> {
        loop {
            let skipped = usize::try_from(self.skip)
                .unwrap_or(usize::MAX)
                .min(bytes.len());
            *bytes = bytes.get(skipped..).unwrap_or_default();
            self.skip -= skipped as u64;
            if bytes.is_empty() {
                return None;
            }
            let wanted = self.wanted();
            let more = (wanted - self.have).min(bytes.len());
            let (part, rest) = bytes.split_at_checked(more)?;
            let into = self.head.get_mut(self.have..self.have + more)?;
            into.copy_from_slice(part);
            self.have += more;
            *bytes = rest;
            if self.have >= HEADER && self.have == self.wanted() {
                return Some(self.cut());
            }
        }
    }

    fn cut(&mut self) -> Frame {
        let [
            a,
            b,
            c,
            kind,
            flags,
            s1,
            s2,
            s3,
            s4,
            w1,
            w2,
            w3,
            w4,
            x1,
            x2,
            x3,
            x4,
            reason,
        ] = self.head;
        let length = u32::from_be_bytes([0, a, b, c]);
        self.skip = u64::from(length).saturating_sub((self.have - HEADER) as u64);
        self.have = 0;
        self.head = [0; HEADER + PEEK];
        Frame {
            kind,
            flags,
            length,
            stream: u32::from_be_bytes([s1, s2, s3, s4]) & 0x7fff_ffff,
            words: [
                u32::from_be_bytes([w1, w2, w3, w4]),
                u32::from_be_bytes([x1, x2, x3, x4]),
            ],
            reason,
        }
    }
}

/// An unfinished header block.
#[derive(Debug)]
struct Block {
    since: Instant,
    bytes: u64,
    continuations: u32,
}

/// What passing bytes mean.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Observed {
    /// Whether a request or an answer made progress.
    pub(super) progress: bool,
    /// What is wrong.
    pub(super) abuse: Option<Abuse>,
}

/// Both directions of one connection.
#[derive(Debug)]
pub(super) struct Http2Watch {
    received: Frames,
    sent: Frames,
    resets: Allowance,
    control: Allowance,
    block: Option<Block>,
    largest_block: u64,
    last_stream: u32,
    /// Streams whose answer has begun: a header block on them holds trailers. As many as may be open at once.
    answering: HashSet<u32>,
}

impl Http2Watch {
    /// Begins with the connection preface. `largest_block` bounds the bytes of a header block as they are sent.
    pub(super) fn new(largest_block: usize, now: Instant) -> Self {
        Self {
            received: Frames::new(PREFACE),
            sent: Frames::new(0),
            resets: Allowance::new(RESETS, RESETS_PER_SECOND, now),
            control: Allowance::new(CONTROL, CONTROL_PER_SECOND, now),
            block: None,
            largest_block: largest_block as u64,
            last_stream: 0,
            answering: HashSet::new(),
        }
    }

    /// When the header block that is not complete began.
    pub(super) fn block_since(&self) -> Option<Instant> {
        self.block.as_ref().map(|block| block.since)
    }

    /// Follows what the client sends; stops at the first abuse.
    pub(super) fn receive(&mut self, mut bytes: &[u8], now: Instant) -> Observed {
        let mut seen = Observed::default();
        while let Some(frame) = self.received.next(&mut bytes) {
            seen.abuse = match frame.kind {
                DATA if frame.length > 0 || frame.flags & END_STREAM != 0 => {
                    seen.progress = true;
                    self.control.give(1);
                    None
                }
                HEADERS => {
                    seen.progress = true;
                    self.last_stream = self.last_stream.max(frame.stream);
                    self.control.give(1);
                    self.block = Some(Block {
                        since: now,
                        bytes: 0,
                        continuations: 0,
                    });
                    self.on_block(frame)
                }
                CONTINUATION => {
                    if let Some(block) = &mut self.block {
                        block.continuations += 1;
                    }
                    self.on_block(frame)
                }
                RST_STREAM => {
                    self.answering.remove(&frame.stream);
                    (!self.resets.take(now)).then_some(Abuse::Resets)
                }
                _ => (!self.control.take(now)).then_some(Abuse::Control),
            };
            if seen.abuse.is_some() {
                break;
            }
        }
        seen
    }

    fn on_block(&mut self, frame: Frame) -> Option<Abuse> {
        let block = self.block.as_mut()?;
        block.bytes += u64::from(frame.length);
        let endless = block.bytes > self.largest_block || block.continuations > CONTINUATIONS;
        if frame.flags & END_HEADERS != 0 {
            self.block = None;
        }
        endless.then_some(Abuse::HeaderBlock)
    }

    /// Follows what is sent to the client: what h2 refuses by itself shows here and nowhere else.
    pub(super) fn send(&mut self, mut bytes: &[u8], now: Instant) -> Observed {
        let mut seen = Observed::default();
        while let Some(frame) = self.sent.next(&mut bytes) {
            match frame.kind {
                DATA => {
                    seen.progress = true;
                    // The client may give room for it, on the stream and on the connection.
                    self.control.give(2);
                    if frame.flags & END_STREAM != 0 {
                        self.answering.remove(&frame.stream);
                    }
                }
                HEADERS => {
                    seen.progress = true;
                    seen.abuse = self.on_answer(frame).or(seen.abuse);
                }
                RST_STREAM => {
                    let abuse = self.on_our_reset(frame, now);
                    // A single stream weighs less than what ends the connection.
                    seen.abuse = match seen.abuse {
                        None | Some(Abuse::Stream) => abuse.or(seen.abuse),
                        ends => ends,
                    };
                }
                GO_AWAY => {
                    let [_, code] = frame.words;
                    seen.abuse = match code {
                        NO_ERROR => None,
                        // `header_list_way_too_large`: more than h2 wants to decode.
                        CALM if frame.reason == b'h' => Some(Abuse::HeaderBomb),
                        // h2 counts resets as well, those of streams that nobody has taken up yet.
                        CALM => Some(Abuse::Resets),
                        _ => Some(Abuse::Connection),
                    };
                }
                _ => {}
            }
        }
        seen
    }

    /// h2 answers a head that is too large when decoded with a status and nothing else.
    fn on_answer(&mut self, frame: Frame) -> Option<Abuse> {
        if frame.flags & END_STREAM == 0 {
            self.answering.insert(frame.stream);
            return None;
        }
        let trailers = self.answering.remove(&frame.stream);
        (!trailers && frame.length <= BARE).then_some(Abuse::HeaderBomb)
    }

    fn on_our_reset(&mut self, frame: Frame, now: Instant) -> Option<Abuse> {
        self.answering.remove(&frame.stream);
        if !self.resets.take(now) {
            return Some(Abuse::Resets);
        }
        let [code, _] = frame.words;
        match code {
            NO_ERROR | INTERNAL_ERROR | REFUSED_STREAM | CANCEL => None,
            _ => Some(Abuse::Stream),
        }
    }

    /// The last words to a client that floods, when they fit between two frames.
    pub(super) fn farewell(&self) -> Option<[u8; 17]> {
        let [a, b, c, d] = self.last_stream.to_be_bytes();
        let calm = CALM as u8;
        self.sent
            .is_between()
            .then_some([0, 0, 8, GO_AWAY, 0, 0, 0, 0, 0, a, b, c, d, 0, 0, 0, calm])
    }
}

#[cfg(test)]
mod tests;
