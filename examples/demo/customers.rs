//! Ordinary customers of the shop: they browse, search, log in, fill carts, review, upload and write prose.
//!
//! Some of what they type looks like an attack to a pattern (O'Brien, "select two", "and/or", "<3"): a firewall that
//! blocks it is wrong, and the demo counts it as a false positive. Nothing here is hostile.

mod words;

use serde_json::json;

use crate::client::SITE;
use crate::message::{Message, percent, query};
use crate::random::Random;
use words::{
    BROWSERS, Browser, CATCHES, CATEGORIES, CITIES, MAILBOXES, NAMES, NOTES, PRODUCTS, REVIEWS,
    SEARCHES, STREETS, SUPPLIERS,
};

/// Loads in the order a visit takes them; the rest of the visit wanders.
pub(crate) struct Customer {
    random: Random,
    browser: Browser,
    name: &'static str,
    page: String,
    /// Set by the shop's answer to the login; tracking cookies are there from the start.
    pub(crate) session: Option<String>,
    visitor: String,
    steps: u32,
}

impl Customer {
    pub(crate) fn new(mut random: Random) -> Self {
        let visitor = format!(
            "GA1.1.{}.{}",
            random.between(100_000_000, 2_000_000_000),
            random.between(1_700_000_000, 1_760_000_000)
        );
        Self {
            browser: random.pick(BROWSERS),
            name: random.pick(NAMES),
            page: format!("https://{SITE}/"),
            session: None,
            visitor,
            steps: 0,
            random,
        }
    }

    /// What the customer does next.
    pub(crate) fn act(&mut self) -> Message {
        self.steps += 1;
        let message = match self.steps {
            1 => Message::get("/"),
            2 => Message::get("/static/shop.css"),
            _ => self.wander(),
        };
        let dressed = self.dress(message);
        if dressed.method == "GET"
            && !dressed.target.starts_with("/static")
            && !dressed.target.starts_with("/api")
        {
            self.page = format!("https://{SITE}{}", dressed.target);
        }
        dressed
    }

    fn wander(&mut self) -> Message {
        let product = self.random.pick(PRODUCTS);
        match self.random.between(0, 20) {
            0..=3 => Message::get(format!("/products/{product}")),
            4..=6 => self.search(),
            7 => Message::get(format!(
                "/api/products?{}",
                query(&[
                    ("category", self.random.pick(CATEGORIES)),
                    ("page", &self.random.between(1, 5).to_string())
                ])
            )),
            8 => self.log_in(),
            9 | 10 => Message::form(
                "/cart",
                &[
                    ("product", product),
                    ("quantity", &self.random.between(1, 4).to_string()),
                ],
            ),
            11 => self.api_cart(product),
            12 => self.review(product),
            13 => self.check_out(),
            14 => self.photo(),
            15 => Message::get(self.random.pick(&[
                "/cart",
                "/account",
                "/checkout",
                "/upload",
                "/login",
            ])),
            16 => Message::get(format!(
                "/download?{}",
                query(&[(
                    "file",
                    self.random
                        .pick(&["care-guide.pdf", "size-chart.pdf", "terms.pdf"])
                )])
            )),
            17 => Message::get(self.random.pick(&["/static/logo.svg", "/static/shop.css"])),
            18 => self.preview(),
            _ => self.stock(product),
        }
    }

    fn search(&mut self) -> Message {
        let wanted = if self.random.one_in(8) {
            self.random.pick(NAMES)
        } else {
            self.random.pick(SEARCHES)
        };
        let sort = self.random.pick(&["price", "relevance", "newest"]);
        if self.random.one_in(3) {
            return Message::get(format!("/search?q={}", percent(wanted)));
        }
        let most = format!(
            "{}.{:02}",
            self.random.between(5, 300),
            self.random.between(0, 100)
        );
        Message::get(format!(
            "/search?{}",
            query(&[("q", wanted), ("sort", sort), ("max_price", &most)])
        ))
    }

    fn log_in(&mut self) -> Message {
        let secret = self.random.pick(&[
            "correct horse battery",
            "Tr0ut!season",
            "h0ok&line#7",
            "sommer2026",
            "m@yfly (June)",
        ]);
        let email = self.email();
        Message::form(
            "/login",
            &[
                ("username", &email),
                ("password", secret),
                ("remember", "on"),
            ],
        )
    }

    fn email(&mut self) -> String {
        let place = self
            .random
            .pick(&["example.com", "example.org", "mail.example.net"]);
        let number = if self.random.one_in(3) {
            self.random.between(1, 99).to_string()
        } else {
            String::new()
        };
        format!("{}{number}@{place}", self.random.pick(MAILBOXES))
    }

