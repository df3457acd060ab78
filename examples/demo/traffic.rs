//! The crowd: customers and attackers, each on a connection and a loopback address of its own, until told to stop.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU16, Ordering};
use std::time::Duration;

use tokio::task::JoinSet;

use crate::attacks;
use crate::client::Visitor;
use crate::customers::Customer;
use crate::message::Message;
use crate::random::Random;
use crate::tally::{Kind, Outcome, Tally};

/// At once in the shop. With the pauses below: some 250 requests a second, which leaves two cores room to train.
const CUSTOMERS: u64 = 22;
const ATTACKERS: u64 = 3;

/// Second octets of the loopback addresses, so that a log line tells who was who.
const CUSTOMER_NET: u8 = 10;
const ATTACKER_NET: u8 = 66;
const SCANNER_NET: u8 = 77;

pub(crate) struct Crowd {
    to: SocketAddr,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    visitors: JoinSet<()>,
}

#[derive(Clone)]
struct Street {
    to: SocketAddr,
    tally: Arc<Tally>,
    stop: Arc<AtomicBool>,
    next: Arc<AtomicU16>,
}

impl Crowd {
    pub(crate) fn let_in(to: SocketAddr, tally: Arc<Tally>) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let street = Street {
            to,
            tally: Arc::clone(&tally),
            stop: Arc::clone(&stop),
            next: Arc::new(AtomicU16::new(1)),
        };
        let mut visitors = JoinSet::new();
        for seed in 0..CUSTOMERS {
            visitors.spawn(customers(street.clone(), Random::new(seed)));
        }
        for seed in 0..ATTACKERS {
            visitors.spawn(attackers(street.clone(), Random::new(1000 + seed)));
        }
        Self {
            to,
            tally,
            stop,
            visitors,
        }
    }

    /// One pass of the scanner over the shop, quick and in order.
    pub(crate) async fn scan(&self, host: u8) {
        let mut visitor = Visitor::new(self.to, Some(address(SCANNER_NET, u16::from(host))));
        for step in 0..attacks::probes() {
            visit(
                &mut visitor,
                &self.tally,
                Kind::Scanner,
                &attacks::probe(step),
            )
            .await;
            pause(15).await;
        }
    }

    /// Lets every visitor finish the request it is at.
    pub(crate) async fn go_home(mut self) {
        self.stop.store(true, Ordering::Relaxed);
        while self.visitors.join_next().await.is_some() {}
    }
}

/// One customer after the other: real shops see visits, not endless sessions.
async fn customers(street: Street, mut random: Random) {
    pause(random.between(0, 2000)).await;
    while !street.stop.load(Ordering::Relaxed) {
        let mut visitor = street.arrive(CUSTOMER_NET);
        let mut customer = Customer::new(Random::new(random.next()));
        for _ in 0..random.between(12, 40) {
            if street.stop.load(Ordering::Relaxed) {
                return;
            }
            if let Some(session) =
                visit(&mut visitor, &street.tally, Kind::Customer, &customer.act()).await
            {
                customer.session = Some(session);
            }
            pause(random.between(30, 140)).await;
        }
    }
}

async fn attackers(street: Street, mut random: Random) {
    pause(random.between(500, 1500)).await;
    while !street.stop.load(Ordering::Relaxed) {
        let mut visitor = street.arrive(ATTACKER_NET);
        for _ in 0..random.between(8, 25) {
            if street.stop.load(Ordering::Relaxed) {
                return;
            }
            let kind = random.pick(&Kind::MIXED);
            visit(
                &mut visitor,
                &street.tally,
                kind,
                &attacks::attack(kind, &mut random),
            )
            .await;
            pause(random.between(60, 160)).await;
        }
    }
}

impl Street {
    fn arrive(&self, net: u8) -> Visitor {
        Visitor::new(
            self.to,
            Some(address(net, self.next.fetch_add(1, Ordering::Relaxed))),
        )
    }
}

/// Sends and books; answers the shop's session cookie if it set one.
async fn visit(
    visitor: &mut Visitor,
    tally: &Tally,
    kind: Kind,
    message: &Message,
) -> Option<String> {
    match visitor.send(message).await {
        Ok(answer) => {
            tally.record(kind, answer.outcome(), answer.micros);
            let cookie = answer.header("set-cookie")?.strip_prefix("session=")?;
            cookie.split(';').next().map(str::to_owned)
        }
        Err(why) => {
            tally.record(
                kind,
                Outcome::Failed(format!("{} {}: {why}", message.method, message.target)),
                0,
            );
            None
        }
    }
}

fn address(net: u8, host: u16) -> IpAddr {
    let [high, low] = host.to_be_bytes();
    // .0 and .255 are addresses like any other on loopback; 1 keeps them from looking like typing errors.
    IpAddr::V4(Ipv4Addr::new(127, net, high.wrapping_add(1), low))
}

async fn pause(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;

    fn shop() -> SocketAddr {
        crate::shop::on_own_thread(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))).expect("a shop")
    }

    #[tokio::test]
    async fn the_shop_serves_its_customers() {
        let shop = shop();
        let tally = Tally::default();
        for seed in 0..20 {
            let mut visitor = Visitor::new(shop, Some(address(CUSTOMER_NET, seed)));
            let mut customer = Customer::new(Random::new(u64::from(seed)));
            for _ in 0..40 {
                let message = customer.act();
                let answer = visitor
                    .send(&message)
                    .await
                    .unwrap_or_else(|why| panic!("{message:?}: {why}"));
                assert!(answer.status < 400, "{} for {message:?}", answer.status);
                tally.record(Kind::Customer, answer.outcome(), answer.micros);
            }
        }
        assert_eq!(tally.all().passed, 800);
    }

    #[tokio::test]
    async fn every_attack_can_be_sent_and_does_nothing_to_the_shop() {
        let shop = shop();
        let mut visitor = Visitor::new(shop, None);
        let mut random = Random::new(3);
        for kind in Kind::MIXED {
            for _ in 0..150 {
                let message = attacks::attack(kind, &mut random);
                let answer = visitor
                    .send(&message)
                    .await
                    .unwrap_or_else(|why| panic!("{message:?}: {why}"));
                assert!(answer.status < 500, "{} for {message:?}", answer.status);
            }
        }
        for step in 0..attacks::probes() {
            visitor
                .send(&attacks::probe(step))
                .await
                .expect("an answer");
        }
    }

    #[tokio::test]
    async fn a_login_is_remembered() {
        let shop = shop();
        let mut visitor = Visitor::new(shop, None);
        let tally = Tally::default();
        let login = Message::form(
            "/login",
            &[("username", "anna <b>"), ("password", "correct horse")],
        );
        let session = visit(&mut visitor, &tally, Kind::Customer, &login)
            .await
            .expect("a session cookie");
        let account = Message::get("/account").with("cookie", format!("a=b; session={session}"));
        let page = visitor.send(&account).await.expect("an answer");
        assert!(String::from_utf8_lossy(&page.body).contains("Welcome, anna &lt;b&gt;"));
    }
}
