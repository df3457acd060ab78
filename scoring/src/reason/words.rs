//! Columns of a row in plain words: what contributed, what is usual, what would have passed. Not here: values.

use std::collections::BTreeMap;

use weir_features::schema::{Group, feature_group, feature_name};
use weir_features::{Evidence, Family, Field};

use crate::bundle::Usual;

/// Terms, marks or statistics named in one contribution.
const NAMED: usize = 4;
/// Bytes of a term that are shown.
const TERM_BYTES: usize = 32;

/// Contributions that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Statistics,
    Punctuation,
    Lexicon(Family),
    Structure,
    Skeleton,
}

impl Kind {
    /// Words and structure can be pointed at, punctuation less so, the shape of a value hardly at all.
    fn vagueness(self) -> u8 {
        match self {
            Self::Lexicon(_) | Self::Structure => 0,
            Self::Punctuation => 1,
            Self::Statistics | Self::Skeleton => 2,
        }
    }
}

/// One kind of contribution to a row's error.
#[derive(Clone, Debug)]
pub(super) struct Contributions {
    kind: Kind,
    /// Part of the row's error.
    pub(super) share: f32,
    /// Column, residual and row value, the largest residual first.
    columns: Vec<(usize, f32, f32)>,
}

/// The kinds of contribution to a row's error: first those that name something in the value, then those about its
/// shape, each the largest first. Of two true answers the one that can be acted on comes first.
pub(super) fn contributions(
    field: &Field<'_>,
    row: &[f32],
    residuals: &[f32],
) -> Vec<Contributions> {
    let total: f32 = residuals.iter().sum::<f32>().max(f32::MIN_POSITIVE);
    let mut kinds: BTreeMap<Kind, Contributions> = BTreeMap::new();
    for (column, (&residual, &value)) in residuals.iter().zip(row).enumerate() {
        let kind = match feature_group(column) {
            Some(Group::Statistic) => Kind::Statistics,
            Some(Group::Punctuation(_)) => Kind::Punctuation,
            Some(Group::Lexicon(family)) => Kind::Lexicon(family),
            Some(Group::Structure) => Kind::Structure,
            Some(Group::Skeleton) => Kind::Skeleton,
            // That a value stands where it stands explains nothing.
            Some(Group::Location(_)) | None => continue,
        };
        let group = kinds.entry(kind).or_insert_with(|| Contributions {
            kind,
            share: 0.0,
            columns: Vec::new(),
        });
        group.share += residual / total;
        group.columns.push((column, residual, value));
    }
    let mut groups: Vec<Contributions> = kinds
        .into_values()
        .filter(|group| group.is_visible() && !field.value.is_empty())
        .collect();
    for group in &mut groups {
        group.columns.sort_by(|(_, a, _), (_, b, _)| b.total_cmp(a));
    }
    groups.sort_by(|a, b| {
        let vagueness = a.kind.vagueness().cmp(&b.kind.vagueness());
        vagueness.then(b.share.total_cmp(&a.share))
    });
    groups
}

impl Contributions {
    /// Words, marks and structure count only where the value has some: their absence is no reason anybody can see.
    fn is_visible(&self) -> bool {
        match self.kind {
            Kind::Statistics | Kind::Skeleton => true,
            Kind::Punctuation | Kind::Lexicon(_) | Kind::Structure => {
                self.columns.iter().any(|(_, _, value)| *value > 0.0)
            }
        }
    }

    /// What was found; `shown` is the value with secrets inside it masked. Of a secret value only the kind is told.
    pub(super) fn describe(
        &self,
        field: &Field<'_>,
        shown: &[u8],
        evidence: &[Evidence],
        secret: bool,
    ) -> String {
        let name = self.name();
        let details = match self.kind {
            Kind::Lexicon(family) if !secret => terms(shown, evidence, family),
            Kind::Punctuation if !secret => self.marks(),
            Kind::Structure => self.named_columns(),
            Kind::Statistics => self.statistics(field),
            Kind::Lexicon(_) | Kind::Punctuation | Kind::Skeleton => Vec::new(),
        };
        if details.is_empty() {
            name.to_owned()
        } else {
            format!("{name}: {}", details.join(", "))
        }
    }

