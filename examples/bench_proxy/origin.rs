//! The origin of the measurement: a thread a connection, and as little work as there can be, so that what is measured
//! is the proxy.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::wire;

/// Between two events.
const EVENT_EVERY: Duration = Duration::from_micros(500);
const BUFFER: usize = 256 * 1024;

/// Listens until the process ends. Events carry the nanoseconds since `clock`.
pub(crate) fn start(clock: Instant) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0").context("the origin cannot listen")?;
    let address = listener.local_addr()?;
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // A connection that breaks is the client's to report.
            thread::spawn(move || serve(stream, clock));
        }
    });
    Ok(address)
}

fn serve(mut stream: TcpStream, clock: Instant) -> Result<()> {
    wire::prepare(&stream)?;
    let mut buffer = vec![0; BUFFER];
    while let Some(head) = wire::head(&mut stream)? {
        let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
        match path.as_str() {
            "/upload" => {
                let length = wire::header(&head, "content-length").context("no length")?;
                drain(&mut stream, length.parse()?, &mut buffer)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")?;
            }
            "/chat" => return echo(&mut stream, &mut buffer),
            path => match path.strip_prefix("/events/") {
                Some(count) => events(&mut stream, count.parse()?, clock)?,
                None => bail!("nothing at {path}"),
            },
        }
    }
    Ok(())
}

fn drain(stream: &mut TcpStream, mut left: u64, buffer: &mut [u8]) -> Result<()> {
    while left > 0 {
        let read = stream.read(buffer)? as u64;
        if read == 0 {
            bail!("the body was cut off");
        }
        left = left.saturating_sub(read);
    }
    Ok(())
}

fn echo(stream: &mut TcpStream, buffer: &mut [u8]) -> Result<()> {
    stream.write_all(
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n",
    )?;
    loop {
        let read = stream.read(buffer)?;
        match buffer.get(..read) {
            None | Some([]) => return Ok(()),
            Some(message) => stream.write_all(message)?,
        }
    }
}

fn events(stream: &mut TcpStream, count: usize, clock: Instant) -> Result<()> {
    stream.write_all(
        b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
    )?;
    for _ in 0..count {
        thread::sleep(EVENT_EVERY);
        let event = format!("data: {}\n\n", clock.elapsed().as_nanos());
        stream.write_all(format!("{:x}\r\n{event}\r\n", event.len()).as_bytes())?;
    }
    stream.write_all(b"0\r\n\r\n")?;
    Ok(())
}
