//! Clients of what does not end by itself: event streams and WebSocket.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client::{Client, Door, Failure, HOST, full};
use crate::load::{Run, Wrong, pause};
use crate::origin::{EVENTS, event};
use crate::random::Random;
use crate::tally::Kind;

const PATIENCE: Duration = Duration::from_secs(30);
/// Messages of one WebSocket.
const MESSAGES: u64 = 40;

pub(crate) async fn events(run: &Run, mut random: Random) {
    let doors = [Door::Plain, Door::Http2, Door::TlsHttp2];
    let mut clients = doors.map(|door| Client::new(&run.doors, door));
    while !run.stopped() {
        for client in &mut clients {
            let number = run.number().to_string();
            let began = Instant::now();
            run.settle(Kind::Events, began, listen(client, &number).await);
            pause(&mut random, 100).await;
        }
    }
}

async fn listen(client: &mut Client, number: &str) -> Result<(), Wrong> {
    let request = client
        .request("GET", &format!("/events/{number}"))
        .body(full(""))
        .map_err(|error| Wrong::plain(error.to_string()))?;
    let response = client
        .start(request)
        .await
        .map_err(|failure| match failure {
            Failure::Cut(error) => Wrong::excusable(error),
            other => Wrong::plain(format!("{other:?}")),
        })?;
    match response.status().as_u16() {
        200 => {}
        status @ 502..=504 => return Err(Wrong::excusable(format!("status {status}"))),
        status => return Err(Wrong::plain(format!("status {status}"))),
    }
    let mut body = response.into_body();
    let mut heard = String::new();
    while let Some(frame) = timeout(PATIENCE, body.frame())
        .await
        .map_err(|_| Wrong::plain("an event did not come"))?
    {
        let frame = frame.map_err(|error| {
            // The connection ends with the answer, and a request that is sent just before that is lost.
            client.close();
            Wrong::excusable(format!("cut off: {error}"))
        })?;
        heard.push_str(&String::from_utf8_lossy(
            frame.data_ref().map_or(&[][..], |data| data),
        ));
    }
    let expected: String = (0..EVENTS).map(|ordinal| event(number, ordinal)).collect();
    if heard == expected {
        Ok(())
    } else {
        Err(Wrong::plain(format!(
            "other events than were sent: {heard:?}"
        )))
    }
}

pub(crate) async fn chat(run: &Run, mut random: Random) {
    while !run.stopped() {
        let began = Instant::now();
        match timeout(PATIENCE, open(run)).await {
            Ok(Ok(Opened::Tunnel(stream))) => talk(run, stream, &mut random).await,
            Ok(Ok(Opened::Status(status))) => {
                let what = format!("the handshake was answered {status}");
                let wrong = if what.contains(" 50") {
                    Wrong::excusable(what)
                } else {
                    Wrong::plain(what)
                };
                run.settle(Kind::WebSocket, began, Err(wrong));
            }
            Ok(Err(error)) => run.settle(
                Kind::WebSocket,
                began,
                Err(Wrong::excusable(format!("{error:#}"))),
            ),
            Err(_) => run.settle(
                Kind::WebSocket,
                began,
                Err(Wrong::plain("the handshake was not answered")),
            ),
        }
        pause(&mut random, 100).await;
    }
}

enum Opened {
    Tunnel(TcpStream),
    Status(String),
}

async fn open(run: &Run) -> Result<Opened> {
    let mut stream = TcpStream::connect(run.doors.plain)
        .await
        .context("cannot connect")?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: http://{HOST}\r\nUser-Agent: Mozilla/5.0\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < 16 * 1024, "an endless head");
        head.push(
            stream
                .read_u8()
                .await
                .context("the handshake was cut off")?,
        );
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let status = head.split(' ').nth(1).unwrap_or_default();
    Ok(if status == "101" {
        Opened::Tunnel(stream)
    } else {
        Opened::Status(status.to_owned())
    })
}

/// Sends masked frames and expects every byte of them back.
async fn talk(run: &Run, mut stream: TcpStream, random: &mut Random) {
    for _ in 0..MESSAGES {
        if run.stopped() {
            return;
        }
        let frame = frame(run, random);
        let began = Instant::now();
        let mut back = vec![0; frame.len()];
        let echo = async {
            stream.write_all(&frame).await?;
            stream.read_exact(&mut back).await
        };
        let outcome = match timeout(PATIENCE, echo).await {
            Ok(Ok(_)) if back == frame => Ok(()),
            Ok(Ok(_)) => Err(Wrong::plain("other bytes than were sent came back")),
            Ok(Err(error)) => Err(Wrong::excusable(format!("cut off: {error}"))),
            Err(_) => Err(Wrong::plain("a message did not come back")),
        };
        let ended = outcome.is_err();
        run.settle(Kind::WebSocket, began, outcome);
        if ended {
            return;
        }
        pause(random, 20).await;
    }
}

/// A binary WebSocket frame as clients send it.
fn frame(run: &Run, random: &mut Random) -> Vec<u8> {
    let length = random.between(126, 8 * 1024) as u16;
    let mut frame = vec![0x82, 0x80 | 126];
    frame.extend(length.to_be_bytes());
    frame.extend([1, 2, 3, 4]);
    frame.extend_from_slice(&run.content.body(run.number(), length.into()));
    frame
}
