//! The report as tables for a terminal.

use std::fmt::Write as _;

use super::bootstrap::{Estimate, Unit};
use super::measures::QUANTILES;
use super::report::{Case, Comparison, Group, Report};

/// Cases that are shown.
const SHOWN: usize = 12;
/// Domains and other parts that are shown.
const PARTS: usize = 15;

impl Report {
    /// The report as a table for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        self.head(&mut out);
        self.detectors(&mut out);
        table(
            &mut out,
            "class",
            self.classes.iter().chain(&self.macro_average),
        );
        table(&mut out, "source", &self.sources);
        table(&mut out, "location of payload", &self.locations);
        self.normal_side(&mut out);
        self.verdicts(&mut out);
        self.quantiles(&mut out);
        self.hosts(&mut out);
        self.views(&mut out);
        self.lookalikes(&mut out);
        cases(&mut out, "highest normal requests", &self.alarms);
        cases(&mut out, "lowest attacks", &self.misses);
        self.against(&mut out);
        out
    }

    fn head(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "bundle {}: {} normal requests ({} distinct) of {} hosts, {} attacks ({} distinct), {} bad lines",
            short(&self.bundle),
            self.normal[0],
            self.normal[1],
            self.hosts_seen,
            self.attacks[0],
            self.attacks[1],
            self.bad_lines
        );
        let unit = match self.resampled {
            Unit::Hosts => "hosts",
            Unit::Requests => "requests",
        };
        let _ = writeln!(
            out,
            "95% intervals from {} resamples of attacks and of normal {unit}\n",
            self.resamples
        );
    }

    fn detectors(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "{:<20}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>9}{:>10}{:>9}",
            "detector",
            "ROC-AUC",
            "PR-AUC",
            "TPR@5%",
            "@1%",
            "@0.5%",
            "@0.1%",
            "@0.05%",
            "bal.acc",
            "F1"
        );
        for detector in &self.detectors {
            let sets = [
                ("", &detector.all),
                (" (distinct)", &detector.distinct),
                (" (unseen)", &detector.unseen),
            ];
            for (set, comparison) in sets {
                if let Some(comparison) = comparison {
                    measured(out, &format!("{}{set}", detector.name), comparison);
                }
            }
        }
        if let Some(best) = self.whole().map(|whole| whole.best_balanced_accuracy) {
            let _ = writeln!(
                out,
                "\nbest balanced accuracy {:.4} at score {:.2}: TPR {:.4}, TNR {:.4}{}",
                best.value.value,
                best.threshold,
                best.tpr,
                best.tnr,
                if self.is_small() {
                    "  (* normal sample too small for this rate)"
                } else {
                    ""
                }
            );
        }
    }

    fn normal_side(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n{:<22}{:>10}{:>12}{:>18}{:>10}{:>10}",
            "false positives in", "normal", "at 1% FPR", "at best bal.acc", "flagged", "blocked"
        );
        for place in &self.false_positives {
            let _ = writeln!(
                out,
                "{:<22}{:>10}{:>12}{:>18}{:>10}{:>10}",
                place.name,
                place.normal,
                place.false_positives_at_1,
                place.false_positives_at_best,
                place.flagged,
                place.blocked
            );
        }
    }

    fn verdicts(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n{:<30}{:>10}{:>10}{:>10}",
            format!("flag {}, block {}", self.budgets[0], self.budgets[1]),
            "pass",
            "flag",
            "block"
        );
        let confusion = self.confusion;
        for (name, [pass, flag, block]) in [
            ("normal", confusion.normal),
            ("normal (distinct)", confusion.distinct_normal),
            ("attacks", confusion.attacks),
            ("attacks (distinct)", confusion.distinct_attacks),
        ] {
            let _ = writeln!(out, "{name:<30}{pass:>10}{flag:>10}{block:>10}");
        }
    }

    fn quantiles(&self, out: &mut String) {
        let heads: String = QUANTILES
            .iter()
            .map(|q| format!("{:>8}", format!("{}%", q * 100.0)))
            .collect();
        let _ = writeln!(out, "\n{:<22}{heads}", "score quantiles");
        for detector in &self.detectors {
            for (side, values) in [
                ("normal", &detector.normal_quantiles),
                ("attacks", &detector.attack_quantiles),
            ] {
                let cells: String = values.iter().map(|value| format!("{value:>8.2}")).collect();
                let _ = writeln!(out, "{:<22}{cells}", format!("{} {side}", detector.name));
            }
        }
    }

    fn hosts(&self, out: &mut String) {
        let Some(hosts) = &self.hosts else { return };
        let _ = writeln!(
            out,
            "\n{:<34}{:>8}{:>9}{:>10}{:>10}{:>9}{:>11}",
            "host, by its own requests",
            "normal",
            "attacks",
            "TPR@1%",
            "TPR@0.5%",
            "flagged",
            "threshold"
        );
        for row in &hosts.rows {
            let _ = writeln!(
                out,
                "{:<34}{:>8}{:>9}{:>10.4}{:>10.4}{:>9}{:>11.2}",
                cut(&row.host, 33),
                row.normal,
                row.attacks,
                row.tpr_at_1,
                row.tpr_at_05,
                row.flagged,
                row.threshold_at_1
            );
        }
        let _ = writeln!(
            out,
            "median TPR at 1% {}; all hosts pooled: {} at 0.5%, {} at 0.1%",
            span(&hosts.median_tpr_at_1),
            span(&hosts.pooled_tpr_at_05),
            span(&hosts.pooled_tpr_at_01)
        );
    }

    fn views(&self, out: &mut String) {
        for view in &self.views {
            let _ = writeln!(
                out,
                "\n{:<34}{:>8}{:>8}{:>9}{:>9}{:>9}{:>9}{:>10}",
                format!("by {}", view.by),
                "normal",
                "FPR@1%",
                "@0.5%",
                "flagged",
                "attacks",
                "TPR@1%",
                "@0.5%"
            );
            for row in view.rows.iter().take(PARTS) {
                let _ = writeln!(
                    out,
                    "{:<34}{:>8}{:>8.4}{:>9.4}{:>9}{:>9}{:>9.4}{:>10.4}",
                    cut(&row.name, 33),
                    row.normal,
                    row.fpr_at_1,
                    row.fpr_at_05,
                    row.flagged,
                    row.attacks,
                    row.tpr_at_1,
                    row.tpr_at_05
                );
            }
            if view.rows.len() > PARTS {
                let _ = writeln!(out, "({} more)", view.rows.len() - PARTS);
            }
        }
    }

    fn lookalikes(&self, out: &mut String) {
        let Some(lookalikes) = &self.lookalikes else {
            return;
        };
        let _ = writeln!(
            out,
            "\n{:<34}{:>8}{:>9}{:>9}{:>10}",
            "look-alikes", "count", "flagged", "blocked", "blocked %"
        );
        for row in &lookalikes.rows {
            #[expect(clippy::cast_precision_loss, reason = "counts of samples")]
            let share = 100.0 * row.blocked as f64 / row.count.max(1) as f64;
            let _ = writeln!(
                out,
                "{:<34}{:>8}{:>9}{:>9}{share:>10.2}",
                row.name, row.count, row.flagged, row.blocked
            );
        }
        cases(out, "highest look-alikes", &lookalikes.worst);
    }

    fn against(&self, out: &mut String) {
        let Some(against) = &self.against else {
            return;
        };
        let _ = writeln!(
            out,
            "\nagainst bundle {}\n{:<26}{:>10}{:>10}{:>30}",
            short(&against.bundle),
            "",
            "this",
            "other",
            "difference"
        );
        for row in &against.measures {
            let _ = writeln!(
                out,
                "{:<26}{:>10.4}{:>10.4}{:>30}",
                row.name,
                row.this,
                row.other,
                signed(&row.difference)
            );
        }
        let _ = writeln!(
            out,
            "\nnormal requests flagged only here: {}, only there: {}; attacks found only here: {}, only there: {}",
            against.new_false_positives.0,
            against.gone_false_positives,
            against.newly_caught.0,
            against.newly_missed.0
        );
        cases(out, "new false positives", &against.new_false_positives.1);
        cases(out, "newly caught", &against.newly_caught.1);
        cases(out, "newly missed", &against.newly_missed.1);
    }
}

