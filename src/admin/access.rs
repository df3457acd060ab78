//! Who may use the admin interface: the holder of the token, or, without one, local programs and no web page.
//!
//! Not here: the listener's address; off loopback the configuration demands a token. On loopback without a token a
//! browser on the same machine is the threat: a page may send requests here (CSRF) or point a name of its own at
//! 127.0.0.1 (DNS rebinding). The `Host` header tells the second, `Origin` and `Sec-Fetch-Site` tell the first.

use std::net::IpAddr;

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;
use subtle::ConstantTimeEq;

use crate::config::{Admin, Token};

/// Why a request is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// No token or another one.
    Token,
    /// A `Host` that is not ours.
    Host,
    /// From a web page.
    Origin,
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let (status, message) = match self {
            Self::Token => (
                StatusCode::UNAUTHORIZED,
                "send `Authorization: Bearer` with the token of admin.token_file",
            ),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "unknown Host; use an address or localhost, or list the name in admin.hosts",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "requests from web pages are not accepted",
            ),
        };
        let body = Json(json!({ "error": message }));
        match self {
            Self::Token => (status, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response(),
            _ => (status, body).into_response(),
        }
    }
}

/// Checks token, host and origin.
pub(super) fn check(admin: &Admin, request: &Request) -> Result<(), Refusal> {
    let headers = request.headers();
    match &admin.token {
        Some(token) if !bears(headers, token) => return Err(Refusal::Token),
        // No page knows the token, so its holder may come by any name.
        Some(_) => {}
        None if !known_host(admin, headers) => return Err(Refusal::Host),
        None => {}
    }
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    if !reads && from_page(headers) {
        Err(Refusal::Origin)
    } else {
        Ok(())
    }
}

fn bears(headers: &HeaderMap, token: &Token) -> bool {
    let given = headers
        .get(header::AUTHORIZATION)
        .map(|value| value.as_bytes());
    let secret = given
        .and_then(|value| value.split_at_checked(7))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case(b"bearer "))
        .map_or(&b""[..], |(_, secret)| secret.trim_ascii());
    // Length is not secret: tokens are made by machines.
    secret.ct_eq(token.as_bytes()).into()
}

fn known_host(admin: &Admin, headers: &HeaderMap) -> bool {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (Some(host), None) = (hosts.next(), hosts.next()) else {
        return false;
    };
    let Ok(host) = host.to_str() else {
        return false;
    };
    let name = without_port(host);
    let address = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
        .unwrap_or(name);
    address.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || admin
            .hosts
            .iter()
            .any(|known| known.eq_ignore_ascii_case(name))
}

fn without_port(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port))
            if port.bytes().all(|byte| byte.is_ascii_digit()) && !name.is_empty() =>
        {
            name
        }
        _ => host,
    }
}

/// Browsers send `Origin` with every request that is no plain navigation, and newer ones `Sec-Fetch-Site` as well.
fn from_page(headers: &HeaderMap) -> bool {
    let site = headers.get("sec-fetch-site").map(|value| value.as_bytes());
    headers.contains_key(header::ORIGIN)
        || site.is_some_and(|site| site != b"same-origin" && site != b"none")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use super::*;
    use axum::body::Body;

    fn admin(token: Option<&str>) -> Admin {
        Admin {
            address: "127.0.0.1:0".parse().unwrap(),
            token: token.map(|token| Token::new(token.to_owned())),
            hosts: vec!["weir.internal".to_owned()],
        }
    }

    fn request(method: &str, headers: &[(&str, &str)]) -> Request {
        let mut builder = Request::builder().method(method).uri("/-/status");
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(Body::empty()).unwrap()
    }

    #[test]
    fn without_a_token_only_local_names_are_answered() {
        for host in [
            "127.0.0.1:9901",
            "localhost:9901",
            "[::1]:9901",
            "localhost",
            "weir.internal:9901",
        ] {
            assert_eq!(
                check(&admin(None), &request("GET", &[("host", host)])),
                Ok(()),
                "{host}"
            );
        }
        for host in [
            "evil.example:9901",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "",
        ] {
            assert_eq!(
                check(&admin(None), &request("GET", &[("host", host)])),
                Err(Refusal::Host),
                "{host}"
            );
        }
        assert_eq!(
            check(&admin(None), &request("GET", &[])),
            Err(Refusal::Host)
        );
        let two = [("host", "localhost"), ("host", "evil.example")];
        assert_eq!(
            check(&admin(None), &request("GET", &two)),
            Err(Refusal::Host)
        );
    }

    #[test]
    fn pages_cannot_change_anything() {
        let host = ("host", "127.0.0.1:9901");
        assert_eq!(check(&admin(None), &request("POST", &[host])), Ok(()));
        for page in [
            ("origin", "https://evil.example"),
            ("origin", "null"),
            ("sec-fetch-site", "cross-site"),
        ] {
            assert_eq!(
                check(&admin(None), &request("POST", &[host, page])),
                Err(Refusal::Origin),
                "{page:?}"
            );
        }
    }

    #[test]
    fn with_a_token_nothing_else_opens() {
        let admin = admin(Some("0123456789abcdef"));
        let with = |value| request("GET", &[("host", "any.example"), ("authorization", value)]);
        assert_eq!(check(&admin, &with("Bearer 0123456789abcdef")), Ok(()));
        for wrong in [
            "Bearer 0123456789abcdeX",
            "Bearer ",
            "Basic 0123456789abcdef",
            "0123456789abcdef",
            "Bearer 0123456789abcdef0",
        ] {
            assert_eq!(check(&admin, &with(wrong)), Err(Refusal::Token), "{wrong}");
        }
        assert_eq!(
            check(&admin, &request("GET", &[("host", "127.0.0.1")])),
            Err(Refusal::Token)
        );
    }
}
