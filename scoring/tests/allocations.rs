//! A warm worker allocates nothing: not from bytes to fields to rows, not for the profile, and not for a request whose fields
//! the cache knows. A program of its own, because it brings an allocator that counts.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::sync::Arc;

use allocation_counter::measure;
use weir_features::profile::{PROFILE_WIDTH, Profile, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, FIELD_WIDTH, RequestView, Scratch};
use weir_scoring::bundle::{Bundle, FIELD_MODEL, PROFILE};
use weir_scoring::cache::ScoreCache;
use weir_scoring::engine::{Engine, EngineScratch, NoExceptions, Subject};
use weir_scoring::record::OwnedRequest;

#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/model.rs"]
mod model;
#[allow(dead_code, reason = "shared with the benches")]
#[path = "../../benches/support/shapes.rs"]
mod shapes;
#[allow(dead_code, reason = "shared with the other tests")]
#[path = "it/traffic.rs"]
mod traffic;

/// What applications get, with all that makes extraction rewrite, join or decode something.
fn requests() -> Vec<OwnedRequest> {
    let mut requests: Vec<OwnedRequest> =
        shapes::SHAPES.iter().map(shapes::Shape::request).collect();
    let get = |target: &str| sent("GET", target, &[], "");
    let form = ("content-type", "application/x-www-form-urlencoded");
    let json = ("content-type", "application/json; charset=utf-8");
    let parts = ("content-type", "multipart/form-data; boundary=\"----b1\"");
    requests.extend([
        get("/search?q=fly+rod&sort=price&max_price=250.00&tag[]=a&tag[]=b&tag%5B%5D=c"),
        get("/login?next=https%3A%2F%2Fshop.example%2Fcart%3Fitem%3D4711%26from%3Dhttps%253A%252F%252Fx.example%252F%253Fa%253Db"),
        get("/a;v=1/b/../c%2Fd/index.html?state=eyJpZCI6NDcxMSwibmFtZSI6ImFubmEgc2NobWlkdCJ9&d=2026-11-20T10%3A11%3A12Z"),
        get("/c?x=Dear+Anna%2C+see+you+%26+thanks&y=%E2%80%9Cquoted%E2%80%9D&z=c3RyYW5nZXIgdGhhbiBmaWN0aW9uLCBpdCBzYXlz&hex=48656c6c6f2c20776f726c64"),
        sent("GET", "/", &[
            ("cookie", "a=1; session=6f1c2b9ad04e4d0c8d7a; prefs=\"x;y\"; cart=%7B%22items%22%3A%5B1%2C2%2C3%5D%7D; _ga=GA1.2.1.2"),
            ("authorization", "Bearer eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJhbm5hIiwicm9sZSI6InJlYWRlciJ9.c2lnbmF0dXJl"),
            ("referer", "https://shop.example/list?page=2&q=a%20b"),
        ], ""),
        sent("POST", "/comment", &[form], "name=Anna&name=Bert&text=first+line%0D%0ASubject%3A+second%0D%0Athird+it%27s+%22fine%22+%28really%29"),
        sent("POST", "/query", &[form], "q=please+select+one+of+them+and+order+by+post&note=a%2Fb+%2F*+c+*%2F+x0x41&path=C%3A%5Cusers%5Canna"),
        sent("POST", "/api", &[json], "{\"a\\u0062c\":\"tab\\tand \\u00e9\",\"inner\":\"{\\\"k\\\":[1,2,{\\\"z\\\":null}]}\",\"url\":\"https://a.example/?u=v\"}"),
        sent("POST", "/upload", &[parts], "------b1\r\nContent-Disposition: form-data; name=\"title\"\r\n\r\nA title\r\n------b1\r\n\
            Content-Disposition: form-data; name=\"f\"; filename=\"a%20b.txt.\"\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n\
            some text, and some more\r\nof it\r\n------b1--\r\n"),
        sent("POST", "/graph", &[json], "{\"query\":\"query { item(id: \\\"4711\\\") { name } }\"}"),
    ]);
    requests
}

fn sent(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> OwnedRequest {
    let mut request = traffic::request(target);
    request.method = method.into();
    request.headers.extend(
        headers
            .iter()
            .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())),
    );
    request.body = body.into();
    request
}

/// Runs `work` for each request until its buffers have grown, then once more, and says which requests allocated.
fn allocating(
    requests: &[OwnedRequest],
    mut work: impl FnMut(&RequestView<'_>),
) -> Vec<(String, u64)> {
    for _ in 0..3 {
        for request in requests {
            request.with_view(&mut work);
        }
    }
    let counted = requests.iter().map(|request| {
        let count = request.with_view(|view| measure(|| work(view)).count_total);
        (String::from_utf8_lossy(&request.target).into_owned(), count)
    });
    counted.filter(|(_, count)| *count > 0).collect()
}

fn learned(requests: &[OwnedRequest]) -> ProfileBuilder {
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    let mut scratch = Scratch::default();
    for (request, source) in requests
        .iter()
        .flat_map(|request| (0..5).map(move |source| (request, source)))
    {
        request.with_view(|view| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            builder.observe(view, &fields, source);
        });
    }
    builder
}

#[test]
fn the_counter_counts() {
    let counted = allocating(&[traffic::request("/")], |view| {
        std::hint::black_box(view.target.to_vec());
    });
    assert_eq!(counted, [("/".to_owned(), 1)]);
}

#[test]
fn extraction_and_rows_allocate_nothing() {
    let mut scratch = Scratch::default();
    let mut row = vec![0.0; FIELD_WIDTH];
    let found = allocating(&requests(), |view| {
        for field in Extractor::shared().extract(view, &mut scratch).iter() {
            Extractor::shared().row(&field, &mut row);
        }
    });
    assert_eq!(found, []);
}

#[test]
fn a_profile_allocates_nothing() {
    let requests = requests();
    let profile: Profile = learned(&requests).into_profile();
    let mut scratch = Scratch::default();
    let mut columns = [0.0; PROFILE_WIDTH];
    let found = allocating(&requests, |view| {
        let fields = Extractor::shared().extract(view, &mut scratch);
        let endpoint = profile.endpoint(view, &fields);
        assert!(endpoint.is_known());
        for field in fields.iter() {
            endpoint.write(&field, &mut columns);
        }
    });
    assert_eq!(found, []);
}

#[test]
fn a_request_of_known_fields_is_scored_without_allocation() {
    let requests = requests();
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let files = [
        (FIELD_MODEL, traffic::PARTS.field.bytes()),
        (PROFILE, learned(&requests).to_bytes()),
    ];
    traffic::publish_as(&target, &files, traffic::field_only()).unwrap();
    let bundle = Bundle::open(&target).unwrap();
    let cache = Arc::new(ScoreCache::new(4 << 20).unwrap());
    let engine = Engine::load(traffic::runtime(), &bundle, &traffic::OPTIONS).unwrap();
    let engine = engine.with_cache(cache).unwrap();
    let mut scratch = EngineScratch::default();
    let mut rows = 0;
    let found = allocating(&requests, |view| {
        rows = engine
            .score(0, &Subject::of(view), &NoExceptions, &mut scratch)
            .unwrap()
            .rows;
    });
    // Nothing was left for the network.
    assert_eq!((found, rows), (vec![], 0));
}
