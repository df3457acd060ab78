//! `inspect`: how much of a body is held and scored, for a route and for content types of their own.
//!
//! Not here: what follows for a request (`proxy::body::plan`).

use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;

use super::fields::duration;
use super::reader::{Item, Section};
use crate::units::Bytes;

/// Content types of their own on one route.
const MAX_TYPES: usize = 64;

/// Limits of one request's inspection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspect {
    /// Body bytes held and scored.
    pub body: Bytes,
    /// What happens to a longer body; `None` for the default of its content type.
    pub beyond: Option<Beyond>,
    /// Content types with limits of their own; the first that matches counts.
    pub types: Arc<[TypeRule]>,
    /// Bytes beyond `body` that are all scored as they pass; of what follows, samples.
    pub passing: Bytes,
    /// Longest pause of the sender while its body is held, and a tenth of the longest time that it is held; then the
    /// fail mode decides.
    pub idle: Duration,
    /// Time from the complete (or cut) body to the decision.
    pub deadline: Duration,
}

impl Default for Inspect {
    fn default() -> Self {
        Self {
            body: Bytes::kib(256),
            beyond: None,
            types: Arc::default(),
            passing: Bytes::mib(4),
            idle: Duration::from_secs(5),
            deadline: Duration::from_millis(500),
        }
    }
}

impl Inspect {
    /// `body` and `beyond` for a media type in lower case, without parameters.
    pub fn limits_of(&self, essence: &str) -> (Bytes, Option<Beyond>) {
        self.types
            .iter()
            .find(|rule| rule.matches(essence))
            .map_or((self.body, self.beyond), |rule| (rule.body, rule.beyond))
    }
}

/// The policy for a body longer than `inspect.body`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Beyond {
    /// Its beginning is scored before anything passes, the rest as it passes.
    InspectPrefix,
    /// 413.
    Reject,
}

/// Limits of one content type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypeRule {
    /// `type/subtype` in lower case; `type/*` for all of a type.
    pub name: String,
    /// Body bytes held and scored.
    pub body: Bytes,
    /// What happens to a longer body.
    pub beyond: Option<Beyond>,
}

impl TypeRule {
    fn matches(&self, essence: &str) -> bool {
        match self.name.strip_suffix('*') {
            Some(main) => essence.starts_with(main),
            None => essence == self.name,
        }
    }
}

pub(super) fn inspect(item: &Item<'_>, start: &Inspect) -> Inspect {
    let section = item.section();
    let deadlines = Duration::from_millis(1)..=Duration::from_secs(60);
    let idles = Duration::from_millis(10)..=Duration::from_secs(600);
    let body = body(&section).unwrap_or(start.body);
    let beyond = beyond(&section).or(start.beyond);
    Inspect {
        body,
        beyond,
        types: section.get("types").map_or_else(
            || Arc::clone(&start.types),
            |item| types(&item, body, beyond),
        ),
        passing: section
            .get("passing")
            .and_then(|item| item.size(Bytes(0)..=Bytes::mib(65_536)))
            .unwrap_or(start.passing),
        idle: duration(&section, "idle", idles, start.idle),
        deadline: duration(&section, "deadline", deadlines, start.deadline),
    }
}

fn body(section: &Section<'_>) -> Option<Bytes> {
    section.get("body")?.size(Bytes(0)..=Bytes::mib(16))
}

fn beyond(section: &Section<'_>) -> Option<Beyond> {
    section.get("beyond")?.choice(&[
        ("inspect_prefix", Beyond::InspectPrefix),
        ("reject", Beyond::Reject),
    ])
}

fn types(item: &Item<'_>, whole: Bytes, otherwise: Option<Beyond>) -> Arc<[TypeRule]> {
    let items = item.list();
    if items.len() > MAX_TYPES {
        item.problem(format!(
            "names {} content types: at most {MAX_TYPES} are looked at",
            items.len()
        ));
    }
    let mut found: Vec<TypeRule> = Vec::new();
    for item in &items {
        let section = item.section();
        let name = section
            .need(
                "type",
                "the content type, such as application/json or image/*",
            )
            .and_then(|item| media_type(&item));
        let rule = TypeRule {
            body: body(&section).unwrap_or(whole),
            beyond: beyond(&section).or(otherwise),
            name: name.unwrap_or_default(),
        };
        if let Some(earlier) = found.iter().find(|earlier| earlier.matches(&rule.name)) {
            item.problem(format!(
                "`{}` above matches the same content types; put the narrower one first",
                earlier.name
            ));
        }
        if !rule.name.is_empty() {
            found.push(rule);
        }
    }
    found.into()
}

fn media_type(item: &Item<'_>) -> Option<String> {
    let text = item.text()?.to_ascii_lowercase();
    let token = |part: &str| {
        !part.is_empty()
            && part
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || b"!#$&^_.+-".contains(&byte))
    };
    let valid = text
        .split_once('/')
        .is_some_and(|(main, sub)| token(main) && (token(sub) || sub == "*"));
    if !valid {
        item.expected("a content type without parameters, such as application/json or image/*");
    }
    valid.then_some(text)
}
