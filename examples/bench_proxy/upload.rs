//! Long uploads, several at once: how fast they go, what they cost the proxy in processor time and in memory.

use std::fmt;
use std::io::Write as _;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use crate::proxies::{Peer, Proxies};
use crate::wire;

const PIECE: usize = 256 * 1024;
const MIB: u64 = 1024 * 1024;

/// What one round of uploads showed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Uploads {
    pub(crate) bytes: u64,
    pub(crate) wall: Duration,
    /// Processor time of the proxy.
    pub(crate) cpu: Duration,
    /// The proxy's highest resident memory meanwhile, above that before.
    pub(crate) growth_kib: u64,
}

impl Uploads {
    pub(crate) fn mib_per_second(&self) -> f64 {
        (self.bytes / MIB) as f64 / self.wall.as_secs_f64()
    }

    pub(crate) fn cpu_per_gib(&self) -> f64 {
        self.cpu.as_secs_f64() * 1024.0 / (self.bytes / MIB) as f64
    }

    pub(crate) fn growth_mib(&self) -> f64 {
        self.growth_kib as f64 / 1024.0
    }
}

impl fmt::Display for Uploads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:7.0} MiB/s, {:.2} s of processor time a GiB, memory {:+.1} MiB",
            self.mib_per_second(),
            self.cpu_per_gib(),
            self.growth_mib()
        )
    }
}

pub(crate) fn measure(proxies: &Proxies, peer: Peer, clients: usize, mib: u64) -> Result<Uploads> {
    let to = proxies.listener(peer);
    // Connections, threads and buffers that any request needs are there before the measurement.
    together(to, clients, 1)?;
    let before = proxies.usage(peer)?;
    proxies.reset_peak(peer)?;
    let began = Instant::now();
    together(to, clients, mib)?;
    let wall = began.elapsed();
    let after = proxies.usage(peer)?;
    Ok(Uploads {
        bytes: clients as u64 * mib * MIB,
        wall,
        cpu: after.cpu().saturating_sub(before.cpu()),
        growth_kib: after.peak_kib.saturating_sub(before.resident_kib),
    })
}

fn together(to: SocketAddr, clients: usize, mib: u64) -> Result<()> {
    let threads: Vec<_> = (0..clients)
        .map(|_| thread::spawn(move || one(to, mib)))
        .collect();
    for thread in threads {
        thread.join().map_err(|_| anyhow!("a client panicked"))??;
    }
    Ok(())
}

fn one(to: SocketAddr, mib: u64) -> Result<()> {
    let mut stream = wire::connect(to)?;
    let head = format!(
        "POST /upload HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/octet-stream\r\nContent-Length: {}\r\n\r\n",
        mib * MIB
    );
    stream.write_all(head.as_bytes())?;
    let piece = noise();
    for _ in 0..mib * MIB / PIECE as u64 {
        stream.write_all(&piece)?;
    }
    wire::answer(&mut stream, "200")?;
    Ok(())
}

/// A piece of what no format claims.
fn noise() -> Vec<u8> {
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut piece = Vec::with_capacity(PIECE);
    while piece.len() < PIECE {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        piece.extend(state.to_le_bytes());
    }
    piece
}
