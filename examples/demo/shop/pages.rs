//! The shop's pages: plain HTML and JSON. Everything a visitor typed is escaped.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};

use super::catalogue::{PRODUCTS, Product};
use super::store::Customer;

type Reply = Response<Full<Bytes>>;

fn reply(status: StatusCode, kind: &'static str, body: String) -> Reply {
    let mut reply = Response::new(Full::new(Bytes::from(body)));
    *reply.status_mut() = status;
    reply
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    reply
}

fn page(title: &str, body: &str) -> Reply {
    let html = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>{title} - Brook &amp; Bank</title>\
         <link rel=\"stylesheet\" href=\"/static/shop.css\"></head><body>\
         <header><a href=\"/\"><img src=\"/static/logo.svg\" alt=\"\" width=\"32\"> Brook &amp; Bank</a>\
         <form action=\"/search\"><input name=\"q\" placeholder=\"Search\"></form>\
         <nav><a href=\"/cart\">Cart</a> <a href=\"/account\">Account</a> <a href=\"/upload\">Show your catch</a></nav>\
         </header><main><h1>{title}</h1>{body}</main></body></html>"
    );
    reply(StatusCode::OK, "text/html; charset=utf-8", html)
}

pub(crate) fn plain(status: StatusCode, text: &str) -> Reply {
    reply(status, "text/plain; charset=utf-8", text.to_owned())
}

pub(crate) fn json(status: StatusCode, value: &serde_json::Value) -> Reply {
    reply(status, "application/json", value.to_string())
}

pub(crate) fn home() -> Reply {
    page("Everything for the river", &list(PRODUCTS.iter()))
}

pub(crate) fn search(wanted: &str, sort: &str) -> Reply {
    let needle = wanted.to_lowercase();
    let mut found: Vec<&Product> = PRODUCTS
        .iter()
        .filter(|product| product.name.to_lowercase().contains(&needle))
        .collect();
    if sort == "price" {
        found.sort_by_key(|product| product.cents);
    }
    page(
        &format!("{} results for {}", found.len(), escape(wanted)),
        &list(found.into_iter()),
    )
}

pub(crate) fn product(product: &Product) -> Reply {
    let body = format!(
        "<p>{}</p><form method=\"post\" action=\"/cart\"><input type=\"hidden\" name=\"product\" value=\"{}\">\
         <input name=\"quantity\" value=\"1\"><button>Add to cart</button></form>",
        price(product.cents),
        product.id
    );
    page(&escape(product.name), &body)
}

pub(crate) fn login() -> Reply {
    page(
        "Log in",
        "<form method=\"post\"><input name=\"username\"><input name=\"password\" type=\"password\"><button>Log in</button></form>",
    )
}

pub(crate) fn account(customer: Option<&Customer>) -> Reply {
    match customer {
        Some(customer) => page(
            &format!("Welcome, {}", escape(&customer.name)),
            "<p>No open orders.</p>",
        ),
        None => login(),
    }
}

pub(crate) fn cart(items: &[(String, u32)]) -> Reply {
    let rows: String = items
        .iter()
        .map(|(id, quantity)| format!("<li>{quantity} x {}</li>", escape(id)))
        .collect();
    page(
        "Your cart",
        &format!("<ul>{rows}</ul><a href=\"/checkout\">Check out</a>"),
    )
}

pub(crate) fn checkout() -> Reply {
    page(
        "Check out",
        "<form method=\"post\"><input name=\"name\"><input name=\"street\"><input name=\"city\"><input name=\"email\">\
         <textarea name=\"note\"></textarea><button>Order</button></form>",
    )
}

pub(crate) fn thanks(name: &str) -> Reply {
    page(
        &format!("Thank you, {}", escape(name)),
        "<p>Your order is on its way.</p>",
    )
}

pub(crate) fn upload() -> Reply {
    page(
        "Show your catch",
        "<form method=\"post\" enctype=\"multipart/form-data\"><input name=\"note\"><input type=\"file\" name=\"file\"><button>Send</button></form>",
    )
}

pub(crate) fn download(file: &str) -> Reply {
    match file {
        "care-guide.pdf" | "size-chart.pdf" | "terms.pdf" => plain(StatusCode::OK, "(a document)"),
        _ => not_found(),
    }
}

pub(crate) fn api_products(category: &str) -> Reply {
    let found: Vec<serde_json::Value> = PRODUCTS
        .iter()
        .filter(|product| category.is_empty() || product.category == category)
        .map(|product| serde_json::json!({"id": product.id, "name": product.name, "cents": product.cents}))
        .collect();
    json(StatusCode::OK, &serde_json::Value::Array(found))
}

pub(crate) fn css() -> Reply {
    reply(
        StatusCode::OK,
        "text/css",
        "body{font:16px/1.5 sans-serif;max-width:60rem;margin:auto}".to_owned(),
    )
}

pub(crate) fn logo() -> Reply {
    let svg = "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 8 8\"><path d=\"M0 5q2-3 4 0t4 0\" stroke=\"teal\" fill=\"none\"/></svg>";
    reply(StatusCode::OK, "image/svg+xml", svg.to_owned())
}

pub(crate) fn not_found() -> Reply {
    plain(StatusCode::NOT_FOUND, "There is no such page.")
}

fn list<'a>(products: impl Iterator<Item = &'a Product>) -> String {
    let rows: String = products
        .map(|product| {
            format!(
                "<li><a href=\"/products/{}\">{}</a> {}</li>",
                product.id,
                escape(product.name),
                price(product.cents)
            )
        })
        .collect();
    format!("<ul>{rows}</ul>")
}

fn price(cents: u32) -> String {
    format!("{}.{:02} EUR", cents / 100, cents % 100)
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
