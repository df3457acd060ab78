//! Sums over the few columns of a row that are not zero: `zero + sum of difference x weights of the column`.
//!
//! Not here: where the weights come from (`fold`).

use pulp::Simd;

/// A column whose value is not that of a zero.
#[derive(Clone, Copy, Debug)]
pub(super) struct Difference {
    pub(super) column: usize,
    pub(super) by: f64,
}

/// Vectors whose sums are under way at a time: an addition takes as long as four begin.
const GROUP: usize = 4;

macro_rules! sums {
    ($name:ident, $float:ty, $tile:literal, $vectors:ident, $vectors_mut:ident, $splat:ident, $mul_add:ident) => {
        #[doc = concat!("Sums in ", stringify!($float), ", in tiles of ", $tile, " outputs.")]
        pub(super) struct $name {
            /// The sums of a row of zeros.
            zero: Vec<[$float; $tile]>,
            /// The tiles of each column.
            columns: Vec<[$float; $tile]>,
        }

        impl $name {
            /// Of the sums for a row of zeros, and what one more in each column adds to each of them.
            pub(super) fn new(zero: &[f64], columns: impl Iterator<Item = Vec<f64>>) -> Self {
                Self {
                    zero: Self::tiles(zero).collect(),
                    columns: columns
                        .flat_map(|column| Self::tiles(&column).collect::<Vec<_>>())
                        .collect(),
                }
            }

            #[allow(
                clippy::cast_possible_truncation,
                clippy::unnecessary_cast,
                reason = "rounds to the width that is summed in, where it is another"
            )]
            fn tiles(values: &[f64]) -> impl Iterator<Item = [$float; $tile]> {
                values.chunks($tile).map(|chunk| {
                    let mut tile = [0.0; $tile];
                    for (to, from) in tile.iter_mut().zip(chunk) {
                        *to = *from as $float;
                    }
                    tile
                })
            }

            /// Sums of a row, those that fill the last tile up included.
            pub(super) fn outputs(&self) -> usize {
                self.zero.len() * $tile
            }

            #[inline(always)]
            #[allow(
                clippy::cast_possible_truncation,
                clippy::unnecessary_cast,
                reason = "rounds to the width that is summed in, where it is another"
            )]
            pub(super) fn sums<S: Simd>(
                &self,
                simd: S,
                differences: &[Difference],
                sums: &mut [$float],
            ) {
                let tiles = sums.as_chunks_mut::<$tile>().0.iter_mut();
                for (at, (sums, zero)) in tiles.zip(&self.zero).enumerate() {
                    let groups = S::$vectors_mut(sums).0.as_chunks_mut::<GROUP>().0;
                    let zeros = S::$vectors(zero).0.as_chunks::<GROUP>().0;
                    for (group, (sums, zero)) in groups.iter_mut().zip(zeros).enumerate() {
                        let mut sum = *zero;
                        for difference in differences {
                            let tile = difference.column * self.zero.len() + at;
                            let tile = self.columns.get(tile).unwrap_or(zero_tile());
                            let weights = S::$vectors(tile).0.as_chunks::<GROUP>().0;
                            let Some(weights) = weights.get(group) else {
                                continue;
                            };
                            let by = simd.$splat(difference.by as $float);
                            for (sum, weight) in sum.iter_mut().zip(weights) {
                                *sum = simd.$mul_add(*weight, by, *sum);
                            }
                        }
                        *sums = sum;
                    }
                }

                const fn zero_tile() -> &'static [$float; $tile] {
                    &[0.0; $tile]
                }
            }
        }
    };
}

sums!(
    Columns,
    f32,
    64,
    as_simd_f32s,
    as_mut_simd_f32s,
    splat_f32s,
    mul_add_f32s
);
sums!(
    Wide,
    f64,
    32,
    as_simd_f64s,
    as_mut_simd_f64s,
    splat_f64s,
    mul_add_f64s
);
