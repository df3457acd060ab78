//! One version takes over from another while clients go on: no request is lost, none is served twice.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http_body_util::BodyExt;
use hyper::Request;
use tokio::net::TcpStream;

use crate::support::client::{Body, Client, full};
use crate::support::origin::{Origin, Seen};
use crate::support::weir::{Setup, Weir};
use crate::support::{eventually, within};

/// Answers that must have come in each stage: before, between and after.
const STAGE: usize = 300;

/// Whether a connection carries more than one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Fresh,
    KeepAlive,
    Two,
}

struct Load {
    address: SocketAddr,
    stop: AtomicBool,
    answered: AtomicUsize,
}

impl Load {
    /// Sends requests until told to stop; every one must be answered with what was sent.
    async fn run(self: Arc<Self>, kind: Kind, number: usize) {
        let mut client = None;
        let mut round = 0;
        while !self.stop.load(Ordering::SeqCst) {
            round += 1;
            let body = format!("{kind:?} {number} {round}");
            let seen = within("an answer", self.one(kind, &mut client, &body)).await;
            assert_eq!(seen.length, body.len());
            self.answered.fetch_add(1, Ordering::SeqCst);
        }
    }

    /// One request. A connection that was closed before a byte of the request was sent is replaced, as every client
    /// does; any other failure is a lost request.
    async fn one(&self, kind: Kind, client: &mut Option<Client>, body: &str) -> Seen {
        loop {
            let mut open = match client.take() {
                Some(client) => client,
                None if kind == Kind::Two => Client::http2(self.address).await,
                None => Client::http1(self.address).await,
            };
            let request = open.request("POST", "/form").header("x-body", body);
            let request: Request<Body> = request.body(full(body.to_owned())).unwrap();
            let sent = match &mut open {
                Client::One(sender) => match sender.ready().await {
                    Ok(()) => sender.try_send_request(request).await,
                    Err(_closed) => continue,
                },
                Client::Two(sender) => match sender.ready().await {
                    Ok(()) => sender.try_send_request(request).await,
                    Err(_closed) => continue,
                },
            };
            let response = match sent {
                Ok(response) => response,
                Err(mut error) => match error.take_message() {
                    Some(_never_sent) => continue,
                    None => panic!("{kind:?} lost {body}: {:?}", error.error()),
                },
            };
            assert_eq!(response.status(), 200, "{kind:?} {body}");
            let answer = response.into_body().collect().await;
            let answer = answer.unwrap_or_else(|error| panic!("{kind:?} {body}: {error:?}"));
            if kind != Kind::Fresh {
                *client = Some(open);
            }
            return serde_json::from_slice(&answer.to_bytes()).unwrap();
        }
    }

    async fn stage(&self) {
        let before = self.answered.load(Ordering::SeqCst);
        eventually("answers", || {
            (self.answered.load(Ordering::SeqCst) > before + STAGE).then_some(())
        })
        .await;
    }
}

/// Who comes first: the new version, or the end of the old one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Order {
    NewFirst,
    OldFirst,
}

async fn hand_over(prepare: impl Fn(Setup) -> Setup, order: Order) {
    let origin = Origin::echo().await;
    let mut setup = prepare(Setup::new(origin.address));
    let mut running = setup.start().await;
    (setup.address, setup.admin) = (running.address, running.admin);
    let load = Arc::new(Load {
        address: running.address,
        stop: AtomicBool::new(false),
        answered: AtomicUsize::new(0),
    });
    let clients: Vec<_> = [
        Kind::Fresh,
        Kind::Fresh,
        Kind::KeepAlive,
        Kind::KeepAlive,
        Kind::Two,
    ]
    .into_iter()
    .enumerate()
    .map(|(number, kind)| tokio::spawn(Arc::clone(&load).run(kind, number)))
    .collect();
    load.stage().await;
    let mut served = Vec::new();
    for _ in 0..3 {
        let next = match order {
            Order::NewFirst => {
                let next = setup.start().await;
                load.stage().await;
                stop(&mut running).await;
                next
            }
            Order::OldFirst => {
                stop(&mut running).await;
                setup.start().await
            }
        };
        served.push(records(&running));
        running = next;
        load.stage().await;
    }
    load.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.await.unwrap();
    }
    stop(&mut running).await;
    served.push(records(&running));
    let total = load.answered.load(Ordering::SeqCst);
    println!("{total} requests, by version {served:?}");
    assert!(
        served.iter().all(|served| *served >= STAGE / 2),
        "{served:?}"
    );
    assert_eq!(served.iter().sum::<usize>(), total);
    let mut seen: Vec<_> = origin
        .seen()
        .iter()
        .map(|seen| seen.header("x-body").unwrap().to_owned())
        .collect();
    assert_eq!(seen.len(), total);
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), total, "a request reached the origin twice");
}

async fn stop(weir: &mut Weir) {
    weir.signal("TERM");
    assert!(weir.ended().await.success());
}

fn records(weir: &Weir) -> usize {
    weir.records().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_upgrades_under_load_lose_nothing() {
    hand_over(
        |setup| setup.section("sockets: {reuse_port: true}"),
        Order::NewFirst,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn workers_with_sockets_of_their_own_hand_over_too() {
    hand_over(
        |setup| setup.section("sockets: {reuse_port: true, per_worker: true}"),
        Order::NewFirst,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_wait_in_the_socket_of_systemd_while_the_process_is_replaced() {
    let socket = Arc::new(std::net::TcpListener::bind("127.0.0.1:0").unwrap());
    let inherit = |mut setup: Setup| {
        setup.address = socket.local_addr().unwrap();
        setup.socket = Some(Arc::clone(&socket));
        setup
    };
    hand_over(inherit, Order::OldFirst).await;
    let per_worker = |setup| inherit(setup).section("sockets: {per_worker: true}");
    hand_over(per_worker, Order::OldFirst).await;
}

#[tokio::test]
async fn a_second_process_is_refused_unless_the_port_may_be_shared() {
    let origin = Origin::echo().await;
    let mut setup = Setup::new(origin.address);
    let running = setup.start().await;
    let taken = TcpStream::connect(running.address).await;
    assert!(taken.is_ok());
    (setup.address, setup.admin) = (running.address, running.admin);
    let (status, stderr) = setup.refused();
    assert_eq!(status, 1, "{stderr}");
    assert!(
        stderr.contains("another process") && stderr.contains("sockets.reuse_port"),
        "{stderr}"
    );
}
