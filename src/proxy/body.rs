//! Request bodies: what is planned for them, how they are held, and how they are inspected as they pass.
//!
//! Not here: judging what was read (`detect`), and the way of a body to the upstream (`outgoing`).

pub mod budget;
pub mod hold;
pub mod kind;
pub mod parts;
pub mod passing;
pub mod plan;
pub mod sieve;

/// Why a request body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[repr(u8)]
pub enum BodyError {
    /// The client stopped sending.
    #[error("the request body did not arrive in time")]
    Timeout = 1,
    /// The client went away or broke the framing.
    #[error("the request body broke off or is malformed")]
    Broken = 2,
    /// The policy is `reject` and the body is longer than `inspect.body`.
    #[error("the request body is longer than this server inspects")]
    TooLarge = 3,
    /// No memory for held bodies became free in time.
    #[error("too many request bodies are waiting for inspection")]
    Busy = 4,
    /// The detector blocks what passed.
    #[error("the request body was blocked as it passed")]
    Blocked = 5,
    /// What passed could not be inspected and the route fails closed.
    #[error("the request body could not be inspected as it passed")]
    NotInspected = 6,
}

impl BodyError {
    /// The error with that number.
    pub const fn numbered(number: u8) -> Option<Self> {
        Some(match number {
            1 => Self::Timeout,
            2 => Self::Broken,
            3 => Self::TooLarge,
            4 => Self::Busy,
            5 => Self::Blocked,
            6 => Self::NotInspected,
            _ => return None,
        })
    }
}
