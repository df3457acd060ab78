//! Everything known about one request, and the log phase that always runs at its end.
//!
//! Not here: doing anything to the request. A transaction is dropped exactly once, however the request ends: after
//! the last byte of the answer, when the client goes away, when the upstream breaks off, or by a panic. That is when
//! windows, metrics, audit and capture learn about it.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use http::request::Parts;
use http::uri::Authority;
use http::{Method, StatusCode, Uri};
use tokio::sync::OwnedSemaphorePermit;

use super::ClientConnection;
use super::body::passing::Findings;
use super::headers::{REQUEST_ID, Scheme};
use super::respond::Format;
use crate::audit::Entry;
use crate::capture::Draft;
use crate::detect::{self, Cause, Decision};
use crate::listen::InFlight;
use crate::listen::client::{Client, Peer};
use crate::runtime::{Route, Shared, Snapshot};
use crate::units::RequestId;

/// Status in records of a request whose client went away before an answer (nginx's convention).
const CLIENT_GONE: u16 = 499;

/// One request on its way.
#[derive(Debug)]
pub(super) struct Transaction {
    shared: Arc<Shared>,
    /// Pinned: nothing newer is used until the end.
    pub(super) snapshot: Arc<Snapshot>,
    /// Of the requests on its connection, from 1.
    pub(super) ordinal: u64,
    /// As in `X-Request-Id`.
    pub(super) id: RequestId,
    pub(super) client: Client,
    pub(super) scheme: Scheme,
    /// What the client can read.
    pub(super) format: Format,
    pub(super) method: Method,
    uri: Uri,
    pub(super) host: Option<Authority>,
    pub(super) route: Option<Arc<Route>>,
    pub(super) decision: Option<Decision>,
    /// What was found in the body as it passed.
    pub(super) findings: Option<Arc<Findings>>,
    /// The request, when capture wants it.
    pub(super) draft: Option<Draft>,
    /// Why we answer ourselves.
    pub(super) error: Option<&'static str>,
    pub(super) status: u16,
    pub(super) response_bytes: u64,
    pub(super) upstream: Option<Duration>,
    time: SystemTime,
    started: Instant,
    /// Its room among the requests in flight; none when there were too many.
    pub(super) room: Option<OwnedSemaphorePermit>,
    /// The connection's idle deadline waits for it.
    _in_flight: InFlight,
}

impl Transaction {
    /// Begins with the head of a request as it was received.
    pub(super) fn begin(shared: &Arc<Shared>, connection: &ClientConnection, head: &Parts) -> Self {
        let snapshot = shared.pin();
        let time = SystemTime::now();
        let client = Client::identify(
            connection.peer,
            &head.headers,
            &snapshot.config.trusted_proxies,
            snapshot.config.trusted_header,
        );
        let given = head
            .headers
            .get(REQUEST_ID)
            .filter(|_| client.trust != Peer::Untrusted);
        let id = given
            .and_then(|id| RequestId::received(id.as_bytes()))
            .unwrap_or_else(|| RequestId::fresh(time));
        Self {
            shared: Arc::clone(shared),
            ordinal: 0,
            id,
            client,
            scheme: connection.scheme,
            format: Format::accepted(&head.headers),
            method: head.method.clone(),
            uri: head.uri.clone(),
            host: None,
            route: None,
            decision: None,
            findings: None,
            draft: None,
            error: None,
            status: CLIENT_GONE,
            response_bytes: 0,
            upstream: None,
            time,
            started: Instant::now(),
            room: None,
            _in_flight: connection.state.begin_request(),
            snapshot,
        }
    }

    /// The target as it is inspected and forwarded: byte for byte what the client sent, without scheme and authority.
    pub(super) fn target(&self) -> &str {
        self.uri
            .path_and_query()
            .map_or("/", |target| target.as_str())
    }

    /// The path of the target, for the route.
    pub(super) fn path(&self) -> &str {
        match self.uri.path() {
            // `OPTIONS *` is about the host as a whole.
            "*" | "" => "/",
            path => path,
        }
    }

    /// When the request arrived.
    pub(super) fn time(&self) -> SystemTime {
        self.time
    }

    /// Notes that the request is refused for `cause`, without inspection.
    pub(super) fn refuse(&mut self, cause: Cause) {
        if let Some(route) = &self.route {
            self.decision = Some(detect::refused(&self.snapshot, route, cause));
        }
    }

    /// Notes the head of the answer.
    pub(super) fn answered(&mut self, status: StatusCode) {
        self.status = status.as_u16();
    }

    fn log(&mut self) {
        let whole = self.started.elapsed();
        if let Some(error) = self.error {
            self.shared.metrics.error(error);
        }
        if let Some(draft) = self.draft.take() {
            self.shared
                .capture
                .offer(draft, self.status, self.response_bytes);
        }
        if self.decision.is_none() {
            // The client left before there was one: that is recorded like everything else.
            self.refuse(Cause::Refused);
        }
        if let (Some(findings), Some(decision)) = (&self.findings, &mut self.decision) {
            findings.apply(decision);
        }
        let Some(route) = &self.route else { return };
        let Some(decision) = &self.decision else {
            return;
        };
        route.metrics.request(decision.outcome(), whole);
        if let Some(upstream) = self.upstream {
            route.metrics.upstream(upstream);
        }
        if matches!(decision.cause, Cause::Scored | Cause::Failed { .. }) {
            let client = self.client.ip;
            detect::observe_response(
                &self.shared,
                decision,
                client,
                self.time,
                self.status,
                self.response_bytes,
            );
        }
        let entry = Entry {
            id: self.id,
            time: self.time,
            client: self.client.ip,
            host: self
                .host
                .as_ref()
                .map_or(b"", |host| host.as_str().as_bytes()),
            method: self.method.as_str().as_bytes(),
            target: self.target().as_bytes(),
            decision,
            status: self.status,
            response_bytes: self.response_bytes,
            whole,
            upstream: self.upstream,
            error: self.error,
        };
        self.shared.audit.record(&self.snapshot, route, &entry);
    }
}

impl Drop for Transaction {
    fn drop(&mut self) {
        self.log();
    }
}
