//! One try: a request to one endpoint, up to the head of its response.
//!
//! Not here: whether there is another try (`Upstream::send`).

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, header};
use hyper::body::Incoming;
use tokio::time::{Instant, timeout};

use super::connection::SendError;
use super::endpoint::{Endpoint, Fresh, Taken, Upgrade, Used};
use super::retry::Spare;
use super::{Upstream, UpstreamError};
use crate::proxy::outgoing::{Progress, UpstreamBody};

/// A request that got no answer.
pub(super) struct Failed {
    pub(super) error: UpstreamError,
    /// To send once more, when that repeats no effect.
    pub(super) again: Option<Request<UpstreamBody>>,
    /// The connection had served before and was closed just when the request went out: that says nothing about the
    /// endpoint.
    pub(super) stale: bool,
}

impl Failed {
    fn with(error: UpstreamError, again: Option<Request<UpstreamBody>>) -> Box<Self> {
        Box::new(Self {
            error,
            again,
            stale: false,
        })
    }
}

impl Upstream {
    /// Sends a request to an endpoint and waits for the head of its response.
    pub(super) async fn attempt(
        &self,
        endpoint: &Arc<Endpoint>,
        request: Request<UpstreamBody>,
        spare: &mut Option<Spare>,
        progress: &Progress,
        (deadline, answer): (Instant, Duration),
        fresh: Fresh,
    ) -> Result<(Response<Incoming>, Used), Box<Failed>> {
        endpoint.counts.requests.fetch_add(1, Ordering::Relaxed);
        let upgrade = if request.headers().contains_key(header::UPGRADE) {
            Upgrade::Wanted
        } else {
            Upgrade::None
        };
        let Taken {
            mut connection,
            reused,
        } = match endpoint.connection(deadline, upgrade, fresh).await {
            Ok(taken) => taken,
            Err(error) => {
                self.failed(endpoint, &error);
                // Nothing has been sent.
                return Err(Failed::with(error, Some(request)));
            }
        };
        let sent = endpoint.send(&mut connection, request);
        let mut failure = match wait(sent, progress, answer).await {
            Waited::Response(response) => {
                endpoint.health.succeeded();
                return Ok((response, connection));
            }
            Waited::TimedOut => {
                let error = UpstreamError::ResponseTimeout;
                self.failed(endpoint, &error);
                return Err(Failed::with(error, None));
            }
            Waited::Failed(failure) => failure,
        };
        if let Some(failure) = progress.failure() {
            return Err(Failed::with(UpstreamError::Client(failure), None));
        }
        // The origin may close an idle connection just when a request goes out. Once more is safe if the request was
        // never written, or can be repeated without effect.
        let again = failure
            .take_message()
            .or_else(|| spare.take().map(Spare::request));
        let error = failure.into_error();
        let stale = reused && !is_reset(&error);
        let error = UpstreamError::Broken(error);
        if stale {
            connection.retire();
        } else {
            self.failed(endpoint, &error);
        }
        let mut failed = Failed::with(error, again);
        failed.stale = stale;
        Err(failed)
    }
}

/// Whether the endpoint ended this one request and the HTTP/2 connection lives on.
fn is_reset(error: &hyper::Error) -> bool {
    error
        .source()
        .and_then(|source| source.downcast_ref::<h2::Error>())
        .is_some_and(h2::Error::is_reset)
}

enum Waited {
    Response(Response<Incoming>),
    Failed(Box<SendError>),
    TimedOut,
}

/// Waits for the response head; the clock starts again as long as the request body makes progress.
async fn wait(
    sent: impl Future<Output = Result<Response<Incoming>, SendError>>,
    progress: &Progress,
    patience: Duration,
) -> Waited {
    let mut sent = std::pin::pin!(sent);
    loop {
        let before = (progress.bytes(), progress.is_done());
        match timeout(patience, sent.as_mut()).await {
            Ok(Ok(response)) => return Waited::Response(response),
            Ok(Err(error)) => return Waited::Failed(Box::new(error)),
            Err(_) if before != (progress.bytes(), progress.is_done()) => {}
            Err(_) => return Waited::TimedOut,
        }
    }
}
