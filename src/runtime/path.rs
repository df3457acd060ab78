//! The normal form of a path for routing and exceptions, so that no spelling of a path escapes its route.
//!
//! Not here: what is forwarded (always the path as received) and what is scored (`weir-features` decodes further).

use std::borrow::Cow;

/// Percent-decodes once, turns `\` into `/`, drops `;parameters`, and resolves empty, `.` and `..` segments, as the
/// most lenient origin would. Borrowed when the path already is in normal form, which ordinary paths are.
pub fn normal_path(path: &[u8]) -> Cow<'_, [u8]> {
    if is_normal(path) {
        return Cow::Borrowed(path);
    }
    let mut out: Vec<u8> = Vec::with_capacity(path.len() + 1);
    let decoded = decode(path, |_| true);
    let trailing = decoded
        .last()
        .is_some_and(|byte| matches!(byte, b'/' | b'\\'));
    for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
        let name = segment
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        match name {
            b"" | b"." => {}
            b".." => {
                let cut = out.iter().rposition(|&byte| byte == b'/').unwrap_or(0);
                out.truncate(cut);
            }
            name => {
                out.push(b'/');
                out.extend_from_slice(name);
            }
        }
    }
    if out.is_empty() || trailing {
        out.push(b'/');
    }
    Cow::Owned(out)
}

/// Two readings by stricter origins of a path that is not in normal form: one that leaves dot segments alone and one
/// that resolves them. Neither takes `\`, `%2F` or `..;` for more than it is, so `/admin/..;/static`, which is
/// `/static` in normal form, stays below `/admin`: what loosens inspection must hold in every reading.
pub fn strict_readings(path: &[u8]) -> [Vec<u8>; 2] {
    let literal = literal(path);
    let resolved = resolve_dots(&literal);
    [literal, resolved]
}

/// Decodes escapes that mean the same to everybody (RFC 3986, 6.2.2.2) and drops `;parameters` of names.
fn literal(path: &[u8]) -> Vec<u8> {
    let decoded = decode(path, |byte| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
    });
    let segments: Vec<&[u8]> = decoded
        .split(|&byte| byte == b'/')
        .map(|segment| {
            let name = segment.split(|&byte| byte == b';').next();
            name.filter(|name| !matches!(*name, b"." | b".."))
                .unwrap_or(segment)
        })
        .collect();
    segments.join(&b'/')
}

/// RFC 3986, 5.2.4: empty segments stay.
fn resolve_dots(path: &[u8]) -> Vec<u8> {
    let mut out: Vec<&[u8]> = Vec::new();
    for segment in path.split(|&byte| byte == b'/').skip(1) {
        match segment {
            b"." => {}
            b".." => drop(out.pop()),
            name => out.push(name),
        }
    }
    let mut path = b"/".to_vec();
    path.extend(out.join(&b'/'));
    path
}

fn is_normal(path: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && !path.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';'))
        && !path.windows(2).any(|pair| pair == b"//" || pair == b"/.")
}

/// Decodes the escapes of bytes that are `wanted`.
fn decode(path: &[u8], wanted: fn(u8) -> bool) -> Vec<u8> {
    let hex = |byte: u8| {
        char::from(byte)
            .to_digit(16)
            .and_then(|d| u8::try_from(d).ok())
    };
    let mut out = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%'
            && let [high, low, after @ ..] = tail
            && let (Some(high), Some(low)) = (hex(*high), hex(*low))
            && wanted(high << 4 | low)
        {
            out.push(high << 4 | low);
            rest = after;
        } else {
            out.push(byte);
        }
    }
    out
}

/// Whether `path` is `prefix` or lies below it, by whole segments.
pub fn under(path: &[u8], prefix: &[u8]) -> bool {
    let prefix = prefix.strip_suffix(b"/").unwrap_or(prefix);
    path.strip_prefix(prefix)
        .is_some_and(|rest| rest.is_empty() || rest.first() == Some(&b'/'))
}

/// Matches `text` against `pattern`, in which `*` stands for any bytes. ASCII case counts only when `exact_case`.
/// Linear in `text` for each `*`: patterns come from the configuration, never from a client.
pub fn glob(pattern: &[u8], text: &[u8], case: Case) -> bool {
    let same = |a: u8, b: u8| match case {
        Case::Exact => a == b,
        Case::Ignore => a.eq_ignore_ascii_case(&b),
    };
    let (mut p, mut t) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match (pattern.get(p), text.get(t)) {
            (Some(b'*'), _) => {
                star = Some((p, t));
                p += 1;
            }
            (Some(&a), Some(&b)) if same(a, b) => {
                p += 1;
                t += 1;
            }
            _ => match star {
                Some((at, from)) => {
                    star = Some((at, from + 1));
                    p = at + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern.iter().skip(p).all(|&byte| byte == b'*')
}

/// Whether letters' case counts in [`glob`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Case {
    /// It counts.
    Exact,
    /// It does not (ASCII).
    Ignore,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_path_have_one_normal_form() {
        for spelling in [
            "/admin/x",
            "/%61dmin/x",
            "//admin//x",
            "/a/../admin/./x",
            "/admin;v=1/x",
            "\\admin\\x",
            "/admin%2fx",
            "/../../admin/x",
            "admin/x",
        ] {
            assert_eq!(
                &*normal_path(spelling.as_bytes()),
                b"/admin/x",
                "{spelling}"
            );
        }
        assert_eq!(&*normal_path(b""), b"/");
        assert_eq!(&*normal_path(b"/a/.."), b"/");
        assert_eq!(&*normal_path(b"/a/%2e%2e/"), b"/");
        assert_eq!(&*normal_path(b"/a%zz%4"), b"/a%zz%4");
        assert!(matches!(normal_path(b"/plain/path.html"), Cow::Borrowed(_)));
    }

    #[test]
    fn strict_readings_take_nothing_for_more_than_it_is() {
        for (path, literal, resolved) in [
            ("/%61dmin;v=1/x", "/admin/x", "/admin/x"),
            ("/a/%2e%2E/b/./c", "/a/../b/./c", "/b/c"),
            ("/a/..;/b", "/a/..;/b", "/a/..;/b"),
            ("/a/..%2fb\\c", "/a/..%2fb\\c", "/a/..%2fb\\c"),
            ("//a/../../b", "//a/../../b", "/b"),
            ("", "", "/"),
        ] {
            let readings = strict_readings(path.as_bytes());
            assert_eq!(
                readings,
                [literal.as_bytes(), resolved.as_bytes()],
                "{path}"
            );
        }
    }

    #[test]
    fn prefixes_match_whole_segments() {
        assert!(under(b"/shop", b"/shop"));
        assert!(under(b"/shop/cart", b"/shop"));
        assert!(under(b"/shop/cart", b"/shop/"));
        assert!(under(b"/anything", b"/"));
        assert!(!under(b"/shopping", b"/shop"));
        assert!(!under(b"/", b"/shop"));
    }

    #[test]
    fn globs() {
        assert!(glob(b"/api/*/notes", b"/api/v1/x/notes", Case::Exact));
        assert!(!glob(b"/api/*/notes", b"/api/v1/note", Case::Exact));
        assert!(glob(b"Q*", b"query", Case::Ignore));
        assert!(!glob(b"Q*", b"query", Case::Exact));
        assert!(glob(b"*", b"", Case::Exact));
        assert!(!glob(b"", b"x", Case::Exact));
    }
}
