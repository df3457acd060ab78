//! The whole pipeline on a small synthetic capture: what it publishes, that it repeats itself, and what it leaves behind
//! when it is stopped.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use weir_features::profile::ProfileBuilder;
use weir_features::{
    ClientKey, ClientWindows, Extractor, Location, RequestContext, RequestView, Scratch,
};
use weir_scoring::bundle::{Bundle, PROFILE};
use weir_train::fit::{Detectors, FitOptions, HeldOut, fit};
use weir_train::progress::{Progress, Stop, Stopped};
use weir_train::train::{FieldOptions, RequestOptions};

/// A shop's capture: `count` requests of a few clients, with responses.
fn capture(path: &Path, count: usize, seed: u64) {
    let mut rng = ChaCha8Rng::seed_from_u64(seed);
    let mut word =
        |length: usize| -> String { (0..length).map(|_| rng.random_range('a'..='z')).collect() };
    let mut file = fs::File::create(path).unwrap();
    for i in 0..count {
        let (method, uri, body) = match i % 4 {
            0 => (
                "GET",
                format!("/search?q={}+{}&page={}", word(6), word(4), i % 9),
                None,
            ),
            1 => ("GET", format!("/item/{i}?ref={}", word(8)), None),
            2 => (
                "POST",
                "/comment".to_owned(),
                Some(format!("item={i}&text={}+{}", word(5), word(7))),
            ),
            _ => (
                "POST",
                "/api/cart".to_owned(),
                Some(json!({"sku": word(6), "count": i % 5}).to_string()),
            ),
        };
        let record = json!({
            "method": method, "uri": uri, "body": body,
            "headers": [["Host", "shop.example"], ["User-Agent", format!("Mozilla/5.0 {}", i % 3)],
                ["Cookie", format!("sid={}", word(16))]],
            "client": format!("10.0.0.{}", i % 7), "time": 1_800_000_000 + i, "status": 200,
            "response_bytes": 900 + i % 50,
        });
        writeln!(file, "{record}").unwrap();
    }
}

fn attacks(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    for i in 0..40 {
        for (payload, class) in [
            (format!("{i}' UNION SELECT password FROM users-- -"), "sqli"),
            (format!("<script>alert({i})</script>"), "xss"),
            (format!("../../../{i}/etc/passwd"), "traversal"),
        ] {
            writeln!(
                file,
                "{}",
                json!({"payload": payload, "attack_class": class, "source": "test"})
            )
            .unwrap();
        }
    }
}

fn options(directory: &Path, out: &str) -> FitOptions {
    FitOptions {
        normal: vec![directory.join("normal.jsonl")],
        drop_cookies: Vec::new(),
        exposure: vec![directory.join("attacks.jsonl")],
        base: None,
        out: directory.join(out),
        detectors: Detectors::Auto,
        field: FieldOptions {
            hidden: vec![16, 6],
            epochs: 1,
            ..FieldOptions::default()
        },
        request: RequestOptions {
            epochs: 4,
            ..RequestOptions::default()
        },
        exposure_rows: Some(400),
        held_out: HeldOut::Auto,
        folds: 1,
        quarantine: None,
        onnxruntime: None,
        seed: 1,
        threads: 2,
    }
}

fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    capture(&directory.path().join("normal.jsonl"), 400, 1);
    attacks(&directory.path().join("attacks.jsonl"));
    directory
}

fn run(options: &FitOptions) -> Bundle {
    fit(options, Progress::Silent, &Stop::default()).unwrap();
    Bundle::open(&options.out).unwrap()
}

fn without_created(bundle: &Bundle) -> Value {
    let mut manifest = serde_json::to_value(bundle.manifest()).unwrap();
    manifest.as_object_mut().unwrap().remove("created");
    manifest
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    entries.sort();
    entries
}

#[test]
fn one_seed_gives_one_bundle_whatever_the_threads() {
    let directory = directory();
    let first = run(&options(directory.path(), "first"));
    let second = run(&FitOptions {
        threads: 1,
        ..options(directory.path(), "second")
    });
    let other = run(&FitOptions {
        seed: 2,
        ..options(directory.path(), "other")
    });
    for file in ["field.onnx", "request.onnx"] {
        assert_eq!(
            first.file(file).unwrap(),
            second.file(file).unwrap(),
            "{file}"
        );
        assert_ne!(
            first.file(file).unwrap(),
            other.file(file).unwrap(),
            "{file}"
        );
    }
    assert_eq!(without_created(&first), without_created(&second));
}

