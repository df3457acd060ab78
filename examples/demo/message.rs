//! A request as the traffic generator thinks of it, and the encodings a browser would apply.
//!
//! Nothing here sends anything.

/// One request, ready for the wire except for `Host` and `Content-Length`.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) method: &'static str,
    pub(crate) target: String,
    pub(crate) headers: Vec<(&'static str, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn get(target: impl Into<String>) -> Self {
        Self {
            method: "GET",
            target: target.into(),
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    pub(crate) fn post(
        target: impl Into<String>,
        content_type: &str,
        body: impl Into<Vec<u8>>,
    ) -> Self {
        Self {
            method: "POST",
            target: target.into(),
            headers: vec![("content-type", content_type.to_owned())],
            body: body.into(),
        }
    }

    /// A form as a browser submits it.
    pub(crate) fn form(target: impl Into<String>, fields: &[(&str, &str)]) -> Self {
        Self::post(target, "application/x-www-form-urlencoded", query(fields))
    }

    pub(crate) fn json(target: impl Into<String>, value: &serde_json::Value) -> Self {
        Self::post(target, "application/json", value.to_string())
    }

    pub(crate) fn xml(target: impl Into<String>, body: impl Into<Vec<u8>>) -> Self {
        Self::post(target, "application/xml", body)
    }

    /// An upload form: one text field and one file.
    pub(crate) fn upload(
        target: &str,
        boundary: &str,
        note: &str,
        name: &str,
        kind: &str,
        content: &[u8],
    ) -> Self {
        let mut body = format!(
            "--{boundary}\r\nContent-Disposition: form-data; name=\"note\"\r\n\r\n{note}\r\n\
             --{boundary}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"{name}\"\r\n\
             Content-Type: {kind}\r\n\r\n"
        )
        .into_bytes();
        body.extend_from_slice(content);
        body.extend_from_slice(format!("\r\n--{boundary}--\r\n").as_bytes());
        Self::post(
            target,
            &format!("multipart/form-data; boundary={boundary}"),
            body,
        )
    }

    pub(crate) fn with(mut self, name: &'static str, value: impl Into<String>) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.into()));
        self
    }
}

/// `key=value&...`, both sides encoded as in an HTML form.
pub(crate) fn query(fields: &[(&str, &str)]) -> String {
    let parts: Vec<String> = fields
        .iter()
        .map(|(key, value)| format!("{}={}", form(key), form(value)))
        .collect();
    parts.join("&")
}

/// Form encoding: a space becomes `+`.
pub(crate) fn form(text: &str) -> String {
    percent(text).replace("%20", "+")
}

/// Percent-encodes everything but the unreserved characters of RFC 3986.
pub(crate) fn percent(text: &str) -> String {
    let mut out = String::with_capacity(text.len() * 2);
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// Undoes form encoding; what is malformed stays as it is.
pub(crate) fn unform(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let pair = bytes
            .get(at + 1..at + 3)
            .and_then(|pair| std::str::from_utf8(pair).ok());
        match (
            byte,
            pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()),
        ) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                at += 3;
                continue;
            }
            (b'+', _) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_survive_the_round_trip() {
        let text = "O'Brien & Söhne, 50% off? a+b";
        assert_eq!(unform(&form(text)), text);
        assert_eq!(unform("100%"), "100%");
        assert_eq!(query(&[("q", "a b"), ("x", "1")]), "q=a+b&x=1");
    }
}
