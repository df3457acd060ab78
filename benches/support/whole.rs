//! The whole way to a score, measured. Not here: how engines are made, see `engines`.

use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use weir_features::profile::NewEndpoints;
use weir_scoring::engine::{Engine, EngineScratch};
use weir_scoring::record::OwnedRequest;

use crate::engines::{self, Cache, Failure, score};
use crate::hostile::Filled;
use crate::shapes::{self, Shape};

/// Scores with a field detector only, as the shipped base has.
pub(crate) fn bench(bencher: Bencher<'_, '_>, shape: &Shape) {
    let Some(engine) = plain() else {
        return bencher.bench(|| ());
    };
    let request = shape.request();
    let mut scratch = EngineScratch::default();
    let rows = score(engine, &request, None, &mut scratch);
    bencher
        .counter(ItemsCount::new(rows))
        .bench_local(|| score(engine, &request, None, &mut scratch));
}

/// The same for a request that fills so many bytes, with the throughput that tells how it compares.
pub(crate) fn bench_filled(bencher: Bencher<'_, '_>, filled: &Filled, bytes: usize) {
    let Some(engine) = plain() else {
        return bencher.bench(|| ());
    };
    let request = filled.request(bytes);
    let mut scratch = EngineScratch::default();
    let rows = score(engine, &request, None, &mut scratch);
    bencher
        .counter(ItemsCount::new(rows))
        .counter(BytesCount::new(bytes))
        .bench_local(|| score(engine, &request, None, &mut scratch));
}

/// The same with a profile of the site, and requests that differ in every value: nothing is in the processor's caches
/// because the last request was the same.
pub(crate) fn bench_profiled(bencher: Bencher<'_, '_>, shape: &Shape, cache: Cache) {
    static ENGINES: [OnceLock<Option<Engine>>; 3] = [const { OnceLock::new() }; 3];
    let Some(engine) = loaded(&ENGINES[cache as usize], || engines::profiled(cache)) else {
        return bencher.bench(|| ());
    };
    let requests: Vec<OwnedRequest> = (0..shapes::VARIANTS).map(|n| shape.variant(n)).collect();
    let new = NewEndpoints::new(1024, 20, 3600.0);
    let mut scratch = EngineScratch::default();
    // One round, which also fills the cache that is to be warm.
    let mut rows = 0;
    for request in &requests {
        rows = score(engine, request, Some(&new), &mut scratch);
    }
    let mut next = (0..requests.len()).cycle();
    bencher.counter(ItemsCount::new(rows)).bench_local(|| {
        let request = next.next().and_then(|index| requests.get(index));
        score(
            engine,
            request.expect("a request"),
            Some(&new),
            &mut scratch,
        )
    });
}

fn plain() -> Option<&'static Engine> {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    loaded(&ENGINE, || engines::plain(engines::Cache::Absent))
}

fn loaded(
    engine: &'static OnceLock<Option<Engine>>,
    load: impl FnOnce() -> Result<Engine, Failure>,
) -> Option<&'static Engine> {
    engine
        .get_or_init(|| match load() {
            Ok(engine) => Some(engine),
            Err(why) => {
                println!("note: scoring is not measured: {why}");
                None
            }
        })
        .as_ref()
}
