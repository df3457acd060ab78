//! The keys of routes, and of `defaults`, which every route starts from.
//!
//! Not here: the lookup (`runtime::routes`).

use std::num::NonZeroU32;
use std::time::Duration;

use weir_features::Location;

use super::fields::duration;
use super::inspect::{Inspect, inspect};
use super::reader::{Item, Section};
use super::types::*;
use super::upstream_types::Upstream;
use crate::detect::{Budget, Budgets};
use crate::runtime::path::normal_path;
use crate::units::RouteId;

/// What a route inherits.
#[derive(Debug, Clone)]
struct Policy {
    mode: Mode,
    fail: FailMode,
    budgets: RouteBudgets,
    inspect: Inspect,
    rate_limit: Option<RateLimit>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            mode: Mode::Shadow,
            fail: FailMode::Open,
            budgets: RouteBudgets::default(),
            inspect: Inspect::default(),
            rate_limit: None,
        }
    }
}

pub(super) fn routes(root: &Section<'_>, upstreams: &[Upstream]) -> Vec<Route> {
    let defaults = root
        .get("defaults")
        .map(|item| policy(&item.section(), &Policy::default()))
        .unwrap_or_default();
    let Some(list) = root.need(
        "routes",
        "name at least one, such as {id: all, path: /, upstream: app}",
    ) else {
        return Vec::new();
    };
    let mut found: Vec<Route> = Vec::new();
    for item in list.list() {
        let Some(route) = route(&item, &defaults, upstreams) else {
            continue;
        };
        for other in &found {
            if other.id == route.id {
                item.problem(format!(
                    "another route has the id `{}`; ids must differ",
                    route.id
                ));
            }
            if other.host == route.host
                && other.path.trim_end_matches('/') == route.path.trim_end_matches('/')
            {
                item.problem(format!(
                    "routes `{}` and `{}` are alike: both match host {} and path {}; remove one or change its host or path",
                    other.id, route.id, route.host, route.path
                ));
            }
        }
        found.push(route);
    }
    list.not_empty("the list is empty: name at least one route");
    found
}

fn route(item: &Item<'_>, defaults: &Policy, upstreams: &[Upstream]) -> Option<Route> {
    let section = item.section();
    let id = section
        .need("id", "it names the route in records and metrics")
        .and_then(|item| identifier(&item));
    let host = section
        .get("host")
        .map_or(Some(HostPattern::Any), |item| host(&item));
    let path = section
        .get("path")
        .map_or(Some("/".to_owned()), |item| path(&item));
    let upstream = section
        .need("upstream", "the name of one of `upstreams`")
        .and_then(|item| {
            let name = item.text()?;
            let index = upstreams.iter().position(|upstream| upstream.name == name);
            if index.is_none() {
                let names: Vec<&str> = upstreams
                    .iter()
                    .map(|upstream| upstream.name.as_str())
                    .collect();
                item.expected(format!("the name of an upstream: {}", names.join(", ")));
            }
            index
        });
    let exceptions = section
        .get("exceptions")
        .map(|item| item.list().iter().filter_map(exception).collect())
        .unwrap_or_default();
    let policy = policy(&section, defaults);
    Some(Route {
        id: RouteId::new(id?),
        host: host?,
        path: path?,
        upstream: upstream?,
        mode: policy.mode,
        fail: policy.fail,
        budgets: policy.budgets,
        inspect: policy.inspect,
        rate_limit: policy.rate_limit,
        exceptions,
    })
}

fn policy(section: &Section<'_>, start: &Policy) -> Policy {
    let mode = section.get("mode").and_then(|item| {
        item.choice(&[
            ("off", Mode::Off),
            ("shadow", Mode::Shadow),
            ("enforce", Mode::Enforce),
        ])
    });
    let fail = section
        .get("fail")
        .and_then(|item| item.choice(&[("open", FailMode::Open), ("closed", FailMode::Closed)]));
    Policy {
        mode: mode.unwrap_or(start.mode),
        fail: fail.unwrap_or(start.fail),
        budgets: section
            .get("budgets")
            .map_or(start.budgets, |item| budgets(&item, start.budgets)),
        inspect: section.get("inspect").map_or_else(
            || start.inspect.clone(),
            |item| inspect(&item, &start.inspect),
        ),
        rate_limit: section
            .get("rate_limit")
            .map_or(start.rate_limit, |item| rate_limit(&item)),
    }
}

