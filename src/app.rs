//! Configuration to running application: build the first snapshot, bind, spawn, and drain at the end.
//!
//! Not here: command line and exit codes (`cli`), and what any of the parts do.

mod check;
mod doors;
pub(crate) mod workers;

use std::fmt::Display;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin;
use crate::audit::{Audit, AuditError};
use crate::capture::{Capture, CaptureError, Prepared};
use crate::config::places::{Finding, locate};
use crate::config::{self, Config, ConfigError};
use crate::listen;
use crate::listen::socket::{Inherited, Listening};
use crate::proxy::Proxy;
use crate::runtime::Shared;
use crate::runtime::build::{BuildErrors, Context, build};
use crate::runtime::reload::{Reloader, Trigger, describe};
use crate::runtime::watch::watch as watch_files;
use crate::systemd;
use crate::telemetry::Metrics;

pub use self::check::{Purpose, check};
use self::doors::Doors;
use self::workers::Worker;

/// Beyond the drain timeout of the listeners: what is left is torn down.
const LAST_PATIENCE: Duration = Duration::from_secs(5);

/// Where the configuration comes from, for the start and for every reload.
#[derive(Debug, Clone)]
pub struct Source {
    /// The configuration file.
    pub file: PathBuf,
    /// `--onnxruntime`.
    pub onnxruntime: Option<PathBuf>,
}

/// Why the application did not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StartError {
    /// The configuration is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something it names cannot be used.
    #[error(transparent)]
    Build(#[from] BuildErrors),
    /// An address cannot be listened on.
    #[error("{what}: cannot listen on {address}: {source}{}", hint(source))]
    Bind {
        /// `listen[i]` or `admin`.
        what: String,
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// A socket was passed that nobody is to serve.
    #[error(
        "a listening socket for {0} was passed (LISTEN_FDS), and no `listen` has this address; write it as in the socket unit"
    )]
    NotConfigured(SocketAddr),
    /// A worker, or the admin listener, cannot be started.
    #[error("a worker cannot be started: {0}")]
    Thread(io::Error),
    /// Decision records cannot be written.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The capture cannot be written.
    #[error(transparent)]
    Capture(#[from] CaptureError),
    /// No signal handlers.
    #[error("signals cannot be handled: {0}")]
    Signals(io::Error),
}

impl StartError {
    /// The error by the keys of the configuration that it is about; nothing where it is about none.
    pub fn findings(&self) -> Vec<Finding> {
        let at = |key: String, error: &dyn Display| vec![Finding::new(key, error.to_string())];
        match self {
            Self::Bind {
                what,
                address,
                source,
            } => at(
                format!("{what}.address"),
                &format!("cannot listen on {address}: {source}{}", hint(source)),
            ),
            Self::Build(errors) => errors.findings(),
            Self::Audit(AuditError::Open { .. }) => at("audit.output".to_owned(), self),
            Self::Capture(CaptureError::Files(_)) => at("capture.directory".to_owned(), self),
            Self::Capture(CaptureError::Key(_)) => at("capture.key_file".to_owned(), self),
            _ => Vec::new(),
        }
    }

    /// The error as it is shown: with its place in the configuration's file, if it has one.
    pub fn located(&self, file: &Path) -> String {
        match self.findings() {
            findings if findings.is_empty() => self.to_string(),
            findings => locate(file, findings).to_string(),
        }
    }
}

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => {
            "; another process has this port: stop it, choose another, or let a new version take over with `sockets.reuse_port`"
        }
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// The running application.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    reloader: Reloader,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    shutdown: watch::Sender<bool>,
    /// Dropped when all have drained: workers keep their upstream connections until then.
    release: watch::Sender<()>,
    serving: JoinSet<()>,
    background: JoinSet<()>,
}

impl App {
    /// Builds and binds everything, then begins to serve on the current tokio runtime (and, with
    /// `sockets.per_worker`, on threads of its own).
    ///
    /// # Errors
    /// What is missing; nothing serves then.
    pub async fn start(
        config: Config,
        source: Source,
        inherited: Inherited,
    ) -> Result<Self, StartError> {
        // Sockets first: a port in use is found before a model is loaded.
        let bound = Doors::bind(&config, inherited)?;
        let metrics = Metrics::new();
        let context = Context {
            onnxruntime: source.onnxruntime,
            metrics: Arc::clone(&metrics),
        };
        let first = build(config, None, &context)?;
        let audit = Audit::start(&first.config.audit.output, Arc::clone(&metrics))?;
        let capture = Capture::start(
            Prepared::open(first.config.capture.as_ref())?,
            Arc::clone(&metrics),
        )?;
        describe(&metrics, &first);
        let shared = Arc::new(Shared::new(first, metrics, audit, capture));
        let reloader = Reloader::start(Arc::clone(&shared), source.file.clone(), context);
        let (shutdown, stop) = watch::channel(false);
        let mut app = Self {
            listeners: bound.listeners.iter().map(|door| door.address).collect(),
            admin: bound.admin.address,
            shutdown,
            release: watch::Sender::new(()),
            serving: JoinSet::new(),
            background: JoinSet::new(),
            reloader,
            shared,
        };
        app.spawn(bound, source.file, &stop)?;
        Ok(app)
    }

