//! The whole way to a score, with the bundle that ships or the one that `BUNDLE` names.

use std::path::PathBuf;
use std::sync::OnceLock;

use divan::Bencher;
use divan::counter::ItemsCount;
use weir_features::profile::{NewEndpoints, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, Scratch};
use weir_scoring::bundle::Bundle;
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{Engine, EngineOptions, EngineScratch, NoExceptions, Subject, Visit};
use weir_scoring::ort::{ExecutionProvider, Runtime};
use weir_scoring::record::OwnedRequest;

use crate::profiled;
use crate::shapes::{self, Shape};

type Failure = Box<dyn std::error::Error>;

/// Scores with a field detector only, as the shipped base has.
pub(crate) fn bench(bencher: Bencher<'_, '_>, shape: &Shape) {
    static ENGINE: OnceLock<Option<Engine>> = OnceLock::new();
    let Some(engine) = loaded(&ENGINE, load) else {
        return bencher.bench(|| ());
    };
    let request = shape.request();
    let mut scratch = EngineScratch::default();
    let rows = score(engine, &request, None, &mut scratch);
    bencher
        .counter(ItemsCount::new(rows))
        .bench_local(|| score(engine, &request, None, &mut scratch));
}

/// The cache of scores before the model.
#[derive(Clone, Copy)]
pub(crate) enum Cache {
    Absent,
    /// Of the default size, after all requests have been scored.
    Warm,
    /// Four entries: whatever comes is new.
    Cold,
}

impl Cache {
    /// An engine with this cache, loaded once.
    fn engine(self) -> Option<&'static Engine> {
        static ENGINES: [OnceLock<Option<Engine>>; 3] = [const { OnceLock::new() }; 3];
        let bytes = match self {
            Self::Absent => 0,
            Self::Warm => 4 << 20,
            Self::Cold => 64,
        };
        loaded(&ENGINES[self as usize], || {
            let engine = load_profiled()?;
            Ok(match ScoreCache::new(bytes) {
                Some(cache) => engine.with_cache(cache.into())?,
                None => engine,
            })
        })
    }
}

/// The same with a profile of the site, and requests that differ in every value: nothing is in the processor's caches
/// because the last request was the same.
pub(crate) fn bench_profiled(bencher: Bencher<'_, '_>, shape: &Shape, cache: Cache) {
    let Some(engine) = cache.engine() else {
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

fn score(
    engine: &Engine,
    request: &OwnedRequest,
    new: Option<&NewEndpoints>,
    scratch: &mut EngineScratch,
) -> usize {
    let assessed = request.with_view(|view| {
        let visit = new.map(|new_endpoints| Visit {
            client: 1,
            time: 0.0,
            new_endpoints,
        });
        let subject = Subject {
            visit,
            ..Subject::of(view)
        };
        engine.score(0, &subject, &NoExceptions, scratch)
    });
    let assessed = assessed.expect("a score");
    assessed.rows + assessed.cache.hits
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

const OPTIONS: EngineOptions = EngineOptions {
    workers: 1,
    provider: ExecutionProvider::Cpu,
};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn runtime() -> Result<&'static Runtime, Failure> {
    Ok(Runtime::load(None, Some(&root().join(".onnxruntime")))?)
}

fn bundle() -> Result<Bundle, Failure> {
    let named = std::env::var_os("BUNDLE").map(PathBuf::from);
    Ok(Bundle::open(
        named.unwrap_or_else(|| root().join("models/base")),
    )?)
}

fn load() -> Result<Engine, Failure> {
    Ok(Engine::load(runtime()?, &bundle()?, &OPTIONS)?)
}

/// The bundle with a profile of all shapes, as 20 clients sent them.
fn load_profiled() -> Result<Engine, Failure> {
    let plain = bundle()?;
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    let mut scratch = Scratch::default();
    for (shape, source) in shapes::SHAPES
        .iter()
        .flat_map(|shape| (0..20).map(move |source| (shape, source)))
    {
        // Odd variants: the measured ones bring values that are new as well as values that are known.
        let request = shape.variant(source * 2 + 1);
        request.with_view(|view| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            builder.observe(view, &fields, source as u64);
        });
    }
    let directory = tempfile::tempdir()?;
    let target = directory.path().join("bundle");
    profiled::publish(&plain, &builder.to_bytes(), &target)?;
    Ok(Engine::load(runtime()?, &Bundle::open(&target)?, &OPTIONS)?)
}
