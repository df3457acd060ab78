//! The plain proxy beside which Weir is measured: hyper on both sides, a pool of connections, one thread, and nothing
//! else. Runs as a child of the measurement (`bench peer`).

use std::net::{IpAddr, SocketAddr};

use anyhow::{Context, Result};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::{Bytes, Incoming};
use hyper::header::{
    CONNECTION, HeaderMap, HeaderName, HeaderValue, PROXY_AUTHORIZATION, TE, TRAILER,
    TRANSFER_ENCODING, UPGRADE,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, Uri};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpListener;

type Body = UnsyncBoxBody<Bytes, hyper::Error>;
type Upstream = Client<HttpConnector, Incoming>;

const POOL: usize = 256;
/// What belongs to one connection (RFC 9110, section 7.6.1).
const HOP_BY_HOP: [HeaderName; 8] = [
    CONNECTION,
    TE,
    TRAILER,
    TRANSFER_ENCODING,
    UPGRADE,
    PROXY_AUTHORIZATION,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
];

pub(crate) async fn serve(listen: SocketAddr, origin: SocketAddr) -> Result<()> {
    let listener = TcpListener::bind(listen)
        .await
        .with_context(|| format!("cannot listen on {listen}"))?;
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let upstream: Upstream = Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_max_idle_per_host(POOL)
        .build(connector);
    loop {
        let (stream, peer) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let upstream = upstream.clone();
        let service = service_fn(move |request| {
            let upstream = upstream.clone();
            async move { forward(request, peer.ip(), origin, &upstream).await }
        });
        tokio::spawn(async move {
            // A client that goes away is no event here.
            let _ended = http1::Builder::new()
                .timer(TokioTimer::new())
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

async fn forward(
    mut request: Request<Incoming>,
    client: IpAddr,
    origin: SocketAddr,
    upstream: &Upstream,
) -> Result<Response<Body>> {
    let target = request
        .uri()
        .path_and_query()
        .map_or("/", |all| all.as_str());
    *request.uri_mut() = Uri::builder()
        .scheme("http")
        .authority(origin.to_string())
        .path_and_query(target)
        .build()?;
    strip(request.headers_mut());
    let client = HeaderValue::from_str(&client.to_string())?;
    request.headers_mut().insert("x-forwarded-for", client);
    match upstream.request(request).await {
        Ok(answer) => {
            let mut answer = answer.map(BodyExt::boxed_unsync);
            strip(answer.headers_mut());
            Ok(answer)
        }
        Err(error) => {
            eprintln!("the origin: {error:?}");
            let body = Empty::new().map_err(|never| match never {}).boxed_unsync();
            let mut answer = Response::new(body);
            *answer.status_mut() = StatusCode::BAD_GATEWAY;
            Ok(answer)
        }
    }
}

fn strip(headers: &mut HeaderMap) {
    for name in &HOP_BY_HOP {
        headers.remove(name);
    }
}
