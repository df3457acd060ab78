//! One visitor's connection: HTTP/1.1 keep-alive over a real socket, from a loopback address of the visitor's own.
//!
//! Whether an answer was right is not judged here.

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_LENGTH, HOST, SERVER};
use hyper::{HeaderMap, Request};
use hyper_util::rt::TokioIo;
use tokio::net::TcpSocket;

use crate::message::Message;
use crate::shop::SERVER_NAME;
use crate::tally::Outcome;

/// What the shop's customers have in their address bar. Requests name it as they would behind a real domain.
pub(crate) const SITE: &str = "www.brook-and-bank.example";

/// Nothing in the demo takes this long: an answer that does is a failure.
const PATIENCE: Duration = Duration::from_secs(10);

pub(crate) struct Visitor {
    to: SocketAddr,
    host: String,
    from: Option<IpAddr>,
    connection: Option<SendRequest<Full<Bytes>>>,
}

#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) micros: u32,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// What became of the request, told by who answered it.
    pub(crate) fn outcome(&self) -> Outcome {
        let by_shop = self
            .headers
            .get(SERVER)
            .is_some_and(|server| server == SERVER_NAME);
        let id = || self.header("x-request-id").map(str::to_owned);
        match (self.status, by_shop) {
            (500.., _) => Outcome::Failed(format!("status {}", self.status)),
            (_, true) => match self.header("x-shop-saw") {
                Some("flag" | "block") => Outcome::Flagged,
                Some("failed_open") => Outcome::Uninspected,
                _ => Outcome::Passed,
            },
            // Anything else that did not come from the shop was stopped on the way: 403, or 400 and the like for what is no sane request.
            (_, false) => Outcome::Blocked(id()),
        }
    }
}

impl Visitor {
    /// A visitor of the site.
    pub(crate) fn new(to: SocketAddr, from: Option<IpAddr>) -> Self {
        Self {
            to,
            host: SITE.to_owned(),
            from,
            connection: None,
        }
    }

    /// A client that names the address itself, as scripts on the same machine do.
    pub(crate) fn local(to: SocketAddr) -> Self {
        Self {
            to,
            host: to.to_string(),
            from: None,
            connection: None,
        }
    }

    pub(crate) async fn send(&mut self, message: &Message) -> Result<Answer, String> {
        let started = Instant::now();
        match tokio::time::timeout(PATIENCE, self.exchange(message, started)).await {
            Ok(answer) => answer,
            Err(_) => {
                self.connection = None;
                Err(format!("no answer within {} s", PATIENCE.as_secs()))
            }
        }
    }

    async fn exchange(&mut self, message: &Message, started: Instant) -> Result<Answer, String> {
        let request = self.request(message)?;
        let mut connection = self.connect().await?;
        let response = match connection.try_send_request(request).await {
            Ok(response) => response,
            // The server may close an idle connection at any time. hyper hands the request back when it never left: every
            // client sends it again then, and so does this one. What was sent and not answered is a failure.
            Err(mut error) => match error.take_message() {
                Some(request) => {
                    connection = self.open().await?;
                    connection
                        .send_request(request)
                        .await
                        .map_err(|error| describe(&error))?
                }
                None => return Err(describe(error.error())),
            },
        };
        let (head, body) = response.into_parts();
        let body = body
            .collect()
            .await
            .map_err(|error| describe(&error))?
            .to_bytes();
        self.connection = Some(connection);
        let micros = u32::try_from(started.elapsed().as_micros()).unwrap_or(u32::MAX);
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body,
            micros,
        })
    }

    fn request(&self, message: &Message) -> Result<Request<Full<Bytes>>, String> {
        let mut builder = Request::builder()
            .method(message.method)
            .uri(&message.target)
            .header(HOST, &self.host);
        for (name, value) in &message.headers {
            builder = builder.header(*name, value.as_bytes());
        }
        if !message.body.is_empty() {
            builder = builder.header(CONTENT_LENGTH, message.body.len());
        }
        builder
            .body(Full::new(Bytes::from(message.body.clone())))
            .map_err(|error| format!("cannot be sent: {error}"))
    }

    async fn connect(&mut self) -> Result<SendRequest<Full<Bytes>>, String> {
        match self.connection.take() {
            Some(mut connection) => match connection.ready().await {
                Ok(()) => Ok(connection),
                Err(_) => self.open().await,
            },
            None => self.open().await,
        }
    }

    async fn open(&self) -> Result<SendRequest<Full<Bytes>>, String> {
        let say = |error: std::io::Error| format!("connect to {}: {error}", self.to);
        let socket = TcpSocket::new_v4().map_err(say)?;
        if let Some(from) = self.from {
            socket.bind(SocketAddr::new(from, 0)).map_err(say)?;
        }
        let stream = socket.connect(self.to).await.map_err(say)?;
        stream.set_nodelay(true).map_err(say)?;
        let (sender, connection) = handshake(TokioIo::new(stream))
            .await
            .map_err(|error| describe(&error))?;
        tokio::spawn(connection);
        Ok(sender)
    }
}

fn describe(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
