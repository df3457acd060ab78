//! The tables of the page.

use std::fmt::Write as _;

use super::{cell, escape, thousands};
use crate::evaluate::measures::{FALSE_POSITIVE_RATES, share};
use crate::evaluate::report::{Comparison, Confusion, Group, Report};

/// Parts of a view that are shown.
const PARTS: usize = 40;

/// A share as per cent.
fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

/// Every measure by detector, with duplicates and without.
pub(super) fn detectors(out: &mut String, report: &Report) {
    out.push_str("<h2>Measures</h2><p class=soft>In <i>distinct</i>, requests count once that are equal in host and in every field (place, name, decoded value)");
    if report.detectors.iter().any(|d| d.unseen.is_some()) {
        out.push_str("; in <i>unseen</i>, normal requests that repeat one of the training data are left out as well");
    }
    out.push_str(
        ".</p><div class=scroll><table class=dense><tr><th>detector<th>normal<th>attacks<th>ROC-AUC<th>PR-AUC",
    );
    for rate in FALSE_POSITIVE_RATES {
        let _ = write!(out, "<th>TPR at {}%\u{a0}FPR", 100.0 * rate);
    }
    out.push_str("<th>best balanced accuracy<th>best F1");
    for detector in &report.detectors {
        for (set, comparison) in [
            ("", &detector.all),
            (", distinct", &detector.distinct),
            (", unseen", &detector.unseen),
        ] {
            if let Some(comparison) = comparison {
                measured(out, &format!("{}{set}", detector.name), comparison);
            }
        }
    }
    out.push_str("</table></div>");
    if report.is_small() {
        out.push_str("<p class=soft>* the normal sample is too small to hold one false positive at this rate.</p>");
    }
    if let Some(best) = report.whole().map(|whole| whole.best_balanced_accuracy) {
        let _ = write!(
            out,
            "<p>Best balanced accuracy at score {:.2}: {} of the attacks found, {} of the normal requests passed.</p>",
            best.threshold,
            percent(best.tpr),
            percent(best.tnr)
        );
    }
}

fn measured(out: &mut String, name: &str, comparison: &Comparison) {
    let _ = write!(
        out,
        "<tr><td>{}<td>{}<td>{}{}{}",
        escape(name),
        thousands(comparison.normal),
        thousands(comparison.attacks),
        cell(&comparison.roc_auc),
        cell(&comparison.pr_auc)
    );
    for rate in &comparison.tpr_at_fpr {
        let marked = if rate.supported { "" } else { " *" };
        out.push_str(&cell(&rate.tpr).replacen("<small", &format!("{marked}<small"), 1));
    }
    out.push_str(&cell(&comparison.best_balanced_accuracy.value));
    out.push_str(&cell(&comparison.best_f1.value));
}

/// Verdicts at the bundle's budgets, duplicates and distinct requests.
pub(super) fn confusion(out: &mut String, report: &Report) {
    let _ = write!(
        out,
        "<h2>Verdicts</h2><p class=soft>At the bundle's own budgets: flag {}, block {}.</p><div class=grid>",
        escape(&report.budgets[0]),
        escape(&report.budgets[1])
    );
    let Confusion {
        normal,
        attacks,
        distinct_normal,
        distinct_attacks,
    } = report.confusion;
    matrix(out, "All requests", normal, attacks);
    matrix(out, "Distinct requests", distinct_normal, distinct_attacks);
    out.push_str("</div>");
}

/// One matrix of verdicts.
pub(super) fn matrix(out: &mut String, title: &str, normal: [usize; 3], attacks: [usize; 3]) {
    let _ = write!(
        out,
        "<div><h3>{title}</h3><table class=matrix><tr><th><th>passed<th>flagged<th>blocked"
    );
    for (name, counts, classes) in [
        ("normal", normal, ["ok", "no", "no"]),
        ("attacks", attacks, ["no", "ok", "ok"]),
    ] {
        let total: usize = counts.iter().sum();
        let _ = write!(out, "<tr><td>{name}");
        for (count, class) in counts.into_iter().zip(classes) {
            let _ = write!(
                out,
                "<td class={class}>{}<small>{}</small>",
                thousands(count),
                percent(share(count as u64, total as u64))
            );
        }
    }
    out.push_str("</table></div>");
}