fn budgets(item: &Item<'_>, start: RouteBudgets) -> RouteBudgets {
    let section = item.section();
    let flag = section
        .get("flag")
        .and_then(|item| budget(&item))
        .or(start.flag);
    let block = section
        .get("block")
        .and_then(|item| budget(&item))
        .or(start.block);
    if let (Some(flag), Some(block)) = (flag, block)
        && let Err(error) = Budgets::new(flag, block)
    {
        item.problem(error.to_string());
    }
    RouteBudgets { flag, block }
}

fn budget(item: &Item<'_>) -> Option<Budget> {
    let parsed = if item.is_section() {
        let section = item.section();
        let score = section.need("score", "as in {score: 3.2}")?;
        Budget::score(score.parse("a number such as 3.2")?)
    } else {
        item.text()?.parse()
    };
    parsed.map_err(|error| item.expected(error)).ok()
}

fn rate_limit(item: &Item<'_>) -> Option<RateLimit> {
    let count = |item: Item<'_>| {
        item.count(1..=10_000_000)
            .and_then(|n| NonZeroU32::new(u32::try_from(n).ok()?))
    };
    let section = item.section();
    let requests = section
        .need("requests", "how many requests a client may send")
        .and_then(count);
    let pers = Duration::from_secs(1)..=Duration::from_secs(86_400);
    let per = duration(&section, "per", pers, Duration::from_secs(1));
    let burst = section.get("burst").and_then(count);
    let requests = requests?;
    Some(RateLimit {
        requests,
        per,
        burst: burst.unwrap_or(requests),
    })
}

fn exception(item: &Item<'_>) -> Option<Exception> {
    let section = item.section();
    let location = section.get("location").map(|item| {
        let location = Location::from_name(item.text()?);
        if location.is_none() {
            let names: Vec<&str> = Location::ALL
                .iter()
                .map(|location| location.name())
                .collect();
            item.expected(names.join(", "));
        }
        location
    });
    let exception = Exception {
        path: section.get("path").and_then(|item| path(&item)),
        location: location.flatten(),
        key: section
            .get("key")
            .and_then(|item| item.text().map(str::to_owned)),
    };
    if exception.key.is_none() && exception.location.is_none() {
        item.problem("names neither location nor key, which would except every field; use `mode: off` on a route instead");
        return None;
    }
    Some(exception)
}

/// A name for logs, metrics and URLs.
pub(super) fn identifier(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let valid = text.len() <= 64
        && text
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !valid {
        item.expected("a name of at most 64 letters, digits, `-`, `_` and `.`");
    }
    valid.then(|| text.to_owned())
}

fn host(item: &Item<'_>) -> Option<HostPattern> {
    let text = item.text()?.to_ascii_lowercase();
    let is_name = |name: &str| {
        !name.is_empty()
            && name
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte))
            && (!name.contains(':') || name.starts_with('['))
    };
    let pattern = match text.strip_prefix('*') {
        Some("") => Some(HostPattern::Any),
        Some(suffix) => (suffix.starts_with('.') && suffix.len() > 1 && is_name(suffix))
            .then(|| HostPattern::Suffix(suffix.to_owned())),
        None => is_name(&text).then(|| HostPattern::Exact(text.clone())),
    };
    if pattern.is_none() {
        item.expected(
            "a host name without port such as shop.example.org, \"*.example.org\" or \"*\"",
        );
    }
    pattern
}

fn path(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let plain = text.starts_with('/')
        && !text.contains(['?', '#'])
        && *normal_path(text.as_bytes()) == *text.as_bytes();
    if !plain {
        item.expected(
            "a path that begins with `/`, decoded and without `..`, `//`, `;`, `?` or `#`",
        );
    }
    plain.then(|| text.to_owned())
}
