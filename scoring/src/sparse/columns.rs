//! Sums over the few columns of a row that are not zero: `zero + sum of difference x weights of the column`.
//!
//! Not here: where the weights come from (`fold`).

use pulp::Simd;

use super::dense::leaky;

/// A column whose value is not that of a zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) column: usize,
    pub(super) by: f64,
}

/// Outputs that are summed at a time in 32 bits.
const TILE: usize = 64;
/// Vectors whose sums are under way at a time: an addition takes as long as four begin.
const GROUP: usize = 4;
/// Outputs that are summed at a time in 64 bits: four vectors of the widest kind, eight of the next.
const WIDE_TILE: usize = 32;

/// Sums in 32 bits.
pub(super) struct Columns {
    /// The sums of a row of zeros.
    zero: Vec<[f32; TILE]>,
    /// The tiles of each column.
    columns: Vec<[f32; TILE]>,
}

/// Sums in 64 bits, of weights that were rounded to 32: what they are read from fits a processor's second cache.
pub(super) struct Wide {
    zero: Vec<[f64; WIDE_TILE]>,
    columns: Vec<[f32; WIDE_TILE]>,
}

impl Columns {
    /// Of the sums for a row of zeros, and what one more in each column adds to each of them.
    pub(super) fn new(zero: &[f64], columns: impl Iterator<Item = Vec<f64>>) -> Self {
        Self {
            zero: tiles(zero, round),
            columns: columns.flat_map(|column| tiles(&column, round)).collect(),
        }
    }

    /// Sums of a row, those that fill the last tile up included.
    pub(super) fn outputs(&self) -> usize {
        self.zero.len() * TILE
    }

    /// The sums of a row, after a `LeakyRelu` of this slope.
    #[inline(always)]
    pub(super) fn sums<S: Simd>(
        &self,
        simd: S,
        differences: &[Difference],
        slope: f32,
        sums: &mut [f32],
    ) {
        let tiles = sums.as_chunks_mut::<TILE>().0.iter_mut();
        for (at, (sums, zero)) in tiles.zip(&self.zero).enumerate() {
            let groups = S::as_mut_simd_f32s(sums).0.as_chunks_mut::<GROUP>().0;
            let zeros = S::as_simd_f32s(zero).0.as_chunks::<GROUP>().0;
            for (group, (sums, zero)) in groups.iter_mut().zip(zeros).enumerate() {
                let mut sum = *zero;
                for difference in differences {
                    let tile = difference.column * self.zero.len() + at;
                    let tile = self.columns.get(tile).unwrap_or(&[0.0; TILE]);
                    let weights = S::as_simd_f32s(tile).0.as_chunks::<GROUP>().0;
                    let Some(weights) = weights.get(group) else {
                        continue;
                    };
                    let by = simd.splat_f32s(round(difference.by));
                    for (sum, weight) in sum.iter_mut().zip(weights) {
                        *sum = simd.mul_add_f32s(*weight, by, *sum);
                    }
                }
                *sums = sum.map(|sum| leaky(simd, sum, slope));
            }
        }
    }
}

impl Wide {
    /// As [`Columns::new`].
    pub(super) fn new(zero: &[f64], columns: impl Iterator<Item = Vec<f64>>) -> Self {
        Self {
            zero: tiles(zero, |value| value),
            columns: columns.flat_map(|column| tiles(&column, round)).collect(),
        }
    }

    /// Sums of a row, those that fill the last tile up included.
    pub(super) fn outputs(&self) -> usize {
        self.zero.len() * WIDE_TILE
    }

    /// The sums of a row. Written without `pulp`, which has no way from 32 to 64 bits; in a function that it dispatches to, the compiler uses the same
    /// instructions.
    #[inline(always)]
    pub(super) fn sums(&self, differences: &[Difference], sums: &mut [f64]) {
        let tiles = sums.as_chunks_mut::<WIDE_TILE>().0.iter_mut();
        for (at, (sums, zero)) in tiles.zip(&self.zero).enumerate() {
            let mut sum = *zero;
            for difference in differences {
                let tile = difference.column * self.zero.len() + at;
                let tile = self.columns.get(tile).unwrap_or(&[0.0; WIDE_TILE]);
                for (sum, weight) in sum.iter_mut().zip(tile) {
                    *sum = f64::from(*weight).mul_add(difference.by, *sum);
                }
            }
            *sums = sum;
        }
    }
}

/// Values in tiles, the last one filled up with zeros.
fn tiles<T: Copy + Default, const TILE: usize>(
    values: &[f64],
    convert: impl Fn(f64) -> T,
) -> Vec<[T; TILE]> {
    let chunks = values.chunks(TILE).map(|chunk| {
        let mut tile = [T::default(); TILE];
        for (to, from) in tile.iter_mut().zip(chunk) {
            *to = convert(*from);
        }
        tile
    });
    chunks.collect()
}

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "rounds")]
fn round(value: f64) -> f32 {
    value as f32
}
