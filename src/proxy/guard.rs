//! Refuses requests whose head does not mean one thing to every parser behind us.
//!
//! Not here: judging content (the detector does) and repairing anything: what is ambiguous is refused.

use http::header;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, HeaderName, Method, StatusCode, Version};

use crate::listen::HeadLimits;
use crate::listen::violation::Violation;

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Its framing is ambiguous.
    #[error("the request has {0}")]
    Framing(Violation),
    /// HTTP/1.1 without `Host`, or more than one.
    #[error("the request needs exactly one Host header")]
    Host,
    /// `Host` is no host name, or contradicts the authority of the target.
    #[error("the Host header is malformed or contradicts the request target")]
    HostMismatch,
    /// `CONNECT`.
    #[error("this server is no forward proxy")]
    NotAProxy,
    /// The target is neither a path nor a URL.
    #[error("the request target is no path")]
    Target,
    /// Its body is encoded more than once: what is below the first coding cannot be inspected.
    #[error("the request body has more than one content coding")]
    Encoding,
    /// The target is too long.
    #[error("the request target is longer than limits.target_bytes")]
    TargetTooLong,
    /// Two fields, or a framing field in disguise, that an origin which maps names to variables cannot tell apart.
    #[error("the request has header fields whose names differ only in `-`, `_` and `.`")]
    Lookalike,
    /// An `Expect` that is not `100-continue`.
    #[error("the request expects something other than 100-continue")]
    Expectation,
    /// Too many header fields.
    #[error("the request has too many header fields")]
    TooManyHeaders,
    /// The header fields are too large.
    #[error("the request's header fields are too large")]
    HeadersTooLarge,
}

impl Refusal {
    /// The status that says so.
    pub const fn status(self) -> StatusCode {
        match self {
            Self::Framing(violation) => violation.status(),
            Self::Expectation => StatusCode::EXPECTATION_FAILED,
            Self::TargetTooLong => StatusCode::URI_TOO_LONG,
            Self::TooManyHeaders | Self::HeadersTooLarge => {
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
            }
            Self::NotAProxy => StatusCode::METHOD_NOT_ALLOWED,
            Self::Encoding => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Host | Self::HostMismatch | Self::Target | Self::Lookalike => {
                StatusCode::BAD_REQUEST
            }
        }
    }

    /// A short stable name for metrics and records.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Framing(violation) => violation.name(),
            Self::Lookalike => "header_lookalike",
            Self::Expectation => "expectation",
            Self::Host | Self::HostMismatch => "host",
            Self::NotAProxy => "method",
            Self::Target => "target",
            Self::Encoding => "content_encoding",
            Self::TargetTooLong => "target_too_long",
            Self::TooManyHeaders | Self::HeadersTooLarge => "headers_too_large",
        }
    }

    /// Whether what follows on the connection may be anything, or comes from somebody who tries to make it so.
    pub const fn closes(self) -> bool {
        !matches!(
            self,
            Self::Encoding | Self::TargetTooLong | Self::TooManyHeaders | Self::HeadersTooLarge
        )
    }
}

