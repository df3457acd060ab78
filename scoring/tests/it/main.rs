//! Bundles and engines end to end, with the real ONNX Runtime: `make` installs it where the tests find it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod batch;
mod bundle;
mod cache;
mod engine;
mod forward;
mod gate;
mod hostile;
mod model;
mod profile;
mod reason;
mod reason_site;
mod runtime;
mod traffic;
