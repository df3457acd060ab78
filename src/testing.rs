//! What unit tests of several rooms share: a snapshot without files, and scorers that behave as told.
//!
//! Not here: anything with sockets (`tests/`).

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::path::Path;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use weir_features::RequestView;
use weir_scoring::budget::{Score, Scores};
use weir_scoring::bundle::{Bundle, Manifest};
use weir_scoring::engine::{
    Assessment, CacheUse, EngineScratch, FieldFilter, ScoreError, Subject, Timings,
};
use weir_scoring::ort::{ExecutionProvider, ProviderStatus, SessionError};
use weir_scoring::reason::{Reason, SecretKeys};

use crate::audit::Audit;
use crate::capture::{Capture, Prepared};
use crate::config::{self, Config};
use crate::detect::{Inspection, Scorer};
use crate::runtime::build::{Context, build};
use crate::runtime::{Shared, Snapshot};
use crate::telemetry::Metrics;
use crate::test_bundle;
use crate::units::ClientIp;

/// A configuration from YAML that reads no file.
pub(crate) fn config(yaml: &str) -> Config {
    let read = |_: &Path| Err(std::io::Error::other("no files here"));
    config::parse(yaml, Path::new("/nowhere"), &read)
        .unwrap_or_else(|problems| panic!("{problems:?}"))
}

/// A configuration with one route, `all`, whose keys are given in YAML flow style.
pub(crate) fn one_route(route: &str) -> Config {
    config(&format!(
        "listen: [{{address: '127.0.0.1:0'}}]\nadmin: {{address: '127.0.0.1:0'}}\nmodel: {{required: false}}\n\
         audit: {{output: 'off'}}\nupstreams: [{{name: app, address: '127.0.0.1:9'}}]\n\
         routes: [{{id: all, upstream: app, {route}}}]\n"
    ))
}

/// A snapshot of a configuration without a model, with a scorer put in.
pub(crate) fn snapshot(config: Config, scorer: Option<Fake>) -> Snapshot {
    let context = Context {
        onnxruntime: None,
        metrics: Metrics::new(),
    };
    let mut snapshot = build(config, None, &context).expect("a snapshot");
    snapshot.engine = scorer.map(|fake| Arc::new(fake) as Arc<dyn Scorer>);
    snapshot
}

/// State around a snapshot.
pub(crate) fn shared(snapshot: Snapshot) -> Arc<Shared> {
    let metrics = Metrics::new();
    let audit = Audit::start(&snapshot.config.audit.output, Arc::clone(&metrics)).unwrap();
    let prepared = Prepared::open(snapshot.config.capture.as_ref()).unwrap();
    let capture = Capture::start(prepared, Arc::clone(&metrics)).unwrap();
    Arc::new(Shared::new(snapshot, metrics, audit, capture))
}

/// A plain GET.
pub(crate) fn view(target: &str) -> RequestView<'_> {
    RequestView {
        method: b"GET",
        target: target.as_bytes(),
        headers: &[],
        body: b"",
        body_truncated: false,
    }
}

/// An inspection that begins now.
pub(crate) fn inspection(request: RequestView<'_>) -> Inspection<'_> {
    Inspection {
        request,
        client: client(),
        time: SystemTime::now(),
        started: Instant::now(),
    }
}

/// Somebody.
pub(crate) fn client() -> ClientIp {
    ClientIp::new("192.0.2.1".parse().unwrap())
}

/// The defect that nobody has found yet: a request with `x-test: panic` meets it.
pub(crate) fn panic_if_told(head: &http::request::Parts) {
    assert!(
        head.headers
            .get("x-test")
            .is_none_or(|told| told != "panic"),
        "as told"
    );
}

/// How a fake scorer behaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Behaviour {
    /// Answers this score for every request.
    Scores(f32),
    /// Answers the score only if `query_value q` is scored, else 0.
    UnlessExcepted(f32),
    /// Fails.
    Fails,
    /// Panics.
    Panics,
}

/// A scorer that behaves as told.
#[derive(Debug)]
pub(crate) struct Fake {
    behaviour: Behaviour,
    manifest: Manifest,
    provider: ProviderStatus,
}

impl Fake {
    pub(crate) fn new(behaviour: Behaviour) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let bundle = directory.path().join("bundle");
        test_bundle::publish(&bundle);
        Self {
            behaviour,
            manifest: Bundle::open(&bundle).unwrap().manifest().clone(),
            provider: ProviderStatus {
                requested: ExecutionProvider::Cpu,
                actual: ExecutionProvider::Cpu,
                why: None,
            },
        }
    }
}

impl Scorer for Fake {
    fn wants_vector(&self) -> bool {
        true
    }

    fn score(
        &self,
        _worker: usize,
        subject: &Subject<'_>,
        filter: &dyn FieldFilter,
        _scratch: &mut EngineScratch,
    ) -> Result<Assessment, ScoreError> {
        assert!(
            subject.vector.is_some() || subject.request.body_truncated,
            "the windows of the client were asked"
        );
        assert!(subject.visit.is_some(), "it is known who came");
        let score = match self.behaviour {
            Behaviour::Scores(score) => score,
            Behaviour::UnlessExcepted(_)
                if filter.excepted(weir_features::Location::QueryValue, b"q") =>
            {
                0.0
            }
            Behaviour::UnlessExcepted(score) => score,
            Behaviour::Fails => {
                let source = SessionError::NotFinite("error");
                return Err(ScoreError::Detector {
                    detector: "field",
                    source,
                });
            }
            Behaviour::Panics => panic!("as told"),
        };
        let score = Score::new(score);
        let scores = Scores {
            combined: score,
            blocking: score,
            field: score,
            request: None,
        };
        Ok(Assessment {
            scores,
            rows: 1,
            cache: CacheUse::default(),
            timings: Timings::default(),
            top: None,
            new_path: None,
        })
    }

    fn explain(
        &self,
        _worker: usize,
        _subject: &Subject<'_>,
        _filter: &dyn FieldFilter,
        _scratch: &mut EngineScratch,
        _secrets: &SecretKeys,
    ) -> Result<Reason, ScoreError> {
        Ok(Reason {
            fields: Vec::new(),
            request: None,
        })
    }

    fn bundle_id(&self) -> &str {
        &self.manifest.id
    }

    fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    fn provider(&self) -> &ProviderStatus {
        &self.provider
    }
}
