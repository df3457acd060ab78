//! One test case: where it comes from, what it says, and the request it becomes. Not here: formats and encodings.

use std::path::Path;

use anyhow::{Context, Result};
use serde::de::DeserializeOwned;

use crate::message::Message;

/// Which tool's rules count a case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Suite {
    /// GoTestWAF's own cases: they make its score.
    GoTestWaf,
    /// The attacks of GoTestWAF's body placeholders again, behind 128 KiB.
    Padded,
    /// waf-bypass.
    WafBypass,
}

impl Suite {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::GoTestWaf => "gotestwaf",
            Self::Padded => "gotestwaf, padded",
            Self::WafBypass => "waf-bypass",
        }
    }
}

/// A test case. Everything but the message is for the report.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) suite: Suite,
    /// GoTestWAF's test set; waf-bypass' class.
    pub(crate) set: String,
    /// GoTestWAF's test case; empty for waf-bypass.
    pub(crate) name: String,
    /// GoTestWAF's placeholder; waf-bypass' zone.
    pub(crate) place: String,
    pub(crate) encoder: String,
    pub(crate) payload: String,
    /// Blocking it is the mistake, not passing it.
    pub(crate) harmless: bool,
    /// The request, or why no client could send it.
    pub(crate) message: Result<Message, String>,
}

/// A value of type `T` from each line of a file.
pub(crate) fn lines<T: DeserializeOwned>(file: &Path) -> Result<Vec<T>> {
    let text = std::fs::read_to_string(file).with_context(|| {
        format!(
            "cannot read {}: name the folder that holds attacks/ (make bench-detect DATA=FOLDER)",
            file.display()
        )
    })?;
    let parsed = text.lines().enumerate().map(|(index, line)| {
        serde_json::from_str(line).with_context(|| format!("{}:{}", file.display(), index + 1))
    });
    parsed.collect()
}
