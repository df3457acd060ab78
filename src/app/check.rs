//! `weir check`: everything that a start would meet, found without starting and said with its place in the file.
//!
//! Not here: what is wrong with the text of the configuration (`config`), and how its parts are opened.

use std::net::{IpAddr, ToSocketAddrs};
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use super::{Source, StartError};
use crate::audit::Audit;
use crate::capture::Prepared;
use crate::config::places::{Finding, locate};
use crate::config::{self, Address, Config, ConfigError};
use crate::listen::socket::{self, Inherited};
use crate::runtime::Snapshot;
use crate::runtime::build::{Context, build};
use crate::telemetry::Metrics;

/// For names of upstreams, all together.
const RESOLVE: Duration = Duration::from_secs(10);

/// What the configuration is checked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A start: its addresses must be free.
    Start,
    /// A reload of a weir that listens on its addresses already.
    Reload,
}

/// Validates everything that a start needs, without starting: configuration, addresses, certificates, ONNX Runtime,
/// bundle, directories, names of upstreams.
///
/// # Errors
/// Everything that is wrong.
pub fn check(source: &Source, purpose: Purpose) -> Result<Snapshot, ConfigError> {
    let config = config::load(&source.file)?;
    let mut findings = Vec::new();
    if purpose == Purpose::Start {
        addresses(&config, &mut findings);
    }
    let outputs = [
        Audit::check(&config.audit.output).map_err(StartError::from),
        Prepared::check(config.capture.as_ref()).map_err(StartError::from),
    ];
    for error in outputs.into_iter().filter_map(Result::err) {
        findings.extend(error.findings());
    }
    names(&config, &mut findings);
    let context = Context {
        onnxruntime: source.onnxruntime.clone(),
        metrics: Metrics::new(),
    };
    match build(config, None, &context) {
        Ok(snapshot) if findings.is_empty() => return Ok(snapshot),
        Ok(_) => {}
        Err(errors) => findings.extend(errors.findings()),
    }
    Err(locate(&source.file, findings))
}

/// Binds every address, which shows whether that can be done, and lets it go again.
fn addresses(config: &Config, findings: &mut Vec<Finding>) {
    let listeners = config.listeners.iter().enumerate();
    let listeners = listeners.map(|(at, listener)| (format!("listen[{at}]"), listener.address));
    let mut bound = Vec::new();
    for (what, address) in listeners.chain([("admin".to_owned(), config.admin.address)]) {
        match socket::bind(address, config.sockets, 1, &mut Inherited::default()) {
            // Kept until all are bound: two may claim one port.
            Ok(socket) => bound.push(socket),
            Err(source) => {
                let error = StartError::Bind {
                    what,
                    address,
                    source,
                };
                findings.extend(error.findings());
            }
        }
    }
}

/// Looks every upstream's name up. `run` starts without: a name may appear later, and until then the answer is 502.
fn names(config: &Config, findings: &mut Vec<Finding>) {
    let (answers, answered) = channel();
    let mut waiting = Vec::new();
    for (key, address) in places(config) {
        if address.host.parse::<IpAddr>().is_ok() {
            continue;
        }
        waiting.push(key.clone());
        let (host, port) = (address.host.clone(), address.port);
        let answers = answers.clone();
        // A resolver may hang for longer than anybody wants to wait for a check.
        std::thread::spawn(move || {
            let looked_up = (host.as_str(), port).to_socket_addrs();
            let problem = match looked_up.map(|mut found| found.next()) {
                Ok(Some(_)) => None,
                Ok(None) => Some(format!("`{host}` has no address")),
                Err(error) => Some(format!("`{host}` cannot be looked up: {error}")),
            };
            let _check_is_over = answers.send((key, problem));
        });
    }
    drop(answers);
    let since = Instant::now();
    while let Ok((key, problem)) = answered.recv_timeout(RESOLVE.saturating_sub(since.elapsed())) {
        waiting.retain(|other| *other != key);
        findings.extend(problem.map(|problem| unresolved(key, &problem)));
    }
    for key in waiting {
        findings.push(unresolved(key, "the name could not be looked up in time"));
    }
}

/// Every address of every upstream, with its key: `address` stands for a list of one.
fn places(config: &Config) -> impl Iterator<Item = (String, &Address)> {
    let upstreams = config.upstreams.iter().enumerate();
    upstreams.flat_map(|(at, upstream)| {
        let one = upstream.endpoints.len() == 1;
        let addresses = upstream.endpoints.iter().enumerate();
        addresses.map(move |(index, address)| {
            let key = if one {
                format!("upstreams[{at}].address")
            } else {
                format!("upstreams[{at}].addresses[{index}]")
            };
            (key, address)
        })
    })
}

fn unresolved(key: String, problem: &str) -> Finding {
    Finding::new(
        key,
        format!("{problem}; correct the name, or give an address"),
    )
}
