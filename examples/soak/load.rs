//! The workers: what each kind of client does, over and over, and which answer is right.
//!
//! Not here: event streams and WebSocket (`streams`), clients that break off (`aborts`), restarts and reloads (`disturb`).

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tokio::task::JoinSet;

use crate::client::{Body, Client, Door, Doors, Failure, full, pieces};
use crate::content::{Content, LONGEST, digest};
use crate::ledger::Ledger;
use crate::origin::receipt;
use crate::outages::Outages;
use crate::random::Random;
use crate::tally::{Kind, Tally};
use crate::{aborts, streams};

/// Streams of one HTTP/2 connection at once.
const STREAMS: usize = 4;
/// Connections are renewed now and then even where they could stay.
const REUSES: u64 = 200;

/// What the workers share.
pub(crate) struct Run {
    pub(crate) doors: Arc<Doors>,
    pub(crate) content: Content,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) outages: Outages,
    pub(crate) tally: Tally,
    numbers: AtomicU64,
    stopped: AtomicBool,
}

/// Why an answer is not the right one.
#[derive(Debug)]
pub(crate) struct Wrong {
    pub(crate) what: String,
    /// Whether an absent upstream explains it.
    pub(crate) excusable: bool,
}

impl Wrong {
    /// What nothing explains.
    pub(crate) fn plain(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            excusable: false,
        }
    }

    pub(crate) fn excusable(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            excusable: true,
        }
    }
}

impl Run {
    pub(crate) fn new(doors: Arc<Doors>, content: Content, ledger: Arc<Ledger>) -> Self {
        Self {
            doors,
            content,
            ledger,
            outages: Outages::default(),
            tally: Tally::default(),
            numbers: AtomicU64::new(1),
            stopped: AtomicBool::new(false),
        }
    }

    /// A number that no other request of this run has.
    pub(crate) fn number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    pub(crate) fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }

    pub(crate) fn stopped(&self) -> bool {
        self.stopped.load(Ordering::Relaxed)
    }

    /// Counts how a request that began then has ended now.
    pub(crate) fn settle(&self, kind: Kind, began: Instant, outcome: Result<(), Wrong>) {
        match outcome {
            Ok(()) => self.tally.right(kind),
            Err(wrong) if wrong.excusable && self.outages.met(began, Instant::now()) => {
                self.tally.away(kind);
            }
            Err(wrong) => self.tally.wrong(kind, &wrong.what),
        }
    }
}

/// All workers; they end by themselves after `Run::stop`.
pub(crate) struct Workers(JoinSet<()>);

impl Workers {
    pub(crate) async fn ended(mut self) {
        while self.0.join_next().await.is_some() {}
    }
}

pub(crate) fn spawn(run: &Arc<Run>) -> Workers {
    let mut workers = Workers(JoinSet::new());
    let plan = [
        (8, Kind::KeepAlive),
        (4, Kind::Short),
        (2, Kind::Http2),
        (4, Kind::Tls),
        (2, Kind::TlsHttp2),
        (6, Kind::Form),
        (4, Kind::Upload),
        (4, Kind::Events),
        (4, Kind::WebSocket),
        (2, Kind::Blocked),
        (3, Kind::Aborted),
    ];
    let mut seed = 0;
    for (workers_of_kind, kind) in plan {
        for _ in 0..workers_of_kind {
            seed += 1;
            let (run, random) = (Arc::clone(run), Random::new(seed));
            workers
                .0
                .spawn(async move { work(&run, kind, random).await });
        }
    }
    workers
}

async fn work(run: &Run, kind: Kind, random: Random) {
    match kind {
        Kind::KeepAlive => pages(run, kind, Door::Plain, random).await,
        Kind::Short => pages(run, kind, Door::Plain, random).await,
        Kind::Tls => pages(run, kind, Door::Tls, random).await,
        Kind::Http2 => side_by_side(run, kind, Door::Http2, random).await,
        Kind::TlsHttp2 => side_by_side(run, kind, Door::TlsHttp2, random).await,
        Kind::Form => forms(run, random).await,
        Kind::Upload => uploads(run, random).await,
        Kind::Events => streams::events(run, random).await,
        Kind::WebSocket => streams::chat(run, random).await,
        Kind::Blocked => blocked(run, random).await,
        Kind::Aborted => aborts::break_off(run, random).await,
    }
}

