//! All cases to one address, over a few connections at once. Not here: what the answers mean.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result};

use crate::cases::Case;
use crate::client::{Answer, Client};

/// An answer, or why there is none.
pub(crate) type Answered = Result<Answer, String>;

/// The answer to each case, in their order.
pub(crate) async fn all(
    cases: Vec<Case>,
    to: SocketAddr,
    connections: usize,
) -> Result<(Vec<Case>, Vec<Answered>)> {
    let cases = Arc::new(cases);
    let next = Arc::new(AtomicUsize::new(0));
    let mut senders = Vec::new();
    for _ in 0..connections.max(1) {
        let (cases, next) = (Arc::clone(&cases), Arc::clone(&next));
        senders.push(tokio::spawn(async move {
            let mut client = Client::new(to);
            let mut answers = Vec::new();
            while let (at, Some(case)) = take(&cases, &next) {
                let answer = match &case.message {
                    Ok(message) => client.send(message).await,
                    Err(why) => Err(why.clone()),
                };
                answers.push((at, answer));
            }
            answers
        }));
    }
    let mut answers = Vec::with_capacity(cases.len());
    for sender in senders {
        answers.extend(sender.await.context("a sender failed")?);
    }
    answers.sort_unstable_by_key(|(at, _)| *at);
    let cases = Arc::try_unwrap(cases).unwrap_or_else(|shared| shared.as_ref().clone());
    Ok((
        cases,
        answers.into_iter().map(|(_, answer)| answer).collect(),
    ))
}

fn take<'c>(cases: &'c [Case], next: &AtomicUsize) -> (usize, Option<&'c Case>) {
    let at = next.fetch_add(1, Ordering::Relaxed);
    (at, cases.get(at))
}
