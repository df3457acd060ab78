//! What is usual on a site: learned per host, endpoint and parameter, and looked up for every field.
//!
//! What must not be here: what a value looks like by itself (`row`), verdicts, clients, I/O.
//!
//! A [`ProfileBuilder`] learns from requests, a [`Profile`] made of it answers. Everything is remembered as keyed hashes
//! in bounded tables (`table`), so that a builder depends on the set of observed requests alone: two builders that
//! merge equal one that saw both captures. What only one source brought does not shape a profile (`table::QUOTA`).
//!
//! The one thing remembered as it is are the beginnings of skeletons, for explanations: `aaa@a.a` becomes `a@a.a`, which
//! holds no letter and no digit of any value. They are kept from the first source on, or two merged builders could not
//! equal one; only those that several sources brought are ever shown.
//!
//! Bounds: 1,024 hosts; per host and path length about 4,096 paths and per segment
//! 256 literal successors, beyond which segments become `*`; 1,024 parameters an
//! endpoint; a parameter's tables take about 1 KB when it is an enumeration and at most about 110 KB in memory.

mod bigrams;
mod builder;
mod codec;
mod columns;
mod crowd;
mod departures;
mod deployments;
mod endpoint;
mod hash;
mod host;
mod key_profile;
mod key_stats;
mod known;
mod request_parts;
mod site;
mod summary;
mod symbols;
mod table;
mod usual;

pub use builder::{ProfileBuilder, ProfileError};
pub use columns::{PROFILE_CONTEXT, PROFILE_FEATURES, PROFILE_TOTAL, PROFILE_WIDTH};
pub use departures::{Departures, with_total};
pub use deployments::NewEndpoints;
pub use endpoint::{Endpoint, Profile};
pub use summary::ProfileSummary;
pub use usual::{UsualLevel, UsualShape, UsualValue};

/// The secret of a profile's hashes. Who has it can test whether a value was seen; nobody can list the values.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ProfileKey(pub(crate) [u8; 16]);

impl ProfileKey {
    /// A key of sixteen random bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }
}

impl std::fmt::Debug for ProfileKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("ProfileKey(..)")
    }
}
