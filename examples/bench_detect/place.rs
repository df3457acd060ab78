//! GoTestWAF's placeholders: where in a request its payloads go. Not here: encoders and case files.
//!
//! Written from the tool's documented behaviour. Names of parameters are made from the payload, so that every run sends
//! the same bytes; the tool draws them at random.

use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use crate::encode;
use crate::message::Message;

/// How many bytes stand before a padded attack.
pub(crate) const PADDING: usize = 128 * 1024;

/// Placeholders whose payload is in a body: these can be padded.
pub(crate) const IN_BODY: [&str; 8] = [
    "HTMLForm",
    "HTMLMultipartForm",
    "JSONRequest",
    "JSONBody",
    "XMLBody",
    "SOAPBody",
    "RequestBody",
    "RawRequest",
];

/// A placeholder of a case file: a name, for some with settings.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Placeholder {
    pub(crate) name: String,
    settings: Value,
}

impl Placeholder {
    /// From `"Name"` or `{"Name": {...}}`.
    pub(crate) fn read(value: &Value) -> Option<Self> {
        if let Some(name) = value.as_str() {
            return Some(Self {
                name: name.to_owned(),
                settings: Value::Null,
            });
        }
        let (name, settings) = value.as_object()?.iter().next()?;
        Some(Self {
            name: name.clone(),
            settings: settings.clone(),
        })
    }

    /// True where padding can stand before the payload.
    pub(crate) fn in_body(&self) -> bool {
        let graphql = self.name == "GraphQL" && self.setting("method") == "POST";
        graphql || IN_BODY.contains(&self.name.as_str())
    }

    /// What a report calls it.
    pub(crate) fn label(&self) -> String {
        match self.setting("method") {
            method if self.name == "GraphQL" => format!("GraphQL {method}"),
            _ => self.name.clone(),
        }
    }

    fn setting(&self, key: &str) -> &str {
        self.settings
            .get(key)
            .and_then(Value::as_str)
            .unwrap_or_default()
    }

    /// The request with a payload, encoded as the case wants it.
    pub(crate) fn request(&self, encoder: &str, payload: &str) -> Result<Message, String> {
        let payload = encode::apply(encoder, payload)
            .ok_or_else(|| format!("the encoder {encoder} is not known"))?;
        self.filled("", &payload)?.checked()
    }

    /// The same behind padding of one letter. Where a payload is a document, the padding is something that the document's
    /// format allows before its contents.
    pub(crate) fn padded(&self, encoder: &str, payload: &str) -> Result<Message, String> {
        let padding = "A".repeat(PADDING);
        match self.name.as_str() {
            "XMLBody" => {
                let head = payload.find("?>").map_or(0, |end| end + 2);
                let (head, rest) = payload.split_at(head);
                self.request(encoder, &format!("{head}<!--{padding}-->{rest}"))
            }
            "GraphQL" | "JSONBody" => {
                let rest = payload.trim_start().strip_prefix('{').unwrap_or(payload);
                self.request(encoder, &format!("{{\"padding\":\"{padding}\",{rest}"))
            }
            "RawRequest" if payload.starts_with("cmd=") => {
                self.request(encoder, &format!("padding={padding}&{payload}"))
            }
            // Sixfold in this placeholder's own encoding, the padding alone would be more than is inspected: it is written
            // as it is.
            "JSONRequest" => {
                let apply = |text: &str| {
                    encode::apply(encoder, text)
                        .ok_or_else(|| format!("the encoder {encoder} is not known"))
                };
                let whole = apply(&format!("{padding}{payload}"))?;
                let (padding, payload) =
                    whole.split_at(whole.len().saturating_sub(apply(payload)?.len()));
                self.filled(padding, payload)?.checked()
            }
            _ => self.request(encoder, &format!("{padding}{payload}")),
        }
    }

    fn filled(&self, padding: &str, payload: &str) -> Result<Message, String> {
        let name = name_for(payload);
        let post = |kind: &str, body: String| {
            Message::new("POST", "/")
                .with("Content-Type", kind)
                .body(body)
        };
        Ok(match self.name.as_str() {
            "URLParam" => Message::new("GET", format!("/?{name}={}", encode::target(payload))),
            "URLPath" => Message::new("GET", format!("/{}", encode::target(payload))),
            "Header" => Message::new("GET", "/").with(&format!("X-{name}"), payload),
            "UserAgent" => Message::new("GET", "/").with("User-Agent", payload),
            "HTMLForm" => post(
                "application/x-www-form-urlencoded",
                format!("{name}={payload}"),
            ),
            "HTMLMultipartForm" => multipart(&name, payload),
            "JSONBody" => post("application/json", payload.to_owned()),
            "JSONRequest" => post(
                "application/json",
                format!(
                    "{{\"test\":true, \"{name}\": \"{padding}{}\"}}",
                    encode::js_unicode(payload)
                ),
            ),
            "XMLBody" => post("text/xml", payload.to_owned()),
            "SOAPBody" => soap(&name, payload),
            "RequestBody" => Message::new("POST", "/").body(payload),
            "GraphQL" => self.graphql(payload),
            "gRPC" => grpc(payload),
            "RawRequest" => self.raw(payload),
            other => return Err(format!("the placeholder {other} is not known")),
        })
    }

