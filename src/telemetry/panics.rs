//! Panics that end one piece of work and nothing else: caught, and logged once by whoever knows what they ended.
//!
//! Not here: messages of panics, which may quote what a client sent.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::Poll;

thread_local! {
    static CATCHING: Cell<bool> = const { Cell::new(false) };
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// A caught panic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Source file, line and column.
    pub place: String,
}

/// Logs panics that nobody catches, and notes the place of those that somebody does.
pub(super) fn install_hook() {
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        let place = place.unwrap_or_default();
        if CATCHING.get() {
            PLACE.set(Some(place));
        } else {
            tracing::error!(place, "a panic in the background");
        }
    }));
}

/// Does some work, whose panic is an error. What it leaves behind must be plain values.
///
/// # Errors
/// When it panicked.
pub fn catch<R>(work: impl FnOnce() -> R) -> Result<R, Panic> {
    let outer = CATCHING.replace(true);
    let outcome = catch_unwind(AssertUnwindSafe(work));
    CATCHING.set(outer);
    outcome.map_err(|_message| Panic {
        place: PLACE.take().unwrap_or_default(),
    })
}

/// Awaits a future where it lies, whose panic is an error.
///
/// # Errors
/// When it panicked.
pub async fn caught<F: Future>(mut future: Pin<&mut F>) -> Result<F::Output, Panic> {
    poll_fn(|cx| match catch(|| future.as_mut().poll(cx)) {
        Ok(Poll::Ready(value)) => Poll::Ready(Ok(value)),
        Ok(Poll::Pending) => Poll::Pending,
        Err(panic) => Poll::Ready(Err(panic)),
    })
    .await
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use std::pin::pin;

    use super::*;

    #[tokio::test]
    async fn a_panic_is_an_error_and_ends_with_its_work() {
        assert_eq!(caught(pin!(async { 1 })).await, Ok(1));
        let late = pin!(async {
            tokio::task::yield_now().await;
            // Inside, another one is caught.
            assert!(catch(|| panic!("inner")).is_err());
            panic!("outer")
        });
        let outcome: Result<(), Panic> = caught(late).await;
        assert!(outcome.is_err());
        assert!(!CATCHING.get());
        assert_eq!(catch(|| 2), Ok(2));
    }
}
