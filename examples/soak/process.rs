//! Memory and descriptors of the proxy, looked up in /proc while it runs.

use std::fs;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::usage::status;

const LOOK_EVERY: Duration = Duration::from_millis(250);
const KIB_PER_MIB: f64 = 1024.0;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Sample {
    at: Instant,
    pub(crate) resident_kib: u64,
    pub(crate) descriptors: usize,
}

impl Sample {
    pub(crate) fn mebibytes(self) -> f64 {
        self.resident_kib as f64 / KIB_PER_MIB
    }

    pub(crate) fn of(id: u32) -> Result<Self> {
        Ok(Self {
            at: Instant::now(),
            resident_kib: status(id, "VmRSS:")?,
            descriptors: fs::read_dir(format!("/proc/{id}/fd"))?.count(),
        })
    }
}

/// What the whole run showed, in KiB.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Figures {
    pub(crate) start: u64,
    /// The median under load of the third sixth of the run.
    pub(crate) warm: u64,
    pub(crate) peak: u64,
    /// The median under load of the last sixth of the run.
    pub(crate) end: u64,
    /// After the load, with all connections closed.
    pub(crate) idle: u64,
    pub(crate) descriptors_at_start: usize,
    pub(crate) descriptors_at_end: usize,
}

/// Looks at the process until it is dropped.
pub(crate) struct Watch {
    id: u32,
    first: Sample,
    samples: Arc<Mutex<Vec<Sample>>>,
    task: JoinHandle<()>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Watch {
    pub(crate) fn start(id: u32) -> Result<Self> {
        let first = Sample::of(id)?;
        let samples = Arc::new(Mutex::new(vec![first]));
        let kept = Arc::clone(&samples);
        let task = tokio::spawn(async move {
            while let Ok(sample) = Sample::of(id) {
                kept.lock()
                    .unwrap_or_else(PoisonError::into_inner)
                    .push(sample);
                sleep(LOOK_EVERY).await;
            }
        });
        Ok(Self {
            id,
            first,
            samples,
            task,
        })
    }

    /// The latest sample.
    pub(crate) fn now(&self) -> Sample {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        samples.last().copied().unwrap_or(self.first)
    }

    /// Waits until descriptors are as few as at the start, or `patience` is over.
    pub(crate) async fn settle(&self, patience: Duration) {
        let until = Instant::now() + patience;
        while Instant::now() < until && self.now().descriptors > self.first.descriptors {
            sleep(LOOK_EVERY).await;
        }
    }

    /// For a load of that length, which began with the watch.
    pub(crate) fn figures(&self, length: Duration) -> Result<Figures> {
        let samples = self.samples.lock().unwrap_or_else(PoisonError::into_inner);
        let between = |from: u32, to: u32| {
            let (from, to) = (
                self.first.at + length * from / 6,
                self.first.at + length * to / 6,
            );
            let within = samples
                .iter()
                .filter(|sample| from <= sample.at && sample.at < to);
            median(within.map(|sample| sample.resident_kib).collect())
        };
        let last = Sample::of(self.id)?;
        Ok(Figures {
            start: self.first.resident_kib,
            warm: between(2, 3),
            peak: status(self.id, "VmHWM:")?,
            end: between(5, 6),
            idle: last.resident_kib,
            descriptors_at_start: self.first.descriptors,
            descriptors_at_end: last.descriptors,
        })
    }
}

pub(crate) fn median(mut values: Vec<u64>) -> u64 {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_process_has_memory_and_descriptors() {
        let sample = Sample::of(std::process::id()).unwrap();
        assert!(sample.resident_kib > 100 && sample.descriptors >= 3);
        assert!(Sample::of(u32::MAX).is_err());
        assert_eq!((median(vec![3, 1, 2]), median(Vec::new())), (2, 0));
    }
}