/// Checks a request's head and returns the authority that it is for. HTTP/1.1 without an absolute target names it in
/// `Host`; the authority of HTTP/2 or of an absolute target wins, and `Host` may only repeat it.
pub fn check(head: &Parts, limits: HeadLimits) -> Result<Option<Authority>, Refusal> {
    let (uri, headers) = (&head.uri, &head.headers);
    if head.method == Method::CONNECT {
        return Err(Refusal::NotAProxy);
    }
    // `GET example.org` parses as an authority, which only CONNECT may send.
    if uri.authority().is_some() && uri.scheme().is_none() {
        return Err(Refusal::Target);
    }
    let is_url = uri.scheme().is_some() && uri.authority().is_some();
    if !is_url && !uri.path().starts_with(['/', '*']) {
        return Err(Refusal::Target);
    }
    if uri.path() == "*" && head.method != Method::OPTIONS {
        return Err(Refusal::Target);
    }
    if uri
        .path_and_query()
        .map_or(0, |target| target.as_str().len())
        > limits.target
    {
        return Err(Refusal::TargetTooLong);
    }
    if headers.len() > limits.fields {
        return Err(Refusal::TooManyHeaders);
    }
    let bytes: usize = headers
        .iter()
        .map(|(name, value)| name.as_str().len() + value.len())
        .sum();
    if bytes > limits.bytes {
        return Err(Refusal::HeadersTooLarge);
    }
    if expects_anything_else(headers) {
        return Err(Refusal::Expectation);
    }
    let named = host_header(headers)?;
    match (uri.authority(), named) {
        (Some(authority), _) if !is_host(authority) => Err(Refusal::HostMismatch),
        (Some(authority), Some(host)) if !same_authority(authority, &host) => {
            Err(Refusal::HostMismatch)
        }
        (Some(authority), _) => Ok(Some(authority.clone())),
        (None, None) if head.version == Version::HTTP_10 => Ok(None),
        (None, None) => Err(Refusal::Host),
        (None, host) => Ok(host),
    }
}

/// Refuses names that an origin may take for one another. To be called when what is no client's to say has gone.
pub fn check_names(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.keys().any(|name| is_lookalike(name, headers)) {
        return Err(Refusal::Lookalike);
    }
    Ok(())
}

/// Refuses bodies with several content codings, which no client has a reason to send. Origins that undo all of them
/// would see what the detector cannot.
pub fn check_encoding(headers: &HeaderMap) -> Result<(), Refusal> {
    let codings = headers
        .get_all(header::CONTENT_ENCODING)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .filter(|coding| !coding.trim_ascii().is_empty());
    if codings.count() > 1 {
        return Err(Refusal::Encoding);
    }
    Ok(())
}

/// CGI, WSGI and their like turn `-` into `_` (some also `.`): of `x-user` and `x_user` the origin would see one, and
/// not the one that was meant. A field that frames a message has no other spelling than its own.
fn is_lookalike(name: &HeaderName, headers: &HeaderMap) -> bool {
    let name = name.as_str();
    if !name.bytes().any(|byte| matches!(byte, b'_' | b'.')) {
        return false;
    }
    let plain = name.replace(['_', '.'], "-");
    let frames = matches!(
        plain.as_str(),
        "content-length" | "content-type" | "content-encoding" | "transfer-encoding"
    );
    frames
        || headers
            .keys()
            .any(|other| other.as_str() != name && other.as_str().replace(['_', '.'], "-") == plain)
}

/// Servers disagree about what else they may be asked for, and about whose answer it is (desync by `Expect`).
fn expects_anything_else(headers: &HeaderMap) -> bool {
    let mut lines = headers.get_all(header::EXPECT).into_iter();
    match (lines.next(), lines.next()) {
        (None, _) => false,
        (Some(one), None) => !one.as_bytes().eq_ignore_ascii_case(b"100-continue"),
        (Some(_), Some(_)) => true,
    }
}

fn host_header(headers: &HeaderMap) -> Result<Option<Authority>, Refusal> {
    let mut values = headers.get_all(header::HOST).into_iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(_), Some(_)) => Err(Refusal::Host),
        (Some(value), None) => {
            let host = Authority::try_from(value.as_bytes()).map_err(|_| Refusal::HostMismatch)?;
            if !is_host(&host) {
                return Err(Refusal::HostMismatch);
            }
            Ok(Some(host))
        }
    }
}

/// Names, addresses and ports. Everything else that a grammar allows here has only ever served to route one request
/// two ways.
fn is_host(authority: &Authority) -> bool {
    let text = authority.as_str();
    let port = text.len() == authority.host().len() || authority.port_u16().is_some();
    port && text
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"-._~:[]".contains(&byte))
}

