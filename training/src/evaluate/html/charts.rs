//! The drawings: curves with their bands, distributions of scores. Inline SVG, coloured by the page's style.

use std::fmt::Write as _;

use super::{escape, thousands};
use crate::evaluate::curves::DECADES;
use crate::evaluate::report::{BIN_WIDTH, BINS, Histogram, Point, Report};

/// Inner size of a curve's drawing.
const WIDE: f64 = 440.0;
const HIGH: f64 = 300.0;
/// Lowest value of the vertical axis of a curve that stays above it.
const ZOOM: f64 = 0.5;

/// The ROC and precision-recall curves.
pub(super) fn curves(out: &mut String, report: &Report) {
    if report.curves.roc.is_empty() {
        return;
    }
    out.push_str("<h2>Curves</h2><p class=soft>Combined score, all samples. The false-positive axis is logarithmic: budgets live at its left end. Precision depends on the share of attacks in this sample, not in your traffic.</p><div class=grid>");
    let axis = ["0.01%", "0.1%", "1%", "10%", "100%"];
    let ticks: Vec<(f64, &str)> = axis
        .iter()
        .zip(0..=DECADES)
        .map(|(label, n)| (f64::from(n) / f64::from(DECADES), *label))
        .collect();
    let decades = f64::from(DECADES);
    chart(
        out,
        "ROC: share of attacks found",
        "false-positive rate",
        &ticks,
        &report.curves.roc,
        |x| (x.log10() + decades) / decades,
    );
    let ticks = [
        (0.0, "0%"),
        (0.25, "25%"),
        (0.5, "50%"),
        (0.75, "75%"),
        (1.0, "100%"),
    ];
    chart(
        out,
        "Precision: share of alarms that are attacks",
        "recall",
        &ticks,
        &report.curves.pr,
        |x| x,
    );
    out.push_str("</div>");
}

fn chart(
    out: &mut String,
    title: &str,
    below: &str,
    ticks: &[(f64, &str)],
    points: &[Point],
    place: impl Fn(f64) -> f64,
) {
    let floor = floor(points);
    let height = |y: f64| HIGH * (1.0 - (y - floor) / (1.0 - floor)).clamp(0.0, 1.0);
    let at = |x: f64, y: f64| format!("{:.1},{:.1}", WIDE * place(x), height(y));
    let _ = write!(
        out,
        "<figure><figcaption>{title}</figcaption><svg viewBox=\"-46 -8 {} {}\" role=img aria-label=\"{title}\">",
        WIDE + 66.0,
        HIGH + 50.0
    );
    for (x, label) in ticks {
        let x = WIDE * x;
        let _ = write!(
            out,
            "<path class=axis d=\"M{x:.1} 0V{HIGH}\"/><text x=\"{x:.1}\" y=\"{}\" text-anchor=middle>{label}</text>",
            HIGH + 16.0
        );
    }
    for step in 0..=5 {
        let y = floor + (1.0 - floor) * f64::from(step) / 5.0;
        let _ = write!(
            out,
            "<path class=axis d=\"M0 {0:.1}H{WIDE}\"/><text x=\"-7\" y=\"{1:.1}\" text-anchor=end>{2:.0}%</text>",
            height(y),
            height(y) + 4.0,
            100.0 * y
        );
    }
    band(out, points, &at);
    let line: Vec<String> = points.iter().map(|point| at(point.x, point.y)).collect();
    let _ = write!(
        out,
        "<polyline class=curve points=\"{}\"/><text x=\"{}\" y=\"{}\" text-anchor=middle>{below}</text></svg></figure>",
        line.join(" "),
        WIDE / 2.0,
        HIGH + 36.0
    );
}

/// The band around a curve, where there is one.
fn band(out: &mut String, points: &[Point], at: &dyn Fn(f64, f64) -> String) {
    let band: Option<Vec<(f64, [f64; 2])>> = points
        .iter()
        .map(|point| Some((point.x, point.band?)))
        .collect();
    let Some(band) = band else { return };
    let upper = band.iter().map(|(x, [_, high])| at(*x, *high));
    let lower = band.iter().rev().map(|(x, [low, _])| at(*x, *low));
    let outline: Vec<String> = upper.chain(lower).collect();
    let _ = write!(
        out,
        "<polygon class=band points=\"{}\"/>",
        outline.join(" ")
    );
}

/// The lowest value that a curve's drawing shows: what is always high is drawn larger.
fn floor(points: &[Point]) -> f64 {
    let low = |point: &Point| point.band.map_or(point.y, |[low, _]| low);
    let lowest = points.iter().map(low).fold(1.0, f64::min);
    if lowest >= 0.9 {
        0.9
    } else if lowest >= ZOOM {
        ZOOM
    } else {
        0.0
    }
}

/// Score distributions: all samples, then by the location that decided.
pub(super) fn distributions(out: &mut String, report: &Report) {
    out.push_str("<h2>Scores</h2><p class=soft>Score is \u{2212}log10 of the share of normal requests that score as high: 3 means one in a thousand. The square root of shares is drawn, so that tails show; dashed lines are the flag and block budgets.");
    out.push_str("</p><p class=legend><span class=key style=\"background:var(--accent)\"></span>normal<span class=key style=\"background:var(--attack)\"></span>attack</p><div class=small-grid>");
    for pair in report.histograms.chunks(2) {
        if let [normal, attack] = pair {
            histogram(out, normal, attack, report);
        }
    }
    out.push_str("</div>");
}

fn histogram(out: &mut String, normal: &Histogram, attack: &Histogram, report: &Report) {
    const WIDE: f64 = 260.0;
    const HIGH: f64 = 96.0;
    let name = normal.name.split(": ").nth(1).unwrap_or("all");
    let _ = write!(
        out,
        "<figure><figcaption>{} <span class=soft>{} normal, {} attacks</span></figcaption><svg viewBox=\"-4 -4 {} {}\" role=img aria-label=\"scores: {}\">",
        escape(&name.replace('_', " ")),
        thousands(normal.count),
        thousands(attack.count),
        WIDE + 8.0,
        HIGH + 24.0,
        escape(name)
    );
    let bins = BINS as f64;
    let bar = WIDE / bins;
    for (class, shares, offset) in [
        ("normal", &normal.shares, 0.0),
        ("attack", &attack.shares, 0.5),
    ] {
        for (index, share) in shares.iter().enumerate().filter(|(_, share)| **share > 0.0) {
            let height = (HIGH * share.sqrt()).max(1.0);
            let _ = write!(
                out,
                "<rect class={class} x=\"{:.1}\" y=\"{:.1}\" width=\"{:.1}\" height=\"{height:.1}\"/>",
                (index as f64 + offset) * bar,
                HIGH - height,
                bar / 2.0
            );
        }
    }
    let scale = WIDE / (bins * f64::from(BIN_WIDTH));
    for (score, label) in [(0, "0"), (2, "2"), (4, "4"), (6, "6"), (8, "8+")] {
        let _ = write!(
            out,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=middle>{label}</text>",
            (f64::from(score) * scale).clamp(4.0, WIDE - 6.0),
            HIGH + 14.0
        );
    }
    for budget in report.thresholds {
        let x = f64::from(budget) * scale;
        if x < WIDE {
            let _ = write!(out, "<path class=budget d=\"M{x:.1} 0V{HIGH}\"/>");
        }
    }
    let _ = write!(
        out,
        "<path class=axis d=\"M0 {HIGH}H{WIDE}\"/></svg></figure>"
    );
}
