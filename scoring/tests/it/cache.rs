//! Engines with a cache of scores against engines without.

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use weir_features::profile::NewEndpoints;
use weir_features::{Extractor, Location, Scratch};
use weir_scoring::bundle::{Bundle, FIELD_MODEL, Manifest, PROFILE};
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{
    Assessment, Engine, EngineScratch, FieldFilter, NoExceptions, Subject, Visit,
};
use weir_scoring::reason::SecretKeys;
use weir_scoring::record::OwnedRequest;

use crate::profile::learned;
use crate::traffic::{OPTIONS, PARTS, field_only, publish_as, request, runtime};

/// Rows are summed in another order when their number is another.
const TOLERANCE: f32 = 1e-5;
const MIB: usize = 1 << 20;

fn cache() -> Arc<ScoreCache> {
    Arc::new(ScoreCache::new(MIB).unwrap())
}

fn engine(profile: bool, manifest: Manifest, cache: Option<&Arc<ScoreCache>>) -> Engine {
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let mut files = vec![(FIELD_MODEL, PARTS.field.bytes())];
    if profile {
        files.push((PROFILE, learned().to_bytes()));
    }
    publish_as(&target, &files, manifest).unwrap();
    let engine = Engine::load(runtime(), &Bundle::open(&target).unwrap(), &OPTIONS).unwrap();
    match cache {
        Some(cache) => engine.with_cache(Arc::clone(cache)).unwrap(),
        None => engine,
    }
}

/// An engine and its own memory of new endpoints, so that two of them see the same visits.
struct Side {
    engine: Engine,
    new: NewEndpoints,
    scratch: EngineScratch,
}

impl Side {
    fn new(engine: Engine) -> Self {
        Self {
            engine,
            new: NewEndpoints::new(100, 3, 3600.0),
            scratch: EngineScratch::default(),
        }
    }

    fn score(
        &mut self,
        request: &OwnedRequest,
        client: u64,
        filter: &dyn FieldFilter,
    ) -> Assessment {
        let Self {
            engine,
            new,
            scratch,
        } = self;
        request
            .with_view(|view| {
                let visit = Some(Visit {
                    client,
                    time: 0.0,
                    new_endpoints: new,
                });
                let subject = Subject {
                    visit,
                    ..Subject::of(view)
                };
                engine.score(0, &subject, filter, scratch)
            })
            .unwrap()
    }
}

/// Scores only one parameter: the maximum over a request would hide the others.
struct Only<'a>(Location, &'a [u8]);

impl FieldFilter for Only<'_> {
    fn excepted(&self, location: Location, key: &[u8]) -> bool {
        (location, key) != (self.0, self.1)
    }
}

fn parameters(request: &OwnedRequest) -> BTreeSet<(Location, Vec<u8>)> {
    let mut scratch = Scratch::default();
    request.with_view(|view| {
        let fields = Extractor::shared().extract(view, &mut scratch);
        fields
            .iter()
            .map(|field| (field.location, field.key.to_vec()))
            .collect()
    })
}

fn same(plain: &Assessment, cached: &Assessment, what: &OwnedRequest) {
    let pairs = [
        (plain.scores.combined, cached.scores.combined),
        (plain.scores.blocking, cached.scores.blocking),
        (plain.scores.field, cached.scores.field),
    ];
    for (one, two) in pairs {
        let (one, two) = (one.value(), two.value());
        assert!(
            (one - two).abs() <= TOLERANCE * (1.0 + one.abs()),
            "{one} without the cache, {two} with it: {what:?}"
        );
    }
    assert_eq!(plain.new_path, cached.new_path);
    assert_eq!(plain.cache, Default::default());
    assert_eq!(cached.cache.misses, cached.rows);
    assert_eq!(cached.cache.hits + cached.cache.misses, plain.rows);
}

