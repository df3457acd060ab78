//! HTTP/2 by hand, for what no honest client sends.

use std::net::SocketAddr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::within;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const GO_AWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// `GET http://a/` in HPACK.
pub const GET: &[u8] = b"\x82\x86\x84\x41\x01a";

/// A frame as it came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// The error code of RST_STREAM or GOAWAY.
    pub fn code(&self) -> u32 {
        let code = match self.kind {
            RST_STREAM => &self.payload[..4],
            GO_AWAY => &self.payload[4..8],
            kind => panic!("frame {kind} has no error code"),
        };
        u32::from_be_bytes(code.try_into().unwrap())
    }
}

/// The bytes of a frame.
pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let mut bytes = length[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

/// What opens a connection.
pub fn opening() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

/// Cuts bytes into frames; an unfinished one at the end is left out.
pub fn frames(mut bytes: &[u8]) -> Vec<Frame> {
    let mut found = Vec::new();
    while bytes.len() >= 9 {
        let length = u32::from_be_bytes([0, bytes[0], bytes[1], bytes[2]]) as usize;
        let Some(payload) = bytes.get(9..9 + length) else {
            break;
        };
        found.push(Frame {
            kind: bytes[3],
            flags: bytes[4],
            stream: u32::from_be_bytes(bytes[5..9].try_into().unwrap()),
            payload: payload.to_vec(),
        });
        bytes = &bytes[9 + length..];
    }
    found
}

/// Opens a connection, sends `bytes` as fast as they go, and returns what came until the server closed.
pub async fn flood(address: SocketAddr, bytes: Vec<u8>) -> Vec<Frame> {
    let stream = TcpStream::connect(address).await.unwrap();
    let (mut read, mut write) = stream.into_split();
    let sender = tokio::spawn(async move {
        // The server may close before it has read everything.
        let _ = write.write_all(&opening()).await;
        let _ = write.write_all(&bytes).await;
        write
    });
    let mut came = Vec::new();
    let mut chunk = [0; 16 * 1024];
    loop {
        match within("the server to close", read.read(&mut chunk)).await {
            Ok(0) | Err(_) => break,
            Ok(length) => came.extend_from_slice(&chunk[..length]),
        }
    }
    drop(sender.await);
    frames(&came)
}
