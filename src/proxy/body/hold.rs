//! The beginning of a body, often all of it, held for inspection as its plan says.
//!
//! Not here: what to hold (`plan`) and how much memory there is (`budget`). Of a body beyond its limit only the
//! beginning is collected.

use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body, Frame};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::{Instant, timeout, timeout_at};

use super::BodyError;
use super::budget::{HeldBudget, Share};
use super::kind::Magic;
use super::plan::{HEAD, Hold, Until};
use crate::config::Beyond;
use crate::proxy::headers;
use crate::units::ClientIp;

/// A body of unknown length reserves this much at a time.
const STEP: usize = 16 * 1024;
/// A held body must be complete within this many times the longest pause, so that one byte at a time does not hold
/// memory for ever.
const PATIENCE: u32 = 10;
/// The pause after which a sender of an unknown type is taken to wait for an answer. Long enough for a body that is on
/// its way, with an interim 100 before it.
const LINGER: Duration = Duration::from_millis(100);

/// How a body is held.
#[derive(Debug, Clone, Copy)]
pub struct HoldPolicy<'a> {
    /// What was planned.
    pub hold: Hold,
    /// What it claims to be.
    pub content_type: &'a [u8],
    /// Longest time between two pieces while it is held.
    pub idle: Duration,
    /// Longest time between two pieces at all.
    pub gone: Duration,
    /// What a sender meets that is slower than `idle`.
    pub slow: Short,
    /// What a body meets that there is no room for.
    pub crowded: Short,
    /// Whose it is.
    pub client: ClientIp,
}

/// What a body meets that cannot be held as planned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Short {
    /// An answer of ours.
    Refuse,
    /// What is held already is inspected, and the rest as it passes.
    Cut,
}

/// Why holding ended before the body did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// Nothing was to be held.
    Unread,
    /// The limit.
    Limit,
    /// The first bytes are what the content type says.
    Genuine,
    /// The sender paused.
    Pause,
    /// The sender was too slow.
    Slow,
    /// There was no room.
    Crowded,
}

/// A request body as far as it is held, and where its rest comes from.
#[derive(Debug)]
pub struct Held {
    /// The whole body, or its beginning.
    pub bytes: Bytes,
    /// Why there is more; `None` when `bytes` is everything.
    pub cut: Option<Cut>,
    /// The piece that crossed the limit, and the stream behind it.
    pub(in crate::proxy) rest: Option<(Bytes, Incoming)>,
    /// What came behind a body that is held whole, as it may travel on: inspected like headers.
    pub(in crate::proxy) trailers: Option<HeaderMap>,
    /// The length that the client declared.
    pub(in crate::proxy) declared: Option<u64>,
}

impl Held {
    /// Whether there is more than `bytes`.
    pub fn truncated(&self) -> bool {
        self.rest.is_some()
    }

    /// Takes a body unread, to be streamed as it comes.
    pub fn unread(incoming: Incoming) -> Self {
        let declared = incoming.size_hint().exact();
        let rest = (!incoming.is_end_stream()).then(|| (Bytes::new(), incoming));
        Self {
            bytes: Bytes::new(),
            cut: rest.is_some().then_some(Cut::Unread),
            rest,
            trailers: None,
            declared,
        }
    }

    /// Reads a body as far as `policy` says.
    ///
    /// # Errors
    /// When it breaks off, is too long, too slow, or finds no room, and the policy refuses that.
    pub async fn read(
        incoming: Incoming,
        policy: &HoldPolicy<'_>,
        budget: &HeldBudget,
    ) -> Result<Self, BodyError> {
        if incoming.is_end_stream() {
            return Ok(Self::unread(incoming));
        }
        let declared = incoming.size_hint().exact();
        let limit = policy.hold.limit;
        let expected = declared
            .filter(|_| policy.hold.until == Until::End)
            .map(|length| limit.min(usize::try_from(length).unwrap_or(usize::MAX)));
        let reader = Reader {
            incoming,
            declared,
            policy,
            budget,
            held: Collected::new(expected, limit),
            share: Share::default(),
            trailers: None,
            reserved: 0,
            stop: match policy.hold.until {
                Until::Genuine => HEAD.min(limit),
                Until::End | Until::Pause => limit,
            },
            deadline: Instant::now() + policy.idle.saturating_mul(PATIENCE),
        };
        reader.read(expected).await
    }
}

