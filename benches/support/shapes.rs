//! Four requests of the kinds that proxies are measured with: a page, a form, a small and a large JSON document.

use std::fmt;

use weir_scoring::record::OwnedRequest;

pub(crate) struct Shape {
    name: &'static str,
    make: fn() -> OwnedRequest,
}

impl fmt::Display for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

pub(crate) const SHAPES: [Shape; 4] = [
    Shape {
        name: "page",
        make: page,
    },
    Shape {
        name: "form",
        make: form,
    },
    Shape {
        name: "json 8 KiB",
        make: || json(37),
    },
    Shape {
        name: "json 64 KiB",
        make: || json(296),
    },
];

impl Shape {
    pub(crate) fn request(&self) -> OwnedRequest {
        (self.make)()
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

fn json(items: usize) -> OwnedRequest {
    let items: Vec<String> = (0..items)
        .map(|n| {
            format!(
                "{{\"id\":\"rod-{n}\",\"quantity\":{},\"price\":{}.95,\"note\":\"{}\"}}",
                n % 5 + 1,
                n * 13 % 300,
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
