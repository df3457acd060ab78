//! Memory stays bounded whatever clients send at once.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::client::Client;
use crate::support::origin::Origin;
use crate::support::weir::Setup;
use crate::support::within;

const CLIENTS: usize = 256;
const BODY: usize = 1 << 20;

/// 256 uploads of 1 MiB, each kept open until all have begun, then finished together.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_large_bodies_at_once_add_little() {
    let origin = Origin::echo().await;
    // Neither the deadline nor scoring what passes matters here, and a debug build on a busy machine is slow at it.
    let weir = Setup::new(origin.address)
        .route("mode: shadow, inspect: {deadline: 60s, passing: 0B}")
        .start()
        .await;
    assert_eq!(
        Client::http1(weir.address).await.get("/").await.status(),
        200
    );
    let before = weir.resident();
    let (begin, _) = tokio::sync::broadcast::channel::<()>(1);
    let uploads: Vec<_> = (0..CLIENTS)
        .map(|_| tokio::spawn(upload(weir.address, begin.subscribe())))
        .collect();
    let sampled = async {
        let mut peak = 0;
        loop {
            peak = weir.resident().max(peak);
            if uploads.iter().all(tokio::task::JoinHandle::is_finished) {
                return peak;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    begin.send(()).unwrap();
    let peak = within("all uploads", sampled).await;
    for upload in uploads {
        let answer = upload.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
        assert!(answer.contains("\"length\":1048576"), "{answer}");
    }
    let added = peak.saturating_sub(before);
    println!("{before} KiB before, {added} KiB more at the peak");
    assert!(added < 64 * 1024, "{added} KiB more");
}

async fn upload(
    address: std::net::SocketAddr,
    mut begin: tokio::sync::broadcast::Receiver<()>,
) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {BODY}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let half = vec![b'a'; BODY / 2];
    begin.recv().await.unwrap();
    stream.write_all(&half).await.unwrap();
    stream.write_all(&half).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}