fn cut(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

/// `0.9700 (0.9600-0.9800)`.
fn span(estimate: &Estimate) -> String {
    match estimate.interval {
        Some([low, high]) => format!("{:.4} ({low:.4}-{high:.4})", estimate.value),
        None => format!("{:.4}", estimate.value),
    }
}

fn signed(estimate: &Estimate) -> String {
    match estimate.interval {
        Some([low, high]) => format!("{:+.4} ({low:+.4} to {high:+.4})", estimate.value),
        None => format!("{:+.4}", estimate.value),
    }
}

/// The numbers, and below them half the width of their intervals.
fn measured(out: &mut String, name: &str, comparison: &Comparison) {
    let headlines = comparison.headlines();
    let small = |index: usize| {
        let rate = index
            .checked_sub(2)
            .and_then(|at| comparison.tpr_at_fpr.get(at));
        rate.is_some_and(|rate| !rate.supported)
    };
    let mut line = |title: &str, show: &dyn Fn(&Estimate, bool) -> String| {
        let cells = headlines.iter().enumerate().map(|(index, (_, estimate))| {
            let width = if index == 7 { 10 } else { 9 };
            format!("{:>width$}", show(estimate, small(index)))
        });
        let _ = writeln!(out, "{title:<20}{}", cells.collect::<String>());
    };
    line(name, &|estimate, small| {
        format!("{:.4}{}", estimate.value, if small { "*" } else { "" })
    });
    if headlines
        .iter()
        .any(|(_, estimate)| estimate.interval.is_some())
    {
        for (title, end) in [("  from", 0), ("  to", 1)] {
            line(title, &|estimate, _| {
                let end = estimate.interval.and_then(|ends| ends.get(end).copied());
                end.map_or_else(String::new, |end| format!("{end:.4}"))
            });
        }
    }
}

fn table<'a>(out: &mut String, title: &str, groups: impl IntoIterator<Item = &'a Group>) {
    let _ = writeln!(
        out,
        "\n{title:<26}{:>9}{:>10}{:>10}{:>26}{:>10}",
        "attacks", "ROC-AUC", "TPR@1%", "TPR@0.5%", "TPR@best"
    );
    for group in groups {
        let _ = writeln!(
            out,
            "{:<26}{:>9}{:>10.4}{:>10.4}{:>26}{:>10.4}",
            group.name,
            group.attacks,
            group.roc_auc.value,
            group.tpr_at_1.value,
            span(&group.tpr_at_05),
            group.tpr_at_best.value
        );
    }
}

fn cases(out: &mut String, title: &str, cases: &[Case]) {
    if cases.is_empty() {
        return;
    }
    let _ = writeln!(out, "\n{title}");
    for case in cases.iter().take(SHOWN) {
        let what = if case.text.is_empty() {
            format!("{:<34}{}", case.key, case.host)
        } else {
            case.text.clone()
        };
        let other = case
            .other
            .map_or_else(String::new, |other| format!(" (other {other:.2})"));
        let _ = writeln!(
            out,
            "{:>6.2}{other}  {:<14}{:<13}{what}",
            case.score,
            if case.class.is_empty() {
                "normal"
            } else {
                &case.class
            },
            case.location.unwrap_or("-")
        );
    }
}
