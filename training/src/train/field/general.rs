//! Rows that a tuned network goes on seeing, and the lottery that rows are drawn from.
//!
//! Must not be here: how such rows are made (`fit::field`).

use ndarray::ArrayView2;

/// One general row is drawn for so many of the site's own.
pub const GENERAL_PART: usize = 3;

/// Ordinary rows that are no site's own, drawn beside the normal ones.
#[derive(Debug, Clone, Copy)]
pub struct General<'a> {
    /// The rows, as sites without a profile have them.
    pub rows: ArrayView2<'a, f32>,
    /// How many times each stands in the lottery.
    pub copies: &'a [u32],
}

/// The rows, each as often as it has copies.
pub(super) fn lottery(rows: usize, copies: &[u32]) -> Vec<usize> {
    let copies = |row: usize| copies.get(row).copied().unwrap_or(1) as usize;
    (0..rows)
        .flat_map(|row| std::iter::repeat_n(row, copies(row)))
        .collect()
}
