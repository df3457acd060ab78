//! Weir and what it is measured beside, all in front of the same origin: who there is, and how each is started.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use tempfile::TempDir;

use crate::children::find;
use crate::cores::Places;
use crate::nginx;
use crate::proxy::{Proxy, free_addresses};
use crate::weir::Setup;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Peer {
    /// No proxy at all.
    Origin,
    Nginx,
    Hyper,
    ModSecurity,
    Weir,
}

impl Peer {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Origin => "origin alone",
            Self::Nginx => "nginx",
            Self::Hyper => "plain hyper",
            Self::ModSecurity => "ModSecurity + CRS",
            Self::Weir => "Weir",
        }
    }

    /// Whether it looks for attacks.
    pub(crate) fn inspects(self) -> bool {
        matches!(self, Self::ModSecurity | Self::Weir)
    }
}

/// Where the measurement keeps its files, and what all proxies share. The files go when the run ends.
pub(crate) struct Stage {
    folder: TempDir,
    origin: SocketAddr,
    bundle: PathBuf,
    weir: PathBuf,
    started: std::cell::Cell<usize>,
}

impl Stage {
    pub(crate) fn set(origin: SocketAddr, bundle: &Path, weir: Option<&Path>) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("weir-bench-")
            .tempdir()
            .context("cannot make a temporary folder")?;
        let bundle = crate::bundle::with_profile(bundle, &folder.path().join("bundle"))?;
        Ok(Self {
            folder,
            origin,
            bundle,
            weir: find("weir", weir)?,
            started: std::cell::Cell::default(),
        })
    }

    pub(crate) fn origin(&self) -> SocketAddr {
        self.origin
    }

    pub(crate) fn weir_program(&self) -> &Path {
        &self.weir
    }

    /// A folder of its own for one proxy.
    fn room(&self) -> Result<PathBuf> {
        let number = self.started.replace(self.started.get() + 1);
        let room = self.folder.path().join(number.to_string());
        fs::create_dir(&room)?;
        Ok(room)
    }

    pub(crate) fn weir(&self, places: &Places, setup: &Setup) -> Result<Proxy> {
        let [listen, admin] = free_addresses()?;
        let room = self.room()?;
        let file = room.join("weir.yaml");
        // JSON is YAML.
        let config = setup.config(listen, admin, self.origin, &self.bundle);
        fs::write(&file, config.to_string())?;
        let mut command = Command::new(&self.weir);
        command.env_remove("RUST_LOG");
        command.args(["run", "--config"]).arg(file);
        places.beside(|| Proxy::start("weir", command, room.join("output"), listen))
    }

    pub(crate) fn nginx(&self, places: &Places, setup: &nginx::Setup) -> Result<Proxy> {
        let [listen] = free_addresses()?;
        let room = self.room()?;
        nginx::write(&room, listen, self.origin, setup)?;
        let mut command = Command::new("nginx");
        command.arg("-p").arg(&room);
        command.arg("-e").arg(room.join("error.log"));
        command.arg("-c").arg(room.join("nginx.conf"));
        places.beside(|| Proxy::start("nginx", command, room.join("output"), listen))
    }

    /// This program again, as a plain proxy.
    pub(crate) fn hyper(&self, places: &Places) -> Result<Proxy> {
        let [listen] = free_addresses()?;
        let room = self.room()?;
        let own = std::env::current_exe().context("cannot find this program's own path")?;
        let mut command = Command::new(own);
        command.arg("peer");
        command.args([listen, self.origin].map(|address| address.to_string()));
        places.beside(|| Proxy::start("hyper", command, room.join("output"), listen))
    }
}

/// The proxies that are there on this machine, each with one worker.
pub(crate) struct Peers(Vec<(Peer, Proxy)>);

impl Peers {
    /// Says on standard error what is left out and how to have it.
    pub(crate) fn start(stage: &Stage, places: &Places) -> Result<Self> {
        let mut peers = Vec::new();
        if nginx::found() {
            let proxy = stage.nginx(places, &nginx::Setup::default())?;
            peers.push((Peer::Nginx, proxy));
        } else {
            eprintln!("bench: nginx is left out; to have it: apt-get install nginx");
        }
        peers.push((Peer::Hyper, stage.hyper(places)?));
        if nginx::found() && nginx::rules_found() {
            let setup = nginx::Setup {
                rules: nginx::Rules::Crs,
                ..nginx::Setup::default()
            };
            let proxy = stage.nginx(places, &setup)?;
            peers.push((Peer::ModSecurity, proxy));
        } else {
            eprintln!(
                "bench: ModSecurity is left out; to have it: apt-get install {}",
                nginx::PACKAGES.join(" ")
            );
        }
        peers.push((Peer::Weir, stage.weir(places, &Setup::default())?));
        Ok(Self(peers))
    }

    pub(crate) fn names(&self) -> Vec<Peer> {
        self.0.iter().map(|(peer, _)| *peer).collect()
    }

    pub(crate) fn get(&self, wanted: Peer) -> Option<&Proxy> {
        let mut all = self.0.iter();
        all.find_map(|(peer, proxy)| (*peer == wanted).then_some(proxy))
    }

    /// Nobody is always first.
    pub(crate) fn turn(&self, round: usize) -> Vec<(Peer, &Proxy)> {
        let mut turn: Vec<_> = self.0.iter().map(|(peer, proxy)| (*peer, proxy)).collect();
        if round % 2 == 1 {
            turn.reverse();
        }
        turn
    }
}
