//! gRPC from end to end: a real client and a real server, and Weir between them.

use std::convert::Infallible;
use std::net::SocketAddr;

use futures_util::{Stream, StreamExt};
use http::uri::PathAndQuery;
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::metadata::MetadataValue;
use tonic::transport::server::TcpIncoming;
use tonic::transport::{Channel, Endpoint, Server};
use tonic::{Code, Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

use crate::support::weir::{STRICT, Setup, Weir};
use crate::support::{eventually, noise, within};

/// What both sides send.
#[derive(Clone, PartialEq, prost::Message)]
struct Note {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(bytes = "vec", tag = "2")]
    load: Vec<u8>,
    #[prost(uint32, tag = "3")]
    number: u32,
}

impl Note {
    fn new(text: &str, number: u32) -> Self {
        Self {
            text: text.to_owned(),
            load: Vec::new(),
            number,
        }
    }
}

type Codec = ProstCodec<Note, Note>;
type Notes = std::pin::Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

async fn unary(request: Request<Note>) -> Result<Response<Note>, Status> {
    let verdict = request.metadata().get("x-weir-verdict").cloned();
    let note = request.into_inner();
    if note.text == "fail" {
        let mut status = Status::failed_precondition("not today: 100 %");
        status
            .metadata_mut()
            .insert("x-detail", MetadataValue::from_static("why"));
        return Err(status);
    }
    let mut response = Response::new(note);
    if let Some(verdict) = verdict {
        response.metadata_mut().insert("x-seen-verdict", verdict);
    }
    Ok(response)
}

async fn count_down(request: Request<Note>) -> Result<Response<Notes>, Status> {
    let from = request.into_inner().number;
    let notes = futures_util::stream::iter((0..from).rev().map(|n| Ok(Note::new("left", n))));
    Ok(Response::new(Box::pin(notes)))
}

async fn sum(request: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
    let mut notes = request.into_inner();
    let mut sum = Note::new("", 0);
    while let Some(note) = notes.message().await? {
        sum.text.push_str(&note.text);
        sum.number += note.number;
        sum.load.extend(note.load);
    }
    Ok(Response::new(sum))
}

async fn echo(request: Request<Streaming<Note>>) -> Result<Response<Notes>, Status> {
    Ok(Response::new(Box::pin(request.into_inner())))
}

async fn serve(request: http::Request<Body>) -> Result<http::Response<Body>, Infallible> {
    let mut grpc = tonic::server::Grpc::new(Codec::default());
    let response = match request.uri().path() {
        "/notes.Notes/Unary" => grpc.unary(tower::service_fn(unary), request).await,
        "/notes.Notes/CountDown" => {
            grpc.server_streaming(tower::service_fn(count_down), request)
                .await
        }
        "/notes.Notes/Sum" => grpc.client_streaming(tower::service_fn(sum), request).await,
        "/notes.Notes/Echo" => grpc.streaming(tower::service_fn(echo), request).await,
        _ => Status::unimplemented("no such method").into_http(),
    };
    Ok(response)
}

async fn server() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = Server::builder()
        .serve_with_incoming(tower::service_fn(serve), TcpIncoming::from(listener));
    tokio::spawn(serving);
    address
}

async fn between(route: &str) -> (Weir, Grpc<Channel>) {
    through(server().await, route).await
}

async fn through(server: SocketAddr, route: &str) -> (Weir, Grpc<Channel>) {
    let mut setup = Setup::new(server).route(route);
    setup.upstream = ", protocol: http2".to_owned();
    let weir = setup.start().await;
    let endpoint = Endpoint::from_shared(format!("http://{}", weir.address)).unwrap();
    let channel = within("a channel", endpoint.connect()).await.unwrap();
    let mut client = Grpc::new(channel);
    client.ready().await.unwrap();
    (weir, client)
}

fn method(name: &str) -> PathAndQuery {
    format!("/notes.Notes/{name}").parse().unwrap()
}

const ENFORCED: &str = crate::support::weir::LENIENT;

#[tokio::test]
async fn a_unary_call_and_its_status() {
    let (weir, mut client) = between(ENFORCED).await;
    let mut note = Note::new("hello", 1);
    note.load = noise(200_000);
    let call = client.unary(
        Request::new(note.clone()),
        method("Unary"),
        Codec::default(),
    );
    let response = within("a response", call).await.unwrap();
    assert!(response.metadata().contains_key("x-request-id"));
    assert_eq!(response.metadata().get("x-seen-verdict").unwrap(), "pass");
    assert!(response.into_inner() == note);

    client.ready().await.unwrap();
    let call = client.unary(
        Request::new(Note::new("fail", 0)),
        method("Unary"),
        Codec::default(),
    );
    let status: Status = within("a status", call).await.unwrap_err();
    assert_eq!(status.code(), Code::FailedPrecondition);
    assert_eq!(status.message(), "not today: 100 %");
    assert_eq!(status.metadata().get("x-detail").unwrap(), "why");

    client.ready().await.unwrap();
    let call = client.unary(
        Request::new(Note::new("", 0)),
        method("Nothing"),
        Codec::default(),
    );
    let status: Status = within("a status", call).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
    let records = eventually("records", || {
        Some(weir.records()).filter(|all| all.len() == 3)
    })
    .await;
    assert!(records.iter().all(|record| record["status"] == 200));
}

