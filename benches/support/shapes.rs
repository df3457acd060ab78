//! Requests of the kinds that proxies are measured with: a page, a form of 17 fields, JSON of 8 KiB with 240 leaves and of
//! 64 KiB with 919, and a form that holds all kinds of fields.

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
        make: |n| json("/api/orders", 34, 120, n),
    },
    Shape {
        name: "json 64 KiB",
        make: |n| json("/api/orders/import", 131, 380, n),
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
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36",
        ),
        (
            "accept",
            "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
        ),
        ("accept-language", "en-GB,en;q=0.9,de;q=0.7"),
        ("accept-encoding", "gzip, deflate, br"),
        ("referer", "https://shop.example/catalogue?page=2"),
        (
            "cookie",
            "session=9f86d081884c7d659a2feaa0c55ad015; theme=dark; consent=yes",
        ),
        ("cache-control", "max-age=0"),
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
    request("GET", "/index?id=123", None, String::new())
}

fn form() -> OwnedRequest {
    let body = "name=Anna+Schmidt&email=anna.schmidt%40example.org&street=Lindenallee+42&city=Hamburg&zip=20095&country=DE&\
                phone=%2B49401234567&quantity=3&sku=AB-2291-XL&colour=dark+blue&newsletter=yes&\
                comment=Please+leave+the+parcel+with+the+neighbours&delivery=standard&payment=invoice&lang=en&step=4&\
                token=4f2c8e1a9b7d";
    request(
        "POST",
        "/checkout/address",
        Some("application/x-www-form-urlencoded"),
        body.into(),
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

/// Orders with a note of so many bytes each.
fn json(target: &str, items: usize, note: usize, variant: usize) -> OwnedRequest {
    let items: Vec<String> = (0..items)
        .map(|n| {
            format!(
                "{{\"id\": {}, \"sku\": \"AB-{:04}\", \"title\": \"{}\", \"price\": {}.{:02}, \"qty\": {}, \"note\": \"{}\", \
                 \"gift\": false}}",
                1000 + n,
                (n + variant) * 7919 % 10_000,
                words(n, 24),
                (n + variant) * 13 % 100,
                n * 29 % 100,
                (n + variant) % 9 + 1,
                words(n + 1000, note),
            )
        })
        .collect();
    request(
        "POST",
        target,
        Some("application/json"),
        format!(
            "{{\"customer\": \"anna\", \"currency\": \"EUR\", \"items\": [{}]}}",
            items.join(", ")
        ),
    )
}

/// So many bytes of words without sense, other ones for another seed.
fn words(seed: usize, bytes: usize) -> String {
    const WORDS: [&str; 32] = [
        "order", "parcel", "window", "garden", "bottle", "market", "letter", "summer", "paper",
        "yellow", "river", "mountain", "coffee", "music", "travel", "silver", "kitchen", "story",
        "number", "quiet", "blanket", "forest", "harbour", "bridge", "painting", "sugar", "lemon",
        "cotton", "marble", "candle", "winter", "pencil",
    ];
    let mut state = seed as u32;
    let mut text = String::new();
    while text.len() < bytes {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        text.push_str(WORDS[(state >> 27) as usize]);
        text.push(' ');
    }
    text.truncate(bytes);
    text.trim_end().to_owned()
}
