//! The forwarding phase: the request as the upstream gets it, and the head of what it answers.
//!
//! Not here: connections (`upstream`) and the way of the answer's body (`response`, `tunnel`).

use std::time::Instant;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::BodyError;
use super::forwarding;
use super::headers::{self, REQUEST_ID, SCORE, Upgrade, VERDICT};
use super::outgoing::{self, UpstreamBody};
use super::receive::Received;
use super::respond::{Interruption, id_value};
use super::transaction::Transaction;
use super::tunnel::Tunnel;
use super::upstream::{Lease, UpstreamError, wire};
use super::{ClientConnection, Proxy};
use crate::detect::Score;

/// What the upstream answered.
pub(super) enum Answer {
    /// A response whose body comes over `lease`.
    Response(Response<Incoming>, Lease),
    /// The head of a switch of protocols, and the two ends of what follows.
    Switched(Response<()>, Tunnel),
}

impl Proxy {
    pub(super) async fn forward(
        &self,
        tx: &mut Transaction,
        connection: &ClientConnection,
        mut head: Parts,
        body: Received,
        upgrade: Option<Upgrade>,
    ) -> Result<Answer, Interruption> {
        let Some(route) = &tx.route else {
            return Err(Interruption::Internal);
        };
        let config = &tx.snapshot.config;
        let Some(upstream) = tx.snapshot.upstreams.get(route.policy.upstream) else {
            return Err(Interruption::Internal);
        };
        let client_side = head.extensions.remove::<OnUpgrade>();
        if let Some(subject) = &connection.subject {
            head.headers
                .insert(headers::CLIENT_SUBJECT, subject.clone());
        }
        let (body, progress) = outgoing::into_upstream(body, config.timeouts.body);
        let request = upstream_request(tx, connection, head, body, upgrade.as_ref())?;
        let began = Instant::now();
        let sent = upstream.send(request, &progress, &config.timeouts).await;
        let (mut response, lease) = sent.map_err(interruption)?;
        tx.upstream = Some(began.elapsed());
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched && (upgrade.is_none() || client_side.is_none()) {
            return Err(Interruption::Upstream(UpstreamError::UnwantedSwitch));
        }
        let offered = response.headers().get(header::UPGRADE).cloned();
        let version = response.version();
        headers::sanitize_response(response.headers_mut(), version);
        // Ours, not the upstream's: hyper would answer a client of HTTP/1.1 in HTTP/1.0 and close.
        *response.version_mut() = Version::HTTP_11;
        response.headers_mut().insert(REQUEST_ID, id_value(&tx.id));
        match client_side {
            Some(client) if switched => {
                connection.state.becomes_tunnel();
                headers::stamp_upgrade(
                    response.headers_mut(),
                    offered.or(upgrade).unwrap_or_else(empty),
                );
                let upstream = hyper::upgrade::on(&mut response);
                let idle = config.timeouts.upgrade;
                Ok(Answer::Switched(
                    response.map(drop),
                    Tunnel {
                        client,
                        upstream,
                        lease,
                        idle,
                    },
                ))
            }
            _ => Ok(Answer::Response(response, lease)),
        }
    }
}

/// What was found in a body as it passed is no failure of the upstream, which only saw it break off.
fn interruption(error: UpstreamError) -> Interruption {
    match error {
        UpstreamError::Client(BodyError::Blocked) => Interruption::Blocked,
        UpstreamError::Client(BodyError::NotInspected) => Interruption::NotInspected,
        UpstreamError::Client(BodyError::Busy) => Interruption::Body(BodyError::Busy),
        other => Interruption::Upstream(other),
    }
}

fn empty() -> HeaderValue {
    HeaderValue::from_static("")
}

fn upstream_request(
    tx: &Transaction,
    connection: &ClientConnection,
    mut head: Parts,
    body: UpstreamBody,
    upgrade: Option<&Upgrade>,
) -> Result<Request<UpstreamBody>, Interruption> {
    let fields = &mut head.headers;
    let peer = &connection.peered;
    forwarding::stamp(fields, &tx.client, peer, tx.scheme, head.version);
    stamp_decision(fields, tx);
    match upgrade {
        Some(upgrade) => headers::stamp_upgrade(fields, upgrade.clone()),
        None => headers::stamp_te(fields),
    }
    if http_body::Body::size_hint(&body).exact().is_none() {
        wire::chunked(fields);
    }
    let mut request = Request::new(body);
    *request.method_mut() = head.method;
    *request.uri_mut() = origin_form(head.uri)?;
    *request.version_mut() = Version::HTTP_11;
    *request.headers_mut() = head.headers;
    Ok(request)
}

/// The target without scheme and authority: the same bytes that were inspected.
fn origin_form(uri: Uri) -> Result<Uri, Interruption> {
    let mut parts = http::uri::Parts::default();
    parts.path_and_query = uri
        .into_parts()
        .path_and_query
        .or_else(|| Some(PathAndQuery::from_static("/")));
    Uri::from_parts(parts).map_err(|_| Interruption::Internal)
}

fn stamp_decision(fields: &mut HeaderMap, tx: &Transaction) {
    let Some(decision) = &tx.decision else { return };
    fields.insert(VERDICT, HeaderValue::from_static(decision.outcome().name()));
    if let Some(scores) = decision.scores
        && let Ok(score) = HeaderValue::from_maybe_shared(Bytes::from(decimal(scores.combined)))
    {
        fields.insert(SCORE, score);
    }
}

/// A score with three digits behind the point, as `{:.3}` writes it, in a tenth of the time.
fn decimal(score: Score) -> Vec<u8> {
    const THOUSAND: u32 = 1000;
    let value = score.value();
    if value >= 1e6 {
        return format!("{value:.3}").into_bytes();
    }
    // Exact: 24 bits and ten more.
    let thousandths = (f64::from(value) * f64::from(THOUSAND)).round_ties_even() as u32;
    let mut digits = [b'0'; 10];
    let (mut left, mut first) = (thousandths, 6);
    for (at, digit) in digits.iter_mut().enumerate().rev() {
        *digit += (left % 10) as u8;
        left /= 10;
        if *digit != b'0' {
            first = first.min(at);
        }
    }
    let (whole, behind) = digits.split_at(7);
    let mut text = whole.get(first..).unwrap_or_default().to_vec();
    text.push(b'.');
    text.extend_from_slice(behind);
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn scores_are_written_as_the_library_writes_them(
            value in prop_oneof![any::<f32>(), 0f32..20.0, (0u32..400_000).prop_map(|n| n as f32 / 16.0), 0f32..2e6],
        ) {
            let score = Score::new(value);
            let expected = format!("{:.3}", score.value());
            prop_assert_eq!(String::from_utf8(decimal(score)), Ok(expected));
        }
    }
}
