//! Look-ups in site profiles of very different sizes, without the proxy: a profile beyond 250,000 segments and parameters is
//! not loaded, and this shows that the bound is one of memory, not of time.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weir_features::profile::{PROFILE_WIDTH, Profile, ProfileBuilder, ProfileKey};
use weir_features::{Extractor, RequestView, Scratch};

use super::cost::{Cost, Growth, ticks};
use crate::plot::{Line, Plot};
use crate::random::Random;
use crate::table::quantile;
use crate::usage::status;

const KEYS: [usize; 5] = [100, 1_000, 10_000, 100_000, 1_000_000];
/// Of each endpoint.
const PARAMETERS: usize = 100;
/// Of each host, in paths of two segments.
const ENDPOINTS: usize = 1_000;
const SEGMENTS: usize = 32;
/// Clients that send each request: what one alone brings shapes no profile.
const CLIENTS: u64 = 4;
/// Parameters of a request that is looked up.
const ASKED: usize = 10;
const LOOKUPS: usize = 20_000;
/// Of memory that must be free beside what a profile ten times as large as the last one would take.
const SPARE_KIB: u64 = 1 << 20;

pub(super) fn measure() -> Result<Cost> {
    let mut points = Vec::new();
    let mut grown = 0;
    for keys in KEYS {
        if free_kib()? < grown * 12 + SPARE_KIB {
            eprintln!(
                "bench: {keys} profile keys are left out: there is too little memory for them"
            );
            break;
        }
        let before = status(std::process::id(), "VmRSS:")?;
        let profile = learn(keys)?;
        grown = status(std::process::id(), "VmHWM:")?.saturating_sub(before);
        points.push((keys as f64, look_up(&profile, keys)));
        eprintln!("bench: {keys} profile keys, measured");
    }
    Ok(Cost {
        file: "profile-keys.svg",
        growth: Growth::Flat,
        plot: Plot {
            title: "Microseconds to look up a request with ten parameters, over the profile's size",
            below: "parameters that the profile knows",
            ticks: ticks(&KEYS),
            lines: vec![Line {
                name: "Weir".to_owned(),
                points,
            }],
        },
    })
}

fn free_kib() -> Result<u64> {
    let text = std::fs::read_to_string("/proc/meminfo")?;
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"));
    let number = line.and_then(|line| line.split_whitespace().next());
    number
        .context("no memory in /proc/meminfo")?
        .parse()
        .context("no number")
}

/// A request to one of the endpoints, with so many of its parameters.
fn with_request<T>(
    endpoint: usize,
    parameters: usize,
    act: impl FnOnce(&RequestView<'_>) -> T,
) -> T {
    let host = format!("host{}.example", endpoint / ENDPOINTS);
    let of_host = endpoint % ENDPOINTS;
    let mut target = format!("/a{}/b{}?", of_host / SEGMENTS, of_host % SEGMENTS);
    for parameter in 0..parameters {
        target.push_str(&format!("k{parameter}=value{parameter}&"));
    }
    act(&RequestView {
        method: b"GET",
        target: target.as_bytes(),
        headers: &[(b"host", host.as_bytes())],
        body: b"",
        body_truncated: false,
    })
}

fn learn(keys: usize) -> Result<Profile> {
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    let mut scratch = Scratch::default();
    for endpoint in 0..keys.div_ceil(PARAMETERS) {
        with_request(endpoint, PARAMETERS.min(keys), |view| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            for client in 0..CLIENTS {
                builder.observe(view, &fields, client);
            }
        });
    }
    let known = builder.summary().parameters;
    ensure!(
        known >= keys as u64,
        "a profile of {keys} parameters knows {known}"
    );
    Ok(builder.into_profile())
}

/// The median in microseconds, for endpoints drawn at random.
fn look_up(profile: &Profile, keys: usize) -> f64 {
    let endpoints = keys.div_ceil(PARAMETERS) as u64;
    let mut random = Random::new(7);
    let mut scratch = Scratch::default();
    let mut row = [0.0_f32; PROFILE_WIDTH];
    let mut times = Vec::with_capacity(LOOKUPS);
    for _ in 0..LOOKUPS {
        let endpoint = random.between(0, endpoints) as usize;
        let took = with_request(endpoint, ASKED, |view| {
            let fields = Extractor::shared().extract(view, &mut scratch);
            let began = Instant::now();
            let endpoint = profile.endpoint(view, &fields);
            for field in fields.iter() {
                endpoint.write(&field, &mut row);
            }
            std::hint::black_box(&row);
            began.elapsed()
        });
        times.push(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
    }
    quantile(&mut times, 0.5) / Duration::from_micros(1).as_nanos() as f64
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn what_was_learned_is_looked_up() {
        let profile = learn(1_000).unwrap();
        let columns = |endpoint| {
            with_request(endpoint, ASKED, |view| {
                let mut scratch = Scratch::default();
                let fields = Extractor::shared().extract(view, &mut scratch);
                let mut row = [0.0_f32; PROFILE_WIDTH];
                let endpoint = profile.endpoint(view, &fields);
                fields
                    .iter()
                    .filter(|field| endpoint.write(field, &mut row))
                    .count()
            })
        };
        assert!(columns(0) >= ASKED && columns(9) >= ASKED);
        // A host that the profile does not know.
        assert_eq!(columns(ENDPOINTS), 0);
    }
}
