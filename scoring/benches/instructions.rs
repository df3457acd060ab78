//! What `scripts/bench-instructions.sh` counts under callgrind: each case is one call of [`measured_case`], and one line of
//! output says which. Without callgrind it runs everything and says nothing about its cost.
//!
//! Not here: time (see `benches/detection.rs` at the root), and what is made of the counts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs
)]

use std::fmt::Display;
use std::hint::black_box;
use std::path::Path;

use weir_features::profile::{NewEndpoints, PROFILE_WIDTH, Profile};
use weir_features::{Extractor, FIELD_WIDTH, RequestView, Scratch};
use weir_scoring::engine::{Engine, EngineScratch, Memory};
use weir_scoring::record::{OwnedRequest, RecordError, RequestRecord};

#[allow(dead_code, reason = "benches share what they are made of")]
#[path = "../../benches/support/engines.rs"]
mod engines;
#[path = "../../benches/support/hostile.rs"]
mod hostile;
#[path = "../../benches/support/profiled.rs"]
mod profiled;
#[allow(dead_code, reason = "benches share what they are made of")]
#[path = "../../benches/support/shapes.rs"]
mod shapes;

use engines::{Cache, score};
use hostile::{Filled, HOSTILE, ORDINARY};
use shapes::{SHAPES, Shape};

/// Requests of a case, which differ in their values.
const REQUESTS: usize = 4;
/// Requests of a replay.
const REPLAYED: usize = 500;
/// Bytes of a request that is made to cost more than it weighs.
const FILLED: usize = 64 * 1024;

fn main() {
    // Cargo names `--bench` as well.
    match std::env::args().nth(1).as_deref() {
        Some("rooms") => rooms(),
        _ => guard(),
    }
}

/// The way to a score without the model: what is Rust, and the same on every processor of a kind.
fn guard() {
    let site = engines::learned().into_profile();
    let memory = engines::memory().expect("the bundle that ships");
    for shape in &SHAPES {
        extraction(shape);
        rows(shape);
        profile(&site, shape);
        known(&site, &memory, shape);
    }
    for filled in &ORDINARY {
        filled_bytes("ordinary", filled);
    }
    for filled in &HOSTILE {
        filled_bytes("hostile", filled);
    }
}

/// The whole way, with the model where nothing is known.
fn rooms() {
    let new = engines::profiled(Cache::Absent)
        .expect("an engine; `make onnxruntime` fetches what it needs");
    let known = engines::profiled(Cache::Warm).expect("an engine");
    for shape in &SHAPES {
        let requests = variants(shape);
        whole("new", shape, &new, &requests);
        whole("known", shape, &known, &requests);
    }
    if let Some(file) = std::env::var_os("REPLAY") {
        let requests = replayed(file.as_ref());
        // Their site has no profile, as on the first day.
        whole(
            "new",
            &"replay",
            &engines::plain(Cache::Absent).expect("an engine"),
            &requests,
        );
        whole(
            "known",
            &"replay",
            &engines::plain(Cache::Warm).expect("an engine"),
            &requests,
        );
    }
}

/// Requests of a file of records, evenly spread.
fn replayed(file: &Path) -> Vec<OwnedRequest> {
    let text = std::fs::read_to_string(file).expect("REPLAY names a file of request records");
    let lines: Vec<&str> = text.lines().collect();
    let every = (lines.len() / REPLAYED).max(1);
    let read = |line: &&str| RequestRecord::parse(line.as_bytes())?.to_request();
    let requests = lines.iter().step_by(every).take(REPLAYED).map(read);
    let requests: Result<_, RecordError> = requests.collect();
    requests.expect("one request record a line")
}

fn extraction(shape: &Shape) {
    let requests = variants(shape);
    let mut scratch = Scratch::default();
    case("extraction", shape, &requests, &mut || {
        for request in &requests {
            // Values that are new; what came before is in `known`.
            scratch.forget();
            request.with_view(|view| {
                black_box(Extractor::shared().extract(view, &mut scratch).len());
            });
        }
    });
}

