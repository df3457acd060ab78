//! Outlier exposure: attack payloads grafted into real requests, and the rows that they leave there.
//!
//! Must not be here: networks, losses and thresholds. The autoencoder stays one: what is made here only shapes its margin.

pub mod benign;
pub mod class;
pub mod dice;
pub mod encode;
pub mod graft;
pub mod grammar;
pub mod junk;
pub mod ordinary;
mod pool;
mod rows;
mod transport;

use weir_features::Location;

pub use pool::{GRAMMAR, Pool};
pub(crate) use rows::natural;
pub use rows::{ExposureError, ExposureRows, Template};

/// One attack payload, before any encoding.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Payload {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// The class of attack.
    pub class: String,
    /// The collection it comes from.
    pub source: String,
    /// Where it belongs, if it belongs somewhere. At `query_key` and `body_key` the payload is a raw piece of a query
    /// string or form (`name[$ne]=x`), at `path` a raw path, at `raw_body` a whole body.
    pub location: Option<Location>,
}

/// Where payloads of a class can occur, with weights in the order of [`Location::ALL`].
pub(crate) fn location_weights(class: &str) -> [f64; 12] {
    // path, query key, query value, body key, body value, json, xml, raw body, header, cookie, referer, user agent
    match class {
        "traversal" | "lfi" => [9.0, 1.0, 14.0, 0.5, 5.0, 5.0, 1.0, 0.7, 2.0, 3.0, 1.5, 1.0],
        "rfi" | "open_redirect" => [4.0, 0.5, 20.0, 0.5, 5.0, 5.0, 0.7, 0.5, 1.0, 2.0, 1.5, 0.3],
        "scanner" => [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "xxe" => [0.3, 0.3, 4.0, 0.2, 3.0, 2.0, 3.0, 12.0, 0.5, 0.5, 0.3, 0.3],
        "graphql" => [0.0, 0.0, 6.0, 0.0, 2.0, 8.0, 0.0, 10.0, 0.0, 0.0, 0.0, 0.0],
        "nosqli" | "prototype" => [1.0, 5.0, 8.0, 4.0, 6.0, 8.0, 0.5, 5.0, 1.0, 2.5, 1.0, 1.0],
        "crlf" => [7.0, 1.5, 14.0, 0.7, 5.0, 3.0, 0.5, 1.0, 3.0, 3.0, 2.0, 1.5],
        "jndi" => [3.0, 1.0, 8.0, 0.7, 5.0, 5.0, 1.0, 1.5, 7.0, 3.0, 4.0, 7.0],
        "ssrf" => [2.0, 0.5, 14.0, 0.5, 6.0, 8.0, 1.5, 2.0, 2.0, 2.0, 2.0, 0.5],
        "deserialization" => [0.5, 0.5, 6.0, 0.3, 6.0, 4.0, 2.0, 7.0, 2.0, 6.0, 0.5, 0.5],
        "api" => [3.0, 2.0, 7.0, 1.0, 4.0, 10.0, 4.0, 6.0, 1.5, 1.5, 0.5, 0.5],
        "upload" => [0.7, 0.3, 2.0, 0.5, 10.0, 1.5, 0.5, 4.0, 0.5, 0.3, 0.0, 0.0],
        "jwt" => [0.0, 0.0, 3.0, 0.0, 1.5, 3.0, 0.0, 0.0, 8.0, 6.0, 0.0, 0.0],
        "session_fixation" => [3.0, 1.5, 12.0, 0.7, 6.0, 4.0, 1.0, 1.0, 2.0, 4.0, 2.0, 1.0],
        _ => [6.0, 2.0, 16.0, 1.2, 9.0, 9.0, 2.5, 3.5, 4.0, 5.0, 3.5, 3.5],
    }
}
