//! What is usual at a place, how rare a score is, and what would have passed, in words. Not here: causes.

use std::fmt::Write as _;

use super::attribution::Kind;
use super::cause::Cause;
use super::names::{counted_terms, kind_of};
use super::snippet::printable;
use crate::budget::Score;
use crate::bundle::{Manifest, Usual};

/// Bytes of an example that are shown.
const EXAMPLE_BYTES: usize = 40;
/// How a shape that has no name is told.
const EXAMPLE: &str = "values such as";
/// Shapes that are named.
const SHAPES: usize = 3;

/// What a calibration sample is good for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// The smallest budget it promises.
    pub(super) promised: f64,
    /// Its size.
    pub(super) size: u64,
}

impl Sample {
    pub(super) fn of(manifest: &Manifest) -> Self {
        Self {
            promised: manifest.smallest_budget,
            size: manifest.calibration.field.samples(),
        }
    }
}

/// A score as a frequency, as far as the calibration sample goes.
///
/// A sample of n promises no budget below 3/n (the rule of three), so nothing finer is claimed of rarer scores.
pub(super) fn rarity(score: Score, sample: Sample) -> String {
    let share = score.probability();
    let one_in = share.recip();
    let promised = sample.promised.clamp(f64::MIN_POSITIVE, 1.0);
    let bound = rounded(promised.recip());
    if one_in < 1.5 {
        "nothing unusual".to_owned()
    } else if share >= promised {
        let one_in = rounded(one_in);
        format!("about one normal request in {one_in} has a value this unusual")
    } else if one_in <= sample.size as f64 {
        format!("fewer than one normal request in {bound} has a value this unusual")
    } else {
        format!(
            "rarer than anything in the calibration sample (fewer than one normal request in {bound})"
        )
    }
}

/// What is usual at a location, with the share of normal values that have the kinds of code found here.
pub(super) fn usual(usual: Option<&Usual>, causes: &[Cause]) -> String {
    let Some(usual) = usual.filter(|usual| usual.rows > 0) else {
        return "the model saw no normal value here".to_owned();
    };
    let mut text = match shapes(usual) {
        Some(shapes) => format!("mostly {shapes}; "),
        None => String::new(),
    };
    let lengths = lengths(usual);
    let _ = write!(
        text,
        "{lengths}, half of them at most {}",
        thousands(usual.length_p50.into())
    );
    for cause in causes {
        if let Kind::Lexicon(family) = cause.kind {
            let share = usual.families.get(family.name()).copied().unwrap_or(0.0);
            let _ = write!(text, "; {} {}", percent(share), counted_terms(family));
        }
    }
    text
}

/// `numbers, single words or decimal numbers`: the most frequent skeletons of a place, named.
pub(super) fn shapes(usual: &Usual) -> Option<String> {
    if usual.rows == 0 {
        return None;
    }
    named_shapes(usual.examples.iter().map(String::as_str))
}

/// Skeletons in words, the first few of them.
pub(super) fn named_shapes<'s>(skeletons: impl Iterator<Item = &'s str>) -> Option<String> {
    let mut shapes: Vec<String> = Vec::new();
    let mut has_example = false;
    for example in skeletons {
        // One made-up example is enough, and one of text that is not ASCII looks like nothing.
        let is_example = shape(example).starts_with(EXAMPLE);
        if is_example && (has_example || example.contains('?')) {
            continue;
        }
        has_example |= is_example;
        let shape = shape(example);
        if !shapes.contains(&shape) {
            shapes.push(shape);
        }
    }
    shapes.truncate(SHAPES);
    let (last, others) = shapes.split_last()?;
    Some(if others.is_empty() {
        last.clone()
    } else {
        format!("{} or {last}", others.join(", "))
    })
}

