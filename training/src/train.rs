//! The training loops: batches in, frozen weights out.
//!
//! Must not be here: files, requests or calibration. A loop sees matrices and a seed.

mod field;
mod request;
mod scaling;
mod schedule;

pub use field::{
    FieldOptions, FieldRows, FieldStart, FieldTraining, GENERAL_PART, General, train_field,
};
pub use request::{RequestOptions, RequestTraining, train_request};
pub use scaling::{CLIP, Range, Standardisation};

use ndarray::{Array1, Array2, ArrayView2, Axis};

use crate::network::Weights;

/// Rows a forward pass outside training takes at once: bounds the memory of the activations.
const FORWARD_ROWS: usize = 4096;

/// Rows that are enough to know the deviation of a residual.
const SIGMA_ROWS: usize = 50_000;

/// Mean squared reconstruction error of each row, and with `sigma` the residual-normalised one.
#[must_use]
pub fn errors(
    weights: &Weights,
    rows: ArrayView2<'_, f32>,
    sigma: Option<&Array1<f32>>,
) -> Vec<f32> {
    let mut errors = Vec::with_capacity(rows.nrows());
    for chunk in rows.axis_chunks_iter(Axis(0), FORWARD_ROWS) {
        let mut residuals = residuals(weights, chunk);
        if let Some(sigma) = sigma {
            residuals /= &sigma.view().insert_axis(Axis(0));
        }
        residuals.mapv_inplace(|r| r * r);
        errors.extend(residuals.mean_axis(Axis(1)).into_iter().flatten());
    }
    errors
}

/// Error of each row by several networks: the geometric mean of what each of them says. An odd row of normal traffic upsets one
/// network or another, an attack all of them.
#[must_use]
pub fn joint_errors(
    members: &[Weights],
    rows: ArrayView2<'_, f32>,
    sigma: Option<&Array1<f32>>,
) -> Vec<f32> {
    let Some((first, others)) = members.split_first() else {
        return vec![0.0; rows.nrows()];
    };
    let mut joint = errors(first, rows, sigma);
    if others.is_empty() {
        return joint;
    }
    for member in others {
        let errors = errors(member, rows, sigma);
        joint
            .iter_mut()
            .zip(errors)
            .for_each(|(joint, error)| *joint *= error);
    }
    let power = root(members.len());
    joint
        .iter_mut()
        .for_each(|joint| *joint = joint.powf(power));
    joint
}

/// What makes a mean of a sum over `members`, and of the exponent of their product a geometric mean.
#[must_use]
#[expect(clippy::cast_precision_loss, reason = "a handful of networks")]
pub fn root(members: usize) -> f32 {
    1.0 / members.max(1) as f32
}

/// Deviation of the residuals of each feature over rows (at most 50,000 of them), at least `floor`. `copies` says how
/// often each row counts; empty: once each.
#[must_use]
pub fn residual_sigma(
    weights: &Weights,
    rows: ArrayView2<'_, f32>,
    copies: &[u32],
    floor: f32,
) -> Array1<f32> {
    let (rows, _) = rows.split_at(Axis(0), rows.nrows().min(SIGMA_ROWS));
    let mut copies = copies
        .iter()
        .map(|&copies| f64::from(copies))
        .chain(std::iter::repeat(1.0));
    let mut sum = Array1::<f64>::zeros(rows.ncols());
    let mut count = 0.0;
    for chunk in rows.axis_chunks_iter(Axis(0), FORWARD_ROWS) {
        for (residuals, copies) in residuals(weights, chunk)
            .rows()
            .into_iter()
            .zip(&mut copies)
        {
            sum.zip_mut_with(&residuals, |sum, &r| {
                *sum += copies * f64::from(r) * f64::from(r)
            });
            count += copies;
        }
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "weights and residuals are f32 throughout"
    )]
    sum.mapv(|s| ((s / f64::max(count, 1.0)).sqrt() as f32).max(floor))
}

fn residuals(weights: &Weights, rows: ArrayView2<'_, f32>) -> Array2<f32> {
    let mut output = weights.forward(rows);
    output -= &rows;
    output
}
