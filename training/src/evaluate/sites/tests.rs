#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use super::*;

fn request(method: &str, target: &str, headers: &[(&str, &str)], body: &str) -> OwnedRequest {
    OwnedRequest {
        method: method.into(),
        target: target.into(),
        headers: headers
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()))
            .collect(),
        body: body.into(),
    }
}

fn sample(host: &str, request: OwnedRequest) -> NormalSample {
    NormalSample {
        request,
        vector: None,
        host: host.to_owned(),
        time: None,
        source: "capture".to_owned(),
    }
}

fn templates() -> Vec<NormalSample> {
    let common = [("Accept-Language", "en"), ("User-Agent", "Mozilla/5.0")];
    let with = |host: &'static str, more: &[(&'static str, &'static str)]| {
        [&[("Host", host)], &common[..], more].concat()
    };
    vec![
        sample(
            "a.example",
            request(
                "GET",
                "/item?id=7&lang=en",
                &with("a.example", &[("Cookie", "s=1; t=2")]),
                "",
            ),
        ),
        sample(
            "a.example",
            request(
                "POST",
                "/api",
                &with(
                    "a.example",
                    &[
                        ("Content-Type", "application/json"),
                        ("Content-Length", "18"),
                    ],
                ),
                "{\"a\":\"x\",\"b\":[\"y\"]}",
            ),
        ),
        sample(
            "b.example",
            request("GET", "/plain", &with("b.example", &[]), ""),
        ),
        sample(
            "b.example",
            request(
                "POST",
                "/form",
                &with(
                    "b.example",
                    &[
                        ("Content-Type", "application/x-www-form-urlencoded"),
                        ("Content-Length", "7"),
                    ],
                ),
                "q=1&r=2",
            ),
        ),
    ]
}

fn exposure() -> Exposure {
    let payload = |text: String, class: &str, location| Payload {
        bytes: text.into_bytes(),
        class: class.to_owned(),
        source: "list".to_owned(),
        location,
    };
    let mut payloads: Vec<Payload> = (0..60)
        .map(|n| payload(format!("' or {n}={n}--"), "sqli", None))
        .collect();
    payloads.push(payload(
        "/.git/config".into(),
        "scanner",
        Some(Location::Path),
    ));
    payloads.push(payload(
        "p7=<svg onload=x()>".into(),
        "xss",
        Some(Location::QueryKey),
    ));
    payloads.push(payload(
        "user[$ne]=1".into(),
        "nosqli",
        Some(Location::QueryKey),
    ));
    Exposure {
        payloads,
        ..Exposure::default()
    }
}

const OPTIONS: GraftOptions = GraftOptions {
    seed: 1,
    most_a_class: None,
};

#[test]
fn every_host_gets_its_attacks_and_nothing_else_changes() {
    let templates = templates();
    let made = attacks(&exposure(), &templates, 40, &OPTIONS);
    assert_eq!(made.len(), 80);
    for attack in &made {
        let template = &templates[attack.template.unwrap()];
        assert_eq!(attack.host, template.host);
        assert_ne!(attack.request, template.request);
        assert_eq!(
            attack.request.header("host"),
            template.request.header("host")
        );
        assert!(is_same_shape(
            &template.request,
            &attack.request,
            attack.location.unwrap()
        ));
        assert_ne!(attack.class, "scanner");
        let target = String::from_utf8_lossy(&attack.request.target).into_owned();
        assert!(
            !target.contains("p7="),
            "a name the site does not have: {target}"
        );
    }
    let again = attacks(&exposure(), &templates, 40, &OPTIONS);
    assert!(made.iter().zip(&again).all(|(a, b)| a.request == b.request));
}

#[test]
fn places_are_those_that_a_request_has() {
    let templates = templates();
    let of = |index: usize| fields_of(&templates[index].request);
    assert!(of(0).contains(&Location::QueryValue) && of(0).contains(&Location::Cookie));
    assert!(of(1).contains(&Location::Json) && !of(1).contains(&Location::QueryValue));
    assert!(!of(2).contains(&Location::BodyValue) && of(3).contains(&Location::BodyValue));
}

#[test]
fn a_new_header_parameter_or_path_is_another_shape() {
    let before = &templates()[0].request;
    let mut other = before.clone();
    other.target = b"/item?id=7&lang=en&x=1".to_vec();
    assert!(!is_same_shape(before, &other, Location::QueryValue));
    let mut other = before.clone();
    other.target = b"/other?id=1&lang=en".to_vec();
    assert!(!is_same_shape(before, &other, Location::QueryValue));
    let mut other = before.clone();
    other.headers.push((b"X-A".to_vec(), b"1".to_vec()));
    assert!(!is_same_shape(before, &other, Location::Header));
    let mut other = before.clone();
    other.target = b"/item?id='--&lang=en".to_vec();
    assert!(is_same_shape(before, &other, Location::QueryValue));
}
