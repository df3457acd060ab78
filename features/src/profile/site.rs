//! What is usual on a host and at its endpoints, ready for look-ups. Not here: learning, values of one parameter.

use super::host::{EndpointStats, HostStats, Keys, Node, add_keys, reach};
use super::key_profile::KeyProfile;
use super::known::{Known, surprise};
use super::table::{QUOTA, Sources, Table};

/// A parameter with fewer values than this at its endpoint is judged by what the host knows of it.
pub(crate) const MATURE: u64 = 20;
/// What only one source brought is known all the same once it brought it this often: a request that is repeated
/// unchanged counts as one source where the data names no clients.
const FAMILIAR: u64 = 3;
/// A node with more children than this that were mostly seen no more than twice becomes `*`.
const MANY_CHILDREN: usize = 64;
/// An endpoint's parameters that are missed when absent, from as many requests.
const MAX_REQUIRED: usize = 32;
const REQUIRED_AFTER: u64 = 20;
const REQUIRED_SHARE: f64 = 0.99;

fn is_known(sources: Sources, count: u64) -> bool {
    sources.count() >= QUOTA || count >= FAMILIAR
}

/// Parameters by their hash, in ascending order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parameters {
    keys: Box<[u64]>,
    profiles: Box<[KeyProfile]>,
    /// Nothing is known about keys above this one.
    reach: Option<u64>,
    /// How surprising a parameter is that is not here.
    weight: f32,
}

impl Parameters {
    fn of(keys: &Keys, reach: Option<u64>) -> Self {
        let known = |count: &&u64| {
            keys.get(count)
                .is_some_and(|stats| is_known(stats.sources, stats.observations))
        };
        let hashes: Box<[u64]> = keys.keys().filter(known).copied().collect();
        let count = |rare: bool| {
            keys.values()
                .filter(|stats| !rare || stats.observations <= QUOTA as u64)
                .fold((0.0, 0.0), |(values, names), stats| {
                    (values + stats.observations as f64, names + 1.0)
                })
        };
        let ((values, names), (rare_values, rare_names)) = (count(false), count(true));
        Self {
            profiles: hashes
                .iter()
                .filter_map(|hash| keys.get(hash))
                .map(KeyProfile::of)
                .collect(),
            keys: hashes,
            reach,
            // How often values have a new name, and how open the vocabulary is: new names come in bursts.
            weight: (surprise(rare_values, values) + surprise(rare_names, names)) / 2.0,
        }
    }

    /// How surprising `key` is, which was not found.
    pub(crate) fn surprise(&self, key: u64) -> f32 {
        match self.reach {
            Some(reach) if key > reach => 0.0,
            _ => self.weight,
        }
    }

    pub(crate) fn find(&self, key: u64) -> Option<&KeyProfile> {
        let at = self.keys.binary_search(&key).ok()?;
        self.profiles.get(at)
    }
}

/// What is usual at an endpoint.
#[derive(Clone, Debug)]
pub(crate) struct EndpointProfile {
    pub(crate) requests: u64,
    pub(crate) methods: Known<u64>,
    pub(crate) names: Known<u64>,
    pub(crate) name_sets: Known<u64>,
    pub(crate) most_duplicates: u16,
    /// Parameters that nearly every request had, in ascending order.
    pub(crate) required: Box<[u64]>,
    /// How surprising it is when one of them is missing.
    pub(crate) required_weight: f32,
    /// How surprising a name is that was never seen.
    pub(crate) name_weight: f32,
    pub(crate) parameters: Parameters,
}

impl EndpointProfile {
    fn of(stats: &EndpointStats) -> Self {
        let total = stats.requests as f64;
        let names = familiar(&stats.names, stats.names.total());
        let required = stats
            .keys
            .iter()
            .filter(|(_, key)| {
                stats.requests >= REQUIRED_AFTER
                    && key.requests as f64 >= total * REQUIRED_SHARE
                    && key.is_parameter
            })
            .map(|(hash, _)| *hash)
            .take(MAX_REQUIRED)
            .collect();
        Self {
            requests: stats.requests,
            methods: familiar(&stats.methods, total),
            name_sets: familiar(&stats.name_sets, total),
            most_duplicates: stats
                .duplicates
                .entries
                .iter()
                .filter(|entry| is_known(entry.sources, u64::from(entry.count)))
                .map(|entry| entry.key)
                .max()
                .unwrap_or(0),
            required,
            required_weight: surprise(0.0, total),
            name_weight: (names.weight + distinct_names(&stats.names)) / 2.0,
            names,
            parameters: Parameters::of(&stats.keys, reach(&stats.keys)),
        }
    }
}

/// What a table knows when the rule for endpoints and names decides.
fn familiar(table: &Table<u64>, total: f64) -> Known<u64> {
    let kept = Table {
        entries: table
            .entries
            .iter()
            .map(|entry| {
                let mut entry = *entry;
                if is_known(entry.sources, u64::from(entry.count)) {
                    // Admitted: the quota below asks for one source.
                    entry.sources = Sources::Several;
                } else {
                    entry.sources = Sources::None;
                }
                entry
            })
            .collect(),
        cut: table.cut,
    };
    Known::of(&kept, 1, total)
}

