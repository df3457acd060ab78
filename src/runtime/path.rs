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
    let decoded = percent_decode(path);
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

fn is_normal(path: &[u8]) -> bool {
    path.first() == Some(&b'/')
        && !path.iter().any(|byte| matches!(byte, b'%' | b'\\' | b';'))
        && !path.windows(2).any(|pair| pair == b"//" || pair == b"/.")
}

fn percent_decode(path: &[u8]) -> Vec<u8> {
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
