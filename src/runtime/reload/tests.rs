#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

use std::fs;
use std::path::Path;

use super::*;
use crate::test_bundle::{self, ATTACK, ORDINARY, Variant};
use crate::testing;
use crate::{detect, detect::Verdict};

struct Site {
    directory: tempfile::TempDir,
    shared: Arc<Shared>,
    reloader: Reloader,
}

const CONFIG: &str = "\
listen: [{address: '127.0.0.1:0'}]
admin: {address: '127.0.0.1:0'}
model: {bundle: bundle}
workers: 1
audit: {output: 'off'}
upstreams: [{name: app, address: '127.0.0.1:9'}]
routes:
  - {id: all, upstream: app, mode: enforce}
  - {id: shop, path: /shop, upstream: app, mode: enforce, budgets: {flag: 1/100, block: 1/500}}
";

impl Site {
    fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        test_bundle::publish(&directory.path().join("bundle"));
        let file = directory.path().join("weir.yaml");
        fs::write(&file, CONFIG).unwrap();
        let context = Context {
            onnxruntime: None,
            metrics: Metrics::new(),
        };
        let snapshot = build(config::load(&file).unwrap(), None, &context).unwrap();
        let shared = testing::shared(snapshot);
        let context = Context {
            metrics: Arc::clone(&shared.metrics),
            ..context
        };
        let reloader = Reloader::start(Arc::clone(&shared), file, context);
        Self {
            directory,
            shared,
            reloader,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn write(&self, config: &str) {
        fs::write(self.path("weir.yaml"), config).unwrap();
    }

    fn verdict(&self, target: &str) -> Verdict {
        let pinned = self.shared.pin();
        let route = pinned.route(b"any", b"/").unwrap();
        detect::inspect(
            &self.shared,
            &pinned,
            route,
            &testing::inspection(testing::view(target)),
        )
        .verdict
    }

    async fn refused(&self) -> String {
        let before = self.shared.pin();
        let error = self
            .reloader
            .reload(Trigger::Api)
            .await
            .unwrap_err()
            .to_string();
        let after = self.shared.pin();
        assert!(Arc::ptr_eq(&before, &after), "the running snapshot changed");
        assert_eq!(self.verdict(ATTACK), Verdict::Block);
        error
    }
}

fn flip(file: &Path) {
    let mut bytes = fs::read(file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file, bytes).unwrap();
}

#[tokio::test]
async fn a_new_bundle_is_swapped_in_and_requests_in_flight_keep_theirs() {
    let site = Site::start();
    assert_eq!(
        (site.verdict(ORDINARY), site.verdict(ATTACK)),
        (Verdict::Pass, Verdict::Block)
    );
    let pinned = site.shared.pin();
    let next = test_bundle::publish_variant(
        &site.path("bundle"),
        Variant {
            number: 1,
            request: true,
        },
    );
    let done = site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(
        (done.generation, done.bundle.as_deref()),
        (2, Some(next.id.as_str()))
    );
    assert_eq!(site.shared.pin().bundle_id(), Some(next.id.as_str()));
    assert_ne!(pinned.bundle_id(), Some(next.id.as_str()));
    assert_eq!(
        (site.verdict(ORDINARY), site.verdict(ATTACK)),
        (Verdict::Pass, Verdict::Block)
    );
    let metrics = site.shared.metrics.render();
    assert!(
        metrics.contains("weir_reloads_total{trigger=\"api\",outcome=\"ok\"} 1"),
        "{metrics}"
    );
    assert!(
        metrics.contains("weir_generation 2") && metrics.contains(&next.id),
        "{metrics}"
    );
}

#[tokio::test]
async fn a_bad_bundle_leaves_the_running_one() {
    let site = Site::start();
    let model = site.path("bundle/field.onnx");
    let intact = fs::read(&model).unwrap();
    flip(&model);
    let error = site.refused().await;
    assert!(error.contains("field.onnx"), "{error}");
    fs::write(&model, &intact[..intact.len() / 2]).unwrap();
    assert!(site.refused().await.contains("field.onnx"));
    fs::write(&model, &intact).unwrap();
    let manifest = site.path("bundle/manifest.json");
    let text = fs::read_to_string(&manifest).unwrap();
    let fingerprint = weir_features::schema::fingerprint();
    fs::write(&manifest, text.replace(&fingerprint, "v1-0000000000000000")).unwrap();
    let error = site.refused().await;
    assert!(error.contains("trained with extractor"), "{error}");
    fs::remove_dir_all(site.path("bundle")).unwrap();
    site.refused().await;
    assert!(
        site.shared
            .metrics
            .render()
            .contains("outcome=\"failed\"} 4")
    );
}

#[tokio::test]
async fn a_bad_configuration_leaves_the_running_one() {
    let site = Site::start();
    site.write(&CONFIG.replace("mode: enforce}", "mode: enforce, speed: 9}"));
    let error = site.refused().await;
    assert!(
        error.contains("weir.yaml:8:") && error.contains("speed: unknown key"),
        "{error}"
    );
    site.write(&CONFIG.replace(
        "{address: '127.0.0.1:0'}]",
        "{address: '127.0.0.1:0', tls: {certificate: no.pem, key: no.pem}}]",
    ));
    // Whether a listener speaks TLS is fixed at the start, so that this file is not even opened ...
    let done = site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(done.restart_needed, ["listen"]);
    // ... but a start with it fails.
    let source = crate::app::Source {
        file: site.path("weir.yaml"),
        onnxruntime: None,
    };
    let error = crate::app::check(&source, crate::app::Purpose::Start)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("listen[0].tls") && error.contains("no.pem"),
        "{error}"
    );
}

