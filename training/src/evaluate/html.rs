//! The report as one self-contained HTML file: no scripts, no links, nothing loaded. Reads on a phone, on paper, dark and light.
//!
//! Must not be here: any figure that the report does not hold. Attack payloads stand in this page: whatever comes from a
//! request passes `escape`.

mod cases;
mod charts;
mod tables;

use std::fmt::Write as _;

use super::bootstrap::{Estimate, Unit};
use super::report::Report;

const STYLE: &str = include_str!("html/style.css");

/// The page.
#[must_use]
pub fn page(report: &Report) -> String {
    let mut out = String::new();
    let _ = write!(
        out,
        "<!doctype html><html lang=en><head><meta charset=utf-8>\
         <meta name=viewport content=\"width=device-width,initial-scale=1\">\
         <meta http-equiv=Content-Security-Policy content=\"default-src 'none'; style-src 'unsafe-inline'\">\
         <title>Weir evaluation</title><style>{STYLE}</style></head><body><main>"
    );
    head(&mut out, report);
    tables::detectors(&mut out, report);
    charts::curves(&mut out, report);
    tables::confusion(&mut out, report);
    charts::distributions(&mut out, report);
    tables::groups(&mut out, report);
    tables::false_positives(&mut out, report);
    tables::hosts(&mut out, report);
    tables::views(&mut out, report);
    tables::lookalikes(&mut out, report);
    cases::against(&mut out, report);
    cases::worst(&mut out, report);
    out.push_str("</main></body></html>\n");
    out
}

fn head(out: &mut String, report: &Report) {
    let _ = write!(
        out,
        "<h1>Weir evaluation</h1><p class=soft>Bundle <code>{}</code><br>{} normal requests of {} hosts ({} distinct) \
         and {} attacks ({} distinct), none of which the bundle should have been trained on.",
        escape(&report.bundle),
        thousands(report.normal[0]),
        thousands(report.hosts_seen),
        thousands(report.normal[1]),
        thousands(report.attacks[0]),
        thousands(report.attacks[1]),
    );
    if report.bad_lines > 0 {
        let _ = write!(
            out,
            " {} lines were no records and were left out.",
            report.bad_lines
        );
    }
    out.push_str("</p><div class=tiles>");
    if let Some(whole) = report.whole() {
        for (index, (name, estimate)) in whole.headlines().into_iter().enumerate() {
            // The tiles are the summary: the table below has the rest.
            if matches!(index, 0 | 3 | 4 | 5 | 7 | 8) {
                tile(out, name, &estimate);
            }
        }
    }
    if let Some(average) = &report.macro_average {
        tile(out, "macro TPR at 0.5% FPR", &average.tpr_at_05);
    }
    out.push_str("</div>");
    let unit = match report.resampled {
        Unit::Hosts => "host by host, because requests of one site resemble each other",
        Unit::Requests => "one by one",
    };
    if report.resamples > 0 {
        let _ = write!(
            out,
            "<p class=soft>Ranges are 95% bootstrap intervals ({} resamples): attacks are drawn one by one, normal requests {unit}.</p>",
            thousands(report.resamples)
        );
    }
}

fn tile(out: &mut String, name: &str, estimate: &Estimate) {
    let _ = write!(
        out,
        "<div class=tile><span class=name>{}</span><b>{:.4}</b><span>{}</span></div>",
        escape(name),
        estimate.value,
        range(estimate)
    );
}

/// `0.9812-0.9901`; empty without an interval.
fn range(estimate: &Estimate) -> String {
    estimate.interval.map_or_else(String::new, |[low, high]| {
        format!("{low:.4}\u{2013}{high:.4}")
    })
}

/// A cell with its interval below.
fn cell(estimate: &Estimate) -> String {
    let range = range(estimate);
    if range.is_empty() {
        format!("<td>{:.4}", estimate.value)
    } else {
        format!("<td>{:.4}<small class=soft>{range}</small>", estimate.value)
    }
}

/// `12,345`.
fn thousands(number: usize) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Attack payloads stand in this page: they must stay text.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_stay_text() {
        assert_eq!(escape("<script>\"'&"), "&lt;script&gt;&quot;&#39;&amp;");
        assert_eq!(
            (thousands(1_234_567), thousands(999)),
            ("1,234,567".to_owned(), "999".to_owned())
        );
    }
}
