//! An ordinary origin: takes whatever is HTTP and answers 200. Not here: judging.
//!
//! It repeats what Weir added to the request, so that a passed request can be found among the decisions.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;

/// Tells the origin's answers from the proxy's.
pub(crate) const MARK: &str = "x-origin";
/// The request id and the verdict that the origin saw.
pub(crate) const SEEN_ID: &str = "x-origin-saw-id";
pub(crate) const SEEN_VERDICT: &str = "x-origin-saw-verdict";

/// Serves until the runtime ends.
pub(crate) async fn start() -> std::io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let service = hyper::service::service_fn(answer);
                // A request that is none ends the connection: that is an answer here.
                let _ = auto::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    Ok(address)
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let _ = body.collect().await;
    let mut response = Response::new(Full::new(Bytes::from_static(b"ok\n")));
    let headers = response.headers_mut();
    headers.insert(MARK, HeaderValue::from_static("1"));
    for (from, to) in [("x-request-id", SEEN_ID), ("x-weir-verdict", SEEN_VERDICT)] {
        if let Some(value) = head.headers.get(from) {
            headers.insert(HeaderName::from_static(to), value.clone());
        }
    }
    Ok(response)
}
