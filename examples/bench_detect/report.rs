//! The results for people and as JSON. Not here: how they come about.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use crate::cases::Suite;
use crate::score::{Counts, Fate, Half, Judged, Score, by, grade};

/// Characters of a payload that a list shows.
const SHOWN: usize = 120;
const COLUMNS: &str =
    "    cases  blocked   passed  flagged  malformed  unresolved  not sent    right";

pub(crate) struct Report<'r> {
    pub(crate) bundle: &'r Path,
    pub(crate) results: &'r [Judged],
}

impl Report<'_> {
    fn suite(&self, suite: Suite) -> impl Iterator<Item = &Judged> {
        self.results
            .iter()
            .filter(move |one| one.case.suite == suite)
    }

    pub(crate) fn text(&self, verbose: bool) -> String {
        let mut out = format!(
            "bundle {}, mode enforce, default budgets\n\n",
            self.bundle.display()
        );
        out.push_str("GoTestWAF, by set and placeholder\n");
        grouped(&mut out, self.suite(Suite::GoTestWaf));
        let score = Score::of(self.results);
        let _ = writeln!(
            out,
            "\nGoTestWAF's score        true positives  true negatives  average  grade\n{}{}{:<57}{:>7}  {}\n",
            line("application security", &score.application),
            line("API security", &score.api),
            "overall",
            percent(score.average),
            grade(score.average)
        );
        out.push_str("The attacks in bodies again, behind 128 KiB of padding\n");
        grouped(&mut out, self.suite(Suite::Padded));
        out.push_str("\nwaf-bypass, attacks by zone\n");
        let attacks = || {
            self.suite(Suite::WafBypass)
                .filter(|one| !one.case.harmless)
        };
        table(&mut out, attacks(), |one| &one.case.place, false);
        out.push_str("\nwaf-bypass, attacks by class\n");
        table(&mut out, attacks(), |one| &one.case.set, false);
        out.push_str("\nwaf-bypass, harmless requests by zone\n");
        let harmless = self.suite(Suite::WafBypass).filter(|one| one.case.harmless);
        table(&mut out, harmless, |one| &one.case.place, true);
        out.push_str(
            "\nright: blocked attacks or passed harmless requests, of those blocked or passed. flagged: of those that passed.\n\
             malformed: answered 400 by Weir, though the origin alone takes the request. unresolved: any other answer, or none.\n",
        );
        self.exceptional(&mut out);
        if verbose {
            self.mistakes(&mut out);
        } else {
            out.push_str("--verbose lists every mistake.\n");
        }
        out
    }

    /// What neither blocked nor passed, by what happened.
    fn exceptional(&self, out: &mut String) {
        let mut kinds: BTreeMap<(&str, String), u64> = BTreeMap::new();
        for one in self.results {
            let ordinary = matches!(
                one.fate,
                Fate::Blocked
                    | Fate::Passed {
                        uninspected: false,
                        ..
                    }
            );
            if !ordinary {
                *kinds
                    .entry((one.case.suite.name(), one.fate.in_words()))
                    .or_default() += 1;
            }
        }
        for ((suite, what), count) in kinds {
            let _ = writeln!(out, "{suite}: {count} {what}");
        }
    }

    fn mistakes(&self, out: &mut String) {
        for (title, harmless) in [
            ("Attacks that passed", false),
            ("Harmless requests that were blocked", true),
        ] {
            let _ = writeln!(out, "\n{title}");
            let chosen = self
                .results
                .iter()
                .filter(|one| one.is_mistake() && one.case.harmless == harmless);
            for one in chosen {
                let _ = writeln!(out, "{}", mistake(one));
            }
        }
    }

    pub(crate) fn json(&self, verbose: bool) -> Value {
        let grouped = |suite| {
            let groups = by(self.suite(suite), |one| {
                (
                    one.case.set.clone(),
                    one.case.place.clone(),
                    one.case.harmless,
                )
            });
            let rows = groups.into_iter().map(|((set, place, harmless), counts)| {
                json!({"set": set, "place": place, "harmless": harmless, "counts": counts, "right": counts.percentage(harmless)})
            });
            rows.collect::<Vec<Value>>()
        };
        let score = Score::of(self.results);
        let mut report = json!({
            "bundle": self.bundle,
            "score": score,
            "grade": grade(score.average),
            "gotestwaf": grouped(Suite::GoTestWaf),
            "padded": grouped(Suite::Padded),
            "waf_bypass": grouped(Suite::WafBypass),
        });
        if verbose && let Some(report) = report.as_object_mut() {
            let chosen = self.results.iter().filter(|one| {
                one.is_mistake() || !matches!(one.fate, Fate::Blocked | Fate::Passed { .. })
            });
            let details = chosen.map(|one| {
                json!({
                    "suite": one.case.suite.name(), "set": one.case.set, "name": one.case.name, "place": one.case.place,
                    "encoder": one.case.encoder, "payload": one.case.payload, "harmless": one.case.harmless,
                    "fate": one.fate.in_words(), "decision": one.decision,
                })
            });
            report.insert("details".to_owned(), details.collect());
        }
        report
    }
}