/// A body while it is held.
struct Reader<'a> {
    incoming: Incoming,
    declared: Option<u64>,
    policy: &'a HoldPolicy<'a>,
    budget: &'a HeldBudget,
    held: Collected,
    share: Share,
    trailers: Option<HeaderMap>,
    reserved: usize,
    /// Where to stop and look.
    stop: usize,
    deadline: Instant,
}

/// What comes next.
enum Next {
    Piece(Bytes),
    End,
    Cut(Cut),
}

impl Reader<'_> {
    async fn read(mut self, expected: Option<usize>) -> Result<Held, BodyError> {
        let first = match self.next().await? {
            Next::Piece(first) => first,
            Next::End => return Ok(self.whole()),
            Next::Cut(cut) => return Ok(self.cut(cut, Bytes::new())),
        };
        if first.len() <= STEP.min(self.policy.hold.limit) && self.incoming.is_end_stream() {
            // Short bodies come with their head and are in memory already: they must not wait behind long ones whose
            // senders take their time.
            self.held.push(first);
            return Ok(self.whole());
        }
        // A declared length is reserved at once: bodies that all wait for their second half would wait for ever.
        if let Some(expected) = expected
            && !self.reserve(expected).await?
        {
            return Ok(self.cut(Cut::Crowded, first));
        }
        self.collect(first).await
    }

    async fn collect(mut self, first: Bytes) -> Result<Held, BodyError> {
        let limit = self.policy.hold.limit;
        let mut pending = Some(first);
        loop {
            let next = match pending.take() {
                Some(piece) => Next::Piece(piece),
                None => self.next().await?,
            };
            let mut piece = match next {
                Next::Piece(piece) => piece,
                Next::End => return Ok(self.whole()),
                Next::Cut(cut) => return Ok(self.cut(cut, Bytes::new())),
            };
            let room = self.stop - self.held.len();
            let too_long = piece.len() > room && self.stop == limit;
            if too_long && self.policy.hold.beyond == Beyond::Reject {
                return Err(BodyError::TooLarge);
            }
            let length = self.held.len() + piece.len().min(room);
            if length > self.reserved
                && !self
                    .reserve(
                        (length - self.reserved)
                            .max(STEP)
                            .min(limit - self.reserved),
                    )
                    .await?
            {
                return Ok(self.cut(Cut::Crowded, piece));
            }
            let rest = (piece.len() > room).then(|| piece.split_off(room));
            self.held.push(piece);
            let Some(rest) = rest else { continue };
            if self.stop == limit {
                return Ok(self.cut(Cut::Limit, rest));
            }
            if Magic::of(self.policy.content_type, self.held.as_slice()) == Magic::AsDeclared {
                return Ok(self.cut(Cut::Genuine, rest));
            }
            self.stop = limit;
            pending = Some(rest);
        }
    }

    /// Room for `more` bytes; false when there is none and the policy is to go on without.
    async fn reserve(&mut self, more: usize) -> Result<bool, BodyError> {
        let grown = self
            .budget
            .grow(&mut self.share, self.policy.client, more)
            .await;
        match grown {
            Ok(()) => {
                self.reserved += more;
                Ok(true)
            }
            Err(_) if self.policy.crowded == Short::Cut => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// The next data; trailers are kept for the end.
    async fn next(&mut self) -> Result<Next, BodyError> {
        let policy = self.policy;
        let wait = match policy.hold.until {
            Until::Pause => LINGER.min(policy.idle),
            Until::End | Until::Genuine => policy.idle,
        };
        loop {
            let frame = timeout(wait.min(policy.gone), self.incoming.frame());
            let frame = match timeout_at(self.deadline, frame).await {
                Ok(Ok(frame)) => frame,
                Ok(Err(_)) if policy.hold.until == Until::Pause => {
                    return Ok(Next::Cut(Cut::Pause));
                }
                // Within the time that any body has, the fail mode decides; after it, the sender is gone.
                Err(_) | Ok(Err(_)) if wait < policy.gone && policy.slow == Short::Cut => {
                    return Ok(Next::Cut(Cut::Slow));
                }
                Err(_) | Ok(Err(_)) => return Err(BodyError::Timeout),
            };
            match frame {
                None => return Ok(Next::End),
                Some(Err(_)) => return Err(BodyError::Broken),
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) if !data.is_empty() => return Ok(Next::Piece(data)),
                    Ok(_empty) => {}
                    Err(last) => self.keep(last),
                },
            }
        }
    }

    fn keep(&mut self, last: Frame<Bytes>) {
        if let Ok(mut trailers) = last.into_trailers() {
            headers::sanitize_trailers(&mut trailers);
            self.trailers = Some(trailers).filter(|trailers| !trailers.is_empty());
        }
    }

    fn whole(self) -> Held {
        Held {
            bytes: self.share.attach(self.held.finish()),
            cut: None,
            rest: None,
            trailers: self.trailers,
            declared: self.declared,
        }
    }

    fn cut(self, cut: Cut, rest: Bytes) -> Held {
        Held {
            bytes: self.share.attach(self.held.finish()),
            cut: Some(cut),
            rest: Some((rest, self.incoming)),
            trailers: None,
            declared: self.declared,
        }
    }
}

