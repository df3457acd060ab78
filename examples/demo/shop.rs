//! The demo shop: a small web application to stand behind Weir, with pages, search, login, cart, a JSON API and uploads.
//!
//! It keeps everything in memory and believes whatever it is sent. It is harmless (it escapes what it prints and runs
//! nothing), but no example of how to build a shop. Nothing here knows about Weir, except that the shop repeats the
//! verdict header it was given, so that the demo can show it.

mod catalogue;
mod pages;
mod store;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, COOKIE, HeaderValue, LOCATION, SERVER, SET_COOKIE};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpListener;

use crate::message::unform;
use store::{Customer, Store};

/// Enough for every form and photo the demo sends; a shop need not take more.
const MOST_BODY: usize = 2 * 1024 * 1024;

/// Tells the shop's answers from Weir's: the traffic generator looks for it.
pub(crate) const SERVER_NAME: &str = "brook-and-bank";

type Reply = Response<Full<Bytes>>;

/// Serves until the future is dropped.
pub(crate) async fn serve(listener: TcpListener) -> std::io::Result<()> {
    let store = Arc::new(Store::default());
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let store = Arc::clone(&store);
        tokio::spawn(async move {
            let service = hyper::service::service_fn(move |request| {
                let store = Arc::clone(&store);
                async move { Ok::<_, Infallible>(answer(&store, request).await) }
            });
            // A client that goes away in the middle is no event for a shop.
            let _ = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// Runs the shop on a thread of its own, as a real one would not share the proxy's or the customers' threads.
pub(crate) fn on_own_thread(address: SocketAddr) -> anyhow::Result<SocketAddr> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let bound = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new()
        .name("shop".to_owned())
        .spawn(move || {
            runtime.block_on(async move {
                if let Err(error) = serve_std(listener).await {
                    eprintln!("demo: the shop stopped: {error}");
                }
            });
        })?;
    Ok(bound)
}

async fn serve_std(listener: std::net::TcpListener) -> std::io::Result<()> {
    serve(TcpListener::from_std(listener)?).await
}

async fn answer(store: &Store, request: Request<Incoming>) -> Reply {
    let (head, body) = request.into_parts();
    let verdict = head.headers.get("x-weir-verdict").cloned();
    let mut reply = match Limited::new(body, MOST_BODY).collect().await {
        Ok(body) => {
            let asked = Asked {
                method: head.method,
                path: unform(head.uri.path()),
                query: head.uri.query().unwrap_or_default().to_owned(),
                session: session(head.headers.get(COOKIE)),
                body: body.to_bytes(),
            };
            route(store, &asked)
        }
        Err(_) => pages::plain(StatusCode::PAYLOAD_TOO_LARGE, "too large"),
    };
    reply
        .headers_mut()
        .insert(SERVER, HeaderValue::from_static(SERVER_NAME));
    if let Some(verdict) = verdict {
        reply.headers_mut().insert("x-shop-saw", verdict);
    }
    reply
}

/// What the handlers need of a request.
struct Asked {
    method: Method,
    path: String,
    query: String,
    session: Option<String>,
    body: Bytes,
}

impl Asked {
    fn parameter(&self, name: &str) -> String {
        store::field(&self.query, name).unwrap_or_default()
    }

    fn form(&self, name: &str) -> String {
        store::field(&String::from_utf8_lossy(&self.body), name).unwrap_or_default()
    }

    fn customer(&self, store: &Store) -> Option<Customer> {
        store.customer(self.session.as_deref()?)
    }
}

fn route(store: &Store, asked: &Asked) -> Reply {
    let post = asked.method == Method::POST;
    match asked.path.as_str() {
        "/" => pages::home(),
        "/search" => pages::search(&asked.parameter("q"), &asked.parameter("sort")),
        "/login" if post => login(store, asked),
        "/login" => pages::login(),
        "/account" => pages::account(asked.customer(store).as_ref()),
        "/cart" if post => add_to_cart(store, asked),
        "/cart" => pages::cart(&store.cart(asked.session.as_deref().unwrap_or_default())),
        "/checkout" if post => pages::thanks(&asked.form("name")),
        "/checkout" => pages::checkout(),
        "/upload" if post => pages::plain(
            StatusCode::CREATED,
            &format!("stored {} bytes", asked.body.len()),
        ),
        "/upload" => pages::upload(),
        "/download" => pages::download(&asked.parameter("file")),
        "/api/cart" if post => api_cart(store, asked),
        "/api/products" => pages::api_products(&asked.parameter("category")),
        "/api/reviews" if post => api_review(store, asked),
        "/api/reviews" => pages::json(StatusCode::OK, &store.reviews()),
        "/api/preview" => pages::json(
            StatusCode::OK,
            &serde_json::json!({"preview": asked.parameter("url").len()}),
        ),
        "/api/stock" if post => pages::json(
            StatusCode::ACCEPTED,
            &serde_json::json!({"queued": asked.body.len()}),
        ),
        "/static/shop.css" => pages::css(),
        "/static/logo.svg" => pages::logo(),
        path => match path.strip_prefix("/products/").and_then(catalogue::find) {
            Some(product) => pages::product(product),
            None => pages::not_found(),
        },
    }
}

fn login(store: &Store, asked: &Asked) -> Reply {
    let name = asked.form("username");
    if name.is_empty() || asked.form("password").len() < 4 {
        return pages::plain(StatusCode::UNAUTHORIZED, "wrong name or password");
    }
    let session = store.log_in(&name);
    let mut reply = see_other("/account");
    if let Ok(value) = HeaderValue::from_str(&format!(
        "session={session}; HttpOnly; SameSite=Lax; Path=/"
    )) {
        reply.headers_mut().insert(SET_COOKIE, value);
    }
    reply
}

fn add_to_cart(store: &Store, asked: &Asked) -> Reply {
    let quantity = asked.form("quantity").parse().unwrap_or(1);
    store.add(
        asked.session.as_deref().unwrap_or_default(),
        &asked.form("product"),
        quantity,
    );
    see_other("/cart")
}

fn api_cart(store: &Store, asked: &Asked) -> Reply {
    let Ok(cart) = serde_json::from_slice::<serde_json::Value>(&asked.body) else {
        return pages::json(
            StatusCode::BAD_REQUEST,
            &serde_json::json!({"error": "not JSON"}),
        );
    };
    let items = cart
        .get("items")
        .and_then(|items| items.as_array())
        .map_or(0, Vec::len);
    store.add(
        asked.session.as_deref().unwrap_or_default(),
        "api",
        items as u32,
    );
    pages::json(
        StatusCode::OK,
        &serde_json::json!({"items": items, "currency": "EUR"}),
    )
}

fn api_review(store: &Store, asked: &Asked) -> Reply {
    match serde_json::from_slice::<serde_json::Value>(&asked.body) {
        Ok(review) => {
            store.review(review);
            pages::json(StatusCode::CREATED, &serde_json::json!({"ok": true}))
        }
        Err(_) => pages::json(
            StatusCode::BAD_REQUEST,
            &serde_json::json!({"error": "not JSON"}),
        ),
    }
}

fn see_other(place: &'static str) -> Reply {
    let mut reply = pages::plain(StatusCode::SEE_OTHER, "");
    reply
        .headers_mut()
        .insert(LOCATION, HeaderValue::from_static(place));
    reply.headers_mut().remove(CONTENT_TYPE);
    reply
}

fn session(cookies: Option<&HeaderValue>) -> Option<String> {
    let cookies = cookies?.to_str().ok()?;
    cookies
        .split("; ")
        .find_map(|pair| pair.strip_prefix("session="))
        .map(str::to_owned)
}
