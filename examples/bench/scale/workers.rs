//! One worker and two, sharing their connections or each with its own.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use crate::Run;
use crate::cores::Cores;
use crate::document::Section;
use crate::nginx;
use crate::peers::Stage;
use crate::proxy::Proxy;
use crate::request::Values;
use crate::shapes::Shape;
use crate::side_by_side::{Sample, one};
use crate::table::{Table, figure, median};
use crate::weir::Setup;

const SHAPES: [Shape; 3] = [Shape::Page, Shape::Json, Shape::LargeJson];

/// Name, number of workers, whether each has sockets of its own; nginx shares.
const VARIANTS: [(&str, Kind, usize); 5] = [
    ("nginx, 1 worker", Kind::Nginx, 1),
    ("nginx, 2 workers", Kind::Nginx, 2),
    ("Weir, 1 worker", Kind::Weir, 1),
    ("Weir, 2 workers", Kind::Weir, 2),
    ("Weir, 2 workers, `per_worker`", Kind::WeirPerWorker, 2),
];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Nginx,
    Weir,
    WeirPerWorker,
}

pub(crate) async fn measure(
    stage: &Stage,
    cores: &Cores,
    run: &Run,
    machine: &str,
) -> Result<Section> {
    let mut samples: BTreeMap<(usize, Shape), Vec<Sample>> = BTreeMap::new();
    for round in 0..run.rounds {
        for (number, (name, kind, workers)) in VARIANTS.into_iter().enumerate() {
            if kind == Kind::Nginx && !nginx::found() {
                continue;
            }
            let places = cores.places(workers);
            // One at a time: with two workers there may be no processor that only one proxy has.
            let proxy = start(stage, kind, workers, cores).context(name)?;
            places.enter()?;
            for shape in SHAPES {
                let request = shape.request(Values::Same);
                let many = shape.connections();
                let sample = one(&proxy, &request, many, run.time, &run.counter).await;
                let sample = sample.with_context(|| format!("{name}: {shape:?}"))?;
                samples.entry((number, shape)).or_default().push(sample);
            }
        }
        eprintln!("bench: workers, round {} of {}", round + 1, run.rounds);
    }
    cores.places(1).enter()?;
    let of = |number, shape, field: fn(&Sample) -> f64| {
        let rounds = samples.get(&(number, shape)).into_iter().flatten();
        figure(median(rounds.map(field)))
    };
    let heads =
        ["a", "c", "d"].map(|shape| [format!("{shape}: requests/s"), format!("{shape}: CPU us")]);
    let mut table = Table::new(std::iter::once(String::new()).chain(heads.into_iter().flatten()));
    for (number, (name, ..)) in VARIANTS.into_iter().enumerate() {
        let cells = SHAPES.into_iter().flat_map(|shape| {
            [
                of(number, shape, |sample| sample.per_second),
                of(number, shape, Sample::cpu),
            ]
        });
        table.row(std::iter::once(name.to_owned()).chain(cells));
    }
    Ok(Section {
        name: "workers",
        text: format!(
            "{machine}\nWith one worker: {}. With two: {}.\n\n{table}",
            cores.places(1),
            cores.places(2)
        ),
        plots: Vec::new(),
    })
}

fn start(stage: &Stage, kind: Kind, workers: usize, cores: &Cores) -> Result<Proxy> {
    let places = cores.places(workers);
    if kind == Kind::Nginx {
        let setup = nginx::Setup {
            workers,
            ..nginx::Setup::default()
        };
        return stage.nginx(&places, &setup);
    }
    let setup = Setup {
        workers,
        per_worker: kind == Kind::WeirPerWorker,
        ..Setup::default()
    };
    stage.weir(&places, &setup)
}
