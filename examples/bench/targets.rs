//! What Weir promises, beside what was measured. A report: missing one is no failure of the measurement.

use crate::document::Section;
use crate::latency;
use crate::peers::Peer;
use crate::shapes::Shape;
use crate::side_by_side::{Results, Sample};
use crate::table::{Table, figure};

struct Target {
    what: String,
    at_most: f64,
    found: f64,
}

impl Target {
    fn verdict(&self) -> &'static str {
        if self.found.is_nan() {
            "not measured"
        } else if self.found <= self.at_most {
            "held"
        } else {
            "**MISSED**"
        }
    }
}

/// Shape, microseconds, times nginx's, ModSecurity's divided by this.
const SHAPES: [(Shape, f64, Option<f64>, f64); 4] = [
    (Shape::Page, 25.0, Some(1.7), 30.0),
    (Shape::Form, 35.0, Some(2.5), 50.0),
    (Shape::Json, 120.0, None, 180.0),
    (Shape::LargeJson, 500.0, None, 200.0),
];
const DISTINCT: [(Shape, f64); 2] = [(Shape::Form, 90.0), (Shape::Json, 450.0)];
/// Microseconds over nginx at 2,000 requests a second.
const ADDED: [(&str, f64); 2] = [("p50", 40.0), ("p99", 150.0)];
/// Microseconds that large bodies on the same worker may add to the 99th percentile of small requests.
const HELD_UP: f64 = 1_000.0;
const MEMORY_MIB: f64 = 100.0;

pub(crate) fn section(results: &Results, latency: &latency::Results) -> Section {
    let mut table = Table::new(["Weir", "at most", "measured", ""]);
    for target in targets(results, latency) {
        table.row([
            target.what.as_str(),
            &figure(target.at_most),
            &figure(target.found),
            target.verdict(),
        ]);
    }
    Section {
        name: "targets",
        text: table.to_string(),
        plots: Vec::new(),
    }
}

fn targets(results: &Results, latency: &latency::Results) -> Vec<Target> {
    let mut targets = Vec::new();
    let mut add = |what: String, at_most, found| {
        targets.push(Target {
            what,
            at_most,
            found,
        });
    };
    let cpu = |shape, distinct, peer| results.of((shape, distinct, peer), Sample::cpu);
    for (shape, micros, times_nginx, divided) in SHAPES {
        let weir = cpu(shape, false, Peer::Weir);
        let name = shape.name();
        add(format!("{name}: CPU us/request"), micros, weir);
        if let Some(times) = times_nginx {
            let nginx = cpu(shape, false, Peer::Nginx);
            add(format!("{name}: times nginx"), times, weir / nginx);
        }
        let rules = cpu(shape, false, Peer::ModSecurity);
        let what = format!("{name}: CPU us/request, ModSecurity's / {divided}");
        add(
            what,
            rules / divided,
            if rules.is_nan() { rules } else { weir },
        );
    }
    for (shape, micros) in DISTINCT {
        let what = format!("{}, every value new: CPU us/request", shape.name());
        add(what, micros, cpu(shape, true, Peer::Weir));
    }
    let added = latency.added_at_2000();
    for ((share, micros), found) in ADDED.into_iter().zip(added) {
        let what = format!("shape a at 2,000 requests/s: {share} over nginx, us");
        add(what, micros, found);
    }
    add(
        "shape a while the worker inspects shape d: p99 above shape a alone, us".to_owned(),
        HELD_UP,
        latency.held_up(Peer::Weir),
    );
    let memory = results.memory(Peer::Weir);
    add("resident memory, MiB".to_owned(), MEMORY_MIB, memory);
    targets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_above_its_target_is_marked() {
        let target = |found| Target {
            what: String::new(),
            at_most: 25.0,
            found,
        };
        let verdicts = [25.0, 25.1, f64::NAN].map(|found| target(found).verdict());
        assert_eq!(verdicts, ["held", "**MISSED**", "not measured"]);
    }

    #[test]
    fn what_was_not_measured_is_neither_held_nor_missed() {
        let text = section(&Results::default(), &latency::Results::default()).text;
        assert_eq!(text.matches("not measured").count(), 16, "{text}");
        assert!(
            !text.contains("held ") && !text.contains("MISSED"),
            "{text}"
        );
    }
}
