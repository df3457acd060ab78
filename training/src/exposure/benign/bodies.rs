//! Ordinary values and whole ordinary bodies: forms, JSON, XML, multipart, text, telemetry.
//!
//! Must not be here: where they are put (`benign`).

use serde_json::{Map, Value, json};

use crate::exposure::dice::Dice;
use crate::exposure::{grammar, transport};

/// What the grammar writes where a link names the site that it stands on.
const OWN_HOST: &str = "OWN-HOST";

/// The site that links name where no request is at hand.
pub(super) const ELSEWHERE: &str = "www.example.com";

/// Share of free texts that are made of several.
const LONG_SHARE: f64 = 0.15;

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

/// An ordinary value of a short field.
pub fn value(dice: &mut Dice) -> String {
    draw("benign_value", ELSEWHERE, dice)
}

/// Ordinary free text of a body: a comment, a mail, a ticket with code in it, an article, up to several KiB.
pub fn text(dice: &mut Dice) -> String {
    text_of(ELSEWHERE, dice)
}

pub(super) fn text_of(host: &str, dice: &mut Dice) -> String {
    let parts = if dice.chance(LONG_SHARE) {
        dice.between(2, 20)
    } else {
        1
    };
    (0..parts)
        .map(|_| draw("benign_text", host, dice))
        .collect::<Vec<_>>()
        .join("\n\n")
}

/// Draws from the grammar, with links of the same site made to name `host`.
pub(in crate::exposure) fn draw(rule: &str, host: &str, dice: &mut Dice) -> String {
    grammar::payload(rule, dice)
        .unwrap_or_default()
        .replace(OWN_HOST, host)
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
                &transport::query(value.as_bytes(), dice),
            ]
            .concat()
        })
        .collect();
    pairs.join(&b'&')
}

/// A JSON body with ordinary leaves.
pub fn json(dice: &mut Dice) -> Vec<u8> {
    if dice.chance(0.12) {
        let query = draw("benign_gql", ELSEWHERE, dice);
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
        let name = match dice.weighted(&[0.82, 0.1, 0.08]) {
            0 => key(dice),
            1 => draw("benign_key", ELSEWHERE, dice),
            _ => draw("lk_label", ELSEWHERE, dice),
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
pub(super) fn raw(host: &str, dice: &mut Dice) -> Vec<u8> {
    match dice.below(10) {
        0 => {
            let length = dice.between(16, 6000) as usize;
            dice.bytes(length)
        }
        1 => compressed(dice),
        2 => [b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec(), dice.bytes(400)].concat(),
        3 => json(dice),
        4 => form(dice),
        5 | 6 => draw("benign_beacon", host, dice).into_bytes(),
        7 => text_of(host, dice).into_bytes(),
        8 => draw("lk_json", host, dice).into_bytes(),
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
    fn look_alikes_hardly_repeat_and_are_of_every_length() {
        let mut dice = Dice::new(9);
        let values: Vec<String> = (0..10_000).map(|_| value(&mut dice)).collect();
        let distinct: std::collections::HashSet<&String> = values.iter().collect();
        assert!(distinct.len() > 7_000, "{}", distinct.len());
        let texts: Vec<String> = (0..1_000).map(|_| text(&mut dice)).collect();
        let distinct: std::collections::HashSet<&String> = texts.iter().collect();
        assert!(distinct.len() > 990, "{}", distinct.len());
        assert!(texts.iter().any(|text| text.len() > 4_000));
        assert!(values.iter().any(|value| value.len() <= 3));
        assert!(
            values
                .iter()
                .chain(&texts)
                .all(|text| !text.contains(['«', '»'])),
        );
    }
}
