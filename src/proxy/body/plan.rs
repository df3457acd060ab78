//! What happens to a request body before a byte of it is read: a table of content type, length and mode.
//!
//! Not here: doing it (`hold`, `passing`), and how a content type is told from its header (`kind`). Everything is
//! pure, so that the table can be tested line by line.

use super::kind::{Kind, Magic};
use crate::config::{Beyond, Mode};

/// Bytes of a binary body after which its first bytes have said what it is: the largest signatures lie within, and so
/// do the metadata that scripts hide in.
pub const HEAD: usize = 16 * 1024;

/// What is known of a body when its head is here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Announced {
    /// By its content type.
    pub kind: Kind,
    /// Whether it has a content coding, so that only a held body can be read.
    pub encoded: bool,
    /// As declared.
    pub length: Option<u64>,
    /// The mode of its route.
    pub mode: Mode,
    /// `inspect.body` for its type.
    pub limit: usize,
    /// `inspect.beyond` for its type, where it is set.
    pub beyond: Option<Beyond>,
}

/// What happens to a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Plan {
    /// It passes, and nobody looks.
    Unread,
    /// 413 at once.
    Reject,
    /// It passes as it comes, and is inspected as it passes.
    Pass,
    /// Its beginning, often all of it, is held and scored before anything goes on.
    Hold(Hold),
}

/// How a body is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hold {
    /// Bytes at most.
    pub limit: usize,
    /// What else ends it.
    pub until: Until,
    /// What a longer body meets.
    pub beyond: Beyond,
}

/// What ends the holding besides the end of the body and the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// Nothing.
    End,
    /// A pause of the sender, who may be waiting for an answer before it goes on.
    Pause,
    /// [`HEAD`] bytes that are what the content type says.
    Genuine,
}

/// How much of what passes unheld is scored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coverage {
    /// All of it up to `inspect.passing`, then samples.
    Windows,
    /// Samples from the beginning.
    Samples,
    /// Nothing but scripts: a file whose first bytes are what its type says. What stands in the middle of a picture or an archive is
    /// neither text nor code to whoever opens it, and looks like both often enough to block ordinary uploads.
    Scripts,
    /// Multipart: the head of every part, text in windows, files by their beginning and samples.
    Parts,
}

/// The table.
pub fn plan(body: Announced) -> Plan {
    if body.mode == Mode::Off {
        return Plan::Unread;
    }
    // Two parties may be talking here: the next word may never come before an answer to the last.
    if body.kind == Kind::Live {
        return Plan::Pass;
    }
    let beyond = beyond(body);
    let fits = body
        .length
        .is_some_and(|length| length <= body.limit as u64);
    if beyond == Beyond::Reject && body.length.is_some() && !fits {
        return Plan::Reject;
    }
    let until = match (body.kind, body.length) {
        // All of it is on its way and all of it is scored, whatever it claims to be.
        _ if fits => Until::End,
        (Kind::Binary, Some(_)) if !body.encoded => Until::Genuine,
        (Kind::Binary | Kind::Unknown, _) => Until::Pause,
        _ => Until::End,
    };
    Plan::Hold(Hold {
        limit: body.limit,
        until,
        beyond,
    })
}

/// `inspect.beyond`, or its default: what applications read as a whole is refused when it cannot be scored as a whole,
/// and so is what cannot be read in passing. Shadow mode lets everything pass.
fn beyond(body: Announced) -> Beyond {
    match (body.mode, body.beyond) {
        (Mode::Shadow | Mode::Off, _) => Beyond::InspectPrefix,
        (Mode::Enforce, Some(configured)) => configured,
        (Mode::Enforce, None) => match body.kind {
            Kind::Form | Kind::Json => Beyond::Reject,
            _ if body.encoded => Beyond::Reject,
            _ => Beyond::InspectPrefix,
        },
    }
}

