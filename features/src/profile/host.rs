//! What a host's endpoints and parameters looked like: a trie of path segments. Not here: look-ups (`frozen`).
//!
//! A node whose children become too many is folded: all of them become one, `*`. Which nodes are folded depends on
//! the set of paths alone, because folding only ever brings more children together.

use std::collections::BTreeMap;

use super::crowd::Crowd;
use super::key_stats::{KeyStats, Seen};
use super::table::{Sources, Table};

/// Literal children of a path segment; one more and they become `*`.
pub(crate) const MAX_CHILDREN: usize = 256;
/// Segments of a path; deeper ones are ignored.
pub(crate) const MAX_DEPTH: usize = 12;
/// About how many distinct paths of one length a host may have; with more, the last segment of all of them becomes
/// `*`. Together with [`MAX_CHILDREN`] this bounds the nodes of a host.
pub(crate) const MAX_PATHS: u64 = 4096;
/// Parameters of an endpoint, and parameters of a host that belong to no endpoint.
pub(crate) const MAX_KEYS: usize = 1024;
/// Distinct names, sets of names, methods, file extensions.
pub(crate) const MAX_NAMES: usize = 512;

/// One request, described.
#[derive(Debug, Default)]
pub(crate) struct SeenRequest {
    pub(crate) host: u64,
    pub(crate) method: u64,
    /// The path's segments: `None` where a rule says that it is an identifier.
    pub(crate) segments: Vec<Option<u64>>,
    pub(crate) extension: u64,
    /// Distinct names of parameters.
    pub(crate) names: Vec<u64>,
    /// The order-independent hash of all names.
    pub(crate) name_set: u64,
    /// Values beyond the first of the same parameter.
    pub(crate) duplicates: u16,
    /// Values that belong to the endpoint, and values that belong to the host: parameter, value, first of its kind.
    pub(crate) endpoint_values: Vec<(u64, Seen, bool)>,
    pub(crate) host_values: Vec<(u64, Seen, bool)>,
    pub(crate) source: u32,
}

/// Parameters by their hash; the smallest hashes are kept.
pub(crate) type Keys = BTreeMap<u64, KeyStats>;

fn observe_keys(keys: &mut Keys, values: &[(u64, Seen, bool)], source: u32) {
    for (key, seen, first) in values {
        keys.entry(*key).or_default().observe(seen, source, *first);
        trim(keys);
    }
}

/// Keys above this one may have fallen out.
pub(crate) fn reach(keys: &Keys) -> Option<u64> {
    keys.last_key_value()
        .filter(|_| keys.len() >= MAX_KEYS)
        .map(|(key, _)| *key)
}

/// Merges without a bound: the caller's is its own.
pub(crate) fn add_keys(keys: &mut Keys, other: &Keys) {
    for (key, stats) in other {
        keys.entry(*key).or_default().merge(stats);
    }
}

fn merge_keys(keys: &mut Keys, other: &Keys) {
    add_keys(keys, other);
    trim(keys);
}

fn trim(keys: &mut Keys) {
    while keys.len() > MAX_KEYS {
        keys.pop_last();
    }
}

/// What one endpoint looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EndpointStats {
    pub(crate) requests: u64,
    pub(crate) sources: Sources,
    pub(crate) methods: Table<u64>,
    pub(crate) names: Table<u64>,
    pub(crate) name_sets: Table<u64>,
    pub(crate) duplicates: Table<u16>,
    pub(crate) keys: Keys,
}

impl Default for EndpointStats {
    fn default() -> Self {
        Self {
            requests: 0,
            sources: Sources::None,
            methods: Table::default(),
            names: Table::default(),
            name_sets: Table::default(),
            duplicates: Table::default(),
            keys: Keys::new(),
        }
    }
}

/// Steps of the count of duplicates.
pub(crate) const MAX_DUPLICATES: u16 = 1024;

impl EndpointStats {
    fn observe(&mut self, seen: &SeenRequest) {
        let source = seen.source;
        self.requests = self.requests.saturating_add(1);
        self.sources.add(source);
        self.methods.add(seen.method, 1, source, MAX_NAMES);
        for name in &seen.names {
            self.names.add(*name, 1, source, MAX_NAMES);
        }
        self.name_sets.add(seen.name_set, 1, source, MAX_NAMES);
        self.duplicates
            .add(seen.duplicates, 1, source, usize::from(MAX_DUPLICATES) + 1);
        observe_keys(&mut self.keys, &seen.endpoint_values, source);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.sources.merge(other.sources);
        self.methods.merge(&other.methods, MAX_NAMES);
        self.names.merge(&other.names, MAX_NAMES);
        self.name_sets.merge(&other.name_sets, MAX_NAMES);
        self.duplicates
            .merge(&other.duplicates, usize::from(MAX_DUPLICATES) + 1);
        merge_keys(&mut self.keys, &other.keys);
    }
}

/// A path so far: what follows it, and the endpoint that ends here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Node {
    pub(crate) children: BTreeMap<u64, Node>,
    pub(crate) any: Option<Box<Node>>,
    /// Whether every child goes to `any`.
    pub(crate) folded: bool,
    pub(crate) endpoint: Option<Box<EndpointStats>>,
}

