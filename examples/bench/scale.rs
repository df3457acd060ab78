//! What becomes of cost and memory when there is more of something: workers, connections, bytes, fields, routes, profiles.

pub(crate) mod cost;
pub(crate) mod idle;
pub(crate) mod mixed;
mod profile_keys;
pub(crate) mod workers;