/// How what passes is covered, when the first bytes are known.
pub fn coverage(kind: Kind, encoded: bool, magic: Magic) -> Coverage {
    match (kind, magic) {
        (Kind::Live, _) => Coverage::Windows,
        // Nothing to read in the middle of a compressed stream.
        _ if encoded => Coverage::Samples,
        (Kind::Multipart, _) => Coverage::Parts,
        (Kind::Binary | Kind::Unknown, Magic::AsDeclared) => Coverage::Scripts,
        _ => Coverage::Windows,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1000;
    const SHORT: Option<u64> = Some(1000);
    const LONG: Option<u64> = Some(1001);
    const OPEN: Option<u64> = None;

    fn of(kind: Kind, length: Option<u64>, mode: Mode, beyond: Option<Beyond>) -> Plan {
        plan(Announced {
            kind,
            encoded: false,
            length,
            mode,
            limit: LIMIT,
            beyond,
        })
    }

    fn hold(until: Until, beyond: Beyond) -> Plan {
        Plan::Hold(Hold {
            limit: LIMIT,
            until,
            beyond,
        })
    }

    #[test]
    fn what_fits_is_held_to_its_end_whatever_it_claims_to_be() {
        for kind in Kind::ALL.into_iter().filter(|kind| *kind != Kind::Live) {
            for mode in [Mode::Shadow, Mode::Enforce] {
                let Plan::Hold(hold) = of(kind, SHORT, mode, None) else {
                    unreachable!("{kind:?} {mode:?}")
                };
                assert_eq!(hold.until, Until::End, "{kind:?} {mode:?}");
            }
        }
    }

    #[test]
    fn long_and_open_bodies_by_type() {
        use Beyond::{InspectPrefix, Reject};
        use Mode::{Enforce, Shadow};
        for (kind, length, mode, expected) in [
            (Kind::Form, LONG, Enforce, Plan::Reject),
            (Kind::Form, OPEN, Enforce, hold(Until::End, Reject)),
            (Kind::Form, LONG, Shadow, hold(Until::End, InspectPrefix)),
            (Kind::Json, LONG, Enforce, Plan::Reject),
            (Kind::Json, OPEN, Enforce, hold(Until::End, Reject)),
            (Kind::Json, OPEN, Shadow, hold(Until::End, InspectPrefix)),
            (Kind::Text, LONG, Enforce, hold(Until::End, InspectPrefix)),
            (Kind::Text, OPEN, Enforce, hold(Until::End, InspectPrefix)),
            (
                Kind::Multipart,
                LONG,
                Enforce,
                hold(Until::End, InspectPrefix),
            ),
            (
                Kind::Multipart,
                OPEN,
                Enforce,
                hold(Until::End, InspectPrefix),
            ),
            (
                Kind::Binary,
                LONG,
                Enforce,
                hold(Until::Genuine, InspectPrefix),
            ),
            (
                Kind::Binary,
                OPEN,
                Enforce,
                hold(Until::Pause, InspectPrefix),
            ),
            (
                Kind::Unknown,
                LONG,
                Enforce,
                hold(Until::Pause, InspectPrefix),
            ),
            (
                Kind::Unknown,
                OPEN,
                Shadow,
                hold(Until::Pause, InspectPrefix),
            ),
            (Kind::Live, SHORT, Enforce, Plan::Pass),
            (Kind::Live, LONG, Enforce, Plan::Pass),
            (Kind::Live, OPEN, Shadow, Plan::Pass),
        ] {
            assert_eq!(
                of(kind, length, mode, None),
                expected,
                "{kind:?} {length:?} {mode:?}"
            );
        }
    }

    #[test]
    fn a_configured_answer_replaces_the_default_in_enforce_only() {
        assert_eq!(
            of(Kind::Json, LONG, Mode::Enforce, Some(Beyond::InspectPrefix)),
            hold(Until::End, Beyond::InspectPrefix)
        );
        for kind in [Kind::Binary, Kind::Text, Kind::Multipart, Kind::Unknown] {
            assert_eq!(
                of(kind, LONG, Mode::Enforce, Some(Beyond::Reject)),
                Plan::Reject
            );
            assert_ne!(
                of(kind, LONG, Mode::Shadow, Some(Beyond::Reject)),
                Plan::Reject
            );
        }
        assert_eq!(of(Kind::Json, LONG, Mode::Off, None), Plan::Unread);
        assert_eq!(of(Kind::Live, OPEN, Mode::Off, None), Plan::Unread);
    }

    #[test]
    fn what_is_compressed_is_refused_when_it_cannot_be_read_whole() {
        let encoded = |kind, mode| {
            plan(Announced {
                kind,
                encoded: true,
                length: LONG,
                mode,
                limit: LIMIT,
                beyond: None,
            })
        };
        assert_eq!(encoded(Kind::Text, Mode::Enforce), Plan::Reject);
        assert_eq!(encoded(Kind::Binary, Mode::Enforce), Plan::Reject);
        assert_eq!(
            encoded(Kind::Binary, Mode::Shadow),
            hold(Until::Pause, Beyond::InspectPrefix)
        );
        assert_eq!(encoded(Kind::Live, Mode::Enforce), Plan::Pass);
    }

    #[test]
    fn only_what_shows_itself_binary_is_sampled() {
        use Magic::{AsDeclared, Other};
        for (kind, encoded, magic, expected) in [
            (Kind::Binary, false, AsDeclared, Coverage::Scripts),
            (Kind::Binary, false, Other, Coverage::Windows),
            (Kind::Unknown, false, AsDeclared, Coverage::Scripts),
            (Kind::Unknown, false, Other, Coverage::Windows),
            (Kind::Text, false, AsDeclared, Coverage::Windows),
            (Kind::Json, false, Other, Coverage::Windows),
            (Kind::Multipart, false, Other, Coverage::Parts),
            (Kind::Multipart, true, Other, Coverage::Samples),
            (Kind::Text, true, Other, Coverage::Samples),
            (Kind::Live, true, Other, Coverage::Windows),
        ] {
            assert_eq!(
                coverage(kind, encoded, magic),
                expected,
                "{kind:?} {magic:?}"
            );
        }
    }
}
