//! Workers that share nothing but the proxy: with `sockets.per_worker` each is a thread with a runtime, listening
//! sockets and connections of its own.
//!
//! Not here: what they serve, and how many there are (`workers`).

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Handle};
use tokio::sync::{oneshot, watch};

use crate::listen::socket::Listening;
use crate::listen::{self};
use crate::proxy::Proxy;

/// Beside heavy inspections, which `workers` bounds for the process: name lookups and reloads.
pub(crate) const BLOCKING_THREADS: usize = 8;

/// A worker's thread.
#[derive(Debug)]
pub(super) struct Worker {
    /// Spawns on it.
    pub(super) handle: Handle,
    /// Ends when its listeners have drained.
    pub(super) drained: oneshot::Receiver<()>,
}

impl Worker {
    /// Starts a thread that serves `sockets`, each with the index of its listener. It ends when `release` does: its
    /// connections to upstreams are in use by other workers until all have drained.
    pub(super) fn start(
        number: usize,
        sockets: Vec<(usize, Listening)>,
        proxy: &Arc<Proxy>,
        stop: &watch::Receiver<bool>,
        release: watch::Receiver<()>,
    ) -> io::Result<Self> {
        let blocking = proxy.shared().pin().config.workers + BLOCKING_THREADS;
        let runtime = Builder::new_current_thread()
            .max_blocking_threads(blocking)
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (done, drained) = oneshot::channel();
        let serving: Vec<_> = sockets
            .into_iter()
            .map(|(index, socket)| listen::serve(socket, index, Arc::clone(proxy), stop.clone()))
            .collect();
        std::thread::Builder::new()
            .name(format!("weir-worker-{number}"))
            .spawn(move || {
                runtime.block_on(async move {
                    futures_util::future::join_all(serving).await;
                    let _nobody_waits = done.send(());
                    let mut release = release;
                    while release.changed().await.is_ok() {}
                });
                runtime.shutdown_background();
            })?;
        Ok(Self { handle, drained })
    }
}
