//! Cuts what passes into windows for the detector: all of it, samples of it, scripts in it, or multipart by its parts.
//!
//! Not here: scoring them (`passing`). A sieve holds one window and a little to look back at, whatever passes.

use weir_features::{SCRIPT_OPENING, script_at};

use super::parts::{Parts, boundary};
use super::plan::Coverage;

/// Bytes of one window, about half a millisecond of scoring.
pub const WINDOW: usize = 16 * 1024;
/// Bytes that a window repeats of the one before, so that no payload of up to this length is cut in two.
pub const OVERLAP: usize = 256;
/// Bytes between two samples at least ...
const GAP: u64 = 64 * 1024;
/// ... and this part of all that has passed: a body of 1 GiB has some 80 samples, wherever they fall.
const GAP_PART: u64 = 8;
/// Bytes before the end of what was left out that are scored after all: what is appended to a picture stands there.
const TAIL: usize = 4 * 1024;

/// Text for the detector.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// As it would stand in a body.
    pub text: Vec<u8>,
    /// How many bytes of what passed it holds for the first time.
    pub fresh: usize,
}

/// How a body is cut.
#[derive(Debug)]
pub enum Sieve {
    /// Text or data of one kind.
    Plain(Plain),
    /// Multipart.
    Parts(Box<Parts>),
}

impl Sieve {
    /// A sieve for what follows `before`, the bytes that have been scored already. `all` bytes are covered before
    /// samples begin; `seed` is where those fall.
    pub fn new(
        coverage: Coverage,
        content_type: &[u8],
        before: &[u8],
        all: u64,
        seed: u64,
    ) -> Self {
        match (coverage, boundary(content_type)) {
            (Coverage::Parts, Some(boundary)) => {
                Self::Parts(Box::new(Parts::after(&boundary, before, all, seed)))
            }
            // Without one boundary that every parser agrees on there are no parts to speak of.
            (Coverage::Windows | Coverage::Parts, _) => {
                Self::Plain(Plain::after(before, Sampler::new(all, seed)))
            }
            (Coverage::Samples, _) => Self::Plain(Plain::after(before, Sampler::new(0, seed))),
            (Coverage::Scripts, _) => Self::Plain(Plain {
                opaque: true,
                ..Plain::after(b"", Sampler::new(0, seed))
            }),
        }
    }

    /// Takes from `data` until a window is full; all of it when there is none.
    pub fn take(&mut self, data: &mut &[u8]) -> Option<Window> {
        match self {
            Self::Plain(plain) => plain.take(data),
            Self::Parts(parts) => parts.take(data),
        }
    }

    /// What there is of a window: more may be long in coming.
    pub fn flush(&mut self) -> Option<Window> {
        match self {
            Self::Plain(plain) => plain.cut(),
            Self::Parts(parts) => parts.flush(),
        }
    }

    /// What is left at the end of the body; to be called until there is none.
    pub fn finish(&mut self) -> Option<Window> {
        match self {
            Self::Plain(plain) => plain.finish(),
            Self::Parts(parts) => parts.finish(),
        }
    }

    /// Bytes that no window held.
    pub fn skipped(&self) -> u64 {
        match self {
            Self::Plain(plain) => plain.skipped,
            Self::Parts(parts) => parts.skipped(),
        }
    }
}

/// What to do with the next bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Run {
    Take(u64),
    Skip(u64),
}

/// Says which bytes are covered.
#[derive(Debug)]
pub(super) struct Sampler {
    /// Bytes that are covered without a gap.
    pub(super) all: u64,
    passed: u64,
    gap: u64,
    sample: u64,
    state: u64,
}

impl Sampler {
    pub(super) fn new(all: u64, seed: u64) -> Self {
        Self {
            all,
            passed: 0,
            gap: 0,
            sample: 0,
            state: seed | 1,
        }
    }

    /// What happens to the next bytes; never zero of them.
    pub(super) fn run(&mut self) -> Run {
        if self.all > 0 {
            return Run::Take(self.all);
        }
        if self.gap == 0 && self.sample == 0 {
            let gap = GAP.max(self.passed / GAP_PART);
            // Where samples fall must not be known to who sends: between half and one and a half of the gap.
            self.gap = gap / 2 + self.random() % gap;
            self.sample = WINDOW as u64;
        }
        if self.gap > 0 {
            Run::Skip(self.gap)
        } else {
            Run::Take(self.sample)
        }
    }

    /// Notes that `bytes` of the run have passed.
    pub(super) fn advance(&mut self, bytes: usize) {
        let bytes = bytes as u64;
        self.passed += bytes;
        let run = match (self.all, self.gap) {
            (1.., _) => &mut self.all,
            (_, 1..) => &mut self.gap,
            _ => &mut self.sample,
        };
        *run = run.saturating_sub(bytes);
    }

