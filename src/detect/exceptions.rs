//! A route's exceptions, compiled: which fields of which paths are not scored.
//!
//! Not here: dropping the row (the scorer asks through `FieldFilter`). An exception never skips a request, only the
//! fields it names, so that an excepted parameter opens nothing else.

use std::borrow::Cow;

use weir_features::Location;
use weir_scoring::engine::FieldFilter;

use crate::config::Exception;
use crate::runtime::path::{Case, glob, normal_path, strict_readings, under};

/// The exceptions of one route.
#[derive(Debug, Clone, Default)]
pub struct Exceptions(Vec<Exception>);

impl Exceptions {
    /// Wraps validated exceptions.
    pub fn new(exceptions: Vec<Exception>) -> Self {
        Self(exceptions)
    }

    /// Those that apply to a path as received, in every reading of it: another spelling of a path is the same path,
    /// but `/excepted/../admin` is not excepted, nor is `/admin/..;/excepted`.
    pub fn for_path(&self, path: &[u8]) -> Applicable<'_> {
        if self.0.is_empty() {
            return Applicable(Vec::new());
        }
        let normal = normal_path(path);
        let strict = match &normal {
            Cow::Borrowed(_) => None,
            Cow::Owned(_) => Some(strict_readings(path)),
        };
        let applies = |exception: &&Exception| {
            covers(exception, &normal)
                && strict
                    .iter()
                    .flatten()
                    .all(|reading| covers(exception, reading))
        };
        Applicable(self.0.iter().filter(applies).collect())
    }
}

fn covers(exception: &Exception, path: &[u8]) -> bool {
    match &exception.path {
        None => true,
        Some(pattern) if pattern.contains('*') => glob(pattern.as_bytes(), path, Case::Exact),
        Some(prefix) => under(path, prefix.as_bytes()),
    }
}

/// The exceptions that apply to one request.
#[derive(Debug)]
pub struct Applicable<'a>(Vec<&'a Exception>);

impl FieldFilter for Applicable<'_> {
    fn excepted(&self, location: Location, key: &[u8]) -> bool {
        self.0.iter().any(|exception| {
            exception.location.is_none_or(|wanted| wanted == location)
                && exception
                    .key
                    .as_ref()
                    .is_none_or(|pattern| glob(pattern.as_bytes(), key, Case::Ignore))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exception(path: Option<&str>, location: Option<Location>, key: Option<&str>) -> Exception {
        Exception {
            path: path.map(str::to_owned),
            location,
            key: key.map(str::to_owned),
        }
    }

    #[test]
    fn only_the_named_field_on_the_named_path_is_excepted() {
        let exceptions = Exceptions::new(vec![exception(
            Some("/search"),
            Some(Location::QueryValue),
            Some("q"),
        )]);
        let here = exceptions.for_path(b"/search/deep");
        assert!(here.excepted(Location::QueryValue, b"q"));
        assert!(here.excepted(Location::QueryValue, b"Q"));
        assert!(!here.excepted(Location::BodyValue, b"q"));
        assert!(!here.excepted(Location::QueryValue, b"other"));
        for elsewhere in [
            "/searching",
            "/",
            "/search/../admin",
            "/search/%2e%2e/admin",
            "/admin/..;/search",
            "/admin/..%2fsearch",
        ] {
            let there = exceptions.for_path(elsewhere.as_bytes());
            assert!(!there.excepted(Location::QueryValue, b"q"), "{elsewhere}");
        }
        assert!(
            exceptions
                .for_path(b"/%73earch")
                .excepted(Location::QueryValue, b"q")
        );
    }

    #[test]
    fn patterns_cover_families_of_paths_and_keys() {
        let exceptions = Exceptions::new(vec![exception(
            Some("/api/*/notes"),
            None,
            Some("content.*"),
        )]);
        let here = exceptions.for_path(b"/api/v2/notes");
        assert!(here.excepted(Location::Json, b"content.body"));
        assert!(!here.excepted(Location::Json, b"title"));
    }
}