/// Collects pieces; one piece alone is kept without a copy.
struct Collected {
    single: Bytes,
    many: Vec<u8>,
    /// No more than this will come.
    most: usize,
    /// Whether exactly `most` will come, as declared.
    declared: bool,
}

impl Collected {
    fn new(expected: Option<usize>, limit: usize) -> Self {
        Self {
            single: Bytes::new(),
            many: Vec::new(),
            most: expected.unwrap_or(limit),
            declared: expected.is_some(),
        }
    }

    fn len(&self) -> usize {
        self.single.len() + self.many.len()
    }

    fn as_slice(&self) -> &[u8] {
        if self.many.is_empty() {
            &self.single
        } else {
            &self.many
        }
    }

    fn push(&mut self, piece: Bytes) {
        if self.len() == 0 {
            self.single = piece;
            return;
        }
        let length = self.len() + piece.len();
        if length > self.many.capacity() {
            // Never beyond what can come, because the budget counts bytes and not capacity. A declared length has its
            // share already and pages that nothing is written to cost nothing; blocks of many sizes, grown and
            // freed, would cost the allocator half as much again.
            let doubled = if self.declared {
                self.most
            } else {
                (2 * length).min(self.most)
            };
            let capacity = length.max(doubled);
            self.many.reserve_exact(capacity - self.many.len());
        }
        if self.many.is_empty() {
            self.many
                .extend_from_slice(&std::mem::take(&mut self.single));
        }
        self.many.extend_from_slice(&piece);
    }

    fn finish(self) -> Bytes {
        if self.many.is_empty() {
            self.single
        } else {
            self.many.into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_collected_without_more_room_than_can_be_needed() {
        let mut held = Collected::new(None, 100_000);
        for _ in 0..6 {
            held.push(Bytes::from(vec![7; 16_383]));
        }
        assert!(held.many.capacity() <= 100_000);
        assert_eq!(held.finish(), vec![7; 6 * 16_383]);
        let mut held = Collected::new(None, 10);
        let piece = Bytes::from_static(b"alone");
        held.push(piece.clone());
        assert_eq!(held.finish().as_ptr(), piece.as_ptr());
    }
}
