#![allow(clippy::unwrap_used, clippy::panic)]

use std::io;
use std::sync::Mutex;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tracing_subscriber::fmt::MakeWriter;

use super::*;
use crate::config::Sockets;
use crate::testing::{Behaviour, Fake, one_route, shared, snapshot};

const SOCKETS: Sockets = Sockets {
    reuse_port: false,
    per_worker: None,
    backlog: 16,
};

/// A log that can be read.
#[derive(Debug, Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    // One answer with its page.
    while !answer.ends_with(b"</html>\n") {
        let mut chunk = [0; 1024];
        let length = stream.read(&mut chunk).await.unwrap();
        assert!(length > 0, "{}", String::from_utf8_lossy(&answer));
        answer.extend_from_slice(chunk.get(..length).unwrap());
    }
    String::from_utf8(answer).unwrap()
}

/// One 500, one line, one count; the connection and everybody else go on.
#[tokio::test]
async fn a_panic_in_one_request_is_the_end_of_that_request_alone() {
    let log = Lines::default();
    let subscriber = tracing_subscriber::fmt()
        .with_writer(log.clone())
        .with_max_level(tracing::Level::WARN)
        .finish();
    let _log = tracing::subscriber::set_default(subscriber);
    let shared = shared(snapshot(
        one_route("mode: enforce"),
        Some(Fake::new(Behaviour::Scores(9.0))),
    ));
    let address = SocketAddr::from(([127, 0, 0, 1], 0));
    let bound = socket::bind(address, SOCKETS, 1, &mut socket::Inherited::default()).unwrap();
    let address = bound.address().unwrap();
    let listening = bound.listen().unwrap().pop().unwrap();
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(serve(
        listening,
        0,
        Proxy::new(Arc::clone(&shared)),
        stopped,
    ));
    let mut stream = TcpStream::connect(address).await.unwrap();
    let panics = exchange(
        &mut stream,
        "GET / HTTP/1.1\r\nHost: a\r\nX-Test: panic\r\n\r\n",
    );
    assert!(panics.await.starts_with("HTTP/1.1 500 "));
    let blocked = exchange(&mut stream, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(blocked.starts_with("HTTP/1.1 403 "), "{blocked}");
    drop(stream);
    stop.send(true).unwrap();
    serving.await.unwrap();
    let metrics = shared.metrics.render();
    assert!(
        metrics.contains("weir_errors_total{cause=\"internal\"} 1\n"),
        "{metrics}"
    );
    let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let lines: Vec<&str> = log
        .lines()
        .filter(|line| line.contains("a request panicked"))
        .collect();
    assert_eq!(lines.len(), 1, "{log}");
    assert!(lines.concat().contains("request_id"), "{log}");
}
