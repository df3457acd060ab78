//! Learning a profile from requests. Not here: look-ups, bytes on disk.

use std::collections::{BTreeMap, HashSet};

use super::ProfileKey;
use super::endpoint::Profile;
use super::hash::{Domain, hash, hasher, name_hash};
use super::host::{HostStats, MAX_DUPLICATES, MAX_NAMES, SeenRequest};
use super::key_stats::Seen;
use super::request_parts::{
    self, Duplicates, belongs_to_host, extension, field_hash, host_hash, is_name, is_parameter,
    segment_hash, with_name,
};
use crate::field::Fields;
use crate::request::RequestView;

/// Hosts of a profile: those with the smallest hashes are kept.
pub(crate) const MAX_HOSTS: usize = 1024;

/// Why a profile cannot be read or merged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProfileError {
    /// The builders hash with different keys.
    #[error("the profiles have different keys: learn both with the key of the first")]
    OtherKey,
    /// The file is something else.
    #[error("this is no profile: learn one with `weir-train fit`")]
    NoProfile,
    /// Written by another version of the program.
    #[error("the profile has version {found}, this program reads version 2: learn it anew")]
    Version {
        /// The version found.
        found: u8,
    },
    /// Truncated or changed on its way.
    #[error("the profile is damaged: copy it again or learn it anew")]
    Damaged,
    /// More than a process should hold in memory.
    #[error(
        "the profile is larger than 64 MiB or has more than 250,000 segments of paths and parameters: learn it from fewer \
         hosts"
    )]
    TooLarge,
}

/// Learns what is usual from requests, in any order.
#[derive(Clone, PartialEq, Eq)]
pub struct ProfileBuilder {
    pub(crate) key: ProfileKey,
    pub(crate) requests: u64,
    pub(crate) hosts: BTreeMap<u64, HostStats>,
}

impl std::fmt::Debug for ProfileBuilder {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("ProfileBuilder")
            .field("requests", &self.requests)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl ProfileBuilder {
    /// Knows nothing yet; hashes with `key`.
    #[must_use]
    pub fn new(key: ProfileKey) -> Self {
        Self {
            key,
            requests: 0,
            hosts: BTreeMap::new(),
        }
    }

    /// Learns from one request and the fields extracted from it.
    ///
    /// `source` says who sent it: a hash of the client, or of the request where the data names no client. What only
    /// one source brings does not shape the profile.
    pub fn observe(&mut self, request: &RequestView<'_>, fields: &Fields<'_>, source: u64) {
        let seen = self.describe(request, fields, source);
        self.requests = self.requests.saturating_add(1);
        self.hosts.entry(seen.host).or_default().observe(&seen);
        self.trim();
    }

    fn describe(&self, request: &RequestView<'_>, fields: &Fields<'_>, source: u64) -> SeenRequest {
        let hasher = hasher(&self.key);
        let path = request_parts::path(fields);
        let mut seen = SeenRequest {
            host: host_hash(hasher, request),
            method: hash(hasher, Domain::Method, request.method),
            segments: request_parts::segments(path)
                .map(|segment| segment_hash(hasher, segment))
                .collect(),
            extension: hash(hasher, Domain::Extension, extension(path)),
            source: (source ^ source >> 32) as u32,
            ..SeenRequest::default()
        };
        let mut keys = HashSet::new();
        let mut duplicates = Duplicates::new();
        for field in fields.iter() {
            if is_name(&field) {
                let name = name_hash(hasher, field.value);
                seen.names.push(name);
                seen.name_set = with_name(seen.name_set, name);
            }
            let key = field_hash(hasher, &field);
            if is_parameter(&field) {
                duplicates.add(key);
            }
            let value = (key, Seen::of(hasher, &field), keys.insert(key));
            if belongs_to_host(field.location) {
                seen.host_values.push(value);
            } else {
                seen.endpoint_values.push(value);
            }
        }
        seen.names.sort_unstable();
        seen.names.dedup();
        seen.names.truncate(MAX_NAMES);
        seen.duplicates = duplicates.count.min(MAX_DUPLICATES);
        seen
    }

    fn trim(&mut self) {
        while self.hosts.len() > MAX_HOSTS {
            self.hosts.pop_last();
        }
    }

    /// How many requests were observed.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// The key of the hashes.
    #[must_use]
    pub fn key(&self) -> ProfileKey {
        self.key
    }

    /// Adds what another builder learned: the same as having observed its requests here.
    ///
    /// # Errors
    /// When the other builder has another key.
    pub fn merge(&mut self, other: &Self) -> Result<(), ProfileError> {
        if self.key != other.key {
            return Err(ProfileError::OtherKey);
        }
        self.requests = self.requests.saturating_add(other.requests);
        for (host, stats) in &other.hosts {
            self.hosts.entry(*host).or_default().merge(stats);
        }
        self.trim();
        Ok(())
    }

    /// The profile as it stands, for look-ups.
    #[must_use]
    pub fn freeze(&self) -> Profile {
        Profile::of(self)
    }

    /// The same when nothing more will be learned: host by host, so that both are never in memory as a whole.
    #[must_use]
    pub fn into_profile(self) -> Profile {
        Profile::from_builder(self)
    }
}
