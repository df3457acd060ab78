//! Explanations of a bundle that knows a site.

use std::sync::LazyLock;

use ndarray::Array2;
use weir_features::profile::{PROFILE_WIDTH, ProfileBuilder, ProfileKey};
use weir_features::schema::PROFILE_AT;
use weir_features::{Extractor, FIELD_WIDTH, Location, Scratch};
use weir_scoring::budget::Budgets;
use weir_scoring::bundle::{Bundle, FIELD_MODEL, PROFILE};
use weir_scoring::calibration::{LocationScales, Tail, smallest_budget};
use weir_scoring::engine::{Engine, EngineScratch, FieldFilter, NoExceptions, Subject};
use weir_scoring::reason::{FieldReason, Reason, SecretKeys};
use weir_scoring::record::OwnedRequest;

use crate::model::Autoencoder;
use crate::traffic::{OPTIONS, field_only, golden, publish_as, request, runtime};

const REQUESTS: usize = 400;

fn form(target: &str, body: &str) -> OwnedRequest {
    let mut form = request(target);
    form.method = b"POST".to_vec();
    form.headers.push((
        b"Content-Type".to_vec(),
        b"application/x-www-form-urlencoded".to_vec(),
    ));
    form.body = body.as_bytes().to_vec();
    form
}

fn ordinary(index: usize) -> OwnedRequest {
    const WORDS: [&str; 7] = ["lamp", "table", "chair", "green", "small", "wood", "desk"];
    let (a, b) = (WORDS[index % 7], WORDS[index / 7 % 7]);
    let number = index * 7919 % 100_000;
    match index % 4 {
        0 => request(&format!(
            "/item/{number}?id={number}&view={}",
            ["grid", "list"][index / 4 % 2]
        )),
        1 => request(&format!("/search?q={a}%20{b}")),
        2 => form(
            "/checkout",
            &format!("coupon={a}{}&count={}", index % 90, 1 + index % 9),
        ),
        _ => form("/login", &format!("user={a}&password={b}{number}")),
    }
}

static SITE: LazyLock<Engine> = LazyLock::new(|| {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let mut builder = ProfileBuilder::new(ProfileKey::new([7; 16]));
    for index in 0..REQUESTS {
        ordinary(index).with_view(|view| {
            let fields = extractor.extract(view, &mut scratch);
            builder.observe(view, &fields, index as u64 % 23);
        });
    }
    let profile = builder.freeze();
    let (mut flat, mut owners) = (Vec::new(), Vec::new());
    for index in 0..REQUESTS {
        ordinary(index).with_view(|view| {
            let fields = extractor.extract(view, &mut scratch);
            let endpoint = profile.endpoint(view, &fields);
            for field in fields.iter() {
                let mut row = [0.0; FIELD_WIDTH];
                extractor.row(&field, &mut row);
                assert!(endpoint.write(&field, &mut row[PROFILE_AT..PROFILE_AT + PROFILE_WIDTH]));
                flat.extend_from_slice(&row);
                owners.push((index, field.location));
            }
        });
    }
    let rows = Array2::from_shape_vec((owners.len(), FIELD_WIDTH), flat).unwrap();
    let field = Autoencoder::fit("field", &rows).minding(PROFILE_AT..PROFILE_AT + PROFILE_WIDTH);
    let errors = field.errors(&rows);
    let located = owners
        .iter()
        .zip(&errors)
        .map(|((_, location), error)| (*location, true, *error));
    let locations = LocationScales::fit(located).unwrap();
    let mut values = vec![0f32; REQUESTS];
    for ((index, location), error) in owners.iter().zip(&errors) {
        values[*index] = values[*index].max(locations.scaled(*location, true, *error));
    }
    let mut manifest = field_only();
    manifest.calibration.locations = locations;
    manifest.calibration.field = Tail::fit(&values).unwrap();
    manifest.budgets = Budgets::new("1/20".parse().unwrap(), "1/100".parse().unwrap()).unwrap();
    manifest.smallest_budget = smallest_budget(REQUESTS as u64);
    manifest.golden.field = golden(&field, &rows);
    let root = tempfile::tempdir().unwrap();
    let target = root.path().join("bundle");
    let files = [(FIELD_MODEL, field.bytes()), (PROFILE, builder.to_bytes())];
    publish_as(&target, &files, manifest).unwrap();
    Engine::load(runtime(), &Bundle::open(&target).unwrap(), &OPTIONS).unwrap()
});

/// Everything but one place.
struct Only<'a>(Location, &'a str);

