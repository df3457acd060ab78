//! No stack of encoders hides an attack: the bounded version of the fuzz target of the same name.

use crate::stack::{ATTACKS, Choices, build, missed};
use proptest::prelude::*;
use weir_features::{Scratch, decode};

#[test]
fn the_attacks_are_fixed_points() {
    for attack in ATTACKS {
        assert_eq!(decode(attack.as_bytes()).bytes.as_ref(), attack.as_bytes());
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_stack_of_encoders_hides_an_attack(choices in proptest::collection::vec(any::<u8>(), 4..32)) {
        let case = build(&mut Choices(&choices));
        let mut scratch = Scratch::default();
        if let Some(what) = missed(&case, &mut scratch) {
            prop_assert!(false, "{}", what);
        }
    }
}