#[tokio::test]
async fn settings_that_need_a_restart_are_named_and_kept() {
    let site = Site::start();
    let changed = CONFIG.replace(
        "workers: 1",
        "workers: 2\nlimits: {clients: 777}\nlog: {level: debug}",
    );
    site.write(&changed.replace("mode: enforce}", "mode: shadow}"));
    let done = site.reloader.reload(Trigger::Signal).await.unwrap();
    assert_eq!(done.restart_needed, ["workers", "limits.clients", "log"]);
    let running = site.shared.pin();
    assert_eq!(running.config.workers, 1);
    assert_eq!(
        running.routes.by_id("all").unwrap().policy.mode,
        config::Mode::Shadow
    );
}

#[tokio::test]
async fn thresholds_change_at_once_and_hold_until_the_next_load() {
    let site = Site::start();
    let lenient = |route: Option<&str>| ThresholdChange {
        route: route.map(str::to_owned),
        flag: Some("score: 98".parse().unwrap()),
        block: Some("score: 99".parse().unwrap()),
    };
    let (generation, answers) = site
        .reloader
        .thresholds(lenient(Some("all")))
        .await
        .unwrap();
    assert_eq!((generation, answers.len()), (2, 1));
    assert_eq!(answers[0].old.block.to_string(), "1/1000");
    assert_eq!(answers[0].new.block.to_string(), "score: 99");
    assert_ne!(site.verdict(ATTACK), Verdict::Block);
    let (generation, answers) = site.reloader.thresholds(lenient(None)).await.unwrap();
    assert_eq!((generation, answers.len()), (3, 2));
    assert!(site.shared.pin().overridden);
    let done = site.reloader.reload(Trigger::Api).await.unwrap();
    assert!(done.replaced_thresholds);
    assert_eq!((done.generation, site.verdict(ATTACK)), (4, Verdict::Block));
    assert!(!site.shared.pin().overridden);
}

#[tokio::test]
async fn thresholds_that_make_no_sense_change_nothing() {
    let site = Site::start();
    let change = |route: Option<&str>, flag: Option<&str>, block: Option<&str>| ThresholdChange {
        route: route.map(str::to_owned),
        flag: flag.map(|text| text.parse().unwrap()),
        block: block.map(|text| text.parse().unwrap()),
    };
    let error = site
        .reloader
        .thresholds(change(None, None, None))
        .await
        .unwrap_err();
    assert!(matches!(error, ThresholdError::Nothing));
    let error = site
        .reloader
        .thresholds(change(Some("nope"), Some("1/10"), None))
        .await
        .unwrap_err();
    assert!(matches!(error, ThresholdError::NoRoute(_)));
    // The first route would be fine, the second is not: neither changes.
    let error = site
        .reloader
        .thresholds(change(None, None, Some("1/150")))
        .await
        .unwrap_err();
    assert!(matches!(error, ThresholdError::Budgets { .. }), "{error}");
    assert_eq!(site.shared.pin().generation, 1);
}

#[tokio::test]
async fn log_rotation_works_even_when_the_reload_is_refused() {
    let site = Site::start();
    let records = site.path("records.jsonl");
    site.write(&CONFIG.replace("output: 'off'", "output: records.jsonl"));
    site.reloader.reload(Trigger::Signal).await.unwrap();
    fs::rename(&records, site.path("records.1")).unwrap();
    site.write("nonsense: 1\n");
    site.reloader.reload(Trigger::Api).await.unwrap_err();
    assert!(!records.exists());
    site.reloader.reload(Trigger::Signal).await.unwrap_err();
    assert!(records.exists());
}

#[tokio::test]
async fn a_bad_bundle_never_takes_a_good_one_away() {
    let site = Site::start();
    site.write(&CONFIG.replace("bundle: bundle", "bundle: bundle, required: false"));
    site.reloader.reload(Trigger::Api).await.unwrap();
    flip(&site.path("bundle/field.onnx"));
    assert!(site.refused().await.contains("field.onnx"));
}

