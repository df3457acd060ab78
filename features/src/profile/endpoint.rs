//! Looking up a request and its fields in a profile. Not here: what is usual for one parameter (`key_profile`).
#![expect(clippy::indexing_slicing, reason = "columns are constants")]

use std::hash::Hasher;

use super::ProfileKey;
use super::builder::ProfileBuilder;
use super::columns::{self as column, PROFILE_WIDTH};
use super::hash::{Domain, hash, hasher, name_hash};
use super::host::mixed;
use super::key_profile::KeyProfile;
use super::known::CLIP;
use super::request_parts::{
    self, Duplicates, Parameters, belongs_to_host, extension, field_hash, is_name, is_parameter,
    is_request_path, segment_hash, with_name,
};
use super::site::{EndpointProfile, HostProfile, MATURE};
use crate::field::{Field, Fields};
use crate::request::RequestView;

/// What is usual, immutable: share one among all workers. Look-ups allocate nothing.
#[derive(Clone)]
pub struct Profile {
    pub(super) key: ProfileKey,
    requests: u64,
    /// In ascending order of their hashes.
    hosts: Box<[(u64, HostProfile)]>,
}

impl std::fmt::Debug for Profile {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Profile")
            .field("requests", &self.requests)
            .field("hosts", &self.hosts.len())
            .finish_non_exhaustive()
    }
}

impl Profile {
    pub(crate) fn of(builder: &ProfileBuilder) -> Self {
        Self {
            key: builder.key,
            requests: builder.requests,
            hosts: builder
                .hosts
                .iter()
                .map(|(hash, stats)| (*hash, HostProfile::of(stats.clone())))
                .collect(),
        }
    }

    pub(crate) fn from_builder(builder: ProfileBuilder) -> Self {
        Self {
            key: builder.key,
            requests: builder.requests,
            hosts: builder
                .hosts
                .into_iter()
                .map(|(hash, stats)| (hash, HostProfile::of(stats)))
                .collect(),
        }
    }

    /// How many requests the profile was learned from.
    #[must_use]
    pub fn requests(&self) -> u64 {
        self.requests
    }

    /// What the profile knows about the endpoint of a request with these fields.
    #[must_use]
    pub fn endpoint<'p>(&'p self, request: &RequestView<'_>, fields: &Fields<'_>) -> Endpoint<'p> {
        let hasher = hasher(&self.key);
        let host_hash = request_parts::host_hash(hasher, request);
        let host_number = self
            .hosts
            .binary_search_by_key(&host_hash, |(hash, _)| *hash)
            .ok();
        let host = host_number
            .and_then(|at| self.hosts.get(at))
            .map(|(_, profile)| profile);
        let mut endpoint = Endpoint {
            profile: self,
            host,
            host_number,
            endpoint: None,
            endpoint_number: None,
            shape: [0.0; SHAPE],
            missing: 0,
            unknown: 0,
            path: [0; SHOWN_PATH],
            path_length: 0,
            any: 0,
            path_hash: 0,
        };
        if let Some(host) = host {
            endpoint.look_up(host, host_hash, request, fields);
        }
        endpoint
    }
}

/// The columns about the request's shape, which stand on the row of its path.
const SHAPE: usize = PROFILE_WIDTH - column::ENDPOINT_NEW;

/// What a profile knows about one request's endpoint.
#[derive(Clone, Copy)]
pub struct Endpoint<'p> {
    pub(super) profile: &'p Profile,
    pub(super) host: Option<&'p HostProfile>,
    host_number: Option<usize>,
    pub(super) endpoint: Option<&'p EndpointProfile>,
    endpoint_number: Option<u32>,
    shape: [f32; SHAPE],
    /// Parameters that were never missing before, and those that the endpoint does not know.
    pub(super) missing: u32,
    pub(super) unknown: u32,
    /// The beginning of the path, for explanations.
    path: [u8; SHOWN_PATH],
    path_length: usize,
    /// Which of its segments went to `*`, as bits.
    any: u16,
    /// Host and path, with identifiers as `*`.
    path_hash: u64,
}

