//! What the integration tests stand on: the real binary as a process, a real origin, and real clients.
//!
//! Not here: assertions. Waiting is always for a condition; the only clock is a generous bound that turns a hang into
//! a failure.

#![allow(dead_code, reason = "each test uses a part of it")]

pub mod bundle;
pub mod client;
pub mod frames;
pub mod origin;
pub mod programs;
pub mod tls;
pub mod weir;

use std::future::Future;
use std::time::Duration;

/// Nothing in these tests takes this long unless it hangs.
pub const PATIENCE: Duration = Duration::from_secs(180);

/// The value of `future`, or a failed test that names what was waited for.
pub async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("waited too long for {what}"),
    }
}

/// Polls `probe` until it yields a value.
pub async fn eventually<T>(what: &str, mut probe: impl FnMut() -> Option<T>) -> T {
    within(what, async {
        loop {
            if let Some(value) = probe() {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await
}

/// Hex of the SHA-256 of `bytes`.
pub fn sha256(bytes: &[u8]) -> String {
    use sha2::Digest;
    sha2::Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

/// `length` bytes that look random and are the same every time.
pub fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state >> 32) as u8
        })
        .collect()
}
