//! Golden vectors: what the extractor makes of a small corpus. A difference here changes the fingerprint and makes
//! trained bundles refuse to load, so it must be meant. `UPDATE_GOLDEN=1 cargo test -p weir-features --test it golden`
//! writes the file anew.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use crate::support::Sample;
use serde_json::{Value, json};
use weir_features::{
    ClientKey, ClientWindows, Extractor, FIELD_WIDTH, RequestContext, Scratch, schema,
};

const CORPUS: &str = include_str!("../data/corpus.json");
const GOLDEN: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/golden.json");

fn samples() -> Vec<Sample> {
    let corpus: Vec<Value> = serde_json::from_str(CORPUS).unwrap();
    corpus
        .iter()
        .map(|entry| Sample {
            method: entry["method"].as_str().unwrap().to_owned(),
            target: entry["target"].as_str().unwrap().as_bytes().to_vec(),
            headers: entry["headers"]
                .as_array()
                .unwrap()
                .iter()
                .map(|pair| {
                    (
                        pair[0].as_str().unwrap().to_owned(),
                        pair[1].as_str().unwrap().as_bytes().to_vec(),
                    )
                })
                .collect(),
            body: entry["body"].as_str().unwrap().as_bytes().to_vec(),
        })
        .collect()
}

/// The columns that are not zero, by name, rounded to a thousandth.
pub(crate) fn columns(row: &[f32], name: impl Fn(usize) -> &'static str) -> Value {
    let used = row.iter().enumerate().filter(|(_, number)| **number != 0.0);
    used.map(|(index, number)| {
        (
            name(index).to_owned(),
            json!((f64::from(*number) * 1000.0).round() / 1000.0),
        )
    })
    .collect::<serde_json::Map<String, Value>>()
    .into()
}

fn computed() -> Value {
    let windows = ClientWindows::new(16);
    let context = RequestContext {
        client: ClientKey(7),
        time: 1_700_000_000.0,
        private_address: true,
        country: None,
    };
    let mut scratch = Scratch::default();
    let mut row = vec![0.0; FIELD_WIDTH];
    let requests: Vec<Value> = samples()
        .iter()
        .map(|sample| {
            sample.with_view(|request| {
                let fields: Vec<Value> = Extractor::shared()
                    .extract(request, &mut scratch)
                    .iter()
                    .map(|field| {
                        Extractor::shared().row(&field, &mut row);
                        json!({
                            "location": field.location.name(),
                            "key": String::from_utf8_lossy(field.key),
                            "value": String::from_utf8_lossy(field.value),
                            "layers": field.layers,
                            "obfuscations": field.obfuscations,
                            "row": columns(&row, schema::feature_name),
                        })
                    })
                    .collect();
                let vector = windows.request(request, &context);
                windows.response(context.client, context.time, 200, 512);
                json!({ "fields": fields, "vector": columns(&vector, schema::request_feature_name) })
            })
        })
        .collect();
    json!({ "fingerprint": schema::fingerprint(), "requests": requests })
}

/// What is computed now against what the file says, request by request; with `UPDATE_GOLDEN` set, the file is written.
pub(crate) fn compare(computed: &Value, file: &str) {
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(file, serde_json::to_string_pretty(computed).unwrap() + "\n").unwrap();
        return;
    }
    let golden: Value = serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    let (ours, theirs) = (
        computed["requests"].as_array().unwrap(),
        golden["requests"].as_array().unwrap(),
    );
    for (index, (ours, theirs)) in ours.iter().zip(theirs).enumerate() {
        assert_eq!(ours, theirs, "request {index} of the corpus");
    }
    assert_eq!(computed, &golden);
}

#[test]
fn the_extractor_makes_of_the_corpus_what_it_always_made() {
    compare(&computed(), GOLDEN);
}
