//! The keys of the configuration but the routes: names, ranges and defaults. `config/weir.yaml` documents them.
//!
//! Not here: routes (`routes`) and how values are read (`reader`).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use ipnet::IpNet;
use serde_saphyr::Spanned;
use weir_scoring::engine::CHUNK_ROWS;

use super::reader::{Item, Problems, Section};
use super::tree::Node;
use super::types::*;
use super::{outputs, resolve, routes, sockets, tls, upstreams};
use crate::detect::{BatchOptions, ExecutionProvider};
use crate::units::Bytes;

const MS: fn(u64) -> Duration = Duration::from_millis;
const SECS: fn(u64) -> Duration = Duration::from_secs;
/// Long enough for any operator, short enough for every clock.
const DAY: Duration = Duration::from_secs(86_400);
/// Shorter tokens can be guessed.
const MIN_TOKEN: usize = 16;

pub(super) fn config(
    tree: &Spanned<Node>,
    base: &Path,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
    problems: &Problems,
) -> Option<Config> {
    let root = Item::root(tree, problems).section();
    let upstreams = root
        .need("upstreams", "name at least one origin")
        .map(|item| upstreams::upstreams(&item, base))
        .unwrap_or_default();
    let listeners = root
        .need("listen", "name at least one address")
        .map(|item| listeners(&item, base))
        .unwrap_or_default();
    let admin = admin(root.get("admin").as_ref(), base, read);
    check_admin_port(&admin, &listeners);
    let routes = routes::routes(&root, &upstreams);
    let config = Config {
        listeners: listeners
            .into_iter()
            .map(|(listener, _)| listener)
            .collect(),
        admin,
        sockets: sockets::sockets(root.get("sockets").as_ref()),
        workers: root
            .get("workers")
            .and_then(|item| workers(&item))
            .unwrap_or_else(cores),
        model: model(root.get("model").as_ref(), base),
        upstreams,
        routes,
        limits: limits(root.get("limits").as_ref()),
        timeouts: timeouts(root.get("timeouts").as_ref()),
        trusted_proxies: root
            .get("trusted_proxies")
            .map(|item| networks(&item))
            .unwrap_or_default(),
        trusted_header: root
            .get("trusted_header")
            .and_then(|item| trusted_header(&item))
            .unwrap_or(TrustedHeader::XForwardedFor),
        capture: root
            .get("capture")
            .and_then(|item| outputs::capture(&item, base)),
        audit: outputs::audit(root.get("audit").as_ref(), base),
        redact: outputs::redact(root.get("redact").as_ref()),
        log: outputs::log(root.get("log").as_ref()),
    };
    if config.model.required && config.model.bundle.is_none() {
        root.item.problem(
            "model.bundle is missing: name a bundle's directory, or say `model.required: false`",
        );
    }
    Some(config)
}

fn check_admin_port(admin: &Admin, listeners: &[(Listener, Item<'_>)]) {
    for (listener, item) in listeners {
        if admin.address == listener.address && admin.address.port() != 0 {
            item.problem("the admin listener uses this address; give one of them another port");
        }
    }
}

fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get)
}

fn workers(item: &Item<'_>) -> Option<usize> {
    if item.text()? == "auto" {
        Some(cores())
    } else {
        item.count(1..=1024)
    }
}

