//! From layers to sums: what is known ahead of the row is computed here, in 64 bits, once for each bundle.
//!
//! Not here: anything that a request waits for but [`cross`].

use ndarray::{Array1, Array2, ArrayView1, Axis};

use super::columns::{Columns, Wide};
use super::dense::Dense;
use super::read::{Layer, Layers};
use super::{Member, Square};

/// What a column must keep beside those before it to count as independent of them.
const INDEPENDENT: f64 = 1e-12;

/// A member that computes what its layers say; `zero` is the network's input for a row of zeros.
pub(super) fn member(layers: &Layers, zero: &[f32]) -> Member {
    let zero: Array1<f64> = zero.iter().map(|value| f64::from(*value)).collect();
    let Layers {
        first,
        hidden,
        last,
        residual_scale,
    } = layers;
    let sums = zero.dot(&first.weight) + &first.bias;
    let hidden = hidden.iter().map(|layer| (dense(layer), layer.slope));
    let (basis, triangle) = decompose(&last.weight.t().to_owned(), residual_scale);
    let deviation = (&zero - &last.bias) * residual_scale;
    let mut along = basis.clone();
    for (mut row, scale) in along.rows_mut().into_iter().zip(residual_scale) {
        row *= *scale;
    }
    Member {
        first: Columns::new(&to_vec(&sums), rows(&first.weight)),
        first_slope: first.slope,
        hidden: hidden.collect(),
        last: Dense::new(
            triangle.ncols(),
            &vec![0.0; triangle.nrows()],
            |input, output| triangle.get((output, input)).copied().unwrap_or(0.0),
        ),
        along: Wide::new(&to_vec(&deviation.dot(&basis)), rows(&along)),
        square: Square {
            zero: deviation.dot(&deviation),
            columns: deviation
                .iter()
                .zip(residual_scale)
                .map(|(deviation, scale)| (2.0 * deviation * scale, scale * scale))
                .collect(),
        },
    }
}

fn dense(layer: &Layer) -> Dense {
    Dense::new(
        layer.weight.nrows(),
        &to_vec(&layer.bias),
        |input, output| layer.weight.get((input, output)).copied().unwrap_or(0.0),
    )
}

fn to_vec(values: &Array1<f64>) -> Vec<f64> {
    values.iter().copied().collect()
}

fn rows(matrix: &Array2<f64>) -> impl Iterator<Item = Vec<f64>> {
    matrix.rows().into_iter().map(|row| row.to_vec())
}

/// `scale x matrix` as an orthonormal basis of its columns' range and an upper triangle: Gram-Schmidt, each column twice (Giraud et
/// al., "The loss of orthogonality in the Gram-Schmidt orthogonalization process", 2005). A column that adds nothing gets zeros for a basis.
fn decompose(matrix: &Array2<f64>, scale: &Array1<f64>) -> (Array2<f64>, Array2<f64>) {
    let count = matrix.ncols();
    let mut basis = matrix * &scale.view().insert_axis(Axis(1));
    let mut triangle = Array2::<f64>::zeros((count, count));
    for at in 0..count {
        let (before, mut rest) = basis.view_mut().split_at(Axis(1), at);
        let mut column = rest.column_mut(0);
        let length = norm(column.view());
        for _twice in 0..2 {
            let shares = before.t().dot(&column);
            column -= &before.dot(&shares);
            let mut entries = triangle.column_mut(at);
            entries
                .iter_mut()
                .zip(&shares)
                .for_each(|(entry, share)| *entry += share);
        }
        let left = norm(column.view());
        if left <= INDEPENDENT * length {
            column.fill(0.0);
            continue;
        }
        column /= left;
        if let Some(entry) = triangle.get_mut((at, at)) {
            *entry = left;
        }
    }
    (basis, triangle)
}

fn norm(vector: ArrayView1<'_, f64>) -> f64 {
    vector.dot(&vector).sqrt()
}

/// `|y|^2 - 2 p.y` for what the row has along the basis and what the output has.
#[inline(always)]
pub(super) fn cross(along: &[f64], output: &[f32], count: usize) -> f64 {
    const LANES: usize = 16;
    let along = along.as_chunks::<LANES>().0.iter();
    let output = output.as_chunks::<LANES>().0.iter();
    let mut sums = [0.0; LANES];
    for (along, output) in along.zip(output).take(count / LANES) {
        for ((sum, along), output) in sums.iter_mut().zip(along).zip(output) {
            let output = f64::from(*output);
            *sum += output * (output - 2.0 * along);
        }
    }
    sums.iter().sum()
}