/// How surprising a new name is, by how many of the names known are rare.
fn distinct_names(table: &Table<u64>) -> f32 {
    let rare = table
        .entries
        .iter()
        .filter(|entry| entry.count as usize <= QUOTA)
        .count();
    surprise(rare as f64, table.entries.len() as f64)
}

/// A path so far.
#[derive(Clone, Debug, Default)]
struct Step {
    children: Box<[(u64, u32)]>,
    any: Option<u32>,
    folded: bool,
    endpoint: Option<u32>,
}

/// What is usual on a host.
#[derive(Clone, Debug)]
pub(crate) struct HostProfile {
    pub(crate) requests: u64,
    pub(crate) endpoint_weight: f32,
    pub(crate) extensions: Known<u64>,
    /// Parameters of all endpoints together, and those that belong to none.
    pub(crate) parameters: Parameters,
    endpoints: Vec<EndpointProfile>,
    steps: Vec<Step>,
}

/// Where a path led.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Found<'p> {
    pub(crate) endpoint: Option<&'p EndpointProfile>,
    /// Its number on its host.
    pub(crate) number: Option<u32>,
    /// Segments that were known, from the first.
    pub(crate) known: u16,
    pub(crate) segments: u16,
    /// Which segments went to `*`, as bits.
    pub(crate) any: u16,
}

impl HostProfile {
    pub(crate) fn of(stats: HostStats) -> Self {
        let mut root = stats.root;
        fold_rare(&mut root);
        let mut keys = stats.keys;
        let mut least = reach(&keys);
        let (mut total, mut novel) = (0.0, 0.0);
        root.each(&mut |endpoint| {
            add_keys(&mut keys, &endpoint.keys);
            least = [least, reach(&endpoint.keys)].into_iter().flatten().min();
            let requests = endpoint.requests as f64;
            total += requests;
            novel += if endpoint.requests <= QUOTA as u64 {
                requests
            } else {
                0.0
            };
        });
        let mut host = Self {
            requests: stats.requests,
            endpoint_weight: surprise(novel, total),
            extensions: familiar(&stats.extensions, stats.requests as f64),
            parameters: Parameters::of(&keys, least),
            endpoints: Vec::new(),
            steps: Vec::new(),
        };
        // As much as all endpoints together: their profiles take its place.
        drop(keys);
        host.add(&root);
        host
    }

    /// Adds a node and all below it; at most [`super::host::MAX_DEPTH`] deep.
    fn add(&mut self, node: &Node) -> u32 {
        let index = self.steps.len();
        self.steps.push(Step::default());
        let endpoint = node
            .endpoint
            .as_ref()
            .filter(|endpoint| is_known(endpoint.sources, endpoint.requests))
            .map(|endpoint| {
                self.endpoints.push(EndpointProfile::of(endpoint));
                (self.endpoints.len() - 1) as u32
            });
        let children = node
            .children
            .iter()
            .map(|(segment, child)| (*segment, self.add(child)))
            .collect();
        let any = node.any.as_ref().map(|any| self.add(any));
        if let Some(step) = self.steps.get_mut(index) {
            *step = Step {
                children,
                any,
                folded: node.folded,
                endpoint,
            };
        }
        index as u32
    }

    /// Follows a path; `None` is a segment that a rule calls an identifier.
    pub(crate) fn find(&self, segments: impl Iterator<Item = Option<u64>>) -> Found<'_> {
        let mut found = Found {
            endpoint: None,
            number: None,
            known: 0,
            segments: 0,
            any: 0,
        };
        let mut step = self.steps.first();
        for segment in segments {
            let next = step.and_then(|step| match segment {
                Some(segment) if !step.folded => step
                    .children
                    .binary_search_by_key(&segment, |(hash, _)| *hash)
                    .ok()
                    .and_then(|at| step.children.get(at))
                    .map(|(_, index)| *index),
                _ => {
                    found.any |= 1 << found.segments;
                    step.any
                }
            });
            step = next.and_then(|index| self.steps.get(index as usize));
            found.known += u16::from(step.is_some());
            found.segments += 1;
        }
        found.number = step.and_then(|step| step.endpoint);
        found.endpoint = found
            .number
            .and_then(|number| self.endpoints.get(number as usize));
        found
    }
}

/// Folds nodes with many children that were mostly seen no more than twice: names of things.
fn fold_rare(node: &mut Node) {
    let rare = node
        .children
        .values()
        .filter(|child| child.requests() <= 2)
        .count();
    if node.children.len() > MANY_CHILDREN && rare * 2 > node.children.len() {
        node.fold();
    }
    for child in node.children.values_mut().chain(node.any.as_deref_mut()) {
        fold_rare(child);
    }
}
