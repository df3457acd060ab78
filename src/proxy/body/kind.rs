//! What a body is: by its content type, and by its first bytes.
//!
//! Not here: what follows from it (`plan`). A content type is the sender's claim: it decides how long a body is held,
//! and never that it is not looked at.

use http::header::{self, HeaderMap};

/// Kinds of bodies that are treated alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `application/x-www-form-urlencoded`.
    Form,
    /// JSON and GraphQL: one document, read as a whole.
    Json,
    /// Other text, also lines of JSON.
    Text,
    /// `multipart/*`.
    Multipart,
    /// Pictures, sound, archives, `application/octet-stream`.
    Binary,
    /// gRPC, event streams and upgrades: messages that are answered while more come.
    Live,
    /// Anything else, and no content type at all.
    Unknown,
}

impl Kind {
    /// Every kind, in no order that matters.
    pub const ALL: [Self; 7] = [
        Self::Form,
        Self::Json,
        Self::Text,
        Self::Multipart,
        Self::Binary,
        Self::Live,
        Self::Unknown,
    ];

    /// By the headers of a request. Of several content types the one counts that is held longest: which one the
    /// application believes is not known.
    pub fn of(headers: &HeaderMap) -> Self {
        headers
            .get_all(header::CONTENT_TYPE)
            .into_iter()
            .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
            .map(Self::named)
            .min_by_key(|kind| kind.looseness())
            .unwrap_or(Self::Unknown)
    }

    const fn looseness(self) -> u8 {
        match self {
            Self::Form | Self::Json => 0,
            Self::Text => 1,
            Self::Multipart => 2,
            Self::Unknown => 3,
            Self::Binary => 4,
            Self::Live => 5,
        }
    }

    /// By one content type with its parameters.
    pub fn named(content_type: &[u8]) -> Self {
        let essence = essence(content_type);
        let (main, sub) = split(&essence);
        match (main, sub) {
            ("application", "x-www-form-urlencoded") => Self::Form,
            ("application" | "text", "json" | "graphql") => Self::Json,
            ("application", "x-ndjson" | "ndjson" | "jsonl" | "json-seq") => Self::Text,
            ("text", "event-stream") => Self::Live,
            ("application", sub) if is_rpc(sub) => Self::Live,
            ("application", "xml" | "javascript" | "ecmascript" | "yaml" | "x-yaml" | "toml") => {
                Self::Text
            }
            _ if sub.ends_with("+json") => Self::Json,
            _ if sub.ends_with("+xml") || sub.ends_with("+yaml") => Self::Text,
            ("text", _) => Self::Text,
            ("multipart", _) => Self::Multipart,
            ("image" | "audio" | "video" | "font", _) => Self::Binary,
            ("application", sub) if is_file(sub) => Self::Binary,
            _ => Self::Unknown,
        }
    }
}

fn is_rpc(sub: &str) -> bool {
    sub == "grpc"
        || ["grpc+", "grpc-web", "connect+"]
            .iter()
            .any(|name| sub.starts_with(name))
}

/// Files by a type of their own. Office documents are archives by their suffix or their vendor's tree.
fn is_file(sub: &str) -> bool {
    matches!(
        sub,
        "octet-stream"
            | "pdf"
            | "zip"
            | "gzip"
            | "x-gzip"
            | "zstd"
            | "x-tar"
            | "x-bzip2"
            | "x-xz"
            | "x-7z-compressed"
            | "x-rar-compressed"
            | "vnd.rar"
            | "java-archive"
            | "msword"
            | "wasm"
            | "ogg"
            | "x-sqlite3"
            | "vnd.sqlite3"
    ) || sub.ends_with("+zip")
        || sub.starts_with("vnd.openxmlformats-")
        || sub.starts_with("vnd.oasis.opendocument")
        || sub.starts_with("vnd.ms-")
}

/// The media type in lower case, without its parameters.
pub fn essence(content_type: &[u8]) -> String {
    let end = content_type
        .iter()
        .position(|byte| *byte == b';')
        .unwrap_or(content_type.len());
    let name = content_type.get(..end).unwrap_or_default().trim_ascii();
    String::from_utf8_lossy(name).to_ascii_lowercase()
}

fn split(essence: &str) -> (&str, &str) {
    essence.split_once('/').unwrap_or((essence, ""))
}

/// What the first bytes say about the claim of a content type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Magic {
    /// Binary data of the type that was declared, or of any type where none in particular was.
    AsDeclared,
    /// Text, or something other than declared.
    Other,
}

impl Magic {
    /// Compares `head`, the first bytes of a body or part, with its content type.
    pub fn of(content_type: &[u8], head: &[u8]) -> Self {
        let declared = essence(content_type);
        let (main, sub) = split(&declared);
        let found = infer::get(head).map(|kind| kind.mime_type());
        let any =
            main.is_empty() || Kind::named(content_type) == Kind::Unknown || sub == "octet-stream";
        let same = match found {
            Some(found) if any => !is_text(found),
            Some(found) => found == declared || alike(&declared, found),
            // No signature, as encrypted data or a format of one's own has none.
            None => any && !reads_as_text(head),
        };
        if same { Self::AsDeclared } else { Self::Other }
    }
}