/// Each request whole and parameter by parameter, by an engine with a cache and one without.
fn agree(profile: bool, requests: &[(OwnedRequest, u64)]) {
    let mut plain = Side::new(engine(profile, field_only(), None));
    let mut cached = Side::new(engine(profile, field_only(), Some(&cache())));
    for (request, client) in requests {
        let whole = plain.score(request, *client, &NoExceptions);
        same(
            &whole,
            &cached.score(request, *client, &NoExceptions),
            request,
        );
        for (location, key) in parameters(request) {
            let only = Only(location, &key);
            let alone = plain.score(request, *client, &only);
            let known = cached.score(request, *client, &only);
            same(&alone, &known, request);
        }
        // By now all of it is known.
        let again = cached.score(request, *client, &NoExceptions);
        same(&whole, &again, request);
        assert_eq!((again.rows, again.cache.hits), (0, whole.rows));
    }
}

/// Few words in many places, so that what is the same here stands there as well.
fn requests() -> impl Strategy<Value = Vec<(OwnedRequest, u64)>> {
    let word = prop_oneof![
        Just("lamp"),
        Just("3"),
        Just("desk+lamp"),
        Just("%27+OR+1%3D1--"),
        Just("%2527"),
        Just("'"),
        Just("%u0027"),
        Just("/search"),
        Just("shop.example"),
        Just("http%3A%2F%2Fx%2F%3Fq%3Dlamp"),
        Just("bGFtcCBkZXNrIGxhbXA="),
    ];
    let name = prop_oneof![
        Just("q"),
        Just("page"),
        Just("p%61ge"),
        Just("x"),
        Just("lamp")
    ];
    let path = prop_oneof![
        Just("/search"),
        Just("/offer"),
        Just("/search/lamp"),
        Just("/x.php"),
        Just("/"),
    ];
    let host = prop_oneof![Just("shop.example"), Just("other.example")];
    let pairs = proptest::collection::vec((name, word.clone()), 0..4);
    let request = (host, path, pairs, 0u8..4, word, 0u64..5).prop_map(
        |(host, path, pairs, body, word, client)| {
            let pairs: Vec<String> = pairs.iter().map(|(n, v)| format!("{n}={v}")).collect();
            let pairs = pairs.join("&");
            let mut request = request(&format!("{path}?{pairs}"));
            request.headers[0].1 = host.into();
            request.headers.push((b"X-Word".to_vec(), word.into()));
            let kind = match body {
                0 => return (request, client),
                1 => "application/x-www-form-urlencoded",
                2 => "application/json",
                _ => "text/plain",
            };
            request.method = b"POST".to_vec();
            request
                .headers
                .push((b"Content-Type".to_vec(), kind.into()));
            request.body = match body {
                2 => {
                    format!("{{\"q\":\"{word}\",\"page\":3,\"list\":[\"{word}\",\"lamp\"]}}").into()
                }
                _ => pairs.into(),
            };
            (request, client)
        },
    );
    proptest::collection::vec(request, 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_cache_changes_no_score(requests in requests(), profile: bool) {
        agree(profile, &requests);
    }
}

/// Attacks and what looks like them, in a query, a form, a JSON document and a header.
#[test]
fn a_cache_changes_no_score_of_the_corpora() {
    let attacks = include_str!("../../../features/tests/data/code.txt");
    let lookalikes = include_str!("../../../features/tests/data/lookalikes.txt");
    let encoded = |text: &str| {
        text.bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect::<String>()
    };
    let lines = attacks.lines().chain(lookalikes.lines());
    let requests: Vec<(OwnedRequest, u64)> = lines
        .filter(|line| !line.is_empty())
        .zip(0u64..)
        .map(|(line, number)| {
            let mut request = request(&format!("/search?q={}&page=3", encoded(line)));
            if number % 2 == 0 {
                request.target = b"/offer".to_vec();
                request.method = b"POST".to_vec();
                request
                    .headers
                    .push((b"Content-Type".to_vec(), b"application/json".to_vec()));
                request.body = serde_json::json!({ "q": line, "page": 3 })
                    .to_string()
                    .into();
            }
            request.headers.push((b"X-Note".to_vec(), line.into()));
            (request, number % 7)
        })
        .collect();
    assert!(requests.len() > 300);
    for profile in [false, true] {
        agree(profile, &requests);
    }
}

/// A profile that knows the place says something else of the same value than one that does not.
#[test]
fn what_scored_in_one_place_is_not_taken_for_another() {
    let mut side = Side::new(engine(true, field_only(), Some(&cache())));
    let mut misses = |target: &str, host: &str, only: Only<'_>| {
        let mut request = request(target);
        request.headers[0].1 = host.into();
        side.score(&request, 1, &only).cache.misses
    };
    let q = |misses: &mut dyn FnMut(&str, &str, Only<'_>) -> usize, target: &str, host: &str| {
        misses(target, host, Only(Location::QueryValue, b"q"))
    };
    assert_eq!(q(&mut misses, "/search?q=lamp", "shop.example"), 1);
    assert_eq!(q(&mut misses, "/search?q=lamp", "shop.example"), 0);
    assert_eq!(
        q(&mut misses, "/search?q=%6camp", "shop.example"),
        1,
        "layers"
    );
    assert_eq!(
        q(&mut misses, "/offer?q=lamp", "shop.example"),
        1,
        "endpoint"
    );
    assert_eq!(q(&mut misses, "/search?q=lamp", "other.example"), 1, "host");
    let page = Only(Location::QueryValue, b"page");
    assert_eq!(misses("/search?page=lamp", "shop.example", page), 1, "key");
    // Headers belong to the host: another endpoint of it is the same place to them.
    let agent = || Only(Location::UserAgent, b"");
    let first = misses("/search", "shop.example", agent());
    assert!(first > 0);
    assert_eq!(misses("/offer", "shop.example", agent()), 0);
    // The path's row tells what the request lacks.
    let path = || Only(Location::Path, b"");
    assert_eq!(misses("/search?q=1&page=1", "shop.example", path()), 1);
    assert_eq!(misses("/search?q=2&page=2", "shop.example", path()), 0);
    assert_eq!(misses("/search?q=1&other=1", "shop.example", path()), 1);
}

