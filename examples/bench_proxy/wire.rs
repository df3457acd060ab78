//! HTTP/1.1 as far as the measurement needs it, over blocking sockets: heads, and nothing of bodies.

use std::io::{Read, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context, Result, ensure};

/// A measurement that waits longer is stuck.
const PATIENCE: Duration = Duration::from_secs(120);
const LONGEST_HEAD: usize = 16 * 1024;

pub(crate) fn connect(to: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect(to).with_context(|| format!("cannot connect to {to}"))?;
    prepare(&stream)?;
    Ok(stream)
}

pub(crate) fn prepare(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    Ok(())
}

/// A head up to its empty line, byte by byte: what follows stays in the socket. `None` at the end of the connection.
pub(crate) fn head(stream: &mut impl Read) -> Result<Option<String>> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        ensure!(head.len() < LONGEST_HEAD, "a head without end");
        if stream.read(&mut byte)? == 0 {
            ensure!(head.is_empty(), "the connection ended in a head");
            return Ok(None);
        }
        head.extend(byte);
    }
    Ok(Some(String::from_utf8_lossy(&head).into_owned()))
}

/// The value of a header.
pub(crate) fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().skip(1).find_map(|line| {
        let (other, value) = line.split_once(':')?;
        other.eq_ignore_ascii_case(name).then(|| value.trim())
    })
}

/// Sends a head and returns that of the answer, which must have the expected status.
pub(crate) fn ask(stream: &mut TcpStream, request: &str, status: &str) -> Result<String> {
    stream.write_all(request.as_bytes())?;
    answer(stream, status)
}

/// The head of an answer, which must have the expected status.
pub(crate) fn answer(stream: &mut TcpStream, status: &str) -> Result<String> {
    let head = head(stream)?.context("no answer")?;
    let line = head.lines().next().unwrap_or_default();
    ensure!(line.split(' ').nth(1) == Some(status), "answered `{line}`");
    Ok(head)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_head_ends_at_its_empty_line() {
        let mut bytes = &b"POST / HTTP/1.1\r\nContent-LENGTH: 7\r\n\r\nbody"[..];
        let text = head(&mut bytes).unwrap().unwrap();
        assert_eq!(
            (header(&text, "content-length"), bytes),
            (Some("7"), &b"body"[..])
        );
        assert!(head(&mut &b""[..]).unwrap().is_none());
        assert!(head(&mut &b"GET"[..]).is_err());
    }
}