    /// The tool puts an already encoded payload into a query that it encodes again.
    fn graphql(&self, payload: &str) -> Message {
        match self.setting("method") {
            "GET" => Message::new("GET", format!("/?query={}", encode::form(payload))),
            _ => Message::new("POST", "/").body(payload),
        }
    }

    fn raw(&self, payload: &str) -> Message {
        let fill = |text: &str| text.replace("{{payload}}", payload);
        let path = match self.setting("path") {
            "" => "/".to_owned(),
            path => encode::target(&fill(path)),
        };
        let mut message = Message::new(self.setting("method"), path);
        let headers = self.settings.get("headers").and_then(Value::as_object);
        for (name, value) in headers.into_iter().flatten() {
            message = message.with(name, fill(value.as_str().unwrap_or_default()));
        }
        message.body(fill(self.setting("body")))
    }
}

/// Ten hexadecimal digits.
fn name_for(payload: &str) -> String {
    let mut hasher = DefaultHasher::new();
    payload.hash(&mut hasher);
    format!("{:010x}", hasher.finish() >> 24)
}

fn multipart(name: &str, payload: &str) -> Message {
    let boundary = format!("{name}{name}{name}{name}{name}{name}");
    let body = format!(
        "--{boundary}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{payload}\r\n--{boundary}--\r\n"
    );
    Message::new("POST", "/")
        .with(
            "Content-Type",
            format!("multipart/form-data; boundary={boundary}"),
        )
        .body(body)
}

/// A SOAP call with the payload as the text of an element.
fn soap(name: &str, payload: &str) -> Message {
    // The tool wraps the text in an element of its own when it escapes it.
    let value = format!("<string>{}</string>", encode::xml(payload));
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n\
         <soapenv:Envelope xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\">\n\
         <soapenv:Header/>\n<soapenv:Body>\n<query xmlns=\"https://www.example.com/api\">\n\
         <ab{name}>{value}</ab{name}>\n</query>\n</soapenv:Body>\n</soapenv:Envelope>"
    );
    Message::new("POST", "/")
        .with(
            "SOAPAction",
            "\"http://schemas.xmlsoap.org/soap/actor/next\"",
        )
        .with("Content-Type", "text/xml")
        .body(body)
}

/// A unary call with one message of one string.
fn grpc(payload: &str) -> Message {
    let mut message = vec![0x0a];
    let mut length = payload.len();
    while length >= 0x80 {
        message.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    message.push(length as u8);
    message.extend_from_slice(payload.as_bytes());
    let mut body = vec![0];
    body.extend_from_slice(&(message.len() as u32).to_be_bytes());
    body.extend_from_slice(&message);
    let mut request = Message::new("POST", "/encoder.ServiceFooBar/foo")
        .with("Content-Type", "application/grpc")
        .with("User-Agent", "grpc-go/1.56.0")
        .with("TE", "trailers")
        .body(body);
    request.http2 = true;
    request
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use serde_json::json;

    fn placed(value: Value, encoder: &str, payload: &str) -> (Message, String) {
        let message = Placeholder::read(&value)
            .unwrap()
            .request(encoder, payload)
            .unwrap();
        let body = String::from_utf8_lossy(&message.body).into_owned();
        (message, body)
    }

    #[test]
    fn payloads_stand_where_their_placeholders_say() {
        let (message, _) = placed(json!("URLParam"), "URL", "' or 1=1");
        assert!(
            message.target.ends_with("=%27+or+1%3D1"),
            "{}",
            message.target
        );
        let (message, _) = placed(json!("URLPath"), "Plain", "%0d%0aSet-Cookie:a=b");
        assert_eq!(message.target, "/%0d%0aSet-Cookie:a=b");
        let (_, body) = placed(json!("JSONRequest"), "Plain", "'");
        assert!(
            body.starts_with("{\"test\":true, \"") && body.ends_with("\": \"\\u0027\"}"),
            "{body}"
        );
        let (_, body) = placed(json!("SOAPBody"), "Plain", "<a>");
        assert!(body.contains("<string>&lt;a&gt;</string>"), "{body}");
        let (message, _) = placed(json!({"GraphQL": {"method": "GET"}}), "URL", "{a}");
        assert_eq!(message.target, "/?query=%257Ba%257D");
        let raw = json!({"RawRequest": {"method": "CUST", "path": "/x", "headers": {"A": "{{payload}}"}, "body": "b={{payload}}\n"}});
        let (message, body) = placed(raw, "Plain", "1");
        assert_eq!((message.method.as_str(), body.as_str()), ("CUST", "b=1\n"));
        assert!(message.headers.contains(&("A".to_owned(), "1".to_owned())));
        let (message, body) = placed(json!("gRPC"), "Plain", "abc");
        assert!(
            message.http2 && body == "\0\0\0\0\u{5}\n\u{3}abc",
            "{body:?}"
        );
    }

    #[test]
    fn padding_stands_before_the_attack_and_within_what_is_inspected() {
        for name in IN_BODY {
            let placeholder = Placeholder {
                name: name.to_owned(),
                settings: json!({"method": "POST", "body": "{{payload}}"}),
            };
            for encoder in ["Plain", "URL", "Base64Flat"] {
                let plain = placeholder.request(encoder, "<attack>").unwrap().body.len();
                let padded = placeholder.padded(encoder, "<attack>").unwrap();
                assert!(padded.body.len() >= plain + PADDING, "{name} {encoder}");
                assert!(padded.body.len() < 256 * 1024, "{name} {encoder}");
            }
        }
    }
}