#[test]
fn a_capture_trains_both_detectors_and_the_manifest_holds_no_raw_value() {
    let directory = directory();
    let bundle = run(&options(directory.path(), "bundle"));
    let manifest = bundle.manifest();
    assert_eq!(
        manifest.detectors.request.as_ref().unwrap().network,
        [35, 24, 12, 6, 12, 24, 35]
    );
    assert!(manifest.calibration.combined.is_some());
    assert_eq!(manifest.data.normal_requests, 400);
    let text = serde_json::to_string(manifest).unwrap();
    let sample = fs::read_to_string(directory.path().join("normal.jsonl")).unwrap();
    for line in sample.lines().take(40) {
        let record: Value = serde_json::from_str(line).unwrap();
        let cookie = record["headers"][2][1]
            .as_str()
            .unwrap()
            .trim_start_matches("sid=")
            .to_owned();
        assert!(!text.contains(&cookie), "{cookie} is in the manifest");
    }
}

#[test]
fn a_base_is_tuned_or_kept() {
    let directory = directory();
    let base = run(&FitOptions {
        detectors: Detectors::Field,
        ..options(directory.path(), "base")
    });
    assert!(base.manifest().detectors.request.is_none());

    let with_base = |out: &str, detectors| FitOptions {
        base: Some(directory.path().join("base")),
        exposure: Vec::new(),
        detectors,
        ..options(directory.path(), out)
    };
    let kept = run(&with_base("kept", Detectors::Request));
    assert_eq!(kept.file("field.onnx"), base.file("field.onnx"));
    assert_eq!(
        kept.manifest().calibration.field,
        base.manifest().calibration.field
    );
    assert!(kept.manifest().detectors.request.is_some());

    let tuned = run(&with_base("tuned", Detectors::Auto));
    assert_ne!(tuned.file("field.onnx"), base.file("field.onnx"));
    assert_eq!(
        tuned.manifest().detectors.field.network,
        base.manifest().detectors.field.network
    );
    assert!(
        tuned
            .manifest()
            .data
            .sources
            .iter()
            .any(|source| source.starts_with("base "))
    );
}

/// A capture of one endpoint with one parameter that the other captures do not have.
fn capture_of(path: &Path, endpoint: &str, parameter: &str) {
    let mut file = fs::File::create(path).unwrap();
    for i in 0..300 {
        let record = json!({
            "method": "GET", "uri": format!("/{endpoint}?{parameter}={}", i * 7919 % 10_007),
            "headers": [["Host", "shop.example"]], "client": format!("10.0.0.{}", i % 7),
            "time": 1_800_000_000 + i,
        });
        writeln!(file, "{record}").unwrap();
    }
}

/// Whether the bundle's profile knows the parameter at the endpoint.
fn knows(bundle: &Bundle, endpoint: &str, parameter: &str) -> bool {
    let profile = ProfileBuilder::from_bytes(bundle.file(PROFILE).unwrap())
        .unwrap()
        .freeze();
    let target = format!("/{endpoint}?{parameter}=7");
    let request = RequestView {
        method: b"GET",
        target: target.as_bytes(),
        headers: &[(b"Host", b"shop.example")],
        body: b"",
        body_truncated: false,
    };
    let mut scratch = Scratch::default();
    let fields = Extractor::shared().extract(&request, &mut scratch);
    let value = fields
        .iter()
        .find(|field| field.location == Location::QueryValue)
        .unwrap();
    let usual = profile.endpoint(&request, &fields).usual(&value).unwrap();
    usual.is_endpoint_known && usual.is_key_known
}

#[test]
fn a_bases_profile_is_continued() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    attacks(&path.join("attacks.jsonl"));
    let step = |name: &str, endpoint: &str, parameter: &str, base: Option<&str>| {
        let normal = path.join(format!("{name}.jsonl"));
        capture_of(&normal, endpoint, parameter);
        run(&FitOptions {
            normal: vec![normal],
            detectors: Detectors::Field,
            base: base.map(|base| path.join(base)),
            ..options(path, name)
        })
    };
    let first = step("first", "search", "term", None);
    assert!(knows(&first, "search", "term") && !knows(&first, "offer", "page"));
    let second = step("second", "offer", "page", Some("first"));
    assert!(knows(&second, "search", "term") && knows(&second, "offer", "page"));
    let alone = step("alone", "offer", "page", None);
    assert!(!knows(&alone, "search", "term") && knows(&alone, "offer", "page"));

    let holds = second.manifest().data.profile.unwrap();
    assert_eq!((holds.requests, holds.sites, holds.endpoints), (600, 1, 2));
    assert_eq!(holds.bytes, second.file(PROFILE).unwrap().len() as u64);
    let listed = |bundle: &Bundle| {
        let files = &bundle.manifest().files;
        files.iter().any(|file| file.name == PROFILE)
    };
    assert!(listed(&first) && listed(&second));
}

#[test]
fn a_bundle_for_other_sites_holds_no_profile() {
    let directory = directory();
    let bundle = run(&FitOptions {
        detectors: Detectors::Field,
        held_out: HeldOut::Site,
        folds: 1,
        ..options(directory.path(), "bundle")
    });
    assert!(bundle.file(PROFILE).is_none());
    assert_eq!(bundle.manifest().data.profile, None);
}

