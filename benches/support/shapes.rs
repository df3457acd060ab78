//! Requests of the kinds that proxies are measured with: a page, a form, a small and a large JSON document, 30 fields.

use std::fmt;

use weir_scoring::record::OwnedRequest;

pub(crate) struct Shape {
    name: &'static str,
    make: fn(usize) -> OwnedRequest,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

/// Variants of a shape that are told apart by their values.
pub(crate) const VARIANTS: usize = 256;

pub(crate) const SHAPES: [Shape; 5] = [
    Shape {
        name: "page",
        make: |_| page(),
    },
    Shape {
        name: "30 fields",
        make: thirty,
    },
    Shape {
        name: "form",
        make: |_| form(),
    },
    Shape {
        name: "json 8 KiB",
        make: |n| json(37, n),
    },
    Shape {
        name: "json 64 KiB",
        make: |n| json(296, n),
    },
];

impl Shape {
    pub(crate) fn request(&self) -> OwnedRequest {
        self.variant(0)
    }

    /// The request with other values, where the shape has any that vary.
    pub(crate) fn variant(&self, number: usize) -> OwnedRequest {
        (self.make)(number)
    }
}

fn request(method: &str, target: &str, content_type: Option<&str>, body: String) -> OwnedRequest {
    let mut headers: Vec<(Vec<u8>, Vec<u8>)> = [
        ("host", "shop.example"),
        (
            "user-agent",
            "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
        ),
        ("accept-language", "en-US,en;q=0.5"),
        ("accept-encoding", "gzip, deflate, br"),
        (
            "cookie",
            "session=6f1c2b9ad04e4d0c8d7a; consent=analytics%3D0",
        ),
        ("referer", "https://shop.example/products/rod-210"),
    ]
    .map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec()))
    .to_vec();
    if let Some(content_type) = content_type {
        headers.push((b"content-type".to_vec(), content_type.as_bytes().to_vec()));
    }
    OwnedRequest {
        method: method.into(),
        target: target.into(),
        headers,
        body: body.into_bytes(),
    }
}

fn page() -> OwnedRequest {
    request(
        "GET",
        "/search?q=fly+rod&sort=price&max_price=250.00",
        None,
        String::new(),
    )
}

fn form() -> OwnedRequest {
    let fields: Vec<String> = (0..17)
        .map(|n| format!("field{n}=Value+{}%2C+Hamburg", n * 37))
        .collect();
    request(
        "POST",
        "/checkout",
        Some("application/x-www-form-urlencoded"),
        fields.join("&"),
    )
}

/// What an application gets from a form with all kinds of fields; together with path and headers 30 fields.
fn thirty(variant: usize) -> OwnedRequest {
    let n = variant * 7919 % 100_003;
    let body = format!(
        "name=Anna+Schmidt{n}&email=anna.{n}%40example.com&city=M%C3%BCnchen&total={}.95&\
         note=Please+ring+twice%2C+number+{n}&date=2026-{:02}-{:02}&token={:032x}",
        n % 400,
        n % 12 + 1,
        n % 28 + 1,
        (n as u128 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835),
    );
    request(
        "POST",
        &format!("/checkout/{n}?step={}&lang=de", n % 4),
        Some("application/x-www-form-urlencoded"),
        body,
    )
}

fn json(items: usize, variant: usize) -> OwnedRequest {
    let items: Vec<String> = (0..items)
        .map(|n| {
            format!(
                "{{\"id\":\"rod-{n}\",\"quantity\":{},\"price\":{}.95,\"note\":\"{}\"}}",
                (n + variant) % 5 + 1,
                (n + variant) * 13 % 300,
                "please wrap it as a gift, thank you. ".repeat(if n % 4 == 0 { 12 } else { 2 })
            )
        })
        .collect();
    request(
        "POST",
        "/api/cart",
        Some("application/json"),
        format!("{{\"items\":[{}]}}", items.join(",")),
    )
}