/// The depths at which every node is folded, as bits; the root is depth 0.
type Crowded = u16;

impl Node {
    fn observe(
        &mut self,
        segments: &[Option<u64>],
        seen: &SeenRequest,
        depth: usize,
        crowded: Crowded,
    ) {
        if crowded >> depth & 1 == 1 {
            self.fold();
        }
        let Some((segment, rest)) = segments.split_first() else {
            self.endpoint.get_or_insert_default().observe(seen);
            return;
        };
        match segment {
            Some(segment) if !self.folded => {
                self.children
                    .entry(*segment)
                    .or_default()
                    .observe(rest, seen, depth + 1, crowded);
                self.fold_above(MAX_CHILDREN);
            }
            _ => {
                let any = self.any.get_or_insert_default();
                any.observe(rest, seen, depth + 1, crowded);
            }
        }
    }

    /// Folds when there are more than `most` literal children.
    fn fold_above(&mut self, most: usize) {
        if self.folded || self.children.len() > most {
            self.fold();
        }
    }

    pub(crate) fn fold(&mut self) {
        self.folded = true;
        for (_, child) in std::mem::take(&mut self.children) {
            match &mut self.any {
                Some(any) => any.merge(&child),
                None => self.any = Some(Box::new(child)),
            }
        }
    }

    /// Folds all nodes at the crowded depths.
    fn fold_crowded(&mut self, depth: usize, crowded: Crowded) {
        if crowded >> depth & 1 == 1 {
            self.fold();
        }
        for child in self.children.values_mut().chain(self.any.as_deref_mut()) {
            child.fold_crowded(depth + 1, crowded);
        }
    }

    /// At most [`MAX_DEPTH`] deep, as the paths are.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.folded |= other.folded;
        if let Some(any) = &other.any {
            self.any.get_or_insert_default().merge(any);
        }
        if let Some(endpoint) = &other.endpoint {
            self.endpoint.get_or_insert_default().merge(endpoint);
        }
        for (segment, child) in &other.children {
            self.children.entry(*segment).or_default().merge(child);
        }
        self.fold_above(MAX_CHILDREN);
    }

    /// Requests that ended here or below.
    pub(crate) fn requests(&self) -> u64 {
        let below = self.children.values().chain(self.any.as_deref());
        self.endpoint
            .as_ref()
            .map_or(0, |endpoint| endpoint.requests)
            .saturating_add(below.map(Self::requests).sum())
    }

    /// Runs `act` on every endpoint at or below this node.
    pub(crate) fn each(&self, act: &mut impl FnMut(&EndpointStats)) {
        if let Some(endpoint) = &self.endpoint {
            act(endpoint);
        }
        for child in self.children.values().chain(self.any.as_deref()) {
            child.each(act);
        }
    }
}

/// What one host looked like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostStats {
    pub(crate) requests: u64,
    pub(crate) sources: Sources,
    pub(crate) extensions: Table<u64>,
    /// Distinct paths by the number of their segments, from 1.
    pub(crate) paths: [Crowd; MAX_DEPTH],
    /// Headers, cookies and what else belongs to no endpoint.
    pub(crate) keys: Keys,
    pub(crate) root: Node,
}

impl Default for HostStats {
    fn default() -> Self {
        Self {
            requests: 0,
            sources: Sources::None,
            extensions: Table::default(),
            paths: Default::default(),
            keys: Keys::new(),
            root: Node::default(),
        }
    }
}

impl HostStats {
    pub(crate) fn observe(&mut self, seen: &SeenRequest) {
        self.requests = self.requests.saturating_add(1);
        self.sources.add(seen.source);
        self.extensions
            .add(seen.extension, 1, seen.source, MAX_NAMES);
        observe_keys(&mut self.keys, &seen.host_values, seen.source);
        let before = self.crowded();
        let mut path = 0;
        for (segment, paths) in seen.segments.iter().zip(&mut self.paths) {
            path = mixed(path, segment.unwrap_or_default());
            paths.add(path, MAX_PATHS);
        }
        let crowded = self.crowded();
        if crowded != before {
            self.root.fold_crowded(0, crowded);
        }
        self.root.observe(&seen.segments, seen, 0, crowded);
    }

    /// The children at depth n are paths of n + 1 segments.
    fn crowded(&self) -> Crowded {
        (0..).zip(&self.paths).fold(0, |bits, (depth, paths)| {
            bits | Crowded::from(paths.crowded) << depth
        })
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.sources.merge(other.sources);
        self.extensions.merge(&other.extensions, MAX_NAMES);
        for (paths, others) in self.paths.iter_mut().zip(&other.paths) {
            paths.merge(others);
        }
        merge_keys(&mut self.keys, &other.keys);
        self.root.merge(&other.root);
        self.root.fold_crowded(0, self.crowded());
    }
}

/// A path's hash and one more segment: the finaliser of splitmix64 (Steele, Lea, Flood 2014).
pub(crate) fn mixed(path: u64, segment: u64) -> u64 {
    let mut hash = path.rotate_left(1) ^ segment;
    hash = hash.wrapping_add(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ hash >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ hash >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ hash >> 31
}