#[test]
fn more_folds_judge_more_sites() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    attacks(&path.join("attacks.jsonl"));
    let site = path.join("site.jsonl");
    capture_of(&site, "search", "term");
    let text = fs::read_to_string(&site).unwrap();
    let many: String = (0..6)
        .map(|n| text.replace("shop.example", &format!("shop{n}.example")))
        .collect();
    let sites = path.join("sites.jsonl");
    fs::write(&sites, many).unwrap();
    let samples = |normal: &Path, folds| {
        let bundle = run(&FitOptions {
            normal: vec![normal.to_path_buf()],
            detectors: Detectors::Field,
            held_out: HeldOut::Site,
            folds,
            ..options(path, "bundle")
        });
        bundle.manifest().calibration.field.samples()
    };
    assert!(samples(&sites, 4) > samples(&sites, 1));
    // A single site is in one fold, and the others are empty.
    assert_eq!(samples(&site, 4), samples(&site, 1));
}

#[test]
fn sources_are_clients_where_the_capture_names_them() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    attacks(&path.join("attacks.jsonl"));
    let normal = path.join("normal.jsonl");
    capture_of(&normal, "search", "term");
    // One client, once: what it alone brings is not known afterwards.
    let mut file = fs::OpenOptions::new().append(true).open(&normal).unwrap();
    for i in 0..2 {
        let record = json!({
            "method": "GET", "uri": format!("/hidden?door={i}"), "headers": [["Host", "shop.example"]],
            "client": "10.9.9.9", "time": 1_800_000_100 + i,
        });
        writeln!(file, "{record}").unwrap();
    }
    let bundle = run(&FitOptions {
        normal: vec![normal],
        detectors: Detectors::Field,
        ..options(path, "bundle")
    });
    assert!(knows(&bundle, "search", "term") && !knows(&bundle, "hidden", "door"));
}

#[test]
fn a_stopped_run_leaves_nothing_behind() {
    let directory = directory();
    let before = entries(directory.path());
    let stop = Stop::default();
    stop.request();
    let error = fit(
        &options(directory.path(), "bundle"),
        Progress::Silent,
        &stop,
    )
    .unwrap_err();
    assert!(error.downcast_ref::<Stopped>().is_some(), "{error:#}");
    assert_eq!(entries(directory.path()), before);
}

#[test]
fn a_failed_run_leaves_the_old_bundle() {
    let directory = directory();
    let options = options(directory.path(), "bundle");
    let old = run(&options);
    fs::write(
        directory.path().join("normal.jsonl"),
        "{\"method\":\"GET\",\"uri\":\"/\"}\n",
    )
    .unwrap();
    let error = fit(&options, Progress::Silent, &Stop::default()).unwrap_err();
    assert!(error.to_string().contains("too few"), "{error:#}");
    assert_eq!(
        Bundle::open(&options.out).unwrap().manifest().id,
        old.manifest().id
    );
}

#[test]
fn planted_attacks_are_set_aside_for_review() {
    let directory = directory();
    let normal = directory.path().join("normal.jsonl");
    let mut file = fs::OpenOptions::new().append(true).open(&normal).unwrap();
    let early = json!({"method": "GET", "uri": "/search?q=1%27+union+select+password,null,version()+from+information_schema.tables--",
        "headers": [["Host", "shop.example"]], "client": "10.0.0.1", "time": 1_799_999_999, "status": 200,
        "response_bytes": 1});
    writeln!(file, "{early}").unwrap();
    let options = FitOptions {
        detectors: Detectors::Field,
        ..options(directory.path(), "bundle")
    };
    let report = fit(&options, Progress::Silent, &Stop::default()).unwrap();
    assert_eq!(report.quarantined_rows, 1);
    let review = fs::read_to_string(report.quarantine.unwrap()).unwrap();
    assert!(review.contains("union select password"), "{review}");
}

#[test]
fn vectors_of_a_capture_are_those_that_serving_computes() {
    let directory = directory();
    let read = weir_train::data::read_requests(
        &[directory.path().join("normal.jsonl")],
        &weir_train::data::ReadOptions::default(),
    )
    .unwrap();
    let vectors = weir_train::fit::vectors::replay(&read.records);
    let windows = ClientWindows::new(1000);
    for (i, (record, vector)) in read.records.iter().zip(&vectors).enumerate().take(50) {
        let address: std::net::IpAddr = record.client.as_deref().unwrap().parse().unwrap();
        let context = RequestContext {
            client: ClientKey::from(address),
            time: record.time.unwrap(),
            private_address: true,
            country: None,
        };
        let served = record
            .request
            .with_view(|view| windows.request(view, &context));
        windows.response(
            context.client,
            context.time,
            record.status.unwrap(),
            record.response_bytes.unwrap(),
        );
        let bits = |vector: &[f32]| {
            vector
                .iter()
                .map(|value| value.to_bits())
                .collect::<Vec<_>>()
        };
        assert_eq!(bits(&served), bits(vector), "request {i}");
    }
}