    fn spawn(
        &mut self,
        bound: Doors,
        file: PathBuf,
        stop: &watch::Receiver<bool>,
    ) -> Result<(), StartError> {
        let proxy = Proxy::new(Arc::clone(&self.shared));
        let admin = bound.admin.open()?.into_iter().next();
        let mut opened = Vec::with_capacity(bound.listeners.len());
        for door in bound.listeners {
            let address = door.address;
            opened.push(door.open()?);
            tracing::info!(%address, "listening");
        }
        let workers = self.serve(opened, &proxy, stop)?;
        tracing::info!(address = %self.admin, "admin listening");
        if let Some(listener) = admin {
            let listener = listener.into_tokio().map_err(StartError::Thread)?;
            let (shared, reloader) = (Arc::clone(&self.shared), self.reloader.clone());
            self.serving
                .spawn(admin::serve(listener, shared, reloader, stop.clone()));
        }
        self.background.spawn(systemd::watchdog(workers));
        if self.shared.pin().config.model.watch {
            self.background.spawn(watch_files(
                Arc::clone(&self.shared),
                self.reloader.clone(),
                file,
            ));
        }
        Ok(())
    }

    /// Serves the sockets of each listener, on this runtime or on one for each worker.
    fn serve(
        &mut self,
        opened: Vec<Vec<Listening>>,
        proxy: &Arc<Proxy>,
        stop: &watch::Receiver<bool>,
    ) -> Result<Vec<Handle>, StartError> {
        let config = Arc::clone(&self.shared.pin().config);
        if !config.per_worker() {
            for (index, socket) in opened.into_iter().enumerate() {
                for socket in socket {
                    let serving = listen::serve(socket, index, Arc::clone(proxy), stop.clone());
                    self.serving.spawn(serving);
                }
            }
            return Ok(Vec::new());
        }
        let mut shares: Vec<Vec<_>> = (0..config.workers).map(|_| Vec::new()).collect();
        for (index, sockets) in opened.into_iter().enumerate() {
            for (share, socket) in shares.iter_mut().zip(sockets) {
                share.push((index, socket));
            }
        }
        let mut handles = Vec::with_capacity(shares.len());
        for (number, sockets) in shares.into_iter().enumerate() {
            let worker = Worker::start(number, sockets, proxy, stop, self.release.subscribe())
                .map_err(StartError::Thread)?;
            handles.push(worker.handle);
            self.serving.spawn(async { drop(worker.drained.await) });
        }
        Ok(handles)
    }

    /// Addresses of the listeners, in the order of the configuration.
    pub fn listeners(&self) -> &[SocketAddr] {
        &self.listeners
    }

    /// Address of the admin listener.
    pub fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// Snapshot and long-lived state.
    pub fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// Asks for reloads and threshold changes.
    pub fn reloader(&self) -> &Reloader {
        &self.reloader
    }

    /// Serves until SIGTERM or SIGINT, reloading on SIGHUP, then drains.
    async fn run_until(self, mut signals: Signals) {
        loop {
            tokio::select! {
                _ = signals.hangup.recv() => {
                    let reloader = self.reloader.clone();
                    // The outcome is in the log; a second SIGHUP meanwhile waits for its turn.
                    tokio::spawn(async move { drop(reloader.reload(Trigger::Signal).await) });
                }
                _ = signals.terminate.recv() => break,
                _ = signals.interrupt.recv() => break,
            }
        }
        tracing::info!("draining; a second signal ends at once");
        systemd::stopping(self.patience() + LAST_PATIENCE);
        tokio::select! {
            () = self.stop() => {}
            _ = signals.terminate.recv() => tracing::warn!("ended without draining"),
            _ = signals.interrupt.recv() => tracing::warn!("ended without draining"),
        }
    }

    /// How long a drain may take.
    fn patience(&self) -> Duration {
        self.shared.pin().config.timeouts.drain + LAST_PATIENCE
    }

    /// Stops accepting, lets requests in flight finish within `timeouts.drain`, and writes out what is recorded.
    pub async fn stop(mut self) {
        self.shared.drain();
        self.background.shutdown().await;
        let patience = self.patience();
        self.shutdown.send_replace(true);
        let drained = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        drop(self.release);
        let shared = Arc::clone(&self.shared);
        let flushed = tokio::task::spawn_blocking(move || {
            shared.audit.flush();
            shared.capture.flush();
        });
        // A writer stuck on a full disk or a blocked pipe must not keep the process.
        let _stuck = tokio::time::timeout(LAST_PATIENCE, flushed).await;
    }
}

/// Starts and serves until a signal: `weir run`.
///
/// # Errors
/// Why it did not start.
pub async fn run(config: Config, source: Source, inherited: Inherited) -> Result<(), StartError> {
    // First of all: a SIGHUP while the model loads must not end the process.
    let signals = Signals::install().map_err(StartError::Signals)?;
    let app = App::start(config, source, inherited).await?;
    systemd::ready();
    app.run_until(signals).await;
    Ok(())
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn install() -> io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}

/// The configuration of a file; here so that `cli` needs no other room.
///
/// # Errors
/// Every problem of the file.
pub fn load(file: &Path) -> Result<Config, StartError> {
    Ok(config::load(file)?)
}
