//! The two proxies, each with one worker in front of the same origin, and what the system says of their processes.

use std::collections::BTreeMap;
use std::fs;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::children::{Program, find};
use crate::process;

/// Until a proxy accepts connections.
const START: (u32, Duration) = (600, Duration::from_millis(50));
/// The kernel's unit of processor time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// The origin itself.
    Direct,
    Nginx,
    Weir,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Nginx => "nginx",
            Self::Weir => "weir",
        }
    }
}

struct Proxy {
    program: Program,
    listener: SocketAddr,
}

/// Both, until this value is dropped.
pub(crate) struct Proxies {
    nginx: Proxy,
    weir: Proxy,
    _folder: TempDir,
}

/// What a proxy has used so far, all of its processes together.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Proxies {
    pub(crate) fn start(bundle: &Path, weir: Option<&Path>, origin: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("weir-bench-proxy-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let [for_nginx, for_weir, admin] = free_addresses()?;
        let mut nginx = Proxy {
            program: start_nginx(folder.path(), for_nginx, origin)?,
            listener: for_nginx,
        };
        let mut weir = Proxy {
            program: start_weir(folder.path(), bundle, weir, [for_weir, admin], origin)?,
            listener: for_weir,
        };
        nginx.accepts()?;
        weir.accepts()?;
        Ok(Self {
            nginx,
            weir,
            _folder: folder,
        })
    }

    fn of(&self, peer: Peer) -> &Proxy {
        match peer {
            Peer::Nginx => &self.nginx,
            Peer::Weir | Peer::Direct => &self.weir,
        }
    }

    pub(crate) fn listener(&self, peer: Peer) -> SocketAddr {
        self.of(peer).listener
    }

    pub(crate) fn address(&self, peer: Peer, origin: SocketAddr) -> SocketAddr {
        match peer {
            Peer::Direct => origin,
            Peer::Nginx | Peer::Weir => self.listener(peer),
        }
    }

    pub(crate) fn usage(&self, peer: Peer) -> Result<Usage> {
        let mut usage = Usage::default();
        for id in self.of(peer).ids()? {
            usage.cpu += cpu(id)?;
            usage.resident_kib += process::status(id, "VmRSS:")?;
            usage.peak_kib += process::status(id, "VmHWM:")?;
        }
        Ok(usage)
    }

    /// The highest memory is looked for from now on.
    pub(crate) fn reset_peak(&self, peer: Peer) -> Result<()> {
        for id in self.of(peer).ids()? {
            fs::write(format!("/proc/{id}/clear_refs"), "5")
                .context("the peak of memory cannot be reset")?;
        }
        Ok(())
    }
}

impl Proxy {
    fn accepts(&mut self) -> Result<()> {
        for _ in 0..START.0 {
            self.program.must_run()?;
            if TcpStream::connect(self.listener).is_ok() {
                return Ok(());
            }
            sleep(START.1);
        }
        bail!("nothing listens on {}", self.listener)
    }

    /// The process and its children.
    fn ids(&self) -> Result<Vec<u32>> {
        let id = self.program.id();
        let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children"))?;
        let children = children.split_whitespace().flat_map(str::parse);
        Ok(std::iter::once(id).chain(children).collect())
    }
}

fn cpu(id: u32) -> Result<Duration> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat"))?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').context("no /proc/stat")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .flat_map(str::parse::<u64>)
        .sum();
    Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
}

fn start_nginx(folder: &Path, listen: SocketAddr, origin: SocketAddr) -> Result<Program> {
    let folder = folder.join("nginx");
    fs::create_dir(&folder)?;
    let here = folder.display();
    let config = format!(
        "daemon off; worker_processes 1; pid {here}/pid; error_log {here}/error.log;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n\
           access_log off;\n\
           client_body_temp_path {here}/body; proxy_temp_path {here}/proxy; fastcgi_temp_path {here}/f; uwsgi_temp_path {here}/u; scgi_temp_path {here}/s;\n\
           map $http_upgrade $upgrading {{ default upgrade; '' ''; }}\n\
           upstream origin {{ server {origin}; keepalive 64; }}\n\
           server {{\n\
             listen {listen};\n\
             client_max_body_size 0;\n\
             location / {{\n\
               proxy_pass http://origin; proxy_http_version 1.1; proxy_request_buffering off; proxy_buffering off;\n\
               proxy_set_header Host $host; proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $upgrading;\n\
             }}\n\
           }}\n\
         }}\n"
    );
    fs::write(folder.join("nginx.conf"), config)?;
    let mut command = Command::new("nginx");
    command
        .arg("-p")
        .arg(&folder)
        .arg("-e")
        .arg(folder.join("error.log"))
        .arg("-c")
        .arg(folder.join("nginx.conf"));
    Program::start("nginx", command, folder.join("output")).context("nginx is needed: install it")
}

fn start_weir(
    folder: &Path,
    bundle: &Path,
    weir: Option<&Path>,
    [listen, admin]: [SocketAddr; 2],
    origin: SocketAddr,
) -> Result<Program> {
    ensure!(
        bundle.join("manifest.json").is_file(),
        "there is no model in {}: name one with --bundle DIR",
        bundle.display()
    );
    // JSON is YAML. Everything is inspected; nothing reaches the score that would block it.
    let config = json!({
        "listen": [{"address": listen}],
        "admin": {"address": admin},
        "workers": 1,
        "model": {"bundle": fs::canonicalize(bundle)?, "watch": false},
        "upstreams": [{"name": "origin", "address": origin.to_string()}],
        "routes": [{"id": "all", "upstream": "origin", "mode": "enforce", "budgets": {"flag": {"score": 98}, "block": {"score": 99}}}],
        "audit": {"output": "off"},
        "log": {"level": "error"},
    });
    let file = folder.join("weir.yaml");
    fs::write(&file, config.to_string())?;
    let mut command = Command::new(find("weir", weir)?);
    command.env_remove("RUST_LOG");
    command.args(["run", "--config"]).arg(file);
    Program::start("weir", command, folder.join("weir.log"))
}

/// Free at this moment; another program could still take one before a proxy does, which would say so.
fn free_addresses<const N: usize>() -> Result<[SocketAddr; N]> {
    let mut held = BTreeMap::new();
    let mut addresses = [SocketAddr::from(([127, 0, 0, 1], 0)); N];
    for address in &mut addresses {
        let listener = TcpListener::bind(*address).context("no free port on 127.0.0.1")?;
        *address = listener.local_addr()?;
        // All are held until the last is found: otherwise one could come twice.
        held.insert(*address, listener);
    }
    Ok(addresses)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn free_addresses_differ_and_this_process_has_used_time() {
        let [one, two] = free_addresses().unwrap();
        assert_ne!(one, two);
        assert!(cpu(std::process::id()).is_ok());
    }
}
