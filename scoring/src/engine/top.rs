//! The few largest of many values, without allocation. Not here: what the values mean.

use crate::reason::TOP_FIELDS;

/// A field and its scaled error.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Ranked {
    pub(super) field: usize,
    pub(super) value: f32,
}

impl Ranked {
    fn outranks(self, other: Self) -> bool {
        self.value > other.value || self.value == other.value && self.field < other.field
    }
}

/// The [`TOP_FIELDS`] fields with the largest scaled errors, the largest first; of equals the first field, in whatever
/// order they are offered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Top {
    ranked: [Option<Ranked>; TOP_FIELDS],
}

impl Top {
    pub(super) fn offer(&mut self, field: usize, value: f32) {
        let mut carried = Some(Ranked { field, value });
        for place in &mut self.ranked {
            match (carried, *place) {
                (Some(new), Some(old)) if new.outranks(old) => {
                    *place = carried;
                    carried = Some(old);
                }
                (Some(_), None) => {
                    *place = carried;
                    return;
                }
                _ => {}
            }
        }
    }

    pub(super) fn first(&self) -> Option<&Ranked> {
        self.iter().next()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Ranked> {
        self.ranked.iter().flatten()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_largest_are_kept_in_order(
            values in proptest::collection::vec((0u8..20).prop_map(f32::from), 0..40),
            turn in 0usize..40,
        ) {
            let mut top = Top::default();
            let offered = values.iter().enumerate();
            // What the cache knows is offered before what comes earlier in the request.
            for (field, value) in offered.clone().skip(turn).chain(offered.take(turn)) {
                top.offer(field, *value);
            }
            let mut expected: Vec<(usize, f32)> = values.iter().copied().enumerate().collect();
            expected.sort_by(|a, b| b.1.total_cmp(&a.1).then(a.0.cmp(&b.0)));
            expected.truncate(TOP_FIELDS);
            let found: Vec<(usize, f32)> = top.iter().map(|ranked| (ranked.field, ranked.value)).collect();
            prop_assert_eq!(found, expected);
        }
    }
}