/// The manifest of the same files with another calibration: same bundle id, other scores.
fn recalibrated() -> Manifest {
    let mut json = serde_json::to_value(field_only()).unwrap();
    for location in json["calibration"]["locations"].as_array_mut().unwrap() {
        let scale = location["scale"].as_f64().unwrap();
        location["scale"] = (scale * 3.0).into();
    }
    serde_json::from_value(json).unwrap()
}

/// Engines that take turns on one cache, as while bundles are swapped under load.
#[test]
fn a_shared_cache_never_crosses_bundles() {
    let shared = cache();
    let kinds = [
        (false, field_only()),
        (true, field_only()),
        (false, recalibrated()),
    ];
    let make = |cache: Option<&Arc<ScoreCache>>| -> Vec<Engine> {
        let kinds = kinds.iter().cloned();
        kinds
            .map(|(profile, manifest)| engine(profile, manifest, cache))
            .collect()
    };
    let (plain, cached) = (make(None), make(Some(&shared)));
    assert_eq!(plain[0].id(), plain[2].id());
    let targets: Vec<String> = (0..40)
        .map(|n| format!("/search?q=lamp{}%27&page={n}", n % 5))
        .collect();
    let score = |engine: &Engine, worker: usize, target: &str, scratch: &mut EngineScratch| {
        request(target)
            .with_view(|view| engine.score(worker, &Subject::of(view), &NoExceptions, scratch))
            .unwrap()
    };
    let mut scratch = EngineScratch::default();
    let expected: Vec<Vec<Assessment>> = targets
        .iter()
        .map(|target| {
            let engines = plain.iter();
            engines
                .map(|engine| score(engine, 0, target, &mut scratch))
                .collect()
        })
        .collect();
    assert_ne!(expected[0][0].scores, expected[0][1].scores);
    assert_ne!(expected[0][0].scores, expected[0][2].scores);
    std::thread::scope(|scope| {
        for worker in 0..4 {
            let (targets, expected, cached) = (&targets, &expected, &cached);
            scope.spawn(move || {
                let mut scratch = EngineScratch::default();
                for step in 0..400 {
                    let (target, engine) = ((step * 7 + worker) % 40, (step + worker) % 3);
                    let found = score(&cached[engine], worker, &targets[target], &mut scratch);
                    same(
                        &expected[target][engine],
                        &found,
                        &request(&targets[target]),
                    );
                }
            });
        }
    });
    // An engine of the same bundle and manifest, as after a reload, finds everything.
    let reloaded = engine(true, field_only(), Some(&shared));
    let found = score(&reloaded, 0, &targets[0], &mut scratch);
    assert_eq!(found.rows, 0);
    same(&expected[0][1], &found, &request(&targets[0]));
}

