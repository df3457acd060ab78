//! Settings that hold from the start of the process to its end.
//!
//! Not here: reloading. What is listed here is bound to something made once: a socket, a thread, a table, a library.

use std::net::SocketAddr;

use crate::config::{Config, Listener};

/// Keeps what cannot change while running, and names what the file changed of it.
pub(super) fn keep_fixed(next: &mut Config, running: &Config) -> Vec<&'static str> {
    let mut kept = Kept(Vec::new());
    if sockets(next) != sockets(running) {
        kept.0.push("listen");
        next.listeners.clone_from(&running.listeners);
    }
    if next.admin.address != running.admin.address {
        kept.0.push("admin.address");
        // Token and names with it: those of another address may not protect this one.
        next.admin = running.admin.clone();
    }
    kept.keep("sockets", &mut next.sockets, &running.sockets);
    kept.keep("workers", &mut next.workers, &running.workers);
    let (limits, old) = (&mut next.limits, &running.limits);
    kept.keep(
        "limits.connections",
        &mut limits.connections,
        &old.connections,
    );
    kept.keep("limits.requests", &mut limits.requests, &old.requests);
    kept.keep(
        "limits.inspect_memory",
        &mut limits.inspect_memory,
        &old.inspect_memory,
    );
    kept.keep("limits.clients", &mut limits.clients, &old.clients);
    let (model, old) = (&mut next.model, &running.model);
    kept.keep(
        "model.onnxruntime",
        &mut model.onnxruntime,
        &old.onnxruntime,
    );
    kept.keep("model.watch", &mut model.watch, &old.watch);
    kept.keep("log", &mut next.log, &running.log);
    kept.0
}

/// Where a configuration listens, and with or without TLS. Certificates may change.
fn sockets(config: &Config) -> Vec<(SocketAddr, bool)> {
    let socket = |listener: &Listener| (listener.address, listener.tls.is_some());
    config.listeners.iter().map(socket).collect()
}

struct Kept(Vec<&'static str>);

impl Kept {
    fn keep<T: PartialEq + Clone>(&mut self, name: &'static str, next: &mut T, running: &T) {
        if next != running {
            self.0.push(name);
            next.clone_from(running);
        }
    }
}
