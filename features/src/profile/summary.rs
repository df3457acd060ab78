//! How much a profile holds, in numbers. Not here: what it says.

use super::builder::ProfileBuilder;

/// How much a builder has learned.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ProfileSummary {
    /// Requests observed.
    pub requests: u64,
    /// Hosts.
    pub sites: u64,
    /// Path templates of all hosts.
    pub endpoints: u64,
    /// Parameters of all endpoints, and those that belong to a host: headers, cookies.
    pub parameters: u64,
}

impl ProfileBuilder {
    /// How much was learned.
    #[must_use]
    pub fn summary(&self) -> ProfileSummary {
        let mut summary = ProfileSummary {
            requests: self.requests,
            sites: self.hosts.len() as u64,
            ..ProfileSummary::default()
        };
        for host in self.hosts.values() {
            summary.parameters += host.keys.len() as u64;
            host.root.each(&mut |endpoint| {
                summary.endpoints += 1;
                summary.parameters += endpoint.keys.len() as u64;
            });
        }
        summary
    }
}