#[tokio::test]
async fn the_server_streams() {
    let (_weir, mut client) = between(ENFORCED).await;
    let call = client.server_streaming::<Note, Note, _>(
        Request::new(Note::new("", 100)),
        method("CountDown"),
        Codec::default(),
    );
    let mut notes = within("a response", call).await.unwrap().into_inner();
    for number in (0..100).rev() {
        let note = within("a note", notes.message()).await.unwrap().unwrap();
        assert_eq!(note.number, number);
    }
    assert!(within("the end", notes.message()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_client_streams() {
    let (_weir, mut client) = between(ENFORCED).await;
    let load = noise(20_000);
    let part = load.clone();
    let notes = futures_util::stream::iter((1..=50).map(move |number| Note {
        text: "x".to_owned(),
        load: part.clone(),
        number,
    }));
    let call = client.client_streaming(Request::new(notes), method("Sum"), Codec::default());
    let sum: Note = within("a sum", call).await.unwrap().into_inner();
    assert_eq!((sum.text.len(), sum.number), (50, 1275));
    assert!(sum.load == load.repeat(50));
}

/// The next message is sent only when the last has come back: whoever holds bodies back would wait for ever.
#[tokio::test]
async fn both_stream_in_turns() {
    for route in [ENFORCED, "mode: shadow", "mode: off"] {
        let (weir, mut client) = between(route).await;
        let (sender, notes) = mpsc::channel(1);
        let notes = futures_util::stream::unfold(notes, |mut notes| async move {
            Some((notes.recv().await?, notes))
        });
        let call = client.streaming(Request::new(notes), method("Echo"), Codec::default());
        let mut back = within("the head", call).await.unwrap().into_inner();
        for number in 0..10 {
            let note = Note::new("ping", number);
            sender.send(note.clone()).await.unwrap();
            let echoed: Note = within("an echo", back.message()).await.unwrap().unwrap();
            assert_eq!(echoed, note);
        }
        drop(sender);
        assert!(within("the end", back.message()).await.unwrap().is_none());
        let record = eventually("a record", || weir.records().pop()).await;
        assert_eq!(record["status"], 200);
    }
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_at_the_server() {
    let (weir, mut client) = between(ENFORCED).await;
    let (sender, notes) = mpsc::channel(1);
    let notes = futures_util::stream::unfold(notes, |mut notes| async move {
        Some((notes.recv().await?, notes))
    });
    let call = client.streaming(Request::new(notes), method("Echo"), Codec::default());
    let mut back: Streaming<Note> = within("the head", call).await.unwrap().into_inner();
    sender.send(Note::new("ping", 0)).await.unwrap();
    assert!(within("an echo", back.next()).await.unwrap().is_ok());
    drop(back);
    within("the request's end", sender.closed()).await;
    eventually("a record", || weir.records().pop()).await;
}

#[tokio::test]
async fn a_blocked_call_fails_with_a_status_of_grpc() {
    let (_weir, mut client) = between(STRICT).await;
    let call = client.unary(
        Request::new(Note::new("hello", 1)),
        method("Unary"),
        Codec::default(),
    );
    let status: Status = within("a status", call)
        .await
        .map(|response: Response<Note>| response)
        .unwrap_err();
    assert_eq!(status.code(), Code::PermissionDenied, "{status}");
    let id = status.metadata().get("x-request-id").unwrap();
    assert!(status.message().contains(id.to_str().unwrap()), "{status}");
}

#[tokio::test]
async fn a_server_that_is_away_is_unavailable() {
    // Nothing listens there any more.
    let address = TcpListener::bind("127.0.0.1:0")
        .await
        .unwrap()
        .local_addr()
        .unwrap();
    let (_weir, mut client) = through(address, ENFORCED).await;
    let call = client.unary(
        Request::new(Note::new("hello", 1)),
        method("Unary"),
        Codec::default(),
    );
    let answer: Result<Response<Note>, Status> = within("a status", call).await;
    assert_eq!(answer.unwrap_err().code(), Code::Unavailable);
}