/// A skeleton (`a` for letters, `0` for digits) in words, with what it may look like.
fn shape(skeleton: &str) -> String {
    let skeleton = skeleton.trim();
    let only = |allowed: &str| skeleton.chars().all(|symbol| allowed.contains(symbol));
    let joined_by = {
        let mut marks = skeleton.chars().filter(|symbol| !"a0".contains(*symbol));
        let first = marks.next();
        first.filter(|mark| "_-.".contains(*mark) && marks.all(|other| other == *mark))
    };
    match (skeleton, joined_by) {
        ("0", _) => "numbers".to_owned(),
        ("a", _) => "single words".to_owned(),
        ("0.0", _) => "decimal numbers".to_owned(),
        _ if only("a0") => "letters and digits".to_owned(),
        _ if skeleton.contains("://") => "web addresses".to_owned(),
        _ if skeleton.starts_with('/') && only("/a0.-_") => "paths such as /word/word".to_owned(),
        (_, Some(mark)) if skeleton.contains('a') => format!("words joined by `{mark}`"),
        (_, Some(mark)) => format!("numbers joined by `{mark}`"),
        _ if only("a0 ,.!?") => "plain text".to_owned(),
        _ => format!("{EXAMPLE} {}", like(skeleton)),
    }
}

/// A made-up value of a skeleton.
fn like(skeleton: &str) -> String {
    let mut text = String::new();
    for symbol in skeleton.chars() {
        match symbol {
            'a' => text.push_str("word"),
            '0' => text.push('1'),
            other => text.push(other),
        }
        if text.len() >= EXAMPLE_BYTES {
            text.push('…');
            break;
        }
    }
    format!("`{}`", printable(text.as_bytes()))
}

fn lengths(usual: &Usual) -> String {
    if usual.length_p01 == usual.length_p99 {
        return format!("{} bytes", thousands(usual.length_p50.into()));
    }
    let (short, long) = (usual.length_p01.into(), usual.length_p99.into());
    format!("{} to {} bytes", thousands(short), thousands(long))
}

fn percent(share: f64) -> String {
    if share <= 0.0 {
        "none contain".to_owned()
    } else if share < 0.0005 {
        "fewer than 0.1% contain".to_owned()
    } else if share >= 0.0995 {
        format!("{:.0}% contain", share * 100.0)
    } else {
        format!("{:.1}% contain", share * 100.0)
    }
}

/// What would have passed: the same value with something taken away where that was tried and is enough, else a
/// description.
pub(super) fn would_pass(
    scored: Scored,
    flag: Score,
    shapes: Option<String>,
    causes: &[Cause],
) -> String {
    if scored.score < flag {
        return format!(
            "this value as it is; the bundle's own budgets flag from a score of {flag} on"
        );
    }
    let clearly_lower =
        |without: &Score| *without < flag && without.value() + CLEARLY < scored.score.value();
    if let Some(without) = scored.without_mark.filter(clearly_lower) {
        return format!("the same value without the marked part (score {without})");
    }
    kind_that_passes(shapes, causes)
}

/// A score that is not at least this much lower is not lower because of what was taken away.
const CLEARLY: f32 = 0.5;

/// A value's score, and the score without its marked part, where that was tried and may be told.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scored {
    pub(super) score: Score,
    pub(super) without_mark: Option<Score>,
}

fn kind_that_passes(shapes: Option<String>, causes: &[Cause]) -> String {
    let mut without: Vec<&str> = Vec::new();
    for cause in causes {
        let Some(what) = kind_of(cause.kind) else {
            continue;
        };
        if !without.contains(&what) {
            without.push(what);
        }
    }
    let shapes = shapes.unwrap_or_else(|| "plain words or numbers".to_owned());
    let Some((last, others)) = without.split_last() else {
        return shapes;
    };
    let mut list = others.join(", ");
    if !list.is_empty() {
        list.push_str(" or ");
    }
    list.push_str(last);
    format!("a value without {list}; {shapes} would be usual")
}

/// A count rounded to two digits, with thousands separated.
pub(super) fn rounded(count: f64) -> String {
    let unit = 10f64.powf(count.log10().floor() - 1.0).max(1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a float becomes the nearest integer there is"
    )]
    let count = ((count / unit).round() * unit) as u64;
    thousands(count)
}