/// A table by set and place with a line of totals for each set.
fn grouped<'r>(out: &mut String, results: impl Iterator<Item = &'r Judged>) {
    let mut sets: BTreeMap<(bool, &str), Vec<&Judged>> = BTreeMap::new();
    for one in results {
        let set = (one.case.harmless, one.case.set.as_str());
        sets.entry(set).or_default().push(one);
    }
    let _ = writeln!(out, "{:<30}{COLUMNS}", "");
    let mut attacks = Counts::default();
    let mut of_sets = 0;
    for ((harmless, set), results) in &sets {
        for (place, counts) in by(results.iter().copied(), |one| one.case.place.clone()) {
            row(out, &format!("{set:<11} {place}"), &counts, *harmless);
        }
        row(
            out,
            &format!("{set:<11} all"),
            &Counts::of(results.iter().copied()),
            *harmless,
        );
        if !harmless {
            of_sets += 1;
            results.iter().for_each(|one| attacks.add(&one.fate));
        }
    }
    if of_sets > 1 {
        row(out, "all attacks", &attacks, false);
    }
}

fn table<'r>(
    out: &mut String,
    results: impl Iterator<Item = &'r Judged>,
    key: fn(&'r Judged) -> &'r str,
    harmless: bool,
) {
    let results: Vec<&Judged> = results.collect();
    let _ = writeln!(out, "{:<30}{COLUMNS}", "");
    for (name, counts) in by(results.iter().copied(), key) {
        row(out, name, &counts, harmless);
    }
    row(out, "all", &Counts::of(results), harmless);
}

fn row(out: &mut String, name: &str, counts: &Counts, harmless: bool) {
    let _ = writeln!(
        out,
        "{name:<30}{:>9}{:>9}{:>9}{:>9}{:>11}{:>12}{:>10}{:>9}",
        counts.cases,
        counts.blocked,
        counts.passed,
        counts.flagged,
        counts.malformed,
        counts.unresolved,
        counts.not_sent,
        percent(counts.percentage(harmless)),
    );
}

fn line(name: &str, half: &Half) -> String {
    format!(
        "{name:<25}{:>14}{:>16}{:>9}  {}\n",
        percent(half.true_positive),
        percent(half.true_negative),
        percent(half.average),
        grade(half.average)
    )
}

fn percent(value: Option<f64>) -> String {
    value.map_or_else(|| "n/a".to_owned(), |value| format!("{value:.2}%"))
}

/// One mistake: what it was, then its request id, score and reason.
fn mistake(one: &Judged) -> String {
    let case = &one.case;
    let payload: String = case.payload.chars().take(SHOWN).collect();
    let mut text = format!(
        "  {} {} {} {} {}: {}",
        case.suite.name(),
        case.set,
        case.name,
        case.place,
        case.encoder,
        payload.escape_debug(),
    );
    let Some(decision) = &one.decision else {
        return text;
    };
    let of = |pointer| decision.pointer(pointer).cloned().unwrap_or(Value::Null);
    let _ = write!(
        text,
        "\n    request {}, verdict {}, score {}",
        plain(&of("/request_id")),
        plain(&of("/verdict")),
        plain(&of("/score")),
    );
    if let Some(field) = decision.pointer("/reason/fields/0") {
        let of = |pointer| field.pointer(pointer).cloned().unwrap_or(Value::Null);
        let because: Vec<String> = of("/because")
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|one| Some(plain(one.get("what")?)))
            .collect();
        let _ = write!(
            text,
            "; {} {}: {}",
            plain(&of("/location")),
            plain(&of("/key")),
            because.join("; ")
        );
    }
    text
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => number
            .as_f64()
            .map_or_else(String::new, |value| format!("{value:.2}")),
        Value::Null => "none".to_owned(),
        other => other.to_string(),
    }
}
