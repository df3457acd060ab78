//! Weir's configuration for a measurement.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

/// What differs between the measurements; the default is one worker with the default policy, blocking.
#[derive(Debug, Clone)]
pub(crate) struct Setup {
    pub(crate) workers: usize,
    /// Sockets for each worker; else the default, which is so with one worker.
    pub(crate) per_worker: bool,
    /// Prefixes `/r0`, `/r1` and so on beside the one for everything else.
    pub(crate) routes: usize,
    pub(crate) policy: Policy,
    /// Client connections at once; absent: the default.
    pub(crate) connections: Option<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Policy {
    /// The bundle's budgets.
    Default,
    /// The bundle's budgets, and time enough for every inspection: for long runs, beside which something else may run.
    Patient,
    /// Everything is inspected, up to bodies of 4 MiB, and nothing reaches the score that would block it: for requests
    /// whose size is odd by itself.
    Lenient,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            workers: 1,
            per_worker: false,
            routes: 0,
            policy: Policy::Default,
            connections: None,
        }
    }
}

impl Setup {
    pub(crate) fn config(
        &self,
        listen: SocketAddr,
        admin: SocketAddr,
        origin: SocketAddr,
        bundle: &Path,
    ) -> Value {
        let mut defaults = Map::new();
        defaults.insert("mode".to_owned(), "enforce".into());
        // What could not be inspected is no answer that counts: `closed` makes it a wrong one.
        defaults.insert("fail".to_owned(), "closed".into());
        if self.policy == Policy::Patient {
            defaults.insert("inspect".to_owned(), json!({"deadline": "10s"}));
        }
        if self.policy == Policy::Lenient {
            let budgets = json!({"flag": {"score": 98}, "block": {"score": 99}});
            defaults.insert("budgets".to_owned(), budgets);
            let inspect = json!({"body": "4MiB", "deadline": "10s"});
            defaults.insert("inspect".to_owned(), inspect);
        }
        let [mut limits, mut timeouts] = [Map::new(), Map::new()];
        if let Some(count) = self.connections {
            limits.insert("connections".to_owned(), count.into());
            limits.insert("connections_per_client".to_owned(), count.into());
            // On a busy machine it takes a while to open them all.
            timeouts.insert("idle".to_owned(), "10m".into());
        }
        let mut sockets = Map::new();
        if self.per_worker {
            sockets.insert("per_worker".to_owned(), true.into());
        }
        let all = json!({"id": "all", "upstream": "origin"});
        let further = (0..self.routes).map(|number| {
            json!({"id": format!("r{number}"), "path": format!("/r{number}"), "upstream": "origin"})
        });
        let routes: Vec<Value> = std::iter::once(all).chain(further).collect();
        json!({
            "listen": [{"address": listen}],
            "admin": {"address": admin},
            "sockets": sockets,
            "workers": self.workers,
            "model": {"bundle": bundle, "watch": false},
            "upstreams": [{"name": "origin", "address": origin.to_string(), "max_connections": 512, "max_idle": 256}],
            "defaults": defaults,
            "limits": limits,
            "timeouts": timeouts,
            "routes": routes,
            "audit": {"output": "off"},
            "log": {"level": "warn"},
        })
    }
}
