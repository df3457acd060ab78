//! What `perf` sees of Weir while it answers one shape after another. Not here: what the samples belong to, see
//! `scripts/samples.py`.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::Run;
use crate::children::Program;
use crate::client::Connection;
use crate::cores::Places;
use crate::load;
use crate::peers::Stage;
use crate::request::Values;
use crate::shapes::Shape;
use crate::weir::Setup;

/// Connections, caches and `perf` itself are there before a sample is taken.
const WARM_UP: Duration = Duration::from_millis(500);
/// Samples a second: no multiple of anything that happens a hundred or a thousand times a second.
const SAMPLES: &str = "4999";

/// The shapes, and whether every value of them is new; the names are those of files, and of columns.
const CASES: [(&str, Shape, Values); 6] = [
    ("a", Shape::Page, Values::Same),
    ("b", Shape::Form, Values::Same),
    ("c", Shape::Json, Values::Same),
    ("d", Shape::LargeJson, Values::Same),
    ("b, new", Shape::Form, Values::Distinct),
    ("c, new", Shape::Json, Values::Distinct),
];

/// Writes one file of samples for each case, and `cases` with their names.
pub(crate) async fn record(stage: &Stage, places: &Places, run: &Run, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| format!("cannot make {}", to.display()))?;
    let proxy = stage.weir(places, &Setup::default())?;
    let mut listing = String::new();
    for (name, shape, values) in CASES {
        let request = shape.request(values);
        let count = shape.connections();
        let mut connections = Connection::open_many(proxy.listener(), &request, count).await?;
        load::closed(&mut connections, WARM_UP, &run.counter).await?;
        let mut perf = Command::new("perf");
        perf.args(["record", "--quiet", "-e", "cpu-clock", "-F", SAMPLES, "-p"]);
        perf.arg(proxy.id().to_string())
            .arg("-o")
            .arg(to.join(name));
        perf.args(["--", "sleep"])
            .arg(run.time.as_secs_f64().to_string());
        let mut perf = Program::start("perf", perf, to.join("output"))?;
        load::closed(&mut connections, run.time + WARM_UP, &run.counter).await?;
        perf.finish().await?;
        listing += &format!("{name}\n");
        eprintln!("bench: samples of {name}");
    }
    fs::write(to.join("cases"), listing).context("cannot write the list of cases")
}
