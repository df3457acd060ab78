//! GoTestWAF's case file: every payload with every encoder at every placeholder. Not here: what these are.

use std::path::Path;

use anyhow::Result;
use serde::Deserialize;
use serde_json::Value;

use crate::cases::{Case, Suite, lines};
use crate::place::Placeholder;

/// Longer payloads bring padding of their own.
const LONGEST_TO_PAD: usize = 4096;

#[derive(Deserialize)]
struct Line {
    set: String,
    name: String,
    payloads: Vec<String>,
    encoders: Vec<String>,
    placeholders: Vec<Value>,
}

/// The cases as the tool sends them.
pub(crate) fn read(file: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in lines::<Line>(file)? {
        for (payload, encoder, placeholder) in line.combinations() {
            cases.push(Case {
                suite: Suite::GoTestWaf,
                set: line.set.clone(),
                name: line.name.clone(),
                place: placeholder.label(),
                encoder: encoder.clone(),
                payload: payload.clone(),
                // The tool itself tells its sets apart by this word in their names.
                harmless: line.set.contains("false"),
                message: placeholder.request(encoder, payload),
            });
        }
    }
    Ok(cases)
}

/// The attacks in bodies again, behind padding.
pub(crate) fn padded(file: &Path) -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for line in lines::<Line>(file)? {
        for (payload, encoder, placeholder) in line.combinations() {
            let fits = placeholder.in_body() && payload.len() <= LONGEST_TO_PAD;
            if fits && !line.set.contains("false") {
                cases.push(Case {
                    suite: Suite::Padded,
                    set: line.set.clone(),
                    name: line.name.clone(),
                    place: placeholder.label(),
                    encoder: encoder.clone(),
                    payload: payload.clone(),
                    harmless: false,
                    message: placeholder.padded(encoder, payload),
                });
            }
        }
    }
    Ok(cases)
}

impl Line {
    fn combinations(&self) -> impl Iterator<Item = (&String, &String, Placeholder)> {
        self.payloads.iter().flat_map(move |payload| {
            self.encoders.iter().flat_map(move |encoder| {
                let placeholders = self.placeholders.iter().filter_map(Placeholder::read);
                placeholders.map(move |placeholder| (payload, encoder, placeholder))
            })
        })
    }
}
