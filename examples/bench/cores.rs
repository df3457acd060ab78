//! Which processors the proxies run on, and which the origin and the load: a proxy's figures are its own only where
//! nobody else takes its processor.

use std::fmt;

use anyhow::{Context, Result, bail};
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::unistd::Pid;

/// The processors that this program may use.
#[derive(Debug, Clone)]
pub(crate) struct Cores(Vec<usize>);

/// Who runs where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Places {
    pub(crate) proxy: Vec<usize>,
    pub(crate) load: Vec<usize>,
}

impl Cores {
    pub(crate) fn of_this_process() -> Result<Self> {
        let allowed = sched_getaffinity(this_thread()).context("cannot read the affinity")?;
        let cores: Vec<usize> = (0..CpuSet::count())
            .filter(|cpu| allowed.is_set(*cpu).unwrap_or(false))
            .collect();
        if cores.is_empty() {
            bail!("no processor may be used");
        }
        Ok(Self(cores))
    }

    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first ones for so many workers, the others for origin and load; where too few are left, everybody shares all.
    pub(crate) fn places(&self, workers: usize) -> Places {
        match self.0.split_at_checked(workers) {
            Some((proxy, rest)) if !rest.is_empty() => Places {
                proxy: proxy.to_vec(),
                // Two are enough, and the same for any number of workers, since the origin stays where it started.
                load: rest
                    .iter()
                    .rev()
                    .take(self.count() / 2)
                    .take(2)
                    .copied()
                    .collect(),
            },
            _ => Places {
                proxy: self.0.clone(),
                load: self.0.clone(),
            },
        }
    }
}

impl Places {
    /// Whether the load takes processor time from the proxy.
    pub(crate) fn shared(&self) -> bool {
        self.proxy == self.load
    }

    /// This thread, and those it starts from now on, run where the load belongs.
    pub(crate) fn enter(&self) -> Result<()> {
        pin(&self.load)
    }

    /// What `act` starts runs where the proxy belongs: children inherit the processors of the thread that starts them.
    pub(crate) fn beside<T>(&self, act: impl FnOnce() -> Result<T>) -> Result<T> {
        pin(&self.proxy)?;
        let started = act();
        self.enter()?;
        started
    }
}

impl fmt::Display for Places {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |cpus: &[usize]| {
            let names: Vec<String> = cpus.iter().map(usize::to_string).collect();
            names.join(" and ")
        };
        if self.shared() {
            write!(
                f,
                "proxy, origin and load share processor {}",
                list(&self.proxy)
            )
        } else {
            write!(
                f,
                "proxy on processor {}, origin and load on {}",
                list(&self.proxy),
                list(&self.load)
            )
        }
    }
}

fn this_thread() -> Pid {
    Pid::from_raw(0)
}

fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    for cpu in cpus {
        set.set(*cpu)?;
    }
    sched_setaffinity(this_thread(), &set).context("cannot choose processors")
}

/// Raises the limit of open files as far as it goes and returns it.
pub(crate) fn raise_open_files() -> Result<u64> {
    let (_, most) = getrlimit(Resource::RLIMIT_NOFILE).context("cannot read limits")?;
    setrlimit(Resource::RLIMIT_NOFILE, most, most).context("cannot raise the open files")?;
    Ok(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_load_never_runs_beside_the_proxy_where_there_is_room() {
        let places = |cores: &[usize], workers| Cores(cores.to_vec()).places(workers);
        let pinned = places(&[0, 1], 1);
        assert_eq!(
            (pinned.proxy.as_slice(), pinned.load.as_slice()),
            (&[0][..], &[1][..])
        );
        assert!(!pinned.shared());
        assert!(places(&[3], 1).shared());
        assert!(places(&[0, 1], 2).shared());
        let four = places(&[4, 5, 6, 7], 2);
        assert_eq!(
            (four.proxy.as_slice(), four.load.as_slice()),
            (&[4, 5][..], &[7, 6][..])
        );
        assert_eq!(places(&[4, 5, 6, 7], 1).load, four.load);
        assert_eq!(places(&[0, 1, 2], 1).load, places(&[0, 1, 2], 2).load);
        assert_eq!(
            places(&[0, 1], 1).to_string(),
            "proxy on processor 0, origin and load on 1"
        );
    }
}
