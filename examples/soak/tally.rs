//! How requests ended, counted by kind, with the first wrong answers in words.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

/// Wrong answers that are told in words; the rest are counted.
const EXAMPLES: usize = 20;

/// What a client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Kind {
    KeepAlive,
    Short,
    Http2,
    Tls,
    TlsHttp2,
    Form,
    Upload,
    Events,
    WebSocket,
    Blocked,
    Aborted,
}

impl Kind {
    pub(crate) const ALL: [Self; 11] = [
        Self::KeepAlive,
        Self::Short,
        Self::Http2,
        Self::Tls,
        Self::TlsHttp2,
        Self::Form,
        Self::Upload,
        Self::Events,
        Self::WebSocket,
        Self::Blocked,
        Self::Aborted,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::KeepAlive => "keep-alive",
            Self::Short => "short connections",
            Self::Http2 => "HTTP/2",
            Self::Tls => "TLS",
            Self::TlsHttp2 => "TLS, HTTP/2",
            Self::Form => "forms and JSON",
            Self::Upload => "uploads",
            Self::Events => "event streams",
            Self::WebSocket => "WebSocket messages",
            Self::Blocked => "blocked requests",
            Self::Aborted => "broken off by clients",
        }
    }
}

/// How requests of one kind ended.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) right: u64,
    /// Gateway errors and cut answers while the upstream was away.
    pub(crate) away: u64,
    pub(crate) wrong: u64,
}

impl Counts {
    pub(crate) fn requests(self) -> u64 {
        self.right + self.away + self.wrong
    }
}

#[derive(Debug, Default)]
struct Inner {
    kinds: BTreeMap<Kind, Counts>,
    examples: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Inner>);

impl Tally {
    fn inner(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn right(&self, kind: Kind) {
        self.inner().kinds.entry(kind).or_default().right += 1;
    }

    pub(crate) fn away(&self, kind: Kind) {
        self.inner().kinds.entry(kind).or_default().away += 1;
    }

    pub(crate) fn wrong(&self, kind: Kind, what: &str) {
        let mut inner = self.inner();
        inner.kinds.entry(kind).or_default().wrong += 1;
        if inner.examples.len() < EXAMPLES {
            let example = format!("{}: {what}", kind.name());
            eprintln!("soak: WRONG {example}");
            inner.examples.push(example);
        }
    }

    pub(crate) fn kinds(&self) -> BTreeMap<Kind, Counts> {
        self.inner().kinds.clone()
    }

    pub(crate) fn examples(&self) -> Vec<String> {
        self.inner().examples.clone()
    }

    pub(crate) fn sum(&self) -> Counts {
        sum(&self.inner().kinds)
    }
}

pub(crate) fn sum(kinds: &BTreeMap<Kind, Counts>) -> Counts {
    kinds.values().fold(Counts::default(), |mut sum, counts| {
        sum.right += counts.right;
        sum.away += counts.away;
        sum.wrong += counts.wrong;
        sum
    })
}
