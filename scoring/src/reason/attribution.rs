//! How much each part of a row contributes to its error. Not here: words, ONNX Runtime.
//!
//! An autoencoder that was trained to tell hostile from normal spreads the error of a hostile row over all columns, so
//! residuals say nothing about causes. What does is ablation: a group of columns is set to what is ordinary, and the
//! error is computed again. Groups act together, so what one is worth depends on which others are there; the Shapley
//! value (Shapley, "A value for n-person games", 1953; for predictions Štrumbelj and Kononenko, "Explaining prediction
//! models and individual predictions with feature contributions", 2014) averages over all orders. Here it is estimated
//! from its two extremes, an antithetic pair: what the group takes away when it leaves the whole row, and what it adds
//! when it comes first.

use std::sync::LazyLock;

use weir_features::profile::{PROFILE_WIDTH, with_total};
use weir_features::schema::{Group, PROFILE_AT, feature_group, feature_name, token_family};
use weir_features::{FIELD_WIDTH, Family};

use super::TOP_FIELDS;
use super::departure::Departure;

/// Groups of a row that are measured; two rows each, and two rows for the whole, of the rows of one run.
const MOST_GROUPS: usize = (crate::engine::CHUNK_ROWS / TOP_FIELDS - 2) / 2;
/// Errors are compared in logarithms; below this they are all as good as nothing.
const SMALLEST_ERROR: f32 = 1e-9;

/// What is ordinary: the mean of the training rows, and by what their columns are scaled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Baseline {
    mean: Vec<f32>,
    inverse: Vec<f32>,
}

impl Baseline {
    /// The standardisation of a model; zeros and ones where it has none of the expected width.
    pub(crate) fn new(mean: Option<Vec<f32>>, inverse: Option<Vec<f32>>) -> Self {
        let fits = |values: &Vec<f32>| values.len() == FIELD_WIDTH;
        Self {
            mean: mean.filter(fits).unwrap_or_else(|| vec![0.0; FIELD_WIDTH]),
            inverse: inverse
                .filter(fits)
                .unwrap_or_else(|| vec![1.0; FIELD_WIDTH]),
        }
    }

    /// How far a row's column is from ordinary, in deviations.
    pub(super) fn deviation(&self, row: &[f32], column: usize) -> f32 {
        let at = |values: &[f32]| values.get(column).copied().unwrap_or_default();
        (at(row) - at(&self.mean)) * at(&self.inverse)
    }

    /// An ordinary row at the same place: average as text, and just as usual there.
    fn row_like(&self, row: &[f32]) -> Vec<f32> {
        let mut ordinary = self.mean.clone();
        for (column, (to, from)) in ordinary.iter_mut().zip(row).enumerate() {
            match KINDS.get(column) {
                Some(Some(Kind::Profile(_))) => *to = 0.0,
                Some(Some(_)) => {}
                Some(None) | None => *to = *from,
            }
        }
        add_up(&mut ordinary);
        ordinary
    }
}

/// A way to break out of the place where a value stands: one column each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Breakout {
    SingleQuote,
    DoubleQuote,
    Backtick,
    ClosingBracket,
    OpeningBracket,
    Tags,
    Calls,
    Tautology,
    CommentAfterQuote,
    CommentAtEnd,
    Beginning,
    /// A column that this room has no words for yet.
    Other,
}

/// A group of columns that an operator would call one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Lexicon(Family),
    /// What a tokenizer recognised as code of this family.
    Tokens(Family),
    Structure(Breakout),
    /// One mark; both halves of a line break are `\n`.
    Punctuation(char),
    /// Layers of encoding, and those that only serve to hide.
    Encoding,
    Length,
    /// Letters, digits, blanks, entropy, prose, runs.
    MakeUp,
    /// Where the value was found: in a long one, beyond a limit, inside another.
    Origin,
    /// One way in which the value departs from what is usual at its place.
    Profile(Departure),
    /// The order of letters, digits and punctuation.
    Skeleton,
}

impl Kind {
    fn of(column: usize) -> Option<Self> {
        Some(match feature_group(column)? {
            // That a value stands where it stands explains nothing: it is the frame of the comparison.
            Group::Location(_) => return None,
            Group::Lexicon(family) => Self::Lexicon(family),
            Group::Punctuation('\r') => Self::Punctuation('\n'),
            Group::Punctuation(mark) => Self::Punctuation(mark),
            Group::Structure => Self::Structure(breakout(feature_name(column))),
            Group::Tokens => token_family(column).map_or(Self::MakeUp, Self::Tokens),
            // What kind of place it is belongs to the frame; the total goes with what it adds up.
            Group::Profile => Self::Profile(Departure::of(feature_name(column))?),
            Group::Skeleton => Self::Skeleton,
            Group::Statistic => match feature_name(column) {
                "length" => Self::Length,
                "decode layers" | "obfuscated encodings" | "encoded too often" => Self::Encoding,
                "part of a long value"
                | "beyond a parsing limit"
                | "binary"
                | "nested in another value" => Self::Origin,
                _ => Self::MakeUp,
            },
        })
    }
}