    fn api_cart(&mut self, product: &str) -> Message {
        let other = self.random.pick(PRODUCTS);
        Message::json(
            "/api/cart",
            &json!({
                "items": [
                    {"id": product, "quantity": self.random.between(1, 4), "price": self.random.between(10, 200) as f64 + 0.95},
                    {"id": other, "quantity": 1, "engraving": self.name, "options": {"wrap": self.random.one_in(2), "colour": "river-green"}},
                ],
                "voucher": format!("SPRING-{}", self.random.hex(6).to_uppercase()),
                "currency": "EUR",
                "note": self.random.pick(NOTES),
            }),
        )
    }

    fn review(&mut self, product: &str) -> Message {
        let mut text = self.random.pick(REVIEWS).to_owned();
        if self.random.one_in(2) {
            text = format!("{text} {}", self.random.pick(REVIEWS));
        }
        Message::json(
            "/api/reviews",
            &json!({"product": product, "stars": self.random.between(1, 6), "author": self.name, "text": text}),
        )
    }

    fn check_out(&mut self) -> Message {
        let (street, city, note) = (
            self.random.pick(STREETS),
            self.random.pick(CITIES),
            self.random.pick(NOTES),
        );
        let (email, zip) = (
            self.email(),
            self.random.between(10_000, 99_999).to_string(),
        );
        Message::form(
            "/checkout",
            &[
                ("name", self.name),
                ("street", street),
                ("zip", &zip),
                ("city", city),
                ("email", &email),
                ("note", note),
            ],
        )
    }

    fn photo(&mut self) -> Message {
        // The signature and header of a PNG, then noise: what compressed pixels look like from outside.
        let mut picture =
            b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\x02\x80\0\0\x01\xe0\x08\x02\0\0\0".to_vec();
        for _ in 0..self.random.between(200, 1500) {
            picture.extend_from_slice(&self.random.next().to_le_bytes());
        }
        let (name, boundary) = (
            format!("IMG_{}.png", self.random.between(1000, 9999)),
            format!("----WebKitFormBoundary{}", self.random.hex(16)),
        );
        Message::upload(
            "/upload",
            &boundary,
            self.random.pick(CATCHES),
            &name,
            "image/png",
            &picture,
        )
    }

    fn preview(&mut self) -> Message {
        let link = self.random.pick(&[
            "https://blog.example.org/2026/05/mayfly-season/",
            "https://www.example.com/watch?v=dQw4w9WgXcQ&t=42s",
            "https://rivers.example.net/levels?station=harz-07&unit=cm",
        ]);
        Message::get(format!("/api/preview?{}", query(&[("url", link)])))
    }

    /// A supplier's stock list.
    fn stock(&mut self, product: &str) -> Message {
        Message::xml(
            "/api/stock",
            format!(
                "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<stock supplier=\"{}\">\n  <item id=\"{product}\"><count>{}</count>\
                 <price currency=\"EUR\">{}.90</price></item>\n</stock>\n",
                self.random.pick(SUPPLIERS),
                self.random.between(0, 200),
                self.random.between(5, 300)
            ),
        )
    }

    /// The headers this customer's browser would add.
    fn dress(&self, message: Message) -> Message {
        let api = message.target.starts_with("/api");
        let asset = message.target.starts_with("/static");
        let accept = match (api, asset) {
            (true, _) => "application/json, text/plain, */*",
            (_, true) => "text/css,image/avif,image/webp,*/*;q=0.1",
            _ => {
                "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8"
            }
        };
        let mode = if api {
            "cors"
        } else if asset {
            "no-cors"
        } else {
            "navigate"
        };
        let mut cookie = format!(
            "_ga={}; consent=analytics%3D0%26marketing%3D0",
            self.visitor
        );
        if let Some(session) = &self.session {
            cookie.push_str(&format!("; session={session}"));
        }
        let mut message = message
            .with("user-agent", self.browser.agent)
            .with("accept", accept)
            .with("accept-language", self.browser.language)
            .with("accept-encoding", "gzip, deflate")
            .with("cookie", cookie)
            .with("sec-fetch-mode", mode)
            .with("sec-fetch-site", "same-origin");
        if let Some((brands, mobile, platform)) = self.browser.hints {
            message = message
                .with("sec-ch-ua", brands)
                .with("sec-ch-ua-mobile", mobile)
                .with("sec-ch-ua-platform", platform);
        }
        if self.steps > 1 {
            message = message.with("referer", self.page.clone());
        }
        if message.method == "POST" {
            message = message.with("origin", format!("https://{SITE}"));
        }
        message
    }
}