#[test]
fn a_reason_is_the_same_from_a_warm_cache() {
    let target = "/search?q=%27%20UNION%20SELECT%20name,%20password%20FROM%20users--%20&page=1";
    let (plain, cached) = (
        engine(true, field_only(), None),
        engine(true, field_only(), Some(&cache())),
    );
    let mut scratch = EngineScratch::default();
    let mut explain = |engine: &Engine| {
        let secrets = SecretKeys::default();
        let reason = request(target).with_view(|view| {
            let subject = Subject::of(view);
            engine.explain(0, &subject, &NoExceptions, &mut scratch, &secrets)
        });
        let fields = reason.unwrap().fields;
        let told = fields
            .into_iter()
            .map(|field| (field.location, field.key, field.because));
        format!("{:?}", told.collect::<Vec<_>>())
    };
    let expected = explain(&plain);
    assert_eq!(explain(&cached), expected);
    assert_eq!(explain(&cached), expected);
}

/// A cache far too small for the traffic: everything is evicted all the time, and nothing is wrong.
#[test]
fn a_cache_that_is_too_small_is_slow_and_right() {
    let tiny = Arc::new(ScoreCache::new(64).unwrap());
    let mut plain = Side::new(engine(true, field_only(), None));
    let mut cached = Side::new(engine(true, field_only(), Some(&tiny)));
    let mut evictions = 0;
    for number in 0..60 {
        let request = request(&format!("/search?q=lamp{}&page={number}", number % 3));
        let found = cached.score(&request, 1, &NoExceptions);
        same(&plain.score(&request, 1, &NoExceptions), &found, &request);
        evictions += found.cache.evictions;
    }
    assert!(evictions > 60);
}

/// Known and new fields in any mixture, fewer than a matrix holds and more; the oddest of all stands last, where a lost field
/// would show.
#[test]
fn whatever_is_known_every_field_is_judged() {
    let form = |values: &dyn Fn(usize) -> Option<String>, count: usize| {
        let mut request = request("/offer");
        request.method = b"POST".to_vec();
        let kind = b"application/x-www-form-urlencoded".to_vec();
        request.headers.push((b"Content-Type".to_vec(), kind));
        let pairs = (0..count).filter_map(|at| Some(format!("f{at}={}", values(at)?)));
        request.body = pairs.collect::<Vec<_>>().join("&").into_bytes();
        request
    };
    let mut plain = Side::new(engine(false, field_only(), None));
    let mut cached = Side::new(engine(false, field_only(), Some(&cache())));
    let attack = "1'+union+select+password+from+users--+-";
    for (round, count) in [15, 16, 17, 255, 256, 257, 300, 400]
        .into_iter()
        .enumerate()
    {
        for every in [1, 2, 16, 1000] {
            let value = |at: usize| format!("{round}+lamps+{every}+{at}");
            let known = form(&|at| (at % every == 0).then(|| value(at)), count - 1);
            cached.score(&known, 1, &NoExceptions);
            let last = |at| match at + 1 == count {
                true => attack.to_owned(),
                false => value(at),
            };
            let whole = form(&|at| Some(last(at)), count);
            let found = cached.score(&whole, 1, &NoExceptions);
            same(&plain.score(&whole, 1, &NoExceptions), &found, &whole);
            assert!(found.cache.hits >= (count - 1) / every, "{:?}", found.cache);
            let top = found.top.unwrap();
            assert_eq!(&*top.key, format!("f{}", count - 1).as_bytes());
        }
    }
}
