//! What became of each case, counted; and GoTestWAF's score from the counts. Not here: how it is printed.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use crate::cases::{Case, Suite};
use crate::drive::Answered;

/// What became of one request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// 403 by Weir.
    Blocked,
    /// Answered by the origin. `flagged`: marked for it; `uninspected`: Weir could not decide and let it pass.
    Passed { flagged: bool, uninspected: bool },
    /// 400 by Weir, for a request that the origin alone takes.
    Malformed,
    /// Another answer by Weir.
    Refused(u16),
    /// A closed connection or none in time.
    Unanswered(String),
    /// No request: no client can write it, or the origin alone does not take it.
    Unsendable(String),
}

impl Fate {
    pub(crate) fn of(case: &Case, alone: &Answered, through: &Answered) -> Self {
        if let Err(why) = &case.message {
            return Self::Unsendable(why.clone());
        }
        match alone {
            Ok(answer) if answer.by_origin => {}
            Ok(answer) => {
                return Self::Unsendable(format!("the origin alone answers {}", answer.status));
            }
            Err(why) => return Self::Unsendable(format!("the origin alone: {why}")),
        }
        match through {
            Err(why) => Self::Unanswered(why.clone()),
            Ok(answer) if answer.by_origin => Self::Passed {
                flagged: answer.verdict.as_deref() == Some("flag"),
                uninspected: answer.verdict.as_deref() == Some("failed_open"),
            },
            Ok(answer) => match answer.status {
                403 => Self::Blocked,
                400 => Self::Malformed,
                other => Self::Refused(other),
            },
        }
    }

    /// In a few words.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Blocked => "blocked".to_owned(),
            Self::Passed {
                uninspected: true, ..
            } => "passed, not inspected".to_owned(),
            Self::Passed { flagged: true, .. } => "passed, flagged".to_owned(),
            Self::Passed { .. } => "passed".to_owned(),
            Self::Malformed => "refused as malformed (400)".to_owned(),
            Self::Refused(status) => format!("refused ({status})"),
            Self::Unanswered(why) => format!("unanswered: {why}"),
            Self::Unsendable(why) => format!("not sent: {why}"),
        }
    }
}

/// A case with its fate and Weir's own record of it.
#[derive(Debug)]
pub(crate) struct Judged {
    pub(crate) case: Case,
    pub(crate) fate: Fate,
    pub(crate) decision: Option<Value>,
}

impl Judged {
    /// An attack that passed, or a harmless request that did not.
    pub(crate) fn is_mistake(&self) -> bool {
        match self.fate {
            Fate::Passed { .. } => !self.case.harmless,
            Fate::Blocked => self.case.harmless,
            _ => false,
        }
    }
}

/// Counts of one group of cases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Counts {
    pub(crate) cases: u64,
    pub(crate) blocked: u64,
    pub(crate) passed: u64,
    /// Of those that passed.
    pub(crate) flagged: u64,
    /// Of those that passed.
    pub(crate) uninspected: u64,
    /// Answered 400 by the guard.
    pub(crate) malformed: u64,
    /// Refused in another way or unanswered.
    pub(crate) unresolved: u64,
    pub(crate) not_sent: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, fate: &Fate) {
        self.cases += 1;
        match fate {
            Fate::Blocked => self.blocked += 1,
            Fate::Passed {
                flagged,
                uninspected,
            } => {
                self.passed += 1;
                self.flagged += u64::from(*flagged);
                self.uninspected += u64::from(*uninspected);
            }
            Fate::Malformed => self.malformed += 1,
            Fate::Refused(_) | Fate::Unanswered(_) => self.unresolved += 1,
            Fate::Unsendable(_) => self.not_sent += 1,
        }
    }

    pub(crate) fn of<'r>(results: impl IntoIterator<Item = &'r Judged>) -> Self {
        let mut counts = Self::default();
        results.into_iter().for_each(|one| counts.add(&one.fate));
        counts
    }

    /// Of the resolved ones, those whose fate is right; as the tool rounds it.
    pub(crate) fn percentage(&self, harmless: bool) -> Option<f64> {
        let right = if harmless { self.passed } else { self.blocked };
        percentage(right, self.blocked + self.passed)
    }
}

fn percentage(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| round(part as f64 / all as f64 * 100.0))
}

/// To two decimals.
fn round(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

/// Counts by group, in the order of the groups.
pub(crate) fn by<'r, K: Ord>(
    results: impl IntoIterator<Item = &'r Judged>,
    key: impl Fn(&'r Judged) -> K,
) -> BTreeMap<K, Counts> {
    let mut groups: BTreeMap<K, Counts> = BTreeMap::new();
    for one in results {
        groups.entry(key(one)).or_default().add(&one.fate);
    }
    groups
}

/// One half of GoTestWAF's score. `None`: no resolved request of that kind.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Half {
    pub(crate) true_positive: Option<f64>,
    pub(crate) true_negative: Option<f64>,
    pub(crate) average: Option<f64>,
}

/// GoTestWAF's score: what share of attacks is blocked and of harmless requests passes, requests counted alike and
/// unresolved ones left out; their mean for the application and for the API sets; and the mean of those two.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(crate) struct Score {
    pub(crate) application: Half,
    pub(crate) api: Half,
    pub(crate) average: Option<f64>,
}

