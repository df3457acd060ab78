//! The choice between the two ways from rows to errors: the sparse pass where it is proven to agree, else ONNX Runtime.
//!
//! Not here: the arithmetic of either (`sparse`, `ort`).

use std::fmt;

use ndarray::{Array2, Axis};
use serde::Serialize;

use super::Engine;
use crate::bundle::GoldenRows;
use crate::gate::InspectedModel;
use crate::ort::{ExecutionProvider, Session, SessionError};
use crate::sparse::{Network, Workspace};

/// How far the two may be apart, relative to the error or, for a small one, to [`FLOOR`]. Found are a few in ten million.
const AGREEMENT: f32 = 1e-5;
const FLOOR: f32 = 1e-3;

/// What turns rows into errors, where they are not scored in batches.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ForwardPass {
    /// Weir's own pass for rows that are mostly zeros.
    Sparse,
    /// A session of the worker's.
    OnnxRuntime,
}

impl fmt::Display for ForwardPass {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Sparse => "sparse",
            Self::OnnxRuntime => "onnxruntime",
        })
    }
}

impl Engine {
    /// The engine without the sparse pass: for tests and measurements that compare the two ways.
    #[must_use]
    pub fn through_onnxruntime(mut self) -> Self {
        self.sparse = None;
        self
    }

    /// What turns rows into errors, where they are not scored in batches.
    #[must_use]
    pub fn forward_pass(&self) -> ForwardPass {
        match self.sparse {
            Some(_) => ForwardPass::Sparse,
            None => ForwardPass::OnnxRuntime,
        }
    }
}

/// Why the sparse pass is not used.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("{0}")]
    Unsupported(#[from] crate::sparse::Unsupported),
    #[error("the networks run on {0}")]
    Provider(ExecutionProvider),
    #[error("its check did not run: {0}")]
    Session(#[from] SessionError),
    #[error("it gives error {found} for check row {row}, ONNX Runtime {expected}")]
    Disagrees {
        row: usize,
        found: f32,
        expected: f32,
    },
}

/// The sparse pass of a model, if it computes what the session does.
pub(super) fn choose(
    model: &InspectedModel,
    session: &mut Session,
    golden: &GoldenRows,
    provider: ExecutionProvider,
) -> Option<Network> {
    match proven(model, session, golden, provider) {
        Ok(network) => Some(network),
        Err(why @ Refusal::Provider(_)) => {
            tracing::debug!(%why, "rows are scored by ONNX Runtime");
            None
        }
        Err(why) => {
            tracing::warn!(%why, "rows are scored by ONNX Runtime alone, which takes several times as long");
            None
        }
    }
}

fn proven(
    model: &InspectedModel,
    session: &mut Session,
    golden: &GoldenRows,
    provider: ExecutionProvider,
) -> Result<Network, Refusal> {
    if provider != ExecutionProvider::Cpu {
        return Err(Refusal::Provider(provider));
    }
    let network = Network::read(model)?;
    let rows = check_rows(golden, network.width());
    let (mut found, mut expected) = (Vec::new(), Vec::new());
    network.errors(rows.view(), &mut Workspace::default(), &mut found)?;
    session.errors(rows.view(), &mut expected)?;
    for (row, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        if (found - expected).abs() > AGREEMENT * expected.abs().max(FLOOR) {
            return Err(Refusal::Disagrees {
                row,
                found,
                expected,
            });
        }
    }
    Ok(network)
}

/// The golden rows, each as it is and with one column in three as zeros, so that no column is always beside the same others; and zeros.
fn check_rows(golden: &GoldenRows, width: usize) -> Array2<f32> {
    const KINDS: usize = 4;
    let mut rows = Array2::zeros((golden.rows.len() * KINDS + 1, width));
    let mut free = rows.axis_iter_mut(Axis(0));
    for golden in &golden.rows {
        for (kind, mut row) in (0..KINDS).zip(&mut free) {
            for (column, (to, from)) in row.iter_mut().zip(golden).enumerate() {
                if kind == KINDS - 1 || column % (KINDS - 1) != kind {
                    *to = *from;
                }
            }
        }
    }
    rows
}