impl FieldFilter for Only<'_> {
    fn excepted(&self, location: Location, key: &[u8]) -> bool {
        location != self.0 || key != self.1.as_bytes()
    }
}

/// The explanation of one field.
fn explain(request: &OwnedRequest, location: Location, key: &str) -> Reason {
    let mut scratch = EngineScratch::default();
    let secrets = SecretKeys::default();
    let reason = request
        .with_view(|view| {
            let subject = Subject::of(view);
            SITE.explain(0, &subject, &Only(location, key), &mut scratch, &secrets)
        })
        .unwrap();
    assert_eq!(reason.fields.len(), 1, "{reason:#?}");
    reason
}

fn says(field: &FieldReason, what: &str) {
    let told = field.because.iter().any(|cause| cause.what == what);
    assert!(told, "{what} is not in {field:#?}");
}

#[test]
fn a_value_of_another_type_is_told_with_what_was_usual() {
    let hostile = request("/item/12345?id=12%3Cscript%3Ealert(1)%3C/script%3E&view=grid");
    let reason = explain(&hostile, Location::QueryValue, "id");
    let field = &reason.fields[0];
    says(
        field,
        "is no integer, although all 100 values of `id` at /item/* so far were",
    );
    says(
        field,
        "characters never seen here: `<`, `>`, `(`, `)`, `/`, letters",
    );
    says(field, "27 bytes, where 4 to 5 are usual");
    assert_eq!(field.value.marked, "<script>alert(1)</script>");
    assert_eq!(
        field.usual,
        "integer; 4 to 5 bytes; in every request to /item/* (100 seen)"
    );
    assert_eq!(field.would_pass, "an integer of 4 to 5 digits");
    let json = serde_json::to_value(field).unwrap();
    assert_eq!(
        json["usual_here"],
        serde_json::json!({
            "level": "endpoint",
            "template": "/item/*",
            "observations": 100,
            "share_of_requests": 1.0,
            "kind": "integer",
            "length": [4, 5],
            "shapes": [{ "shape": "0", "share": 1.0 }],
            "missing_parameters": 0,
            "unknown_parameters": 0,
        })
    );
    let text = reason.to_text();
    assert!(text.contains("Query value `id`: 12»<script>"), "{text}");
    assert!(text.contains("Usual here: integer; 4 to 5 bytes"), "{text}");
}

#[test]
fn an_unknown_parameter_is_told_first() {
    let hostile = request("/item/12345?id=12345&view=grid&debug=1%27%20OR%201=1--%20");
    let reason = explain(&hostile, Location::QueryValue, "debug");
    let field = &reason.fields[0];
    assert_eq!(
        field.because[0].what,
        "the parameter `debug` was never seen at this endpoint, nor elsewhere on this site"
    );
    assert!(
        field
            .usual
            .starts_with("the parameter `debug` was never seen at /item/*; in general: mostly"),
        "{}",
        field.usual
    );
    assert_eq!(
        field.would_pass,
        "the request without the parameter `debug`"
    );
    let here = field.usual_here.as_ref().unwrap();
    assert_eq!((here.level, here.unknown_parameters), ("location", Some(1)));
    // A parameter that other endpoints have.
    let moved = request("/item/12345?id=12345&view=grid&q=a%20b");
    let field = &explain(&moved, Location::QueryValue, "q").fields[0];
    assert_eq!(
        field.because[0].what,
        "the parameter `q` was never seen at this endpoint"
    );
    let path = &explain(&hostile, Location::Path, "").fields[0];
    says(path, "parameter `debug` was never seen at this endpoint");
}

#[test]
fn a_missing_parameter_is_told() {
    let field = &explain(&form("/checkout", "count=3"), Location::Path, "").fields[0];
    says(
        field,
        "a parameter is missing that nearly every request to /checkout had",
    );
    let here = field.usual_here.as_ref().unwrap();
    assert_eq!(
        (here.missing_parameters, here.unknown_parameters),
        (Some(1), Some(0))
    );
}

#[test]
fn an_unknown_endpoint_is_told() {
    let field = &explain(&request("/admin/console.php"), Location::Path, "").fields[0];
    says(
        field,
        "this endpoint was never seen; such a file extension was never seen on this site",
    );
    assert_eq!(field.would_pass, "a path that the site is known to have");
    let here = field.usual_here.as_ref().unwrap();
    assert_eq!((here.level, here.template.as_deref()), ("site", None));
}

