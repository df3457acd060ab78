//! The inspection phase: shows the detector what the upstream would get, on the right kind of thread.
//!
//! Not here: deciding. Headers added for the upstream are not shown: they are ours.

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use http::{HeaderMap, Method};
use weir_features::RequestView;

use super::body::hold::Held;
use super::headers::REQUEST_ID;
use super::respond::Interruption;
use super::transaction::Transaction;
use crate::detect::{self, Action, Inspection};
use crate::runtime::Shared;

/// Inspects a request and turns a decision to block into an interruption.
pub(super) async fn inspect(
    shared: &Arc<Shared>,
    tx: &mut Transaction,
    headers: &HeaderMap,
    body: &Held,
) -> Result<(), Interruption> {
    let Some(route) = tx.route.clone() else {
        return Err(Interruption::Internal);
    };
    let started = Instant::now();
    let trailers = body.trailers.as_ref();
    let fields = fields(headers, trailers);
    let view = RequestView {
        method: tx.method.as_str().as_bytes(),
        target: tx.target().as_bytes(),
        headers: &fields,
        body: &body.bytes,
        body_truncated: body.truncated(),
    };
    let decision = if detect::is_heavy(body.bytes.len()) {
        let owned = Owned {
            method: tx.method.clone(),
            target: tx.target().to_owned(),
            headers: headers.clone(),
            trailers: trailers.cloned(),
            body: body.bytes.clone(),
            truncated: body.truncated(),
        };
        let (of_work, client, time) = (Arc::clone(shared), tx.client.ip, tx.time());
        detect::offload(
            shared,
            Arc::clone(&tx.snapshot),
            Arc::clone(&route),
            started,
            move |snapshot, route| {
                owned.with_view(|request| {
                    let input = Inspection {
                        request,
                        client,
                        time,
                        started,
                    };
                    detect::inspect(&of_work, snapshot, route, &input)
                })
            },
        )
        .await
    } else {
        let input = Inspection {
            request: view,
            client: tx.client.ip,
            time: tx.time(),
            started,
        };
        detect::inspect(shared, &tx.snapshot, &route, &input)
    };
    let draft = shared
        .capture
        .draft(&tx.snapshot, &decision, &view, tx.client.ip, tx.time());
    let action = decision.action;
    let failed = matches!(decision.cause, detect::Cause::Failed { .. });
    tx.decision = Some(decision);
    match action {
        Action::Forward => {
            tx.draft = draft;
            Ok(())
        }
        Action::Block { .. } if failed => Err(Interruption::NotInspected),
        Action::Block { .. } => Err(Interruption::Blocked),
    }
}

/// The request for the time when its head has moved on.
struct Owned {
    method: Method,
    target: String,
    headers: HeaderMap,
    trailers: Option<HeaderMap>,
    body: Bytes,
    truncated: bool,
}

impl Owned {
    fn with_view<R>(&self, work: impl FnOnce(RequestView<'_>) -> R) -> R {
        let fields = fields(&self.headers, self.trailers.as_ref());
        work(RequestView {
            method: self.method.as_str().as_bytes(),
            target: self.target.as_bytes(),
            headers: &fields,
            body: &self.body,
            body_truncated: self.truncated,
        })
    }
}

/// Trailers count as headers: that is what applications which read them make of them.
fn fields<'h>(
    headers: &'h HeaderMap,
    trailers: Option<&'h HeaderMap>,
) -> Vec<(&'h [u8], &'h [u8])> {
    let mut fields = Vec::with_capacity(headers.len() + trailers.map_or(0, HeaderMap::len));
    fields.extend(
        headers
            .iter()
            .chain(trailers.into_iter().flatten())
            .filter(|(name, _)| **name != REQUEST_ID)
            .map(|(name, value)| (name.as_str().as_bytes(), value.as_bytes())),
    );
    fields
}
