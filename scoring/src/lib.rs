//! Rows to score: request records, bundles and their load gate, ONNX Runtime sessions, calibration, budgets, reasons.
//!
//! What must not be here: HTTP, async code, configuration files, training, and any policy beyond
//! [`verdict`](budget::verdict).
//!
//! The way through the crate is [`Runtime::load`](ort::Runtime::load) -> [`Bundle::open`](bundle::Bundle::open) ->
//! [`Engine::load`](engine::Engine::load) -> [`Engine::score`](engine::Engine::score), whose
//! [`Scores`](budget::Scores) become a [`Verdict`](budget::Verdict) by one pure function. The trainer uses the same
//! modules in the other direction: [`onnx`] to export, [`calibration`] to fit, [`bundle::BundleWriter`] to publish.

#![warn(missing_docs)]

pub mod budget;
pub mod bundle;
pub mod cache;
pub mod calibration;
pub mod engine;
pub mod gate;
pub mod onnx;
pub mod ort;
pub mod reason;
pub mod record;
pub mod sparse;
