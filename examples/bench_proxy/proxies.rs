//! The two proxies, each with one worker in front of the same origin, and what the system says of their processes.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tempfile::TempDir;

use crate::children::find;
use crate::proxy::{Proxy, free_addresses};
use crate::usage::{self, Usage};

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

/// Both, until this value is dropped.
pub(crate) struct Proxies {
    nginx: Proxy,
    weir: Proxy,
    _folder: TempDir,
}

impl Proxies {
    pub(crate) fn start(bundle: &Path, weir: Option<&Path>, origin: SocketAddr) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("weir-bench-proxy-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let [for_nginx, for_weir, admin] = free_addresses()?;
        let nginx = start_nginx(folder.path(), for_nginx, origin)?;
        let weir = start_weir(folder.path(), bundle, weir, [for_weir, admin], origin)?;
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
        self.of(peer).listener()
    }

    pub(crate) fn address(&self, peer: Peer, origin: SocketAddr) -> SocketAddr {
        match peer {
            Peer::Direct => origin,
            Peer::Nginx | Peer::Weir => self.listener(peer),
        }
    }

    pub(crate) fn usage(&self, peer: Peer) -> Result<Usage> {
        self.of(peer).usage()
    }

    /// The highest memory is looked for from now on.
    pub(crate) fn reset_peak(&self, peer: Peer) -> Result<()> {
        usage::reset_peak(self.of(peer).id())
    }
}

fn start_nginx(folder: &Path, listen: SocketAddr, origin: SocketAddr) -> Result<Proxy> {
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
    Proxy::start("nginx", command, folder.join("output"), listen)
        .context("nginx is needed: install it")
}

fn start_weir(
    folder: &Path,
    bundle: &Path,
    weir: Option<&Path>,
    [listen, admin]: [SocketAddr; 2],
    origin: SocketAddr,
) -> Result<Proxy> {
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
    Proxy::start("weir", command, folder.join("weir.log"), listen)
}