    /// SplitMix64 (Steele, Lea and Flood 2014).
    fn random(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// The last bytes of what was left out.
#[derive(Debug, Default)]
pub(super) struct Tail(Vec<u8>);

impl Tail {
    pub(super) fn push(&mut self, data: &[u8]) {
        let data = last(data, TAIL);
        let keep = TAIL - data.len();
        let drop = self.0.len().saturating_sub(keep);
        self.0.drain(..drop);
        self.0.extend_from_slice(data);
    }

    pub(super) fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.0)
    }
}

/// The last `length` bytes, or all.
pub(super) fn last(data: &[u8], length: usize) -> &[u8] {
    data.get(data.len().saturating_sub(length)..)
        .unwrap_or(data)
}

/// Cuts text or data of one kind.
#[derive(Debug)]
pub struct Plain {
    /// Data of a known type, of which no window is made.
    opaque: bool,
    sampler: Sampler,
    window: Vec<u8>,
    fresh: usize,
    tail: Tail,
    skipped: u64,
}

impl Plain {
    fn after(before: &[u8], sampler: Sampler) -> Self {
        Self {
            opaque: false,
            sampler,
            window: last(before, OVERLAP).to_vec(),
            fresh: 0,
            tail: Tail::default(),
            skipped: 0,
        }
    }

    fn take(&mut self, data: &mut &[u8]) -> Option<Window> {
        if self.opaque {
            return self.script(data);
        }
        while !data.is_empty() {
            match self.sampler.run() {
                Run::Take(run) => {
                    let tail = self.tail.take();
                    if !tail.is_empty() {
                        self.window.extend_from_slice(last(&tail, OVERLAP));
                    }
                    let room = WINDOW.saturating_sub(self.window.len()).max(1);
                    let taken = split(data, run, room);
                    self.window.extend_from_slice(taken);
                    self.fresh += taken.len();
                    self.sampler.advance(taken.len());
                    if self.window.len() >= WINDOW {
                        return self.cut();
                    }
                }
                Run::Skip(run) => {
                    if let Some(window) = self.cut() {
                        return Some(window);
                    }
                    self.window.clear();
                    let left_out = split(data, run, usize::MAX);
                    self.tail.push(left_out);
                    self.skipped += left_out.len() as u64;
                    self.sampler.advance(left_out.len());
                }
            }
        }
        None
    }

    /// Looks for nothing but the beginning of a script, also where two pieces meet.
    fn script(&mut self, data: &mut &[u8]) -> Option<Window> {
        let piece = std::mem::take(data);
        let mut seam = std::mem::take(&mut self.window);
        let before = seam.len();
        seam.extend_from_slice(piece.get(..SCRIPT_OPENING).unwrap_or(piece));
        let at = script_at(&seam)
            .filter(|at| *at < before)
            .map(|at| (seam.get(at..before).unwrap_or_default(), 0))
            .or_else(|| script_at(piece).map(|at| (&[][..], at)));
        let Some((begun, at)) = at else {
            self.window = last(piece, SCRIPT_OPENING).to_vec();
            self.skipped += piece.len() as u64;
            return None;
        };
        let found = piece.get(at..).unwrap_or_default();
        let (found, rest) = found.split_at(found.len().min(WINDOW));
        *data = rest;
        self.skipped += at as u64;
        Some(Window {
            text: [begun, found].concat(),
            fresh: found.len(),
        })
    }

    fn cut(&mut self) -> Option<Window> {
        if self.fresh == 0 {
            return None;
        }
        let next = last(&self.window, OVERLAP).to_vec();
        Some(Window {
            text: std::mem::replace(&mut self.window, next),
            fresh: std::mem::take(&mut self.fresh),
        })
    }

    fn finish(&mut self) -> Option<Window> {
        self.cut().or_else(|| {
            let text = self.tail.take();
            let fresh = text.len();
            self.skipped = self.skipped.saturating_sub(fresh as u64);
            (fresh > 0).then_some(Window { text, fresh })
        })
    }
}

