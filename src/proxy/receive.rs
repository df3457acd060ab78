//! The body phase: plans what happens to a body and holds what is to be held.
//!
//! Not here: the table (`body::plan`) and the reading (`body::hold`).

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use http::header;
use http::request::Parts;
use hyper::body::Incoming;

use super::Proxy;
use super::body::BodyError;
use super::body::hold::{Cut, Held, HoldPolicy, Short};
use super::body::kind::{Kind, Magic, essence};
use super::body::passing::{Inspector, Subject};
use super::body::plan::{Announced, Hold, Plan, coverage, plan};
use super::body::sieve::Sieve;
use super::headers::Upgrade;
use super::respond::Interruption;
use super::transaction::Transaction;
use crate::config::{FailMode, Mode};
use crate::detect::{self, Cause, Failure};
use crate::runtime::Route;

/// A body as far as it was held, and how the rest is inspected, if there is any.
pub(super) struct Received {
    pub(super) held: Held,
    pub(super) rest: Option<(Arc<Inspector>, Sieve)>,
}

impl Proxy {
    /// The body as far as it is inspected before anything passes.
    pub(super) async fn receive(
        &self,
        tx: &mut Transaction,
        head: &Parts,
        upgrade: Option<&Upgrade>,
        body: Incoming,
    ) -> Result<Received, Interruption> {
        let Some(route) = tx.route.clone() else {
            return Err(Interruption::Internal);
        };
        let content_type = head
            .headers
            .get(header::CONTENT_TYPE)
            .map_or(&b""[..], |value| value.as_bytes());
        let (limit, beyond) = route.policy.inspect.limits_of(&essence(content_type));
        let announced = Announced {
            kind: upgrade.map_or_else(|| Kind::of(&head.headers), |_| Kind::Live),
            encoded: is_encoded(head),
            length: http_body::Body::size_hint(&body).exact(),
            mode: route.policy.mode,
            limit: limit.as_usize(),
            beyond,
        };
        let planned = plan(announced);
        let held = match planned {
            Plan::Unread | Plan::Pass => Ok(Held::unread(body)),
            Plan::Reject => Err(BodyError::TooLarge),
            Plan::Hold(hold) => {
                let policy = hold_policy(tx, &route, hold, content_type);
                Held::read(body, &policy, &self.held).await
            }
        };
        let held = held.map_err(|error| {
            refuse(tx, &route, error);
            Interruption::Body(error)
        })?;
        if held.cut == Some(Cut::Slow) {
            route.metrics.failure(Failure::SlowBody);
        }
        let rest = (held.truncated() && planned != Plan::Unread).then(|| {
            let magic = Magic::of(content_type, &held.bytes);
            let sieve = Sieve::new(
                coverage(announced.kind, announced.encoded, magic),
                content_type,
                &held.bytes,
                route.policy.inspect.passing.as_usize() as u64,
                RandomState::new().hash_one(()),
            );
            let subject = Subject::new(&tx.method, tx.target(), &head.headers);
            let asking = (tx.client.ip, tx.time());
            let inspector = Inspector::new(&self.shared, &tx.snapshot, &route, asking, subject);
            tx.findings = Some(Arc::clone(&inspector.findings));
            (inspector, sieve)
        });
        Ok(Received { held, rest })
    }
}

fn hold_policy<'a>(
    tx: &Transaction,
    route: &Route,
    hold: Hold,
    content_type: &'a [u8],
) -> HoldPolicy<'a> {
    let enforced = route.policy.mode == Mode::Enforce;
    let short = |refuse: bool| match refuse {
        true => Short::Refuse,
        false => Short::Cut,
    };
    HoldPolicy {
        hold,
        content_type,
        idle: route.policy.inspect.idle,
        gone: tx.snapshot.config.timeouts.body,
        slow: short(enforced && route.policy.fail == FailMode::Closed),
        // Nothing passes unscored because others crowd the memory; shadow must not refuse.
        crowded: short(enforced),
        client: tx.client.ip,
    }
}

fn refuse(tx: &mut Transaction, route: &Route, error: BodyError) {
    let inspect = &route.policy.inspect;
    let slow = error == BodyError::Timeout && inspect.idle < tx.snapshot.config.timeouts.body;
    if slow && route.policy.fail == FailMode::Closed {
        tx.decision = Some(detect::failed(&tx.snapshot, route, Failure::SlowBody));
        return;
    }
    tx.refuse(match error {
        BodyError::TooLarge => Cause::BodyLimit,
        _ => Cause::Refused,
    });
}

/// Whether the body has a content coding that changes its bytes.
fn is_encoded(head: &Parts) -> bool {
    head.headers
        .get_all(header::CONTENT_ENCODING)
        .into_iter()
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
        .any(|coding| !coding.is_empty() && !coding.eq_ignore_ascii_case(b"identity"))
}
