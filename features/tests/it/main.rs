//! The extractor from outside: formats, properties, golden vectors.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

mod extract;
mod golden;
mod golden_profile;
mod profile;
mod properties;
mod stack;
mod stacked;
mod support;
mod tokens;
mod tricks;
