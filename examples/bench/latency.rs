//! How long a request takes at a given load, and what large bodies on the same worker add to that.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join;

use crate::Run;
use crate::client::Connection;
use crate::document::Section;
use crate::load;
use crate::peers::{Peer, Peers, Stage};
use crate::request::{Counter, Values};
use crate::shapes::Shape;
use crate::table::{Table, figure, median, quantile};

/// Requests a second.
const RATES: [u32; 3] = [500, 2_000, 10_000];
const CONNECTIONS: usize = 64;
const WARM_UP: Duration = Duration::from_millis(300);
/// Of shape a, beside the large bodies.
const BESIDE: u32 = 500;
const SHARES: [(&str, f64); 3] = [("p50", 0.5), ("p99", 0.99), ("p99.9", 0.999)];

/// Microseconds at each of the shares.
type Quantiles = [f64; 3];

/// Who was asked, at how many requests a second, beside large bodies or not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Case {
    peer: Peer,
    rate: u32,
    beside: bool,
}

#[derive(Default)]
pub(crate) struct Results(BTreeMap<Case, Vec<Quantiles>>);

impl Results {
    /// The median of the rounds at one of the shares.
    fn of(&self, case: Case, share: usize) -> f64 {
        let rounds = self.0.get(&case).into_iter().flatten();
        median(rounds.filter_map(|round| round.get(share).copied()))
    }

    /// What Weir adds over nginx, in microseconds.
    fn added(&self, rate: u32, share: usize) -> f64 {
        let of = |peer| {
            let case = Case {
                peer,
                rate,
                beside: false,
            };
            self.of(case, share)
        };
        of(Peer::Weir) - of(Peer::Nginx)
    }

    /// What is added to the median and to the 99th percentile at 2,000 requests a second.
    pub(crate) fn added_at_2000(&self) -> [f64; 2] {
        [self.added(2_000, 0), self.added(2_000, 1)]
    }

    /// How much later the 99th percentile of shape a is while the worker inspects shape d, in microseconds.
    pub(crate) fn held_up(&self, peer: Peer) -> f64 {
        let of = |beside| {
            let case = Case {
                peer,
                rate: BESIDE,
                beside,
            };
            self.of(case, 1)
        };
        of(true) - of(false)
    }
}

pub(crate) async fn measure(stage: &Stage, peers: &Peers, run: &Run) -> Result<Results> {
    let Run {
        rounds,
        time,
        counter,
    } = run;
    let mut results = Results::default();
    for round in 0..*rounds {
        for rate in RATES {
            let mut turn = vec![(Peer::Origin, stage.origin())];
            // More than this is more than ModSecurity's worker can do.
            let asked = |peer| match peer {
                Peer::Nginx | Peer::Weir => true,
                Peer::ModSecurity => rate == BESIDE,
                Peer::Origin | Peer::Hyper => false,
            };
            turn.extend(
                peers
                    .turn(round)
                    .into_iter()
                    .filter(|(peer, _)| asked(*peer))
                    .map(|(peer, proxy)| (peer, proxy.listener())),
            );
            for (peer, to) in turn {
                let request = Shape::Page.request(Values::Same);
                let mut connections = Connection::open_many(to, &request, CONNECTIONS).await?;
                load::closed(&mut connections, WARM_UP, counter).await?;
                let times = load::open(&mut connections, rate, *time, counter).await;
                let mut times = times.with_context(|| peer.name())?;
                results.add(peer, rate, false, &mut times);
            }
        }
        for (peer, proxy) in peers.turn(round) {
            if peer.inspects() {
                let mut times = beside(proxy.listener(), *time, counter)
                    .await
                    .with_context(|| peer.name())?;
                results.add(peer, BESIDE, true, &mut times);
            }
        }
        eprintln!("bench: latency, round {} of {rounds}", round + 1);
    }
    Ok(results)
}

impl Results {
    fn add(&mut self, peer: Peer, rate: u32, beside: bool, times: &mut [u64]) {
        let case = Case { peer, rate, beside };
        let quantiles = SHARES.map(|(_, share)| quantile(times, share) / 1000.0);
        self.0.entry(case).or_default().push(quantiles);
    }
}

/// Shape a, while one connection sends shape d as fast as it is answered.
async fn beside(to: std::net::SocketAddr, time: Duration, counter: &Counter) -> Result<Vec<u64>> {
    let small = Shape::Page.request(Values::Same);
    let large = Shape::LargeJson.request(Values::Same);
    let mut small = Connection::open_many(to, &small, CONNECTIONS).await?;
    let mut large = Connection::open_many(to, &large, 1).await?;
    load::closed(&mut small, WARM_UP, counter).await?;
    load::closed(&mut large, WARM_UP, counter).await?;
    let (times, _) = try_join(
        load::open(&mut small, BESIDE, time, counter),
        load::closed(&mut large, time, counter),
    )
    .await?;
    Ok(times)
}

pub(crate) fn section(peers: &Peers, results: &Results, machine: &str) -> Section {
    let names = SHARES.map(|(name, _)| name);
    let mut table = Table::new(["requests a second, peer"].into_iter().chain(names));
    for rate in RATES {
        for peer in [Peer::Origin, Peer::Nginx, Peer::Weir] {
            let case = Case {
                peer,
                rate,
                beside: false,
            };
            let cells = [0, 1, 2].map(|share| figure(results.of(case, share)));
            let name = format!("{}, {}", figure(f64::from(rate)), peer.name());
            table.row(std::iter::once(name).chain(cells));
        }
        let added = [0, 1, 2].map(|share| figure(results.added(rate, share)));
        let name = format!("{}, **added over nginx**", figure(f64::from(rate)));
        table.row(std::iter::once(name).chain(added));
    }
    let mut held = Table::new(["shape a, 500 requests a second"].into_iter().chain(names));
    for peer in peers.names().into_iter().filter(|peer| peer.inspects()) {
        for (beside, what) in [(false, "alone"), (true, "while it inspects shape d")] {
            let case = Case {
                peer,
                rate: BESIDE,
                beside,
            };
            let cells = [0, 1, 2].map(|share| figure(results.of(case, share)));
            held.row(std::iter::once(format!("{}, {what}", peer.name())).chain(cells));
        }
    }
    Section {
        name: "latency",
        text: format!(
            "{machine}\nMicroseconds from the moment at which a request is due to the end of its answer, shape a:\n\n{table}\n\
             The same beside one connection that sends shape d as fast as it is answered, all on one worker:\n\n{held}"
        ),
        plots: Vec::new(),
    }
}
