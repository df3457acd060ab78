//! Configuration to running application: build the first snapshot, bind, spawn, and drain at the end.
//!
//! Not here: command line and exit codes (`cli`), and what any of the parts do.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::admin;
use crate::audit::{Audit, AuditError};
use crate::capture::{Capture, CaptureError, Prepared};
use crate::config::{self, Config, ConfigError};
use crate::listen;
use crate::proxy::Proxy;
use crate::runtime::build::{BuildErrors, Context, build};
use crate::runtime::reload::{Reloader, Trigger, describe};
use crate::runtime::watch::watch as watch_files;
use crate::runtime::{Shared, Snapshot};
use crate::telemetry::Metrics;

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

fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::AddrInUse => "; another process has this port: stop it or choose another",
        io::ErrorKind::PermissionDenied => "; ports below 1024 need CAP_NET_BIND_SERVICE",
        io::ErrorKind::AddrNotAvailable => "; this machine does not have that address",
        _ => "",
    }
}

/// Validates everything that a start needs, without starting: configuration, certificates, ONNX Runtime, bundle.
///
/// # Errors
/// Everything that is wrong.
pub fn check(source: &Source) -> Result<Snapshot, StartError> {
    let config = config::load(&source.file)?;
    Audit::check(&config.audit.output)?;
    Prepared::check(config.capture.as_ref())?;
    let context = Context {
        onnxruntime: source.onnxruntime.clone(),
        metrics: Metrics::new(),
    };
    Ok(build(config, None, &context)?)
}

/// The running application.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    reloader: Reloader,
    listeners: Vec<SocketAddr>,
    admin: SocketAddr,
    shutdown: watch::Sender<bool>,
    serving: JoinSet<()>,
    background: JoinSet<()>,
}

impl App {
    /// Builds and binds everything, then begins to serve on the current tokio runtime.
    ///
    /// # Errors
    /// What is missing; nothing serves then.
    pub async fn start(config: Config, source: Source) -> Result<Self, StartError> {
        // Sockets first: a port in use is found before a model is loaded.
        let (listeners, admin_listener) = bind(&config)?;
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
            listeners: Vec::with_capacity(listeners.len()),
            admin: local(&admin_listener),
            shutdown,
            serving: JoinSet::new(),
            background: JoinSet::new(),
            reloader,
            shared,
        };
        app.spawn(listeners, admin_listener, source.file, &stop);
        Ok(app)
    }

    fn spawn(
        &mut self,
        listeners: Vec<TcpListener>,
        admin: TcpListener,
        file: PathBuf,
        stop: &watch::Receiver<bool>,
    ) {
        let proxy = Proxy::new(Arc::clone(&self.shared));
        for (index, listener) in listeners.into_iter().enumerate() {
            let address = local(&listener);
            tracing::info!(%address, "listening");
            self.listeners.push(address);
            self.serving.spawn(listen::serve(
                listener,
                index,
                Arc::clone(&proxy),
                stop.clone(),
            ));
        }
        tracing::info!(address = %self.admin, "admin listening");
        let (shared, reloader) = (Arc::clone(&self.shared), self.reloader.clone());
        self.serving
            .spawn(admin::serve(admin, shared, reloader, stop.clone()));
        if self.shared.pin().config.model.watch {
            self.background.spawn(watch_files(
                Arc::clone(&self.shared),
                self.reloader.clone(),
                file,
            ));
        }
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
        tokio::select! {
            () = self.stop() => {}
            _ = signals.terminate.recv() => tracing::warn!("ended without draining"),
            _ = signals.interrupt.recv() => tracing::warn!("ended without draining"),
        }
    }

    /// Stops accepting, lets requests in flight finish within `timeouts.drain`, and writes out what is recorded.
    pub async fn stop(mut self) {
        self.shared.drain();
        self.background.shutdown().await;
        self.shutdown.send_replace(true);
        let patience = self.shared.pin().config.timeouts.drain + LAST_PATIENCE;
        let drained = async { while self.serving.join_next().await.is_some() {} };
        if tokio::time::timeout(patience, drained).await.is_err() {
            tracing::warn!("some connections did not end in time");
        }
        let shared = Arc::clone(&self.shared);
        let flushed = tokio::task::spawn_blocking(move || {
            shared.audit.flush();
            shared.capture.flush();
        });
        // A writer stuck on a full disk or a blocked pipe must not keep the process.
        let _stuck = tokio::time::timeout(LAST_PATIENCE, flushed).await;
    }
}

fn bind(config: &Config) -> Result<(Vec<TcpListener>, TcpListener), StartError> {
    let one = |what: String, address| {
        listen::bind(address).map_err(|source| StartError::Bind {
            what,
            address,
            source,
        })
    };
    let mut listeners = Vec::with_capacity(config.listeners.len());
    for (index, listener) in config.listeners.iter().enumerate() {
        listeners.push(one(format!("listen[{index}]"), listener.address)?);
    }
    Ok((listeners, one("admin".to_owned(), config.admin.address)?))
}

fn local(listener: &TcpListener) -> SocketAddr {
    listener
        .local_addr()
        .unwrap_or_else(|_| SocketAddr::from(([0, 0, 0, 0], 0)))
}

/// Starts and serves until a signal: `weir run`.
///
/// # Errors
/// Why it did not start.
pub async fn run(config: Config, source: Source) -> Result<(), StartError> {
    // First of all: a SIGHUP while the model loads must not end the process.
    let signals = Signals::install().map_err(StartError::Signals)?;
    App::start(config, source).await?.run_until(signals).await;
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
