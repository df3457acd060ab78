//! The profile that goes into a bundle. Must not be here: learning it (`timeline`).

use anyhow::Context;
use weir_features::profile::{ProfileBuilder, ProfileSummary};
use weir_scoring::bundle::KnownSites;

/// What is known of the sites, as the bundle's file, and how much that is.
#[derive(Debug)]
pub(super) struct SiteProfile {
    pub(super) bytes: Vec<u8>,
    pub(super) holds: KnownSites,
}

impl SiteProfile {
    /// Written and read again before anything is trained: one that no engine would load must not cost a night.
    pub(super) fn of(learned: &ProfileBuilder) -> anyhow::Result<Self> {
        let bytes = learned.to_bytes();
        ProfileBuilder::from_bytes(&bytes).context("cannot put the profile into a bundle")?;
        let ProfileSummary {
            requests,
            sites,
            endpoints,
            parameters,
        } = learned.summary();
        let holds = KnownSites {
            requests,
            sites,
            endpoints,
            parameters,
            bytes: bytes.len() as u64,
        };
        Ok(Self { bytes, holds })
    }
}
