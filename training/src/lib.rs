//! The trainer: captured traffic in, a verified bundle out. Reads request records, trains the autoencoders, calibrates
//! them, exports ONNX and measures the result.
//!
//! Must not be here: anything of the proxy (`weir-waf`), and feature or scoring code that serving needs too. Training
//! and serving share `weir-features` and `weir-scoring`, so a row means the same in both.

pub mod cli;
pub mod data;
pub mod evaluate;
pub mod export;
pub mod exposure;
pub mod fit;
pub mod mutate;
pub mod network;
pub mod progress;
pub mod train;