/// Bytes of a path that a template shows.
const SHOWN_PATH: usize = 128;

impl std::fmt::Debug for Endpoint<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Endpoint")
            .field("host_known", &self.host.is_some())
            .field("endpoint_known", &self.endpoint.is_some())
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl<'p> Endpoint<'p> {
    /// True when the host is known at all.
    #[must_use]
    pub fn is_known(&self) -> bool {
        self.host.is_some()
    }

    fn look_up(
        &mut self,
        host: &'p HostProfile,
        host_hash: u64,
        request: &RequestView<'_>,
        fields: &Fields<'_>,
    ) {
        let hasher = hasher(&self.profile.key);
        let path = request_parts::path(fields);
        self.path_hash = host_hash;
        let segments = request_parts::segments(path).map(|segment| {
            let hash = segment_hash(hasher, segment);
            self.path_hash = mixed(self.path_hash, hash.unwrap_or_default());
            hash
        });
        let found = host.find(segments);
        self.endpoint = found.endpoint;
        self.endpoint_number = found.number;
        self.any = found.any;
        self.path_length = path.len().min(SHOWN_PATH);
        for (slot, byte) in self.path.iter_mut().zip(path) {
            *slot = *byte;
        }
        let shape = &mut self.shape;
        let mut write = |at: usize, number: f32| {
            shape[at - column::ENDPOINT_NEW] = number.clamp(0.0, CLIP);
        };
        write(
            column::EXTENSION_NEW,
            host.extensions
                .surprise(hash(hasher, Domain::Extension, extension(path))),
        );
        write(
            column::PATH_UNKNOWN,
            f32::from(found.segments - found.known),
        );
        let Some(endpoint) = found.endpoint else {
            write(column::ENDPOINT_NEW, host.endpoint_weight);
            return;
        };
        let method = hash(hasher, Domain::Method, request.method);
        write(column::METHOD_NEW, endpoint.methods.surprise(method));
        let names = Names::of(self.profile, endpoint, fields);
        write(column::NAMES_NEW, endpoint.name_sets.surprise(names.set));
        write(
            column::NAMES_UNKNOWN,
            (names.unknown as f32).ln_1p() * endpoint.name_weight,
        );
        write(
            column::NAMES_MISSING,
            (names.missing as f32).ln_1p() * endpoint.required_weight,
        );
        (self.missing, self.unknown) = (names.missing, names.unknown);
        let repeated = names.duplicates.saturating_sub(endpoint.most_duplicates);
        write(column::DUPLICATES, f32::from(repeated).ln_1p() * 4.0);
    }

    /// Writes the profile columns of `field`, named by [`super::PROFILE_FEATURES`].
    ///
    /// False, and nothing but zeros, when the host is not known. Allocates nothing.
    ///
    /// # Panics
    /// When `out` has another length than [`PROFILE_WIDTH`]: the caller owns the matrix and its shape.
    pub fn write(&self, field: &Field<'_>, out: &mut [f32]) -> bool {
        assert_eq!(
            out.len(),
            PROFILE_WIDTH,
            "a profile has PROFILE_WIDTH columns"
        );
        out.fill(0.0);
        let Some(host) = self.host else {
            return false;
        };
        out[column::SPOKE] = 1.0;
        if is_request_path(field) {
            out[column::ENDPOINT_NEW..].copy_from_slice(&self.shape);
        }
        let known = self.key(host, field);
        out[column::KEY_NEW] = known.new_here;
        out[column::KEY_NEW_SITE] = known.new_on_site;
        if let Some(profile) = known.profile {
            out[column::AT_ENDPOINT] = f32::from(u8::from(known.at_endpoint));
            profile.write(hasher(&self.profile.key), field, out);
        }
        true
    }

    /// Hashes what of this request, besides the field itself, decides the columns that [`Self::write`] writes for `field`:
    /// where it is the same in a profile of the same bytes, equal fields have equal columns.
    pub fn hash_place(&self, field: &Field<'_>, hasher: &mut impl Hasher) {
        let endpoint = self
            .endpoint_number
            .filter(|_| !belongs_to_host(field.location));
        // Numbers from 1: 0 is none.
        let host = self.host_number.map_or(0, |number| number as u64 + 1);
        let endpoint = endpoint.map_or(0, |number| u64::from(number) + 1);
        hasher.write_u64(host << 33 | endpoint);
        if is_request_path(field) {
            for column in &self.shape {
                hasher.write_u32(column.to_bits());
            }
        }
    }

    /// A keyed hash of host and path where the host is known and the endpoint is not.
    #[must_use]
    pub fn new_path(&self) -> Option<u64> {
        (self.host.is_some() && self.endpoint.is_none()).then_some(self.path_hash)
    }

    /// The same for an endpoint that is new to the profile because it was deployed since ([`super::NewEndpoints`]): the
    /// columns that say so are 0.
    #[must_use]
    pub fn deployed(mut self) -> Self {
        if self.endpoint.is_none() {
            self.shape = [0.0; SHAPE];
        }
        self
    }

    /// The path as the profile sees it: `/item/*`. At most its first 128 bytes.
    #[must_use]
    pub fn template(&self) -> String {
        let path = self.path.get(..self.path_length).unwrap_or_default();
        let mut template = String::new();
        for (at, segment) in request_parts::segments(path).enumerate() {
            template.push('/');
            if self.any >> at & 1 == 1 {
                template.push('*');
            } else {
                template.push_str(&String::from_utf8_lossy(segment));
            }
        }
        if template.is_empty() {
            template.push('/');
        }
        template
    }

    pub(super) fn key(&self, host: &'p HostProfile, field: &Field<'_>) -> KnownKey<'p> {
        let key = field_hash(hasher(&self.profile.key), field);
        let on_site = host.parameters.find(key);
        let mut known = KnownKey {
            profile: on_site,
            at_endpoint: false,
            new_here: 0.0,
            new_on_site: if on_site.is_none() {
                host.parameters.surprise(key)
            } else {
                0.0
            },
        };
        let Some(endpoint) = self.endpoint.filter(|_| !belongs_to_host(field.location)) else {
            return known;
        };
        match endpoint.parameters.find(key) {
            Some(here) if here.observations >= MATURE || on_site.is_none() => {
                known.profile = Some(here);
                known.at_endpoint = true;
            }
            Some(_) => {}
            None => known.new_here = endpoint.parameters.surprise(key),
        }
        known
    }
}

