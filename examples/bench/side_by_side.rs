//! Weir beside the others: processor time for one request, requests a second, memory, shape by shape.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, ensure};

use crate::Run;
use crate::client::Connection;
use crate::document::Section;
use crate::load;
use crate::peers::{Peer, Peers};
use crate::proxy::Proxy;
use crate::request::{Counter, Request, Values};
use crate::shapes::{Shape, attacks};
use crate::table::{Table, figure, median};

/// Connections and caches that any request needs are there before the measurement.
const WARM_UP: Duration = Duration::from_millis(300);
/// Connections to a proxy that takes milliseconds for a request: more would only wait.
const FEW: usize = 2;

/// What one measurement showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    /// Microseconds of the proxy's processor time for one request: user, system.
    pub(crate) cpu: [f64; 2],
    pub(crate) per_second: f64,
    pub(crate) resident_mib: f64,
}

impl Sample {
    pub(crate) fn cpu(&self) -> f64 {
        self.cpu.iter().sum()
    }
}

/// A shape, with the same values every time or distinct ones, and a peer.
pub(crate) type Place = (Shape, bool, Peer);

#[derive(Default)]
pub(crate) struct Results(BTreeMap<Place, Vec<Sample>>);

impl Results {
    /// The median of the rounds.
    pub(crate) fn of(&self, place: Place, figure: impl Fn(&Sample) -> f64) -> f64 {
        median(self.0.get(&place).into_iter().flatten().map(figure))
    }

    /// The most memory at the end of any measurement.
    pub(crate) fn memory(&self, peer: Peer) -> f64 {
        let of_peer = self.0.iter().filter(|((_, _, other), _)| *other == peer);
        let samples = of_peer.flat_map(|(_, samples)| samples);
        samples
            .map(|sample| sample.resident_mib)
            .fold(f64::NAN, f64::max)
    }
}

/// Every peer must pass the shapes as they are, and those that inspect must stop the attacks.
pub(crate) async fn verify(peers: &Peers) -> Result<()> {
    let counter = Counter::default();
    for (peer, proxy) in peers.turn(0) {
        let ask = async |request: Request| {
            let mut connection = Connection::open(proxy.listener(), request).await?;
            connection.exchange(&counter).await
        };
        for shape in Shape::ALL {
            for values in [Values::Same, Values::Distinct] {
                let status = ask(shape.request(values)).await;
                let status = status.with_context(|| format!("{}: {shape:?}", peer.name()))?;
                ensure!(
                    status == 200,
                    "{} answers {status} to {shape:?}",
                    peer.name()
                );
            }
        }
        if peer.inspects() {
            for (what, attack) in attacks() {
                let status = ask(attack)
                    .await
                    .with_context(|| format!("{}: {what}", peer.name()))?;
                ensure!(status == 403, "{} answers {status} to {what}", peer.name());
            }
        }
    }
    Ok(())
}

pub(crate) async fn measure(peers: &Peers, run: &Run) -> Result<Results> {
    let Run {
        rounds,
        time,
        counter,
    } = run;
    let mut results = Results::default();
    for round in 0..*rounds {
        for shape in Shape::ALL {
            for (peer, proxy) in peers.turn(round) {
                let many = match peer {
                    Peer::ModSecurity if shape >= Shape::Json => FEW,
                    _ => shape.connections(),
                };
                let request = shape.request(Values::Same);
                let sample = one(proxy, &request, many, *time, counter).await;
                let sample = sample.with_context(|| format!("{}: {shape:?}", peer.name()))?;
                results
                    .0
                    .entry((shape, false, peer))
                    .or_default()
                    .push(sample);
                let weir = peers.get(Peer::Weir).filter(|_| peer == Peer::Weir);
                if let (Some(weir), Shape::Form | Shape::Json) = (weir, shape) {
                    let request = shape.request(Values::Distinct);
                    let sample = one(weir, &request, many, *time, counter).await;
                    let sample = sample.with_context(|| format!("{shape:?}, every value new"))?;
                    results
                        .0
                        .entry((shape, true, peer))
                        .or_default()
                        .push(sample);
                }
            }
        }
        eprintln!("bench: side by side, round {} of {rounds}", round + 1);
    }
    Ok(results)
}

/// One proxy with as much of one request as it takes.
pub(crate) async fn one(
    proxy: &Proxy,
    request: &Request,
    connections: usize,
    time: Duration,
    counter: &Counter,
) -> Result<Sample> {
    let mut connections = Connection::open_many(proxy.listener(), request, connections).await?;
    load::closed(&mut connections, WARM_UP, counter).await?;
    let before = proxy.usage()?;
    let done = load::closed(&mut connections, time, counter).await?;
    let after = proxy.usage()?;
    let each = |used: Duration| used.as_secs_f64() * 1e6 / done.requests as f64;
    Ok(Sample {
        cpu: [
            each(after.user.saturating_sub(before.user)),
            each(after.system.saturating_sub(before.system)),
        ],
        per_second: done.per_second(),
        resident_mib: after.resident_kib as f64 / 1024.0,
    })
}

pub(crate) fn section(peers: &Peers, results: &Results, machine: &str) -> Section {
    let names = peers.names();
    let head = ["shape"]
        .into_iter()
        .chain(names.iter().map(|peer| peer.name()));
    let mut cpu = Table::new(head.clone().chain(["Weir / nginx", "ModSecurity / Weir"]));
    let mut rate = Table::new(head.clone());
    let mut memory = Table::new(head);
    for (shape, distinct) in rows() {
        let name = match distinct {
            false => shape.name().to_owned(),
            true => format!("{}, every value new", shape.name()),
        };
        let name = || std::iter::once(name.clone());
        let of = |peer, figure: fn(&Sample) -> f64| results.of((shape, distinct, peer), figure);
        let all =
            |field: fn(&Sample) -> f64| names.iter().map(move |peer| figure(of(*peer, field)));
        let used = names.iter().map(|peer| {
            let [user, system] = [0, 1].map(|part| {
                results.of((shape, distinct, *peer), |sample| {
                    sample.cpu.get(part).copied().unwrap_or(f64::NAN)
                })
            });
            let sum = of(*peer, Sample::cpu);
            if sum.is_nan() {
                return "-".to_owned();
            }
            format!(
                "**{}** ({} + {})",
                figure(sum),
                figure(user),
                figure(system)
            )
        });
        let weir = of(Peer::Weir, Sample::cpu);
        let ratios = [
            figure(weir / of(Peer::Nginx, Sample::cpu)),
            figure(of(Peer::ModSecurity, Sample::cpu) / weir),
        ];
        cpu.row(name().chain(used).chain(ratios));
        rate.row(name().chain(all(|sample| sample.per_second)));
        memory.row(name().chain(all(|sample| sample.resident_mib)));
    }
    Section {
        name: "side by side",
        text: format!(
            "{machine}\nProcessor time of the proxy for one request, in microseconds (user + system):\n\n{cpu}\n\
             Requests a second:\n\n{rate}\nResident memory in MiB, at the end of each measurement:\n\n{memory}"
        ),
        plots: Vec::new(),
    }
}

fn rows() -> impl Iterator<Item = (Shape, bool)> {
    let same = Shape::ALL.into_iter().map(|shape| (shape, false));
    same.chain([(Shape::Form, true), (Shape::Json, true)])
}
