//! Sums over the few columns of a row that are not zero: `zero + sum of difference x weights of the column`.
//!
//! Not here: where the weights come from (`fold`).

use pulp::Simd;

use super::dense::leaky;

/// A column whose value is not that of a zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) column: u32,
    pub(super) value: f32,
    /// How far the value is from that of a zero.
    pub(super) by: f64,
}

impl Difference {
    #[inline(always)]
    pub(super) fn column(&self) -> usize {
        self.column as usize
    }
}

/// Outputs are filled up to a multiple of this many.
const TILE: usize = 128;
/// Twice so many vectors' sums are under way at a time: an addition takes as long as eight begin.
const GROUP: usize = 4;
/// From so many lanes on there are registers for 64 sums of 64 bits.
const WIDE_LANES: usize = 16;

/// Weights that begin where a line of the processor's caches does, so that none is read across two.
#[derive(Clone, Copy)]
#[repr(align(64))]
pub(super) struct Aligned<T>(pub(super) T);

/// Sums in 32 bits.
pub(super) struct Columns {
    /// The sums of a row of zeros.
    zero: Vec<[f32; TILE]>,
    /// The tiles of each column.
    columns: Vec<Aligned<[f32; TILE]>>,
}

/// Sums in 64 bits, of weights that were rounded to 32: what they are read from fits a processor's second cache.
pub(super) struct Wide {
    zero: Vec<[f64; TILE]>,
    columns: Vec<Aligned<[f32; TILE]>>,
}

impl Columns {
    /// Of the sums for a row of zeros, and what one more in each column adds to each of them.
    pub(super) fn new(zero: &[f64], columns: impl Iterator<Item = Vec<f64>>) -> Self {
        Self {
            zero: tiles(zero, round),
            columns: aligned(columns),
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
            let sums = pairs_mut::<S>(sums).iter_mut().zip(pairs::<S>(zero));
            for (pair, (sums, zero)) in sums.enumerate() {
                let [mut one, mut two] = *zero;
                for difference in differences {
                    let tile = difference.column() * self.zero.len() + at;
                    let Aligned(tile) = self.columns.get(tile).unwrap_or(&Aligned([0.0; TILE]));
                    let Some([first, second]) = pairs::<S>(tile).get(pair) else {
                        continue;
                    };
                    let by = simd.splat_f32s(round(difference.by));
                    for (sum, weight) in one.iter_mut().zip(first) {
                        *sum = simd.mul_add_f32s(*weight, by, *sum);
                    }
                    for (sum, weight) in two.iter_mut().zip(second) {
                        *sum = simd.mul_add_f32s(*weight, by, *sum);
                    }
                }
                leaky(simd, &mut one, slope);
                leaky(simd, &mut two, slope);
                *sums = [one, two];
            }
        }
    }
}

/// Two groups of vectors.
type Pair<S> = [[<S as Simd>::f32s; GROUP]; 2];

#[inline(always)]
fn pairs<S: Simd>(tile: &[f32; TILE]) -> &[Pair<S>] {
    let groups = S::as_simd_f32s(tile).0.as_chunks::<GROUP>().0;
    groups.as_chunks::<2>().0
}

#[inline(always)]
fn pairs_mut<S: Simd>(tile: &mut [f32; TILE]) -> &mut [Pair<S>] {
    let groups = S::as_mut_simd_f32s(tile).0.as_chunks_mut::<GROUP>().0;
    groups.as_chunks_mut::<2>().0
}

impl Wide {
    /// As [`Columns::new`].
    pub(super) fn new(zero: &[f64], columns: impl Iterator<Item = Vec<f64>>) -> Self {
        Self {
            zero: tiles(zero, |value| value),
            columns: aligned(columns),
        }
    }

    /// Sums of a row, those that fill the last tile up included.
    pub(super) fn outputs(&self) -> usize {
        self.zero.len() * TILE
    }

    /// The sums of a row.
    #[inline(always)]
    pub(super) fn sums<S: Simd>(&self, _simd: S, differences: &[Difference], sums: &mut [f64]) {
        if S::F32_LANES >= WIDE_LANES {
            self.sums_by::<64>(differences, sums);
        } else {
            self.sums_by::<32>(differences, sums);
        }
    }

    /// With so many sums under way at a time. Written without `pulp`, which has no way from 32 to 64 bits; in a function that it
    /// dispatches to, the compiler uses the same instructions.
    #[inline(always)]
    fn sums_by<const GROUP: usize>(&self, differences: &[Difference], sums: &mut [f64]) {
        let tiles = sums.as_chunks_mut::<TILE>().0.iter_mut();
        for (at, (sums, zero)) in tiles.zip(&self.zero).enumerate() {
            let groups = sums.as_chunks_mut::<GROUP>().0.iter_mut();
            let zeros = zero.as_chunks::<GROUP>().0;
            for (group, (sums, zero)) in groups.zip(zeros).enumerate() {
                let mut sum = *zero;
                for difference in differences {
                    let tile = difference.column() * self.zero.len() + at;
                    let Aligned(tile) = self.columns.get(tile).unwrap_or(&Aligned([0.0; TILE]));
                    let Some(weights) = tile.as_chunks::<GROUP>().0.get(group) else {
                        continue;
                    };
                    for (sum, weight) in sum.iter_mut().zip(weights) {
                        *sum = f64::from(*weight).mul_add(difference.by, *sum);
                    }
                }
                *sums = sum;
            }
        }
    }
}

fn aligned(columns: impl Iterator<Item = Vec<f64>>) -> Vec<Aligned<[f32; TILE]>> {
    let tiles = columns.flat_map(|column| tiles(&column, round));
    tiles.map(Aligned).collect()
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
