//! General normal rows: what ordinary requests to other sites look like, so that a network that is tuned to one site goes
//! on knowing them. They are generated: a bundle holds no traffic of anybody, and a base none that could be given again.
//!
//! Must not be here: the requests themselves (`exposure::ordinary`).

use ndarray::{Array2, Axis, concatenate};
use weir_features::FIELD_WIDTH;
use weir_scoring::record::OwnedRequest;

use super::{Corpus, copies, is_validation};
use crate::exposure::ordinary;
use crate::fit::FitOptions;
use crate::progress::{Progress, Stop, Stopped};
use crate::train;

/// Requests made: some 20,000 distinct rows, more than a tuning draws twice.
const REQUESTS: usize = 2_000;

/// Draws of the seed are apart from those of exposure rows.
const SEED: u64 = 0x6e0e_4a11;

/// Rows without a profile, with the lots of each.
#[derive(Debug)]
pub(super) struct General {
    rows: Array2<f32>,
    lots: Vec<u32>,
    held: Array2<f32>,
    held_lots: Vec<u32>,
}

impl General {
    /// No rows: a network that starts from nothing has nothing to keep.
    pub(super) fn none() -> Self {
        let none = || Array2::zeros((0, FIELD_WIDTH));
        Self {
            rows: none(),
            lots: Vec::new(),
            held: none(),
            held_lots: Vec::new(),
        }
    }

    /// Makes the rows, one request in ten for the held-out part.
    pub(super) fn generate(
        options: &FitOptions,
        progress: Progress,
        stop: &Stop,
    ) -> Result<Self, Stopped> {
        let stage = progress.stage("general", 0);
        let requests = ordinary::requests(options.seed ^ SEED, REQUESTS);
        let references: Vec<&OwnedRequest> = requests.iter().collect();
        let corpus = Corpus::extract(&references, None, options.threads, Progress::Silent, stop)?;
        let part = |held: bool| {
            let rows = corpus.rows_of(|request| is_validation(request) == held);
            (corpus.select(&rows), copies(&corpus, &rows, &[]))
        };
        let ((rows, lots), (held, held_lots)) = (part(false), part(true));
        stage.finish(&format!("{} rows of no site", rows.nrows()));
        Ok(Self {
            rows,
            lots,
            held,
            held_lots,
        })
    }

    /// How many rows train.
    pub(super) fn rows(&self) -> usize {
        self.rows.nrows()
    }

    /// What training draws beside the site's rows.
    pub(super) fn training(&self) -> Option<train::General<'_>> {
        (self.rows.nrows() > 0).then(|| train::General {
            rows: self.rows.view(),
            copies: &self.lots,
        })
    }

    /// Held-out rows of a site with the general ones before them, which count as much as they do in training.
    pub(super) fn beside(
        &self,
        site: Array2<f32>,
        site_lots: Vec<u32>,
    ) -> anyhow::Result<(Array2<f32>, Vec<u32>)> {
        if self.held.nrows() == 0 {
            return Ok((site, site_lots));
        }
        let sum = |lots: &[u32]| lots.iter().map(|&lots| u64::from(lots)).sum::<u64>().max(1);
        let (site_sum, general_sum) = (sum(&site_lots), sum(&self.held_lots));
        // A general lot is worth site / (part * general) of a site's lot; both are whole numbers.
        let wanted = site_sum.div_ceil(train::GENERAL_PART as u64);
        let factor = |of: u64, over: u64| u32::try_from(of.div_ceil(over)).unwrap_or(u32::MAX);
        let (more, each) = if wanted >= general_sum {
            (factor(wanted, general_sum), 1)
        } else {
            (1, factor(general_sum, wanted))
        };
        let general = self.held_lots.iter().map(|&lots| lots.saturating_mul(more));
        let own = site_lots.iter().map(|&lots| lots.saturating_mul(each));
        let lots = general.chain(own).collect();
        Ok((
            concatenate(Axis(0), &[self.held.view(), site.view()])?,
            lots,
        ))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn general(lots: Vec<u32>) -> General {
        General {
            held: Array2::ones((lots.len(), FIELD_WIDTH)),
            held_lots: lots,
            ..General::none()
        }
    }

    #[test]
    fn general_rows_count_a_third_of_the_sites_whatever_their_number() {
        for (site, lots) in [(90, vec![1; 3]), (3, vec![5; 20]), (60, vec![1; 20])] {
            let rows = Array2::zeros((site, FIELD_WIDTH));
            let (rows, counted) = general(lots.clone()).beside(rows, vec![1; site]).unwrap();
            assert_eq!(
                (rows.nrows(), counted.len()),
                (site + lots.len(), site + lots.len())
            );
            let (first, rest) = counted.split_at(lots.len());
            let [first, rest] = [first, rest].map(|lots| f64::from(lots.iter().sum::<u32>()));
            assert!((first * 3.0 / rest - 1.0).abs() < 0.02, "{first} {rest}");
        }
    }
}