/// Before the next request of a worker.
pub(crate) async fn pause(random: &mut Random, longest: u64) {
    tokio::time::sleep(Duration::from_millis(random.between(0, longest))).await;
}

async fn pages(run: &Run, kind: Kind, door: Door, mut random: Random) {
    let mut client = Client::new(&run.doors, door);
    let reuses = if kind == Kind::Short { 1 } else { REUSES };
    while !run.stopped() {
        let length = random.between(0, 64 * 1024) as usize;
        page(run, kind, &mut client, length).await;
        if random.one_in(reuses) {
            client.close();
        }
        pause(&mut random, 12).await;
    }
}

async fn side_by_side(run: &Run, kind: Kind, door: Door, mut random: Random) {
    let mut client = Client::new(&run.doors, door);
    while !run.stopped() {
        if let Err(error) = client.connect().await {
            run.tally.wrong(kind, &format!("no connection: {error:#}"));
            pause(&mut random, 1000).await;
            continue;
        }
        let mut streams: Vec<Client> = (0..STREAMS).map(|_| client.share()).collect();
        let length = random.between(0, 64 * 1024) as usize;
        let asked = streams
            .iter_mut()
            .map(|stream| page(run, kind, stream, length));
        futures_util::future::join_all(asked).await;
        if random.one_in(REUSES) {
            client.close();
        }
        pause(&mut random, 24).await;
    }
}

async fn page(run: &Run, kind: Kind, client: &mut Client, length: usize) {
    let number = run.number();
    let request = client.request("GET", &format!("/articles/{number}/{length}"));
    let began = Instant::now();
    let outcome = match request.body(full("")) {
        Ok(request) => client.send(request).await,
        Err(error) => Err(Failure::NoAnswer(error.to_string())),
    };
    let expected = run.content.body(number, length);
    run.settle(kind, began, judge(outcome, &expected, Sent::Nothing));
}

/// Whether a body was on its way: a proxy that answers before it has read it may close the connection early.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sent {
    Nothing,
    Body,
}

fn judge(outcome: Result<(u16, Bytes), Failure>, expected: &[u8], sent: Sent) -> Result<(), Wrong> {
    match outcome {
        Ok((200, body)) if body == expected => Ok(()),
        Ok((200, body)) => Err(Wrong::plain(format!(
            "200 with other {} bytes than the {} that were asked for",
            body.len(),
            expected.len()
        ))),
        Ok((status @ 502..=504, _)) => Err(Wrong::excusable(format!("status {status}"))),
        Ok((status, body)) => Err(Wrong::plain(format!(
            "status {status}: {:.200}",
            String::from_utf8_lossy(&body)
        ))),
        Err(Failure::Cut(error)) => Err(Wrong::excusable(format!("cut off: {error}"))),
        Err(Failure::NoAnswer(error)) => Err(Wrong {
            what: format!("no answer: {error}"),
            excusable: sent == Sent::Body,
        }),
        Err(Failure::Stuck) => Err(Wrong::plain("no answer in time")),
    }
}

async fn forms(run: &Run, mut random: Random) {
    let mut client = Client::new(&run.doors, Door::Plain);
    while !run.stopped() {
        let number = run.number();
        let (kind, body) = if random.one_in(2) {
            ("application/json", json(number, &mut random))
        } else {
            (
                "application/x-www-form-urlencoded",
                form(number, &mut random),
            )
        };
        let request = client
            .request("POST", &format!("/orders/{number}"))
            .header("content-type", kind);
        deliver(
            run,
            Kind::Form,
            &mut client,
            request.body(full(body.clone())),
            number,
            &body.into(),
        )
        .await;
        if random.one_in(REUSES) {
            client.close();
        }
        pause(&mut random, 12).await;
    }
}

fn json(number: u64, random: &mut Random) -> String {
    let items: Vec<_> = (0..random.between(1, 30))
        .map(|line| serde_json::json!({"article": random.between(1000, 9999), "line": line, "amount": random.between(1, 9)}))
        .collect();
    serde_json::json!({"order": number, "items": items, "note": "please ring twice"}).to_string()
}

