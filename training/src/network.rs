//! The two autoencoders as burn modules, and the plain weights they are exchanged in.
//!
//! Must not be here: losses, schedules and data order (see `train`), nor any file format (see `export`).

mod autoencoder;
mod weights;

pub(crate) use autoencoder::floats;
pub use autoencoder::{FieldAutoencoder, RequestAutoencoder};
pub use weights::{Activation, Layer, Weights};

/// Slope of every LeakyReLU below zero.
pub const LEAKY_SLOPE: f64 = 0.2;

/// Hidden sizes of the request autoencoder, outermost first; input and output are the 35 request features.
pub const REQUEST_HIDDEN: [usize; 3] = [24, 12, 6];

/// All layer widths of a symmetric autoencoder: `[width, outer, .., inner, .., outer, width]`.
#[must_use]
pub fn symmetric(width: usize, hidden: &[usize]) -> Vec<usize> {
    let mirrored = hidden.iter().rev().skip(1);
    std::iter::once(width)
        .chain(hidden.iter().copied())
        .chain(mirrored.copied())
        .chain(std::iter::once(width))
        .collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn symmetric_mirrors_the_hidden_sizes() {
        assert_eq!(
            super::symmetric(35, &super::REQUEST_HIDDEN),
            [35, 24, 12, 6, 12, 24, 35]
        );
        assert_eq!(super::symmetric(9, &[4]), [9, 4, 9]);
    }
}