fn same_authority(one: &Authority, other: &Authority) -> bool {
    one.as_str().eq_ignore_ascii_case(other.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use http::Request;

    fn verdict(uri: &str, version: Version, hosts: &[&str]) -> Result<Option<String>, Refusal> {
        let mut request = Request::builder().uri(uri).version(version);
        for host in hosts {
            request = request.header("host", *host);
        }
        let limits = HeadLimits {
            fields: 3,
            bytes: 200,
            target: 100,
        };
        check(&request.body(()).unwrap().into_parts().0, limits)
            .map(|host| host.map(|host| host.to_string()))
    }

    #[test]
    fn one_host_and_no_contradiction() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(verdict("/", one, &["a:80"]), Ok(Some("a:80".to_owned())));
        assert_eq!(verdict("/", one, &[]), Err(Refusal::Host));
        assert_eq!(verdict("/", Version::HTTP_10, &[]), Ok(None));
        assert_eq!(verdict("/", one, &["a", "a"]), Err(Refusal::Host));
        assert_eq!(verdict("/", one, &["a b"]), Err(Refusal::HostMismatch));
        assert_eq!(verdict("/", one, &["u@a"]), Err(Refusal::HostMismatch));
        assert_eq!(verdict("/", one, &[""]), Err(Refusal::HostMismatch));
        assert_eq!(verdict("http://a/", one, &["A"]), Ok(Some("a".to_owned())));
        assert_eq!(
            verdict("http://a/", one, &["b"]),
            Err(Refusal::HostMismatch)
        );
        assert_eq!(verdict("https://a/", two, &[]), Ok(Some("a".to_owned())));
        assert_eq!(
            verdict("https://a/", two, &["b"]),
            Err(Refusal::HostMismatch)
        );
    }

    #[test]
    fn names_that_an_origin_cannot_tell_apart() {
        let checked = |fields: &[(&str, &str)]| {
            let mut request = Request::builder().uri("/").header("host", "a");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            let limits = HeadLimits {
                fields: 9,
                bytes: 999,
                target: 99,
            };
            let head = request.body(()).unwrap().into_parts().0;
            check(&head, limits).and_then(|_| check_names(&head.headers))
        };
        assert_eq!(checked(&[("x_user", "1"), ("x-group", "1")]), Ok(()));
        for pair in [
            ["x_user", "x-user"],
            ["x.user", "x-user"],
            ["x_user", "x.user"],
        ] {
            let [one, other] = pair.map(|name| (name, "1"));
            assert_eq!(checked(&[one, other]), Err(Refusal::Lookalike), "{pair:?}");
        }
        for name in ["content_length", "transfer_encoding", "content.type"] {
            assert_eq!(checked(&[(name, "1")]), Err(Refusal::Lookalike), "{name}");
        }
        assert_eq!(checked(&[("expect", "100-Continue")]), Ok(()));
        for value in ["y 100-continue", "", "100-continue, x"] {
            assert_eq!(
                checked(&[("expect", value)]),
                Err(Refusal::Expectation),
                "{value}"
            );
        }
    }

    #[test]
    fn one_content_coding_and_no_more() {
        let coded = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for line in lines {
                headers.append(header::CONTENT_ENCODING, line.parse().unwrap());
            }
            check_encoding(&headers)
        };
        for fine in [&[][..], &["gzip"], &["gzip, "]] {
            assert_eq!(coded(fine), Ok(()), "{fine:?}");
        }
        for stacked in [&["gzip, gzip"][..], &["identity", "gzip"], &["gzip,br"]] {
            assert_eq!(coded(stacked), Err(Refusal::Encoding), "{stacked:?}");
        }
    }

    #[test]
    fn sizes_are_bounded() {
        let long = format!("/{}", "a".repeat(100));
        assert_eq!(
            verdict(&long, Version::HTTP_11, &["a"]),
            Err(Refusal::TargetTooLong)
        );
        assert_eq!(
            verdict("/", Version::HTTP_11, &["a"; 4]),
            Err(Refusal::TooManyHeaders)
        );
        assert_eq!(
            verdict("/", Version::HTTP_11, &[&"a".repeat(300)]),
            Err(Refusal::HeadersTooLarge)
        );
    }
}
