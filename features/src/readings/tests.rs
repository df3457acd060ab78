#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic
)]

use super::comments::{Leave, remove};
use super::{literals, paths, splits};

fn apply(reading: impl FnOnce(&[u8], &mut Vec<u8>) -> bool, value: &str) -> Option<String> {
    let mut out = Vec::new();
    let changed = reading(value.as_bytes(), &mut out);
    changed.then(|| String::from_utf8_lossy(&out).into_owned())
}

#[test]
fn comments_leave_a_blank_or_nothing() {
    let blank = |value: &str| apply(|value, out| remove(value, out, Leave::Blank), value);
    let nothing = |value: &str| apply(|value, out| remove(value, out, Leave::Nothing), value);
    assert_eq!(blank("union/**/select").unwrap(), "union select");
    assert_eq!(nothing("un/**/ion sel/*x*/ect").unwrap(), "union select");
    assert_eq!(
        blank("1/*!50000union*//*!select*/2").unwrap(),
        "1 union  select 2"
    );
    assert_eq!(
        blank("1 union%23a\n".replace("%23", "#").as_str()).unwrap(),
        "1 union "
    );
    assert_eq!(blank("1 union--x\nselect").unwrap(), "1 union select");
    for plain in [
        "*/*",
        "text/html,image/*,*/*;q=0.8",
        "a /* open",
        "# title\n",
        "-- \nname",
        "a - b\nc",
    ] {
        assert_eq!(blank(plain), None, "{plain}");
    }
}

#[test]
fn spelled_texts_are_joined_where_they_stand() {
    let join = |value: &str| apply(literals::join, value);
    for (spelled, plain) in [
        ("select CHAR(97,100,0x6d)", "select adm"),
        ("CHR(97)||CHR(100) || chr(109)", "adm"),
        ("nchar(60)+nchar(98)", "<b"),
        ("eval(String.fromCharCode(97, 108))", "eval(al)"),
        ("chr(47).chr(101)", "/e"),
        ("char(97 using ascii)", "a"),
        ("union select 0x61646d696e,2", "union select admin,2"),
        ("= x'61646d696e'", "= admin"),
        ("'ad'||'min'", "'admin'"),
        ("\"al\" + \"ert\"", "\"alert\""),
        ("'/et'.'c/passwd'", "'/etc/passwd'"),
    ] {
        assert_eq!(join(spelled).as_deref(), Some(plain), "{spelled}");
    }
    for plain in [
        "character(1)",
        "char(x)",
        "0xdeadbeef",
        "0x1f",
        "'a', 'b'",
        "f('a','b')",
        "chr()",
        "0x61646d696e6",
    ] {
        assert_eq!(join(plain), None, "{plain}");
    }
}

#[test]
fn words_are_put_together_again() {
    let shell = |value: &str| apply(splits::shell, value);
    for (split, plain) in [
        ("c'a't /et'c'/passwd", "cat /etc/passwd"),
        ("wh\"\"oami", "whoami"),
        (";c\\at /e\\tc/pa\\sswd", ";cat /etc/passwd"),
        ("cat${IFS}/etc/passwd", "cat /etc/passwd"),
        ("cat$IFS$9/etc", "cat /etc"),
        ("who$@ami", "whoami"),
        ("w^h^oami", "whoami"),
    ] {
        assert_eq!(shell(split).as_deref(), Some(plain), "{split}");
    }
    for plain in [
        "O'Brien",
        "don't, can't",
        "C:\\users\\me and you",
        "a^2",
        "cost $10",
        "'a' 'b'",
    ] {
        assert_eq!(shell(plain), None, "{plain}");
    }
    let shown = |value: &str| apply(|value, out| splits::invisible(value, out, true), value);
    assert_eq!(shown("scr\0ipt").unwrap(), "script");
    assert_eq!(shown("java\u{ad}scr\u{200b}ipt").unwrap(), "javascript");
    assert_eq!(shown("jav\tascript:x").unwrap(), "javascript:x");
    assert_eq!(shown("two\nlines: of\ttext"), None);
}

#[test]
fn paths_are_read_as_servers_do() {
    let simple =
        |value: &str| String::from_utf8(paths::simplified(value.as_bytes()).to_vec()).unwrap();
    for (path, plain) in [
        ("/a/..;/manager/html", "/a/../manager/html"),
        ("/a;x=1/b;y/c", "/a/b/c"),
        ("....//....//etc/passwd", "../../etc/passwd"),
        ("/admin./x. ./y", "/admin/x/y"),
        ("/a\\..\\b", "/a/../b"),
        ("/a.php\0.png", "/a.php"),
        ("/a/b/", "/a/b/"),
        ("/", "/"),
        ("/a/.", "/a/"),
    ] {
        assert_eq!(simple(path), plain, "{path}");
    }
    assert!(paths::resolved(b"wait.. // no").is_none());
    assert!(paths::resolved(b"x/..;/..;/y").is_some());
}

#[test]
fn hostile_lengths_cost_linear_time() {
    // Each of these is quadratic in a reading that searches from every opening.
    for piece in [
        "a/*", "char(", "chr(1)||", "'a", "0x61", "#a\n", "\\", "^a", "a/*a*/,", "x'", "${IFS",
    ] {
        let long = piece.repeat(200_000 / piece.len());
        for reading in [
            literals::join as fn(&[u8], &mut Vec<u8>) -> bool,
            splits::shell,
            |value, out| remove(value, out, Leave::Blank),
            |value, out| splits::invisible(value, out, true),
        ] {
            let mut out = Vec::new();
            reading(long.as_bytes(), &mut out);
            assert!(out.len() <= long.len());
        }
    }
}
