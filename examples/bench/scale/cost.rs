//! How the cost of a request grows with its size, with the number of its fields, and with what is configured and known.

use std::collections::BTreeMap;

use anyhow::{Context, Result};

use super::profile_keys;
use crate::Run;
use crate::cores::Places;
use crate::document::{PLOTS, Section};
use crate::nginx;
use crate::peers::Stage;
use crate::plot::{Line, Plot};
use crate::proxy::Proxy;
use crate::request::{Request, Values};
use crate::shapes::{FORM_TYPE, JSON, document_of, fields};
use crate::side_by_side::one;
use crate::table::{Table, figure, median};
use crate::weir::{Policy, Setup};

const BYTES: [usize; 6] = [1 << 10, 4 << 10, 16 << 10, 64 << 10, 256 << 10, 1 << 20];
const FIELDS: [usize; 5] = [1, 10, 100, 1_000, 10_000];
const ROUTES: [usize; 4] = [1, 10, 100, 1_000];
/// Few enough that a mebibyte of each fits into what Weir holds at once.
const CONNECTIONS: usize = 4;

/// How a cost should grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// Not faster than what it is measured against.
    Linear,
    /// Hardly.
    Flat,
}

/// One curve or several over the same values.
pub(super) struct Cost {
    pub(super) file: &'static str,
    pub(super) growth: Growth,
    pub(super) plot: Plot,
}

pub(crate) async fn measure(
    stage: &Stage,
    places: &Places,
    run: &Run,
    machine: &str,
) -> Result<Section> {
    let mut costs = vec![
        sizes(
            stage,
            places,
            run,
            Plot {
                title: "CPU us/request over the length of a JSON body",
                below: "bytes of the body",
                ticks: BYTES.map(|bytes| (bytes as f64, bytes_name(bytes))).into(),
                lines: Vec::new(),
            },
            |values, bytes| Request::post("/api/orders", JSON, document_of(values, bytes)),
        )
        .await
        .context("bytes of a body")?,
        sizes(
            stage,
            places,
            run,
            Plot {
                title: "CPU us/request over the fields of a form",
                below: "fields of the form",
                ticks: ticks(&FIELDS),
                lines: Vec::new(),
            },
            |values, count| Request::post("/checkout", FORM_TYPE, fields(values, count)),
        )
        .await
        .context("fields of a form")?,
    ];
    costs.push(routes(stage, places, run).await.context("routes")?);
    costs.push(profile_keys::measure()?);
    let mut text = format!("{machine}\n");
    let mut plots = Vec::new();
    for cost in &costs {
        let Cost { file, plot, .. } = cost;
        text.push_str(&format!(
            "![{}]({PLOTS}/{file})\n\n{}\n",
            plot.title,
            table(cost)
        ));
        plots.push(((*file).to_owned(), plot.svg()));
    }
    Ok(Section {
        name: "cost",
        text,
        plots,
    })
}

pub(super) fn ticks(values: &[usize]) -> Vec<(f64, String)> {
    let name = |value: f64| {
        figure(value)
            .trim_end_matches(".00")
            .trim_end_matches(".0")
            .to_owned()
    };
    let values = values.iter().map(|value| *value as f64);
    values.map(|value| (value, name(value))).collect()
}

fn bytes_name(bytes: usize) -> String {
    match bytes >> 10 {
        kib if kib < 1024 => format!("{kib} KiB"),
        kib => format!("{} MiB", kib >> 10),
    }
}

/// nginx, Weir that knows all values, Weir that knows none.
async fn sizes(
    stage: &Stage,
    places: &Places,
    run: &Run,
    mut plot: Plot,
    request: impl Fn(Values, usize) -> Request,
) -> Result<Cost> {
    let setup = Setup {
        policy: Policy::Lenient,
        ..Setup::default()
    };
    let weir = stage.weir(places, &setup)?;
    let plain = match nginx::found() {
        true => Some(stage.nginx(places, &nginx::Setup::default())?),
        false => None,
    };
    let cases = [
        ("nginx", plain.as_ref(), Values::Same),
        ("Weir", Some(&weir), Values::Same),
        ("Weir, values new", Some(&weir), Values::Distinct),
    ];
    let mut rounds: BTreeMap<(usize, usize), Vec<f64>> = BTreeMap::new();
    for round in 0..run.rounds {
        for (x, _) in &plot.ticks {
            let x = *x as usize;
            for (case, (name, proxy, values)) in cases.iter().enumerate() {
                if let Some(proxy) = proxy {
                    let cost = cpu(proxy, &request(*values, x), run).await;
                    let cost = cost.with_context(|| format!("{name} at {x}"))?;
                    rounds.entry((case, x)).or_default().push(cost);
                }
            }
        }
        eprintln!(
            "bench: {}, round {} of {}",
            plot.below,
            round + 1,
            run.rounds
        );
    }
    for (number, (name, _, _)) in cases.iter().enumerate() {
        let points = plot.ticks.iter().filter_map(|(x, _)| {
            let figures = rounds.get(&(number, *x as usize))?;
            Some((*x, median(figures.iter().copied())))
        });
        plot.lines.push(Line {
            name: (*name).to_owned(),
            points: points.collect(),
        });
    }
    plot.lines.retain(|line| !line.points.is_empty());
    Ok(Cost {
        file: if plot.below.starts_with("bytes") {
            "bytes.svg"
        } else {
            "fields.svg"
        },
        growth: Growth::Linear,
        plot,
    })
}

