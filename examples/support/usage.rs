//! What the system says of a process and its children: processor time and memory, from /proc.

use std::fs;
use std::time::Duration;

use anyhow::{Context, Result};

/// The kernel's unit of processor time in /proc.
const TICKS_PER_SECOND: f64 = 100.0;

/// What a process has used so far, its children included.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Usage {
    pub(crate) user: Duration,
    pub(crate) system: Duration,
    pub(crate) resident_kib: u64,
    pub(crate) peak_kib: u64,
}

impl Usage {
    pub(crate) fn of(id: u32) -> Result<Self> {
        let mut usage = Self::default();
        for id in family(id)? {
            let [user, system] = times(id)?;
            usage.user += user;
            usage.system += system;
            usage.resident_kib += status(id, "VmRSS:")?;
            usage.peak_kib += status(id, "VmHWM:")?;
        }
        Ok(usage)
    }

    pub(crate) fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// The highest memory is looked for from now on.
pub(crate) fn reset_peak(id: u32) -> Result<()> {
    for id in family(id)? {
        fs::write(format!("/proc/{id}/clear_refs"), "5")
            .context("the peak of memory cannot be reset")?;
    }
    Ok(())
}

/// A number of /proc/ID/status.
pub(crate) fn status(id: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{id}/status")).context("the proxy is gone")?;
    text.lines()
        .find_map(|line| {
            line.strip_prefix(name)?
                .split_whitespace()
                .next()?
                .parse()
                .ok()
        })
        .with_context(|| format!("/proc/{id}/status without {name}"))
}

/// The process and its children, whichever of its threads started them.
fn family(id: u32) -> Result<Vec<u32>> {
    let mut ids = vec![id];
    let threads = fs::read_dir(format!("/proc/{id}/task")).context("the proxy is gone")?;
    for thread in threads.flatten() {
        // A thread may end meanwhile; its children are then those of another.
        let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
        ids.extend(children.split_whitespace().flat_map(str::parse::<u32>));
    }
    Ok(ids)
}

/// User and system time.
fn times(id: u32) -> Result<[Duration; 2]> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).context("the proxy is gone")?;
    // The name in parentheses may hold spaces; user and system time are the 12th and 13th field after it.
    let (_, fields) = stat.rsplit_once(')').context("no /proc/stat")?;
    let mut ticks = fields.split_whitespace().skip(11).map(str::parse::<u64>);
    let mut next = || -> Result<Duration> {
        let ticks = ticks.next().context("a short /proc/stat")??;
        Ok(Duration::from_secs_f64(ticks as f64 / TICKS_PER_SECOND))
    };
    Ok([next()?, next()?])
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn this_process_has_used_memory_and_one_that_is_gone_says_so() {
        let usage = Usage::of(std::process::id()).unwrap();
        assert!(usage.resident_kib > 100 && usage.peak_kib >= usage.resident_kib);
        assert!(Usage::of(u32::MAX).is_err());
        assert!(status(std::process::id(), "VmNothing:").is_err());
    }
}
