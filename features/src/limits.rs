//! The bounds of extraction. What lies beyond a bound is scored as windows of raw text, never skipped.

/// Decoding stops after this many layers; an application that decodes more often than that is not known.
pub const MAX_DECODE_LAYERS: u8 = 4;
/// Formats nested in values are entered this deep: JSON in base64 in JSON in a cookie is 3.
pub const MAX_NESTING: u8 = 4;
/// Distinct parsed fields of one request; what lies beyond is scored as windows.
pub const MAX_FIELDS: usize = 1024;
/// Containers inside each other in one JSON text; what lies deeper is scored as windows.
pub const MAX_JSON_DEPTH: usize = 64;
/// A value longer than this many bytes is scored as windows of [`WINDOW`] bytes.
pub const MAX_VALUE: usize = 1024;
/// Bytes of a window.
pub const WINDOW: usize = 1024;
/// Bytes from one window's start to the next: neighbours overlap by a quarter, so that no payload of up to 256 bytes
/// is cut in two everywhere it appears.
pub const WINDOW_STRIDE: usize = 768;
/// A compressed body may grow to this many bytes; the rest of a larger one is left out and marked as overflow.
pub(crate) const MAX_INFLATED: usize = 2 * 1024 * 1024;
/// Bytes of a key that are kept: longer ones are cut for display and matching, and scored as a value of their own.
pub(crate) const MAX_KEY: usize = 256;
