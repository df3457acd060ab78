//! Whole ordinary requests to sites that nobody knows, as browsers, applications and programs send them.
//!
//! Must not be here: look-alikes of attacks (`benign`), and traffic of anybody: everything is generated.

use weir_scoring::record::OwnedRequest;

use super::benign;
use super::benign::draw;
use super::dice::Dice;
use super::transport;

/// What a request is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Page,
    Asset,
    Fetch,
    Collect,
    Json,
    Form,
    Lines,
    Upload,
    Xml,
}

/// How often each kind is sent: more bodies than browsing has, because they vary most.
const KINDS: [(Kind, f64); 9] = [
    (Kind::Page, 0.18),
    (Kind::Asset, 0.22),
    (Kind::Fetch, 0.16),
    (Kind::Collect, 0.12),
    (Kind::Json, 0.14),
    (Kind::Form, 0.08),
    (Kind::Lines, 0.05),
    (Kind::Upload, 0.03),
    (Kind::Xml, 0.02),
];

/// Share of requests that no browser sends.
const PROGRAMS: f64 = 0.1;

/// `count` requests that depend on nothing but `seed`.
#[must_use]
pub fn requests(seed: u64, count: usize) -> Vec<OwnedRequest> {
    (0..count)
        .map(|index| request(&mut Dice::derived(seed, index as u64)))
        .collect()
}

fn request(dice: &mut Dice) -> OwnedRequest {
    let weights = KINDS.map(|(_, weight)| weight);
    let kind = KINDS
        .get(dice.weighted(&weights))
        .map_or(Kind::Page, |(kind, _)| *kind);
    let host = draw("ord_site", "", dice);
    let (body, content_type) = body(kind, &host, dice);
    let mut request = OwnedRequest {
        method: method(kind, dice).as_bytes().to_vec(),
        target: target(kind, &host, dice),
        headers: vec![(b"Host".to_vec(), host.clone().into_bytes())],
        body,
    };
    if dice.chance(PROGRAMS) {
        push(&mut request, "User-Agent", draw("ord_program", &host, dice));
        push(&mut request, "Accept", "*/*".to_owned());
    } else {
        browser(&mut request, kind, &host, dice);
    }
    cookies(&mut request, &host, dice);
    if let Some(content_type) = content_type {
        push(&mut request, "Content-Type", content_type);
        let length = request.body.len().to_string();
        push(&mut request, "Content-Length", length);
    }
    for _ in 0..dice.weighted(&[0.55, 0.25, 0.15, 0.05]) {
        let line = draw("ord_extra", &host, dice);
        if let Some((name, value)) = line.split_once(": ") {
            push(&mut request, name, value.to_owned());
        }
    }
    request
}

fn push(request: &mut OwnedRequest, name: &str, value: String) {
    request.headers.push((name.into(), value.into_bytes()));
}

fn method(kind: Kind, dice: &mut Dice) -> &'static str {
    match kind {
        Kind::Page | Kind::Asset | Kind::Fetch | Kind::Collect => "GET",
        Kind::Json if dice.chance(0.15) => "PUT",
        _ => "POST",
    }
}

fn target(kind: Kind, host: &str, dice: &mut Dice) -> Vec<u8> {
    let (rule, counts): (&str, &[f64]) = match kind {
        Kind::Page => ("ord_page", &[0.6, 0.15, 0.1, 0.1, 0.05]),
        Kind::Asset => ("ord_asset", &[0.7, 0.2, 0.05, 0.05]),
        Kind::Fetch => ("ord_api", &[0.35, 0.2, 0.15, 0.1, 0.1, 0.1]),
        Kind::Json | Kind::Xml => ("ord_api", &[0.7, 0.2, 0.1]),
        Kind::Collect => (
            "ord_collect",
            &[0.05, 0.05, 0.05, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.15],
        ),
        Kind::Lines => ("ord_collect", &[0.5, 0.2, 0.2, 0.1]),
        Kind::Form | Kind::Upload => ("ord_action", &[0.8, 0.15, 0.05]),
    };
    let path = draw(rule, host, dice);
    // A fragment stays with the browser.
    let path = path.split('#').next().unwrap_or_default();
    let count = dice.weighted(counts);
    let pairs = pairs(count, host, dice);
    let mark: &[u8] = if pairs.is_empty() { b"" } else { b"?" };
    [path.replace(' ', "%20").as_bytes(), mark, &pairs].concat()
}

/// `count` pairs, written as a browser writes them.
fn pairs(count: usize, host: &str, dice: &mut Dice) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> = (0..count)
        .map(|_| {
            let name = draw("ord_name", host, dice);
            let value = draw("ord_value", host, dice);
            let value = transport::query(value.as_bytes(), dice);
            [name.as_bytes(), b"=", &value].concat()
        })
        .collect();
    pairs.join(&b'&')
}

