//! Ordinary requests that look like attacks, made like the attacks are: grafted into real requests at every location.
//!
//! They keep position, encoding and body format from giving the label away: without them every XML body in training would be hostile.

use serde_json::{Map, Value, json};
use weir_features::Location;
use weir_scoring::record::OwnedRequest;

use super::dice::Dice;
use super::graft::{Mode, graft, set_header};
use super::grammar;

const KEYS: &[&str] = &[
    "id",
    "q",
    "page",
    "name",
    "search",
    "query",
    "url",
    "lang",
    "sort",
    "filter",
    "category",
    "type",
    "user",
    "email",
    "comment",
    "message",
    "title",
    "text",
    "ref",
    "redirect",
    "next",
    "file",
    "path",
    "data",
    "value",
    "token",
    "view",
    "action",
    "mode",
    "size",
    "color",
    "product_id",
    "item",
    "callback",
    "source",
    "host",
    "return_to",
    "theme",
    "format",
    "limit",
    "offset",
    "from",
    "to",
    "date",
    "country",
    "city",
    "address",
    "phone",
    "firstName",
    "last_name",
    "description",
];

/// A parameter name.
pub fn key(dice: &mut Dice) -> String {
    if dice.chance(0.15) {
        dice.string(b"abcdefghijklmnopqrstuvwxyz_", 6)
    } else {
        dice.word(KEYS).to_owned()
    }
}

/// An ordinary value.
pub fn value(dice: &mut Dice) -> String {
    grammar::payload("benign_value", dice).unwrap_or_default()
}

/// A form body of one to six ordinary pairs.
pub fn form(dice: &mut Dice) -> Vec<u8> {
    let pairs: Vec<Vec<u8>> = (0..dice.between(1, 6))
        .map(|_| {
            let key = key(dice);
            let value = value(dice);
            [
                key.as_bytes(),
                b"=",
                &super::transport::query(value.as_bytes(), dice),
            ]
            .concat()
        })
        .collect();
    pairs.join(&b'&')
}

/// A JSON body with ordinary leaves.
pub fn json(dice: &mut Dice) -> Vec<u8> {
    if dice.chance(0.12) {
        let query = grammar::payload("benign_gql", dice).unwrap_or_default();
        return serde_json::to_vec(
            &json!({"operationName": null, "query": query, "variables": {"id": dice.below(1000)}}),
        )
        .unwrap_or_default();
    }
    serde_json::to_vec(&object(dice, 0)).unwrap_or_default()
}

fn object(dice: &mut Dice, depth: usize) -> Value {
    let mut map = Map::new();
    for _ in 0..dice.between(1, 5) {
        let leaf = match dice.weighted(&[0.55, 0.15, 0.08, 0.06, 0.16]) {
            0 => Value::String(value(dice)),
            1 => json!(dice.between(0, 100_000)),
            2 => json!(dice.chance(0.5)),
            3 => json!([value(dice), value(dice)]),
            _ if depth < 2 => object(dice, depth + 1),
            _ => Value::Null,
        };
        let name = if dice.chance(0.1) {
            grammar::payload("benign_key", dice).unwrap_or_default()
        } else {
            key(dice)
        };
        map.insert(name, leaf);
    }
    Value::Object(map)
}