async fn cpu(proxy: &Proxy, request: &Request, run: &Run) -> Result<f64> {
    let sample = one(proxy, request, CONNECTIONS, run.time, &run.counter).await?;
    Ok(sample.cpu())
}

/// Requests to the last of so many routes.
async fn routes(stage: &Stage, places: &Places, run: &Run) -> Result<Cost> {
    let mut points = Vec::new();
    for count in ROUTES {
        let setup = Setup {
            routes: count,
            ..Setup::default()
        };
        let weir = stage.weir(places, &setup)?;
        let request = Request::get(format!("/r{}/index?id=123", count - 1));
        let mut rounds = Vec::new();
        for _ in 0..run.rounds {
            rounds.push(cpu(&weir, &request, run).await?);
        }
        points.push((count as f64, median(rounds)));
    }
    eprintln!("bench: routes, measured");
    Ok(Cost {
        file: "routes.svg",
        growth: Growth::Flat,
        plot: Plot {
            title: "CPU us/request of shape a over the configured routes",
            below: "routes",
            ticks: ticks(&ROUTES),
            lines: vec![Line {
                name: "Weir".to_owned(),
                points,
            }],
        },
    })
}

/// All points, and how fast the last ones grow.
fn table(cost: &Cost) -> Table {
    let Cost { growth, plot, .. } = cost;
    let labels = plot.ticks.iter().map(|(_, label)| label.clone());
    let head = std::iter::once(plot.below.to_owned()).chain(labels);
    let mut table = Table::new(head.chain(["growth at the end".to_owned()]));
    for line in &plot.lines {
        let cells = plot.ticks.iter().map(|(x, _)| {
            let point = line.points.iter().find(|(other, _)| other == x);
            figure(point.map_or(f64::NAN, |(_, y)| *y))
        });
        let end = verdict(*growth, exponent(&line.points));
        table.row(std::iter::once(line.name.clone()).chain(cells).chain([end]));
    }
    table
}

/// Of the power by which the last step grows: 1 is in proportion, 0 not at all.
fn exponent(points: &[(f64, f64)]) -> f64 {
    match points {
        // So short a measurement that the kernel counted no tick says nothing.
        [.., (x, y), (last_x, last_y)] if *y > 0.0 => (last_y / y).log10() / (last_x / x).log10(),
        _ => f64::NAN,
    }
}

fn verdict(growth: Growth, exponent: f64) -> String {
    let most = match growth {
        Growth::Linear => 1.1,
        Growth::Flat => 0.15,
    };
    match exponent {
        none if none.is_nan() => "-".to_owned(),
        steep if steep > most => format!("x^{steep:.2}, **steep**"),
        fine => format!("x^{fine:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_too_fast_is_marked() {
        let square = exponent(&[(1.0, 1.0), (10.0, 10.0), (100.0, 1000.0)]);
        assert_eq!(verdict(Growth::Linear, square), "x^2.00, **steep**");
        assert_eq!(verdict(Growth::Linear, 1.0), "x^1.00");
        assert_eq!(verdict(Growth::Flat, 0.5), "x^0.50, **steep**");
        for none in [&[(1.0, 1.0)][..], &[(1.0, 0.0), (10.0, 1.0)]] {
            assert_eq!(verdict(Growth::Flat, exponent(none)), "-");
        }
        assert_eq!(
            [bytes_name(1 << 10), bytes_name(1 << 20)],
            ["1 KiB", "1 MiB"]
        );
    }
}
