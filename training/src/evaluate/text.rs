//! The report as tables for a terminal.

use std::fmt::Write as _;

use super::measures::{Measures, QUANTILES};
use super::report::{Group, Report};

/// Misses and false alarms that are shown.
const SHOWN: usize = 12;

impl Report {
    /// The report as a table for people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut out = String::new();
        let _ = writeln!(
            out,
            "bundle {}: {} normal requests ({} distinct), {} attacks ({} distinct), {} bad lines\n",
            short(&self.bundle),
            self.normal[0],
            self.normal[1],
            self.attacks[0],
            self.attacks[1],
            self.bad_lines
        );
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
            row(&mut out, detector.name, detector.all.as_ref());
            row(
                &mut out,
                &format!("{} (distinct)", detector.name),
                detector.distinct.as_ref(),
            );
        }
        if let Some(best) = self
            .detectors
            .first()
            .and_then(|detector| detector.all.as_ref())
            .map(|m| m.best_balanced_accuracy)
        {
            let _ = writeln!(
                out,
                "\nbest balanced accuracy {:.4} at score {:.2}: TPR {:.4}, TNR {:.4}  (* normal sample too small for this rate)",
                best.value, best.threshold, best.tpr, best.tnr
            );
        }
        table(
            &mut out,
            "class",
            self.classes.iter().chain(&self.macro_average),
        );
        table(&mut out, "source", &self.sources);
        table(&mut out, "location of payload", &self.locations);
        self.rest(&mut out);
        out
    }

    fn rest(&self, out: &mut String) {
        let _ = writeln!(
            out,
            "\n{:<22}{:>16}{:>16}{:>16}",
            "false positives in", "at 1% FPR", "at best bal.acc", "flagged"
        );
        for place in &self.false_positives {
            let _ = writeln!(
                out,
                "{:<22}{:>16}{:>16}{:>16}",
                place.name,
                place.false_positives_at_1,
                place.false_positives_at_best,
                place.flagged
            );
        }
        let _ = writeln!(
            out,
            "\n{:<30}{:>10}{:>10}{:>10}",
            format!("flag {}, block {}", self.budgets[0], self.budgets[1]),
            "pass",
            "flag",
            "block"
        );
        for (name, [pass, flag, block]) in [
            ("normal", self.confusion.normal),
            ("attacks", self.confusion.attacks),
        ] {
            let _ = writeln!(out, "{name:<30}{pass:>10}{flag:>10}{block:>10}");
        }
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
        let _ = writeln!(out, "\nhighest normal requests");
        for alarm in self.alarms.iter().take(SHOWN) {
            let place = alarm.location.unwrap_or("-");
            let _ = writeln!(
                out,
                "{:>6.2}  {place:<13}{:<34}{}",
                alarm.score, alarm.key, alarm.host
            );
        }
        let _ = writeln!(out, "\nlowest attacks");
        for miss in self.misses.iter().take(SHOWN) {
            let _ = writeln!(
                out,
                "{:>6.2}  {:<14}{:<13}{}",
                miss.score,
                miss.class,
                miss.location.unwrap_or("-"),
                miss.text
            );
        }
    }
}

fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}

fn row(out: &mut String, name: &str, measures: Option<&Measures>) {
    let Some(m) = measures else { return };
    let rates: String = m
        .tpr_at_fpr
        .iter()
        .map(|rate| {
            format!(
                "{:>9}",
                format!("{:.4}{}", rate.tpr, if rate.supported { "" } else { "*" })
            )
        })
        .collect();
    let _ = writeln!(
        out,
        "{name:<20}{:>9.4}{:>9.4}{rates}{:>10.4}{:>9.4}",
        m.roc_auc, m.pr_auc, m.best_balanced_accuracy.value, m.best_f1.value
    );
}

fn table<'a>(out: &mut String, title: &str, groups: impl IntoIterator<Item = &'a Group>) {
    let _ = writeln!(
        out,
        "\n{title:<26}{:>9}{:>10}{:>10}{:>10}{:>14}",
        "attacks", "ROC-AUC", "TPR@1%", "TPR@0.5%", "TPR@best"
    );
    for group in groups {
        let _ = writeln!(
            out,
            "{:<26}{:>9}{:>10.4}{:>10.4}{:>10.4}{:>14.4}",
            group.name,
            group.attacks,
            group.roc_auc,
            group.tpr_at_1,
            group.tpr_at_05,
            group.tpr_at_best
        );
    }
}