    fn name(&self) -> &'static str {
        match self.kind {
            Kind::Statistics => "the value as a whole",
            Kind::Punctuation => "unusual punctuation",
            Kind::Lexicon(family) => family_words(family),
            Kind::Structure => "breaks out of its place",
            Kind::Skeleton => "unusual order of letters, digits and punctuation",
        }
    }

    fn present(&self) -> impl Iterator<Item = usize> {
        self.columns
            .iter()
            .filter(|(_, _, value)| *value > 0.0)
            .map(|(column, _, _)| *column)
    }

    fn marks(&self) -> Vec<String> {
        let mark = |column| match feature_group(column) {
            Some(Group::Punctuation(' ')) => Some("blanks".to_owned()),
            Some(Group::Punctuation('\n' | '\r')) => Some("line breaks".to_owned()),
            Some(Group::Punctuation(mark)) => Some(mark.to_string()),
            _ => None,
        };
        let mut marks: Vec<String> = self.present().filter_map(mark).take(NAMED + 2).collect();
        marks.dedup();
        marks
    }

    fn named_columns(&self) -> Vec<String> {
        self.present()
            .map(|column| feature_name(column).to_owned())
            .take(NAMED)
            .collect()
    }

    fn statistics(&self, field: &Field<'_>) -> Vec<String> {
        let largest = self
            .columns
            .first()
            .map_or(0.0, |(_, residual, _)| *residual);
        self.columns
            .iter()
            .take_while(|(_, residual, _)| *residual > 0.0 && *residual >= 0.15 * largest)
            .take(NAMED)
            .map(|(column, _, value)| statistic(feature_name(*column), *value, field))
            .collect()
    }
}

fn statistic(name: &str, value: f32, field: &Field<'_>) -> String {
    match name {
        "length" => format!("length {} bytes", field.value.len()),
        "decode layers" => match field.layers {
            0 => "not encoded".to_owned(),
            1 => "encoded once".to_owned(),
            layers => format!("encoded {layers} times"),
        },
        "obfuscated encodings" => format!("{} disguised encodings", field.obfuscations),
        "entropy" => format!("entropy {value:.1} bits a byte"),
        _ if name.starts_with("share of") => format!(
            "{:.0}% {}",
            value * 100.0,
            name.trim_start_matches("share of ")
        ),
        _ if name.starts_with("longest")
            || name.starts_with("distinct")
            || name.starts_with("control") =>
        {
            format!("{name} {:.0}", value.exp_m1())
        }
        _ if value > 0.0 => name.to_owned(),
        _ => format!("not {name}"),
    }
}

/// What a family of terms is called in a reason.
fn family_words(family: Family) -> &'static str {
    match family {
        Family::Sql => "SQL",
        Family::Script => "HTML or JavaScript",
        Family::Shell => "shell commands",
        Family::Path => "path traversal or system files",
        Family::Template => "template or expression syntax",
        Family::Code => "server-side code",
        Family::Query => "LDAP, NoSQL, XPath or GraphQL syntax",
        Family::Protocol => "protocol lines inside a value",
        Family::Address => "suspicious addresses or schemes",
    }
}

/// The longest distinct terms of a family in a value, in the order found.
fn terms(value: &[u8], evidence: &[Evidence], family: Family) -> Vec<String> {
    let mut found: Vec<&Evidence> = evidence
        .iter()
        .filter(|piece| piece.family == family)
        .collect();
    found.sort_by_key(|piece| (piece.start, std::cmp::Reverse(piece.end)));
    let mut terms: Vec<String> = Vec::new();
    let mut covered = 0;
    for piece in found {
        // A term inside a longer one says nothing new: `union` in `union select`.
        if piece.end <= covered {
            continue;
        }
        covered = piece.end;
        let end = piece.end.min(piece.start + TERM_BYTES);
        let text = super::snippet::printable(value.get(piece.start..end).unwrap_or_default());
        let term = format!("`{}`", text.trim().to_lowercase());
        if !terms.contains(&term) && !term.contains('*') {
            terms.push(term);
        }
        if terms.len() == NAMED {
            break;
        }
    }
    terms
}

