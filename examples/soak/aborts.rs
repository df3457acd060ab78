//! Clients that break off: in the head, in a body, in an answer. Nothing they leave behind may reach the origin as a
//! whole body, and nothing of them may stay in the proxy.

use std::time::Duration;

use anyhow::Result;
use socket2::SockRef;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::client::{Client, Door, HOST, full};
use crate::load::{Run, pause, unless_stopped};
use crate::random::Random;
use crate::tally::Kind;

const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) async fn break_off(run: &Run, mut random: Random) {
    while !run.stopped() {
        // How it ends is the client's doing: an error here is no fault of the proxy.
        let one = tokio::time::timeout(PATIENCE, one(run, &mut random));
        let _ = unless_stopped(run, one).await;
        run.tally.right(Kind::Aborted);
        pause(&mut random, 60).await;
    }
}

async fn one(run: &Run, random: &mut Random) -> Result<()> {
    let number = run.number();
    match random.between(0, 6) {
        0 => {
            TcpStream::connect(run.doors.plain).await?;
            Ok(())
        }
        1 => write_some(run, b"GET /articles/1/1 HTTP/1.1\r\nHost: loc", random).await,
        2 => {
            run.ledger.will_break(number);
            let mut bytes = head(number, "Content-Length: 100000");
            bytes.extend_from_slice(&run.content.body(number, 50_000));
            write_some(run, &bytes, random).await
        }
        3 => {
            run.ledger.will_break(number);
            let mut bytes = head(number, "Transfer-Encoding: chunked");
            bytes.extend_from_slice(b"2710\r\n");
            bytes.extend_from_slice(&run.content.body(number, 10_000));
            bytes.extend_from_slice(b"\r\n2710\r\nhalf");
            write_some(run, &bytes, random).await
        }
        4 => read_some(run, number, random).await,
        _ => {
            let mut client = Client::new(&run.doors, random.pick(&[Door::Http2, Door::TlsHttp2]));
            let request = client.request("GET", &format!("/articles/{number}/4000000"));
            // The answer is dropped with its body unread, which resets the stream.
            let _ = client.start(request.body(full(""))?).await;
            Ok(())
        }
    }
}

fn head(number: u64, framing: &str) -> Vec<u8> {
    format!("POST /files/{number} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/octet-stream\r\n{framing}\r\n\r\n")
        .into_bytes()
}

/// Writes and is gone, with a reset or an orderly end.
async fn write_some(run: &Run, bytes: &[u8], random: &mut Random) -> Result<()> {
    let mut stream = TcpStream::connect(run.doors.plain).await?;
    stream.write_all(bytes).await?;
    pause(random, 30).await;
    leave(&stream, random);
    Ok(())
}

/// Asks for much, reads little.
async fn read_some(run: &Run, number: u64, random: &mut Random) -> Result<()> {
    let mut stream = TcpStream::connect(run.doors.plain).await?;
    let request = format!("GET /articles/{number}/4000000 HTTP/1.1\r\nHost: {HOST}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut some = vec![0; 64 * 1024];
    stream.read_exact(&mut some).await?;
    leave(&stream, random);
    Ok(())
}

fn leave(stream: &TcpStream, random: &mut Random) {
    if random.one_in(2) {
        // Without waiting: the peer gets a reset.
        let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
    }
}
