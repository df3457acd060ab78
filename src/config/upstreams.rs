//! The keys of `upstreams`: names, ranges and defaults.
//!
//! Not here: what is done with them (`proxy::upstream`).

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::fields::duration;
use super::reader::{Item, Section};
use super::upstream_types::*;
use super::{routes, tls};

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECS: fn(u64) -> Duration = Duration::from_secs;
const DAY: Duration = Duration::from_secs(86_400);
/// Endpoints of one upstream that can be listed; more come from one name.
const MOST_ADDRESSES: usize = 256;

pub(super) fn upstreams(item: &Item<'_>, base: &Path) -> Vec<Upstream> {
    let mut found: Vec<Upstream> = Vec::new();
    for item in item.list() {
        let upstream = upstream(&item, base);
        if !upstream.name.is_empty() && found.iter().any(|other| other.name == upstream.name) {
            item.problem(format!(
                "another upstream is named `{}`; names must differ",
                upstream.name
            ));
        }
        found.push(upstream);
    }
    item.not_empty("the list is empty: name at least one origin");
    found
}

fn upstream(item: &Item<'_>, base: &Path) -> Upstream {
    let section = item.section();
    let name = section
        .need("name", "routes refer to it")
        .and_then(|item| routes::identifier(&item));
    let max_connections = count(&section, "max_connections", 1..=65_535, 256);
    let timeouts = section.get("timeouts");
    let (connect_timeout, response_timeout) = timeouts.as_ref().map_or((None, None), own_timeouts);
    Upstream {
        name: name.unwrap_or_default(),
        endpoints: endpoints(&section),
        balance: choice(
            &section,
            "balance",
            &[
                ("round_robin", Balance::RoundRobin),
                ("least_request", Balance::LeastRequest),
            ],
            Balance::RoundRobin,
        ),
        protocol: protocol(&section),
        tls: section
            .get_filled("tls")
            .map(|item| tls::upstream(&item, base)),
        max_connections,
        max_pending: count(&section, "max_pending", 0..=1_000_000, 1_024),
        max_idle: count(&section, "max_idle", 0..=65_535, 64).min(max_connections),
        idle_timeout: duration(&section, "idle_timeout", MS(100)..=DAY, SECS(30)),
        connect_timeout,
        response_timeout,
        resolve: duration(&section, "resolve", SECS(1)..=DAY, SECS(10)),
        health: section.get("health").map(|item| health(&item)),
        ejection: ejection(section.get("ejection").as_ref()),
        retries: retries(section.get("retries").as_ref()),
    }
}

fn count(
    section: &Section<'_>,
    name: &'static str,
    range: RangeInclusive<usize>,
    default: usize,
) -> usize {
    section
        .get(name)
        .and_then(|item| item.count(range))
        .unwrap_or(default)
}

fn small(
    section: &Section<'_>,
    name: &'static str,
    range: RangeInclusive<usize>,
    default: usize,
) -> u32 {
    u32::try_from(count(section, name, range, default)).unwrap_or(u32::MAX)
}

fn choice<T: Copy>(
    section: &Section<'_>,
    name: &'static str,
    words: &[(&str, T)],
    default: T,
) -> T {
    section
        .get(name)
        .and_then(|item| item.choice(words))
        .unwrap_or(default)
}

fn protocol(section: &Section<'_>) -> Protocol {
    let words = [
        ("http1", Protocol::Http1),
        ("http2", Protocol::Http2),
        ("auto", Protocol::Auto),
    ];
    let item = section.get("protocol");
    let protocol = item.as_ref().and_then(|item| item.choice(&words));
    if let (Some(item), Some(Protocol::Auto)) = (&item, protocol)
        && !section.has("tls")
    {
        item.problem("the upstream chooses only with `tls`; in cleartext say `http1` or `http2`");
    }
    protocol.unwrap_or(Protocol::Http1)
}

/// `address`, or `addresses`.
fn endpoints(section: &Section<'_>) -> Vec<Address> {
    const WHAT: &str = "host:port of the origin, or `addresses` with several";
    let Some(several) = section.get("addresses") else {
        let one = section.need("address", WHAT);
        return one.and_then(|item| host_port(&item)).into_iter().collect();
    };
    if let Some(one) = section.get("address") {
        one.problem("`addresses` is there too; put this one into it");
    }
    let mut found: Vec<Address> = Vec::new();
    for item in several.list() {
        let Some(address) = host_port(&item) else {
            continue;
        };
        if found.contains(&address) {
            item.problem(format!("{address} is listed twice"));
        } else if found.len() == MOST_ADDRESSES {
            item.problem(format!(
                "more than {MOST_ADDRESSES} addresses; name them by one host name that resolves to all of them"
            ));
            break;
        } else {
            found.push(address);
        }
    }
    several.not_empty("the list is empty: name at least one host:port");
    found
}

fn host_port(item: &Item<'_>) -> Option<Address> {
    let text = item.text()?;
    let split = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let port: u16 = port.parse().ok().filter(|port| *port > 0)?;
        let is_name = host
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
        let valid = !host.is_empty() && (is_name || host.parse::<IpAddr>().is_ok());
        valid.then(|| Address {
            host: host.to_owned(),
            port,
        })
    });
    if split.is_none() {
        item.expected(
            "host:port without a scheme, such as 127.0.0.1:9000, shop.internal:80 or [::1]:9000",
        );
    }
    split
}

fn own_timeouts(item: &Item<'_>) -> (Option<Duration>, Option<Duration>) {
    let section = item.section();
    let get = |name| {
        section
            .get(name)
            .and_then(|item| item.duration(MS(10)..=DAY))
    };
    (get("connect"), get("response"))
}