fn listeners<'a>(item: &Item<'a>, base: &Path) -> Vec<(Listener, Item<'a>)> {
    let mut found: Vec<(Listener, Item<'a>)> = Vec::new();
    for item in item.list() {
        let section = item.section();
        let address = section
            .need("address", "address:port to accept clients on")
            .and_then(|item| socket(&item));
        let tls = section
            .get_filled("tls")
            .and_then(|item| tls::listener(&item, base));
        let http2 = section
            .get("http2")
            .and_then(|item| item.flag())
            .unwrap_or(true);
        let proxy_protocol = section
            .get("proxy_protocol")
            .map(|item| networks(&item))
            .unwrap_or_default();
        let Some(address) = address else { continue };
        if address.port() != 0 && found.iter().any(|(other, _)| other.address == address) {
            item.problem(format!("another listener has the address {address}"));
        }
        found.push((
            Listener {
                address,
                tls,
                http2,
                proxy_protocol,
            },
            item.clone(),
        ));
    }
    item.not_empty("the list is empty: name at least one address");
    found
}

fn socket(item: &Item<'_>) -> Option<SocketAddr> {
    item.parse("an address and port such as 0.0.0.0:8080 or [::]:8080")
}

pub(super) fn path(item: &Item<'_>, base: &Path) -> Option<std::path::PathBuf> {
    item.text().map(|text| resolve(base, text))
}

fn admin(
    item: Option<&Item<'_>>,
    base: &Path,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Admin {
    let mut admin = Admin {
        address: SocketAddr::from(([127, 0, 0, 1], 9901)),
        token: None,
        hosts: Vec::new(),
    };
    let Some(item) = item else { return admin };
    let section = item.section();
    let address = section.get("address");
    if let Some(value) = address.as_ref().and_then(socket) {
        admin.address = value;
    }
    let token_file = section.get("token_file");
    admin.token = token_file.as_ref().and_then(|item| token(item, base, read));
    if let Some(hosts) = section.get("hosts") {
        admin.hosts = hosts
            .list()
            .iter()
            .filter_map(Item::text)
            .map(str::to_ascii_lowercase)
            .collect();
    }
    if token_file.is_none() && !admin.address.ip().is_loopback() {
        address.as_ref().unwrap_or(item).problem(format!(
            "{} can be reached from other machines: name an `admin.token_file`, or listen on 127.0.0.1",
            admin.address
        ));
    }
    admin
}

fn token(
    item: &Item<'_>,
    base: &Path,
    read: &dyn Fn(&Path) -> io::Result<Vec<u8>>,
) -> Option<Token> {
    let file = path(item, base)?;
    let secret = match read(&file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        Err(error) => {
            item.problem(format!("{} cannot be read: {error}", file.display()));
            return None;
        }
    };
    if secret.len() < MIN_TOKEN || !secret.bytes().all(|byte| byte.is_ascii_graphic()) {
        item.problem(format!(
            "{} must hold one token of at least {MIN_TOKEN} printable characters; `openssl rand -hex 32` makes one",
            file.display()
        ));
        return None;
    }
    Some(Token::new(secret))
}

fn model(item: Option<&Item<'_>>, base: &Path) -> Model {
    let section = item.map(Item::section);
    let get = |name| section.as_ref().and_then(|section| section.get(name));
    Model {
        bundle: get("bundle").and_then(|item| path(&item, base)),
        required: get("required").and_then(|item| item.flag()).unwrap_or(true),
        provider: get("execution_provider")
            .and_then(|item| {
                item.choice(&[
                    ("cpu", ExecutionProvider::Cpu),
                    ("cuda", ExecutionProvider::Cuda),
                ])
            })
            .unwrap_or(ExecutionProvider::Cpu),
        batch: get("batch").map(|item| batch(&item)),
        score_cache: get("score_cache")
            .and_then(|item| item.size(Bytes::kib(0)..=Bytes::mib(1024)))
            .unwrap_or(Bytes::mib(4)),
        onnxruntime: get("onnxruntime").and_then(|item| path(&item, base)),
        watch: get("watch").and_then(|item| item.flag()).unwrap_or(true),
    }
}

/// One request may bring `CHUNK_ROWS` rows, and a GPU's memory is not endless.
const BATCH_ROWS: RangeInclusive<usize> = CHUNK_ROWS..=16_384;
/// Longer than any run; a request alone waits for all of it.
const LONGEST_BATCH: Duration = Duration::from_millis(50);

fn batch(item: &Item<'_>) -> BatchOptions {
    let section = item.section();
    BatchOptions {
        rows: section
            .get("rows")
            .and_then(|item| item.count(BATCH_ROWS))
            .unwrap_or(1024),
        wait: section
            .get("wait")
            .and_then(|item| item.duration(Duration::ZERO..=LONGEST_BATCH))
            .unwrap_or(Duration::from_micros(200)),
    }
}

fn limits(item: Option<&Item<'_>>) -> Limits {
    let section = item.map(Item::section);
    let get = |name| section.as_ref().and_then(|section| section.get(name));
    let count = |name, range, default| {
        get(name)
            .and_then(|item| item.count(range))
            .unwrap_or(default)
    };
    let size = |name, range, default| {
        get(name)
            .and_then(|item| item.size(range))
            .unwrap_or(default)
    };
    let connections = count("connections", 1..=1_000_000, 4_096);
    Limits {
        requests: count("requests", 1..=1_000_000, 4_096),
        connections,
        // No one client may take everybody's share.
        connections_per_client: count(
            "connections_per_client",
            1..=1_000_000,
            connections.div_ceil(2),
        ),
        requests_per_connection: count("requests_per_connection", 1..=1_000_000_000, 100_000),
        target_bytes: size(
            "target_bytes",
            Bytes::kib(1)..=Bytes::kib(60),
            Bytes::kib(16),
        ),
        header_bytes: size(
            "header_bytes",
            Bytes::kib(8)..=Bytes::mib(1),
            Bytes::kib(64),
        ),
        headers: count("headers", 8..=1_000, 128),
        http2_streams: u32::try_from(count("http2_streams", 1..=10_000, 100)).unwrap_or(100),
        inspect_memory: size(
            "inspect_memory",
            Bytes::mib(1)..=Bytes::mib(65_536),
            Bytes::mib(32),
        ),
        handshakes: count("handshakes", 8..=100_000, 512),
        clients: count("clients", 100..=10_000_000, 20_000),
    }
}

fn timeouts(item: Option<&Item<'_>>) -> Timeouts {
    let section = item.map(Item::section);
    let get = |name, default| {
        section.as_ref().map_or(default, |section| {
            duration(section, name, MS(10)..=DAY, default)
        })
    };
    Timeouts {
        handshake: get("handshake", SECS(10)),
        header: get("header", SECS(10)),
        body: get("body", SECS(30)),
        idle: get("idle", SECS(60)),
        connect: get("connect", SECS(5)),
        response: get("response", SECS(60)),
        upgrade: get("upgrade", SECS(300)),
        drain: get("drain", SECS(30)),
        drain_idle: get("drain_idle", SECS(1)),
    }
}

/// A duration or its default.
pub(super) fn duration(
    section: &Section<'_>,
    name: &'static str,
    range: std::ops::RangeInclusive<Duration>,
    default: Duration,
) -> Duration {
    section
        .get(name)
        .and_then(|item| item.duration(range))
        .unwrap_or(default)
}

fn trusted_header(item: &Item<'_>) -> Option<TrustedHeader> {
    let choice = |header: TrustedHeader| (header.name(), header);
    item.choice(&[
        choice(TrustedHeader::XForwardedFor),
        choice(TrustedHeader::Forwarded),
    ])
}

fn networks(item: &Item<'_>) -> Vec<IpNet> {
    let network = |item: &Item<'_>| {
        let text = item.text()?;
        let net = text
            .parse()
            .ok()
            .or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from))
            .map(canonical);
        if net.is_none() {
            item.expected("an address or network such as 10.0.0.0/8 or 2001:db8::1");
        }
        net
    };
    item.list().iter().filter_map(network).collect()
}

/// Addresses are compared in their canonical form, so networks of IPv4-mapped addresses are networks of IPv4.
fn canonical(net: IpNet) -> IpNet {
    let four = match net.addr().to_canonical() {
        IpAddr::V4(address) if net.prefix_len() >= 96 => {
            ipnet::Ipv4Net::new(address, net.prefix_len() - 96).ok()
        }
        _ => None,
    };
    match net {
        IpNet::V6(_) => four.map_or(net, IpNet::V4),
        IpNet::V4(_) => net,
    }
}
