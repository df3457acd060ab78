//! A browser loads a page through TLS and HTTP/2 and does what pages do; the page reports what it got.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::{Request, Response};
use serde_json::Value;

use crate::support::origin::{self, Origin};
use crate::support::programs::{Certificate, Running, command, wanted};
use crate::support::weir::Setup;
use crate::support::{eventually, sha256};

const PAGE: &str = r#"<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Shop</title>
<link rel="stylesheet" href="/style.css"><script src="/page.js" defer></script></head>
<body><h1>Shop</h1><img id="picture" src="/picture.svg" alt=""><form id="order"><input name="name" value="Zoë"></form></body></html>"#;

/// Everything it finds is sent to `/report` at the end.
const SCRIPT: &str = r"
const hex = async data => Array.from(new Uint8Array(await crypto.subtle.digest('SHA-256', data)),
  byte => byte.toString(16).padStart(2, '0')).join('');
const events = new Promise((done, failed) => {
  const heard = [], source = new EventSource('/events');
  source.onmessage = event => { heard.push(event.data); if (heard.length === 3) { source.close(); done(heard); } };
  source.onerror = () => failed(new Error('events'));
});
async function look() {
  const report = {};
  report.protocol = performance.getEntriesByType('navigation')[0].nextHopProtocol;
  report.color = getComputedStyle(document.body).color;
  report.picture = document.getElementById('picture').naturalWidth;
  const upload = new Uint8Array(400000).map((_, at) => at * 7 + (at >> 8));
  report.sent = await hex(upload);
  report.received = await (await fetch('/upload', {method: 'POST', body: upload,
    headers: {'content-type': 'application/octet-stream'}})).text();
  const form = new FormData(document.getElementById('order'));
  form.append('file', new Blob(['some text'], {type: 'text/plain'}), 'note.txt');
  report.form = (await fetch('/form', {method: 'POST', body: form})).status;
  report.many = (await Promise.all(Array.from({length: 30}, (_, at) =>
    fetch('/number/' + at).then(answer => answer.text())))).join();
  report.missing = (await fetch('/missing')).status;
  report.events = await events;
  return report;
}
addEventListener('load', () => look().catch(error => ({error: String(error)})).then(report =>
  fetch('/report', {method: 'POST', headers: {'content-type': 'application/json'}, body: JSON.stringify(report)})));
";

const PICTURE: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" width="40" height="30"><rect width="40" height="30" fill="#369"/></svg>"##;

fn answer(kind: &str, body: impl Into<Bytes>) -> Response<origin::Body> {
    Response::builder()
        .header("content-type", kind)
        .body(origin::full(body))
        .unwrap()
}

async fn shop(
    request: Request<Incoming>,
    reports: Arc<Mutex<Vec<Value>>>,
) -> Response<origin::Body> {
    let (head, body) = request.into_parts();
    let Ok(body) = body.collect().await else {
        return Response::builder()
            .status(400)
            .body(origin::full(""))
            .unwrap();
    };
    let body = body.to_bytes();
    match head.uri.path() {
        "/" => answer("text/html", PAGE),
        "/style.css" => answer("text/css", "body { color: rgb(1, 2, 3); }"),
        "/page.js" => answer("text/javascript", SCRIPT),
        "/picture.svg" => answer("image/svg+xml", PICTURE),
        "/upload" => answer("text/plain", sha256(&body)),
        "/form" => {
            assert!(body.windows(9).any(|part| part == b"some text"));
            answer("text/plain", "")
        }
        "/events" => answer(
            "text/event-stream",
            "data: one\n\ndata: two\n\ndata: three\n\n",
        ),
        "/report" => {
            reports
                .lock()
                .unwrap()
                .push(serde_json::from_slice(&body).unwrap());
            answer("text/plain", "")
        }
        path => match path.strip_prefix("/number/") {
            Some(number) => answer("text/plain", number.to_owned()),
            None => Response::builder()
                .status(404)
                .body(origin::full(""))
                .unwrap(),
        },
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_loads_a_page_through_tls_and_http2() {
    if !wanted() {
        return;
    }
    let reports = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&reports);
    let origin = Origin::with(move |request| shop(request, Arc::clone(&kept))).await;
    let certificate = Certificate::make();
    let mut setup = Setup::new(origin.address);
    setup.listener = certificate.listener();
    let weir = setup.start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut chromium = command("chromium");
    chromium.args([
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        // The certificate is our own, and only in this profile.
        "--ignore-certificate-errors",
        "--remote-debugging-port=0",
    ]);
    chromium.arg(format!("--user-data-dir={}", folder.path().display()));
    chromium.arg(format!("https://localhost:{}/", weir.address.port()));
    let _running = Running::start(chromium, &folder.path().join("chromium.log"));
    let report = eventually("the report of the page", || reports.lock().unwrap().pop()).await;
    assert_eq!(report["error"], Value::Null, "{report}");
    assert_eq!(report["protocol"], "h2", "{report}");
    assert_eq!(report["color"], "rgb(1, 2, 3)", "{report}");
    assert_eq!(report["picture"], 40, "{report}");
    assert_eq!(report["received"], report["sent"], "{report}");
    assert_eq!(report["form"], 200, "{report}");
    assert_eq!(report["missing"], 404, "{report}");
    let numbers: Vec<String> = (0..30).map(|number| number.to_string()).collect();
    assert_eq!(report["many"], numbers.join(","), "{report}");
    assert_eq!(
        report["events"],
        serde_json::json!(["one", "two", "three"]),
        "{report}"
    );
    assert_eq!(
        report["sent"],
        sha256(&upload()),
        "the page hashes what it sends"
    );
}

/// What the script uploads.
fn upload() -> Vec<u8> {
    (0..400_000_usize)
        .map(|at| (at * 7 + (at >> 8)) as u8)
        .collect()
}
