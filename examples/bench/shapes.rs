//! The requests that are measured, and the attacks that a firewall must stop meanwhile.

use crate::random::Random;
use crate::request::{Body, Request, Values};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Shape {
    Page,
    Form,
    Json,
    LargeJson,
}

impl Shape {
    pub(crate) const ALL: [Self; 4] = [Self::Page, Self::Form, Self::Json, Self::LargeJson];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Page => "a GET, 8 headers",
            Self::Form => "b form, 305 B, 17 fields",
            Self::Json => "c JSON, 8 KiB, 240 leaves",
            Self::LargeJson => "d JSON, 64 KiB, 919 leaves",
        }
    }

    pub(crate) fn request(self, values: Values) -> Request {
        match self {
            Self::Page => Request::get("/index?id=123"),
            Self::Form => Request::post("/checkout/address", FORM_TYPE, form(values)),
            Self::Json => Request::post("/api/orders", JSON, document(values, 34, 120)),
            Self::LargeJson => {
                Request::post("/api/orders/import", JSON, document(values, 131, 380))
            }
        }
    }

    /// Connections at once. A large body keeps a proxy busy, and many of them would only wait for each other.
    pub(crate) fn connections(self) -> usize {
        match self {
            Self::Page | Self::Form => 64,
            Self::Json | Self::LargeJson => 16,
        }
    }
}

pub(crate) const FORM_TYPE: &str = "application/x-www-form-urlencoded";
pub(crate) const JSON: &str = "application/json";

const WORDS: [&str; 28] = [
    "order", "parcel", "window", "garden", "bottle", "market", "letter", "summer", "paper",
    "yellow", "river", "mountain", "coffee", "music", "travel", "silver", "kitchen", "story",
    "number", "quiet", "blanket", "forest", "harbour", "bridge", "painting", "sugar", "lemon",
    "cotton",
];

/// Key, what stands before the part that may change, that part, what stands behind it.
const FORM: [(&str, &str, &str, &str); 17] = [
    ("name", "Anna+", "Schmidt", ""),
    ("email", "anna.", "schmidt", "%40example.org"),
    ("street", "Lindenallee+", "42", ""),
    ("city", "", "Hamburg", ""),
    ("zip", "", "20095", ""),
    ("country", "", "DE", ""),
    ("phone", "%2B49", "401234567", ""),
    ("quantity", "", "3", ""),
    ("sku", "AB-", "2291", "-XL"),
    ("colour", "dark+", "blue", ""),
    ("newsletter", "", "yes", ""),
    (
        "comment",
        "Please+leave+the+parcel+with+the+",
        "neighbours",
        "",
    ),
    ("delivery", "", "standard", ""),
    ("payment", "", "invoice", ""),
    ("lang", "", "en", ""),
    ("step", "", "4", ""),
    ("token", "4f2c8e1a", "9b7d", ""),
];

fn form(values: Values) -> Body {
    let mut body = Body::new(values);
    for (index, (key, before, part, after)) in FORM.into_iter().enumerate() {
        body.text(if index == 0 { "" } else { "&" });
        body.text(&format!("{key}={before}"));
        if part.bytes().all(|byte| byte.is_ascii_digit()) {
            body.number(part);
        } else {
            body.word(part);
        }
        body.text(after);
    }
    body
}

/// A form of so many fields.
pub(crate) fn fields(values: Values, count: usize) -> Body {
    let mut body = Body::new(values);
    for field in 0..count {
        body.text(if field == 0 { "" } else { "&" });
        body.text(&format!("field{field}=dark+"));
        body.word("blue");
    }
    body
}

/// An order of so many items, each with a note of so many bytes and seven values in all.
pub(crate) fn document(values: Values, items: usize, note: usize) -> Body {
    let mut order = Order::new(values);
    for _ in 0..items {
        order.item(note);
    }
    order.end()
}

/// An order that is at least so long.
pub(crate) fn document_of(values: Values, bytes: usize) -> Body {
    let mut order = Order::new(values);
    while order.items == 0 || order.body.len() < bytes {
        order.item(380.min(bytes / 4));
    }
    order.end()
}

struct Order {
    body: Body,
    random: Random,
    items: u64,
}

impl Order {
    fn new(values: Values) -> Self {
        let mut body = Body::new(values);
        body.text("{\"customer\": \"");
        body.word("anna");
        body.text("\", \"currency\": \"");
        body.word("EUR");
        body.text("\", \"items\": [");
        Self {
            body,
            random: Random::new(7),
            items: 0,
        }
    }

