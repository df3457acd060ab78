//! What Weir holds over a long time of mixed load.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;

use crate::Run;
use crate::client::Connection;
use crate::cores::Places;
use crate::document::Section;
use crate::load;
use crate::peers::Stage;
use crate::request::{Counter, Values};
use crate::shapes::Shape;
use crate::table::{Table, figure};
use crate::weir::{Policy, Setup};

/// Shape, its values, connections, requests a second: a twentieth of what one worker does.
const LOAD: [(Shape, Values, usize, u32); 6] = [
    (Shape::Page, Values::Same, 64, 250),
    (Shape::Form, Values::Same, 32, 125),
    (Shape::Form, Values::Distinct, 1, 25),
    (Shape::Json, Values::Same, 16, 25),
    (Shape::Json, Values::Distinct, 1, 8),
    (Shape::LargeJson, Values::Same, 4, 7),
];
/// After it all connections are closed and opened anew.
const STRETCH: Duration = Duration::from_secs(60);
/// Stretches between two rows of the table.
const STEP: u32 = 10;

pub(crate) async fn measure(
    stage: &Stage,
    places: &Places,
    run: &Run,
    minutes: u32,
    machine: &str,
) -> Result<Section> {
    let setup = Setup {
        policy: Policy::Patient,
        ..Setup::default()
    };
    let proxy = stage.weir(places, &setup)?;
    let resident = || anyhow::Ok(proxy.usage()?.resident_kib as f64 / 1024.0);
    let mut table = Table::new(["minutes", "requests", "resident, MiB"]);
    table.row(["0".to_owned(), "0".to_owned(), figure(resident()?)]);
    let (mut requests, mut most) = (0, resident()?);
    for minute in 1..=minutes {
        requests += stretch(proxy.listener(), &run.counter).await?;
        let now = resident()?;
        most = f64::max(most, now);
        if minute == 1 || minute % STEP == 0 || minute == minutes {
            table.row([minute.to_string(), figure(requests as f64), figure(now)]);
            eprintln!("bench: mixed load, {minute} of {minutes} minutes");
        }
    }
    let rate: u32 = LOAD.iter().map(|(_, _, _, rate)| rate).sum();
    let connections: usize = LOAD.iter().map(|(_, _, connections, _)| connections).sum();
    Ok(Section {
        name: "mixed load",
        text: format!(
            "{machine}\nAll shapes at once, also with every value new: {} requests a second on {connections} connections, which are \
             opened anew each minute. At most {} MiB at the end of a minute.\n\n{table}",
            figure(f64::from(rate)),
            figure(most)
        ),
        plots: Vec::new(),
    })
}

async fn stretch(to: SocketAddr, counter: &Counter) -> Result<usize> {
    let each = LOAD.map(|(shape, values, connections, rate)| async move {
        let request = shape.request(values);
        let mut connections = Connection::open_many(to, &request, connections).await?;
        let times = load::open(&mut connections, rate, STRETCH, counter).await;
        Ok::<_, anyhow::Error>(times.with_context(|| format!("{shape:?}"))?.len())
    });
    Ok(try_join_all(each).await?.into_iter().sum())
}
