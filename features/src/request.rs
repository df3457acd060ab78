//! A request as the extractor sees it: borrowed bytes, before any decoding. Not here: parsing of HTTP.

use crate::client::ClientKey;
use crate::schema::REQUEST_WIDTH;

/// One request, borrowed: raw bytes exactly as they would reach the application.
#[derive(Clone, Copy, Debug)]
pub struct RequestView<'a> {
    /// The method token.
    pub method: &'a [u8],
    /// The request target in origin form (`/a?b=c`) or absolute form (`http://host/a?b=c`), still encoded.
    pub target: &'a [u8],
    /// Header names and values in the order received; names in any case.
    pub headers: &'a [(&'a [u8], &'a [u8])],
    /// The body, or as much of it as was held for inspection.
    pub body: &'a [u8],
    /// True when `body` is only the beginning of the real body.
    pub body_truncated: bool,
}

impl<'a> RequestView<'a> {
    /// The first value of the header `name` (compared without case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a [u8]> {
        self.headers
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name.as_bytes()))
            .map(|(_, value)| *value)
    }

    /// The path of the target, still encoded, without scheme, authority and query.
    #[must_use]
    pub fn path(&self) -> &'a [u8] {
        split_target(self.target).1
    }

    /// The query of the target, still encoded, without the question mark.
    #[must_use]
    pub fn query(&self) -> Option<&'a [u8]> {
        split_target(self.target).2
    }
}

/// Splits a target into authority (absolute form only), path and query. A `#` is kept where it stands: servers
/// disagree on whether it ends the target.
pub(crate) fn split_target(target: &[u8]) -> (Option<&[u8]>, &[u8], Option<&[u8]>) {
    let mut authority = None;
    let mut rest = target;
    if !rest.starts_with(b"/")
        && let Some(at) = memchr::memmem::find(rest, b"://")
        && at <= 8
        && rest.iter().take(at).all(u8::is_ascii_alphabetic)
    {
        let after = rest.get(at + 3..).unwrap_or_default();
        let end = memchr::memchr3(b'/', b'?', b'#', after).unwrap_or(after.len());
        let (host, tail) = after.split_at(end);
        authority = Some(host);
        rest = tail;
    }
    match memchr::memchr(b'?', rest) {
        Some(at) => {
            let (path, query) = rest.split_at(at);
            (authority, path, query.get(1..))
        }
        None => (authority, rest, None),
    }
}

/// What is known about a request besides its bytes.
#[derive(Clone, Copy, Debug)]
pub struct RequestContext {
    /// The client that sent it.
    pub client: ClientKey,
    /// When it arrived: seconds since the epoch, UTC.
    pub time: f64,
    /// True when the client's address is private, loopback or link-local.
    pub private_address: bool,
    /// ISO 3166-1 alpha-2 code of the client's country, where it is known.
    pub country: Option<[u8; 2]>,
}

/// The request detector's input: unscaled numbers named by [`crate::schema::request_feature_name`]; `NaN` is missing.
pub type RequestVector = [f32; REQUEST_WIDTH];

#[cfg(test)]
mod tests {
    use super::split_target;

    #[test]
    fn targets_split_in_both_forms() {
        assert_eq!(
            split_target(b"/a/b?c=d?e"),
            (None, &b"/a/b"[..], Some(&b"c=d?e"[..]))
        );
        assert_eq!(
            split_target(b"http://h:8080/a?x"),
            (Some(&b"h:8080"[..]), &b"/a"[..], Some(&b"x"[..]))
        );
        assert_eq!(
            split_target(b"http://h?x"),
            (Some(&b"h"[..]), &b""[..], Some(&b"x"[..]))
        );
        assert_eq!(split_target(b"*"), (None, &b"*"[..], None));
        assert_eq!(split_target(b""), (None, &b""[..], None));
    }
}
