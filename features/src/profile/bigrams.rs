//! How likely one symbol follows another at one parameter. Not here: which symbol a byte is (`symbols`).
#![expect(
    clippy::indexing_slicing,
    reason = "columns are constants, symbols lie below the alphabet's size"
)]

use super::columns as column;
use super::key_stats::traits;
use super::known::{CLIP, Moments};
use super::symbols::{self, ALPHABET};
use super::table::Table;

/// Logarithms of transition probabilities between symbols, in fifteenths, for the rows that occur.
#[derive(Clone, Debug)]
pub(crate) struct Bigrams {
    /// Which row of `cells` belongs to a symbol; `u8::MAX` is none.
    rows: [u8; ALPHABET],
    cells: Box<[[u8; ALPHABET]]>,
    mean: Moments,
}

const STEPS: f32 = 15.0;
/// What is added to every transition, so that none is impossible.
const SMOOTHING: f64 = 0.05;

impl Bigrams {
    /// From the bigrams among a parameter's traits.
    pub(crate) fn of(stats: &Table<u16>, quota: usize) -> Self {
        let entries: Vec<(usize, usize, f64, bool)> = stats
            .entries
            .iter()
            .filter(|entry| entry.key >= traits::BIGRAM)
            .map(|entry| {
                let bigram = usize::from(entry.key - traits::BIGRAM);
                let (first, second) = (bigram / ALPHABET, bigram % ALPHABET);
                (
                    first,
                    second,
                    f64::from(entry.count),
                    entry.is_admitted(quota),
                )
            })
            .collect();
        let mut totals = [0.0; ALPHABET];
        for &(first, _, count, admitted) in &entries {
            totals[first] += if admitted { count } else { 0.0 };
        }
        let log = |count: f64, total: f64| {
            ((count + SMOOTHING) / (total + SMOOTHING * ALPHABET as f64)).ln()
        };
        let mut bigrams = Self {
            rows: [u8::MAX; ALPHABET],
            cells: Box::default(),
            mean: Moments::of(
                entries.iter().map(|&(first, _, count, admitted)| {
                    // As if the transition itself had not been seen: its probability out of sample.
                    let (own, total) = if admitted {
                        (count - 1.0, totals[first] - 1.0)
                    } else {
                        (0.0, totals[first])
                    };
                    (log(own, total), count)
                }),
                0.3,
            ),
        };
        let mut cells: Vec<[u8; ALPHABET]> = Vec::new();
        for (symbol, total) in totals.into_iter().enumerate() {
            if total > 0.0 {
                bigrams.rows[symbol] = cells.len() as u8;
                cells.push([quantised(log(0.0, total)); ALPHABET]);
            }
        }
        for &(first, second, count, admitted) in &entries {
            if let Some(row) = cells.get_mut(usize::from(bigrams.rows[first]))
                && admitted
            {
                row[second] = quantised(log(count, totals[first]));
            }
        }
        bigrams.cells = cells.into();
        bigrams
    }

    /// Writes the mean's z-score and the least likely transition.
    pub(crate) fn write(&self, value: &[u8], out: &mut [f32]) {
        let unknown = quantised(-(ALPHABET as f64).ln());
        let (mut sum, mut worst, mut count) = (0u32, 0u8, 0u32);
        for bigram in symbols::bigrams(value) {
            let (first, second) = (
                usize::from(bigram) / ALPHABET,
                usize::from(bigram) % ALPHABET,
            );
            let cell = self
                .cells
                .get(usize::from(self.rows[first]))
                .map_or(unknown, |row| row[second]);
            sum += u32::from(cell);
            worst = worst.max(cell);
            count += 1;
        }
        let mean = -(sum as f32) / STEPS / count.max(1) as f32;
        // Neighbouring transitions are not independent: more than 16 of them make no surer.
        let sure = (count.min(16) as f32).sqrt();
        out[column::BIGRAM_MEAN] = (self.mean.z(mean) * sure).clamp(-CLIP, CLIP);
        // One in a thousand is nothing special in text.
        out[column::BIGRAM_WORST] = (f32::from(worst) / STEPS - 7.0).clamp(0.0, CLIP);
    }
}

fn quantised(logarithm: f64) -> u8 {
    (-logarithm as f32 * STEPS).round().clamp(0.0, 255.0) as u8
}
