//! How long a WebSocket message takes there and back, and an event from the origin to the client.

use std::io::{Read as _, Write as _};
use std::net::SocketAddr;
use std::time::Instant;

use anyhow::{Result, ensure};

use crate::wire;

/// Messages that are not measured, before those that are.
const WARM_UP: usize = 50;
const HOST: &str = "localhost";

/// Nanoseconds of each round trip.
pub(crate) fn websocket(to: SocketAddr, messages: usize) -> Result<Vec<u64>> {
    let mut stream = wire::connect(to)?;
    let request = format!(
        "GET /chat HTTP/1.1\r\nHost: {HOST}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    wire::ask(&mut stream, &request, "101")?;
    // A masked text frame of 100 bytes.
    let mut frame = vec![0x81, 0x80 | 100, 1, 2, 3, 4];
    frame.resize(106, b'x');
    let mut back = vec![0; frame.len()];
    let mut times = Vec::with_capacity(messages);
    for number in 0..messages + WARM_UP {
        let began = Instant::now();
        stream.write_all(&frame)?;
        stream.read_exact(&mut back)?;
        if number >= WARM_UP {
            times.push(nanoseconds(began.elapsed().as_nanos()));
        }
    }
    ensure!(back == frame, "other bytes than were sent came back");
    Ok(times)
}

/// Nanoseconds from the sending of each event to its arrival. Origin and client share `clock`.
pub(crate) fn events(from: SocketAddr, count: usize, clock: Instant) -> Result<Vec<u64>> {
    let mut stream = wire::connect(from)?;
    let all = count + WARM_UP;
    let request =
        format!("GET /events/{all} HTTP/1.1\r\nHost: {HOST}\r\nAccept: text/event-stream\r\n\r\n");
    wire::ask(&mut stream, &request, "200")?;
    let mut times = Vec::with_capacity(all);
    let mut text = Vec::new();
    let mut buffer = [0; 4096];
    while times.len() < all {
        let read = stream.read(&mut buffer)?;
        ensure!(read > 0, "the stream ended after {} events", times.len());
        let now = clock.elapsed().as_nanos();
        text.extend_from_slice(buffer.get(..read).unwrap_or_default());
        for sent in stamps(&mut text) {
            times.push(nanoseconds(now.saturating_sub(sent)));
        }
    }
    Ok(times.split_off(WARM_UP))
}

/// Takes whole events out of `text`: their numbers. How a proxy cuts the stream into chunks does not matter, as long as
/// it leaves events whole.
fn stamps(text: &mut Vec<u8>) -> Vec<u128> {
    let mut found = Vec::new();
    while let Some(end) = text.windows(2).position(|pair| pair == b"\n\n") {
        let event: Vec<u8> = text.drain(..end + 2).collect();
        let event = String::from_utf8_lossy(&event);
        let number = event.rsplit("data: ").next().unwrap_or_default();
        found.extend(number.trim().parse::<u128>());
    }
    found
}

fn nanoseconds(time: u128) -> u64 {
    u64::try_from(time).unwrap_or(u64::MAX)
}

/// The value below which that share of the times lies.
pub(crate) fn quantile(times: &[u64], share: f64) -> u64 {
    let mut sorted = times.to_vec();
    sorted.sort_unstable();
    let at = (sorted.len() as f64 * share) as usize;
    sorted
        .get(at.min(sorted.len().saturating_sub(1)))
        .copied()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_found_however_they_are_cut() {
        let mut text = b"c\r\ndata: 17\n\n\r\nc\r\ndata: 1".to_vec();
        assert_eq!(stamps(&mut text), [17]);
        text.extend(b"8\n\n\r\n");
        assert_eq!(stamps(&mut text), [18]);
        assert_eq!(quantile(&[3, 1, 2], 0.5), 2);
        assert_eq!(quantile(&[1, 2], 1.0), 2);
    }
}
