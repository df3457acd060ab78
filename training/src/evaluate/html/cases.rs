//! Single requests with their explanations, and two bundles side by side.

use std::fmt::Write as _;

use weir_scoring::reason::{FieldReason, Reason, Snippet};

use super::{escape, tables, thousands};
use crate::evaluate::report::{Against, Case, Difference, Report};

/// The worst false positives and misses.
pub(super) fn worst(out: &mut String, report: &Report) {
    out.push_str("<h2>Highest normal requests</h2><p class=soft>The next false positives, or already some. Values of secret fields are redacted.</p>");
    list(out, &report.alarms);
    out.push_str("<h2>Lowest attacks</h2><p class=soft>What was missed, or nearly. Some payloads are no attack out of context.</p>");
    list(out, &report.misses);
}

/// Cases that open to their explanation.
pub(super) fn list(out: &mut String, cases: &[Case]) {
    if cases.is_empty() {
        out.push_str("<p>None.</p>");
    }
    for case in cases {
        out.push_str("<details><summary>");
        let _ = write!(out, "<b>{:.2}</b>", case.score);
        if let Some(other) = case.other {
            let _ = write!(out, "<span class=soft>other {other:.2}</span>");
        }
        for tag in [
            case.class.as_str(),
            case.location.unwrap_or_default(),
            case.source.as_str(),
        ] {
            if !tag.is_empty() {
                let _ = write!(
                    out,
                    "<span class=tag>{}</span>",
                    escape(&tag.replace('_', " "))
                );
            }
        }
        let shown = if case.text.is_empty() {
            &case.key
        } else {
            &case.text
        };
        let _ = write!(
            out,
            "<code class=pay>{}</code><span class=soft>{}</span></summary>",
            escape(shown),
            escape(&case.host)
        );
        match &case.reason {
            Some(reason) => explanation(out, reason),
            None => out.push_str("<div class=why>No explanation was made.</div>"),
        }
        out.push_str("</details>");
    }
}

fn explanation(out: &mut String, reason: &Reason) {
    for field in &reason.fields {
        field_reason(out, field);
    }
    if let Some(request) = &reason.request {
        let because: Vec<String> = request.because.iter().map(ToString::to_string).collect();
        let _ = write!(
            out,
            "<div class=why><dl><dt>Request<dd>score {}<dt>Because<dd>{}</dl></div>",
            request.score,
            escape(&because.join("; "))
        );
    }
}

fn field_reason(out: &mut String, field: &FieldReason) {
    let because: Vec<String> = field.because.iter().map(ToString::to_string).collect();
    let _ = write!(
        out,
        "<div class=why><dl><dt>{}<dd><code>{}</code><dt>Value<dd><code>{}</code><dt>Score<dd>{}: {}",
        escape(&field.location.replace('_', " ")),
        if field.key.is_empty() {
            "\u{2013}".to_owned()
        } else {
            escape(&field.key)
        },
        snippet(&field.value),
        field.score,
        escape(&field.rarity)
    );
    for (name, text) in [
        ("Because", because.join("; ")),
        ("Usual here", field.usual.clone()),
        ("Would pass", field.would_pass.clone()),
    ] {
        if !text.is_empty() {
            let _ = write!(out, "<dt>{name}<dd>{}", escape(&text));
        }
    }
    out.push_str("</dl></div>");
}

fn snippet(value: &Snippet) -> String {
    if value.before.is_empty() && value.marked.is_empty() && value.after.is_empty() {
        return "<span class=soft>(empty)</span>".to_owned();
    }
    let marked = if value.marked.is_empty() {
        String::new()
    } else {
        format!("<mark>{}</mark>", escape(&value.marked))
    };
    format!("{}{marked}{}", escape(&value.before), escape(&value.after))
}

/// Another bundle on the same samples.
pub(super) fn against(out: &mut String, report: &Report) {
    let Some(against) = &report.against else {
        return;
    };
    let _ = write!(
        out,
        "<h2>Against another bundle</h2><p class=soft>The other is <code>{}</code>. Both were measured on the same requests and the same resamples; a difference whose range holds no zero is more than chance.</p><div class=scroll><table><tr><th>measure<th>this<th>other<th>difference<th>95% interval",
        escape(&against.bundle)
    );
    for row in &against.measures {
        difference(out, row);
    }
    out.push_str("</table></div>");
    matrices(out, report, against);
    for (title, (count, cases)) in [
        (
            "Normal requests flagged only by this one",
            &against.new_false_positives,
        ),
        ("Attacks found only by this one", &against.newly_caught),
        ("Attacks found only by the other", &against.newly_missed),
    ] {
        let _ = write!(out, "<h3>{title}: {}</h3>", thousands(*count));
        list(out, cases);
    }
    let _ = write!(
        out,
        "<p>Normal requests flagged only by the other: {}.</p>",
        thousands(against.gone_false_positives)
    );
}

fn difference(out: &mut String, row: &Difference) {
    let value = row.difference.value;
    let (interval, class) = match row.difference.interval {
        Some([low, high]) => (
            format!("{low:+.4} to {high:+.4}"),
            if low > 0.0 {
                "up"
            } else if high < 0.0 {
                "down"
            } else {
                "soft"
            },
        ),
        None => (String::new(), "soft"),
    };
    let _ = write!(
        out,
        "<tr><td>{}<td>{:.4}<td>{:.4}<td class={class}>{value:+.4}<td class=soft>{interval}",
        escape(&row.name),
        row.this,
        row.other
    );
}

fn matrices(out: &mut String, report: &Report, against: &Against) {
    out.push_str("<div class=grid>");
    for (name, budgets, confusion) in [
        ("This", &report.budgets, &report.confusion),
        ("Other", &against.budgets, &against.confusion),
    ] {
        let [flag, block] = budgets;
        let title = format!("{name}: flag {}, block {}", escape(flag), escape(block));
        tables::matrix(out, &title, confusion.normal, confusion.attacks);
    }
    out.push_str("</div>");
}
