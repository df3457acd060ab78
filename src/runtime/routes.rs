//! The route table in lookup order: exact hosts before suffixes before any host, long paths before short ones.
//!
//! Not here: what a route does with a request (`detect`, `proxy`).

use std::borrow::Cow;
use std::sync::Arc;

use weir_scoring::budget::Budgets;

use crate::config::{self, HostPattern, Mode};
use crate::detect::Exceptions;
use crate::runtime::limiter::Limiter;
use crate::runtime::path::{normal_path, strict_readings, under};
use crate::telemetry::RouteMetrics;

/// A route as requests use it: its policy and what the runtime adds.
#[derive(Debug, Clone)]
pub struct Route {
    /// As configured.
    pub policy: Arc<config::Route>,
    /// Budgets in force: the configured ones, else the bundle's, else an override at run time.
    pub budgets: Budgets,
    /// Compiled exceptions.
    pub exceptions: Arc<Exceptions>,
    /// Rate limit state, shared with other generations of this route.
    pub limiter: Option<Arc<Limiter>>,
    /// Its counters and histograms.
    pub metrics: Arc<RouteMetrics>,
}

/// Routes in lookup order.
#[derive(Debug, Clone, Default)]
pub struct Routes(Vec<Arc<Route>>);

impl Routes {
    /// Sorts routes for the lookup.
    pub fn new(mut routes: Vec<Arc<Route>>) -> Self {
        routes.sort_by(|a, b| {
            let rank = |route: &Route| match &route.policy.host {
                HostPattern::Exact(_) => (0, 0),
                // A longer suffix is more specific.
                HostPattern::Suffix(suffix) => (1, usize::MAX - suffix.len()),
                HostPattern::Any => (2, 0),
            };
            rank(a)
                .cmp(&rank(b))
                .then_with(|| b.policy.path.len().cmp(&a.policy.path.len()))
                .then_with(|| a.policy.id.cmp(&b.policy.id))
        });
        Self(routes)
    }

    /// The first route that matches; see [`Snapshot::route`](super::Snapshot::route).
    pub fn lookup(&self, host: &[u8], path: &[u8]) -> Option<&Arc<Route>> {
        let normal = normal_path(path);
        let host = host.strip_suffix(b".").unwrap_or(host);
        let mut found = self.find(host, &normal)?;
        if let Cow::Owned(_) = normal {
            // Nobody talks a request out of inspection by a spelling that its origin reads differently.
            for reading in strict_readings(path) {
                if let Some(other) = self.find(host, &reading)
                    && strictness(other.policy.mode) > strictness(found.policy.mode)
                {
                    found = other;
                }
            }
        }
        Some(found)
    }

    fn find(&self, host: &[u8], path: &[u8]) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| {
            host_matches(&route.policy.host, host) && under(path, route.policy.path.as_bytes())
        })
    }

    /// The route of that id.
    pub fn by_id(&self, id: &str) -> Option<&Arc<Route>> {
        self.0.iter().find(|route| route.policy.id.as_str() == id)
    }

    /// In lookup order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Route>> {
        self.0.iter()
    }
}

const fn strictness(mode: Mode) -> u8 {
    match mode {
        Mode::Off => 0,
        Mode::Shadow => 1,
        Mode::Enforce => 2,
    }
}

fn host_matches(pattern: &HostPattern, host: &[u8]) -> bool {
    match pattern {
        HostPattern::Any => true,
        HostPattern::Exact(name) => name.as_bytes().eq_ignore_ascii_case(host),
        HostPattern::Suffix(suffix) => {
            host.len() > suffix.len()
                && host
                    .get(host.len() - suffix.len()..)
                    .is_some_and(|end| end.eq_ignore_ascii_case(suffix.as_bytes()))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use crate::testing::{config, snapshot};

    #[test]
    fn the_most_specific_route_answers_and_no_spelling_escapes_it() {
        let routes = [
            "{id: any, upstream: app}",
            "{id: admin, path: /admin, upstream: app}",
            "{id: deep, path: /admin/api, upstream: app}",
            "{id: sub, host: '*.example.org', upstream: app}",
            "{id: shop, host: shop.example.org, path: /buy, upstream: app}",
        ];
        let yaml = format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nmodel: {{required: false}}\nupstreams: [{{name: app, address: 'h:1'}}]\nroutes: [{}]",
            routes.join(", ")
        );
        let snapshot = snapshot(config(&yaml), None);
        let found = |host: &str, path: &str| {
            let route = snapshot.route(host.as_bytes(), path.as_bytes()).unwrap();
            route.policy.id.to_string()
        };
        for (host, path, id) in [
            ("x", "/", "any"),
            ("x", "/admin", "admin"),
            ("x", "/administrator", "any"),
            ("x", "/admin/api/1", "deep"),
            ("x", "/%61dmin", "admin"),
            ("x", "//admin/", "admin"),
            ("x", "/y/..%2fadmin/./api", "deep"),
            ("a.example.org", "/admin", "sub"),
            ("A.EXAMPLE.ORG.", "/", "sub"),
            ("example.org", "/", "any"),
            ("evilexample.org", "/", "any"),
            ("shop.example.org", "/buy/1", "shop"),
            ("shop.example.org", "/other", "sub"),
        ] {
            assert_eq!(found(host, path), id, "{host}{path}");
        }
    }

    #[test]
    fn no_spelling_talks_its_way_into_a_route_that_inspects_less() {
        let yaml = "listen: [{address: '127.0.0.1:0'}]\nmodel: {required: false}\n\
             upstreams: [{name: app, address: 'h:1'}]\nroutes:\n\
             - {id: all, upstream: app, mode: enforce}\n- {id: off, path: /off, upstream: app, mode: off}";
        let snapshot = snapshot(config(yaml), None);
        for (path, id) in [
            ("/off/x", "off"),
            ("/%6fff/x", "off"),
            ("/off/./x/../y;v=1", "off"),
            ("/off/../x", "all"),
            ("/off/..;/x", "all"),
            // Below /off for the most lenient origin only; a stricter one serves /x, or takes `off` for a host.
            ("/x/..;/off", "all"),
            ("/x/..%2foff", "all"),
            ("/x/..\\off", "all"),
            ("/x/../off", "all"),
            ("//off/x", "all"),
        ] {
            let route = snapshot.route(b"h", path.as_bytes()).unwrap();
            assert_eq!(route.policy.id.as_str(), id, "{path}");
        }
    }
}
