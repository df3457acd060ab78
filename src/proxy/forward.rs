//! The forwarding phase: the request as the upstream gets it, and the head of what it answers.
//!
//! Not here: connections (`upstream`) and the way of the answer's body (`response`, `tunnel`).

use std::time::Instant;

use http::header::{self, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Request, Response, StatusCode, Uri, Version};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;

use super::body::Held;
use super::forwarding;
use super::headers::{self, REQUEST_ID, SCORE, Upgrade, VERDICT};
use super::outgoing::UpstreamBody;
use super::respond::{Interruption, id_value};
use super::transaction::Transaction;
use super::tunnel::Tunnel;
use super::upstream::{Lease, UpstreamError, wire};
use super::{ClientConnection, Proxy};

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
        body: Held,
        upgrade: Option<Upgrade>,
    ) -> Result<Answer, Interruption> {
        let Some(route) = &tx.route else {
            return Err(Interruption::Internal);
        };
        let config = &tx.snapshot.config;
        let Some(upstream) = config.upstreams.get(route.policy.upstream) else {
            return Err(Interruption::Internal);
        };
        let client_side = head.extensions.remove::<OnUpgrade>();
        if let Some(subject) = &connection.subject {
            head.headers
                .insert(headers::CLIENT_SUBJECT, subject.clone());
        }
        let (body, progress) = body.into_upstream(config.timeouts.body);
        let request = upstream_request(tx, head, body, upgrade.as_ref())?;
        let tls = tx.snapshot.connectors.get(route.policy.upstream);
        let pool = self.upstreams.pool(upstream, tls.and_then(Option::as_ref));
        let began = Instant::now();
        let sent = pool.send(request, &progress, &config.timeouts).await;
        let (mut response, lease) = sent.map_err(Interruption::Upstream)?;
        tx.upstream = Some(began.elapsed());
        let switched = response.status() == StatusCode::SWITCHING_PROTOCOLS;
        if switched && (upgrade.is_none() || client_side.is_none()) {
            return Err(Interruption::Upstream(UpstreamError::UnwantedSwitch));
        }
        let offered = response.headers().get(header::UPGRADE).cloned();
        let version = response.version();
        headers::sanitize_response(response.headers_mut(), version);
        response.headers_mut().insert(REQUEST_ID, id_value(&tx.id));
        match client_side {
            Some(client) if switched => {
                connection.state.becomes_tunnel();
                headers::stamp_upgrade(
                    response.headers_mut(),
                    offered.or(upgrade).unwrap_or_else(empty),
                );
                let upstream = hyper::upgrade::on(&mut response);
                let idle = config.timeouts.idle.max(config.timeouts.response);
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

fn empty() -> HeaderValue {
    HeaderValue::from_static("")
}

fn upstream_request(
    tx: &Transaction,
    mut head: Parts,
    body: UpstreamBody,
    upgrade: Option<&Upgrade>,
) -> Result<Request<UpstreamBody>, Interruption> {
    let fields = &mut head.headers;
    forwarding::stamp(fields, &tx.client, tx.scheme, head.version);
    stamp_decision(fields, tx);
    if let Some(upgrade) = upgrade {
        headers::stamp_upgrade(fields, upgrade.clone());
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
        && let Ok(score) = HeaderValue::from_str(&format!("{:.3}", scores.combined.value()))
    {
        fields.insert(SCORE, score);
    }
}
