//! What inspection costs: decoding, extraction with rows, and the whole way to a score with `models/base`.
//!
//! Not here: sockets (see benches/compare). Without ONNX Runtime or a bundle the last group is left out, visibly.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

use divan::Bencher;
use divan::counter::{BytesCount, ItemsCount};
use weir_features::profile::{PROFILE_WIDTH, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, FIELD_WIDTH, RequestView, Scratch, decode};

#[allow(dead_code, reason = "shared with the bench that callgrind counts")]
#[path = "support/engines.rs"]
mod engines;
#[path = "support/hostile.rs"]
mod hostile;
#[path = "support/profiled.rs"]
mod profiled;
#[path = "support/shapes.rs"]
mod shapes;
#[path = "support/whole.rs"]
mod whole;

use engines::Cache;
use hostile::{Filled, HOSTILE, ORDINARY, PARAMETERS};
use shapes::{SHAPES, Shape};

fn main() {
    divan::main();
}

#[divan::bench(args = ["plain", "percent", "layers"])]
fn decoding(bencher: Bencher<'_, '_>, kind: &str) {
    let text = match kind {
        "plain" => "a quiet evening at the river, and nothing to decode",
        "percent" => "%27%20OR%201%3D1%20--%20%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        _ => "%252527%252520%2526%2523x3c%253B%25255cu003c%25c0%25af",
    };
    bencher
        .counter(BytesCount::of_str(text))
        .bench(|| decode(divan::black_box(text.as_bytes())).layers);
}

/// Bytes to fields to rows, with the buffers a worker keeps.
#[divan::bench(args = SHAPES)]
fn extraction(bencher: Bencher<'_, '_>, shape: &Shape) {
    let extractor = Extractor::shared();
    let request = shape.request();
    let mut scratch = Scratch::default();
    let mut row = vec![0.0_f32; FIELD_WIDTH];
    bencher
        .counter(BytesCount::new(request.body.len() + request.target.len()))
        .bench_local(|| {
            request.with_view(|view: &RequestView<'_>| {
                let fields = extractor.extract(view, &mut scratch);
                for field in fields.iter() {
                    extractor.row(&field, &mut row);
                }
                fields.len()
            })
        });
}

/// The endpoint's look-up and every field's profile columns, by a profile that has seen the request 100 times.
#[divan::bench(args = SHAPES)]
fn profile(bencher: Bencher<'_, '_>, shape: &Shape) {
    let request = shape.request();
    let mut scratch = Scratch::default();
    request.with_view(|view: &RequestView<'_>| {
        let fields = Extractor::shared().extract(view, &mut scratch);
        let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
        for source in 0..100 {
            builder.observe(view, &fields, source);
        }
        let profile = builder.freeze();
        let mut row = [0.0_f32; PROFILE_WIDTH];
        bencher
            .counter(ItemsCount::new(fields.len()))
            .bench_local(|| {
                let endpoint = profile.endpoint(view, &fields);
                for field in fields.iter() {
                    endpoint.write(&field, &mut row);
                }
                row[0]
            });
    });
}

/// Extraction, profile, ONNX Runtime, calibration, each time another request; no cache of scores.
#[divan::bench(args = SHAPES)]
fn scoring_profiled(bencher: Bencher<'_, '_>, shape: &Shape) {
    whole::bench_profiled(bencher, shape, Cache::Absent);
}

/// The same with a cache that knows every field: what most requests of a site cost.
#[divan::bench(args = SHAPES)]
fn scoring_warm(bencher: Bencher<'_, '_>, shape: &Shape) {
    whole::bench_profiled(bencher, shape, Cache::Warm);
}

/// The same with a cache that never knows anything: what it costs to ask in vain.
#[divan::bench(args = SHAPES)]
fn scoring_cold(bencher: Bencher<'_, '_>, shape: &Shape) {
    whole::bench_profiled(bencher, shape, Cache::Cold);
}

/// Extraction, ONNX Runtime, calibration: what a request waits for.
#[divan::bench(args = SHAPES)]
fn scoring(bencher: Bencher<'_, '_>, shape: &Shape) {
    whole::bench(bencher, shape);
}

/// What ordinary text costs, to read the next group by.
#[divan::bench(args = ORDINARY)]
fn attacks_beside(bencher: Bencher<'_, '_>, filled: &Filled) {
    whole::bench_filled(bencher, filled, FILLED);
}

/// Attacks on the processor, of the same length: extraction, ONNX Runtime, calibration, no cache.
#[divan::bench(args = HOSTILE)]
fn attacks(bencher: Bencher<'_, '_>, filled: &Filled) {
    whole::bench_filled(bencher, filled, FILLED);
}

/// A million parameters: what `attacks` does for 64 KiB of them, for all that a body may bring where its limit allows that.
#[divan::bench(sample_count = 10)]
fn attacks_by_a_million_parameters(bencher: Bencher<'_, '_>) {
    // What a million names of one to five hexadecimal digits take.
    whole::bench_filled(bencher, &PARAMETERS, 7_930_096);
}

/// Bytes of a request that a [`Filled`] one fills.
const FILLED: usize = 64 * 1024;
