//! Curves as SVG, both axes logarithmic: what grows in proportion is a straight line at 45 degrees, what does not grow is
//! level.

use std::fmt::Write as _;

use crate::table::figure;

/// Inner size.
const WIDE: f64 = 520.0;
const HIGH: f64 = 260.0;
/// Around it.
const LEFT: f64 = 64.0;
const TOP: f64 = 34.0;
const RIGHT: f64 = 150.0;
const BOTTOM: f64 = 46.0;
const COLOURS: [&str; 4] = ["#0b5fa5", "#b3450c", "#5b7f1a", "#7a3e9d"];

#[derive(Debug, Clone)]
pub(crate) struct Line {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

#[derive(Debug, Clone)]
pub(crate) struct Plot {
    pub(crate) title: &'static str,
    /// Under the horizontal axis.
    pub(crate) below: &'static str,
    /// Where the horizontal axis has its marks.
    pub(crate) ticks: Vec<(f64, String)>,
    pub(crate) lines: Vec<Line>,
}

impl Plot {
    pub(crate) fn svg(&self) -> String {
        let points = || self.lines.iter().flat_map(|line| &line.points);
        let across = Axis::over(points().map(|(x, _)| *x));
        let up = Axis::over(points().map(|(_, y)| *y)).decades();
        let at = |x: f64, y: f64| {
            (
                LEFT + WIDE * across.place(x),
                TOP + HIGH * (1.0 - up.place(y)),
            )
        };
        let mut out = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {1}\" font-family=\"sans-serif\" font-size=\"12\">\n\
             <rect width=\"{0}\" height=\"{1}\" fill=\"#fff\"/>\n<text x=\"{LEFT}\" y=\"20\" font-size=\"14\">{2}</text>\n",
            LEFT + WIDE + RIGHT,
            TOP + HIGH + BOTTOM,
            self.title
        );
        for (x, label) in &self.ticks {
            let (x, bottom) = (at(*x, 1.0).0, TOP + HIGH);
            mark(&mut out, &format!("M{x:.1} {TOP}V{bottom}"));
            text(&mut out, (x, bottom + 16.0), "middle", label);
        }
        for decade in up.marks() {
            let y = at(1.0, decade).1;
            mark(&mut out, &format!("M{LEFT} {y:.1}H{}", LEFT + WIDE));
            let label = if decade < 1.0 {
                decade.to_string()
            } else {
                figure_of(decade)
            };
            text(&mut out, (LEFT - 6.0, y + 4.0), "end", &label);
        }
        let middle = (LEFT + WIDE / 2.0, TOP + HIGH + 36.0);
        text(&mut out, middle, "middle", self.below);
        for (number, (line, colour)) in self.lines.iter().zip(COLOURS.iter().cycle()).enumerate() {
            curve(&mut out, line, colour, at);
            let y = TOP + 12.0 + 18.0 * number as f64;
            let x = LEFT + WIDE + 12.0;
            let _ = writeln!(
                out,
                "<path d=\"M{x} {0}h14\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                y - 4.0
            );
            text(&mut out, (x + 20.0, y), "start", &line.name);
        }
        out.push_str("</svg>\n");
        out
    }
}

fn figure_of(decade: f64) -> String {
    figure(decade)
        .trim_end_matches(".00")
        .trim_end_matches(".0")
        .to_owned()
}

fn mark(out: &mut String, path: &str) {
    let _ = writeln!(out, "<path d=\"{path}\" stroke=\"#ddd\"/>");
}

fn text(out: &mut String, (x, y): (f64, f64), anchor: &str, text: &str) {
    let _ = writeln!(
        out,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\">{text}</text>"
    );
}

fn curve(out: &mut String, line: &Line, colour: &str, at: impl Fn(f64, f64) -> (f64, f64)) {
    let places: Vec<(f64, f64)> = line.points.iter().map(|(x, y)| at(*x, *y)).collect();
    let path: Vec<String> = places
        .iter()
        .map(|(x, y)| format!("{x:.1},{y:.1}"))
        .collect();
    let _ = writeln!(
        out,
        "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
        path.join(" ")
    );
    for (x, y) in places {
        let _ = writeln!(
            out,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        );
    }
}

/// From the logarithm of the least value to that of the greatest.
#[derive(Debug, Clone, Copy)]
struct Axis {
    low: f64,
    high: f64,
}

impl Axis {
    fn over(values: impl Iterator<Item = f64>) -> Self {
        let logs = values.filter(|value| *value > 0.0).map(f64::log10);
        let (low, high) = logs.fold((f64::MAX, f64::MIN), |(low, high), log| {
            (low.min(log), high.max(log))
        });
        if low > high {
            return Self {
                low: 0.0,
                high: 1.0,
            };
        }
        Self {
            low,
            high: high.max(low + 0.1),
        }
    }

    /// The same, out to whole powers of ten.
    fn decades(self) -> Self {
        let low = self.low.floor();
        Self {
            low,
            high: self.high.ceil().max(low + 1.0),
        }
    }

    /// From 0 to 1.
    fn place(self, value: f64) -> f64 {
        ((value.log10() - self.low) / (self.high - self.low)).clamp(0.0, 1.0)
    }

    fn marks(self) -> impl Iterator<Item = f64> {
        let [low, high] = [self.low, self.high].map(|log| log.round() as i32);
        (low..=high).map(|power| 10.0_f64.powi(power))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_grows_in_proportion_is_a_straight_line() {
        let line = |name: &str, points: &[(f64, f64)]| Line {
            name: name.to_owned(),
            points: points.to_vec(),
        };
        let plot = Plot {
            title: "cost",
            below: "fields",
            ticks: vec![(1.0, "1".to_owned()), (100.0, "100".to_owned())],
            lines: vec![
                line("linear", &[(1.0, 1.0), (10.0, 10.0), (100.0, 100.0)]),
                line("none", &[]),
            ],
        };
        let svg = plot.svg();
        assert!(
            svg.contains("points=\"64.0,294.0 324.0,164.0 584.0,34.0\""),
            "{svg}"
        );
        assert!(
            svg.contains(">linear</text>") && svg.contains(">100</text>"),
            "{svg}"
        );
    }
}
