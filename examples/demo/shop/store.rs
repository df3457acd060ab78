//! What the shop remembers: sessions, carts, reviews. In memory and bounded.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::message::unform;

/// More sessions than this and the shop starts afresh: a demo has no use for an eviction policy.
const MOST_SESSIONS: usize = 10_000;
const MOST_REVIEWS: usize = 20;
const MOST_ITEMS: usize = 50;

#[derive(Debug, Clone)]
pub(crate) struct Customer {
    pub(crate) name: String,
}

#[derive(Debug, Default)]
pub(crate) struct Store(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    logins: u64,
    customers: HashMap<String, Customer>,
    carts: HashMap<String, Vec<(String, u32)>>,
    reviews: Vec<serde_json::Value>,
}

impl Store {
    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn log_in(&self, name: &str) -> String {
        let mut kept = self.kept();
        kept.logins += 1;
        // Good enough to tell sessions apart; a shop with money in it needs real randomness.
        let session = format!(
            "{:016x}{:016x}",
            kept.logins.wrapping_mul(0x9E37_79B9_7F4A_7C15),
            kept.logins
        );
        if kept.customers.len() >= MOST_SESSIONS {
            kept.customers.clear();
            kept.carts.clear();
        }
        kept.customers.insert(
            session.clone(),
            Customer {
                name: name.to_owned(),
            },
        );
        session
    }

    pub(crate) fn customer(&self, session: &str) -> Option<Customer> {
        self.kept().customers.get(session).cloned()
    }

    pub(crate) fn add(&self, session: &str, product: &str, quantity: u32) {
        let mut kept = self.kept();
        if kept.carts.len() >= MOST_SESSIONS {
            kept.carts.clear();
        }
        let cart = kept.carts.entry(session.to_owned()).or_default();
        if cart.len() < MOST_ITEMS {
            cart.push((product.to_owned(), quantity));
        }
    }

    pub(crate) fn cart(&self, session: &str) -> Vec<(String, u32)> {
        self.kept().carts.get(session).cloned().unwrap_or_default()
    }

    pub(crate) fn review(&self, review: serde_json::Value) {
        let mut kept = self.kept();
        if kept.reviews.len() >= MOST_REVIEWS {
            kept.reviews.remove(0);
        }
        kept.reviews.push(review);
    }

    pub(crate) fn reviews(&self) -> serde_json::Value {
        serde_json::Value::Array(self.kept().reviews.clone())
    }
}

/// One field of a query or form.
pub(crate) fn field(encoded: &str, name: &str) -> Option<String> {
    encoded
        .split('&')
        .filter_map(|pair| pair.split_once('='))
        .find(|(key, _)| unform(key) == name)
        .map(|(_, value)| unform(value))
}
