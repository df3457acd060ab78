//! A proxy under measurement: a program, and where it listens.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::children::Program;
use crate::usage::Usage;

/// Until a proxy accepts connections.
const START: (u32, Duration) = (600, Duration::from_millis(50));

#[derive(Debug)]
pub(crate) struct Proxy {
    program: Program,
    listener: SocketAddr,
}

impl Proxy {
    /// Returns when it accepts connections.
    pub(crate) fn start(
        name: &'static str,
        command: Command,
        output: PathBuf,
        listener: SocketAddr,
    ) -> Result<Self> {
        let mut proxy = Self {
            program: Program::start(name, command, output)?,
            listener,
        };
        for _ in 0..START.0 {
            proxy.program.must_run()?;
            if TcpStream::connect(proxy.listener).is_ok() {
                return Ok(proxy);
            }
            sleep(START.1);
        }
        bail!("nothing listens on {listener}")
    }

    pub(crate) fn id(&self) -> u32 {
        self.program.id()
    }

    pub(crate) fn listener(&self) -> SocketAddr {
        self.listener
    }

    /// All of its processes together.
    pub(crate) fn usage(&self) -> Result<Usage> {
        Usage::of(self.id())
    }
}

/// Free at this moment; another program could still take one before a proxy does, which would say so.
pub(crate) fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = Vec::with_capacity(N);
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port on 127.0.0.1")?;
        *address = listener.local_addr()?;
        // All are held until the last is found: otherwise one could come twice.
        held.push(listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn free_addresses_differ() {
        let [one, two] = free_addresses().unwrap();
        assert_ne!(one, two);
    }
}
