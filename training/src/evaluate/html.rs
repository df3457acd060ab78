//! The report as one self-contained HTML file: no scripts, no links, nothing loaded.

use std::fmt::Write as _;

use super::report::{Detector, Group, Report};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#1c2733}\
table{border-collapse:collapse;margin:1rem 0}th,td{padding:.2rem .7rem;text-align:right;border-bottom:1px solid #dde3e8}\
th:first-child,td:first-child{text-align:left}h1,h2{font-weight:600}svg{background:#f6f8fa}code{overflow-wrap:anywhere}";

/// Side of the drawn square, and the colours of the curves.
const SIDE: f64 = 360.0;
const COLOURS: [&str; 3] = ["#0b62a8", "#c2571a", "#2b8a3e"];

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=en><meta charset=utf-8><title>Weir evaluation</title><style>{STYLE}</style><h1>Weir evaluation</h1>"
    );
    let _ = write!(
        out,
        "<p>Bundle <code>{}</code>: {} normal requests ({} distinct) and {} attacks ({} distinct).",
        escape(&report.bundle),
        report.normal[0],
        report.normal[1],
        report.attacks[0],
        report.attacks[1]
    );
    summary(&mut out, &report.detectors);
    curves(&mut out, &report.detectors);
    groups(
        &mut out,
        "By class",
        report.classes.iter().chain(&report.macro_average),
    );
    groups(&mut out, "By source", &report.sources);
    groups(&mut out, "By location of the payload", &report.locations);
    out.push_str("<h2>False positives by location</h2><table><tr><th>location<th>at 1% FPR<th>at best balanced accuracy<th>flagged");
    for place in &report.false_positives {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{}<td>{}",
            place.name, place.false_positives_at_1, place.false_positives_at_best, place.flagged
        );
    }
    let _ = write!(
        out,
        "</table><h2>Verdicts at flag {}, block {}</h2><table><tr><th><th>pass<th>flag<th>block",
        escape(&report.budgets[0]),
        escape(&report.budgets[1])
    );
    for (name, [pass, flag, block]) in [
        ("normal", report.confusion.normal),
        ("attacks", report.confusion.attacks),
    ] {
        let _ = write!(out, "<tr><td>{name}<td>{pass}<td>{flag}<td>{block}");
    }
    out.push_str(
        "</table><h2>Lowest attacks</h2><table><tr><th>class<th>location<th>score<th>payload",
    );
    for miss in &report.misses {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:.2}<td style=text-align:left><code>{}</code>",
            escape(&miss.class),
            miss.location.unwrap_or("-"),
            miss.score,
            escape(&miss.text)
        );
    }
    out.push_str(
        "</table><h2>Highest normal requests</h2><table><tr><th>location<th>score<th>name<th>host",
    );
    for alarm in &report.alarms {
        let _ = write!(
            out,
            "<tr><td>{}<td>{:.2}<td style=text-align:left><code>{}</code><td>{}",
            alarm.location.unwrap_or("-"),
            alarm.score,
            escape(&alarm.key),
            escape(&alarm.host)
        );
    }
    out.push_str("</table></html>\n");
    out
}

fn summary(out: &mut String, detectors: &[Detector]) {
    out.push_str("<table><tr><th>detector<th>ROC-AUC<th>PR-AUC<th>TPR at FPR 5%<th>1%<th>0.5%<th>0.1%<th>0.05%<th>best balanced accuracy<th>best F1");
    for detector in detectors {
        for (name, measures) in [
            (detector.name.to_owned(), &detector.all),
            (format!("{} (distinct)", detector.name), &detector.distinct),
        ] {
            let Some(m) = measures else { continue };
            let _ = write!(out, "<tr><td>{name}<td>{:.4}<td>{:.4}", m.roc_auc, m.pr_auc);
            for rate in &m.tpr_at_fpr {
                let _ = write!(
                    out,
                    "<td>{:.4}{}",
                    rate.tpr,
                    if rate.supported { "" } else { "*" }
                );
            }
            let _ = write!(
                out,
                "<td>{:.4}<td>{:.4}",
                m.best_balanced_accuracy.value, m.best_f1.value
            );
        }
    }
    out.push_str("</table><p>* the normal sample is too small for this rate.");
}

/// ROC with a logarithmic false-positive axis from 0.01%, where budgets live.
fn curves(out: &mut String, detectors: &[Detector]) {
    let _ = write!(
        out,
        "<h2>ROC</h2><svg viewBox=\"-45 -10 {} {}\" width=\"{}\" role=img aria-label=\"ROC curve\">",
        SIDE + 60.0,
        SIDE + 60.0,
        SIDE + 60.0
    );
    for power in 0..=4 {
        let x = SIDE * f64::from(4 - power) / 4.0;
        let label = ["100%", "10%", "1%", "0.1%", "0.01%"]
            .get(power as usize)
            .copied()
            .unwrap_or_default();
        let _ = write!(
            out,
            "<path d=\"M{x} 0V{SIDE}\" stroke=\"#dde3e8\"/><text x=\"{x}\" y=\"{}\" font-size=\"11\" text-anchor=\"middle\">{label}</text>",
            SIDE + 16.0
        );
    }
    for step in 0..=5 {
        let y = SIDE * f64::from(5 - step) / 5.0;
        let _ = write!(
            out,
            "<path d=\"M0 {y}H{SIDE}\" stroke=\"#dde3e8\"/><text x=\"-6\" y=\"{}\" font-size=\"11\" text-anchor=\"end\">{}%</text>",
            y + 4.0,
            step * 20
        );
    }
    for (detector, colour) in detectors.iter().zip(COLOURS) {
        let points: Vec<String> = detector
            .curve
            .iter()
            .map(|(fpr, tpr)| {
                format!(
                    "{:.1},{:.1}",
                    SIDE * (1.0 + fpr.max(1e-4).log10() / 4.0),
                    SIDE * (1.0 - tpr)
                )
            })
            .collect();
        let _ = write!(
            out,
            "<polyline fill=none stroke=\"{colour}\" stroke-width=2 points=\"{}\"><title>{}</title></polyline>",
            points.join(" "),
            detector.name
        );
    }
    let _ = write!(
        out,
        "<text x=\"{}\" y=\"{}\" font-size=\"12\" text-anchor=\"middle\">false-positive rate</text></svg>",
        SIDE / 2.0,
        SIDE + 34.0
    );
}

fn groups<'a>(out: &mut String, title: &str, groups: impl IntoIterator<Item = &'a Group>) {
    let _ = write!(
        out,
        "<h2>{title}</h2><table><tr><th>name<th>attacks<th>ROC-AUC<th>TPR at 1%<th>at 0.5%<th>at best balanced accuracy"
    );
    for group in groups {
        let _ = write!(
            out,
            "<tr><td>{}<td>{}<td>{:.4}<td>{:.4}<td>{:.4}<td>{:.4}",
            escape(&group.name),
            group.attacks,
            group.roc_auc,
            group.tpr_at_1,
            group.tpr_at_05,
            group.tpr_at_best
        );
    }
    out.push_str("</table>");
}

/// Attack payloads stand in this page: they must stay text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}