fn body(kind: Kind, host: &str, dice: &mut Dice) -> (Vec<u8>, Option<String>) {
    let (body, content_type) = match kind {
        Kind::Page | Kind::Asset | Kind::Fetch | Kind::Collect => return (Vec::new(), None),
        Kind::Json => {
            let kind = dice.word(&[
                "application/json",
                "application/json",
                "application/json; charset=UTF-8",
                "text/plain;charset=UTF-8",
            ]);
            (draw("ord_json", host, dice).into_bytes(), kind)
        }
        Kind::Form => {
            let count = 1 + dice.below(8);
            let mut body = pairs(count, host, dice);
            if dice.chance(0.3) {
                let text = draw("lk_para", host, dice);
                let text = transport::query(text.as_bytes(), dice);
                body = [&body, &b"&message="[..], &text].concat();
            }
            let kind = dice.word(&[
                "application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded; charset=UTF-8",
            ]);
            (body, kind)
        }
        Kind::Lines => (
            draw("ord_lines", host, dice).into_bytes(),
            dice.word(&["text/plain;charset=UTF-8", "application/x-ndjson"]),
        ),
        Kind::Upload => {
            let (body, kind) = benign::multipart(dice);
            return (body, Some(kind));
        }
        Kind::Xml => (
            draw("ord_xml", host, dice).into_bytes(),
            dice.word(&["text/xml; charset=utf-8", "application/xml"]),
        ),
    };
    (body, Some(content_type.to_owned()))
}

fn browser(request: &mut OwnedRequest, kind: Kind, host: &str, dice: &mut Dice) {
    let accept = match kind {
        Kind::Page => "ord_accept_page",
        Kind::Asset => "ord_accept_part",
        _ => "ord_accept_data",
    };
    push(request, "User-Agent", draw("ord_agent", host, dice));
    push(request, "Accept", draw(accept, host, dice));
    push(request, "Accept-Language", draw("ord_language", host, dice));
    let codings = dice.word(&["gzip, deflate, br, zstd", "gzip, deflate, br"]);
    push(request, "Accept-Encoding", codings.to_owned());
    if dice.chance(0.85) {
        push(request, "sec-ch-ua", draw("ord_brands", host, dice));
        push(request, "sec-ch-ua-mobile", "?0".to_owned());
        let platform = dice.word(&["\"Windows\"", "\"Windows\"", "\"macOS\"", "\"Android\""]);
        push(request, "sec-ch-ua-platform", platform.to_owned());
    }
    if dice.chance(0.9) {
        let (mode, dest) = match kind {
            Kind::Page => ("navigate", "document"),
            Kind::Asset => (
                dice.word(&["no-cors", "cors"]),
                dice.word(&["script", "image", "style", "font"]),
            ),
            _ => (dice.word(&["cors", "no-cors"]), "empty"),
        };
        let site = dice.word(&["same-origin", "cross-site", "same-site", "none"]);
        push(request, "Sec-Fetch-Site", site.to_owned());
        push(request, "Sec-Fetch-Mode", mode.to_owned());
        push(request, "Sec-Fetch-Dest", dest.to_owned());
    }
    if dice.chance(0.9) {
        push(request, "Referer", draw("ord_referer", host, dice));
    }
    if matches!(kind, Kind::Json | Kind::Form | Kind::Lines) && dice.chance(0.7) {
        push(request, "Origin", format!("https://{host}"));
    }
}

fn cookies(request: &mut OwnedRequest, host: &str, dice: &mut Dice) {
    if dice.chance(0.45) {
        return;
    }
    let count = 1 + dice.below(10);
    let cookies: Vec<String> = (0..count).map(|_| draw("ord_cookie", host, dice)).collect();
    push(request, "Cookie", cookies.join("; "));
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use std::collections::HashSet;

    use super::*;
    use weir_features::{Extractor, Location, Scratch};

    #[test]
    fn requests_are_of_every_place_and_hardly_repeat() {
        let made = requests(1, 600);
        assert_eq!(made, requests(1, 600));
        let targets: HashSet<&Vec<u8>> = made.iter().map(|request| &request.target).collect();
        assert!(targets.len() > 480, "{}", targets.len());
        let mut places = [0; Location::COUNT];
        let mut scratch = Scratch::default();
        for request in &made {
            request.with_view(|view| {
                for field in Extractor::shared().extract(view, &mut scratch).iter() {
                    places[field.location.index()] += 1;
                }
            });
        }
        assert!(places.iter().all(|count| *count > 0), "{places:?}");
    }

    #[test]
    fn nothing_of_the_grammar_is_left_and_json_is_json() {
        for request in requests(2, 600) {
            let headers = request.headers.iter().map(|(_, value)| value);
            let text: String = [&request.target, &request.body]
                .into_iter()
                .chain(headers)
                // Files that are uploaded are bytes.
                .filter_map(|part| std::str::from_utf8(part).ok())
                .collect();
            assert!(
                !text.contains(['«', '»']) && !text.contains("OWN-HOST"),
                "{text}"
            );
            let kind = request.header("content-type").unwrap_or_default();
            if kind.starts_with(b"application/json") {
                let parsed = serde_json::from_slice::<serde_json::Value>(&request.body);
                assert!(parsed.is_ok(), "{}", String::from_utf8_lossy(&request.body));
            }
        }
    }
}
