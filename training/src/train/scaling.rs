//! How raw features become network inputs: standardisation for field rows, training ranges for request vectors.
//!
//! Must not be here: the ONNX form of the same arithmetic (see `export`); `tests/parity.rs` holds the two together.

use ndarray::{Array1, Array2, ArrayView2, Axis};

/// A feature that is constant in normal traffic must be able to speak, yet not explode (detector.md).
const DEVIATION_FLOOR: f32 = 0.05;

/// Standardised inputs stay within plus and minus this.
pub const CLIP: f32 = 8.0;

/// Mean and deviation of each feature of the training rows.
#[derive(Debug, Clone, PartialEq)]
pub struct Standardisation {
    /// Means.
    pub mean: Array1<f32>,
    /// Reciprocals of the deviations; multiplying is what the graph does.
    pub inverse: Array1<f32>,
}

impl Standardisation {
    /// Fitted on `rows`, each counted as often as `copies` says; empty: once each.
    #[must_use]
    #[expect(
        clippy::cast_possible_truncation,
        reason = "sums in f64, parameters in f32"
    )]
    pub fn fit(rows: ArrayView2<'_, f32>, copies: &[u32]) -> Self {
        let copies = |row: usize| copies.get(row).map_or(1.0, |&copies| f64::from(copies));
        let mut count = 0.0;
        let mut mean = Array1::<f64>::zeros(rows.ncols());
        for (i, row) in rows.rows().into_iter().enumerate() {
            mean.zip_mut_with(&row, |m, &x| *m += copies(i) * f64::from(x));
            count += copies(i);
        }
        let count = f64::max(count, 1.0);
        mean /= count;
        let mut variance = Array1::<f64>::zeros(rows.ncols());
        for (i, row) in rows.rows().into_iter().enumerate() {
            let moments = ndarray::Zip::from(&mut variance).and(&row).and(&mean);
            moments.for_each(|v, &x, &m| *v += copies(i) * (f64::from(x) - m).powi(2));
        }
        let inverse = variance.mapv(|v| 1.0 / ((v / count).sqrt() as f32).max(DEVIATION_FLOOR));
        Self {
            mean: mean.mapv(|m| m as f32),
            inverse,
        }
    }

    /// Standardises and clips `rows` in place.
    pub fn apply(&self, rows: &mut Array2<f32>) {
        let mean = self.mean.view().insert_axis(Axis(0));
        let inverse = self.inverse.view().insert_axis(Axis(0));
        *rows -= &mean;
        *rows *= &inverse;
        rows.mapv_inplace(|x| x.clamp(-CLIP, CLIP));
    }
}

/// The training range of each request feature, and what stands in for a missing one.
#[derive(Debug, Clone, PartialEq)]
pub struct Range {
    /// Smallest training value.
    pub low: Array1<f32>,
    /// Reciprocal of the width of the range; 1 for a constant feature, so that leaving the constant shows.
    pub inverse: Array1<f32>,
    /// Median of the training values: replaces NaN before the network runs.
    pub missing: Array1<f32>,
}

impl Range {
    /// Fitted on vectors that may contain NaN.
    #[must_use]
    pub fn fit(vectors: ArrayView2<'_, f32>) -> Self {
        let mut range = Self {
            low: Array1::zeros(vectors.ncols()),
            inverse: Array1::ones(vectors.ncols()),
            missing: Array1::zeros(vectors.ncols()),
        };
        let parameters = range
            .low
            .iter_mut()
            .zip(&mut range.inverse)
            .zip(&mut range.missing);
        for (column, ((low, inverse), missing)) in vectors.columns().into_iter().zip(parameters) {
            let mut known: Vec<f32> = column.iter().copied().filter(|x| x.is_finite()).collect();
            known.sort_by(f32::total_cmp);
            let (Some(&first), Some(&last)) = (known.first(), known.last()) else {
                continue;
            };
            *low = first;
            if last - first > f32::EPSILON {
                *inverse = 1.0 / (last - first);
            }
            *missing = known.get(known.len() / 2).copied().unwrap_or(first);
        }
        range
    }

    /// Fills, scales into the range and clips `vectors` in place.
    pub fn apply(&self, vectors: &mut Array2<f32>) {
        for mut vector in vectors.rows_mut() {
            for (x, missing) in vector.iter_mut().zip(&self.missing) {
                if x.is_nan() {
                    *x = *missing;
                }
            }
        }
        *vectors -= &self.low.view().insert_axis(Axis(0));
        *vectors *= &self.inverse.view().insert_axis(Axis(0));
        vectors.mapv_inplace(|x| x.clamp(0.0, 1.0));
    }
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use ndarray::array;

    use super::*;

    #[test]
    fn a_constant_feature_speaks_but_does_not_explode() {
        let scaling = Standardisation::fit(array![[1.0, 5.0], [3.0, 5.0]].view(), &[]);
        let mut rows = array![[2.0, 5.1], [1000.0, 6.0]];
        scaling.apply(&mut rows);
        assert!((rows[[0, 1]] - 2.0).abs() < 1e-3);
        assert_eq!(rows.row(1).to_vec(), [CLIP, CLIP]);
    }

    #[test]
    fn copies_count_as_repetition() {
        let copied = Standardisation::fit(array![[1.0], [4.0]].view(), &[3, 1]);
        let repeated = Standardisation::fit(array![[1.0], [1.0], [1.0], [4.0]].view(), &[]);
        assert_eq!(copied, repeated);
    }

    #[test]
    fn missing_values_take_the_median() {
        let range = Range::fit(array![[0.0, f32::NAN], [2.0, f32::NAN], [10.0, f32::NAN]].view());
        let mut vectors = array![[f32::NAN, 3.0], [20.0, f32::NAN]];
        range.apply(&mut vectors);
        assert_eq!(vectors, array![[0.2, 1.0], [1.0, 0.0]]);
    }
}