/// What is known of a field's parameter.
pub(super) struct KnownKey<'p> {
    pub(super) profile: Option<&'p KeyProfile>,
    pub(super) at_endpoint: bool,
    new_here: f32,
    new_on_site: f32,
}

/// What the names of a request's parameters say.
struct Names {
    set: u64,
    unknown: u32,
    missing: u32,
    duplicates: u16,
}

impl Names {
    fn of(profile: &Profile, endpoint: &EndpointProfile, fields: &Fields<'_>) -> Self {
        let hasher = hasher(&profile.key);
        let mut names = Self {
            set: 0,
            unknown: 0,
            missing: 0,
            duplicates: 0,
        };
        let mut duplicates = Duplicates::new();
        let mut parameters = Parameters::new(hasher);
        let mut present = 0u32;
        for field in fields.iter() {
            if is_name(&field) {
                let name = name_hash(hasher, field.value);
                names.set = with_name(names.set, name);
                names.unknown += u32::from(!endpoint.names.has(name));
            }
            if is_parameter(&field) {
                let key = parameters.hash(&field);
                duplicates.add(key);
                if let Ok(at) = endpoint.required.binary_search(&key) {
                    present |= 1 << at;
                }
            }
        }
        names.missing = (endpoint.required.len() as u32).saturating_sub(present.count_ones());
        names.duplicates = duplicates.count;
        names
    }
}