/// What is usual at a location, with the share of normal values that have the kinds of code found here.
pub(super) fn usual(usual: Option<&Usual>, groups: &[Contributions]) -> String {
    let Some(usual) = usual.filter(|usual| usual.rows > 0) else {
        return "the model saw no normal value here".to_owned();
    };
    let mut text = format!("{} bytes (median {})", lengths(usual), usual.length_p50);
    for group in groups.iter().take(NAMED) {
        if let Kind::Lexicon(family) = group.kind {
            let share = usual.families.get(family.name()).copied().unwrap_or(0.0);
            text.push_str(&format!("; {} in {}", family_words(family), percent(share)));
        }
    }
    if let Some(example) = usual.examples.first() {
        text.push_str(&format!(
            "; mostly shaped like `{}`",
            super::snippet::printable(example.as_bytes())
        ));
    }
    text
}

fn lengths(usual: &Usual) -> String {
    if usual.length_p01 == usual.length_p99 {
        return usual.length_p50.to_string();
    }
    format!("{} to {}", usual.length_p01, usual.length_p99)
}

fn percent(share: f64) -> String {
    if share <= 0.0 {
        "no normal value".to_owned()
    } else if share < 0.0005 {
        "fewer than 0.1% of normal values".to_owned()
    } else {
        format!("{:.1}% of normal values", share * 100.0)
    }
}

/// What would have passed, from what stood out.
pub(super) fn would_pass(
    field: &Field<'_>,
    usual: Option<&Usual>,
    groups: &[Contributions],
) -> String {
    let mut without: Vec<&str> = Vec::new();
    for group in groups
        .iter()
        .filter(|group| group.share >= super::SMALLEST_SHARE)
        .take(NAMED)
    {
        match group.kind {
            Kind::Lexicon(family) => without.push(family_words(family)),
            Kind::Punctuation => without.push("this punctuation"),
            Kind::Structure => without.push("open quotes, brackets or comments"),
            Kind::Statistics if field.obfuscations > 0 => without.push("disguised encodings"),
            Kind::Statistics | Kind::Skeleton => {}
        }
    }
    let mut text = match usual.filter(|usual| usual.rows > 0) {
        Some(usual) => format!("a value like the usual ones, {} bytes long", lengths(usual)),
        None => "a value of letters and digits".to_owned(),
    };
    if let Some((last, others)) = without.split_last() {
        text.push_str(", without ");
        if !others.is_empty() {
            text.push_str(&others.join(", "));
            text.push_str(" or ");
        }
        text.push_str(last);
    }
    text
}

/// A count rounded to two digits, with thousands separated.
pub(super) fn rounded(count: f64) -> String {
    let unit = 10f64.powf(count.log10().floor() - 1.0).max(1.0);
    let digits = format!("{:.0}", (count / unit).round() * unit);
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic
    )]

    use super::*;

    #[test]
    fn counts_are_rounded_for_people() {
        for (count, text) in [
            (2.0, "2"),
            (17.4, "17"),
            (1585.0, "1,600"),
            (999_999.0, "1,000,000"),
            (123_456.0, "120,000"),
        ] {
            assert_eq!(rounded(count), text);
        }
    }

    #[test]
    fn shares_are_never_rounded_to_nothing() {
        assert_eq!(percent(0.0), "no normal value");
        assert_eq!(percent(0.0001), "fewer than 0.1% of normal values");
        assert_eq!(percent(0.0123), "1.2% of normal values");
    }

    #[test]
    fn a_term_inside_a_longer_one_is_left_out() {
        let value = b"1 UNION  SELECT a FROM b";
        let piece = |start, end| Evidence {
            family: Family::Sql,
            start,
            end,
        };
        let evidence = [piece(2, 7), piece(2, 15), piece(9, 15), piece(18, 22)];
        assert_eq!(
            terms(value, &evidence, Family::Sql),
            ["`union  select`", "`from`"]
        );
        assert!(terms(value, &evidence, Family::Shell).is_empty());
    }
}