    fn item(&mut self, note: usize) {
        let Self {
            body,
            random,
            items,
        } = self;
        body.text(if *items == 0 {
            "{\"id\": "
        } else {
            ", {\"id\": "
        });
        body.number(&(1000 + *items).to_string());
        body.text(", \"sku\": \"AB-");
        body.number(&format!("{:04}", random.between(0, 10_000)));
        body.text("\", \"title\": \"");
        prose(body, random, 24);
        body.text("\", \"price\": ");
        body.number(&random.between(1, 99).to_string());
        body.text(&format!(".{:02}, \"qty\": ", random.between(1, 100)));
        body.number(&random.between(1, 10).to_string());
        body.text(", \"note\": \"");
        prose(body, random, note);
        body.text("\", \"gift\": ");
        body.number("false");
        body.text("}");
        *items += 1;
    }

    fn end(mut self) -> Body {
        self.body.text("]}");
        self.body
    }
}

/// Words of together so many bytes, or a few more; the last is one that may change.
fn prose(body: &mut Body, random: &mut Random, bytes: usize) {
    let end = body.len() + bytes.saturating_sub(8);
    while body.len() < end {
        body.text(random.pick(&WORDS));
        body.text(" ");
    }
    body.word(random.pick(&WORDS));
}

/// One for each kind of place that the shapes have. Each must be refused.
pub(crate) fn attacks() -> Vec<(&'static str, Request)> {
    let swap = |shape: Shape, from: &str, to: &str, kind| {
        let request = shape.request(Values::Same);
        let text = String::from_utf8_lossy(request.body()).replace(from, to);
        let mut body = Body::new(Values::Same);
        body.text(&text);
        let target = request.with_view(|view| String::from_utf8_lossy(view.target).into_owned());
        Request::post(&target, kind, body)
    };
    vec![
        (
            "SQL in the query",
            Request::get("/index?id=1%27%20UNION%20SELECT%20user,password%20FROM%20users--%20"),
        ),
        (
            "a script in the query",
            Request::get("/index?id=%3Cscript%3Ealert(1)%3C/script%3E"),
        ),
        (
            "a path in the query",
            Request::get("/index?f=../../../../etc/passwd"),
        ),
        (
            "a command in the query",
            Request::get("/index?id=;cat%20/etc/passwd"),
        ),
        (
            "SQL in the form",
            swap(Shape::Form, "Hamburg", "x%27+OR+1%3D1--+-", FORM_TYPE),
        ),
        (
            "a script in the JSON",
            swap(
                Shape::Json,
                "\"anna\"",
                "\"<img src=x onerror=alert(document.cookie)>\"",
                JSON,
            ),
        ),
    ]
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn body(shape: Shape, values: Values) -> String {
        String::from_utf8(shape.request(values).body().to_vec()).unwrap()
    }

    fn leaves(value: &serde_json::Value) -> usize {
        match value {
            serde_json::Value::Array(items) => items.iter().map(leaves).sum(),
            serde_json::Value::Object(items) => items.values().map(leaves).sum(),
            _ => 1,
        }
    }

    #[test]
    fn shapes_are_what_their_names_say() {
        assert_eq!(body(Shape::Form, Values::Same).len(), 305);
        for (shape, bytes, count) in [(Shape::Json, 8192, 240), (Shape::LargeJson, 65_536, 919)] {
            for values in [Values::Same, Values::Distinct] {
                let text = body(shape, values);
                let off = text.len().abs_diff(bytes);
                assert!(off < bytes / 5, "{shape:?} {values:?}: {}", text.len());
                assert_eq!(leaves(&serde_json::from_str(&text).unwrap()), count);
            }
            assert_eq!(shape.request(Values::Distinct).distinct(), count);
        }
        assert_eq!(Shape::Form.request(Values::Distinct).distinct(), 17);
        assert!(document_of(Values::Same, 1 << 20).len() >= 1 << 20);
    }

    #[test]
    fn attacks_differ_from_the_shapes_they_stand_in() {
        for (name, attack) in attacks() {
            let same = Shape::ALL
                .iter()
                .any(|shape| shape.request(Values::Same).wire() == attack.wire());
            assert!(!same, "{name}");
        }
    }
}
