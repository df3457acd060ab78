//! What computes a model. Not here: how it is started.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What computes the model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExecutionProvider {
    /// The processor, one thread for each session.
    #[default]
    Cpu,
    /// An NVIDIA GPU; where it cannot start, the processor takes over and [`ProviderStatus`] says why.
    Cuda,
}

impl fmt::Display for ExecutionProvider {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Cpu => "cpu",
            Self::Cuda => "cuda",
        })
    }
}

/// What was asked to compute the model, and what does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ProviderStatus {
    /// The provider asked for.
    pub requested: ExecutionProvider,
    /// The provider in use.
    pub actual: ExecutionProvider,
    /// Why they differ.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}
