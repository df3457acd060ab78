//! The addresses of the configuration, bound before anything else is opened and listened on after everything else is
//! ready.
//!
//! Not here: how sockets are made (`listen::socket`).

use std::net::SocketAddr;

use super::StartError;
use crate::config::{Config, Sockets};
use crate::listen::socket::{self, Bound, Inherited, Listening};

/// An address that is ours, and does not listen yet.
#[derive(Debug)]
pub(super) struct Door {
    what: String,
    pub(super) address: SocketAddr,
    bound: Bound,
}

impl Door {
    fn bind(
        what: String,
        address: SocketAddr,
        settings: Sockets,
        count: usize,
        inherited: &mut Inherited,
    ) -> Result<Self, StartError> {
        let bound = socket::bind(address, settings, count, inherited);
        match bound.and_then(|bound| Ok((bound.address()?, bound))) {
            Ok((address, bound)) => Ok(Self {
                what,
                address,
                bound,
            }),
            Err(source) => Err(StartError::Bind {
                what,
                address,
                source,
            }),
        }
    }

    /// Lets clients come.
    pub(super) fn open(self) -> Result<Vec<Listening>, StartError> {
        self.bound.listen().map_err(|source| StartError::Bind {
            what: self.what,
            address: self.address,
            source,
        })
    }
}

/// Every address of the configuration.
#[derive(Debug)]
pub(super) struct Doors {
    pub(super) listeners: Vec<Door>,
    pub(super) admin: Door,
}

impl Doors {
    /// Binds them all, or takes the sockets that were passed.
    pub(super) fn bind(config: &Config, mut inherited: Inherited) -> Result<Self, StartError> {
        let sockets = config.sockets;
        let count = if config.per_worker() {
            config.workers
        } else {
            1
        };
        let mut listeners = Vec::with_capacity(config.listeners.len());
        for (index, listener) in config.listeners.iter().enumerate() {
            let what = format!("listen[{index}]");
            let door = Door::bind(what, listener.address, sockets, count, &mut inherited);
            listeners.push(door?);
        }
        let address = config.admin.address;
        let admin = Door::bind("admin".to_owned(), address, sockets, 1, &mut inherited)?;
        match inherited.left().first() {
            Some(address) => Err(StartError::NotConfigured(*address)),
            None => Ok(Self { listeners, admin }),
        }
    }
}
