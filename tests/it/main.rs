//! Integration tests of the data plane: the real binary, real sockets, a real origin. One binary, because every
//! further one links the whole proxy again.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_debug_implementations,
    unreachable_pub
)]

#[path = "../support/mod.rs"]
mod support;

mod admin;
mod balance;
mod bodies;
mod cli;
mod floods;
mod grpc;
mod guards;
mod headers;
mod hostile;
mod http;
mod http2_upstream;
mod identity;
mod memory;
mod passing;
mod policy;
mod programs;
mod reload;
mod resilience;
mod semantics;
mod service;
mod smuggling;
mod streams;
mod tls;
mod trailers;
mod upgrade;
mod upstreams;
mod websocket;