/// An XML body: plain elements, attributes, sometimes a SOAP envelope.
pub fn xml(dice: &mut Dice) -> Vec<u8> {
    let mut inner = String::new();
    for _ in 0..dice.between(1, 5) {
        let (tag, attribute, text) = (key(dice), value(dice), value(dice));
        let escape = |text: &str| {
            text.replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
        };
        let attribute = if dice.chance(0.3) {
            format!(" {}=\"{}\"", key(dice), escape(&attribute))
        } else {
            String::new()
        };
        inner.push_str(&format!("<{tag}{attribute}>{}</{tag}>", escape(&text)));
    }
    let declaration = if dice.chance(0.7) {
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>"
    } else {
        ""
    };
    match dice.below(3) {
        0 => format!("{declaration}<soap:Envelope xmlns:soap=\"http://schemas.xmlsoap.org/soap/envelope/\"><soap:Header/><soap:Body><m:{0} xmlns:m=\"http://www.example.org/{0}\">{inner}</m:{0}></soap:Body></soap:Envelope>", key(dice)),
        1 => format!("{declaration}<{0} xmlns=\"urn:example:{0}\" xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">{inner}</{0}>", key(dice)),
        _ => format!("{declaration}<request>{inner}</request>"),
    }
    .into_bytes()
}

/// A multipart body and its content type; some parts are files of random bytes.
pub fn multipart(dice: &mut Dice) -> (Vec<u8>, String) {
    let boundary = format!(
        "----WebKitFormBoundary{}",
        dice.string(b"abcdefghijABCDEFGHIJ0123456789", 16)
    );
    let mut body = Vec::new();
    for _ in 0..dice.between(1, 4) {
        body.extend_from_slice(
            format!(
                "--{boundary}\r\nContent-Disposition: form-data; name=\"{}\"",
                key(dice)
            )
            .as_bytes(),
        );
        if dice.chance(0.3) {
            let (extension, kind) = *dice
                .choose(&[
                    ("jpg", "image/jpeg"),
                    ("png", "image/png"),
                    ("pdf", "application/pdf"),
                    ("bin", "application/octet-stream"),
                ])
                .unwrap_or(&("bin", "application/octet-stream"));
            let name = value(dice).replace(['"', '\r', '\n', '\\', '/'], "_");
            body.extend_from_slice(
                format!("; filename=\"{name}.{extension}\"\r\nContent-Type: {kind}\r\n\r\n")
                    .as_bytes(),
            );
            let length = dice.between(20, 3000) as usize;
            body.extend(dice.bytes(length));
        } else {
            body.extend_from_slice(b"\r\n\r\n");
            body.extend_from_slice(value(dice).as_bytes());
        }
        body.extend_from_slice(b"\r\n");
    }
    body.extend_from_slice(format!("--{boundary}--\r\n").as_bytes());
    (body, format!("multipart/form-data; boundary={boundary}"))
}

/// A whole body without structure: text, or bytes as uploads and telemetry have them.
fn raw(dice: &mut Dice) -> Vec<u8> {
    match dice.below(6) {
        0 => {
            let length = dice.between(16, 6000) as usize;
            dice.bytes(length)
        }
        1 => compressed(dice),
        2 => [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), dice.bytes(400)].concat(),
        3 => json(dice),
        4 => form(dice),
        _ => (0..dice.between(1, 8))
            .map(|_| value(dice))
            .collect::<Vec<_>>()
            .join("\n")
            .into_bytes(),
    }
}

fn compressed(dice: &mut Dice) -> Vec<u8> {
    use std::io::Write as _;
    let mut writer = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
    let text = json(dice);
    writer
        .write_all(&text)
        .and_then(|()| writer.finish())
        .unwrap_or_default()
}

/// Where look-alikes are put, in the order of [`Location::ALL`].
const WEIGHTS: [f64; 12] = [
    4.0, 4.0, 18.0, 3.0, 12.0, 12.0, 10.0, 8.0, 6.0, 6.0, 4.0, 0.5,
];

/// `count` ordinary requests made of `templates` by grafting ordinary values into them.
#[must_use]
pub fn requests(dice: &mut Dice, templates: &[&OwnedRequest], count: usize) -> Vec<OwnedRequest> {
    (0..count)
        .filter_map(|_| request(dice, templates))
        .collect()
}

/// A raw `name=value` with an unusual name.
fn pair(dice: &mut Dice) -> String {
    let name = grammar::payload("benign_key", dice).unwrap_or_default();
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
    let host = grammar::payload("benign_host", dice).unwrap_or_default();
    let peer = if dice.chance(0.8) {
        host.clone()
    } else {
        grammar::payload("benign_host", dice).unwrap_or_default()
    };
    set_header(request, "Host", host.into_bytes());
    let page = format!("http://{peer}/{}/{}", key(dice), dice.below(1000));
    set_header(request, "Referer", page.into_bytes());
    if dice.chance(0.5) {
        set_header(request, "Origin", format!("http://{peer}").into_bytes());
    }
    if dice.chance(0.3) {
        let address = grammar::payload("benign_address", dice).unwrap_or_default();
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
    let value = match location {
        Location::RawBody => raw(dice),
        Location::Path => value(dice)
            .replace(['?', '\\', '<', '>', '\'', '"', '\n', '\r'], "-")
            .into_bytes(),
        Location::QueryKey | Location::BodyKey => pair(dice).into_bytes(),
        _ => value(dice).into_bytes(),
    };
    let mode = if location == Location::Path {
        Mode::Replace
    } else {
        Mode::draw(dice)
    };
    Some(graft(template, location, &value, mode, dice).after)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn bodies_are_well_formed() {
        let mut dice = Dice::new(5);
        for _ in 0..200 {
            assert!(serde_json::from_slice::<Value>(&json(&mut dice)).is_ok());
            assert!(form(&mut dice).contains(&b'='));
            let (body, kind) = multipart(&mut dice);
            let boundary = kind.split_once("boundary=").unwrap().1;
            assert!(body.starts_with(format!("--{boundary}\r\n").as_bytes()));
            let xml = String::from_utf8(xml(&mut dice)).unwrap();
            assert_eq!(
                xml.matches("</").count() * 2 + xml.matches("/>").count(),
                xml.matches('<').count() - xml.matches("<?").count()
            );
        }
    }

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
}