/// Text that signatures exist for: pages, documents, scripts.
fn is_text(mime: &str) -> bool {
    mime.starts_with("text/") || mime.ends_with("xml")
}

/// Names differ where the thing is the same: any picture for a picture, any archive for what is packed in one.
fn alike(declared: &str, found: &str) -> bool {
    let ((main, sub), (found_main, found_sub)) = (split(declared), split(found));
    if matches!(main, "image" | "audio" | "video" | "font") {
        let media = |name| matches!(name, "audio" | "video");
        return main == found_main
            || media(main) && media(found_main)
            || main == "font" && found_sub.contains("font");
    }
    let packed = |sub: &str| {
        sub.ends_with("zip")
            || sub == "java-archive"
            || sub.starts_with("vnd.openxmlformats-")
            || sub.starts_with("vnd.oasis.")
            || sub.starts_with("epub")
    };
    let office =
        |sub: &str| sub == "msword" || sub.starts_with("vnd.ms-") || sub == "x-ole-storage";
    let squeezed = |sub: &str| sub.ends_with("gzip");
    main == found_main
        && (packed(sub) && packed(found_sub) && !squeezed(found_sub)
            || office(sub) && (office(found_sub) || packed(found_sub))
            || squeezed(sub) && squeezed(found_sub))
}

/// At most one byte in twenty is neither printable, white space nor part of a UTF-8 character.
fn reads_as_text(head: &[u8]) -> bool {
    let mut odd = 0;
    for chunk in head.utf8_chunks() {
        odd += chunk.invalid().len();
        odd += chunk
            .valid()
            .bytes()
            .filter(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace())
            .count();
    }
    odd * 20 <= head.len()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(types: &[&'static str]) -> Kind {
        let mut headers = HeaderMap::new();
        for kind in types {
            headers.append(header::CONTENT_TYPE, HeaderValue::from_static(kind));
        }
        Kind::of(&headers)
    }

    #[test]
    fn content_types_are_told_apart() {
        for (text, kind) in [
            ("application/x-www-form-urlencoded", Kind::Form),
            ("Application/JSON; charset=utf-8", Kind::Json),
            ("application/vnd.api+json", Kind::Json),
            ("application/graphql", Kind::Json),
            ("application/x-ndjson", Kind::Text),
            ("text/plain", Kind::Text),
            ("image/svg+xml", Kind::Text),
            ("application/soap+xml", Kind::Text),
            ("multipart/form-data; boundary=x", Kind::Multipart),
            ("image/png", Kind::Binary),
            ("application/octet-stream", Kind::Binary),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                Kind::Binary,
            ),
            ("application/grpc", Kind::Live),
            ("application/grpc+proto", Kind::Live),
            ("application/grpc-web+proto", Kind::Live),
            ("text/event-stream", Kind::Live),
            ("application/grpcish", Kind::Unknown),
            ("application/x-protobuf", Kind::Unknown),
            ("nonsense", Kind::Unknown),
            ("", Kind::Unknown),
        ] {
            assert_eq!(of(&[text]), kind, "{text}");
        }
        assert_eq!(of(&[]), Kind::Unknown);
    }

    #[test]
    fn of_several_content_types_the_strictest_counts() {
        assert_eq!(of(&["image/png", "application/json"]), Kind::Json);
        assert_eq!(of(&["application/grpc, text/plain"]), Kind::Text);
        assert_eq!(of(&["application/grpc", "x/y"]), Kind::Unknown);
    }

    #[test]
    fn first_bytes_confirm_or_contradict_the_claim() {
        use Magic::{AsDeclared, Other};
        let png: &[u8] = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
        let jpeg: &[u8] = b"\xff\xd8\xff\xe0\0\x10JFIF\0";
        let zip: &[u8] = b"PK\x03\x04\x14\0\0\0\x08\0";
        let elf: &[u8] = b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
        for (declared, head, expected) in [
            ("image/png", png, AsDeclared),
            ("image/jpeg", png, AsDeclared),
            ("image/jpeg", jpeg, AsDeclared),
            ("image/png", b"<?php system($_GET[0]);", Other),
            ("image/png", zip, Other),
            ("application/zip", zip, AsDeclared),
            ("application/pdf", zip, Other),
            ("application/pdf", b"%PDF-1.7\n", AsDeclared),
            (
                "application/vnd.openxmlformats-officedocument.wordprocessingml.document",
                zip,
                AsDeclared,
            ),
            ("application/octet-stream", elf, AsDeclared),
            (
                "application/octet-stream",
                b"\x80\x01\0\xfe\xff\x90\x91",
                AsDeclared,
            ),
            ("application/octet-stream", b"name=value&other=text", Other),
            ("application/octet-stream", b"#!/bin/sh\nid\n", Other),
            ("", b"\x80\x01\0\xfe\xff\x90\x91", AsDeclared),
            ("", b"<!DOCTYPE html><p>", Other),
            (
                "application/x-protobuf",
                b"\x0a\x07\xe2\x82\x28\xff\xfe\0\x01",
                AsDeclared,
            ),
            ("image/png", b"", Other),
        ] {
            let text = String::from_utf8_lossy(head);
            assert_eq!(
                Magic::of(declared.as_bytes(), head),
                expected,
                "{declared}: {text}"
            );
        }
    }
}