fn form(number: u64, random: &mut Random) -> String {
    let mut text = format!("order={number}&name=Ada+Example&city=Z%C3%BCrich&comment=");
    for _ in 0..random.between(1, 400) {
        text.push_str(random.pick(&["please", "ring", "twice", "thank", "you"]));
        text.push('+');
    }
    text
}

async fn uploads(run: &Run, mut random: Random) {
    let doors = [Door::Plain, Door::Plain, Door::Tls, Door::TlsHttp2];
    let mut clients = doors.map(|door| Client::new(&run.doors, door));
    while !run.stopped() {
        for client in &mut clients {
            let number = run.number();
            let length = random.between(1, LONGEST as u64) as usize;
            let body = run.content.body(number, length);
            let request = client
                .request("POST", &format!("/files/{number}"))
                .header("content-type", "application/octet-stream");
            let sent = if random.one_in(2) {
                full(body.clone())
            } else {
                pieces(body.clone(), random.between(1, 64 * 1024) as usize + 1024)
            };
            deliver(run, Kind::Upload, client, request.body(sent), number, &body).await;
            pause(&mut random, 300).await;
            if run.stopped() {
                break;
            }
        }
    }
}

/// Sends a body and checks the receipt against what the origin has.
async fn deliver(
    run: &Run,
    kind: Kind,
    client: &mut Client,
    request: hyper::http::Result<hyper::Request<Body>>,
    number: u64,
    body: &Bytes,
) {
    let began = Instant::now();
    let outcome = match request {
        Ok(request) => client.send(request).await,
        Err(error) => Err(Failure::NoAnswer(error.to_string())),
    };
    let digest = digest(body);
    let mut judged = judge(outcome, receipt(number, digest).as_bytes(), Sent::Body);
    if judged.is_ok() && !run.ledger.answered(number, digest) {
        judged = Err(Wrong::plain(
            "a receipt for a body that the origin does not have",
        ));
    }
    run.settle(kind, began, judged);
}

/// Requests on the route whose every request is blocked: none may pass, and the page must come.
async fn blocked(run: &Run, mut random: Random) {
    let mut client = Client::new(&run.doors, Door::Plain);
    while !run.stopped() {
        let request = client.request("GET", &format!("/blocked/{}", run.number()));
        let began = Instant::now();
        let outcome = match request.body(full("")) {
            Ok(request) => client.send(request).await,
            Err(error) => Err(Failure::NoAnswer(error.to_string())),
        };
        let judged = match outcome {
            Ok((403, body)) if !body.is_empty() => Ok(()),
            other => Err(Wrong::plain(format!("not blocked: {other:.200?}"))),
        };
        run.settle(Kind::Blocked, began, judged);
        pause(&mut random, 40).await;
    }
}

/// Runs `work` unless the run stops first.
pub(crate) async fn unless_stopped<T>(run: &Run, work: impl Future<Output = T>) -> Option<T> {
    tokio::pin!(work);
    loop {
        tokio::select! {
            done = &mut work => return Some(done),
            () = tokio::time::sleep(Duration::from_millis(200)) => {
                if run.stopped() {
                    return None;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_gateway_errors_and_cut_answers_have_an_excuse() {
        let excuse =
            |outcome, sent| judge(outcome, b"right", sent).map_err(|wrong| wrong.excusable);
        let answer = |status, body: &'static str| Ok((status, Bytes::from_static(body.as_bytes())));
        assert_eq!(excuse(answer(200, "right"), Sent::Nothing), Ok(()));
        assert_eq!(excuse(answer(200, "wrong"), Sent::Nothing), Err(false));
        assert_eq!(excuse(answer(500, ""), Sent::Nothing), Err(false));
        assert_eq!(excuse(answer(502, ""), Sent::Nothing), Err(true));
        assert_eq!(excuse(Err(Failure::Stuck), Sent::Body), Err(false));
        let none = || Err(Failure::NoAnswer(String::new()));
        assert_eq!(excuse(none(), Sent::Nothing), Err(false));
        assert_eq!(excuse(none(), Sent::Body), Err(true));
    }
}
