//! nginx as the origin: files, ranges, validators and its compression, read through Weir by curl.

use super::Nginx;
use crate::support::noise;
use crate::support::programs::{command, output, stdout, wanted};
use crate::support::weir::{Setup, Weir};

const STYLE: &str = "body { color: #123456; margin: 0 auto; font-family: sans-serif; }\n";

async fn behind() -> (Nginx, Weir) {
    let style = STYLE.repeat(50);
    let picture = noise(300_000);
    let nginx = Nginx::start(&[("picture.png", &picture), ("style.css", style.as_bytes())]).await;
    let weir = Setup::new(nginx.address).start().await;
    (nginx, weir)
}

/// curl with the arguments, on a path of Weir.
async fn curl(weir: &Weir, path: &str, arguments: &[&str]) -> Vec<u8> {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30"]);
    curl.args(arguments)
        .arg(format!("http://{}{path}", weir.address));
    stdout(curl).await
}

async fn text(weir: &Weir, path: &str, arguments: &[&str]) -> String {
    String::from_utf8(curl(weir, path, arguments).await).unwrap()
}

#[tokio::test]
async fn files_come_whole_by_every_version_and_in_ranges() {
    if !wanted() {
        return;
    }
    let (_nginx, weir) = behind().await;
    let picture = noise(300_000);
    for version in ["--http1.0", "--http1.1", "--http2-prior-knowledge"] {
        assert_eq!(
            curl(&weir, "/picture.png", &[version]).await,
            picture,
            "{version}"
        );
        let part = curl(&weir, "/picture.png", &[version, "--range", "1000-1999"]).await;
        assert_eq!(part, picture[1000..2000], "{version}");
        let status = [
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{size_download}",
        ];
        let range = [&status[..], &[version, "--range", "299990-"]].concat();
        assert_eq!(
            text(&weir, "/picture.png", &range).await,
            "206 10",
            "{version}"
        );
        let beyond = [&status[..4], &[version, "--range", "900000-"]].concat();
        assert!(
            text(&weir, "/picture.png", &beyond)
                .await
                .starts_with("416 "),
            "{version}"
        );
    }
}

#[tokio::test]
async fn a_head_tells_the_length_and_sends_nothing() {
    if !wanted() {
        return;
    }
    let (_nginx, weir) = behind().await;
    for version in ["--http1.1", "--http2-prior-knowledge"] {
        let head = text(&weir, "/picture.png", &["--head", version]).await;
        let head = head.to_ascii_lowercase();
        assert!(
            head.contains("content-length: 300000\r\n"),
            "{version}: {head}"
        );
        assert!(
            head.contains("accept-ranges: bytes\r\n"),
            "{version}: {head}"
        );
    }
}

#[tokio::test]
async fn a_fresh_copy_is_not_sent_again() {
    if !wanted() {
        return;
    }
    let (nginx, weir) = behind().await;
    let folder = nginx.folder.path();
    let (tag, page) = (folder.join("tag"), folder.join("page"));
    let tag = tag.to_str().unwrap();
    let page = page.to_str().unwrap();
    curl(
        &weir,
        "/picture.png",
        &["--etag-save", tag, "--output", page],
    )
    .await;
    let again = [
        "--etag-compare",
        tag,
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code} %{size_download}",
    ];
    assert_eq!(text(&weir, "/picture.png", &again).await, "304 0");
}

#[tokio::test]
async fn its_compression_is_left_alone() {
    if !wanted() {
        return;
    }
    let (_nginx, weir) = behind().await;
    let plain = text(&weir, "/style.css", &[]).await;
    assert_eq!(plain, STYLE.repeat(50));
    assert_eq!(text(&weir, "/style.css", &["--compressed"]).await, plain);
    let head = text(
        &weir,
        "/style.css",
        &[
            "--compressed",
            "--dump-header",
            "-",
            "--output",
            "/dev/null",
        ],
    )
    .await;
    assert!(
        head.to_ascii_lowercase().contains("content-encoding: gzip"),
        "{head}"
    );
}

#[tokio::test]
async fn an_absent_upstream_is_a_gateway_error() {
    if !wanted() {
        return;
    }
    let (nginx, weir) = behind().await;
    assert_eq!(
        curl(&weir, "/style.css", &[]).await,
        STYLE.repeat(50).as_bytes()
    );
    assert_eq!(nginx.accesses(), 1);
    drop(nginx);
    let mut curl = command("curl");
    curl.args(["--silent", "--include", "--max-time", "30"]);
    curl.arg(format!("http://{}/style.css", weir.address));
    let answer = output(curl).await;
    let answer = String::from_utf8_lossy(&answer.stdout).to_ascii_lowercase();
    assert!(answer.starts_with("http/1.1 502"), "{answer}");
    assert!(answer.contains("x-request-id: "), "{answer}");
}