/// Attacks by class, source and location.
pub(super) fn groups(out: &mut String, report: &Report) {
    out.push_str(
        "<h2>Attacks by group</h2><p class=soft>Thresholds are those of all samples together.</p>",
    );
    group_table(out, "Class", &report.classes, report.macro_average.as_ref());
    group_table(out, "Source", &report.sources, None);
    group_table(out, "Place of the payload", &report.locations, None);
}

fn group_table(out: &mut String, title: &str, groups: &[Group], sum: Option<&Group>) {
    if groups.is_empty() {
        return;
    }
    let _ = write!(
        out,
        "<h3>{title}</h3><div class=scroll><table><tr><th>{}<th>attacks<th>ROC-AUC<th>TPR at 1% FPR<th>TPR at 0.5% FPR<th>TPR at best balanced accuracy<th class=l style=\"width:112px\">",
        title.to_lowercase()
    );
    let rows = groups.iter().map(|group| (group, ""));
    for (group, class) in rows.chain(sum.map(|sum| (sum, " class=sum"))) {
        let _ = write!(
            out,
            "<tr{class}><td>{}<td>{}{}{}{}{}<td class=l><span class=bar style=\"width:{:.0}px\"></span>",
            escape(&group.name.replace('_', " ")),
            thousands(group.attacks),
            cell(&group.roc_auc),
            cell(&group.tpr_at_1),
            cell(&group.tpr_at_05),
            cell(&group.tpr_at_best),
            100.0 * group.tpr_at_05.value
        );
    }
    out.push_str("</table></div>");
    every(out, title, groups, sum);
}

/// Every measure of each group, folded away: all attacks, then distinct ones.
fn every(out: &mut String, title: &str, groups: &[Group], sum: Option<&Group>) {
    let _ = write!(
        out,
        "<details><summary>Every measure, each {} at thresholds of its own</summary>",
        title.to_lowercase()
    );
    for set in ["all", "distinct"] {
        let _ = write!(
            out,
            "<div class=scroll><table class=dense><tr><th>{set}<th>attacks<th>ROC-AUC<th>PR-AUC"
        );
        for rate in FALSE_POSITIVE_RATES {
            let _ = write!(out, "<th>TPR at {}%\u{a0}FPR", 100.0 * rate);
        }
        out.push_str("<th>best balanced accuracy<th>best F1");
        let rows = groups.iter().map(|group| (group, ""));
        for (group, class) in rows.chain(sum.map(|sum| (sum, " class=sum"))) {
            let read = if set == "all" {
                group.all
            } else {
                group.distinct
            };
            let Some(every) = read else { continue };
            let _ = write!(
                out,
                "<tr{class}><td>{}<td>{}",
                escape(&group.name.replace('_', " ")),
                thousands(every.attacks)
            );
            let best = [every.best_balanced_accuracy, every.best_f1];
            let areas = [every.roc_auc, every.pr_auc];
            for value in areas.iter().chain(&every.tpr_at_fpr).chain(&best) {
                let _ = write!(out, "<td>{value:.4}");
            }
        }
        out.push_str("</table></div>");
    }
    out.push_str("</details>");
}

/// Where false positives stand.
pub(super) fn false_positives(out: &mut String, report: &Report) {
    out.push_str("<h2>False positives by place</h2><p class=soft>A normal request belongs to the place of the field that decided its score.</p><div class=scroll><table><tr><th>place<th>normal requests<th>above the 1% threshold<th>above best balanced accuracy<th>flagged<th>blocked<th>median score<th>99%<th>highest");
    for place in report.false_positives.iter().filter(|p| p.normal > 0) {
        let quantile = |index: usize| {
            let value = place.normal_quantiles.get(index);
            value.map_or_else(String::new, |value| format!("{value:.2}"))
        };
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
            place.name.replace('_', " "),
            thousands(place.normal),
            place.false_positives_at_1,
            place.false_positives_at_best,
            place.flagged,
            place.blocked,
            quantile(3),
            quantile(6),
            quantile(8)
        );
    }
    out.push_str("</table></div>");
}

