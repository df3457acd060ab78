//! Golden rows of the profile: what a profile of fixed traffic says of fixed requests. The fingerprint sees rows without a
//! profile only, so a difference here reaches bundles with a profile unseen: it must be meant, and they trained anew.
//! `UPDATE_GOLDEN=1 cargo test -p weir-features --test it golden` writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use crate::golden::{columns, compare};
use crate::support::Sample;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use weir_features::profile::{
    PROFILE_FEATURES, PROFILE_WIDTH, Profile, ProfileBuilder, ProfileKey,
};
use weir_features::{Extractor, Scratch, schema};

const GOLDEN: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/golden_profile.json"
);

const WORDS: [&str; 7] = ["lamp", "desk", "green", "chair", "oak", "shelf", "small"];

fn shop(sample: Sample) -> Sample {
    sample.header("Host", "shop.example")
}

fn item(id: u32, query: &str) -> Sample {
    shop(Sample::get(format!("/item/{id}?{query}")))
}

fn cart(body: &str) -> Sample {
    let mut sample = Sample::post("application/json", body);
    sample.target = b"/api/cart".to_vec();
    shop(sample)
}

/// Request number `n` of the traffic that is learned.
fn usual(n: u32) -> Sample {
    let word = |by: u32| WORDS[(n / by) as usize % WORDS.len()];
    match n % 4 {
        // The sort order of one request in sixty has a shape of its own.
        0 if n.is_multiple_of(240) => item(n, "page=1&sort=best-first"),
        0 => item(n, &format!("page={}&sort=name", n % 9)),
        1 => shop(Sample::get(format!(
            "/search?q={}+{}&lang=en",
            word(4),
            word(28)
        ))),
        2 => cart(&format!("{{\"sku\":\"AB-{n:04}\",\"count\":{}}}", n % 5)),
        _ => shop(Sample::get(format!("/static/{}.css", word(4)))).header(
            "Cookie",
            format!("sid={:016x}", u64::from(n) * 0x9e37_79b9_7f4a),
        ),
    }
}

fn learned() -> Profile {
    let mut builder = ProfileBuilder::new(ProfileKey::new(*b"golden profile k"));
    let mut scratch = Scratch::default();
    for n in 0..960 {
        usual(n).with_view(|request| {
            let fields = Extractor::shared().extract(request, &mut scratch);
            builder.observe(request, &fields, u64::from(n % 13) + 1);
        });
    }
    builder.freeze()
}

/// Requests with something of every departure in them, and one of another host.
fn probes() -> Vec<Sample> {
    let mut put = item(8, "page=1&sort=name");
    put.method = "PUT".to_owned();
    vec![
        usual(8),
        usual(9),
        usual(10),
        usual(11),
        item(8, "page=<script>alert(1)</script>&sort=name"),
        item(8, "page=4000000000&sort=name"),
        item(8, "page=1&sort=most-liked"),
        item(8, "page=1&sort=%2525%2527"),
        item(8, "page=1&sort={\"a\":[1,\"b\"]}"),
        item(8, "page=1&sort=name&debug=true"),
        item(8, "page=1"),
        item(8, "page=1&page=2&sort=name"),
        put,
        shop(Sample::get("/item.bak")),
        shop(Sample::get("/item/8/edit.php?page=1")),
        shop(Sample::get("/search?q=1'+or+'1'%3D'1'--+&lang=en")),
        shop(Sample::get("/search?q=QXZKW+LAMP,9,9,9,9;;;;&lang=EN")),
        shop(Sample::get(
            "/search?q=1+un/**/ion+all+sel/**/ect+1&lang=en",
        )),
        shop(Sample::get(format!(
            "/search?q={}&lang=en",
            "oak+".repeat(400)
        ))),
        shop(Sample::get("/static/..%2f..%2fetc/passwd")),
        cart(r#"{"sku":"ab0010","count":"four","admin":true}"#),
        cart(r#"{"sku":"AB-0010","count":{"$gt":0}}"#),
        Sample::get("/item/8?page=1&sort=name").header("Host", "other.example"),
    ]
}

fn computed() -> Value {
    let profile = learned();
    let mut scratch = Scratch::default();
    let mut row = vec![0.0; PROFILE_WIDTH];
    let requests: Vec<Value> = probes()
        .iter()
        .map(|probe| {
            probe.with_view(|request| {
                let fields = Extractor::shared().extract(request, &mut scratch);
                let endpoint = profile.endpoint(request, &fields);
                let fields: Vec<Value> = fields
                    .iter()
                    .map(|field| {
                        row.fill(0.0);
                        endpoint.write(&field, &mut row);
                        json!({
                            "location": field.location.name(),
                            "key": String::from_utf8_lossy(field.key),
                            "value": String::from_utf8_lossy(field.value),
                            "profile": columns(&row, |column| PROFILE_FEATURES[column]),
                        })
                    })
                    .collect();
                json!(fields)
            })
        })
        .collect();
    json!({ "fingerprint": schema::fingerprint(), "requests": requests })
}

#[test]
fn a_profile_says_of_the_corpus_what_it_always_said() {
    compare(&computed(), GOLDEN);
}

#[test]
fn every_column_of_the_profile_is_somewhere_in_the_golden_rows() {
    let computed = computed();
    let fields = computed["requests"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|request| request.as_array().unwrap());
    let used: BTreeSet<&str> = fields
        .flat_map(|field| field["profile"].as_object().unwrap().keys())
        .map(String::as_str)
        .collect();
    let missing: Vec<&&str> = PROFILE_FEATURES
        .iter()
        .filter(|name| !used.contains(**name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
