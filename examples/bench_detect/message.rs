//! A request as bytes: written as given, so that odd payloads arrive odd. Not here: sending, and what the payload means.

/// What an ordinary client of either tool sends besides its payload.
const USER_AGENT: &str = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36";
pub(crate) const HOST: &str = "www.example.com";

/// One request.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    pub(crate) method: String,
    /// The request target, as it goes over the wire.
    pub(crate) target: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// gRPC is spoken over HTTP/2 only.
    pub(crate) http2: bool,
}

impl Message {
    pub(crate) fn new(method: &str, target: impl Into<String>) -> Self {
        Self {
            method: method.to_owned(),
            target: target.into(),
            headers: vec![
                ("User-Agent".to_owned(), USER_AGENT.to_owned()),
                ("Accept".to_owned(), "*/*".to_owned()),
                ("Accept-Encoding".to_owned(), "gzip".to_owned()),
            ],
            body: Vec::new(),
            http2: false,
        }
    }

    /// Sets a header; replaces one of that name.
    pub(crate) fn with(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers
            .retain(|(known, _)| !known.eq_ignore_ascii_case(name));
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// The message if a client can write it down at all.
    pub(crate) fn checked(self) -> Result<Self, String> {
        let broken = |part: &String| part.contains(['\r', '\n', '\0']);
        if self
            .headers
            .iter()
            .any(|(name, value)| broken(name) || broken(value))
        {
            return Err("a header cannot hold a line break".to_owned());
        }
        if self.target.bytes().any(|byte| byte <= b' ' || byte == 0x7f) {
            return Err("a request line cannot hold spaces or control characters".to_owned());
        }
        Ok(self)
    }

    /// The bytes of HTTP/1.1.
    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut head = format!(
            "{} {} HTTP/1.1\r\nHost: {HOST}\r\n",
            self.method, self.target
        );
        for (name, value) in &self.headers {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        if !self.body.is_empty() || matches!(self.method.as_str(), "POST" | "PUT" | "PATCH") {
            head.push_str(&format!("Content-Length: {}\r\n", self.body.len()));
        }
        head.push_str("\r\n");
        let mut bytes = head.into_bytes();
        bytes.extend_from_slice(&self.body);
        bytes
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    #[test]
    fn a_request_is_written_as_given() {
        let message = Message::new("POST", "/?q=<x>'\"")
            .with("user-agent", "${jndi:x}")
            .body("a=%00");
        let text = String::from_utf8(message.bytes()).unwrap();
        assert!(
            text.starts_with("POST /?q=<x>'\" HTTP/1.1\r\nHost: "),
            "{text}"
        );
        assert!(text.contains("\r\nuser-agent: ${jndi:x}\r\n"), "{text}");
        assert!(!text.contains("Mozilla"), "{text}");
        assert!(text.ends_with("Content-Length: 5\r\n\r\na=%00"), "{text}");
    }

    #[test]
    fn what_would_be_two_requests_is_not_sent() {
        assert!(
            Message::new("GET", "/")
                .with("X-A", "b\r\nc: d")
                .checked()
                .is_err()
        );
        assert!(Message::new("GET", "/a b").checked().is_err());
        assert!(Message::new("GET", "/a%20b").checked().is_ok());
    }
}