fn rows(shape: &Shape) {
    let requests = variants(shape);
    let mut scratches: Vec<Scratch> = requests.iter().map(|_| Scratch::default()).collect();
    let mut row = vec![0.0_f32; FIELD_WIDTH];
    let extracted = requests
        .iter()
        .zip(&mut scratches)
        .map(|(request, scratch)| {
            request.with_view(|view| Extractor::shared().extract(view, scratch))
        });
    let extracted: Vec<_> = extracted.collect();
    case("rows", shape, &requests, &mut || {
        for field in extracted.iter().flat_map(|fields| fields.iter()) {
            Extractor::shared().row(&field, black_box(&mut row));
        }
    });
}

/// The endpoint's look-up and every field's columns.
fn profile(profile: &Profile, shape: &Shape) {
    let requests = variants(shape);
    let mut scratches: Vec<Scratch> = requests.iter().map(|_| Scratch::default()).collect();
    let mut columns = [0.0_f32; PROFILE_WIDTH];
    let extracted = requests
        .iter()
        .zip(&mut scratches)
        .map(|(request, scratch)| {
            request.with_view(|view| Extractor::shared().extract(view, scratch))
        });
    let extracted: Vec<_> = extracted.collect();
    case("profile", shape, &requests, &mut || {
        for (request, fields) in requests.iter().zip(&extracted) {
            let endpoint = request.with_view(|view| profile.endpoint(view, fields));
            for field in fields.iter() {
                endpoint.write(&field, black_box(&mut columns));
            }
        }
    });
}

/// What a request costs that brings nothing new: extraction, the endpoint, and each field's score from the cache.
fn known(profile: &Profile, memory: &Memory, shape: &Shape) {
    let requests = variants(shape);
    let mut scratch = Scratch::default();
    case("known", shape, &requests, &mut || {
        for request in &requests {
            request.with_view(|view| {
                let fields = Extractor::shared().extract(view, &mut scratch);
                let endpoint = profile.endpoint(view, &fields);
                for index in 0..fields.len() {
                    let key = memory.key(&fields, index, Some(&endpoint));
                    if memory.get(key).is_none() {
                        memory.insert(key, 1.0);
                    }
                }
            });
        }
    });
}

fn whole(group: &str, name: &dyn Display, engine: &Engine, requests: &[OwnedRequest]) {
    let new = NewEndpoints::new(1024, 20, 3600.0);
    let mut scratch = EngineScratch::default();
    case(group, name, requests, &mut || {
        for request in requests {
            black_box(score(engine, request, Some(&new), &mut scratch));
        }
    });
}

/// Extraction with rows of one request.
fn filled_bytes(group: &str, filled: &Filled) {
    let requests = [filled.request(FILLED)];
    let mut scratch = Scratch::default();
    let mut row = vec![0.0_f32; FIELD_WIDTH];
    case(group, filled, &requests, &mut || {
        scratch.forget();
        requests[0].with_view(|view: &RequestView<'_>| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            for field in fields.iter() {
                Extractor::shared().row(&field, black_box(&mut row));
            }
        });
    });
}

fn variants(shape: &Shape) -> Vec<OwnedRequest> {
    // Even ones: the profile has learned from the odd ones.
    (0..REQUESTS).map(|n| shape.variant(n * 2)).collect()
}

/// Runs `work` until its memory has grown to what it needs, and then once more for the count.
fn case(group: &str, name: &dyn Display, requests: &[OwnedRequest], work: &mut dyn FnMut()) {
    let mut scratch = Scratch::default();
    let mut sums = (0, 0);
    for request in requests {
        let fields =
            request.with_view(|view| Extractor::shared().extract(view, &mut scratch).len());
        sums = (
            sums.0 + fields,
            sums.1 + request.target.len() + request.body.len() + headers(request),
        );
    }
    for _ in 0..2 {
        work();
    }
    black_box(measured_case(work));
    println!(
        "{group}\t{name}\t{}\t{}\t{}",
        requests.len(),
        sums.1,
        sums.0
    );
}

fn headers(request: &OwnedRequest) -> usize {
    let lengths = request
        .headers
        .iter()
        .map(|(name, value)| name.len() + value.len());
    lengths.sum()
}

/// callgrind counts what happens in here, and writes a file each time it ends.
#[inline(never)]
fn measured_case(work: &mut dyn FnMut()) -> usize {
    work();
    // A call that is the last thing becomes a jump, whose end callgrind does not see.
    black_box(1)
}