impl Score {
    pub(crate) fn of(results: &[Judged]) -> Self {
        let half = |api: bool| {
            let share = |harmless: bool| {
                let chosen = results.iter().filter(|one| {
                    // The tool tells its sets apart by a word in their names.
                    one.case.suite == Suite::GoTestWaf
                        && one.case.set.contains("api") == api
                        && one.case.harmless == harmless
                });
                Counts::of(chosen).percentage(harmless)
            };
            let (true_positive, true_negative) = (share(false), share(true));
            Half {
                true_positive,
                true_negative,
                average: mean([true_positive, true_negative]),
            }
        };
        let (application, api) = (half(false), half(true));
        Self {
            application,
            api,
            average: mean([api.average, application.average]),
        }
    }
}

fn mean(values: [Option<f64>; 2]) -> Option<f64> {
    let given: Vec<f64> = values.into_iter().flatten().collect();
    (!given.is_empty()).then(|| round(given.iter().sum::<f64>() / given.len() as f64))
}

/// The tool's mark for a percentage.
pub(crate) fn grade(percentage: Option<f64>) -> &'static str {
    const MARKS: [(f64, &str); 12] = [
        (97.0, "A+"),
        (93.0, "A"),
        (90.0, "A-"),
        (87.0, "B+"),
        (83.0, "B"),
        (80.0, "B-"),
        (77.0, "C+"),
        (73.0, "C"),
        (70.0, "C-"),
        (67.0, "D+"),
        (63.0, "D"),
        (60.0, "D-"),
    ];
    let Some(percentage) = percentage else {
        return "N/A";
    };
    let mark = MARKS.iter().find(|(least, _)| percentage >= *least);
    mark.map_or("F", |(_, mark)| mark)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;
    use crate::client::Answer;
    use crate::message::Message;

    fn judged(set: &str, fate: Fate) -> Judged {
        Judged {
            case: Case {
                suite: Suite::GoTestWaf,
                set: set.to_owned(),
                name: String::new(),
                place: "URLParam".to_owned(),
                encoder: "URL".to_owned(),
                payload: String::new(),
                harmless: set.contains("false"),
                message: Ok(Message::new("GET", "/")),
            },
            fate,
            decision: None,
        }
    }

    const PASSED: Fate = Fate::Passed {
        flagged: false,
        uninspected: false,
    };

    #[test]
    fn the_score_is_the_tools_formula() {
        let mut results = Vec::new();
        for _ in 0..3 {
            results.push(judged("community", Fate::Blocked));
            results.push(judged("owasp", Fate::Blocked));
            results.push(judged("owasp-api", Fate::Blocked));
        }
        results.push(judged("false-pos", PASSED));
        results.push(judged("false-pos", PASSED));
        results.push(judged("owasp", PASSED));
        results.push(judged("owasp", Fate::Malformed));
        results.push(judged("owasp", Fate::Unanswered(String::new())));
        results.push(judged("false-pos", Fate::Blocked));
        let score = Score::of(&results);
        assert_eq!(score.application.true_positive, Some(85.71));
        assert_eq!(score.application.true_negative, Some(66.67));
        assert_eq!(score.application.average, Some(76.19));
        assert_eq!(
            (score.api.true_positive, score.api.true_negative),
            (Some(100.0), None)
        );
        assert_eq!(score.api.average, Some(100.0));
        assert_eq!(score.average, Some(88.1));
        assert_eq!(Score::of(&[]).average, None);
        assert_eq!(results.iter().filter(|one| one.is_mistake()).count(), 2);
    }

    #[test]
    fn grades_are_the_tools() {
        for (percentage, wanted) in [(100.0, "A+"), (96.99, "A"), (80.0, "B-"), (59.9, "F")] {
            assert_eq!(grade(Some(percentage)), wanted);
        }
        assert_eq!(grade(None), "N/A");
    }

    #[test]
    fn who_answered_decides() {
        let case = judged("community", PASSED).case;
        let origin = |verdict: Option<&str>| {
            Ok(Answer {
                status: 200,
                by_origin: true,
                verdict: verdict.map(str::to_owned),
                ..Answer::default()
            })
        };
        let weir = |status| {
            Ok(Answer {
                status,
                ..Answer::default()
            })
        };
        let alone = origin(None);
        assert_eq!(Fate::of(&case, &alone, &weir(403)), Fate::Blocked);
        assert_eq!(Fate::of(&case, &alone, &weir(400)), Fate::Malformed);
        assert_eq!(Fate::of(&case, &alone, &weir(503)), Fate::Refused(503));
        let flagged = Fate::of(&case, &alone, &origin(Some("flag")));
        assert!(matches!(
            flagged,
            Fate::Passed {
                flagged: true,
                uninspected: false
            }
        ));
        assert!(matches!(
            Fate::of(&case, &weir(400), &weir(403)),
            Fate::Unsendable(_)
        ));
        assert!(matches!(
            Fate::of(&case, &alone, &Err("gone".to_owned())),
            Fate::Unanswered(_)
        ));
    }
}
