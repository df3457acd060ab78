//! What a connection costs that is kept and not used.

use anyhow::{Context, Result, ensure};
use futures_util::future::try_join_all;

use crate::Run;
use crate::client::Connection;
use crate::cores::Places;
use crate::document::Section;
use crate::nginx;
use crate::peers::Stage;
use crate::proxy::Proxy;
use crate::request::Values;
use crate::shapes::Shape;
use crate::table::{Table, figure};
use crate::weir::Setup;

const CONNECTIONS: usize = 10_000;
/// Opened and asked at once.
const BATCH: usize = 200;
/// Descriptors for everything but these connections.
const SPARE: u64 = 1_024;

pub(crate) async fn measure(
    stage: &Stage,
    places: &Places,
    run: &Run,
    open_files: u64,
    machine: &str,
) -> Result<Section> {
    let room = usize::try_from(open_files.saturating_sub(SPARE))?;
    let count = CONNECTIONS.min(room);
    ensure!(
        count > 0,
        "only {open_files} open files are allowed: raise `ulimit -Hn`"
    );
    let fewer = if count < CONNECTIONS {
        format!(" Fewer than {CONNECTIONS}, since this machine allows {open_files} open files.")
    } else {
        String::new()
    };
    let connections = count + usize::try_from(SPARE)?;
    let mut table = Table::new(["", "MiB without", "MiB with", "KiB a connection"]);
    let mut add = |name: &str, [without, with]: [u64; 2]| {
        let each = with.saturating_sub(without) as f64 / count as f64;
        let mib = [without, with].map(|kib| figure(kib as f64 / 1024.0));
        table.row(
            std::iter::once(name.to_owned())
                .chain(mib)
                .chain([figure(each)]),
        );
    };
    if nginx::found() {
        let setup = nginx::Setup {
            connections: 2 * connections,
            ..nginx::Setup::default()
        };
        let proxy = stage.nginx(places, &setup)?;
        add("nginx", hold(&proxy, count, run).await.context("nginx")?);
    }
    let setup = Setup {
        connections: Some(connections),
        ..Setup::default()
    };
    let proxy = stage.weir(places, &setup)?;
    add("Weir", hold(&proxy, count, run).await.context("Weir")?);
    eprintln!("bench: idle connections, measured");
    Ok(Section {
        name: "idle connections",
        text: format!(
            "{machine}\n{} connections that each had one answer and are kept.{fewer}\n\n{table}",
            figure(count as f64)
        ),
        plots: Vec::new(),
    })
}

/// Resident memory without and with the connections, in KiB.
async fn hold(proxy: &Proxy, count: usize, run: &Run) -> Result<[u64; 2]> {
    let request = Shape::Page.request(Values::Same);
    let ask = async || {
        let mut connection = Connection::open(proxy.listener(), request.clone()).await?;
        connection.pass(&run.counter).await?;
        anyhow::Ok(connection)
    };
    ask().await?;
    let without = proxy.usage()?.resident_kib;
    let mut held = Vec::with_capacity(count);
    while held.len() < count {
        let some = BATCH.min(count - held.len());
        held.extend(try_join_all((0..some).map(|_| ask())).await?);
    }
    let with = proxy.usage()?.resident_kib;
    // All of them still answer: none was closed meanwhile.
    for some in held.chunks_mut(BATCH) {
        try_join_all(some.iter_mut().map(|one| one.pass(&run.counter))).await?;
    }
    Ok([without, with])
}