fn health(item: &Item<'_>) -> HealthCheck {
    let section = item.section();
    let path = section.get("path");
    let host = section.get("host");
    if let (None, Some(host)) = (&path, &host) {
        host.problem("needs `path`: without it only a connection is made");
    }
    let path = path.and_then(|item| target(&item));
    let interval = duration(&section, "interval", MS(100)..=DAY, SECS(5));
    HealthCheck {
        probe: path.map_or(Probe::Tcp, |path| Probe::Http {
            path,
            host: host.and_then(|item| host_name(&item)),
        }),
        interval,
        timeout: duration(&section, "timeout", MS(10)..=DAY, SECS(2)),
        healthy: small(&section, "healthy", 1..=100, 2),
        unhealthy: small(&section, "unhealthy", 1..=100, 3),
    }
}

fn target(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let plain = text.starts_with('/') && text.parse::<http::uri::PathAndQuery>().is_ok();
    if !plain {
        item.expected("a path such as /healthz");
    }
    plain.then(|| text.to_owned())
}

fn host_name(item: &Item<'_>) -> Option<String> {
    let text = item.text()?;
    let plain = text.parse::<http::uri::Authority>().is_ok() && !text.contains('@');
    if !plain {
        item.expected("a host name such as shop.internal");
    }
    plain.then(|| text.to_owned())
}

fn ejection(item: Option<&Item<'_>>) -> Ejection {
    let default = Ejection {
        failures: 5,
        time: SECS(10),
        longest: SECS(300),
    };
    let Some(item) = item else { return default };
    let section = item.section();
    let time = duration(&section, "time", MS(100)..=DAY, default.time);
    Ejection {
        failures: small(&section, "failures", 0..=1_000, 5),
        time,
        longest: duration(&section, "longest", MS(100)..=DAY, default.longest).max(time),
    }
}

fn retries(item: Option<&Item<'_>>) -> Retries {
    let section = item.map(Item::section);
    let get = |name, range, default| {
        section.as_ref().map_or(default, |section| {
            small(section, name, range, default as usize)
        })
    };
    Retries {
        attempts: get("attempts", 0..=10, 1),
        budget: get("budget", 0..=100, 20),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

    use super::*;
    use crate::config::parse;

    fn read(upstream: &str) -> Result<Upstream, String> {
        let yaml = format!(
            "listen: [{{address: '127.0.0.1:0'}}]\nmodel: {{required: false}}\n\
             upstreams: [{{name: app, {upstream}}}]\nroutes: [{{id: all, upstream: app}}]\n"
        );
        let nothing = |_: &Path| Err(std::io::Error::other("no files here"));
        parse(&yaml, Path::new("/nowhere"), &nothing)
            .map(|mut config| config.upstreams.remove(0))
            .map_err(|problems| {
                let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
                lines.join("\n")
            })
    }

    #[test]
    fn one_address_is_the_short_form_of_several() {
        let short = read("address: 'a.example:80'").unwrap();
        assert_eq!(read("addresses: ['a.example:80']").unwrap(), short);
        let several = read("addresses: ['a.example:80', '[::1]:81']").unwrap();
        let shown: Vec<String> = several.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["a.example:80", "[::1]:81"]);
    }

    #[test]
    fn health_is_a_connection_or_a_get() {
        let health = |yaml: &str| {
            let upstream = read(&format!("address: 'a:80', health: {{{yaml}}}")).unwrap();
            upstream.health.unwrap()
        };
        assert_eq!(health("interval: 1s").probe, Probe::Tcp);
        assert_eq!(
            health("path: /up, host: app.internal").probe,
            Probe::Http {
                path: "/up".to_owned(),
                host: Some("app.internal".to_owned())
            }
        );
    }

    #[test]
    fn what_is_wrong_is_said_with_its_place() {
        for (yaml, says) in [
            (
                "max_idle: 3",
                "3:13: upstreams[0].address: is missing: host:port",
            ),
            (
                "address: 'a:80', addresses: ['b:80']",
                "3:34: upstreams[0].address: `addresses` is there too",
            ),
            ("addresses: []", "upstreams[0].addresses: the list is empty"),
            (
                "addresses: ['a:80', 'a:80']",
                "upstreams[0].addresses[1]: a:80 is listed twice",
            ),
            (
                "addresses: ['http://a']",
                "expected host:port without a scheme",
            ),
            (
                "address: 'a:80', balance: random",
                "expected round_robin or least_request",
            ),
            (
                "address: 'a:80', protocol: http3",
                "expected http1, http2 or auto",
            ),
            (
                "address: 'a:80', protocol: auto",
                "protocol: the upstream chooses only with `tls`",
            ),
            (
                "address: 'a:80', max_pending: -1",
                "expected a whole number, from 0 to 1000000",
            ),
            (
                "address: 'a:80', resolve: 10ms",
                "expected a duration such as 250ms, 5s or 10m, from 1s to 24h",
            ),
            (
                "address: 'a:80', timeouts: {conect: 1s}",
                "did you mean `connect`?",
            ),
            (
                "address: 'a:80', health: {path: healthz}",
                "expected a path such as /healthz",
            ),
            (
                "address: 'a:80', health: {host: a}",
                "health.host: needs `path`",
            ),
            (
                "address: 'a:80', health: {unhealthy: 0}",
                "expected a whole number, from 1 to 100",
            ),
            (
                "address: 'a:80', ejection: {time: 1ms}",
                "ejection.time: `1ms` is not allowed here",
            ),
            (
                "address: 'a:80', retries: {budget: 200}",
                "retries.budget: `200` is not allowed here",
            ),
        ] {
            let found = read(yaml).expect_err(yaml);
            assert!(found.contains(says), "{yaml}:\n{found}");
        }
    }
}
