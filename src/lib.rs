//! Weir: an inline reverse-proxy web application firewall whose detector is an autoencoder.
//!
//! The rooms, in the order a request meets them: [`listen`] accepts, [`proxy`] drives one request through its
//! phases, [`detect`] decides, [`audit`] and [`capture`] record. [`runtime`] holds the immutable snapshot that a
//! request pins and the state that outlives every snapshot; [`config`] makes the snapshot's policy out of YAML;
//! [`admin`] and [`telemetry`] show what happens; [`app`] puts it together.
//!
//! Not here: features and scores (crates `weir-features` and `weir-scoring`) and training (`weir-train`).

pub mod admin;
pub mod app;
pub mod audit;
pub mod capture;
pub mod cli;
pub mod config;
pub mod detect;
pub mod listen;
pub mod proxy;
pub mod redact;
pub mod runtime;
pub(crate) mod systemd;
pub mod telemetry;
pub mod tls;
pub mod units;

#[cfg(test)]
#[allow(unreachable_pub, reason = "shared with the integration tests")]
#[path = "../tests/support/bundle.rs"]
mod test_bundle;
#[cfg(test)]
mod testing;
