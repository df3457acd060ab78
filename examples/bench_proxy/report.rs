//! The table, and whether Weir stays within what is promised beside nginx.

use std::collections::BTreeMap;
use std::fmt;

use crate::latency::quantile;
use crate::proxies::Peer;
use crate::upload::Uploads;

/// Share of nginx's upload throughput, at least.
const THROUGHPUT: f64 = 0.8;
/// Growth of memory during uploads, at most.
const GROWTH_MIB: f64 = 32.0;
/// What nginx adds to a latency, times this, at most.
const ADDED: f64 = 1.2;

#[derive(Default)]
pub(crate) struct Report {
    pub(crate) uploads: BTreeMap<Peer, Vec<Uploads>>,
    /// Nanoseconds.
    pub(crate) websocket: BTreeMap<Peer, Vec<u64>>,
    /// Nanoseconds.
    pub(crate) events: BTreeMap<Peer, Vec<u64>>,
}

struct Check {
    what: &'static str,
    value: f64,
    promised: String,
    held: bool,
}

type Figure = fn(&Uploads) -> f64;
type Times = BTreeMap<Peer, Vec<u64>>;

impl Report {
    pub(crate) fn held(&self) -> bool {
        self.checks().iter().all(|check| check.held)
    }

    fn checks(&self) -> [Check; 4] {
        let at_most = |what, value: f64, bound: f64| Check {
            what,
            value,
            promised: format!("at most {bound}"),
            // A figure that is missing is no number, and no number is held.
            held: value <= bound,
        };
        let throughput = self.throughput();
        [
            Check {
                what: "upload throughput / nginx's",
                value: throughput,
                promised: format!("at least {THROUGHPUT}"),
                held: throughput >= THROUGHPUT,
            },
            at_most(
                "growth of memory, worst round, MiB",
                self.growth(),
                GROWTH_MIB,
            ),
            at_most(
                "WebSocket latency added / nginx's",
                added(&self.websocket),
                ADDED,
            ),
            at_most("event latency added / nginx's", added(&self.events), ADDED),
        ]
    }

    /// The median of a figure over the rounds.
    fn upload(&self, peer: Peer, figure: impl Fn(&Uploads) -> f64) -> f64 {
        let rounds = self.uploads.get(&peer).into_iter().flatten();
        let mut figures: Vec<f64> = rounds.map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures.get(figures.len() / 2).copied().unwrap_or(f64::NAN)
    }

    fn throughput(&self) -> f64 {
        self.upload(Peer::Weir, Uploads::mib_per_second)
            / self.upload(Peer::Nginx, Uploads::mib_per_second)
    }

    /// The worst round.
    fn growth(&self) -> f64 {
        let rounds = self.uploads.get(&Peer::Weir).into_iter().flatten();
        rounds.map(Uploads::growth_mib).fold(0.0, f64::max)
    }
}

fn microseconds(times: &Times, peer: Peer, share: f64) -> f64 {
    quantile(times.get(&peer).map_or(&[], Vec::as_slice), share) as f64 / 1000.0
}

/// What Weir adds to the median, in units of what nginx adds; no number where nginx adds nothing that can be measured.
fn added(times: &Times) -> f64 {
    let over_direct =
        |peer| microseconds(times, peer, 0.5) - microseconds(times, Peer::Direct, 0.5);
    match over_direct(Peer::Nginx) {
        nginx if nginx > 0.0 => over_direct(Peer::Weir) / nginx,
        _ => f64::NAN,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "\n  {:<40}{:>10}{:>10}      weir",
            "one worker each", "direct", "nginx"
        )?;
        let upload = |figure: Figure| {
            (
                self.upload(Peer::Nginx, figure),
                self.upload(Peer::Weir, figure),
            )
        };
        let figures: [(&str, Figure); 3] = [
            ("uploads, MiB/s", Uploads::mib_per_second),
            ("uploads, processor seconds a GiB", Uploads::cpu_per_gib),
            ("uploads, growth of memory in MiB", Uploads::growth_mib),
        ];
        for (name, figure) in figures {
            let (nginx, weir) = upload(figure);
            writeln!(f, "  {name:<40}         -{nginx:>10.2}{weir:>10.2}")?;
        }
        for (name, times) in [
            ("WebSocket round trip", &self.websocket),
            ("event", &self.events),
        ] {
            for (quantile, share) in [("median", 0.5), ("99%", 0.99)] {
                let of = |peer| microseconds(times, peer, share);
                let name = format!("{name}, {quantile}, microseconds");
                let (direct, nginx, weir) = (of(Peer::Direct), of(Peer::Nginx), of(Peer::Weir));
                writeln!(f, "  {name:<40}{direct:>10.1}{nginx:>10.1}{weir:>10.1}")?;
            }
        }
        writeln!(f)?;
        for check in self.checks() {
            let mark = if check.held { "" } else { "  MISSED" };
            let Check {
                what,
                value,
                promised,
                ..
            } = check;
            writeln!(f, "  {what:<40}{value:>10.2}  {promised}{mark}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn report(weir_seconds: u64, growth_kib: u64, weir_median: u64) -> Report {
        let uploads = |seconds, growth_kib| {
            vec![Uploads {
                bytes: 1 << 30,
                wall: Duration::from_secs(seconds),
                cpu: Duration::from_secs(1),
                growth_kib,
            }]
        };
        let times = |weir| {
            BTreeMap::from([
                (Peer::Direct, vec![1000]),
                (Peer::Nginx, vec![2000]),
                (Peer::Weir, vec![weir]),
            ])
        };
        Report {
            uploads: BTreeMap::from([
                (Peer::Nginx, uploads(8, 0)),
                (Peer::Weir, uploads(weir_seconds, growth_kib)),
            ]),
            websocket: times(weir_median),
            events: times(2000),
        }
    }

    #[test]
    fn each_bound_is_enforced() {
        assert!(report(9, 32 * 1024, 2190).held(), "{}", report(9, 0, 2190));
        assert!(!report(11, 0, 2000).held());
        assert!(!report(8, 33 * 1024, 2000).held());
        assert!(!report(8, 0, 2300).held());
        assert!(!Report::default().held());
        assert!(report(8, 0, 2300).to_string().contains("MISSED"));
    }
}
