//! Which requests training never sees, so that calibration can be believed.
//!
//! Must not be here: evaluation splits (`weir-train split`), which leave data out of `fit` altogether.

use std::collections::BTreeSet;

use sha2::{Digest, Sha256};

use super::timeline::{CUTS, positions};
use crate::data::LabelledRequest;
use crate::data::split::registrable_domain;

/// Sites from which on whole sites are held out: such a model will serve sites it has not seen.
const MANY_SITES: usize = 40;

/// One in this many sites is held out; so many folds of sites there are.
pub const FOLDS: u8 = 4;

/// The share of a site's requests before the held-out ones when the data is split by time: the last cut of [`CUTS`].
const LAST_CUT: f64 = {
    let [.., last] = CUTS;
    last
};

/// How the held-out part is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum HeldOut {
    /// By site when there are at least 40 sites, by time otherwise
    Auto,
    /// The last fifth of each site: what the model will meet is later traffic of the same sites
    Time,
    /// One site in four: what the model will meet is other sites
    Site,
}

impl HeldOut {
    /// The choice that `Auto` stands for.
    #[must_use]
    pub fn resolve(self, requests: &[LabelledRequest]) -> Self {
        match self {
            Self::Auto => {
                let sites: BTreeSet<String> = requests.iter().map(site).collect();
                if sites.len() >= MANY_SITES {
                    Self::Site
                } else {
                    Self::Time
                }
            }
            other => other,
        }
    }

    /// For each request whether it is held out. At least one is, and at least one is not, from two requests on.
    #[must_use]
    pub fn choose(self, requests: &[LabelledRequest]) -> Vec<bool> {
        let mut chosen = match self.resolve(requests) {
            Self::Site => fold(requests, 0),
            Self::Time | Self::Auto => latest(requests),
        };
        let is_split = |chosen: &[bool]| chosen.contains(&true) && chosen.contains(&false);
        if !is_split(&chosen) {
            chosen = latest(requests);
        }
        // Many sites of a few requests each have no last fifth.
        if !is_split(&chosen)
            && let Some(&last) = in_time(requests).last()
            && let Some(last) = chosen.get_mut(last)
        {
            *last = true;
        }
        chosen
    }
}

/// The last fifth of each site's requests, in time order.
fn latest(requests: &[LabelledRequest]) -> Vec<bool> {
    let held = positions(requests)
        .into_iter()
        .map(|position| position >= LAST_CUT);
    held.collect()
}

/// Indices in time order; without times the order of the files stands.
#[must_use]
pub(super) fn in_time(requests: &[LabelledRequest]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..requests.len()).collect();
    if requests.iter().all(|request| request.time.is_some()) {
        let time = |&index: &usize| {
            let request = requests.get(index);
            request.and_then(|request| request.time).unwrap_or(0.0)
        };
        order.sort_by(|a, b| time(a).total_cmp(&time(b)));
    }
    order
}

fn site(request: &LabelledRequest) -> String {
    let host = request.request.host().unwrap_or_default();
    registrable_domain(&String::from_utf8_lossy(host))
}

/// The second byte of the hash: `weir-train split` uses the first, and the two choices must not coincide.
fn is_held_out_site(site: &str, fold: u8) -> bool {
    Sha256::digest(site.as_bytes())
        .get(1)
        .is_some_and(|byte| byte % FOLDS == fold)
}

/// For each request whether its site is in `fold`, of [`FOLDS`].
#[must_use]
pub(super) fn fold(requests: &[LabelledRequest], fold: u8) -> Vec<bool> {
    let held = requests
        .iter()
        .map(|request| is_held_out_site(&site(request), fold));
    held.collect()
}