/// A count with thousands separated.
pub(super) fn thousands(count: u64) -> String {
    let digits = count.to_string();
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

    use std::collections::BTreeMap;

    use weir_features::Family;

    use super::*;
    use crate::reason::attribution::Breakout;

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
        assert_eq!(percent(0.0), "none contain");
        assert_eq!(percent(0.0001), "fewer than 0.1% contain");
        assert_eq!(percent(0.0123), "1.2% contain");
        assert_eq!(percent(0.8182), "82% contain");
    }

    #[test]
    fn skeletons_become_words() {
        for (skeleton, words) in [
            ("0", "numbers"),
            ("a", "single words"),
            ("0.0", "decimal numbers"),
            ("a0a", "letters and digits"),
            ("a_a_a", "words joined by `_`"),
            ("0-0-0", "numbers joined by `-`"),
            ("/a/a", "paths such as /word/word"),
            ("a://a.a.a/", "web addresses"),
            ("a a, a.", "plain text"),
            ("a-a,a;a=0.0", "values such as `word-word,word;word=1.1`"),
        ] {
            assert_eq!(shape(skeleton), words);
        }
    }

    #[test]
    fn no_frequency_is_claimed_beyond_the_sample() {
        let sample = Sample {
            promised: 3.0 / 6000.0,
            size: 6000,
        };
        let told = |score| rarity(Score::new(score), sample);
        assert_eq!(told(0.01), "nothing unusual");
        assert_eq!(
            told(2.0),
            "about one normal request in 100 has a value this unusual"
        );
        assert_eq!(
            told(3.5),
            "fewer than one normal request in 2,000 has a value this unusual"
        );
        assert_eq!(
            told(4.3),
            "rarer than anything in the calibration sample (fewer than one normal request in 2,000)"
        );
    }

    #[test]
    fn only_what_was_tried_and_is_clearly_enough_would_have_passed() {
        let told = |score, without_mark: Option<f32>| {
            let scored = Scored {
                score: Score::new(score),
                without_mark: without_mark.map(Score::new),
            };
            would_pass(scored, Score::new(2.3), None, &[])
        };
        let by_kind = "plain words or numbers";
        assert_eq!(
            told(3.0, Some(0.4)),
            "the same value without the marked part (score 0.40)"
        );
        assert_eq!(told(3.0, Some(2.5)), by_kind);
        assert_eq!(told(2.4, Some(2.2)), by_kind);
        assert_eq!(told(3.0, None), by_kind);
        assert!(told(1.38, Some(2.25)).starts_with("this value as it is; "));
    }

    #[test]
    fn what_is_usual_names_shapes_lengths_and_the_families_found() {
        let place = Usual {
            rows: 10,
            distinct: 5,
            length_p01: 3,
            length_p50: 31,
            length_p99: 1024,
            families: BTreeMap::from([("sql".to_owned(), 0.0315)]),
            examples: vec!["0".to_owned(), "a".to_owned()],
        };
        let cause = |kind| Cause {
            kind,
            share: 0.5,
            pieces: Vec::new(),
            name: String::new(),
            texts: Vec::new(),
        };
        let causes = [
            cause(Kind::Lexicon(Family::Sql)),
            cause(Kind::Skeleton),
            cause(Kind::Structure(Breakout::Tags)),
        ];
        assert_eq!(
            usual(Some(&place), &causes),
            "mostly numbers or single words; 3 to 1,024 bytes, half of them at most 31; 3.1% contain SQL terms"
        );
        assert_eq!(usual(None, &causes), "the model saw no normal value here");
        assert_eq!(
            kind_that_passes(shapes(&place), &causes),
            "a value without SQL or tags; numbers or single words would be usual"
        );
        let odd = Usual {
            examples: vec!["0?a ? ?&".to_owned(), "a;a".to_owned(), "a|a".to_owned()],
            ..place
        };
        assert_eq!(shapes(&odd).unwrap(), "values such as `word;word`");
    }
}
