//! Ordinary requests that look like attacks, made like the attacks are: grafted into real requests at every location.
//!
//! They keep position, encoding and body format from giving the label away: without them every XML body in training would be hostile.

mod bodies;

use weir_features::Location;
use weir_scoring::record::OwnedRequest;

use super::dice::Dice;
use super::graft::{Mode, graft, set_header};
use super::transport;

pub(super) use bodies::draw;
use bodies::{ELSEWHERE, raw, text_of};
pub use bodies::{form, json, key, multipart, text, value, xml};

/// Where look-alikes are put, in the order of [`Location::ALL`].
const WEIGHTS: [f64; 12] = [
    2.0, 5.0, 18.0, 4.0, 14.0, 12.0, 10.0, 8.0, 6.0, 7.0, 5.0, 2.0,
];

/// `count` ordinary requests made of `templates` by grafting ordinary values into them.
#[must_use]
pub fn requests(dice: &mut Dice, templates: &[&OwnedRequest], count: usize) -> Vec<OwnedRequest> {
    (0..count)
        .filter_map(|_| request(dice, templates))
        .collect()
}

/// A raw piece of a query or form: `name=value` with an unusual name, or the pairs that an interface's own language needs.
fn pair(host: &str, dice: &mut Dice) -> String {
    if dice.chance(0.5) {
        return draw("benign_pair", host, dice);
    }
    let name = draw("benign_key", host, dice);
    let value: String = value(dice)
        .chars()
        .filter(|c| !matches!(c, '&' | '=' | '#'))
        .collect();
    format!("{}={value}", name.trim_end_matches('='))
}

/// Share of look-alikes whose site has a name or an address of a private network.
const LOCAL_SHARE: f64 = 0.08;

/// Moves a request to a site on a private network or the own machine, as developers and intranets have them.
fn make_local(request: &mut OwnedRequest, dice: &mut Dice) {
    let host = draw("benign_host", ELSEWHERE, dice);
    let peer = if dice.chance(0.8) {
        host.clone()
    } else {
        draw("benign_host", ELSEWHERE, dice)
    };
    set_header(request, "Host", host.into_bytes());
    let page = format!("http://{peer}/{}/{}", key(dice), dice.below(1000));
    set_header(request, "Referer", page.into_bytes());
    if dice.chance(0.5) {
        set_header(request, "Origin", format!("http://{peer}").into_bytes());
    }
    if dice.chance(0.3) {
        let address = draw("benign_address", ELSEWHERE, dice);
        set_header(request, "X-Forwarded-For", address.into_bytes());
    }
}

fn request(dice: &mut Dice, templates: &[&OwnedRequest]) -> Option<OwnedRequest> {
    let template = dice.choose(templates).copied()?;
    if dice.chance(LOCAL_SHARE) {
        let mut local = template.clone();
        make_local(&mut local, dice);
        return Some(local);
    }
    let location = Location::ALL.get(dice.weighted(&WEIGHTS)).copied()?;
    let host = String::from_utf8_lossy(template.host().unwrap_or(ELSEWHERE.as_bytes()));
    let (value, mode) = placed(location, &host, dice);
    // A whole address: the graft would make a parameter of it.
    if location == Location::Referer && mode == Mode::Replace {
        let mut request = template.clone();
        set_header(&mut request, "Referer", transport::header(&value));
        return Some(request);
    }
    Some(graft(template, location, &value, mode, dice).after)
}

/// What people and programs send at a location, and how it meets what stands there.
fn placed(location: Location, host: &str, dice: &mut Dice) -> (Vec<u8>, Mode) {
    let special = |rule: &str, share: f64, dice: &mut Dice| {
        if dice.chance(share) {
            (draw(rule, host, dice), Mode::Replace)
        } else {
            (draw("benign_value", host, dice), Mode::Append)
        }
    };
    let free = |share: f64, dice: &mut Dice| {
        let value = if dice.chance(share) {
            text_of(host, dice)
        } else {
            draw("benign_value", host, dice)
        };
        (value, Mode::draw(dice))
    };
    let (value, mode) = match location {
        Location::RawBody => return (raw(host, dice), Mode::Replace),
        Location::Path if dice.chance(0.6) => (draw("benign_target", host, dice), Mode::Replace),
        Location::Path => (
            draw("benign_slug", host, dice)
                .replace(['?', '\\', '<', '>', '\'', '"', '\n', '\r'], "-"),
            Mode::Replace,
        ),
        Location::QueryKey | Location::BodyKey => (pair(host, dice), Mode::Replace),
        Location::BodyValue | Location::Json => free(0.35, dice),
        Location::Xml => free(0.2, dice),
        Location::QueryValue => (draw("benign_value", host, dice), Mode::draw(dice)),
        Location::Header => special("benign_header", 0.7, dice),
        Location::Cookie => special("benign_cookie", 0.6, dice),
        Location::Referer => special("benign_referer", 0.6, dice),
        Location::UserAgent => (draw("benign_agent", host, dice), Mode::Replace),
    };
    (value.into_bytes(), mode)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn local_sites_keep_their_origin() {
        let mut request = OwnedRequest {
            method: b"GET".to_vec(),
            target: b"/".to_vec(),
            headers: vec![(b"Host".to_vec(), b"www.example.org".to_vec())],
            body: Vec::new(),
        };
        make_local(&mut request, &mut Dice::new(4));
        assert_ne!(request.host(), Some(&b"www.example.org"[..]));
        let referer = String::from_utf8_lossy(request.header("referer").unwrap()).into_owned();
        assert!(referer.starts_with("http://"), "{referer}");
    }

    #[test]
    fn requests_are_made_from_templates() {
        let template = OwnedRequest {
            method: b"GET".to_vec(),
            target: b"/a?b=c".to_vec(),
            headers: vec![(b"Host".to_vec(), b"shop.example".to_vec())],
            body: Vec::new(),
        };
        let made = requests(&mut Dice::new(1), &[&template], 100);
        assert_eq!(made.len(), 100);
        assert!(
            made.iter()
                .any(|request| request.host() == Some(&b"shop.example"[..]))
        );
        assert!(requests(&mut Dice::new(1), &[], 5).is_empty());
    }

    #[test]
    fn links_of_the_same_site_name_it() {
        let template = OwnedRequest {
            method: b"GET".to_vec(),
            target: b"/".to_vec(),
            headers: vec![(b"Host".to_vec(), b"shop.example".to_vec())],
            body: Vec::new(),
        };
        let made = requests(&mut Dice::new(2), &[&template], 2_000);
        let written = |request: &OwnedRequest| {
            [&request.target, &request.body]
                .into_iter()
                .chain(request.headers.iter().map(|(_, value)| value))
                .any(|text| String::from_utf8_lossy(text).contains("OWN-HOST"))
        };
        assert!(!made.iter().any(written));
    }
}
