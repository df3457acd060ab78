//! WebSocket between a real client and a real server: frames pass untouched, and silence has an end.

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_async, client_async};

use crate::support::bundle::ATTACK;
use crate::support::origin::raw;
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, noise, within};

type Socket = WebSocketStream<TcpStream>;

async fn connect(weir: &Weir, target: &str) -> Result<Socket, Error> {
    let stream = TcpStream::connect(weir.address).await.unwrap();
    let request = format!("ws://shop.example{target}");
    let (socket, response) = within("the handshake", client_async(request, stream)).await?;
    assert!(response.headers().contains_key("x-request-id"));
    Ok(socket)
}

async fn next(socket: &mut Socket) -> Option<Result<Message, Error>> {
    within("a message", socket.next()).await
}

/// A server that greets, echoes, and tells when a connection has ended.
async fn chat() -> (std::net::SocketAddr, mpsc::UnboundedReceiver<()>) {
    let (ended, ends) = mpsc::unbounded_channel();
    let (address, _) = raw(move |_, stream| {
        let ended = ended.clone();
        async move {
            let mut socket = accept_async(stream).await.unwrap();
            let _ = socket.send(Message::text("welcome")).await;
            while let Some(Ok(message)) = socket.next().await {
                if message.is_text() || message.is_binary() {
                    let _ = socket.send(message).await;
                }
            }
            let _ = ended.send(());
        }
    })
    .await;
    (address, ends)
}

#[tokio::test]
async fn messages_pass_both_ways_until_either_side_closes() {
    let (address, mut ends) = chat().await;
    let weir = Setup::new(address).start().await;
    let mut socket = connect(&weir, "/chat").await.unwrap();
    // The server speaks first.
    let greeting = next(&mut socket).await.unwrap().unwrap();
    assert_eq!(greeting, Message::text("welcome"));
    for message in [
        Message::text("hello"),
        Message::text(format!("GET {ATTACK} HTTP/1.1\r\n\r\n")),
        Message::binary(noise(1 << 20)),
        Message::binary(Vec::new()),
    ] {
        socket.send(message.clone()).await.unwrap();
        assert!(next(&mut socket).await.unwrap().unwrap() == message);
    }
    socket
        .send(Message::Ping("are you there".into()))
        .await
        .unwrap();
    let pong = next(&mut socket).await.unwrap().unwrap();
    assert_eq!(pong, Message::Pong("are you there".into()));
    let farewell = CloseFrame {
        code: CloseCode::Away,
        reason: "bye".into(),
    };
    socket.close(Some(farewell.clone())).await.unwrap();
    let answer = next(&mut socket).await.unwrap().unwrap();
    assert_eq!(answer, Message::Close(Some(farewell)));
    assert!(next(&mut socket).await.is_none());
    within("the server's end", ends.recv()).await.unwrap();
    drop(socket);
    let record = eventually("the record", || weir.records().pop()).await;
    assert_eq!(record["status"], 101);
    assert!(record["response_bytes"].as_u64().unwrap() > 1 << 20);
}

#[tokio::test]
async fn a_handshake_that_attacks_does_not_reach_the_server() {
    let (address, _ends) = chat().await;
    let weir = Setup::new(address).route("mode: enforce").start().await;
    let refused = connect(&weir, ATTACK).await;
    let Err(Error::Http(response)) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(response.status(), 403);
}

#[tokio::test]
async fn silence_ends_a_connection_at_both_ends() {
    let (address, mut ends) = chat().await;
    let weir = Setup::new(address)
        .section("timeouts: {upgrade: 1s}")
        .start()
        .await;
    let mut socket = connect(&weir, "/chat").await.unwrap();
    assert!(next(&mut socket).await.unwrap().is_ok());
    assert!(matches!(next(&mut socket).await, None | Some(Err(_))));
    within("the server's end", ends.recv()).await.unwrap();
}

#[tokio::test]
async fn a_client_that_vanishes_frees_the_server() {
    let (address, mut ends) = chat().await;
    let weir = Setup::new(address).start().await;
    let socket = connect(&weir, "/chat").await.unwrap();
    drop(socket);
    within("the server's end", ends.recv()).await.unwrap();
}

#[tokio::test]
async fn an_open_socket_counts_as_a_connection() {
    let (address, mut ends) = chat().await;
    let weir = Setup::new(address)
        .section("limits: {connections: 1}")
        .start()
        .await;
    let mut socket = connect(&weir, "/chat").await.unwrap();
    assert!(next(&mut socket).await.unwrap().is_ok());
    let answer = crate::support::client::exchange(
        weir.address,
        b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(!answer.contains(" 200 "), "{answer}");
    assert_eq!(crate::admin::metric(&weir, "weir_connections").await, 1.0);
    drop(socket);
    within("the server's end", ends.recv()).await.unwrap();
    within("room again", async {
        while connect(&weir, "/chat").await.is_err() {}
    })
    .await;
}