/// Each host by its own normal requests.
pub(super) fn hosts(out: &mut String, report: &Report) {
    let Some(hosts) = &report.hosts else { return };
    out.push_str("<h2>Hosts</h2><p class=soft>Each host with the threshold that its own normal requests give; attacks were grafted into values that its requests really have.</p><div class=tiles>");
    for (name, estimate) in [
        ("median over hosts, TPR at 1% FPR", &hosts.median_tpr_at_1),
        ("pooled, TPR at 0.5% FPR", &hosts.pooled_tpr_at_05),
        ("pooled, TPR at 0.1% FPR", &hosts.pooled_tpr_at_01),
    ] {
        super::tile(out, name, estimate);
    }
    out.push_str("</div><div class=scroll><table><tr><th>host<th>normal<th>attacks<th>TPR at 1% FPR<th>at 0.5%<th>threshold at 1%<th>flagged<th class=l style=\"width:112px\">");
    for row in &hosts.rows {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{:.4}<td>{:.4}<td>{:.2}<td>{}<td class=l><span class=bar style=\"width:{:.0}px\"></span>",
            escape(&row.host),
            thousands(row.normal),
            thousands(row.attacks),
            row.tpr_at_1,
            row.tpr_at_05,
            row.threshold_at_1,
            row.flagged,
            100.0 * row.tpr_at_1
        );
    }
    out.push_str("</table></div>");
}

/// The data by its parts.
pub(super) fn views(out: &mut String, report: &Report) {
    for view in &report.views {
        let _ = write!(
            out,
            "<h2>By {}</h2><div class=scroll><table><tr><th>{}<th>normal<th>FPR at the 1% threshold<th>at 0.5%<th>flagged<th>attacks<th>TPR at the 1% threshold<th>at 0.5%",
            view.by, view.by
        );
        for row in view.rows.iter().take(PARTS) {
            let of_attacks = |rate: f64| {
                if row.attacks == 0 {
                    "\u{2013}".to_owned()
                } else {
                    format!("{rate:.4}")
                }
            };
            let of_normal = |rate: f64| {
                if row.normal == 0 {
                    "\u{2013}".to_owned()
                } else {
                    percent(rate)
                }
            };
            let _ = write!(
                out,
                "<tr><td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}<td>{}",
                escape(&row.name),
                thousands(row.normal),
                of_normal(row.fpr_at_1),
                of_normal(row.fpr_at_05),
                row.flagged,
                thousands(row.attacks),
                of_attacks(row.tpr_at_1),
                of_attacks(row.tpr_at_05)
            );
        }
        out.push_str("</table></div>");
        if view.rows.len() > PARTS {
            let _ = write!(out, "<p class=soft>{} more.</p>", view.rows.len() - PARTS);
        }
    }
}

/// Look-alikes by source.
pub(super) fn lookalikes(out: &mut String, report: &Report) {
    let Some(lookalikes) = &report.lookalikes else {
        return;
    };
    out.push_str("<h2>Look-alikes</h2><p class=soft>Harmless text that reads like an attack, at the bundle's budgets.</p><div class=scroll><table><tr><th>source<th>count<th>flagged<th>blocked<th>share blocked");
    let last = lookalikes.rows.len().saturating_sub(1);
    for (index, row) in lookalikes.rows.iter().enumerate() {
        let _ = write!(
            out,
            "<tr{}><td>{}<td>{}<td>{}<td>{}<td>{}",
            if index == last { " class=sum" } else { "" },
            escape(&row.name),
            thousands(row.count),
            row.flagged,
            row.blocked,
            percent(share(row.blocked as u64, row.count as u64))
        );
    }
    out.push_str("</table></div>");
    super::cases::list(out, &lookalikes.worst);
}