/// Takes the first bytes off `data`: no more than a run and the room allow.
pub(super) fn split<'d>(data: &mut &'d [u8], run: u64, room: usize) -> &'d [u8] {
    let length = usize::try_from(run)
        .unwrap_or(usize::MAX)
        .min(room)
        .min(data.len());
    let (taken, rest) = data.split_at(length);
    *data = rest;
    taken
}

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]

    use super::*;

    fn all(sieve: &mut Sieve, body: &[u8], piece: usize) -> Vec<Window> {
        let mut windows = Vec::new();
        for mut data in body.chunks(piece) {
            while let Some(window) = sieve.take(&mut data) {
                windows.push(window);
            }
            assert!(data.is_empty());
        }
        while let Some(window) = sieve.finish() {
            windows.push(window);
        }
        windows
    }

    fn numbers(length: usize) -> Vec<u8> {
        (0..length / 8)
            .flat_map(|number| format!("{number:07} ").into_bytes())
            .collect()
    }

    #[test]
    fn windows_hold_every_byte_and_what_a_cut_would_hide() {
        let body = numbers(100_000);
        let mut whole = Sieve::new(Coverage::Windows, b"text/plain", b"", 1 << 20, 7);
        let windows = all(&mut whole, &body, body.len());
        assert_eq!(whole.skipped(), 0);
        let fresh: usize = windows.iter().map(|window| window.fresh).sum();
        assert_eq!(fresh, body.len());
        assert!(windows.iter().all(|window| window.text.len() <= WINDOW));
        for at in (0..body.len() - OVERLAP).step_by(97) {
            let payload = &body[at..at + OVERLAP];
            assert!(
                windows
                    .iter()
                    .any(|window| memchr::memmem::find(&window.text, payload).is_some()),
                "at {at}"
            );
        }
        let mut pieces = Sieve::new(Coverage::Windows, b"text/plain", b"", 1 << 20, 7);
        assert_eq!(all(&mut pieces, &body, 13), windows);
    }

    #[test]
    fn what_was_held_before_is_looked_back_at() {
        let mut sieve = Sieve::new(Coverage::Windows, b"", b"' UNION SEL", 100, 7);
        let windows = all(&mut sieve, b"ECT password", 100);
        assert_eq!(windows[0].text, b"' UNION SELECT password");
        assert_eq!(windows[0].fresh, 12);
    }

    #[test]
    fn samples_are_few_and_the_end_is_never_left_out() {
        let body = vec![7; 64 << 20];
        let mut sieve = Sieve::new(Coverage::Samples, b"image/png", b"", 1 << 20, 3);
        let windows = all(&mut sieve, &body, 300_000);
        assert!((20..120).contains(&windows.len()), "{}", windows.len());
        let fresh: u64 = windows.iter().map(|window| window.fresh as u64).sum();
        assert_eq!(fresh + sieve.skipped(), body.len() as u64);
        let mut sieve = Sieve::new(Coverage::Samples, b"image/png", b"", 0, 3);
        let mut body = vec![7; 1 << 20];
        body.extend_from_slice(b"<?php system($_GET[0]);");
        let windows = all(&mut sieve, &body, 1000);
        assert!(
            windows
                .last()
                .is_some_and(|last| last.text.ends_with(b"[0]);"))
        );
        let other = all(
            &mut Sieve::new(Coverage::Samples, b"image/png", b"", 0, 4),
            &numbers(1 << 20),
            1000,
        );
        let one = all(
            &mut Sieve::new(Coverage::Samples, b"image/png", b"", 0, 3),
            &numbers(1 << 20),
            1000,
        );
        assert_ne!(one, other, "samples fall elsewhere for every body");
    }

    #[test]
    fn of_a_file_nothing_but_scripts_is_shown() {
        let mut body = vec![0xee; 100_000];
        body.extend_from_slice(b"<?php system($_GET[0]); ?>");
        for piece in [7, 1_000, 200_000] {
            let mut sieve = Sieve::new(Coverage::Scripts, b"image/png", b"", 0, 3);
            let windows = all(&mut sieve, &body, piece);
            let shown: Vec<u8> = windows.into_iter().flat_map(|window| window.text).collect();
            assert!(shown.starts_with(b"<?php"), "{piece}");
            assert!(sieve.skipped() >= 100_000);
        }
    }

    #[test]
    fn text_is_covered_whole_up_to_its_bound_and_sampled_behind() {
        let body = numbers(1 << 20);
        let mut sieve = Sieve::new(Coverage::Windows, b"text/plain", b"", 200_000, 5);
        let windows = all(&mut sieve, &body, 4096);
        let covered: usize = windows.iter().map(|window| window.fresh).sum();
        assert!(covered > 200_000 && covered < 600_000, "{covered}");
        assert_eq!(covered as u64 + sieve.skipped(), body.len() as u64);
    }

    #[test]
    fn a_flush_gives_what_is_there_and_goes_on() {
        let mut sieve = Sieve::new(Coverage::Windows, b"", b"", 1000, 5);
        assert_eq!(sieve.flush(), None);
        let mut data: &[u8] = b"one";
        assert_eq!(sieve.take(&mut data), None);
        assert_eq!(
            sieve.flush().map(|window| window.text),
            Some(b"one".to_vec())
        );
        assert_eq!(sieve.flush(), None);
        data = b" two";
        assert_eq!(sieve.take(&mut data), None);
        let last = sieve.finish();
        assert_eq!(
            last,
            Some(Window {
                text: b"one two".to_vec(),
                fresh: 4
            })
        );
        assert_eq!(sieve.finish(), None);
    }
}
