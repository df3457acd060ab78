//! The networks of a field detector with all that makes an error out of a raw row, and their ONNX file.
//!
//! Must not be here: how they are trained.

use ndarray::{Array1, Array2, Axis, Slice};
use weir_features::FIELD_WIDTH;

use super::PROFILE;
use crate::export::{field_model, read_field};
use crate::network::Weights;
use crate::train::{Standardisation, joint_errors};

/// Field networks with everything that makes an error out of a raw row.
#[derive(Debug, Clone)]
pub struct FieldDetector {
    /// The networks, of one shape, trained alike from different seeds.
    pub members: Vec<Weights>,
    /// What its inputs go through.
    pub scaling: Standardisation,
    /// What its residuals are divided by: ones for the plain error.
    pub sigma: Array1<f32>,
}

impl FieldDetector {
    /// The detector of a field model that `weir-train` exported.
    ///
    /// # Errors
    /// When the file is something else.
    pub fn from_model(bytes: &[u8]) -> anyhow::Result<Self> {
        let (members, scaling, sigma) = read_field(bytes)?;
        anyhow::ensure!(
            scaling.mean.len() == FIELD_WIDTH,
            "the base's rows have {} features, this weir-train makes {FIELD_WIDTH}; train without --base",
            scaling.mean.len()
        );
        Ok(Self {
            members,
            scaling,
            sigma,
        })
    }

    /// True when residuals are normalised.
    #[must_use]
    pub fn normalised(&self) -> bool {
        self.sigma.iter().any(|&sigma| (sigma - 1.0).abs() > 1e-5)
    }

    /// The ONNX file.
    #[must_use]
    pub fn model(&self) -> Vec<u8> {
        field_model(
            &self.members,
            &self.scaling,
            &self.sigma,
            &weir_features::schema::fingerprint(),
        )
    }

    /// The error of each raw row, as the exported graph computes it.
    #[must_use]
    pub fn errors(&self, mut rows: Array2<f32>) -> Vec<f32> {
        self.scaling.apply(&mut rows);
        joint_errors(&self.members, rows.view(), Some(&self.sigma))
    }

    /// The error that each raw row would have if nothing were known of its site.
    #[must_use]
    pub fn errors_without_profile(&self, mut rows: Array2<f32>) -> Vec<f32> {
        rows.slice_axis_mut(Axis(1), Slice::from(PROFILE)).fill(0.0);
        self.errors(rows)
    }
}
