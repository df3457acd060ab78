//! curl as the client, with an origin of ours that tells what arrived.

use std::process::Command;

use crate::support::origin::{Origin, Seen};
use crate::support::programs::{Certificate, command, output, stdout, wanted};
use crate::support::weir::{STRICT, Setup};
use crate::support::{noise, sha256};

fn curl() -> Command {
    let mut curl = command("curl");
    curl.args(["--silent", "--show-error", "--max-time", "30"]);
    curl
}

async fn seen(command: Command) -> Seen {
    let answer = stdout(command).await;
    serde_json::from_slice(&answer)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&answer)))
}

#[tokio::test]
async fn an_upload_that_waits_for_100_continue_arrives() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).start().await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("upload.bin");
    let content = noise(3_000_000);
    std::fs::write(&file, &content).unwrap();
    for framing in [
        "Content-Type: application/octet-stream",
        "Transfer-Encoding: chunked",
    ] {
        let mut curl = curl();
        curl.args(["--verbose", "--http1.1", "--header", "Expect: 100-continue"]);
        // Longer than the whole may take: without the 100 this fails.
        curl.args(["--expect100-timeout", "60", "--header", framing]);
        curl.arg("--upload-file").arg(&file);
        curl.arg(format!("http://{}/files/7", weir.address));
        let output = output(curl).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("< HTTP/1.1 100 Continue"), "{said}");
        let seen: Seen = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (seen.length, seen.sha256),
            (content.len(), sha256(&content)),
            "{framing}"
        );
    }
}

#[tokio::test]
async fn forms_and_files_arrive_by_every_version() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let certificate = Certificate::make();
    let mut setup = Setup::new(origin.address);
    setup.listener = certificate.listener();
    let weir = setup.start().await;
    let url = format!("https://localhost:{}/contact", weir.address.port());
    for version in ["--http1.1", "--http2"] {
        let mut form = curl();
        form.args([
            version,
            "--cacert",
            &certificate.file(),
            "--data-urlencode",
            "name=Zoë & Co",
            &url,
        ]);
        let form = seen(form).await;
        assert_eq!(
            form.header("content-type"),
            Some("application/x-www-form-urlencoded")
        );
        assert_eq!(form.sha256, sha256(b"name=Zo%C3%AB+%26+Co"), "{version}");
        let mut upload = curl();
        upload.args([
            version,
            "--cacert",
            &certificate.file(),
            "--form",
            "note=for you",
            "--form",
            "file=@Cargo.toml",
            &url,
        ]);
        let upload = seen(upload).await;
        assert!(
            upload
                .header("content-type")
                .unwrap()
                .starts_with("multipart/form-data; boundary=")
        );
        assert!(upload.length > 500);
        assert_eq!(upload.header("x-forwarded-proto"), Some("https"));
    }
}

#[tokio::test]
async fn tls_picks_the_version_and_refuses_old_ones() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let certificate = Certificate::make();
    let mut setup = Setup::new(origin.address);
    setup.listener = certificate.listener();
    let weir = setup.start().await;
    let url = format!("https://localhost:{}/", weir.address.port());
    for (arguments, version) in [
        (&["--http2"][..], "2"),
        (&["--http1.1"], "1.1"),
        (&["--http1.0"], "1"),
        (&["--tls-max", "1.2"], "2"),
    ] {
        let mut curl = curl();
        curl.args(arguments)
            .args(["--cacert", &certificate.file(), &url]);
        curl.args([
            "--output",
            "/dev/null",
            "--write-out",
            "%{http_code} %{http_version}",
        ]);
        let answer = String::from_utf8(stdout(curl).await).unwrap();
        assert_eq!(answer, format!("200 {version}"), "{arguments:?}");
    }
    let mut old = curl();
    old.args(["--tls-max", "1.1", "--cacert", &certificate.file(), &url]);
    assert!(!output(old).await.status.success());
    let mut stranger = curl();
    stranger.arg(&url);
    assert!(
        !output(stranger).await.status.success(),
        "curl knows no issuer of this"
    );
}

#[tokio::test]
async fn one_connection_serves_several_requests() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let certificate = Certificate::make();
    let mut setup = Setup::new(origin.address);
    setup.listener = certificate.listener();
    let weir = setup.start().await;
    for version in ["--http1.1", "--http2"] {
        let mut curl = curl();
        curl.args([
            version,
            "--cacert",
            &certificate.file(),
            "--output",
            "/dev/null",
        ]);
        curl.args(["--write-out", "%{http_code} %{num_connects}\n"]);
        curl.arg(format!(
            "https://localhost:{}/articles/[1-5]",
            weir.address.port()
        ));
        let answers = String::from_utf8(stdout(curl).await).unwrap();
        assert_eq!(answers, "200 1\n200 0\n200 0\n200 0\n200 0\n", "{version}");
    }
}

#[tokio::test]
async fn a_blocked_request_is_answered_in_the_form_the_client_accepts() {
    if !wanted() {
        return;
    }
    let origin = Origin::echo().await;
    let weir = Setup::new(origin.address).route(STRICT).start().await;
    for (accept, begin) in [("application/json", "{"), ("text/html", "<!")] {
        let mut curl = curl();
        curl.args([
            "--write-out",
            "\n%{http_code}",
            "--header",
            &format!("Accept: {accept}"),
        ]);
        curl.arg(format!("http://{}/?id=1%27%20OR%201=1", weir.address));
        let answer = String::from_utf8(stdout(curl).await).unwrap();
        assert!(answer.ends_with("\n403"), "{answer}");
        assert!(
            answer.trim_start().to_ascii_lowercase().starts_with(begin),
            "{answer}"
        );
    }
    assert_eq!(origin.seen().len(), 0);
}
