//! From the bytes of a request to rows of numbers: canonicalisation, fields, statistics and request vectors.
//!
//! What must not be here: I/O, async code, a clock (time is an argument), models, thresholds or policy.
//!
//! The way through the crate is [`RequestView`] -> [`Extractor::extract`] -> [`Fields`] -> [`Extractor::row`]. The
//! extractor decodes every part of a request to a fixed point, descends into nested formats and hands out
//! (location, key, value) fields; each becomes one row of [`FIELD_WIDTH`] numbers whose columns [`schema`] names.
//! [`ClientWindows`] adds one row of [`REQUEST_WIDTH`] numbers per request about its shape and its client.

#![warn(missing_docs)]

mod binary;
mod blob;
mod body;
mod bytes;
mod charset;
mod client;
mod compression;
mod decode;
mod extract;
mod field;
mod forms;
mod graphql;
mod json;
mod lent;
mod lexicon;
mod limits;
mod location;
mod multipart;
mod nested;
pub mod profile;
mod readings;
mod recall;
mod request;
mod request_vector;
mod row;
pub mod schema;
mod sink;
mod skeleton;
mod tokens;
mod windows;
mod xml;

pub use binary::{SCRIPT_OPENING, script_at};
pub use client::{ClientKey, ClientWindows};
pub use decode::{Decoded, decode, decode_form};
pub use extract::Extractor;
pub use field::{Field, Fields, Marks, Overflow, SHORT_FIELD, Scratch};
pub use lexicon::{Evidence, Family};
pub use limits::{
    MAX_DECODE_LAYERS, MAX_FIELDS, MAX_JSON_DEPTH, MAX_NESTING, MAX_VALUE, WINDOW, WINDOW_STRIDE,
};
pub use location::Location;
pub use request::{RequestContext, RequestVector, RequestView};
pub use schema::{FIELD_WIDTH, REQUEST_WIDTH, SCHEMA_VERSION};
pub use tokens::{Syntax, syntax};