#[tokio::test]
async fn an_admin_token_changes_with_its_file() {
    let site = Site::start();
    fs::write(site.path("token"), "0123456789abcdef").unwrap();
    let named = CONFIG.replace("admin: {", "admin: {token_file: token, ");
    site.write(&named);
    let done = site.reloader.reload(Trigger::Api).await.unwrap();
    assert!(done.restart_needed.is_empty());
    assert!(site.shared.pin().config.admin.token.is_some());
    // The listener stays where it is, and so does what protects it.
    site.write(&CONFIG.replace(
        "admin: {address: '127.0.0.1:0'}",
        "admin: {address: '127.0.0.1:9'}",
    ));
    let done = site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(done.restart_needed, ["admin.address"]);
    assert!(site.shared.pin().config.admin.token.is_some());
}

#[test]
fn a_model_that_is_not_required_may_be_missing() {
    let snapshot = testing::snapshot(testing::one_route("mode: enforce"), None);
    assert!(snapshot.engine.is_none() && snapshot.no_engine.is_some());
}

fn counted(site: &Site, metric: &str) -> u64 {
    let metrics = site.shared.metrics.render();
    let mut lines = metrics.lines();
    let value = lines.find_map(|line| line.strip_prefix(metric)?.strip_prefix("_total "));
    value.unwrap().parse().unwrap()
}

/// Hits and misses of a request.
fn asked(site: &Site, target: &str) -> (u64, u64) {
    let count = || {
        (
            counted(site, "weir_score_cache_hits"),
            counted(site, "weir_score_cache_misses"),
        )
    };
    let before = count();
    site.verdict(target);
    let after = count();
    (after.0 - before.0, after.1 - before.1)
}

#[tokio::test]
async fn batches_come_and_go_with_a_reload_and_a_provider_that_is_missing_shows() {
    let site = Site::start();
    let gauge = |site: &Site| site.shared.metrics.provider_fallback.get();
    assert_eq!(site.verdict(ATTACK), Verdict::Block);
    let model = "{batch: {rows: 256, wait: 50us}, score_cache: 0B, execution_provider: cuda, bundle: bundle";
    let patient = "mode: enforce, inspect: {deadline: 10s}";
    let batched = CONFIG.replace("{bundle: bundle", model);
    site.write(&batched.replace("mode: enforce", patient));
    site.reloader.reload(Trigger::Api).await.unwrap();
    let rows = counted(&site, "weir_rows");
    assert_eq!(site.verdict(ATTACK), Verdict::Block);
    assert_eq!(site.verdict(ORDINARY), Verdict::Pass);
    let runs = counted(&site, "weir_batches");
    assert_eq!(runs, 2);
    assert!(counted(&site, "weir_rows") > rows);
    let pinned = site.shared.pin();
    let engine = pinned.engine.as_deref().unwrap();
    assert_eq!(engine.batches().unwrap().rows, 256);
    // On a machine with a GPU it may well start.
    let provider = engine.provider();
    let fell_back = provider.actual != provider.requested;
    assert_eq!(gauge(&site), i64::from(fell_back));
    assert_eq!(provider.why.is_some(), fell_back);

    site.write(CONFIG);
    site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(site.verdict(ATTACK), Verdict::Block);
    // Counts stay, the engine with the batches is gone.
    assert_eq!(counted(&site, "weir_batches"), runs);
    assert_eq!(gauge(&site), 0);
    assert_eq!(site.shared.pin().engine.as_deref().unwrap().batches(), None);
}

#[tokio::test]
async fn the_score_cache_outlives_a_reload_and_belongs_to_one_bundle() {
    let site = Site::start();
    let (_, fields) = asked(&site, ORDINARY);
    assert!(fields > 0);
    assert_eq!(asked(&site, ORDINARY), (fields, 0));
    // Budgets are no part of a score.
    site.write(&CONFIG.replace("1/500", "1/400"));
    site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(asked(&site, ORDINARY), (fields, 0));
    let other = Variant {
        number: 1,
        request: true,
    };
    test_bundle::publish_variant(&site.path("bundle"), other);
    site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(asked(&site, ORDINARY), (0, fields));
    // Another size is another cache, and none is none.
    let size = |size: &str| {
        CONFIG.replace(
            "{bundle: bundle",
            &format!("{{score_cache: {size}, bundle: bundle"),
        )
    };
    site.write(&size("64KiB"));
    site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(asked(&site, ORDINARY), (0, fields));
    site.write(&size("0B"));
    site.reloader.reload(Trigger::Api).await.unwrap();
    assert_eq!(asked(&site, ORDINARY), (0, 0));
    assert_eq!(site.verdict(ATTACK), Verdict::Block);
}
