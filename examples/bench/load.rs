//! Load: as much as a proxy takes (closed loop), or so many requests a second whatever it takes (open loop).
//!
//! The open loop measures from the moment at which a request was due, not from the one at which it could be sent: a proxy
//! that stalls is charged for every request that had to wait (no coordinated omission).

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures_util::future::{try_join, try_join_all};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};
use tokio::net::unix::pipe;
use tokio::sync::{Mutex, mpsc};
use tokio::time::timeout;

use crate::client::Connection;
use crate::request::Counter;

/// Beyond the time that was asked for: a proxy that takes longer is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a closed loop did.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Done {
    pub(crate) requests: u64,
    pub(crate) wall: Duration,
}

impl Done {
    pub(crate) fn per_second(&self) -> f64 {
        self.requests as f64 / self.wall.as_secs_f64()
    }
}

/// Every connection sends its next request as soon as the last is answered, at least one.
pub(crate) async fn closed(
    connections: &mut [Connection],
    time: Duration,
    counter: &Counter,
) -> Result<Done> {
    let began = Instant::now();
    let each = connections.iter_mut().map(|connection| async move {
        let mut requests = 0_u64;
        loop {
            connection.pass(counter).await?;
            requests += 1;
            if began.elapsed() >= time {
                return anyhow::Ok(requests);
            }
        }
    });
    let counts = timeout(time + PATIENCE, try_join_all(each))
        .await
        .context("the proxy does not answer")??;
    Ok(Done {
        requests: counts.iter().sum(),
        wall: began.elapsed(),
    })
}

/// So many requests a second; nanoseconds from the moment at which each was due to the end of its answer.
pub(crate) async fn open(
    connections: &mut [Connection],
    rate: u32,
    time: Duration,
    counter: &Counter,
) -> Result<Vec<u64>> {
    let (due, waiting) = mpsc::unbounded_channel();
    let waiting = Mutex::new(waiting);
    let each = connections.iter_mut().map(|connection| async {
        let mut times = Vec::new();
        loop {
            let next = waiting.lock().await.recv().await;
            let Some(due): Option<Instant> = next else {
                return anyhow::Ok(times);
            };
            connection.pass(counter).await?;
            times.push(u64::try_from(due.elapsed().as_nanos())?);
        }
    });
    let all = try_join(schedule(due, rate, time), try_join_all(each));
    let ((), times) = timeout(time + PATIENCE, all)
        .await
        .context("the proxy does not answer")??;
    Ok(times.concat())
}

/// Says when each request is due. Tokio's timers know milliseconds; the kernel's know the time between two requests.
async fn schedule(due: mpsc::UnboundedSender<Instant>, rate: u32, time: Duration) -> Result<()> {
    let gap = Duration::from_secs(1) / rate;
    let timer =
        TimerFd::new(ClockId::CLOCK_MONOTONIC, TimerFlags::TFD_NONBLOCK).context("no timer")?;
    timer.set(Expiration::Interval(gap.into()), TimerSetTimeFlags::empty())?;
    // Waits and reads as tokio does with a pipe, which is all that a timer's descriptor needs.
    let timer = pipe::Receiver::from_owned_fd_unchecked(timer.into())?;
    let began = Instant::now();
    let mut next = began;
    while next < began + time {
        timer.readable().await?;
        // How often it expired does not matter: the clock says what is due.
        let _expirations = timer.try_read(&mut [0; 8]);
        while next <= Instant::now() && next < began + time {
            due.send(next).context("nobody sends")?;
            next += gap;
        }
    }
    Ok(())
}
