//! The response phase: the answer's body on its way to the client, and the end of the transaction behind it.
//!
//! Not here: reading ahead. A piece is taken from the upstream only when the client's connection asks for one, so a
//! slow client slows its origin and nothing piles up here.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Response};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;

use super::forward::Answer;
use super::outgoing::Stall;
use super::respond::{Interruption, respond};
use super::transaction::Transaction;
use super::upstream::Lease;
use crate::detect::Cause;

/// Why an answer ends early.
#[derive(Debug, thiserror::Error)]
pub enum ResponseError {
    /// The upstream's connection broke.
    #[error("the upstream broke off its answer: {0}")]
    Upstream(#[source] hyper::Error),
    /// The upstream stopped sending.
    #[error("the upstream stopped sending within its answer")]
    Stalled,
}

/// The body of an answer.
#[derive(Debug)]
pub struct ResponseBody(Kind);

#[derive(Debug)]
enum Kind {
    /// Ours, or none.
    Own(Option<Bytes>),
    /// The upstream's, as it comes.
    Upstream(Box<Streaming>),
}

/// Dropped at the end of the answer or when the client is gone; the transaction logs then.
#[derive(Debug)]
struct Streaming {
    incoming: Incoming,
    lease: Option<Lease>,
    stall: Stall,
    tx: Transaction,
}

/// Hands an answer to the client's connection, the transaction with it.
pub(super) fn finish(answer: Answer, mut tx: Transaction) -> Response<ResponseBody> {
    match answer {
        Answer::Response(response, lease) => {
            tx.answered(response.status());
            let (head, incoming) = response.into_parts();
            let stall = Stall::new(lease.patience());
            let mut streaming = Streaming {
                incoming,
                lease: Some(lease),
                stall,
                tx,
            };
            streaming.release_if_done();
            Response::from_parts(head, ResponseBody(Kind::Upstream(Box::new(streaming))))
        }
        Answer::Switched(response, tunnel) => {
            tx.answered(response.status());
            tunnel.spawn(tx);
            response.map(|()| ResponseBody(Kind::Own(None)))
        }
    }
}

/// Answers in place of the upstream.
pub(super) fn interrupt(why: &Interruption, mut tx: Transaction) -> Response<ResponseBody> {
    let id = tx.id;
    match why {
        Interruption::Upstream(error) => {
            tracing::warn!(request_id = %id, %error, "upstream failed")
        }
        _ => tracing::debug!(request_id = %id, cause = why.name(), "request interrupted"),
    }
    if !matches!(why, Interruption::Blocked | Interruption::NotInspected) {
        tx.error = Some(why.name());
    }
    // What is answered here never reached the application: it is nothing to train on.
    tx.draft = None;
    if tx.decision.is_none() {
        tx.refuse(Cause::Refused);
    }
    let mut response = respond(why, tx.format, &id);
    if tx.method == Method::HEAD {
        // hyper leaves the page away over HTTP/1.1 only.
        let length = HeaderValue::from(response.body().len());
        response.headers_mut().insert(CONTENT_LENGTH, length);
        *response.body_mut() = Bytes::new();
    }
    tx.answered(response.status());
    tx.response_bytes = response.body().len() as u64;
    response.map(|page| ResponseBody(Kind::Own(Some(page))))
}

impl Streaming {
    /// Gives the connection back as soon as the last piece is here, without waiting for the client to take it.
    fn release_if_done(&mut self) {
        if self.incoming.is_end_stream()
            && let Some(lease) = self.lease.take()
        {
            lease.release();
        }
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match Pin::new(&mut self.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(frame))) => {
                self.stall.progress();
                self.tx.response_bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                // Nothing follows trailers, and a client that takes none does not ask again.
                if frame.is_trailers()
                    && let Some(lease) = self.lease.take()
                {
                    lease.release();
                }
                self.release_if_done();
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => {
                self.tx.error = Some("upstream_broke_off");
                Poll::Ready(Some(Err(ResponseError::Upstream(error))))
            }
            Poll::Ready(None) => {
                if let Some(lease) = self.lease.take() {
                    lease.release();
                }
                Poll::Ready(None)
            }
            Poll::Pending => {
                ready!(self.stall.poll(cx));
                while self.lease.as_mut().is_some_and(Lease::moved) {
                    self.stall.progress();
                    ready!(self.stall.poll(cx));
                }
                self.tx.error = Some("upstream_stalled");
                Poll::Ready(Some(Err(ResponseError::Stalled)))
            }
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = ResponseError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ResponseError>>> {
        match &mut self.get_mut().0 {
            Kind::Own(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Kind::Upstream(streaming) => streaming.poll(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Own(body) => body.as_ref().is_none_or(Bytes::is_empty),
            Kind::Upstream(streaming) => streaming.incoming.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Own(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Kind::Upstream(streaming) => streaming.incoming.size_hint(),
        }
    }
}
