//! Causes that are numbers: length and make-up. Not here: what stands at a place in the value.

use weir_features::schema::feature_name;

use super::super::attribution::{Kind, columns};
use super::super::departure;
use super::{Subject, named};

/// Numbers named about the make-up of a value.
const MIX_NAMED: usize = 2;
/// Numbers closer to ordinary than this, in deviations, are no evidence.
const NOTABLE_DEVIATION: f32 = 0.75;

impl Subject<'_> {
    pub(super) fn length(&self) -> Option<String> {
        let bytes = self.field.value.len();
        let deviation = columns(Kind::Length)
            .map(|column| self.baseline.deviation(self.row, column))
            .fold(0.0, |sum: f32, deviation| sum + deviation);
        if bytes == 0 || deviation.abs() < NOTABLE_DEVIATION {
            return None;
        }
        if let Some(told) = departure::length(self) {
            return Some(told);
        }
        let word = if deviation > 0.0 { "long" } else { "short" };
        let size = size(bytes);
        let Some(usual) = self.usual.filter(|usual| usual.rows > 0) else {
            return Some(format!("unusually {word}: {size}"));
        };
        let median = usual.length_p50 as usize;
        // Usual at this very place, as the profile says, it is unusual among all others.
        let (here, place) = match self.site {
            Some(_) => ("in general", "such places"),
            None => ("here", "this place"),
        };
        if bytes > usual.length_p99 as usize {
            Some(format!(
                "longer than 99 in 100 normal values {here}: {size}"
            ))
        } else if (deviation > 0.0) == (bytes > median) && bytes != median {
            Some(format!(
                "{word} for {place}: {size}, where the median is {median}"
            ))
        } else {
            None
        }
    }

    pub(super) fn make_up(&self) -> Option<(String, Vec<String>)> {
        if self.secret {
            return Some(named("an unusual mix of characters"));
        }
        let mut found: Vec<(f32, String)> = columns(Kind::MakeUp)
            .filter_map(|column| {
                let value = self.row.get(column).copied().filter(|value| *value > 0.0)?;
                let deviation = self.baseline.deviation(self.row, column);
                (deviation >= NOTABLE_DEVIATION)
                    .then(|| Some((deviation, statistic(feature_name(column), value)?)))
                    .flatten()
            })
            .collect();
        found.sort_by(|(a, _), (b, _)| b.total_cmp(a));
        let found: Vec<String> = found
            .into_iter()
            .take(MIX_NAMED)
            .map(|(_, text)| text)
            .collect();
        (!found.is_empty()).then(|| ("an unusual mix of characters".to_owned(), found))
    }
}

/// `1 byte`, `1,024 bytes`.
pub(in crate::reason) fn size(bytes: usize) -> String {
    if bytes == 1 {
        "1 byte".to_owned()
    } else {
        format!("{} bytes", super::super::usual::thousands(bytes as u64))
    }
}

/// A number about the make-up of a value; `None` for a count too small to tell.
fn statistic(name: &str, value: f32) -> Option<String> {
    let percent = (value * 100.0).round();
    let count = value.exp_m1().round();
    let text = match name {
        "share of non-ASCII" => format!("{percent}% characters outside ASCII"),
        // Too many vowels alarm nobody; too few are no evidence that can be shown.
        "share of vowels" => return None,
        "share of white space" => format!("{percent}% blanks"),
        "share of prose" => format!("{percent}% plain words"),
        "control characters" if count == 1.0 => "a control character".to_owned(),
        "control characters" => format!("{count} control characters"),
        "entropy" => format!("{value:.1} bits of entropy a byte"),
        "distinct punctuation" if count < 2.0 => return None,
        "distinct punctuation" => format!("{count} kinds of punctuation"),
        "longest alphanumeric run" => format!("{count} letters and digits in a row"),
        "longest run of digits" => format!("{count} digits in a row"),
        "longest run of one character" if count < 2.0 => return None,
        "longest run of one character" => format!("one character {count} times in a row"),
        _ => format!("{percent}% {}", name.strip_prefix("share of ")?),
    };
    (percent > 0.0).then_some(text)
}
