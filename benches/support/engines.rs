//! Engines with the bundle that ships, or with the one that `BUNDLE` names. Not here: what is measured with them.

use std::path::{Path, PathBuf};

use weir_features::profile::{NewEndpoints, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, Scratch};
use weir_scoring::bundle::Bundle;
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{
    Engine, EngineOptions, EngineScratch, ForwardPass, Memory, NoExceptions, Subject, Visit,
};
use weir_scoring::ort::{ExecutionProvider, ProviderStatus, Runtime};
use weir_scoring::record::OwnedRequest;

use crate::{profiled, shapes};

pub(crate) type Failure = Box<dyn std::error::Error>;

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
    fn bytes(self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Warm => 4 << 20,
            Self::Cold => 64,
        }
    }
}

/// Scores with a field detector only, as the shipped base has, behind a cache.
pub(crate) fn plain(cache: Cache) -> Result<Engine, Failure> {
    behind(cache, Engine::load(runtime()?, &bundle()?, &OPTIONS)?)
}

/// An engine that knows the site of all shapes, behind a cache.
pub(crate) fn profiled(cache: Cache) -> Result<Engine, Failure> {
    behind(cache, load_profiled()?)
}

fn behind(cache: Cache, engine: Engine) -> Result<Engine, Failure> {
    Ok(match ScoreCache::new(cache.bytes()) {
        Some(cache) => engine.with_cache(cache.into())?,
        None => engine,
    })
}

/// Scores a request; how many fields it has.
pub(crate) fn score(
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

/// A profile of all shapes, as 20 clients sent them.
pub(crate) fn learned() -> ProfileBuilder {
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
    builder
}

/// The cache as an engine of the bundle sees it, without the engine.
pub(crate) fn memory() -> Result<Memory, Failure> {
    let cache = ScoreCache::new(Cache::Warm.bytes()).ok_or("no cache")?;
    let provider = ProviderStatus {
        requested: ExecutionProvider::Cpu,
        actual: ExecutionProvider::Cpu,
        why: None,
    };
    Ok(Memory::new(
        cache.into(),
        bundle()?.manifest(),
        &provider,
        ForwardPass::Sparse,
    )?)
}

const OPTIONS: EngineOptions = EngineOptions {
    workers: 1,
    provider: ExecutionProvider::Cpu,
};

/// The repository, from whichever package a bench belongs to.
fn root() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    let root = package
        .ancestors()
        .find(|folder| folder.join("models/base").is_dir());
    root.unwrap_or(package).to_owned()
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

fn load_profiled() -> Result<Engine, Failure> {
    let plain = bundle()?;
    let directory = tempfile::tempdir()?;
    let target = directory.path().join("bundle");
    profiled::publish(&plain, &learned().to_bytes(), &target)?;
    Ok(Engine::load(runtime()?, &Bundle::open(&target)?, &OPTIONS)?)
}
