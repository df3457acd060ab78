//! One vocabulary for the attack classes that collections name differently.

/// The name Weir uses for a collection's class name; unknown names are `other`.
#[must_use]
pub fn canonical(name: &str) -> &'static str {
    let lower = name.to_ascii_lowercase();
    // GoTestWAF prefixes sizes: `128KB XSS`.
    let lower = lower
        .split_once("kb ")
        .map_or(lower.as_str(), |(_, rest)| rest);
    match lower {
        "sqli" | "sql" | "sql injection" | "sqlinjection" => "sqli",
        "xss" => "xss",
        "cmdi" | "shell" | "shell injection" | "os command injection" | "shellshock" => "cmdi",
        "rce" | "php" | "java" | "node" | "code" => "rce",
        "traversal" | "path-traversal" | "path traversal" | "pt" => "traversal",
        "lfi" => "lfi",
        "rfi" => "rfi",
        "ssti" | "sst injection" | "sstii" => "ssti",
        "ssi" | "ss injection" | "ssii" => "ssi",
        "xxe" | "xslt" | "xml injection" => "xxe",
        "nosqli" | "nosql" | "nosql injection" | "nosql-injection" => "nosqli",
        "ldap" | "ldap injection" => "ldap",
        "xpath" => "xpath",
        "crlf" | "crlf injection" => "crlf",
        "mail" | "mail injection" => "mail",
        "graphql" => "graphql",
        "ssrf" => "ssrf",
        "open_redirect" | "open redirect" | "or" => "open_redirect",
        "format_string" => "format_string",
        "jndi" | "log4j" | "log4shell" => "jndi",
        "scanner" | "uwa" | "unwanted access" => "scanner",
        "prototype" | "prototype pollution" => "prototype",
        "deserialization" | "insecure deserialization" => "deserialization",
        "api" | "rest" | "rest non-crud" | "soap" | "grpc" | "api abuse" | "mass assignment" => {
            "api"
        }
        "upload" | "file upload" | "webshell" => "upload",
        "jwt" | "jwt tampering" => "jwt",
        "session_fixation" => "session_fixation",
        _ => "other",
    }
}

/// The class that a CRS rule file is about; none for protocol hygiene, responses and scoring.
#[must_use]
pub fn of_crs(category: &str) -> Option<&'static str> {
    let number = category.split('-').nth(1)?;
    Some(match number {
        "913" => "scanner",
        "921" => "crlf",
        "930" => "lfi",
        "931" => "rfi",
        "932" => "cmdi",
        "933" | "934" | "944" => "rce",
        "941" => "xss",
        "942" => "sqli",
        "943" => "session_fixation",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_all_collections_meet() {
        for (name, expected) in [
            ("128KB SQL Injection", "sqli"),
            ("SHELL", "cmdi"),
            ("SST Injection", "ssti"),
            ("UWA", "scanner"),
            ("File Upload", "upload"),
            ("mass assignment", "api"),
            ("weather", "other"),
        ] {
            assert_eq!(canonical(name), expected);
        }
        assert_eq!(of_crs("REQUEST-941-APPLICATION-ATTACK-XSS"), Some("xss"));
        assert_eq!(of_crs("RESPONSE-951-DATA-LEAKAGES-SQL"), None);
    }
}