#[test]
fn an_unusual_method_and_repeated_parameters_are_told() {
    let field = &explain(
        &request("/checkout?count=1&count=2&count=3"),
        Location::Path,
        "",
    )
    .fields[0];
    let all = field.because[0].what.clone() + &field.because[1].what;
    for part in [
        "the request's method was never seen at this endpoint",
        "parameters are repeated more often than ever at this endpoint",
    ] {
        assert!(all.contains(part), "{all}");
    }
}

#[test]
fn an_encoding_that_the_place_never_had_is_told() {
    let twice = request("/search?q=green%2520sofa");
    let field = &explain(&twice, Location::QueryValue, "q").fields[0];
    says(field, "encoded twice, never so here");
}

#[test]
fn what_a_value_lacks_is_told() {
    let bare = form("/checkout", "coupon=green&count=3");
    let field = &explain(&bare, Location::BodyValue, "coupon").fields[0];
    says(field, "no digits, which nearly all values here have");
}

#[test]
fn a_length_among_numbers_is_told_with_the_usual_one() {
    let long = request("/item/12345?id=123456789012&view=grid");
    let field = &explain(&long, Location::QueryValue, "id").fields[0];
    assert_eq!(field.because[0].what, "12 bytes, where 4 to 5 are usual");
    assert_eq!(field.would_pass, "an integer of 4 to 5 digits");
}

#[test]
fn a_value_outside_an_enumeration_is_told() {
    let tiles = request("/item/12345?id=12345&view=tile");
    let field = &explain(&tiles, Location::QueryValue, "view").fields[0];
    says(field, "not one of the 2 values usual here");
}

#[test]
fn of_a_secret_only_length_and_that_it_departs_are_told() {
    let login = form("/login", "user=lamp&password=x%27+OR+Zebra%3D%3CZebra%3E");
    let reason = explain(&login, Location::BodyValue, "password");
    let field = &reason.fields[0];
    says(field, "departs from what is usual here");
    says(field, "19 bytes, where 8 to 10 are usual");
    assert_eq!(
        field.usual,
        "8 to 10 bytes; in every request to /login (100 seen)"
    );
    let here = field.usual_here.as_ref().unwrap();
    assert_eq!((&here.kind, here.shapes.len()), (&None, 0));
    let all = reason.to_text() + &serde_json::to_string(&reason).unwrap();
    for leak in [
        "Zebra",
        "zebra",
        "`'`",
        "`<`",
        "identifier",
        "a0",
        "never seen here:",
        "marked\":\"x",
    ] {
        assert!(!all.contains(leak), "{leak} is in {all}");
    }
}

#[test]
fn no_word_about_a_secret_quotes_it() {
    for value in [
        "12",
        "%27%27%27",
        "%3Cb%3E",
        "LAMP",
        "%2500",
        "a.b.c@d",
        "lamp",
    ] {
        for (target, body) in [
            ("/login", format!("user=lamp&password={value}")),
            ("/login", format!("user=lamp&newpass={value}")),
            ("/elsewhere", format!("password={value}")),
        ] {
            let key = if body.contains("newpass") {
                "newpass"
            } else {
                "password"
            };
            let field = &explain(&form(target, &body), Location::BodyValue, key).fields[0];
            let because = field.because.iter().map(|cause| cause.what.as_str());
            for what in because.chain([field.usual.as_str(), field.would_pass.as_str()]) {
                let quoted = what.replace(&format!("`{key}`"), "");
                assert!(!quoted.contains('`'), "{value}: {what}");
                assert!(
                    !what.contains("characters never seen") && !what.contains("is no "),
                    "{value}: {what}"
                );
            }
        }
    }
}

#[test]
fn what_the_site_knows_is_ordinary() {
    let reason = explain(&ordinary(5), Location::QueryValue, "q");
    let text = reason.to_text();
    assert!(text.starts_with("Nothing unusual: "), "{text}");
    assert_eq!(reason.fields[0].usual_here, None);
}

#[test]
fn hostile_names_and_paths_stay_on_their_line() {
    for target in [
        "/item/12345?id=1&%0a%1b[2Jx=1",
        "/%0a%1b[2J/x%0d?id=1",
        "/item/%0a12345?%60a%60=%0a",
    ] {
        let mut scratch = EngineScratch::default();
        let reason = request(target)
            .with_view(|view| {
                let secrets = SecretKeys::default();
                SITE.explain(0, &Subject::of(view), &NoExceptions, &mut scratch, &secrets)
            })
            .unwrap();
        let text = reason.to_text();
        let control = |character: char| character.is_control() && character != '\n';
        assert!(!text.contains(control), "{text:?}");
        assert_eq!(text.lines().count(), reason.fields.len() * 5, "{text}");
    }
}
