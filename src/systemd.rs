//! What a service manager is told: ready, reloading, stopping, and still alive.
//!
//! Not here: the sockets that it passes (`listen::socket`). Without `NOTIFY_SOCKET` all of this does nothing.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Clients are served.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready, NotifyState::Status("serving")]);
}

/// A reload has begun; [`ready`] ends it.
pub(crate) fn reloading() {
    let mut state = vec![NotifyState::Reloading];
    // Newer versions of systemd tell reloads apart by it.
    state.extend(NotifyState::monotonic_usec_now());
    tell(&state);
}

/// Clients are not accepted any more, and the process ends within `patience`.
pub(crate) fn stopping(patience: Duration) {
    let patience = u32::try_from(patience.as_micros()).unwrap_or(u32::MAX);
    tell(&[
        NotifyState::Stopping,
        NotifyState::Status("draining"),
        NotifyState::ExtendTimeoutUsec(patience),
    ]);
}

/// Says that the process is alive as long as this runtime and every one of `workers` runs tasks.
pub(crate) async fn watchdog(workers: Vec<Handle>) {
    let Some(limit) = sd_notify::watchdog_enabled() else {
        return;
    };
    let pace = limit / 2;
    let mut ticks = interval(pace.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let alive = async {
            for worker in &workers {
                // It ends at once where tasks run at all.
                let _shut_down = worker.spawn(async {}).await;
            }
        };
        match timeout(pace, alive).await {
            Ok(()) => tell(&[NotifyState::Watchdog]),
            Err(_) => {
                tracing::error!("a worker is stuck; the watchdog is not told that all is well")
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager could not be told (NOTIFY_SOCKET)");
    }
}