fn breakout(name: &str) -> Breakout {
    match name {
        "unbalanced single quote" => Breakout::SingleQuote,
        "unbalanced double quote" => Breakout::DoubleQuote,
        "unbalanced backtick" => Breakout::Backtick,
        "closing bracket without opening" => Breakout::ClosingBracket,
        "opening bracket without closing" => Breakout::OpeningBracket,
        "tags" => Breakout::Tags,
        "function calls" => Breakout::Calls,
        "tautologies" => Breakout::Tautology,
        "comment after a quote" => Breakout::CommentAfterQuote,
        "comment at the end" => Breakout::CommentAtEnd,
        "breaks out at the beginning" => Breakout::Beginning,
        _ => Breakout::Other,
    }
}

static KINDS: LazyLock<Vec<Option<Kind>>> =
    LazyLock::new(|| (0..FIELD_WIDTH).map(Kind::of).collect());

/// The columns of `kind`.
pub(super) fn columns(kind: Kind) -> impl Iterator<Item = usize> {
    KINDS
        .iter()
        .enumerate()
        .filter(move |(_, found)| **found == Some(kind))
        .map(|(column, _)| column)
}

/// What a group is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Influence {
    pub(crate) kind: Kind,
    /// Part of all influences that raise the error; 0 for one that lowers it.
    pub(crate) share: f32,
}

/// The rows that measure the groups of one row: the row itself, an ordinary one, and for each group the row without it
/// and an ordinary row with it.
#[derive(Debug)]
pub(crate) struct Ablation<'r> {
    row: &'r [f32],
    ordinary: Vec<f32>,
    kinds: Vec<Kind>,
}

impl<'r> Ablation<'r> {
    pub(crate) fn of(row: &'r [f32], baseline: &Baseline) -> Self {
        let mut kinds: Vec<Kind> = KINDS
            .iter()
            .zip(row)
            // What a value does not have cannot be why: words, marks and structure count where there are some.
            .filter(|(kind, value)| match kind {
                Some(Kind::Length | Kind::MakeUp) => true,
                Some(Kind::Profile(_)) => **value != 0.0,
                _ => **value > 0.0,
            })
            .filter_map(|(kind, _)| *kind)
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        drop_weakest(&mut kinds, row, baseline);
        Self {
            row,
            ordinary: baseline.row_like(row),
            kinds,
        }
    }

    /// How many rows [`rows`](Self::rows) gives.
    pub(crate) fn len(&self) -> usize {
        2 + 2 * self.kinds.len()
    }

    pub(crate) fn rows(&self) -> impl Iterator<Item = Vec<f32>> + '_ {
        let ablated = self.kinds.iter().flat_map(|kind| {
            [
                exchange(self.row, &self.ordinary, *kind),
                exchange(&self.ordinary, self.row, *kind),
            ]
        });
        [self.row.to_vec(), self.ordinary.clone()]
            .into_iter()
            .chain(ablated)
    }

    /// The influences of the groups from the errors of [`rows`](Self::rows), the largest first.
    pub(crate) fn influences(&self, errors: &[f32]) -> Vec<Influence> {
        let mut logs = errors.iter().map(|error| error.max(SMALLEST_ERROR).ln());
        let (Some(whole), Some(ordinary)) = (logs.next(), logs.next()) else {
            return Vec::new();
        };
        let mut influences: Vec<Influence> = self
            .kinds
            .iter()
            .map_while(|kind| {
                let (without, only) = (logs.next()?, logs.next()?);
                let influence = ((whole - without) + (only - ordinary)) / 2.0;
                Some(Influence {
                    kind: *kind,
                    share: influence.max(0.0),
                })
            })
            .collect();
        let total: f32 = influences.iter().map(|influence| influence.share).sum();
        for influence in &mut influences {
            influence.share /= total.max(f32::MIN_POSITIVE);
        }
        influences.sort_by(|a, b| b.share.total_cmp(&a.share));
        influences
    }
}

/// Leaves [`MOST_GROUPS`]. The many punctuation marks are the least of a reason, ways to break out the next.
fn drop_weakest(kinds: &mut Vec<Kind>, row: &[f32], baseline: &Baseline) {
    let weight = |kind: Kind| {
        columns(kind)
            .map(|column| baseline.deviation(row, column).abs())
            .fold(0.0, f32::max)
    };
    while kinds.len() > MOST_GROUPS {
        let rank = |kind: Kind| match kind {
            Kind::Punctuation(_) => 0,
            Kind::Structure(_) => 1,
            _ => 2,
        };
        let weakest = kinds
            .iter()
            .enumerate()
            .min_by(|(_, a), (_, b)| {
                let by_weight = || weight(**a).total_cmp(&weight(**b));
                rank(**a).cmp(&rank(**b)).then_with(by_weight)
            })
            .map_or(0, |(index, _)| index);
        kinds.remove(weakest);
    }
}

/// Makes the total of the profile columns fit the others.
fn add_up(row: &mut [f32]) {
    if let Some(columns) = row.get_mut(PROFILE_AT..PROFILE_AT + PROFILE_WIDTH) {
        with_total(columns);
    }
}

/// `row` with the columns of `kind` from `other`.
fn exchange(row: &[f32], other: &[f32], kind: Kind) -> Vec<f32> {
    let mut row = row.to_vec();
    for column in columns(kind) {
        if let (Some(to), Some(from)) = (row.get_mut(column), other.get(column)) {
            *to = *from;
        }
    }
    if matches!(kind, Kind::Profile(_)) {
        add_up(&mut row);
    }
    row
}

#[cfg(test)]
mod tests;
